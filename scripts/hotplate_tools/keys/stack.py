"""A deployed stack, as the commands about its callers need it: its tables, and its API's usage plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hotplate.aws.key_table import KeyTable
from hotplate.aws.ledger import Ledger
from hotplate.aws.webhook_secrets import WebhookSecrets

if TYPE_CHECKING:
    from hotplate_tools.deployed import DeployedStack

__all__ = ["CallersOfStack", "callers_of"]


@dataclass(frozen=True, slots=True)
class CallersOfStack:
    """Where a stack keeps its callers.

    Attributes:
        name: Of the stack.
        table: Its keys and tenants.
        ledger: What these used.
        webhooks: What their webhooks are signed with.
        gateway: Client of API Gateway.
        api, stage: Of its REST API.
    """

    name: str
    table: KeyTable
    ledger: Ledger
    webhooks: WebhookSecrets
    gateway: Any
    api: str
    stage: str


def callers_of(stack: DeployedStack) -> CallersOfStack:
    """Return the callers of a stack.

    Raises:
        FailedError: There is no such stack, or it has no keys (of an older hotplate).
    """
    outputs = stack.outputs("ApiUrl", "KeyTableName", "LedgerTableName")
    address = urlsplit(outputs["ApiUrl"])
    tables = stack.client("dynamodb")
    return CallersOfStack(
        name=stack.name,
        table=KeyTable(tables, outputs["KeyTableName"]),
        ledger=Ledger(tables, outputs["LedgerTableName"]),
        webhooks=WebhookSecrets(tables, outputs["KeyTableName"]),
        gateway=stack.client("apigateway"),
        api=(address.hostname or "").split(".")[0],
        stage=address.path.strip("/"),
    )
