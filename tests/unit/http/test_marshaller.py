"""Lambda's own runtime client with our marshaller: what it took before it takes still."""

from __future__ import annotations

import decimal
import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from awslambdaric import lambda_runtime_client
from awslambdaric.lambda_runtime_exception import FaultException
from awslambdaric.lambda_runtime_marshaller import LambdaMarshaller
from hypothesis import given
from hypothesis import strategies as st

from hotplate.http.marshaller import OrjsonMarshaller, install_marshaller

CLIENT = "awslambdaric.lambda_runtime_client"
OURS, OWN = OrjsonMarshaller(LambdaMarshaller()), LambdaMarshaller()

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


class Older:
    """A client from before the class got a base."""

    marshaller: Any = OWN


class Module:
    LambdaRuntimeClient = Older


class Stranger:
    """A client that keeps its marshaller elsewhere."""


@pytest.fixture
def client() -> Iterator[Any]:
    base = lambda_runtime_client.BaseLambdaRuntimeClient
    before = base.marshaller
    yield base
    base.marshaller = before


def test_real_client_gets_it_once(client: Any) -> None:
    install_marshaller()
    installed = client.marshaller
    install_marshaller()
    assert isinstance(installed, OrjsonMarshaller)
    assert client.marshaller is installed
    assert lambda_runtime_client.LambdaRuntimeClient.marshaller is installed


def test_older_client_gets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, CLIENT, Module)
    install_marshaller()
    assert isinstance(Older.marshaller, OrjsonMarshaller)


@pytest.mark.parametrize("module", [None, Stranger])
def test_without_a_known_client_nothing_happens(monkeypatch: pytest.MonkeyPatch, module: Any) -> None:
    monkeypatch.setitem(sys.modules, CLIENT, module)
    install_marshaller()
    assert not hasattr(Stranger, "marshaller")


@given(VALUES)
def test_events_are_read_as_before(value: Any) -> None:
    event = json.dumps(value).encode()
    assert repr(OURS.unmarshal_request(event)) == repr(OWN.unmarshal_request(event))


@given(st.dictionaries(st.text(), st.text() | st.integers(-(2**53), 2**53) | st.booleans()))
def test_results_are_read_by_the_caller_as_before(result: Any) -> None:
    written, content_type = OURS.marshal_response(result)
    assert content_type == "application/json"
    assert json.loads(written) == json.loads(OWN.marshal_response(result)[0])


@pytest.mark.parametrize("event", [b'{"a": "\\ud800"}', b'["\\udfff", 1]'])
def test_what_orjson_refuses_is_left_to_the_client(event: bytes) -> None:
    assert repr(OURS.unmarshal_request(event)) == repr(OWN.unmarshal_request(event))


def test_what_is_no_json_stays_the_clients_fault() -> None:
    with pytest.raises(FaultException, match="Unable to unmarshal input"):
        OURS.unmarshal_request(b"{")


def test_other_content_types_are_passed_on_unread() -> None:
    assert OURS.unmarshal_request(b"{}", "text/plain") == b"{}"


@pytest.mark.parametrize("result", [b"raw", {"a": decimal.Decimal("1.5")}, {"a": 2**70}])
def test_results_that_orjson_cannot_write_are_written_as_before(result: Any) -> None:
    assert OURS.marshal_response(result) == OWN.marshal_response(result)
