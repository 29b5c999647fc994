"""A model that names a fallback, on the local cloud: who answers, and what is metered.

`doubled` takes two rows at most; `doubled-large`, of the same signature, stands in for it.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from hotplate.tenants.keys import read_scopes
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import create
from hotplate_tools.keys.stack import callers_of
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate_tools.local.up import LocalCloud

INFER, PREDICT = "/v2/models/doubled/infer", "/v1/models/doubled:predict"


@pytest.fixture(scope="module")
def key(keyed: LocalCloud) -> str:
    """A key for `doubled` alone."""
    callers = callers_of(DeployedStack("hotplate", keyed.endpoint))
    return create(callers, "soylent", read_scopes(["*:doubled"])).secret


@pytest.fixture
def busy(keyed: LocalCloud) -> Iterator[None]:
    """Nothing may run `doubled`: what Lambda answers when all its environments are taken."""
    client, name = keyed.client("lambda"), keyed.functions["DoubledFunction"]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    yield
    client.delete_function_concurrency(FunctionName=name)


def ask(cloud: LocalCloud, key: str, rows: int, path: str = INFER) -> Answer:
    x = {"name": "x", "datatype": "FP32", "shape": [rows, 3], "data": [1.0, 2.0, 3.0] * rows}
    body = {"instances": [[1.0, 2.0, 3.0]] * rows} if path == PREDICT else {"inputs": [x]}
    return call(cloud.url, "POST", path, json.dumps(body).encode(), {"x-api-key": key})


def lines_of(cloud: LocalCloud, function: str, tenant: str) -> list[dict[str, Any]]:
    found = [json.loads(each) for each in cloud.logs(function) if '"hotplate":"usage"' in each]
    return [each for each in found if each["tenant"] == tenant]


@pytest.mark.parametrize("path", [INFER, PREDICT])
def test_model_answers_what_it_takes_and_its_fallback_what_it_does_not(
    keyed: LocalCloud, key: str, path: str
) -> None:
    own, other = (ask(keyed, key, rows, path) for rows in (2, 3))
    assert (own.status, other.status) == (200, 200), other.body
    assert "hotplate-fallback" not in own.headers
    assert other.headers["hotplate-fallback"] == "doubled-large; reason=rows"
    if path == INFER:
        told = [each.json()["model_name"] for each in (own, other)]
        assert told == ["doubled", "doubled-large"]
        assert other.json()["outputs"][0]["data"] == [2.0, 4.0, 6.0] * 3
    else:
        assert len(other.json()["predictions"]) == 3


def test_busy_model_has_its_fallback_and_one_that_has_none_does_not(
    keyed: LocalCloud, key: str, busy: None
) -> None:
    answer = ask(keyed, key, 1)
    assert (answer.status, answer.headers.get("hotplate-fallback")) == (200, "doubled-large; reason=overload")
    version = keyed.client("lambda").get_function_configuration(
        FunctionName=keyed.functions["DoubledFunction"]
    )["Environment"]["Variables"]["HOTPLATE_VERSION"]
    # Who names a version means that one.
    assert ask(keyed, key, 1, f"/v2/models/doubled/versions/{version}/infer").status == 429


def test_caller_needs_a_key_for_the_model_asked_and_for_no_other(keyed: LocalCloud, key: str) -> None:
    assert ask(keyed, key, 1, "/v2/models/doubled-large/infer").status == 403
    assert ask(keyed, key, 1, "/v2/models/digits/infer").status == 403
    assert ask(keyed, key, 3).status == 200


def test_request_is_counted_once_and_says_whom_it_asked(keyed: LocalCloud) -> None:
    callers = callers_of(DeployedStack("hotplate", keyed.endpoint))
    key = create(callers, "vandelay", read_scopes(["*:doubled", "usage:*"])).secret
    assert ask(keyed, key, 3).status == 200
    ends = time.monotonic() + 60
    while not (lines := lines_of(keyed, "DoubledLargeFunction", "vandelay")):
        assert time.monotonic() < ends
        time.sleep(0.5)
    (line,) = lines
    assert (line["model"], line["asked"], line["requests"], line["status"]) == (
        "doubled-large", "doubled", 0, 200,
    )  # fmt: skip
    (refused,) = lines_of(keyed, "DoubledFunction", "vandelay")
    assert (refused["model"], refused["status"], "asked" in refused) == ("doubled", 400, False)
    month = time.strftime("%Y-%m", time.gmtime())
    while callers.ledger.spent("vandelay", month).nano_usd < line["nano_usd"] + refused["nano_usd"]:
        assert time.monotonic() < ends
        time.sleep(0.5)
    assert callers.ledger.spent("vandelay", month).requests == 1


def test_catalogue_and_metadata_say_who_stands_in(keyed: LocalCloud) -> None:
    assert keyed.key
    headers = {"x-api-key": keyed.key}
    told = call(keyed.url, "GET", "/v2/models/doubled", None, headers).json()["parameters"]
    assert (told["fallback"], told["max_rows"]) == ("doubled-large", 2)
    assert call(keyed.url, "GET", "/v1/models/doubled", None, headers).json()["fallback"] == "doubled-large"
