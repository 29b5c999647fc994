"""All of it on this machine: the real template, deployed into a local cloud, and the models published.

    with local_cloud(console, [GivenModel(Path("churn.onnx"))]) as cloud:
        requests.get(cloud.url + "/v2/models/churn")

The models are those that are given, and those that the template serves, that come with the project and
are built on this machine (`training/stored.py`); the others are deployed as the parameters say, and answer
"not found" until they are published to `cloud.bucket`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hotplate.aws.s3_store import S3Store
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.keys.manage import first_key
from hotplate_tools.keys.stack import callers_of
from hotplate_tools.local.cloud import Cloud, run_cloud
from hotplate_tools.local.deploy import REGION, STACK, client, deploy, environment
from hotplate_tools.local.logs import LogTail, readable
from hotplate_tools.local.prepared import prepare

if TYPE_CHECKING:
    from hotplate_tools.console import Console
    from hotplate_tools.local.deploy import Stack
    from hotplate_tools.local.examples import Requests
    from hotplate_tools.local.prepared import GivenModel

__all__ = ["LocalCloud", "local_cloud", "terminate_gently"]

# How often the logs are looked at, in seconds.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class LocalCloud:
    """A deployed stack in a local cloud that runs.

    Attributes:
        url: The API with its stage; `url + "/v2"` answers.
        endpoint: Of every AWS service.
        bucket: The registry's.
        region: What clients must sign for.
        port: TCP port on 127.0.0.1.
        pid: Of the process that owns the cloud.
        functions: Function name by logical id.
        requests: For each model that was published.
        key: An API key that may do everything; None where callers need none.
    """

    url: str
    endpoint: str
    bucket: str
    region: str
    port: int
    pid: int
    functions: Mapping[str, str]
    requests: Requests
    key: str | None
    _cloud: Cloud

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models that were published."""
        return tuple(self.requests)

    def environment(self) -> dict[str, str]:
        """Return the variables that send an AWS SDK here."""
        return environment(self.endpoint)

    def client(self, service: str) -> Any:
        """Return a boto3 client of this cloud."""
        return client(service, self.endpoint)

    def tail(self) -> LogTail:
        """Return the functions' logs, from their beginning."""
        configuration = self.client("lambda").get_function_configuration
        return LogTail(
            self.endpoint,
            {
                logical: configuration(FunctionName=name)["LoggingConfig"]["LogGroup"]
                for logical, name in self.functions.items()
            },
        )

    def logs(self, function: str) -> list[str]:
        """Return everything that a function, by its logical id, has logged, oldest first."""
        return [line.message for line in self.tail().new() if line.function == function]

    def own_log(self) -> str:
        """Return what the cloud itself has logged."""
        return self._cloud.log.read_text(errors="replace")

    def ready(self) -> dict[str, Any]:
        """Return what a program needs to use it."""
        names = ("url", "endpoint", "bucket", "region", "port", "pid", "models", "key")
        return {name: getattr(self, name) for name in names} | {"functions": dict(self.functions)}

    def follow(self, console: Console) -> None:
        """Print what the functions log, until interrupted or the cloud ends.

        Raises:
            FailedError: The cloud ended by itself.
        """
        tail = self.tail()
        while True:
            self._cloud.check()
            for line in tail.new():
                if text := readable(line.message):
                    console.say(f"{line.function} {text}")
            time.sleep(POLL_S)


@contextmanager
def local_cloud(
    console: Console,
    given: Sequence[GivenModel] = (),
    *,
    port: int | None = None,
    reserved_concurrency: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[LocalCloud]:
    """Build, start a local cloud, deploy, publish; stop it and remove all of it at the end.

    Args:
        console: Told what is being done.
        given: Models to serve beside the template's.
        port: TCP port on 127.0.0.1; None takes a free one.
        reserved_concurrency: Environments that each model function may have; None leaves the template's.
        parameters: Values of the template's parameters, over everything that is found out here.

    Raises:
        FailedError: It cannot be built, started or deployed.
        RefusedError: A model cannot be published; nothing was started.
    """
    prepared = prepare(console, given, reserved_concurrency=reserved_concurrency, parameters=parameters)
    with run_cloud(console, runtime=prepared.build.runtime, port=port) as cloud:
        made = prepared.build_in(cloud.folder)
        with console.step("Deploying the template into the local cloud"):
            stack = deploy(cloud, made, prepared.parameters, console)
        key = first_key(callers_of(DeployedStack(STACK, cloud.endpoint))) if prepared.has_keys else None
        local = _local(cloud, stack, made.functions, prepared.requests, key)
        prepared.publish(S3Store(local.client("s3"), local.bucket), console)
        del prepared  # It holds the models' bytes, which are in the registry now.
        yield local


@contextmanager
def terminate_gently() -> Iterator[None]:
    """Make SIGTERM and SIGINT end the block as Ctrl-C does, so that it cleans up.

    SIGINT too: a shell that starts a job in the background makes it ignore that signal.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _local(
    cloud: Cloud,
    stack: Stack,
    functions: tuple[str, ...],
    requests: Requests,
    key: str | None,
) -> LocalCloud:
    address = urlsplit(stack.outputs["ApiUrl"])
    api = (address.hostname or "").split(".")[0]
    stage = address.path.strip("/")
    return LocalCloud(
        url=f"{cloud.endpoint}/restapis/{api}/{stage}/_user_request_",
        endpoint=cloud.endpoint,
        bucket=stack.outputs["ModelBucketName"],
        region=REGION,
        port=cloud.port,
        pid=cloud.process.pid,
        # One whose condition does not hold was built and is not there.
        functions={name: stack.resources[name] for name in functions if name in stack.resources},
        requests=requests,
        key=key,
        _cloud=cloud,
    )
