"""What the ledger needs of DynamoDB, in memory: moto copies whole tables for every transaction.

The same tests of the ledger hold for it and for moto (`tests/integration/keys/test_ledger.py`).
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CancelledError", "MemoryDynamodb"]


class CancelledError(ClientError):
    """A transaction that was not done."""

    def __init__(self, *codes: str) -> None:
        body: Any = {
            "Error": {"Code": "TransactionCanceledException", "Message": "no"},
            "CancellationReasons": [{"Code": code} for code in codes],
        }
        super().__init__(body, "TransactWriteItems")


class MemoryDynamodb:
    """One table with the keys `pk` and `sk`."""

    exceptions = SimpleNamespace(TransactionCanceledException=CancelledError)

    def __init__(self) -> None:
        self.items: dict[tuple[str, str], dict[str, Any]] = {}

    def transact_write_items(self, *, TransactItems: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: N803
        assert 0 < len(TransactItems) <= 100
        puts = [each["Put"] for each in TransactItems if "Put" in each]
        updates = [each["Update"] for each in TransactItems if "Update" in each]
        keys = [_key(each["Item"]) for each in puts] + [_key(each["Key"]) for each in updates]
        assert len(set(keys)) == len(keys), "a transaction may name an item once"
        codes = ["ConditionalCheckFailed" if _key(each["Item"]) in self.items else "None" for each in puts]
        if "ConditionalCheckFailed" in codes:
            raise CancelledError(*codes, *["None"] * len(updates))
        for put in puts:
            self.items[_key(put["Item"])] = put["Item"]
        for update in updates:
            item = self.items.setdefault(_key(update["Key"]), dict(update["Key"]))
            for part in update["UpdateExpression"].removeprefix("ADD ").split(", "):
                name, value = part.split()
                attribute = update["ExpressionAttributeNames"][name]
                added = int(update["ExpressionAttributeValues"][value]["N"])
                item[attribute] = {"N": str(int(item.get(attribute, {"N": "0"})["N"]) + added)}
        return {}

    def get_item(self, *, TableName: str, Key: dict[str, Any]) -> dict[str, Any]:  # noqa: N803
        item = self.items.get(_key(Key))
        return {"Item": item} if item else {}

    def get_paginator(self, name: str) -> MemoryDynamodb:
        assert name == "query"
        return self

    def paginate(self, **arguments: Any) -> Iterator[dict[str, Any]]:
        values = arguments["ExpressionAttributeValues"]
        tenant, first, last = (values[name]["S"] for name in (":tenant", ":first", ":last"))
        for (pk, sk), item in sorted(self.items.items()):
            if pk == tenant and first <= sk <= last:
                yield {"Items": [item]}


def _key(item: dict[str, Any]) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]
