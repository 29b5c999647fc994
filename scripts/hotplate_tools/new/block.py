"""The template with one more model in it.

The new model's parameters, conditions, resources and outputs are copies of those of a model that
is there: what the template gives one (a role of its own, a log group, pins, routes), it gives all,
and nothing is written down twice. A line of a list elsewhere that names its digest or its
function or role (what the catalogue is told, what the relay may call) is copied to the end of that list.
Text is inserted, so comments and layout stay as they are.

Not copied: anchors (`&name`), which may be there once only; the routes of OpenAI's completions, which are
those of one function. Changed: the third-party layer, which is not the same for a graph and for Python. A
model that generates text is copied from one that does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.deployed import served_models
from hotplate_tools.naming import logical_prefix, module_name
from hotplate_tools.new.relayed import CHAT_CODE, COMPLETIONS, is_relayed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplate_tools.local.deployed import ServedModel

__all__ = ["GRAPH_LAYER", "PYTHON_LAYER", "with_model"]

# Logical ids of the layers that hold what a function needs beside hotplate.
GRAPH_LAYER = "OnnxruntimeLayer"
PYTHON_LAYER = "CodecsLayer"

_SECTION = re.compile(r"[A-Za-z]\w*:")
_ENTRY = re.compile(r"  (\w+):")
_LAYER = re.compile(rf"^( +Layers: \[!Ref )(?:{GRAPH_LAYER}|{PYTHON_LAYER})(\])$")
_ROUTE = re.compile(r"^          Properties: .*\bPath: ([^,}]+)")
_ANCHOR = re.compile(r"(?<=: )&[\w-]+ ?")


@dataclass(frozen=True, slots=True)
class _Entry:
    """One entry of a section: its key, and its lines from the comment above it to its own last one."""

    key: str
    start: int
    end: int


def with_model(
    text: str,
    document: Mapping[str, Any],
    name: str,
    version: str,
    sha256: str,
    *,
    package: str | None = None,
    layer: str = GRAPH_LAYER,
    generates: bool = False,
) -> str:
    """Return the template `text` with a block for model `name`, pinned to this version and digest.

    Args:
        text: The template.
        document: The same, as `read_yaml` gives it.
        name: Of the new model.
        version: Default of its parameter for the version.
        sha256: Default of its parameter for the manifest's digest.
        package: Folder of `functions` that serves it; None for one named after the model.
        layer: Its third-party layer.
        generates: Whether it generates text; `functions/chat` serves it then.

    Raises:
        RefusedError: The template has such a model already, or none to copy from.
    """
    pattern = _pattern(document, generates=generates)
    prefix, old_prefix = logical_prefix(name), pattern.function.removesuffix("Function")
    taken = {*document.get("Parameters", {}), *document["Resources"]}
    if f"{prefix}Function" in taken or f"{prefix}ModelVersion" in taken:
        raise RefusedError(f"template.yaml has {prefix}Function already", advice="Take another name.")
    defaults = [
        document["Parameters"][each]["Default"] for each in (pattern.manifest_sha256, pattern.version)
    ]
    # The digest first: a version can be its beginning.
    replaced = [*zip(defaults, (sha256, version), strict=True)]
    owns = _owner(document, old_prefix)
    lines = text.splitlines()
    for section in ("Outputs", "Resources", "Conditions", "Parameters"):
        entries = [each for each in _entries(lines, section) if owns(each.key)]
        if entries:
            copy = [_LAYER.sub(rf"\g<1>{layer}\g<2>", line) for line in _copied(lines, entries)]
            copy = _renamed(_without_completions(copy), pattern.name, name, old_prefix, replaced, package)
            at = entries[-1].end
            lines[at:at] = copy
    for index in reversed(_list_items(lines, pattern)):
        last = next(at for at in range(index, len(lines)) if _indent(lines[at + 1]) != _indent(lines[index]))
        item = lines[index : index + 1]
        lines[last + 1 : last + 1] = _renamed(item, pattern.name, name, old_prefix, replaced, package)
    return "\n".join(lines) + "\n"


def _pattern(document: Mapping[str, Any], *, generates: bool) -> ServedModel:
    for model in served_models(document):
        whole = model.version and model.manifest_sha256
        code = document["Resources"][model.function]["Properties"]["CodeUri"]
        # What a relay answers for a model is not in its block, so a copy would lack it.
        if (code == CHAT_CODE) is not generates or is_relayed(document, model.name):
            continue
        if whole and model.function == f"{logical_prefix(model.name)}Function":
            return model
    kind = " that generates text" if generates else ""
    raise RefusedError(
        f"template.yaml has no model{kind} whose block could be copied",
        advice="Its function is named after it, version and digest are parameters, no route is a relay's.",
    )


def _list_items(lines: list[str], pattern: ServedModel) -> list[int]:
    """Return where a line of a list is about the pattern: its digest between words, its function or role."""
    told = rf"{re.escape(pattern.name)} .*\${{{pattern.manifest_sha256}}}"
    called = rf"(?:{re.escape(pattern.name)}=)?\${{{pattern.function}(?:\.Arn)?}}:(?:live|\*)\"$"
    role = pattern.function.removesuffix("Function") + "Role"
    item = re.compile(rf"^ +- !(?:Sub \"(?:{told}|{called})|Ref {role}$)")
    return [index for index, line in enumerate(lines) if item.match(line)]


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip("- "))]


def _owner(document: Mapping[str, Any], prefix: str) -> Callable[[str], bool]:
    """Return what tells if an entry is the pattern's: `MyDigitsRole` holds `Digits`, not its own."""
    others = {model.function.removesuffix("Function") for model in served_models(document)} - {prefix}
    longer = [each for each in others if prefix in each]
    return lambda key: prefix in key and not any(each in key for each in longer)


