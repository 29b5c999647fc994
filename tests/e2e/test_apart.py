"""Tenants whose environments are kept apart, and a model that takes too long, on the local cloud."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from hotplate.tenants.keys import read_scopes
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import create
from hotplate_tools.keys.stack import callers_of
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.up import LocalCloud

FUNCTION = "BreastCancerFunction"
INFER = "/v2/models/breast-cancer/infer"
# More steps than any machine makes in the time.
FOR_EVER = 10**15


@pytest.fixture(scope="module")
def tenants(keyed: LocalCloud) -> Mapping[str, str]:
    """Keys by tenant."""
    callers = callers_of(DeployedStack("hotplate", keyed.endpoint))
    return {
        name: create(callers, name, read_scopes(["*:*"])).secret for name in ("umbra", "penumbra", "late")
    }


def ask(cloud: LocalCloud, path: str, body: bytes, key: str, **headers: str) -> Answer:
    return call(cloud.url, "POST", path, body, {"x-api-key": key, **headers})


def usage_lines(cloud: LocalCloud, function: str, tenant: str, count: int) -> list[dict[str, Any]]:
    """Return a function's usage lines of a tenant, as soon as there are so many."""
    deadline = time.monotonic() + 30
    while True:
        found = [json.loads(line) for line in cloud.logs(function) if '"hotplate":"usage"' in line]
        own = [line for line in found if line["tenant"] == tenant]
        if len(own) >= count or time.monotonic() > deadline:
            return own
        time.sleep(0.5)


def rows(cloud: LocalCloud) -> bytes:
    return json.dumps(example(cloud)).encode()


def example(cloud: LocalCloud) -> dict[str, Any]:
    features = next(
        each
        for each in call_metadata(cloud)["inputs"]
        if each["datatype"] == "FP32" and len(each["shape"]) == 2
    )
    shape = [1, features["shape"][1]]
    tensor = {"name": features["name"], "datatype": "FP32", "shape": shape, "data": [0.5] * shape[1]}
    return {"inputs": [tensor]}


def call_metadata(cloud: LocalCloud) -> dict[str, Any]:
    answer = call(cloud.url, "GET", "/v2/models/breast-cancer", None, {"x-api-key": cloud.key or ""})
    assert answer.status == 200, answer.body
    found: dict[str, Any] = answer.json()
    return found


def test_each_tenant_has_an_environment_of_its_own(keyed: LocalCloud, tenants: Mapping[str, str]) -> None:
    body = rows(keyed)
    for _ in range(2):
        for tenant in ("umbra", "penumbra"):
            answer = ask(keyed, INFER, body, tenants[tenant], **{"x-amz-tenant-id": "umbra"})
            assert answer.status == 200, answer.body
    for tenant in ("umbra", "penumbra"):
        lines = usage_lines(keyed, FUNCTION, tenant, 2)
        # A process of another tenant's would not have been cold when this one came first.
        assert [line["cold"] for line in lines] == [True, False], tenant


def test_who_hands_requests_on_names_the_tenant(keyed: LocalCloud, tenants: Mapping[str, str]) -> None:
    sent = example(keyed)
    (tensor,) = sent["inputs"]
    instances = json.dumps({"instances": [{tensor["name"]: tensor["data"]}]}).encode()
    answer = ask(keyed, "/v1/models/breast-cancer:predict", instances, tenants["umbra"])
    assert answer.status == 200, answer.body
    accepted = ask(keyed, INFER, json.dumps(sent).encode(), tenants["umbra"], prefer="respond-async")
    assert accepted.status == 202, accepted.body
    place, deadline = accepted.headers["location"], time.monotonic() + 60
    state: dict[str, Any] = {}
    while state.get("state") not in ("succeeded", "failed") and time.monotonic() < deadline:
        time.sleep(0.5)
        state = call(keyed.url, "GET", place, None, {"x-api-key": tenants["umbra"]}).json()
    assert state["state"] == "succeeded", state


def test_lambda_is_called_for_one_tenant_and_that_is_the_callers(keyed: LocalCloud) -> None:
    functions, name = keyed.client("lambda"), keyed.functions[FUNCTION]
    event = {
        "httpMethod": "GET",
        "path": "/v2/models/breast-cancer/ready",
        "headers": {},
        "requestContext": {"authorizer": {"tenant": "umbra", "scopes": "*:*"}},
    }

    def ready(**tenant: str) -> dict[str, Any]:
        answer = functions.invoke(FunctionName=name, Qualifier="live", Payload=json.dumps(event), **tenant)
        result: dict[str, Any] = json.loads(answer["Payload"].read())
        return result

    with pytest.raises(ClientError, match="requires a tenant ID"):
        ready()
    assert ready(TenantId="umbra")["statusCode"] == 200
    foreign = ready(TenantId="penumbra")
    assert (foreign["statusCode"], json.loads(foreign["body"])["title"]) == (500, "tenant mismatch")
    with pytest.raises(ClientError, match="does not isolate tenants"):
        functions.invoke(FunctionName=keyed.functions["DigitsFunction"], Payload="{}", TenantId="umbra")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/v2/models/slow/infer",
            {"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [FOR_EVER]}]},
        ),
        ("/v1/models/slow:predict", {"instances": [FOR_EVER]}),
    ],
    ids=["direct", "relay"],
)
def test_model_that_takes_longer_than_it_may_is_504_metered_and_fit_for_the_next(
    keyed: LocalCloud, tenants: Mapping[str, str], path: str, body: Any
) -> None:
    before = usage_lines(keyed, "SlowFunction", "late", 0)
    started = time.monotonic()
    answer = ask(keyed, path, json.dumps(body).encode(), tenants["late"])
    took_s, told = time.monotonic() - started, answer.json()
    assert (answer.status, told["type"]) == (504, "urn:hotplate:error:StepTimeoutError")
    assert told["error"].startswith("the model took more than 5 s and was stopped")
    assert took_s < 20, "the gateway did not have to give up"
    soon = json.dumps({"inputs": [{"name": "x", "datatype": "INT64", "shape": [1], "data": [2]}]}).encode()
    assert ask(keyed, "/v2/models/slow/infer", soon, tenants["late"]).status == 200
    late, next_one = usage_lines(keyed, "SlowFunction", "late", len(before) + 2)[len(before) :]
    assert (late["status"], late["rows"], late["model"]) == (504, 1, "slow")
    assert late["ms"] >= 5000
    assert late["nano_usd"] > 0
    assert (next_one["status"], next_one["cold"]) == (200, False), "the process went on"
