"""The functions on the real Lambda runtime, with an S3 that holds their models: `up --runtime rie`.

The local cloud is there for its S3 alone; API Gateway and Lambda are the runtime harness.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hotplate.aws.s3_store import S3Store
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.cloud import run_cloud
from hotplate_tools.local.deploy import client
from hotplate_tools.local.deployed import deploy_parameters, served_models
from hotplate_tools.local.harness import runtime_harness
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.logs import readable
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.publish.signing import KeySigner
from hotplate_tools.training.stored import is_built, model_folder, warn_of_missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hotplate_tools.console import Console
    from hotplate_tools.local.harness import RuntimeHarness

__all__ = ["follow", "strict_cloud"]

BUCKET = "hotplate-models"

# How often the logs are looked at, in seconds.
POLL_S = 0.5


@contextmanager
def strict_cloud(
    console: Console,
    *,
    port: int | None = None,
    reserved_concurrency: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[RuntimeHarness]:
    """Build, publish into a local S3, serve on the runtime harness; stop and remove all of it at the end.

    Args:
        console: Told what is being done.
        port: TCP port on 127.0.0.1; None takes a free one.
        reserved_concurrency: Environments that each model function may have; None leaves the template's.
        parameters: Values of the template's parameters, over everything that is found out here.

    Raises:
        FailedError: It cannot be built or started.
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
    with run_cloud(console, runtime=made.runtime) as cloud:
        s3 = client("s3", cloud.endpoint)
        s3.create_bucket(Bucket=BUCKET)
        store = S3Store(s3, BUCKET)
        for model in models:
            if is_built(model.name):
                publish_model(
                    model_folder(model.name), name=model.name, store=store, signer=signer, console=console
                )
        with runtime_harness(
            console, bucket=BUCKET, s3_endpoint=cloud.endpoint, parameters=values, port=port or 0
        ) as harness:
            yield harness


def follow(harness: RuntimeHarness, console: Console) -> None:
    """Print what the functions log, until interrupted."""
    seen: dict[int, int] = {}
    while True:
        for function in harness.template.functions:
            for environment in harness.environments(function):
                lines = environment.log[seen.get(environment.pid, 0) :]
                seen[environment.pid] = seen.get(environment.pid, 0) + len(lines)
                for line in lines:
                    if text := readable(line):
                        console.say(f"{function} {text}")
        time.sleep(POLL_S)
