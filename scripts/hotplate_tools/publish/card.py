"""The model card: written from `model.yaml` where a folder has none, held to it where it has one.

A card may begin with a YAML head between two lines `---`. A key of the head that `model.yaml` has
too must say the same; other keys, such as `license`, are the owner's. Deterministic, so a card does
not make a new version by itself.

Source: Hugging Face Hub documentation, "Model Cards": `model-index`, `pipeline_tag`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.model_yaml import PlainLoader

if TYPE_CHECKING:
    from hotplate_tools.publish.model_yaml import ModelSpec, TensorSpec

__all__ = ["MAX_CARD_BYTES", "card_of", "refuse_wrong_head"]

# Ours: a long card is 30 KB.
MAX_CARD_BYTES = 256 * 1024

_HEAD = re.compile(r"\A---\r?\n(.*?\n)---\r?(\n|\Z)", re.DOTALL)


def card_of(spec: ModelSpec, library: str = "onnx") -> bytes:
    """Return a card that says what `spec` says, as Markdown with a YAML head."""
    head: dict[str, Any] = {"model_name": spec.name, "library_name": library}
    if spec.task:
        head["pipeline_tag"] = spec.task
    made = spec.provenance
    facts = {
        "Made by": f"`{made.command}`" if made.command else "",
        "Data": made.data,
        "SHA-256 of the data": made.data_sha256 or "",
        "Seed": "" if made.seed is None else str(made.seed),
        "Framework": made.framework,
    }
    lines = ["---", yaml.safe_dump(head, sort_keys=True).rstrip(), "---", "", f"# {spec.name}", ""]
    lines += ["## Inputs", "", *map(_line, spec.inputs), "", "## Outputs", "", *map(_line, spec.outputs)]
    if spec.provenance.metrics:
        lines += ["", "## Measured", ""]
        lines += [f"- {name}: {value}" for name, value in sorted(made.metrics.items())]
    if any(facts.values()):
        lines += ["", "## Provenance", "", *(f"- {name}: {text}" for name, text in facts.items() if text)]
    return ("\n".join(lines) + "\n").encode()


def refuse_wrong_head(raw: bytes, spec: ModelSpec) -> None:
    """Compare the head of a card, if it has one, with `model.yaml`.

    Raises:
        RefusedError: It cannot be read, or says something else than `model.yaml`.
    """
    if len(raw) > MAX_CARD_BYTES:
        raise RefusedError(f"the card is longer than {MAX_CARD_BYTES} bytes")
    try:
        found = _HEAD.match(raw.decode())
        head = yaml.load(found[1], Loader=PlainLoader) if found else {}  # noqa: S506 - a SafeLoader
    except (UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as fault:
        raise RefusedError(f"the card's head cannot be read: {fault}") from fault
    if not isinstance(head, dict):
        raise RefusedError("the card's head is no YAML mapping")
    for key, says in (("model_name", spec.name), ("pipeline_tag", spec.task)):
        if key in head and head[key] != says:
            raise RefusedError(f"the card says {key} {head[key]!r}, model.yaml says {says!r}")


def _line(tensor: TensorSpec) -> str:
    text = f"- `{tensor.name}`: {tensor.datatype} {list(tensor.shape)}"
    return f"{text}. {tensor.description}" if tensor.description else text
