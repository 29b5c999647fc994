"""A deployed stack, as the commands about files need it: its data bucket, and the function of batch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.clients import aws_client, s3_client
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.local.deploy import client as local_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["BatchOfStack", "batch_of"]

_ADVICE = "Name it with --stack; --endpoint is for the local cloud, as `hotplate up` prints it."
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

    def find(self, key: str, etag: str) -> dict[str, Any] | None:
        """Return the status of the run of an object; None while there is none.

        Raises:
            FailedError: The function cannot be asked.
        """
        answer = self._call({"ask": "find", "key": key, "etag": etag})
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


def batch_of(stack: str, *, endpoint: str | None = None, region: str | None = None) -> BatchOfStack:
    """Return the files of a stack.

    Args:
        stack: Its name.
        endpoint: Of the local cloud; None for AWS, or where the AWS settings lead.
        region: None takes the environment's or the profile's.

    Raises:
        FailedError: There is no such stack, or it predicts no files (of an older hotplate).
    """

    def client(service: str) -> Any:
        return local_client(service, endpoint) if endpoint else aws_client(service, region=region)

    try:
        described = client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    except (BotoCoreError, ClientError) as fault:
        raise FailedError(f"the stack {stack} cannot be read: {fault}", advice=_ADVICE) from fault
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    missing = {"DataBucketName", "BatchFunctionName"} - set(outputs)
    if missing:
        raise FailedError(f"the stack {stack} has no output {', '.join(sorted(missing))}", advice=_ADVICE)
    return BatchOfStack(
        s3=client("s3") if endpoint else s3_client(region=region),
        bucket=outputs["DataBucketName"],
        functions=client("lambda"),
        function=outputs["BatchFunctionName"],
    )


def _told(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" not in answer:
        return answer
    kind = RefusedError if answer.get("status") in (_MISSING, _CONFLICT) else FailedError
    raise kind(str(answer["error"]))
