"""Lines of logs, as CloudWatch delivers them, to usages.

A delivery comes straight from a log's subscription, or, after it failed, out of the queue of what failed:
then it lies in the record that Lambda writes of an invocation. It may come twice, late, and in any order.

Source: CloudWatch Logs User Guide, "Subscription filters with AWS Lambda"; AWS Lambda Developer Guide,
"Adding a destination", "Invocation record format".
"""

from __future__ import annotations

import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

from hotplate.tenants.usage import read_usage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.tenants.usage import Usage

__all__ = ["failed_deliveries", "is_delivery", "usages_in"]


def is_delivery(event: Mapping[str, Any]) -> bool:
    """Return whether an event is a delivery of a log's subscription."""
    return "awslogs" in event


def failed_deliveries(event: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the deliveries in an event of the queue of what failed, by message id."""
    return {
        record["messageId"]: json.loads(record["body"])["requestPayload"]
        for record in event.get("Records", ())
        if record.get("eventSource") == "aws:sqs"
    }


def usages_in(delivery: Mapping[str, Any]) -> list[Usage]:
    """Return the usages in a delivery, in its order; other lines are passed over."""
    data = json.loads(gzip.decompress(base64.b64decode(delivery["awslogs"]["data"])))
    if data["messageType"] != "DATA_MESSAGE":  # a test that the subscription reaches us
        return []
    found = (read_usage(each["message"]) for each in data["logEvents"])
    return [usage for usage in found if usage is not None]
