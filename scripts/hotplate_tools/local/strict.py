"""The functions on the real Lambda runtime, with an S3 that holds their models: `up --runtime rie`.

The local cloud is there for its S3 and its DynamoDB; API Gateway and Lambda are the runtime harness.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate.aws.key_table import KeyTable
from hotplate.aws.s3_store import S3Store
from hotplate.tenants.keys import Key, Tenant, digest_of, new_key, read_scopes
from hotplate_tools.keys.manage import DEFAULT_BURST, DEFAULT_RATE
from hotplate_tools.keys.plans import new_usage_key
from hotplate_tools.local.cloud import run_cloud
from hotplate_tools.local.deploy import client
from hotplate_tools.local.harness import runtime_harness
from hotplate_tools.local.logs import readable
from hotplate_tools.local.prepared import prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hotplate_tools.console import Console
    from hotplate_tools.local.examples import Requests
    from hotplate_tools.local.harness import RuntimeHarness
    from hotplate_tools.local.prepared import GivenModel

__all__ = ["StrictCloud", "strict_cloud"]

BUCKET = "hotplate-models"

# How often the logs are looked at, in seconds.
POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class StrictCloud:
    """The functions on the runtime harness, with their models.

    Attributes:
        harness: The running functions.
        requests: For each model that was published.
        key: An API key that may do everything; None where callers need none.
    """

    harness: RuntimeHarness
    requests: Requests
    key: str | None

    @property
    def url(self) -> str:
        """The API with its stage; `url + "/v2"` answers."""
        return self.harness.url

    def ready(self) -> dict[str, Any]:
        """Return what a program needs to use it."""
        return {
            "url": self.url,
            "endpoint": self.harness.lambda_url,
            "models": [*self.requests],
            "key": self.key,
        }

    def follow(self, console: Console) -> None:
        """Print what the functions log, until interrupted."""
        seen: dict[int, int] = {}
        while True:
            for function in self.harness.template.functions:
                for environment in self.harness.environments(function):
                    lines = environment.log[seen.get(environment.pid, 0) :]
                    seen[environment.pid] = seen.get(environment.pid, 0) + len(lines)
                    for line in lines:
                        if text := readable(line):
                            console.say(f"{function} {text}")
            time.sleep(POLL_S)


@contextmanager
def strict_cloud(
    console: Console,
    given: Sequence[GivenModel] = (),
    *,
    port: int | None = None,
    reserved_concurrency: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Iterator[StrictCloud]:
    """Build, publish into a local S3, serve on the runtime harness; stop and remove all of it at the end.

    Args:
        console: Told what is being done.
        given: Models to serve beside the template's.
        port: TCP port on 127.0.0.1; None takes a free one.
        reserved_concurrency: Environments that each model function may have; None leaves the template's.
        parameters: Values of the template's parameters, over everything that is found out here.

    Raises:
        FailedError: It cannot be built or started.
        RefusedError: A model cannot be published; nothing was started.
    """
    prepared = prepare(console, given, reserved_concurrency=reserved_concurrency, parameters=parameters)
    with run_cloud(console, runtime=prepared.build.runtime) as cloud:
        s3 = client("s3", cloud.endpoint)
        s3.create_bucket(Bucket=BUCKET)
        prepared.publish(S3Store(s3, BUCKET), console)
        values, requests = prepared.parameters, prepared.requests
        template = prepared.build_in(cloud.folder).template
        key = _key(prepared.document, cloud.endpoint) if prepared.has_keys else None
        del prepared  # It holds the models' bytes, which are in the registry now.
        with runtime_harness(
            console,
            bucket=BUCKET,
            s3_endpoint=cloud.endpoint,
            parameters=values,
            environment={"AWS_ENDPOINT_URL_DYNAMODB": cloud.endpoint},
            template=template,
            port=port or 0,
        ) as harness:
            yield StrictCloud(harness, requests, key)


def _key(document: Mapping[str, Any], endpoint: str) -> str:
    """Make the template's tables, under their logical ids, and in them a key that may do everything."""
    dynamodb = client("dynamodb", endpoint)
    for name, resource in document["Resources"].items():
        if resource["Type"] == "AWS::DynamoDB::Table":
            taken = ("AttributeDefinitions", "BillingMode", "KeySchema")
            dynamodb.create_table(TableName=name, **{each: resource["Properties"][each] for each in taken})
    variables = document["Resources"]["AuthorizerFunction"]["Properties"]["Environment"]["Variables"]
    keys = KeyTable(dynamodb, variables["HOTPLATE_KEY_TABLE"]["Ref"])
    keys.put_tenant(Tenant("local", new_usage_key(), DEFAULT_RATE, DEFAULT_BURST))
    secret = new_key()
    keys.add_key(Key(digest_of(secret), "local", read_scopes(["*:*"]), int(time.time()), note="hotplate up"))
    return secret
