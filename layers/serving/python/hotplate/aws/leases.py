"""The endpoints of a stack on SageMaker, `STACK-gpu…`, and their leases, which are their tags.

| tag | meaning |
|---|---|
| `hotplate:stack` | whose it is; an endpoint without it is nobody's here and is not touched |
| `hotplate:deadline` | when it ends, `2026-12-01T18:00:00Z` |
| `hotplate:budget-usd`, `hotplate:usd-per-hour` | what it may cost in all, what one instance asks |
| `hotplate:spent-usd`, `hotplate:counted-at` | what was counted so far, and when last (seconds since 1970) |

No endpoint is without an end: one whose deadline is missing or cannot be read is past it, and a budget that
cannot be read is spent.

Source: Amazon SageMaker API Reference, "ListEndpoints", "DescribeEndpoint", "DeleteEndpoint", "AddTags".
"""

from __future__ import annotations

import math
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.faults import status_of
from hotplate.errors import StoreError, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["LeasedEndpoint", "Leases", "deadline_text"]

_DEADLINE = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class LeasedEndpoint:
    """One endpoint.

    Attributes:
        name, arn, status: SageMaker's.
        created: Seconds since 1970.
        instances: That run now, of all variants.
        tags: By name, those of the table above.
    """

    name: str
    arn: str
    status: str
    created: float
    instances: int
    tags: Mapping[str, str]

    @property
    def deadline(self) -> float | None:
        """When it ends, in seconds since 1970; None if no tag says it."""
        try:
            told = datetime.strptime(self.tags.get("hotplate:deadline", ""), _DEADLINE)
        except ValueError:
            return None
        return told.replace(tzinfo=UTC).timestamp()

    @property
    def budget_usd(self) -> float:
        """What it may cost in all; infinite if no tag says it."""
        return self._number("budget-usd", math.inf)

    @property
    def usd_per_hour(self) -> float:
        """What one instance asks."""
        return self._number("usd-per-hour", 0.0)

    def spent_usd(self, now: float) -> float:
        """Return about what it has cost until `now`, seconds since 1970."""
        hours = max(0.0, now - self._number("counted-at", self.created)) / 3600
        return self._number("spent-usd", 0.0) + hours * self.instances * self.usd_per_hour

    def why_over(self, now: float) -> str:
        """Return why its lease is over at `now`; "" while it is not."""
        text = self.tags.get("hotplate:deadline", "")
        if self.deadline is None:
            return f"its deadline is {text!r}, no time"
        if now >= self.deadline:
            return f"its deadline was {text}"
        spent = self.spent_usd(now)
        return f"{spent:.2f} USD of {self.budget_usd:.2f} are spent" if spent >= self.budget_usd else ""

    def _number(self, name: str, default: float) -> float:
        try:
            value = float(self.tags.get(f"hotplate:{name}", default))
        except ValueError:
            value = math.nan
        # What cannot be read must not keep an endpoint running: a budget of nothing is spent at once.
        return value if value >= 0 else 0.0


def deadline_text(at: float) -> str:
    """Return a time, in seconds since 1970, as the tag has it."""
    return datetime.fromtimestamp(at, UTC).strftime(_DEADLINE)


class Leases:
    """The endpoints of `stack`, reached by a client of SageMaker."""

    def __init__(self, client: Any, stack: str) -> None:
        self._client = client
        self._stack = stack

    def all(self) -> Iterator[LeasedEndpoint]:
        """Yield the stack's endpoints.

        Raises:
            StoreError: SageMaker does not tell.
        """
        for name, arn in self._named():
            with _faults(name):
                told = self._client.list_tags(ResourceArn=arn)["Tags"]
            tags = {tag["Key"]: tag["Value"] for tag in told if tag["Key"].startswith("hotplate:")}
            if tags.get("hotplate:stack") != self._stack:
                continue
            with _faults(name):
                found = self._client.describe_endpoint(EndpointName=name)
            variants = found.get("ProductionVariants") or []
            yield LeasedEndpoint(
                name,
                arn,
                found["EndpointStatus"],
                found["CreationTime"].timestamp(),
                sum(int(each.get("CurrentInstanceCount", 0)) for each in variants),
                tags,
            )

    def delete(self, endpoint: LeasedEndpoint) -> None:
        """Delete an endpoint; its configuration stays, so that another can be made of it.

        Raises:
            StoreError: SageMaker does not, now.
        """
        with _faults(endpoint.name):
            self._client.delete_endpoint(EndpointName=endpoint.name)

    def tag(self, endpoint: LeasedEndpoint, **tags: str) -> None:
        """Write tags: `spent_usd="1.5"` is `hotplate:spent-usd`.

        Raises:
            StoreError: SageMaker does not.
        """
        written = [
            {"Key": f"hotplate:{name.replace('_', '-')}", "Value": each} for name, each in tags.items()
        ]
        with _faults(endpoint.name):
            self._client.add_tags(ResourceArn=endpoint.arn, Tags=written)

    def _named(self) -> list[tuple[str, str]]:
        with _faults(self._stack):
            begin = f"{self._stack}-gpu"
            pages = self._client.get_paginator("list_endpoints").paginate(NameContains=begin)
            found = [
                (each["EndpointName"], each["EndpointArn"]) for page in pages for each in page["Endpoints"]
            ]
            # The tags of others may not even be read.
            return [each for each in found if each[0].startswith(begin)]


@contextmanager
def _faults(what: str) -> Iterator[None]:
    try:
        yield
    except ClientError as fault:
        code = fault.response.get("Error", {}).get("Code", "")
        kind = StoreUnavailableError if status_of(fault) >= 500 or "Throttl" in code else StoreError
        raise kind(f"sagemaker:{what}: {code}") from fault
    except BotoCoreError as fault:
        raise StoreUnavailableError(f"sagemaker:{what}: {fault}") from fault
