"""The function that ends endpoints whose lease is over, every few minutes."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.gpu_sweeper.sweep import sweep
from hotplate.aws.clients import aws_client
from hotplate.aws.leases import Leases
from hotplate.errors import StoreError

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger(service="gpu-sweeper")
_leases = Leases(aws_client("sagemaker"), os.environ["HOTPLATE_STACK"])


def lambda_handler(_: dict[str, Any], __: LambdaContext) -> dict[str, int]:
    """Do one round.

    Raises:
        StoreError: Something could not be done, after all else was; so the function's errors say it.
    """
    swept = sweep(_leases, time.time())
    for each in swept:
        say = logger.error if each.outcome == "failed" else logger.info
        say(f"endpoint {each.outcome}", endpoint=each.name, why=each.why)
    if failed := [each.name for each in swept if each.outcome == "failed"]:
        raise StoreError(f"not done with {', '.join(failed)}; the next round tries again")
    return {outcome: sum(each.outcome == outcome for each in swept) for outcome in ("kept", "deleted")}
