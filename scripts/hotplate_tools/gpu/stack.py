"""A deployed stack, as the commands about its model on SageMaker need it: parameters, endpoints, registry.

What runs is what the stack's parameters `Gpu…` say, so a command changes those and lets CloudFormation do the
rest, with the template that is deployed; a later `hotplate deploy` then finds what it expects.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from hotplate.aws.leases import Leases
from hotplate.aws.s3_store import S3Store
from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hotplate.aws.leases import LeasedEndpoint
    from hotplate.store.base import Store
    from hotplate_tools.deployed import DeployedStack

__all__ = ["GpuStack", "gpu_stack"]

# The template's roles have no names of their own; its transform is SAM's.
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
# An endpoint takes up to its container's ten minutes, and a stack's update what is beside it: 40 minutes.
_WAIT = {"Delay": 10, "MaxAttempts": 240}


@dataclass(frozen=True, slots=True)
class GpuStack:
    """One stack.

    Attributes:
        name: Of the stack.
        parameters: All of them, as they were deployed when this was made.
        leases: Its endpoints on SageMaker.
        store: Its registry.
        cloudformation: Client of CloudFormation.
        delay_s: Between two looks at an update.
    """

    name: str
    parameters: Mapping[str, str]
    leases: Leases
    store: Store
    cloudformation: Any
    delay_s: int = _WAIT["Delay"]

    def endpoints(self) -> list[LeasedEndpoint]:
        """Return the endpoints that are not being deleted.

        Raises:
            StoreError: SageMaker does not tell.
        """
        return [each for each in self.leases.all() if each.status != "Deleting"]

    def update(self, changed: Mapping[str, str]) -> None:
        """Deploy the stack again with other values of these parameters; returns when that is done.

        Raises:
            FailedError: CloudFormation does not take it, or it failed; says why.
        """
        # CloudFormation refuses an update that changes nothing.
        if changed.items() <= _parameters(self.cloudformation, self.name).items():
            return
        parameters: list[dict[str, Any]] = [
            {"ParameterKey": name, "ParameterValue": changed[name]}
            if name in changed
            else {"ParameterKey": name, "UsePreviousValue": True}
            for name in self.parameters
        ]
        with _faults(self.name):
            self.cloudformation.update_stack(
                StackName=self.name,
                UsePreviousTemplate=True,
                Parameters=parameters,
                Capabilities=_CAPABILITIES,
            )
        try:
            with _faults(self.name):
                waiter = self.cloudformation.get_waiter("stack_update_complete")
                waiter.wait(StackName=self.name, WaiterConfig={**_WAIT, "Delay": self.delay_s})
        except WaiterError as fault:
            raise FailedError(
                f"the stack {self.name} was not updated: {self._reason()}",
                advice="CloudFormation puts it back as it was; `hotplate gpu status` says what runs.",
            ) from fault

    def _reason(self) -> str:
        """Return why the last update failed, in CloudFormation's words."""
        with _faults(self.name):
            events = self.cloudformation.describe_stack_events(StackName=self.name)["StackEvents"]
        failed = [each for each in events if each["ResourceStatus"].endswith("_FAILED")]
        # The newest come first, and what failed first is the cause.
        words = [f"{each['LogicalResourceId']}: {each.get('ResourceStatusReason', '')}" for each in failed]
        return words[-1] if words else "it took too long, or CloudFormation does not say why"


def gpu_stack(stack: DeployedStack) -> GpuStack:
    """Return a stack as above.

    Raises:
        FailedError: There is no such stack, or it is of an older hotplate.
    """
    bucket = stack.outputs("ModelBucketName")["ModelBucketName"]
    client = stack.client("cloudformation")
    parameters = _parameters(client, stack.name)
    if "GpuMode" not in parameters:
        raise FailedError(
            f"the stack {stack.name} has no parameter GpuMode",
            advice="It is of an older hotplate; `hotplate deploy` brings it to this one.",
        )
    leases = Leases(stack.client("sagemaker"), stack.name)
    return GpuStack(stack.name, parameters, leases, S3Store(stack.client("s3"), bucket), client)


def _parameters(client: Any, name: str) -> dict[str, str]:
    with _faults(name):
        described = client.describe_stacks(StackName=name)["Stacks"][0]
    return {each["ParameterKey"]: each["ParameterValue"] for each in described.get("Parameters", [])}


@contextmanager
def _faults(name: str) -> Iterator[None]:
    try:
        yield
    except ClientError as fault:
        raise FailedError(f"the stack {name}: {fault}") from fault
    except WaiterError:  # a `BotoCoreError` of no use by itself
        raise
    except BotoCoreError as fault:
        raise FailedError(f"the stack {name}: {fault}") from fault
