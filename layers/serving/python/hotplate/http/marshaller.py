"""Lambda's events and results as JSON: orjson in the place of the runtime client's simplejson.

awslambdaric reads each event and writes each result with simplejson, before and after the handler. It lets a
function bring another marshaller as an attribute of its client's class. What orjson refuses (lone surrogates,
a Decimal) goes on to the client's own, so that nothing which Lambda takes is turned away here. An integer
beyond 64 bits comes as a float; API Gateway's events have none, and a caller's body is text in them.

Source: awslambdaric, `lambda_runtime_client.BaseLambdaRuntimeClient.marshaller`.
"""

from __future__ import annotations

import sys
from typing import Any, Protocol

import orjson

__all__ = ["Marshaller", "install_marshaller"]

_JSON = "application/json"


class Marshaller(Protocol):
    """What awslambdaric asks for."""

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:
        """Return the event."""

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:
        """Return the result as it travels, and its content type."""


class OrjsonMarshaller:
    """orjson first, the client's own marshaller for what is left."""

    def __init__(self, own: Marshaller) -> None:
        """Keep the client's own."""
        self._own = own

    def unmarshal_request(self, request: bytes, content_type: str = _JSON) -> Any:
        """Return the event.

        Raises:
            Exception: Whatever the client's own marshaller raises for what is no JSON.
        """
        if content_type == _JSON:
            try:
                return orjson.loads(request)
            except orjson.JSONDecodeError:
                pass  # the client's own is the judge
        return self._own.unmarshal_request(request, content_type)

    def marshal_response(self, response: Any) -> tuple[str | bytes, str]:
        """Return the result as it travels, and its content type.

        Raises:
            Exception: Whatever the client's own marshaller raises for what it cannot write.
        """
        try:
            return orjson.dumps(response), _JSON
        except orjson.JSONEncodeError:
            return self._own.marshal_response(response)


def install_marshaller() -> None:
    """Make Lambda's runtime client use orjson; elsewhere, where no such client runs, do nothing."""
    client = sys.modules.get("awslambdaric.lambda_runtime_client")
    # The class that holds it has got a base since; an even newer client may hold it nowhere.
    owner = getattr(client, "BaseLambdaRuntimeClient", None) or getattr(client, "LambdaRuntimeClient", None)
    own: Marshaller | None = getattr(owner, "marshaller", None)
    if owner is not None and own is not None and not isinstance(own, OrjsonMarshaller):
        owner.marshaller = OrjsonMarshaller(own)
