"""A deployed stack, as the commands about files need it: its data bucket, and the function of batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from hotplate_tools.deployed import DeployedStack

__all__ = ["BatchOfStack", "batch_of"]

_MISSING, _CONFLICT = 404, 409


@dataclass(frozen=True, slots=True)
class BatchOfStack:
    """Where a stack has its files, and whom to ask about them.

    Attributes:
        s3, bucket: The data bucket, and a client that reaches it.
        functions: Client of Lambda.
        function: Name of the function of batch.
    """

    s3: S3Client
    bucket: str
    functions: Any
    function: str

    def find(self, key: str, etag: str, options: str | None = None) -> dict[str, Any] | None:
        """Return the status of the run of an object; None while there is none.

        Args:
            key: Of the object.
            etag: Its entity tag; "" for whatever lies there.
            options: That lie beside it, as they were written; None for whichever.

        Raises:
            FailedError: The function cannot be asked.
        """
        more = {} if options is None else {"options": options}
        answer = self._call({"ask": "find", "key": key, "etag": etag, **more})
        return None if answer.get("status") == _MISSING else _told(answer)

    def ask(self, what: str, run: str) -> dict[str, Any]:
        """Return the status of a run, after `what`: `status`, `cancel` or `resume`.

        Raises:
            RefusedError: There is no such run, or it does not fit.
            FailedError: The function cannot be asked.
        """
        return _told(self._call({"ask": what, "run": run}))

    def _call(self, event: dict[str, str]) -> dict[str, Any]:
        try:
            answer = self.functions.invoke(FunctionName=self.function, Payload=json.dumps(event).encode())
        except (BotoCoreError, ClientError) as fault:
            raise FailedError(f"the function {self.function} cannot be asked: {fault}") from fault
        body: dict[str, Any] = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise FailedError(f"the function {self.function} failed: {body.get('errorMessage', '')}")
        return body


def batch_of(stack: DeployedStack) -> BatchOfStack:
    """Return the files of a stack.

    Raises:
        FailedError: There is no such stack, or it has no batch (of an older hotplate).
    """
    outputs = stack.outputs("DataBucketName", "BatchFunctionName")
    return BatchOfStack(
        s3=stack.client("s3"),
        bucket=outputs["DataBucketName"],
        functions=stack.client("lambda"),
        function=outputs["BatchFunctionName"],
    )


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" not in answer:
        return answer
    kind = RefusedError if answer.get("status") in (_MISSING, _CONFLICT) else FailedError
    raise kind(str(answer["error"]))
