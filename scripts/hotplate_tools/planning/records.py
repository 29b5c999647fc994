"""What a plan is made from: a description of the model, and what was measured of it.

Measurements are of the machine that took them and say so. They are no part of a version (see
docs/adr/0010): the same model measured elsewhere is the same version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import msgspec

from hotplate.errors import ManifestError
from hotplate.manifest.schema import Plan, Variant

__all__ = [
    "BatchPoint",
    "Description",
    "FormMeasured",
    "Measurements",
    "decode_measurements",
    "encode_measurements",
]

Milliseconds = Annotated[float, msgspec.Meta(ge=0)]


class BatchPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Milliseconds of one run of `batch` rows, the median."""

    batch: Annotated[int, msgspec.Meta(ge=1)]
    run_ms: Milliseconds


class FormMeasured(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One way to keep and load the weights; medians over fresh processes.

    Attributes:
        form: `source` (as given), `inline`, `borrowed` or `native`; of a variant with its kind
            before it, e.g. `int8-inline`.
        prepacking: `on`, `parallel` or `off`.
        served: Whether this is the form and prepacking that the version uses on this machine.
        bytes: To be fetched at a cold start.
        session_ms, first_run_ms: Building the session; its first run.
        steady_ms: Median of later runs of one row.
        peak_mb: Peak resident memory of the whole process, MiB, before larger batches ran.
        difference: Largest absolute difference from the source form on the seeded rows; of a
            variant, from the float form on the evaluation rows.
        batches: The batch curve, smallest first; empty if the model has no open first dimension.
    """

    form: str
    prepacking: str
    served: bool
    bytes: int
    session_ms: Milliseconds
    first_run_ms: Milliseconds
    steady_ms: Milliseconds
    peak_mb: float
    difference: float
    batches: tuple[BatchPoint, ...] = ()


class Measurements(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one machine measured of one version.

    Attributes:
        cpu, cores, isa: The machine, as its processor calls itself.
        onnxruntime: Its version.
        threads: Threads of one operator while measuring.
        repeats: Fresh processes each form ran in.
        forms: One entry each.
        format: Of this record.
    """

    cpu: str
    cores: int
    isa: str
    onnxruntime: str
    threads: int
    repeats: int
    forms: tuple[FormMeasured, ...]
    format: int = 1

    @property
    def served(self) -> FormMeasured | None:
        """The entry of the form that is served."""
        return next((form for form in self.forms if form.served), None)


@dataclass(frozen=True, slots=True)
class Description:
    """A model as the rules see it; sizes in bytes.

    Attributes:
        name, version: Which; version is None before publishing.
        graph_bytes, weights_bytes, asset_bytes: What a cold start fetches.
        operators: Types of the graph's operators.
        request_bytes, response_bytes: Of one row in binary form; None where a dimension other than the
            first is open, or elements are text.
        has_batch: Whether the first dimension of every input is open.
        code_bytes: Unzipped function with its layers, without the model.
        plan: What model.yaml fixed and the optimiser chose.
        measurements: None if nothing was measured.
        variant: What it is instead of the float graph, if it is.
    """

    name: str
    version: str | None
    graph_bytes: int
    weights_bytes: int
    asset_bytes: int
    operators: frozenset[str]
    request_bytes: int | None
    response_bytes: int | None
    has_batch: bool
    code_bytes: int
    plan: Plan = field(default_factory=Plan)
    measurements: Measurements | None = None
    variant: Variant | None = None

    @property
    def model_bytes(self) -> int:
        """All that a cold start fetches."""
        return self.graph_bytes + self.weights_bytes + self.asset_bytes


def encode_measurements(measurements: Measurements) -> bytes:
    """Return the record as JSON."""
    return msgspec.json.encode(measurements, order="sorted")


def decode_measurements(raw: bytes) -> Measurements:
    """Return the record in `raw`.

    Raises:
        ManifestError: `raw` is no such record.
    """
    try:
        return msgspec.json.decode(raw, type=Measurements)
    except (msgspec.DecodeError, UnicodeDecodeError) as fault:
        raise ManifestError(f"not measurements: {fault}") from fault
