"""The tenants' webhook secrets, in the table of keys: one row a tenant, `webhook#<name>`.

While a secret is being replaced there are two, and what is sent is signed with both, so that a receiver takes
the new one into use when it likes. They are kept as they are, because signing needs them.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from hotplate.aws.faults import table_faults
from hotplate.tenants.webhooks import new_secret

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WebhookSecrets"]


class WebhookSecrets:
    """The secrets in the table `name`, reached by a client of DynamoDB; `now` gives seconds since 1970."""

    def __init__(self, client: Any, name: str, *, now: Callable[[], float] = time.time) -> None:
        self._client = client
        self._name = name
        self._now = now

    def of(self, tenant: str) -> list[str]:
        """Return the secrets that are good now, the newest first; none if none was made.

        Raises:
            StoreError: The table cannot be read.
        """
        with table_faults(self._name):
            item = self._client.get_item(TableName=self._name, Key=_key(tenant), ConsistentRead=True).get(
                "Item"
            )
        if item is None:
            return []
        is_good = "previous" in item and int(item["previous_until"]["N"]) > self._now()
        return [item["secret"]["S"], *([item["previous"]["S"]] if is_good else [])]

    def replace(self, tenant: str, *, overlap_s: int = 0) -> str:
        """Make a secret and return it; the one before is good for `overlap_s` more.

        Raises:
            StoreError: The table cannot be read or written.
        """
        before, secret = self.of(tenant), new_secret()
        item = {**_key(tenant), "secret": {"S": secret}}
        if before and overlap_s:
            until = int(self._now()) + overlap_s
            item |= {"previous": {"S": before[0]}, "previous_until": {"N": str(until)}}
        with table_faults(self._name):
            self._client.put_item(TableName=self._name, Item=item)
        return secret


def _key(tenant: str) -> dict[str, Any]:
    return {"pk": {"S": f"webhook#{tenant}"}}
