"""Keys and tenants in their DynamoDB table.

| `pk` | holds |
|---|---|
| `key#<SHA-256>` | `tenant`, `scopes`, `created`, `expires`, `revoked`, `note` |
| `tenant#<name>` | `usage_key`, `rate`, `burst`, `quota`, `budget_nano_usd` |

Reads are consistent: what was revoked is revoked for the next read, wherever it runs.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from hotplate.aws.faults import table_faults
from hotplate.errors import StoreConflictError, StoreNotFoundError
from hotplate.tenants.keys import Key, Tenant, read_scopes

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["KeyTable"]


class KeyTable:
    """The table `name`, reached by a client of DynamoDB."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def key(self, sha256: str) -> Key | None:
        """Return the key with this digest, None if there is none.

        Raises:
            StoreError: The table cannot be read.
        """
        item = self._item(f"key#{sha256}")
        return None if item is None else _key(item)

    def tenant(self, name: str) -> Tenant | None:
        """Return the tenant of this name, None if there is none.

        Raises:
            StoreError: The table cannot be read.
        """
        item = self._item(f"tenant#{name}")
        return None if item is None else _tenant(item)

    def all_keys(self) -> list[Key]:
        """Return all keys, oldest first.

        Raises:
            StoreError: The table cannot be read.
        """
        found = [_key(item) for item in self._items("key#")]
        return sorted(found, key=lambda key: (key.created, key.sha256))

    def tenants(self) -> list[Tenant]:
        """Return all tenants, by name.

        Raises:
            StoreError: The table cannot be read.
        """
        return sorted((_tenant(item) for item in self._items("tenant#")), key=lambda each: each.name)

    def add_key(self, key: Key) -> None:
        """Keep a new key.

        Raises:
            StoreConflictError: It is there already.
            StoreError: The table cannot be written.
        """
        item = {
            "pk": f"key#{key.sha256}",
            "tenant": key.tenant,
            "scopes": str(key.scopes),
            "created": key.created,
            "expires": key.expires,
            "revoked": key.revoked,
            "note": key.note,
        }
        self._put(item, ConditionExpression="attribute_not_exists(pk)")

    def put_tenant(self, tenant: Tenant) -> None:
        """Keep a tenant, new or changed.

        Raises:
            StoreError: The table cannot be written.
        """
        item = {
            "pk": f"tenant#{tenant.name}",
            "usage_key": tenant.usage_key,
            "rate": Decimal(str(tenant.rate)),
            "burst": tenant.burst,
            "quota": tenant.quota,
            "budget_nano_usd": tenant.budget_nano_usd,
        }
        self._put(item)

    def revoke(self, sha256: str, at: int) -> None:
        """Refuse the key from `at`, seconds since 1970; a key that is revoked earlier stays so.

        Raises:
            StoreNotFoundError: There is no such key.
            StoreError: The table cannot be written.
        """
        with table_faults(self._name):
            try:
                self._client.update_item(
                    TableName=self._name,
                    Key={"pk": {"S": f"key#{sha256}"}},
                    UpdateExpression="SET revoked = :at",
                    ConditionExpression="attribute_exists(pk) AND "
                    "(attribute_not_exists(revoked) OR revoked > :at)",
                    ExpressionAttributeValues={":at": {"N": str(at)}},
                )
            except self._client.exceptions.ConditionalCheckFailedException:
                if self._item(f"key#{sha256}") is None:
                    raise StoreNotFoundError(f"no key {sha256}") from None

    def _item(self, pk: str) -> dict[str, Any] | None:
        with table_faults(self._name):
            answer = self._client.get_item(TableName=self._name, Key={"pk": {"S": pk}}, ConsistentRead=True)
        return _plain(answer["Item"]) if "Item" in answer else None

    def _items(self, prefix: str) -> Iterator[dict[str, Any]]:
        with table_faults(self._name):
            pages = self._client.get_paginator("scan").paginate(
                TableName=self._name,
                ConsistentRead=True,
                FilterExpression="begins_with(pk, :prefix)",
                ExpressionAttributeValues={":prefix": {"S": prefix}},
            )
            for page in pages:
                yield from map(_plain, page["Items"])

    def _put(self, item: dict[str, Any], **condition: str) -> None:
        known = {name: TypeSerializer().serialize(value) for name, value in item.items() if value is not None}
        with table_faults(self._name):
            try:
                self._client.put_item(TableName=self._name, Item=known, **condition)
            except self._client.exceptions.ConditionalCheckFailedException as fault:
                raise StoreConflictError(f"{item['pk'].partition('#')[0]} is there already") from fault


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    return {name: TypeDeserializer().deserialize(value) for name, value in item.items()}


def _number(item: dict[str, Any], name: str) -> int | None:
    return int(item[name]) if name in item else None


def _key(item: dict[str, Any]) -> Key:
    return Key(
        sha256=item["pk"].removeprefix("key#"),
        tenant=item["tenant"],
        scopes=read_scopes(item["scopes"].split()),
        created=int(item["created"]),
        expires=_number(item, "expires"),
        revoked=_number(item, "revoked"),
        note=item.get("note", ""),
    )


def _tenant(item: dict[str, Any]) -> Tenant:
    return Tenant(
        name=item["pk"].removeprefix("tenant#"),
        usage_key=item["usage_key"],
        rate=float(item["rate"]),
        burst=int(item["burst"]),
        quota=_number(item, "quota"),
        budget_nano_usd=_number(item, "budget_nano_usd"),
    )
