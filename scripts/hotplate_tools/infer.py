"""One inference over HTTP, as any caller makes it: binary tensors both ways, and the answer's own timings."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np

    from hotplate.protocol.types import Tensor

    Array = np.ndarray[Any, Any]

__all__ = ["Answer", "infer"]

TIMEOUT_S = 60

_LENGTH = "Inference-Header-Content-Length"
_TIMING = re.compile(r"(\w+);dur=([\d.]+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer.

    Attributes:
        outputs: By name.
        version: That answered.
        timings_ms: The function's own, by phase; `total` is all of the request, the others are those of
            a cold start.
        waited_ms: How long the caller waited.
    """

    outputs: Mapping[str, Array]
    version: str
    timings_ms: Mapping[str, float]
    waited_ms: float

    @property
    def cold_ms(self) -> dict[str, float]:
        """Phases of the cold start; empty if there was none."""
        return {phase: ms for phase, ms in self.timings_ms.items() if phase != "total"}


def infer(url: str, model: str, tensors: Sequence[Tensor]) -> Answer:
    """Return what the model under `url`, which ends before `/v2`, answers.

    Raises:
        FailedError: Nobody is there, or the answer is none.
    """
    body, length = encode_request(list(tensors))
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=TIMEOUT_S)
    started = time.perf_counter()
    try:
        path = f"{parts.path.rstrip('/')}/v2/models/{model}/infer"
        connection.request("POST", path, body, {_LENGTH: str(length)})
        answer = connection.getresponse()
        content = answer.read()
    except (OSError, http.client.HTTPException) as fault:
        raise FailedError(f"{url} does not answer: {fault}", advice="Start it with `hotplate up`.") from fault
    finally:
        connection.close()
    waited_ms = (time.perf_counter() - started) * 1000
    if answer.status != http.client.OK:
        raise FailedError(f"{model} answered {answer.status}: {content[:300].decode(errors='replace')}")
    outputs = decode_response(content, answer.getheader(_LENGTH)).outputs
    timings = {name: float(ms) for name, ms in _TIMING.findall(answer.getheader("server-timing", ""))}
    return Answer(
        {output.name: output.array for output in outputs},
        answer.getheader("hotplate-model-version", ""),
        timings,
        waited_ms,
    )
