"""One conditional change of a row of a DynamoDB table: of two that are made at once one happens.

Source: Amazon DynamoDB Developer Guide, "Condition expressions", "Update expressions".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from boto3.dynamodb.types import TypeSerializer

from hotplate.aws.faults import table_faults
from hotplate.errors import StoreConflictError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["step_row"]

_WORD = re.compile(r"[:#]\w+")
_TO = TypeSerializer()


def step_row(
    client: Any,
    table: str,
    key: Mapping[str, Any],
    condition: str,
    *,
    known: Mapping[str, Any],
    changed: Mapping[str, Any],
    counted: str = "",
) -> dict[str, Any] | None:
    """Change a row and return all of it; None if the condition does not hold.

    Args:
        client: Of DynamoDB.
        table: Its name.
        key: Of the row, as DynamoDB writes it.
        condition: An expression; `:name` is a value of `known`, `#name` an attribute whose name is a word of
            DynamoDB's own.
        known: Values that the condition may name.
        changed: New values by attribute.
        counted: An attribute that is counted up by one; "" for none.

    Raises:
        StoreError: The table cannot be written.
    """
    words = _WORD.findall(condition)
    used = [word[1:] for word in words if word.startswith("#")]
    values = {f":{name}": value for name, value in known.items() if f":{name}" in words}
    values |= {f":to_{name}": value for name, value in changed.items()}
    update = "SET " + ", ".join(f"#{name} = :to_{name}" for name in changed)
    if counted:
        update, values[":one"] = f"{update} ADD {counted} :one", 1
    try:
        with table_faults(table):
            answer = client.update_item(
                TableName=table,
                Key=key,
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in {*changed, *used}},
                ExpressionAttributeValues={name: _TO.serialize(value) for name, value in values.items()},
                ReturnValues="ALL_NEW",
            )
    except StoreConflictError:
        return None
    found: dict[str, Any] = answer["Attributes"]
    return found
