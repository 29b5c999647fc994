"""The model card: a source folder's own, or one written from the manifest.

A card may begin with a YAML head between two lines `---`. A key of the head that `model.yaml` has
too must say the same; other keys are the owner's. The head becomes the manifest's `parameters.card`,
so that a function tells it to callers without reading the card, or YAML.

A written card says what the manifest says and nothing else: no measurement (ADR 0010), no date, so
it does not make a new version by itself.

Source: Hugging Face Hub documentation, "Model Cards": `library_name`, `license`, `model-index`,
`pipeline_tag`.
"""

from __future__ import annotations

import datetime
import re
from typing import TYPE_CHECKING, Any

import yaml

from hotplate.limits import MAX_CARD_BYTES
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.model_yaml import PlainLoader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.manifest.schema import Manifest, Parity
    from hotplate.protocol.types import MetadataTensor
    from hotplate_tools.publish.model_yaml import ModelSpec

__all__ = ["card_of", "read_head", "split_card"]

# Classes that a card names; ImageNet's thousand are in the metadata.
_MAX_LABELS = 20

_HEAD = re.compile(r"\A---\r?\n(.*?\n)---\r?(\n|\Z)", re.DOTALL)
# By platform, in the Hub's words; it has none for a program of one's own.
_LIBRARIES = {"onnx_onnxv1": "onnx", "python": "python", "spacy": "spacy", "pipeline": "onnx"}
_FORMS = {
    "source": "the graph as given, optimised when it is loaded",
    "inline": "optimised by ONNX Runtime before it was published, weights inside of the graph",
    "borrowed": "optimised by ONNX Runtime before it was published, weights in a file that is borrowed",
}


def card_of(manifest: Manifest, *, license_name: str | None = None) -> bytes:
    """Return a card that says what `manifest` says, as Markdown with a YAML head."""
    head = yaml.safe_dump(_head(manifest, license_name), sort_keys=True, allow_unicode=True).rstrip()
    lines = ["---", head, "---", "", f"# {manifest.name}"]
    for title, section in (
        ("Inputs", [_line(spec) for spec in manifest.inputs]),
        ("Outputs", [_line(spec, manifest.labels.get(spec.name, ())) for spec in manifest.outputs]),
        ("Evaluation", [f"- {name}: {value}" for name, value in sorted(manifest.provenance.metrics.items())]),
        ("Conversion", list(_parity(manifest.parity)) if manifest.parity else []),
        ("How it is served", list(_served(manifest))),
        ("Provenance", list(_provenance(manifest))),
    ):
        if section:
            lines += ["", f"## {title}", "", *section]
    return ("\n".join(lines) + "\n").encode()


def split_card(text: str) -> tuple[str, str]:
    """Return the YAML of a card's head, empty if it has none, and the Markdown after it."""
    found = _HEAD.match(text)
    return (found[1], text[found.end() :]) if found else ("", text)


def read_head(raw: bytes, spec: ModelSpec | None) -> dict[str, Any]:
    """Return the head of a card as JSON has it, empty if there is none.

    Raises:
        RefusedError: The card is too long, its head cannot be read or holds what JSON does not, or
            it says something else than `model.yaml`.
    """
    if len(raw) > MAX_CARD_BYTES:
        raise RefusedError(f"the card is longer than {MAX_CARD_BYTES} bytes")
    try:
        text = split_card(raw.decode())[0]
        head = yaml.load(text, Loader=PlainLoader) if text else {}  # noqa: S506 - a SafeLoader
        plain = _as_json(head)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as fault:
        raise RefusedError(f"the card's head cannot be read: {fault}") from fault
    if not isinstance(plain, dict):
        raise RefusedError("the card's head is no YAML mapping")
    stated = {"model_name": spec.name, "pipeline_tag": spec.task, "license": spec.license} if spec else {}
    for key, says in stated.items():
        if key in plain and plain[key] != says and not (key == "license" and says is None):
            raise RefusedError(f"the card says {key} {plain[key]!r}, model.yaml says {says!r}")
    return plain


