"""`hotplate demo`: everything once, from a model file to an answered request, cold and warm.

The stack is the real template, deployed into the local cloud; the weights come from its S3.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from hotplate.protocol.types import Tensor
from hotplate_tools.failures import FailedError
from hotplate_tools.infer import infer
from hotplate_tools.local.up import local_cloud
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["Demonstration", "demonstrate"]

WARM_REQUESTS = 30


@dataclass(frozen=True, slots=True)
class Demonstration:
    """What was seen.

    Attributes:
        image: File that was sent.
        digit: What the model says it shows.
        version: That answered.
        cold_ms: Phases of the cold start, in ms, as the first answer carried them.
        first_ms, warm_ms: Whole request as the caller saw it: the first, and the median of the warm ones.
        warm_function_ms: Median of what the function itself took when warm.
    """

    image: str
    digit: int
    version: str
    cold_ms: dict[str, float]
    first_ms: float
    warm_ms: float
    warm_function_ms: float

    def as_text(self) -> str:
        """Return it for people."""
        phases = "\n".join(f"    {name:<9}{ms:>8.1f} ms" for name, ms in self.cold_ms.items())
        total_ms = sum(self.cold_ms.values())
        return f"""
  {self.image} shows a {self.digit}   (digits, version {self.version}, weights from S3)

  cold start, phase by phase
{phases}
    {"all":<9}{total_ms:>8.1f} ms

  first request  {self.first_ms:>8.1f} ms, the local cloud's own start of a worker included
  warm request   {self.warm_ms:>8.1f} ms, of which {self.warm_function_ms:.1f} ms in the function \
(median of {WARM_REQUESTS})"""


def demonstrate(console: Console) -> Demonstration:
    """Start the local cloud, ask the digits model cold and warm, stop.

    Raises:
        FailedError: Something did not start, or an answer was not an answer.
    """
    image = model_folder("digits") / "seven.png"
    tensor = Tensor("image_file", "BYTES", np.array([image.read_bytes()], dtype=object))
    with local_cloud(console) as cloud:
        with console.step("Asking, cold"):
            first = infer(cloud.url, "digits", [tensor])
        with console.step("Asking, warm"):
            warm = [infer(cloud.url, "digits", [tensor]) for _ in range(WARM_REQUESTS)]
    if not first.cold_ms:
        raise FailedError("the first answer was not a cold start")
    return Demonstration(
        image=image.name,
        digit=int(first.outputs["digit"][0]),
        version=first.version,
        cold_ms=first.cold_ms,
        first_ms=round(first.waited_ms, 1),
        warm_ms=round(statistics.median(answer.waited_ms for answer in warm), 1),
        warm_function_ms=statistics.median(answer.timings_ms["total"] for answer in warm),
    )
