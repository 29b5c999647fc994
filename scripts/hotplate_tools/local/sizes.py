"""How large functions and layers are unzipped, against what Lambda accepts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate.limits import MAX_UNZIPPED_BYTES
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.template import read_template

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.build import Build

__all__ = ["Report", "measure", "refuse_oversize"]


@dataclass(frozen=True, slots=True)
class Report:
    """Unzipped bytes.

    Attributes:
        parts: By function or layer: its own.
        totals: By function: its own and its layers', which is what the limit is about.
    """

    parts: Mapping[str, int]
    totals: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "unzipped_bytes": dict(self.parts),
            "with_layers_bytes": dict(self.totals),
            "limit_bytes": MAX_UNZIPPED_BYTES,
        }

    def as_text(self) -> str:
        """Return it for people."""
        lines = ["Unzipped bytes"]
        lines += [f"  {name:<24}{size:>13,}" for name, size in self.parts.items()]
        lines += [f"With layers, of {MAX_UNZIPPED_BYTES:,}"]
        lines += [
            f"  {name:<24}{size:>13,}  {size / MAX_UNZIPPED_BYTES:4.0%}" for name, size in self.totals.items()
        ]
        return "\n".join(lines)


def measure(made: Build) -> Report:
    """Return the sizes of a build."""
    names = (*made.functions, *made.layers)
    parts = {name: made.unzipped_bytes(name) for name in names}
    # The bucket's name changes no size.
    template = read_template(made.template, parameters={}, bucket="any")
    return Report(
        parts=parts,
        totals={
            name: parts[name] + sum(parts[layer.name] for layer in function.layers)
            for name, function in template.functions.items()
        },
    )


def refuse_oversize(report: Report) -> None:
    """Raise if Lambda would refuse a function.

    Raises:
        RefusedError: Naming the functions.
    """
    over = [name for name, size in report.totals.items() if size > MAX_UNZIPPED_BYTES]
    if over:
        raise RefusedError(
            f"{', '.join(over)}: more than {MAX_UNZIPPED_BYTES:,} bytes unzipped, which Lambda refuses",
            advice="Take packages out of the function's requirements, or serve it from a container image.",
        )
