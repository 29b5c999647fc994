"""All of it on this machine: the real template, deployed into a local cloud, and the models published.

    with local_cloud(console) as cloud:
        requests.get(cloud.url + "/v2/models/digits")

The models are those that the template serves and that come with the project and are built on this
machine (`training/stored.py`); the others are deployed as the parameters say, and answer "not found" until
they are published to `cloud.bucket`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hotplate.aws.s3_store import S3Store
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.cloud import Cloud, run_cloud
from hotplate_tools.local.deploy import REGION, client, deploy, environment
from hotplate_tools.local.deployed import ServedModel, deploy_parameters, served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.logs import LogTail, readable
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.publish.signing import KeySigner
from hotplate_tools.training.stored import is_built, model_folder, warn_of_missing

if TYPE_CHECKING:
    from hotplate_tools.console import Console
    from hotplate_tools.local.deploy import Stack

__all__ = ["LocalCloud", "follow", "local_cloud", "terminate_gently"]

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
        models: Names of the models that were published.
    """

    url: str
    endpoint: str
    bucket: str
    region: str
    port: int
    pid: int
    functions: Mapping[str, str]
    models: tuple[str, ...]
    _cloud: Cloud

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

    def check(self) -> None:
        """Raise if the cloud has ended.

        Raises:
            FailedError: It has.
        """
        self._cloud.check()


@contextmanager
def local_cloud(
    console: Console,
    *,
    port: int | None = None,
    reserved_concurrency: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[LocalCloud]:
    """Build, start a local cloud, deploy, publish; stop it and remove all of it at the end.

    Args:
        console: Told what is being done.
        port: TCP port on 127.0.0.1; None takes a free one.
        reserved_concurrency: Environments that each model function may have; None leaves the template's.
        parameters: Values of the template's parameters, over everything that is found out here.

    Raises:
        FailedError: It cannot be built, started or deployed.
        RefusedError: A model does not give its golden answers.
    """
    made = build(console, architecture=host_architecture())
    models = served_models(read_yaml(made.template))
    warn_of_missing([model.name for model in models], console)
    signer = KeySigner.throw_away()
    with console.step("Checking the models"):
        values = deploy_parameters(models, reserved_concurrency, public_key=signer.public_key) | dict(
            parameters or {}
        )
    with run_cloud(console, runtime=made.runtime, port=port) as cloud:
        with console.step("Deploying the template into the local cloud"):
            stack = deploy(cloud, made, values, console)
        local = _local(cloud, stack, made.functions, models)
        store = S3Store(local.client("s3"), local.bucket)
        for name in local.models:
            publish_model(model_folder(name), name=name, store=store, signer=signer, console=console)
        yield local


def follow(local: LocalCloud, console: Console) -> None:
    """Print what the functions log, until interrupted or the cloud ends.

    Raises:
        FailedError: The cloud ended by itself.
    """
    tail = local.tail()
    while True:
        local.check()
        for line in tail.new():
            if text := readable(line.message):
                console.say(f"{line.function} {text}")
        time.sleep(POLL_S)


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


def _local(cloud: Cloud, stack: Stack, functions: tuple[str, ...], models: list[ServedModel]) -> LocalCloud:
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
        functions={name: stack.resources[name] for name in functions},
        models=tuple(model.name for model in models if is_built(model.name)),
        _cloud=cloud,
    )
