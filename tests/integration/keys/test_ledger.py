"""The ledger over a table (moto): every request once, however its line comes, and whatever DynamoDB does."""

from __future__ import annotations

import importlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from moto import mock_aws

from hotplate.aws import ledger as ledger_module
from hotplate.aws.ledger import Ledger
from hotplate.errors import StoreUnavailableError
from hotplate.tenants.usage import day_of, month_of, read_usage
from tests.support.callers import REGION, made_tables, tables
from tests.support.deliveries import delivery, mixed_lines
from tests.support.memory_dynamodb import CancelledError, MemoryDynamodb

TENANTS = ("acme", "globex", "initech", "-")
PERIOD = ("2026-11-01", "2026-12-31")


@dataclass
class Context:
    aws_request_id: str = "req-1"
    memory_limit_in_mb: str = "512"
    function_name: str = "usage"


@pytest.fixture(params=["moto", "memory"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryDynamodb()
        return
    with tables() as made:
        yield made.client


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function as Lambda imports it, over the template's tables."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("HOTPLATE_LEDGER_TABLE", "LedgerTable")
    with mock_aws():
        made_tables(boto3.client("dynamodb", REGION))
        import functions.usage.app as module

        yield importlib.reload(module)


def truth(lines: list[dict[str, Any]]) -> dict[tuple[str, str, str, str], Counter[str]]:
    """Return what the ledger has to hold, added up by other code than the ledger's."""
    sums: dict[tuple[str, str, str, str], Counter[str]] = {}
    for line in lines:
        key = (line["tenant"] or "-", day_of(line["at"]), line["model"] or "-", line["version"])
        own = sums.setdefault(key, Counter())
        own["requests"] += 1
        own["errors"] += line["status"] >= 400
        for name in ("cold", "rows", "bytes_in", "bytes_out", "billed_ms", "init_ms", "nano_usd"):
            own[name] += int(line[name])
    return sums


def held(ledger: Ledger) -> dict[tuple[str, str, str, str], Counter[str]]:
    return {
        (tenant, row.day, row.model, row.version): Counter(row.counts)
        for tenant in TENANTS
        for row in ledger.days(tenant, *PERIOD)
    }


def months_agree(ledger: Ledger, lines: list[dict[str, Any]]) -> bool:
    wanted = {
        (tenant, month): [
            line for line in lines if (line["tenant"] or "-", month_of(line["at"])) == (tenant, month)
        ]
        for tenant in TENANTS
        for month in ("2026-11", "2026-12")
    }
    return all(
        ledger.spent(*key) == (len(own), sum(line["nano_usd"] for line in own)) for key, own in wanted.items()
    )


def test_ledger_of_10000_requests_with_repeated_late_and_shuffled_deliveries_is_the_truth(
    app: ModuleType,
) -> None:
    vars(app)["_ledger"] = Ledger(MemoryDynamodb(), "LedgerTable")
    lines = mixed_lines(10_000)
    chance = random.Random(3)
    sent = lines + chance.sample(lines, 500)  # one in twenty comes twice
    chance.shuffle(sent)  # so is late, and out of order
    noise = ["START RequestId: x", "{", '{"hotplate": "cold"}', '{"hotplate": "usage"}', "[]"]
    parts = [sent[at : at + 250] for at in range(0, len(sent), 250)]
    counted = sum(app.lambda_handler(delivery([*part, *noise]), Context())["counted"] for part in parts)
    assert counted == len(lines)
    for part in chance.sample(parts, 2):  # whole deliveries again
        assert app.lambda_handler(delivery(part), Context()) == {"counted": 0}
    assert held(vars(app)["_ledger"]) == truth(lines)
    assert months_agree(vars(app)["_ledger"], lines)


class Faulty:
    """A client of which one transaction in `good` succeeds, or none; others fail before or after."""

    def __init__(
        self, client: Any, fault: Callable[[int], Exception], *, after: bool = False, good: int = 3
    ) -> None:
        self._client, self._fault, self._after, self._good = client, fault, after, good
        own = client.exceptions.TransactionCanceledException
        self.exceptions = SimpleNamespace(TransactionCanceledException=(CancelledError, own))
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def transact_write_items(self, **arguments: Any) -> Any:
        self.calls += 1
        fails = not self._good or self.calls % self._good
        if fails and not self._after:
            raise self._fault(len(arguments["TransactItems"]))
        done = self._client.transact_write_items(**arguments)
        if fails:
            raise self._fault(len(arguments["TransactItems"]))
        return done


@pytest.mark.parametrize(
    "fault",
    [
        lambda items: CancelledError(*["None"] * (items - 1), "TransactionConflict"),
        lambda items: CancelledError(*["ThrottlingError"] * items),
        lambda _: ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems"),
        lambda _: ClientError(
            {"Error": {"Code": "ProvisionedThroughputExceededException"}}, "TransactWriteItems"
        ),
    ],
    ids=["conflict", "throttled items", "throttled", "over the table's throughput"],
)
def test_ledger_survives_a_dynamodb_that_is_throttled(
    client: Any, monkeypatch: pytest.MonkeyPatch, fault: Callable[[int], Exception]
) -> None:
    monkeypatch.setattr(ledger_module, "FIRST_PAUSE_S", 0.0)
    lines = mixed_lines(60)
    ledger, faulty = Ledger(client, "LedgerTable"), Faulty(client, fault)
    usages = [usage for line in lines if (usage := read_usage(json.dumps(line)))]
    assert Ledger(faulty, "LedgerTable").record(usages + usages[:20]) == 60
    assert faulty.calls > 2
    assert held(ledger) == truth(lines)
    assert months_agree(ledger, lines)


def test_answer_that_is_lost_does_not_count_twice(client: Any) -> None:
    ledger = Ledger(client, "LedgerTable")
    lines = mixed_lines(40)
    usages = [usage for line in lines if (usage := read_usage(json.dumps(line)))]
    lost = Faulty(client, lambda _: ReadTimeoutError(endpoint_url="x"), after=True)
    with pytest.raises(StoreUnavailableError):
        Ledger(lost, "LedgerTable").record(usages)
    assert ledger.record(usages) == 0
    assert held(ledger) == truth(lines)


def test_delivery_that_cannot_be_counted_fails_and_is_counted_out_of_its_queue(
    app: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "FIRST_PAUSE_S", 0.0)
    lines = mixed_lines(20)
    event = delivery(lines)
    good = vars(app)["_ledger"]
    always = Faulty(good._client, lambda items: CancelledError(*["ThrottlingError"] * items), good=0)
    vars(app)["_ledger"] = Ledger(always, "LedgerTable")
    with pytest.raises(StoreUnavailableError):
        app.lambda_handler(event, Context())
    record = {"eventSource": "aws:sqs", "messageId": "m1", "body": json.dumps({"requestPayload": event})}
    assert app.lambda_handler({"Records": [record]}, Context()) == {
        "batchItemFailures": [{"itemIdentifier": "m1"}]
    }
    vars(app)["_ledger"] = good
    assert app.lambda_handler({"Records": [record, record]}, Context()) == {"batchItemFailures": []}
    assert held(good) == truth(lines)


def test_test_message_of_a_subscription_is_no_usage(app: ModuleType) -> None:
    assert app.lambda_handler(delivery(["x"], "CONTROL_MESSAGE"), Context()) == {"counted": 0}


def get(app: ModuleType, tenant: str | None, query: dict[str, str]) -> tuple[int, Any]:
    event = {
        "httpMethod": "GET",
        "path": "/usage",
        "headers": {},
        "queryStringParameters": query or None,
        "requestContext": {"authorizer": {"tenant": tenant, "scopes": "*:*"}} if tenant else {},
    }
    result = app.lambda_handler(event, Context())
    return result["statusCode"], json.loads(result["body"])


def test_tenant_is_told_its_own_usage_and_no_other(app: ModuleType) -> None:
    vars(app)["_ledger"] = Ledger(MemoryDynamodb(), "LedgerTable")
    lines = mixed_lines(400)
    app.lambda_handler(delivery(lines), Context())
    period = {"from": PERIOD[0], "to": PERIOD[1]}
    for tenant in TENANTS:
        own = [line for line in lines if (line["tenant"] or "-") == tenant]
        status, body = get(app, None if tenant == "-" else tenant, period)
        assert (status, body["tenant"], body["total"]["requests"]) == (200, tenant, len(own))
        assert body["total"]["usd"] == sum(line["nano_usd"] for line in own) / 1e9
        assert sum(row["requests"] for row in body["rows"]) == len(own)
    status, body = get(app, "acme", {"model": "spam", **period})
    assert {row["model"] for row in body["rows"]} == {"spam"}
    assert get(app, "nobody", period)[1]["rows"] == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"tenant": "globex"}, "from, to and model"),
        ({"from": "yesterday"}, "a day as 2026-11-24"),
        ({"from": "2026-12-01", "to": "2026-11-01"}, "a period"),
        ({"from": "2020-01-01", "to": "2026-11-01"}, "366 days"),
    ],
    ids=str,
)
def test_query_that_is_none_is_refused(app: ModuleType, query: dict[str, str], words: str) -> None:
    status, body = get(app, "acme", query)
    assert (status, body["type"]) == (400, "urn:hotplate:error:MalformedRequestError")
    assert words in body["error"]
