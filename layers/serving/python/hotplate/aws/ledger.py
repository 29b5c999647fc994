"""The ledger of what tenants used, in its DynamoDB table: every request once, however often its line comes.

| `pk` | `sk` | holds |
|---|---|---|
| `request#<id>` | `-` | that the request is counted; DynamoDB removes it after `MARK_S` |
| `tenant#<name>` | `day#<day>#<model>#<version>` | sums of a day |
| `tenant#<name>` | `month#<month>` | `requests` and `nano_usd` of a month, which the authoriser reads |

Rule kept: marks and sums are written in one transaction. A line that comes again finds its mark, one whose
transaction failed finds none, so sums are exact whatever is repeated, late, out of order or broken off.

Source: Amazon DynamoDB Developer Guide, "Managing complex workflows with transactions".
"""

from __future__ import annotations

import random
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from botocore.exceptions import ClientError

from hotplate.aws.faults import table_faults
from hotplate.errors import StoreUnavailableError
from hotplate.tenants.usage import day_of, month_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from hotplate.tenants.usage import Usage

__all__ = ["Ledger", "Row", "Spent"]

# Items of one transaction. Source: TransactWriteItems, "up to 100 action requests".
MAX_ITEMS = 100
# How long a mark is kept, in seconds: longer than a line may be on its way (SQS keeps what failed 14 days).
MARK_S = 40 * 86400
# Attempts at a transaction that others are in the way of, or that DynamoDB throttles, and the pauses between.
ATTEMPTS = 8
FIRST_PAUSE_S = 0.05
_PASSING = {"TransactionConflict", "ProvisionedThroughputExceeded", "ThrottlingError"}
_THROTTLED = {"ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException"}


class Spent(NamedTuple):
    """What a tenant used in a month: requests, and billionths of a USD."""

    requests: int = 0
    nano_usd: int = 0


class Row(NamedTuple):
    """What a tenant used of one version in one day; `counts` by name, as `Usage.counts` has them."""

    day: str
    model: str
    version: str
    counts: Mapping[str, int]


class Ledger:
    """The table `name`, reached by a client of DynamoDB."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def record(self, usages: Iterable[Usage]) -> int:
        """Count the requests that are not counted yet, and return how many these were.

        Raises:
            StoreUnavailableError: DynamoDB stayed throttled or broken; some may be counted. Do it again.
            StoreError: The table cannot be written.
        """
        left = list({usage.request_id: usage for usage in usages}.values())
        return sum(self._count(batch) for batch in _batches(left))

    def spent(self, tenant: str, month: str) -> Spent:
        """Return what the tenant used in the month `2026-11`.

        Raises:
            StoreError: The table cannot be read.
        """
        key = {"pk": {"S": f"tenant#{tenant}"}, "sk": {"S": f"month#{month}"}}
        with table_faults(self._name):
            item = self._client.get_item(TableName=self._name, Key=key).get("Item", {})
        return Spent(*(int(item.get(name, {"N": "0"})["N"]) for name in Spent._fields))

    def days(self, tenant: str, first: str, last: str) -> list[Row]:
        """Return what the tenant used from day `first` to and with day `last`, by day, model and version.

        Raises:
            StoreError: The table cannot be read.
        """
        with table_faults(self._name):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._name,
                KeyConditionExpression="pk = :tenant AND sk BETWEEN :first AND :last",
                ExpressionAttributeValues={
                    ":tenant": {"S": f"tenant#{tenant}"},
                    ":first": {"S": f"day#{first}#"},
                    ":last": {"S": f"day#{last}#\N{DELETE}"},  # after every name
                },
            )
            return [_row(item) for page in pages for item in page["Items"]]

    def _count(self, batch: Sequence[Usage]) -> int:
        """Count those of the batch that are new; return how many."""
        new, pause = list(batch), FIRST_PAUSE_S
        for attempt in range(ATTEMPTS):
            if not new:
                return 0
            codes = self._write(new)
            if codes is None:
                return len(new)
            counted = [code == "ConditionalCheckFailed" for code in codes[: len(new)]]
            if not any(counted) and attempt < ATTEMPTS - 1:
                # Not all at once again: whoever was in the way waits too.
                time.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - no secret
                pause *= 2
            new = [usage for usage, is_counted in zip(new, counted, strict=True) if not is_counted]
        raise StoreUnavailableError(f"dynamodb:{self._name}: {len(new)} requests could not be counted")

    def _write(self, new: Sequence[Usage]) -> list[str] | None:
        """Write marks and sums; return None, or what was in the way of each item of the transaction."""
        items = [*(self._mark(usage) for usage in new), *self._sums(new)]
        with table_faults(self._name):
            try:
                self._client.transact_write_items(TransactItems=items)
            except self._client.exceptions.TransactionCanceledException as fault:
                reasons = fault.response.get("CancellationReasons") or []
                codes = [str(reason.get("Code")) for reason in reasons]
                if not (_PASSING | {"ConditionalCheckFailed"}) & set(codes):
                    raise
                return codes
            except ClientError as fault:
                if fault.response["Error"]["Code"] not in _THROTTLED:
                    raise
                return ["ThrottlingError"] * len(items)
        return None

    def _mark(self, usage: Usage) -> dict[str, Any]:
        item = {
            "pk": {"S": f"request#{usage.request_id}"},
            "sk": {"S": "-"},
            "gone_at": {"N": str(int(time.time()) + MARK_S)},
        }
        return {
            "Put": {
                "TableName": self._name,
                "Item": item,
                "ConditionExpression": "attribute_not_exists(pk)",
            }
        }

    def _sums(self, usages: Sequence[Usage]) -> Iterator[dict[str, Any]]:
        for (tenant, sk), counts in _sums(usages).items():
            names = {f"#{index}": name for index, name in enumerate(counts)}
            yield {
                "Update": {
                    "TableName": self._name,
                    "Key": {"pk": {"S": f"tenant#{tenant}"}, "sk": {"S": sk}},
                    "UpdateExpression": "ADD " + ", ".join(f"{name} :{name[1:]}" for name in names),
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": {
                        f":{index}": {"N": str(value)} for index, value in enumerate(counts.values())
                    },
                }
            }


def _sums(usages: Iterable[Usage]) -> dict[tuple[str, str], Counter[str]]:
    """Return what is to be added to each item of sums, by tenant and sort key."""
    sums: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for usage in usages:
        counts = usage.counts()
        sums[usage.tenant, f"day#{day_of(usage.at)}#{usage.model}#{usage.version}"].update(counts)
        sums[usage.tenant, f"month#{month_of(usage.at)}"].update(
            {name: counts[name] for name in Spent._fields}
        )
    return sums


def _batches(usages: Sequence[Usage]) -> Iterator[list[Usage]]:
    """Yield them in parts whose marks and sums fit a transaction."""
    part: list[Usage] = []
    summed: set[tuple[str, str]] = set()
    for usage in usages:
        own = set(_sums([usage]))
        if len(part) + 1 + len(summed | own) > MAX_ITEMS:
            yield part
            part, summed = [], set()
        part.append(usage)
        summed |= own
    if part:
        yield part


def _row(item: Mapping[str, Any]) -> Row:
    _, day, model, version = item["sk"]["S"].split("#", 3)
    counts = {name: int(value["N"]) for name, value in item.items() if name not in ("pk", "sk")}
    return Row(day, model, version, counts)
