"""The state machine of batch: a Distributed Map over the chunks of a large run.

An execution is named by run and round, so that who starts it again finds it started.

Source: AWS Step Functions API Reference, "StartExecution" (idempotent by name), "StopExecution"; Developer
Guide, "Using Map state in Distributed mode".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.batch_queue import RunMessage
from hotplate.errors import StoreUnavailableError

if TYPE_CHECKING:
    from hotplate.aws.batch_rows import Run

__all__ = ["ChunkMap", "name_of"]


class ChunkMap:
    """The state machine `arn`, reached by a client of Step Functions.

    Attributes:
        above: A run with more chunks to predict than this is given to it.
    """

    def __init__(self, client: Any, arn: str, *, above: int) -> None:
        self._client = client
        self._arn = arn
        self.above = above

    def start(self, run: Run, bucket: str, key: str) -> None:
        """Have the pieces in an object worked on: a JSON array of piece messages.

        Raises:
            StoreUnavailableError: Step Functions does not do it.
        """
        missed = msgspec.to_builtins(RunMessage("missed", run.id, run.round))
        told = {"bucket": bucket, "key": key, "missed": missed}
        self._ask(
            "ExecutionAlreadyExists",
            "start_execution",
            stateMachineArn=self._arn,
            name=name_of(run),
            input=msgspec.json.encode(told).decode(),
        )

    def stop(self, run: Run) -> None:
        """End what works on a run; nothing happens if nothing does.

        Raises:
            StoreUnavailableError: Step Functions does not do it.
        """
        execution = f"{self._arn.replace(':stateMachine:', ':execution:')}:{name_of(run)}"
        self._ask("ExecutionDoesNotExist", "stop_execution", executionArn=execution, error="Cancelled")

    def _ask(self, harmless: str, call: str, **named: str) -> None:
        try:
            getattr(self._client, call)(**named)
        except (BotoCoreError, ClientError) as fault:
            code = fault.response["Error"]["Code"] if isinstance(fault, ClientError) else ""
            if code != harmless:
                raise StoreUnavailableError(f"states:{self._arn}: {code or fault}") from fault


def name_of(run: Run) -> str:
    """Return the name of the execution of this round of a run."""
    # A run of the same input, weeks later, has the same id; names are remembered for 90 days.
    return f"{run.id}-{run.created}-{run.round}"
