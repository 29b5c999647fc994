"""The authoriser of the REST API: an Allow for this one method and path, a Deny, or "Unauthorized".

API Gateway keeps none of its answers (`ReauthorizeEvery: 0`), see `decide.py`.

Source: API Gateway Developer Guide, "Input to" and "Output from an API Gateway Lambda authorizer".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.authorizer.decide import Authoriser, UnauthorizedError
from functions.authorizer.tokens import TokenReader
from hotplate.aws.clients import aws_client
from hotplate.aws.key_table import KeyTable
from hotplate.aws.ledger import Ledger

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="authorizer")
_client = aws_client("dynamodb")
_authoriser = Authoriser(
    KeyTable(_client, os.environ["HOTPLATE_KEY_TABLE"]),
    Ledger(_client, os.environ["HOTPLATE_LEDGER_TABLE"]),
    TokenReader.from_environ(os.environ),
)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Decide on one request of API Gateway.

    Raises:
        UnauthorizedError: "Unauthorized", which API Gateway answers with 401.
        StoreError: Keys or ledger cannot be read; API Gateway answers 503, and nobody is let in.
    """
    try:
        decision = _authoriser.decide(event)
    except UnauthorizedError as fault:
        # The owner may know why; the caller is told the same whatever it was.
        logger.info("unauthorised", why=fault.why, key=fault.key, request_id=context.aws_request_id)
        raise
    statement = {
        "Action": "execute-api:Invoke",
        "Effect": "Allow" if decision.allowed else "Deny",
        "Resource": event["methodArn"],
    }
    return {
        "principalId": decision.tenant,
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": decision.context(),
        "usageIdentifierKey": decision.usage_key,
    }
