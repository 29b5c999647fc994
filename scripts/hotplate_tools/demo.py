"""`hotplate demo`: everything once, from a model file to an answered request, cold and warm.

The stack is the real template, deployed into the local cloud; the weights come from its S3.
"""

from __future__ import annotations

import http.client
import re
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from hotplate_tools.failures import FailedError
from hotplate_tools.local.up import local_cloud
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["Demonstration", "demonstrate"]

WARM_REQUESTS = 30

_LENGTH = "Inference-Header-Content-Length"
_TIMING = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True, slots=True)
class _Answer:
    """One answer: the digit, the function's own timings, and how long the caller waited, in ms."""

    digit: int
    version: str
    timings_ms: dict[str, float]
    waited_ms: float


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
            first = _ask(cloud.url, tensor)
        with console.step("Asking, warm"):
            warm = [_ask(cloud.url, tensor) for _ in range(WARM_REQUESTS)]
    cold = {phase: ms for phase, ms in first.timings_ms.items() if phase != "total"}
    if "fetch" not in cold:
        raise FailedError("the first answer was not a cold start")
    return Demonstration(
        image=image.name,
        digit=first.digit,
        version=first.version,
        cold_ms=cold,
        first_ms=round(first.waited_ms, 1),
        warm_ms=round(statistics.median(answer.waited_ms for answer in warm), 1),
        warm_function_ms=statistics.median(answer.timings_ms["total"] for answer in warm),
    )


def _ask(url: str, tensor: Tensor) -> _Answer:
    body, length = encode_request([tensor])
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=60)
    started = time.perf_counter()
    try:
        connection.request("POST", f"{parts.path}/v2/models/digits/infer", body, {_LENGTH: str(length)})
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    waited_ms = (time.perf_counter() - started) * 1000
    if answer.status != http.client.OK:
        raise FailedError(f"the model answered {answer.status}: {content[:300].decode(errors='replace')}")
    outputs = {
        output.name: output.array for output in decode_response(content, answer.getheader(_LENGTH)).outputs
    }
    timings = {name: float(ms) for name, ms in _TIMING.findall(answer.getheader("server-timing", ""))}
    return _Answer(
        int(outputs["digit"][0]), answer.getheader("hotplate-model-version", ""), timings, waited_ms
    )
