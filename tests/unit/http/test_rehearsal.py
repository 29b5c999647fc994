"""The rehearsal asks for what the first request will need, before the model is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate.http import rehearsal
from hotplate.http.endpoint import Endpoint
from hotplate.protocol.request import decode_request
from hotplate.protocol.response import encode_response

if TYPE_CHECKING:
    import pytest


def test_both_forms_are_read_and_answered_before_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    def decode(body: bytes, **arguments: Any) -> Any:
        decoded = decode_request(body, **arguments)
        seen.append(("read", arguments["header_length"] is not None, decoded.inputs[0].array.tolist()))
        return decoded

    def encode(response: Any) -> Any:
        seen.append(("answered", bool(response.binary)))
        return encode_response(response)

    def load() -> Any:
        seen.append("loaded")
        raise OSError

    monkeypatch.setattr(rehearsal, "decode_request", decode)
    monkeypatch.setattr(rehearsal, "encode_response", encode)
    Endpoint(load)
    assert seen == [
        ("read", False, [[1.0, 2.0]]),
        ("answered", False),
        ("read", True, [[0.0, 0.0]]),
        ("answered", True),
        "loaded",
    ]
