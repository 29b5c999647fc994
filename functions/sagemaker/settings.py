"""What the deployment tells the container beside what it tells a model's function.

| variable | meaning | default |
|---|---|---|
| `HOTPLATE_TIER` | `sagemaker-async` or `sagemaker-realtime` | `sagemaker-realtime` |
| `HOTPLATE_WORKERS` | requests that are worked on at once | vCPUs |
| `HOTPLATE_USD_PER_HOUR` | what the instance asks, for the usage line | 0 |
| `HOTPLATE_MAX_IMAGE_PIXELS` | pixels of one request that are opened | 100000000 |
| `SAGEMAKER_BIND_TO_PORT` | port; set by SageMaker where it is another | 8080 |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from hotplate.errors import SettingsError
from hotplate.limits import MAX_MEMORY_MB, MAX_UPLOAD_BYTES, MEMORY_MB_PER_VCPU, SAGEMAKER_PAYLOAD_BYTES
from hotplate.settings import Settings

__all__ = ["ContainerSettings"]

ASYNC, REALTIME = "sagemaker-async", "sagemaker-realtime"
# Seconds that fetching the model may take: SageMaker waits minutes for the first healthy ping.
_PATIENCE_S = 300
# Pixels of one request's images: an instance has some ten times the memory of a function. Ours.
MAX_INSTANCE_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class ContainerSettings:
    """One container's deployment.

    Attributes:
        model: As of a function; all the processor is this process's, and nobody waits for init to end.
        tier: What the usage line says.
        workers: Requests at once.
        port: To listen at.
        usd_per_hour: What the instance asks.
        memory_mb: Of the instance.
        max_pixels: That the images of one request may have together.
        max_body_bytes: Of a request: SageMaker's own bound where a caller waits, an upload's where none does.
    """

    model: Settings
    tier: str
    workers: int
    port: int
    usd_per_hour: float
    memory_mb: int
    max_pixels: int
    max_body_bytes: int

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings in `environ`.

        Raises:
            SettingsError: Naming the variable that is missing or wrong.
        """
        vcpus = len(os.sched_getaffinity(0))
        like_lambda = {
            "HOTPLATE_FETCH_TIMEOUT_S": str(_PATIENCE_S),
            **environ,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(min(MAX_MEMORY_MB, vcpus * MEMORY_MB_PER_VCPU)),
            "AWS_LAMBDA_INITIALIZATION_TYPE": "sagemaker",
            "AWS_LAMBDA_MAX_CONCURRENCY": "1",
        }
        tier = environ.get("HOTPLATE_TIER") or REALTIME
        if tier not in (ASYNC, REALTIME):
            raise SettingsError(f"HOTPLATE_TIER is {tier[:40]!r}, neither {ASYNC!r} nor {REALTIME!r}")
        return cls(
            model=Settings.from_environ(like_lambda),
            tier=tier,
            workers=int(_number(environ, "HOTPLATE_WORKERS", vcpus, least=1)),
            port=int(_number(environ, "SAGEMAKER_BIND_TO_PORT", 8080, least=0)),
            usd_per_hour=_number(environ, "HOTPLATE_USD_PER_HOUR", 0, least=0),
            memory_mb=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") >> 20,
            max_pixels=int(
                _number(environ, "HOTPLATE_MAX_IMAGE_PIXELS", MAX_INSTANCE_PIXELS, least=1, below=1e10)
            ),
            max_body_bytes=MAX_UPLOAD_BYTES if tier == ASYNC else SAGEMAKER_PAYLOAD_BYTES,
        )


def _number(
    environ: Mapping[str, str], name: str, default: float, *, least: float, below: float = 1e5
) -> float:
    text = environ.get(name) or str(default)
    try:
        value = float(text)
    except ValueError as fault:
        raise SettingsError(f"{name} is {text[:40]!r}, not a number") from fault
    if not least <= value < below:
        raise SettingsError(f"{name} is {text[:40]!r}, not a number from {least:g} on")
    return value