def _entries(lines: list[str], section: str) -> Iterator[_Entry]:
    heads = [index for index, line in enumerate(lines) if _SECTION.match(line)] + [len(lines)]
    first = next((index for index in heads[:-1] if lines[index].startswith(f"{section}:")), None)
    if first is None:
        return
    stop = heads[heads.index(first) + 1]
    keys = [index for index in range(first + 1, stop) if _ENTRY.match(lines[index])]
    for number, index in enumerate(keys):
        start, end = index, keys[number + 1] if number + 1 < len(keys) else stop
        while lines[start - 1].startswith("  #"):
            start -= 1
        # Blank lines and comments at the end belong to what follows.
        while not lines[end - 1].strip() or re.match(r" {0,2}#", lines[end - 1]):
            end -= 1
        found = _ENTRY.match(lines[index])
        yield _Entry(found[1] if found else "", start, end)


def _copied(lines: list[str], entries: list[_Entry]) -> list[str]:
    copy: list[str] = []
    for entry in entries:
        if not lines[entry.start - 1].strip():
            copy.append("")
        copy += lines[entry.start : entry.end]
    return [_ANCHOR.sub("", line).rstrip() for line in copy]


def _without_completions(copy: list[str]) -> list[str]:
    """Return the lines of an entry without the events of OpenAI's completions, each three lines."""
    kept: list[str] = []
    for line in copy:
        kept.append(line)
        if (path := _ROUTE.search(line)) and path[1] in COMPLETIONS:
            del kept[-3:]
    return kept


def _renamed(
    copy: list[str],
    old: str,
    new: str,
    old_prefix: str,
    replaced: list[tuple[str, str]],
    package: str | None,
) -> list[str]:
    text = "\n".join(copy)
    for before, after in replaced:
        text = text.replace(before, after)
    text = text.replace(old_prefix, logical_prefix(new))
    word, module = re.escape(module_name(old)), module_name(new)
    text = re.sub(rf"(functions[./]){word}\b", rf"\g<1>{package or module}", text)
    text = re.sub(rf"(hotplate_tools/models/){word}\b", rf"\g<1>{module}", text)
    return re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w-])", new, text).split("\n")
