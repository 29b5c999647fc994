"""Which of AWS's ways to run a model can hold it, and why each of the others cannot or need not.

Tiers in the order they are preferred: a zip on Lambda, a container image on Lambda, a SageMaker
asynchronous endpoint, a SageMaker real-time endpoint. The first that fits is taken.

Sources: AWS Lambda quotas; Amazon API Gateway quotas; SageMaker InvokeEndpoint and
InvokeEndpointAsync.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.limits import MAX_BODY_BYTES, MAX_MEMORY_MB, MAX_UNZIPPED_BYTES
from hotplate_tools.planning.weights import megabytes

if TYPE_CHECKING:
    from hotplate.manifest.schema import Tier
    from hotplate_tools.planning.prices import Instance, Prices

__all__ = ["TIERS", "Need", "instance_for", "obstacles"]

TIERS: tuple[Tier, ...] = ("lambda-zip", "lambda-image", "sagemaker-async", "sagemaker-realtime")

MAX_IMAGE_BYTES = 10 * 1024**3
# API Gateway waits so long for an answer unless its quota was raised, in seconds.
MAX_GATEWAY_S = 29
MAX_REALTIME_S = 60
MAX_ASYNC_S = 3600
MAX_REALTIME_BYTES = 6_291_456
MAX_ASYNC_BYTES = 1024**3

# Share of an instance's memory that a model may have; the rest is the system's and the server's. Ours.
INSTANCE_SHARE = 0.75
# An endpoint busier than this is never idle long enough to be taken down. Ours.
BUSY_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Need:
    """What a tier must hold.

    Attributes:
        code_bytes: Unzipped function and layers, without the model.
        memory_mb: To load and run one row, headroom included.
        fastest_s: One row on the most vCPUs that Lambda gives, in seconds.
        request_bytes, response_bytes: Of one row; None if not known.
        busy_share: Share of time that one endpoint would compute, 0 to 1 and above; None without traffic.
    """

    code_bytes: int
    memory_mb: int
    fastest_s: float
    request_bytes: int | None
    response_bytes: int | None
    busy_share: float | None


def obstacles(need: Need, prices: Prices) -> dict[Tier, tuple[str, ...]]:
    """Return by tier what stands against it; nothing means that it fits."""
    payload = max(need.request_bytes or 0, need.response_bytes or 0)
    function = tuple(_on_lambda(need, payload))
    endpoint = tuple(_on_any_instance(need, prices))
    return {
        "lambda-zip": tuple(_unzipped(need)) + function,
        "lambda-image": tuple(_image(need)) + function,
        "sagemaker-async": tuple(_async(need, payload)) + endpoint,
        "sagemaker-realtime": tuple(_realtime(need, payload)) + endpoint,
    }


def instance_for(memory_mb: int, prices: Prices) -> Instance | None:
    """Return the first instance of the table with room for the model, or None."""
    return next((item for item in prices.sagemaker if memory_mb <= item.memory_mb * INSTANCE_SHARE), None)


def _unzipped(need: Need) -> list[str]:
    if need.code_bytes <= MAX_UNZIPPED_BYTES:
        return []
    return [f"{megabytes(need.code_bytes)} unzipped is over {megabytes(MAX_UNZIPPED_BYTES)}"]


def _image(need: Need) -> list[str]:
    if need.code_bytes <= MAX_IMAGE_BYTES:
        return []
    return [f"{megabytes(need.code_bytes)} of code is over the image's {megabytes(MAX_IMAGE_BYTES)}"]


def _on_lambda(need: Need, payload: int) -> list[str]:
    found = []
    if need.memory_mb > MAX_MEMORY_MB:
        found.append(f"{need.memory_mb:,} MB of memory is over {MAX_MEMORY_MB:,} MB")
    if need.fastest_s > MAX_GATEWAY_S:
        found.append(f"{need.fastest_s:,.0f} s for one row is over API Gateway's {MAX_GATEWAY_S} s")
    if payload > MAX_BODY_BYTES:
        found.append(f"one row of {megabytes(payload)} is over the {megabytes(MAX_BODY_BYTES)} of one call")
    return found


def _on_any_instance(need: Need, prices: Prices) -> list[str]:
    if instance_for(need.memory_mb, prices):
        return []
    most = int(max(item.memory_mb for item in prices.sagemaker) * INSTANCE_SHARE)
    return [f"{need.memory_mb:,} MB of memory is over the {most:,} MB of the largest instance in the table"]


def _async(need: Need, payload: int) -> list[str]:
    found = []
    if need.fastest_s > MAX_ASYNC_S:
        found.append(f"{need.fastest_s:,.0f} s for one row is over {MAX_ASYNC_S:,} s")
    if payload > MAX_ASYNC_BYTES:
        found.append(f"one row of {megabytes(payload)} is over {megabytes(MAX_ASYNC_BYTES)}")
    if need.busy_share is not None and need.busy_share >= BUSY_SHARE:
        found.append(
            f"at this traffic it would be busy {min(need.busy_share, 1):.0%} of the time, "
            "so it would never scale to zero"
        )
    return found


def _realtime(need: Need, payload: int) -> list[str]:
    found = []
    if need.fastest_s > MAX_REALTIME_S:
        found.append(f"{need.fastest_s:,.0f} s for one row is over {MAX_REALTIME_S} s")
    if payload > MAX_REALTIME_BYTES:
        found.append(f"one row of {megabytes(payload)} is over {megabytes(MAX_REALTIME_BYTES)}")
    return found
