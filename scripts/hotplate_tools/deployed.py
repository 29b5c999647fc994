"""A stack that is deployed, as commands reach it: clients of its services, and its outputs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from hotplate.aws.clients import aws_client, s3_client
from hotplate_tools.failures import FailedError
from hotplate_tools.local.deploy import client as local_client

__all__ = ["DeployedStack"]

_ADVICE = "Name it with --stack; --endpoint is for the local cloud, as `hotplate up` prints it."


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack, in the local cloud or on AWS.

    Attributes:
        name: Of the stack.
        endpoint: Of the local cloud; None for AWS, or where the AWS settings lead.
        region: None takes the environment's or the profile's.
    """

    name: str
    endpoint: str | None = None
    region: str | None = None

    def client(self, service: str) -> Any:
        """Return a boto3 client of a service, called as boto3 calls it."""
        if self.endpoint:
            return local_client(service, self.endpoint)
        return s3_client(region=self.region) if service == "s3" else aws_client(service, region=self.region)

    def outputs(self, *names: str) -> dict[str, str]:
        """Return the outputs of the stack, those called `names` among them.

        Raises:
            FailedError: There is no such stack, or it lacks one of them (of an older hotplate).
        """
        try:
            described = self.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        except (BotoCoreError, ClientError) as fault:
            raise FailedError(f"the stack {self.name} cannot be read: {fault}", advice=_ADVICE) from fault
        outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
        if missing := set(names) - set(outputs):
            raise FailedError(
                f"the stack {self.name} has no output {', '.join(sorted(missing))}", advice=_ADVICE
            )
        return outputs
