"""Every kind of caller at every route of the template, on the local cloud, and what is billed after."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from hotplate.tenants.keys import Key, digest_of, new_key, read_scopes
from hotplate.tenants.usage import Usage
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import Limits, create
from hotplate_tools.keys.stack import CallersOfStack, callers_of
from tests.support.callers import ROUTES
from tests.support.http_call import Answer, call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.up import LocalCloud

PIXELS = {"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0.0] * 784}
REQUEST = json.dumps({"inputs": [PIXELS], "outputs": [{"name": "digit"}]}).encode()
# Of the models' routes those of two, one inside the scopes of `digits only` and one outside: the others have
# the same form. The unit tests ask the authoriser about all.
ASKED = [
    (
        route.method,
        route.resource.replace("{version}", "1").replace("{proxy+}", "models/nope").replace("{id}", "none"),
    )
    for route in ROUTES
    if not route.resource.startswith("/v2/models/") or route.resource.split("/")[3] in ("digits", "spam")
]
# One of each function and method; who is refused as nobody is so before the route is looked at, and the tests
# of the authoriser ask it about all routes and all callers.
SOME = [
    ("POST", "/v2/models/digits/infer"),
    ("GET", "/v2/models/spam"),
    ("POST", "/v2/models/nope"),
    ("POST", "/v1/models/nope"),
    ("GET", "/usage"),
]


@pytest.fixture(scope="module")
def callers(keyed: LocalCloud) -> CallersOfStack:
    return callers_of(DeployedStack("hotplate", keyed.endpoint))


@pytest.fixture(scope="module")
def credentials(callers: CallersOfStack) -> Mapping[str, str | None]:
    now = int(time.time())
    everything = read_scopes(["*:*"])
    made: dict[str, str | None] = {
        "no key": None,
        "wrong": new_key(),
        "good": create(callers, "acme", everything).secret,
        "digits only": create(callers, "globex", read_scopes(["*:digits"])).secret,
        # A tenant of one test: what others ask reaches the ledger when it likes.
        "counted": create(callers, "initech", everything).secret,
    }
    revoked, expired = new_key(), new_key()
    callers.table.add_key(Key(digest_of(revoked), "acme", everything, 1, revoked=now - 1))
    callers.table.add_key(Key(digest_of(expired), "acme", everything, 1, expires=now - 1))
    made |= {"revoked": revoked, "expired": expired}
    limits = {
        "over rate": Limits(rate=0.001, burst=1),
        "over quota": Limits(quota=1),
        "over budget": Limits(budget_usd=0.000001),
    }
    for name, given in limits.items():
        tenant = name.replace(" ", "-")
        made[name] = create(callers, tenant, everything, limits=given).secret
        callers.ledger.record([spent(tenant, now)])
    return made


def spent(tenant: str, now: float) -> Usage:
    return Usage(f"before-{tenant}", now, tenant, "digits", "1", 200, 1, 1, 1, 1, 0, 5000, False)


def ask(cloud: LocalCloud, method: str, path: str, key: str | None) -> Answer:
    headers = {"x-api-key": key} if key else {}
    return call(cloud.url, method, path, REQUEST if method == "POST" else None, headers)


def test_some_are_among_the_routes() -> None:
    assert set(SOME) <= set(ASKED)


@pytest.mark.parametrize(
    ("caller", "route"),
    [
        *(("no key", route) for route in ASKED),
        *((caller, route) for caller in ("wrong", "revoked", "expired") for route in SOME),
    ],
    ids=str,
)
def test_who_is_nobody_gets_401_everywhere(
    keyed: LocalCloud, credentials: Mapping[str, str | None], caller: str, route: tuple[str, str]
) -> None:
    answer = ask(keyed, *route, credentials[caller])
    body = json.loads(answer.body)
    assert (answer.status, body["type"], body["status"]) == (401, "urn:hotplate:error:Unauthorized", 401)


@pytest.mark.parametrize("route", ASKED, ids=" ".join)
def test_tenant_sees_nothing_beyond_its_scopes(
    keyed: LocalCloud, credentials: Mapping[str, str | None], route: tuple[str, str]
) -> None:
    answer = ask(keyed, *route, credentials["digits only"])
    _method, path = route
    if path.startswith("/v2/models/spam"):
        assert (answer.status, json.loads(answer.body)["status"]) == (403, 403)
    elif path.startswith("/v2/models/nope"):
        assert answer.status == 404
    for other in ("spam", "acme", "nile"):
        assert other.encode() not in answer.body, (route, answer.body)


@pytest.mark.parametrize("path", ["/v1/models/spam", "/v1/models/nope"])
def test_model_of_another_is_as_if_it_were_not_there(
    keyed: LocalCloud, credentials: Mapping[str, str | None], path: str
) -> None:
    answer = ask(keyed, "GET", path, credentials["digits only"])
    name = path.rpartition("/")[2]
    assert answer.status == 404
    assert json.loads(answer.body)["error"]["message"] == f"unknown model {name!r}; this server has: digits"


@pytest.mark.parametrize("route", ASKED, ids=" ".join)
@pytest.mark.parametrize(("caller", "status"), [("over quota", 429), ("over budget", 402)])
def test_month_that_is_used_up_is_refused_everywhere_but_at_usage_and_for_jobs_that_are_there(
    keyed: LocalCloud,
    credentials: Mapping[str, str | None],
    caller: str,
    status: int,
    route: tuple[str, str],
) -> None:
    answer = ask(keyed, *route, credentials[caller])
    if route[1] == "/usage":
        assert answer.status == 200
        assert json.loads(answer.body)["total"]["requests"] >= 1
        return
    if route in (("GET", "/jobs/none"), ("DELETE", "/jobs/none")):
        assert answer.status == 404, "what was accepted and counted can be fetched"
        return
    assert (answer.status, json.loads(answer.body)["status"]) == (status, status)
    assert b"the month's" in answer.body


def test_rate_that_is_passed_is_429_of_the_gateway(
    keyed: LocalCloud, credentials: Mapping[str, str | None]
) -> None:
    statuses = [ask(keyed, "GET", "/v2", credentials["over rate"]) for _ in range(3)]
    assert [each.status for each in statuses] == [200, 429, 429]
    assert statuses[1].headers["retry-after"] == "1"
    assert ask(keyed, "GET", "/v2", credentials["good"]).status == 200, "another tenant's rate is its own"


def test_upload_of_one_tenant_is_closed_to_another(
    keyed: LocalCloud, credentials: Mapping[str, str | None]
) -> None:
    def post(path: str, body: Any, caller: str) -> Answer:
        headers = {"x-api-key": credentials[caller] or ""}
        return call(keyed.url, "POST", path, json.dumps(body).encode(), headers)

    pixels = bytes(4 * 784)
    asked = {"size": len(pixels), "content_type": "application/octet-stream"}
    given = post("/uploads", asked, "good").json()
    assert "/uploads/acme/" in given["input_uri"]
    address = urlsplit(given["upload_url"])
    put = call(
        f"{address.scheme}://{address.netloc}",
        "PUT",
        f"{address.path}?{address.query}",
        pixels,
        given["headers"],
    )
    assert put.status == 200
    tensor = {name: PIXELS[name] for name in ("name", "datatype", "shape")}
    request = {"inputs": [tensor | {"parameters": {"input_uri": given["input_uri"]}}]}
    answers = {
        caller: post("/v2/models/digits/infer", request, caller).status for caller in ("good", "digits only")
    }
    assert answers == {"good": 200, "digits only": 403}


def test_what_is_asked_is_in_the_ledger_soon_after(
    keyed: LocalCloud, credentials: Mapping[str, str | None]
) -> None:
    for _ in range(3):
        answer = ask(keyed, "POST", "/v2/models/digits/infer", credentials["counted"])
        assert answer.status == 200
    deadline = time.monotonic() + 30
    found: dict[str, Any] = {}
    while time.monotonic() < deadline and found.get("rows") != 3:
        report = json.loads(ask(keyed, "GET", "/usage?model=digits", credentials["counted"]).body)
        found = report["total"]
        time.sleep(0.5)
    assert (found["requests"], found["rows"], found["errors"]) == (3, 3, 0)
    assert found["usd"] > 0
    command = [
        sys.executable,
        "-m",
        "hotplate_tools.cli",
        "usage",
        "--tenant",
        "initech",
        "--model",
        "digits",
    ]
    told = subprocess.run(
        [*command, "--endpoint", keyed.endpoint, "--json"], check=True, capture_output=True, text=True
    )
    assert sum(row["requests"] for row in json.loads(told.stdout)["rows"]) == 3
