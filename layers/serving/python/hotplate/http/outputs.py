"""Answers that do not fit a call: kept in the data bucket, where the caller asked for that, and referred to.

The answer is then one of the protocol without outputs, and its `parameters` say where the whole one is:

| member | is |
|---|---|
| `output_uri` | an address that gives it to whoever has it, without a key |
| `output_bytes` | its length |
| `output_headers` | `content-type`, and the length of its JSON part where it is binary |
| `output_expires_s` | seconds that the address is good |
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from hotplate.errors import MalformedRequestError
from hotplate.http.event import MAX_RESULT_BYTES, HttpResponse, size_of
from hotplate.limits import OUTPUT_LIFE_S
from hotplate.protocol.json_document import excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.protocol.types import InferenceResponse

__all__ = ["BY_REFERENCE", "fitting"]

BY_REFERENCE = "output_by_reference"
_LENGTH_HEADER = "inference-header-content-length"


def fitting(
    answer: HttpResponse,
    response: InferenceResponse,
    parameters: Mapping[str, Any],
    keep: Callable[[bytes, str], str],
) -> HttpResponse:
    """Return the answer; or, if it does not fit a call and the request takes that, one that refers to it.

    Args:
        answer: The whole one.
        response: The same, before it was encoded.
        parameters: Of the request.
        keep: Keeps a body of a content type and returns its address.

    Raises:
        MalformedRequestError: `output_by_reference` is neither true nor false.
        StoreError: It could not be kept.
    """
    wanted = parameters[BY_REFERENCE]
    if not isinstance(wanted, bool):
        raise MalformedRequestError(
            f"parameters.{BY_REFERENCE}", expected="true or false", received=excerpt(wanted)
        )
    if not wanted or size_of(answer) <= MAX_RESULT_BYTES:
        return answer
    headers = {"content-type": answer.content_type}
    if length := answer.headers.get(_LENGTH_HEADER):
        headers[_LENGTH_HEADER] = length
    told: dict[str, Any] = {"model_name": response.model_name, "model_version": response.model_version}
    if response.id is not None:
        told["id"] = response.id
    told["parameters"] = {
        "output_uri": keep(answer.body, answer.content_type),
        "output_bytes": len(answer.body),
        "output_headers": headers,
        "output_expires_s": OUTPUT_LIFE_S,
    }
    # The address is as good as a key, for as long as it lives.
    return HttpResponse(200, orjson.dumps({**told, "outputs": []}), {"cache-control": "no-store"})
