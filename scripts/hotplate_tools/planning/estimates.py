"""Time and memory of a model: measured where it was, else estimated from its size.

Estimates are of one vCPU at 1,769 MB and are marked as such wherever they are shown.
Source: the project's bench (ONNX Runtime 1.32, two AVX2 cores, fp32, batch 1, sequence 32): ResNet-50
98 ms and 102 MB, an encoder 98 ms and 495 MB, half-width ResNet 28 ms and 28 MB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.limits import MAX_VCPUS, MEMORY_MB_PER_VCPU
from hotplate_tools.planning.weights import is_convolutional

if TYPE_CHECKING:
    from hotplate_tools.planning.records import Description

__all__ = ["Figures", "figures_of"]

RUN_MS_PER_MB = {True: 1.0, False: 0.2}  # convolutional, or not
# A process with the runtime and no model, MiB; weights count once where they are borrowed, twice
# where they are rearranged too, three times where they come inside the graph.
BASE_MB = 90
COPIES = {"borrowed": 1.15, "packed": 2.0, "inline": 3.0, "source": 3.0}
HEADROOM = 1.2
# Handler, codecs and one request with its answer, MiB. Ours.
HANDLER_MB = 64
MEMORY_STEP_MB = 64

# Seconds at a cold start beside the model: Python, NumPy, ONNX Runtime, manifest, on one vCPU.
START_S = 0.6
# What one function gets from S3, bytes a second. Old third-party figures say 50 to 90 MB/s.
FETCH_BYTES_S = 75e6
SESSION_MS_PER_MB = {"borrowed": 0.05, "packed": 0.7, "inline": 4.0, "source": 5.0}

# The handler around `run`, in ms.
HANDLER_MS = 1.0
# What each thread after the first adds; the second was measured (1.6 to 1.9 times), more were not.
THREAD_GAIN = 0.7


@dataclass(frozen=True, slots=True)
class Figures:
    """What the rules reckon with.

    Attributes:
        is_measured: Measured on the publishing machine, or estimated.
        run_ms: One row on one vCPU.
        peak_mb: Peak memory of the process, MiB.
        need_mb: The same with headroom, rounded up: the least memory to ask Lambda for.
        init_s: Whole cold start on one vCPU, in seconds.
    """

    is_measured: bool
    run_ms: float
    peak_mb: float
    need_mb: int
    init_s: float

    def request_ms(self, memory_mb: int) -> float:
        """Return milliseconds in the function for one row with this memory, from its share of vCPUs."""
        share = min(memory_mb / MEMORY_MB_PER_VCPU, MAX_VCPUS)
        gain = share if share < 1 else 1 + THREAD_GAIN * (round(share) - 1)
        return HANDLER_MS / min(share, 1) + self.run_ms / gain


def figures_of(model: Description) -> Figures:
    """Return the figures of a model."""
    form = model.plan.weight_form
    way = "packed" if form == "borrowed" and model.plan.prepacking != "off" and _packs(model) else form
    megabytes = model.model_bytes / 1e6
    served = model.measurements.served if model.measurements else None
    if served:
        run_ms, peak_mb = served.steady_ms, served.peak_mb
        load_s = (served.session_ms + served.first_run_ms) / 1000
    else:
        run_ms = megabytes * RUN_MS_PER_MB[is_convolutional(model.operators)]
        peak_mb = BASE_MB + model.model_bytes / 2**20 * COPIES[way]
        load_s = (megabytes * SESSION_MS_PER_MB[way] + 1.5 * run_ms) / 1000
    need = math.ceil((peak_mb * HEADROOM + HANDLER_MB) / MEMORY_STEP_MB) * MEMORY_STEP_MB
    init_s = START_S + model.model_bytes / FETCH_BYTES_S + load_s
    return Figures(served is not None, run_ms, peak_mb, max(need, 128), init_s)


def _packs(model: Description) -> bool:
    return not is_convolutional(model.operators)