def _as_json(value: Any) -> Any:
    """Return what YAML gave in JSON's types; dates become text, as they were written."""
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError(f"keys must be text, not {sorted(map(repr, value))[0]}")
        return {key: _as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and value - value != 0:
        raise ValueError(f"{value} is no number in JSON")
    if value is not None and not isinstance(value, str | bool | int | float):
        raise ValueError(f"a {type(value).__name__} is nothing that JSON has")
    return value


def _head(manifest: Manifest, license_name: str | None) -> dict[str, Any]:
    head: dict[str, Any] = {"model_name": manifest.name, "library_name": _LIBRARIES[manifest.platform]}
    if license_name:
        head["license"] = license_name
    if manifest.task:
        head["pipeline_tag"] = manifest.task
    # The Hub knows a result by its task, and takes none without.
    if manifest.task and manifest.provenance.metrics:
        result = {
            "task": {"type": manifest.task},
            "dataset": {"name": _one_line(manifest.provenance.data) or "not stated", "type": "custom"},
            "metrics": [
                {"type": name, "name": name, "value": value}
                for name, value in sorted(manifest.provenance.metrics.items())
            ],
        }
        head["model-index"] = [{"name": manifest.name, "results": [result]}]
    return head


def _line(tensor: MetadataTensor, labels: tuple[str, ...] = ()) -> str:
    text = f"- `{tensor.name}`: {tensor.datatype} {list(tensor.shape)}"
    text += f". {_one_line(tensor.description)}" if tensor.description else ""
    more = f" and {len(labels) - _MAX_LABELS} more" if len(labels) > _MAX_LABELS else ""
    return text + (f". Classes: {', '.join(map(_one_line, labels[:_MAX_LABELS]))}{more}" if labels else "")


def _parity(parity: Parity) -> Iterator[str]:
    whose = "made up from the signature" if parity.made_up else "of the owner's"
    cases = f" ({'; '.join(parity.cases)})" if parity.cases else ""
    yield f"Converted, and compared with {parity.framework} on {parity.rows} rows {whose}{cases}."
    yield f"Allowed was a difference of {parity.tolerance:g} of an output's largest magnitude."
    yield from ("", "| output | largest difference | relative | same label |", "|---|---|---|---|")
    for name, found in parity.outputs.items():
        same = "" if found.label_agreement is None else f"{found.label_agreement:.2%}"
        yield f"| `{name}` | {found.max_abs:g} | {found.max_rel:g} | {same} |"


def _served(manifest: Manifest) -> Iterator[str]:
    plan = manifest.plan
    yield f"- Form: {_FORMS[plan.weight_form]}"
    if plan.isa:
        yield f"- Laid out for {plan.isa} too, with ONNX Runtime {plan.native_onnxruntime}"
    if plan.prepacking != "on":
        yield f"- Prepacking of weights: {plan.prepacking}"
    fetched = sum(entry.size for entry in manifest.files if entry.role in {"graph", "weights"})
    yield f"- Read at a cold start: {fetched:,} bytes"
    if golden := manifest.golden:
        yield (
            f"- Golden rows: {golden.rows}, each answered within {golden.atol:g} + {golden.rtol:g} × the "
            "expected number when it was published"
        )


def _provenance(manifest: Manifest) -> Iterator[str]:
    made = manifest.provenance
    facts = {
        "Made by": f"`{_one_line(made.command)}`" if made.command else "",
        "Data": _one_line(made.data),
        "SHA-256 of the data": made.data_sha256 or "",
        "Seed": "" if made.seed is None else str(made.seed),
        "Framework": _one_line(made.framework),
        "Git revision": made.git_revision or "",
        "Published by": manifest.producer,
    }
    return (f"- {name}: {text}" for name, text in facts.items() if text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
