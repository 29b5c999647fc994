"""A deployed stack, as the commands about its callers need it: its tables, and its API's usage plans."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.clients import aws_client
from hotplate.aws.key_table import KeyTable
from hotplate.aws.ledger import Ledger
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate_tools.failures import FailedError
from hotplate_tools.local.deploy import client as local_client

__all__ = ["CallersOfStack", "callers_of", "outputs_of"]

_ADVICE = "Name it with --stack; --endpoint is for the local cloud, as `hotplate up` prints it."


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


def callers_of(stack: str, *, endpoint: str | None = None, region: str | None = None) -> CallersOfStack:
    """Return the callers of a stack.

    Args:
        stack: Its name.
        endpoint: Of the local cloud; None for AWS, or where the AWS settings lead.
        region: None takes the environment's or the profile's.

    Raises:
        FailedError: There is no such stack, or it has no keys (of an older hotplate).
    """

    def client(service: str) -> Any:
        return local_client(service, endpoint) if endpoint else aws_client(service, region=region)

    names = ("ApiUrl", "KeyTableName", "LedgerTableName")
    outputs = outputs_of(stack, *names, endpoint=endpoint, region=region)
    address = urlsplit(outputs["ApiUrl"])
    tables = client("dynamodb")
    return CallersOfStack(
        name=stack,
        table=KeyTable(tables, outputs["KeyTableName"]),
        ledger=Ledger(tables, outputs["LedgerTableName"]),
        webhooks=WebhookSecrets(tables, outputs["KeyTableName"]),
        gateway=client("apigateway"),
        api=(address.hostname or "").split(".")[0],
        stage=address.path.strip("/"),
    )


def outputs_of(
    stack: str, *names: str, endpoint: str | None = None, region: str | None = None
) -> dict[str, str]:
    """Return the outputs of a stack, those called `names` among them; the other arguments are as above.

    Raises:
        FailedError: There is no such stack, or it lacks one of them (of an older hotplate).
    """
    service = "cloudformation"
    client = local_client(service, endpoint) if endpoint else aws_client(service, region=region)
    try:
        described = client.describe_stacks(StackName=stack)["Stacks"][0]
    except (BotoCoreError, ClientError) as fault:
        raise FailedError(f"the stack {stack} cannot be read: {fault}", advice=_ADVICE) from fault
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    if missing := set(names) - set(outputs):
        raise FailedError(f"the stack {stack} has no output {', '.join(sorted(missing))}", advice=_ADVICE)
    return outputs
