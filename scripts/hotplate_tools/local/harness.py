"""The template's functions on the real Lambda runtime, on this machine, behind HTTP.

    with runtime_harness(console, bucket="models", s3_endpoint=s3.url, parameters={}) as harness:
        httpx.post(f"{harness.url}/v2/models/digits/infer", json=body)
        harness.invoke("DigitsFunction", event)
        harness.environments("DigitsFunction")

Rules kept, as Lambda keeps them: one environment works on one request; the environment used last
is used first; when all are busy another is started, up to the function's reserved concurrency; one
request more than that is refused at once with `TooManyRequestsException`; an environment that died
is replaced. Of a function that isolates tenants an environment works for one tenant, ever, and a call has to
name it. When the context ends, or this process does in whatever way, no process and no file of
the environments is left.

Not done: the account's concurrency scaling rate, provisioned concurrency, SnapStart, asynchronous
invocation.

Source: AWS Lambda developer guide, "Understanding Lambda function scaling".
"""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import FailedError
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.front import Front, serve
from hotplate_tools.local.intrinsics import PSEUDO_PARAMETERS
from hotplate_tools.local.rie import ExecutionEnvironment, InvokeResult, refuse_too_large
from hotplate_tools.local.template import Template, read_template
from hotplate_tools.local.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from hotplate_tools.console import Console
    from hotplate_tools.local.template import Function
    from hotplate_tools.local.workspace import FunctionFiles

__all__ = ["DEFAULT_CONCURRENCY", "RuntimeHarness", "lambda_variables", "runtime_harness"]

# Environments at once of a function that reserves none. Source: AWS Lambda quotas, "Concurrent
# executions": what new accounts start with.
DEFAULT_CONCURRENCY = 10

_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "test"}


@contextmanager
def runtime_harness(
    console: Console,
    *,
    bucket: str,
    s3_endpoint: str | None,
    parameters: Mapping[str, str],
    functions: Sequence[str] | None = None,
    reserved: Mapping[str, int] | None = None,
    resources: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    template: Path | None = None,
    port: int = 0,
) -> Iterator[RuntimeHarness]:
    """Serve the template's functions while the context lasts.

    Args:
        console: Told what is being installed or cannot be had.
        bucket: What `Ref` of the template's bucket gives.
        s3_endpoint: The S3 that functions talk to; None for AWS's own.
        parameters: Values for the template's parameters.
        functions: Logical ids of those wanted; None for all.
        reserved: Reserved concurrency by logical id, in place of the template's.
        resources: What `Ref` (`Id`) or `GetAtt` (`Id.Attribute`) of other resources gives.
        environment: Variables for every function besides Lambda's and the template's, as credentials.
        template: What `sam build` wrote; None builds the project.
        port: Port of the front; 0 for a free one.

    Raises:
        FailedError: The template cannot be served; the message names what stands in the way.
    """
    path = template or build(console, architecture=host_architecture()).template
    read = read_template(path, parameters=parameters, bucket=bucket, functions=functions, resources=resources)
    if read.has_authorizer and not read.authorizer:
        console.warn("What authorises the API's callers does not run here; every caller is let in.")
    endpoint = {"AWS_ENDPOINT_URL_S3": s3_endpoint} if s3_endpoint else {}
    given = {**_CREDENTIALS, **endpoint, **(environment or {})}
    with ExitStack() as stack:
        workspace = stack.enter_context(Workspace(console))
        harness = RuntimeHarness(read, workspace, given, reserved or {})
        stack.callback(harness.close)
        harness.lambda_url = stack.enter_context(serve(Front(read, harness.invoke_bytes), port))
        yield harness


def lambda_variables(function: Function, given: Mapping[str, str]) -> dict[str, str]:
    """Return what the function sees of its environment, besides the variables that name paths.

    Args:
        function: What the template says.
        given: Credentials, endpoints and what else is wanted; Lambda's own and the template's win.
    """
    region = PSEUDO_PARAMETERS["AWS::Region"]
    return {
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        **given,
        **function.environment,
        "AWS_DEFAULT_REGION": region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{function.runtime}",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(function.memory_mb),
        "AWS_LAMBDA_FUNCTION_NAME": function.name,
        # Read by the RIE, which has no other way to be told, and seen by the function too.
        "AWS_LAMBDA_FUNCTION_TIMEOUT": str(function.timeout_s),
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_REGION": region,
        "LANG": "en_US.UTF-8",
        "TZ": ":UTC",
    }


class RuntimeHarness:
    """The running functions.

    Attributes:
        template: What is served.
        has_walls: Whether functions see Lambda's file system, or this machine's (no namespaces).
        folder: Where its temporary files lie; gone when the context has ended.
        lambda_url: Endpoint of Lambda's Invoke API, for boto3's `endpoint_url`.
    """

    def __init__(
        self,
        template: Template,
        workspace: Workspace,
        given: Mapping[str, str],
        reserved: Mapping[str, int],
    ) -> None:
        unknown = sorted(set(reserved) - set(template.functions))
        if unknown:
            raise FailedError(f"concurrency is reserved for {', '.join(unknown)}, which is not served")
        self.template = template
        self.has_walls = workspace.has_walls
        self.folder = workspace.folder
        self.lambda_url = ""
        self._pools: dict[str, _Pool] = {}
        for name, function in template.functions.items():
            own = replace(function, reserved_concurrency=reserved.get(name, function.reserved_concurrency))
            files = workspace.files(own)
            self._pools[name] = _Pool(own, partial(self._start, own, files, given))

    @property
    def url(self) -> str:
        """The REST API with its stage, as `http://127.0.0.1:8080/live`."""
        return f"{self.lambda_url}/{self.template.stage}"

    def invoke(self, function: str, event: Mapping[str, Any]) -> InvokeResult:
        """Return what the function (its logical id) made of `event`.

        Raises:
            FailedError: There is no such function, or its environment did not start or died.
        """
        return self.invoke_bytes(function, json.dumps(event).encode())

    def invoke_bytes(self, function: str, event: bytes, tenant: str | None = None) -> InvokeResult:
        """Return what the function made of `event`, JSON as Lambda would get it, for `tenant`.

        Raises:
            FailedError: As above.
        """
        return self._pool(function).invoke(event, tenant)

    def environments(self, function: str) -> tuple[ExecutionEnvironment, ...]:
        """Return every environment of the function that was ever started, oldest first, with its log."""
        return tuple(self._pool(function).started)

    def warm(self, function: str, event: Mapping[str, Any], count: int) -> tuple[InvokeResult, ...]:
        """Give `event` to `count` environments of the function at once, so that none of them is cold after.

        Raises:
            FailedError: As for `invoke`, or `count` is more than the function may have.
        """
        return self._pool(function).warm(json.dumps(event).encode(), count)

    def close(self) -> None:
        """End every environment."""
        for pool in self._pools.values():
            pool.close()

    def _start(
        self, function: Function, files: FunctionFiles, given: Mapping[str, str], tenant: str | None
    ) -> ExecutionEnvironment:
        # Late, because the front that functions call each other by is opened after this was made.
        here = {"AWS_ENDPOINT_URL_LAMBDA": self.lambda_url}
        variables = lambda_variables(function, here | dict(given))
        return ExecutionEnvironment(function, files, variables, tenant)

    def _pool(self, function: str) -> _Pool:
        if function not in self._pools:
            raise FailedError(f"{function} is not served", advice=f"There is {', '.join(self._pools)}.")
        return self._pools[function]


class _Pool:
    """The environments of one function."""

    def __init__(self, function: Function, start: Callable[[str | None], ExecutionEnvironment]) -> None:
        reserved = function.reserved_concurrency
        self._limit = DEFAULT_CONCURRENCY if reserved is None else reserved
        self._function = function
        self._start = start
        self._lock = threading.Lock()
        self._idle: list[ExecutionEnvironment] = []
        self._taken = 0
        self._is_closed = False
        self.started: list[ExecutionEnvironment] = []

    def invoke(self, event: bytes, tenant: str | None) -> InvokeResult:
        refused = refuse_too_large(event) or self._unfit(tenant)
        if refused:
            return refused
        environment = self._take(tenant)
        if environment is None:
            return _throttled()
        try:
            return environment.invoke(event)
        finally:
            self._give_back(environment)

    def warm(self, event: bytes, count: int) -> tuple[InvokeResult, ...]:
        if count > self._limit:
            raise FailedError(f"{self._function.logical_id} may have {self._limit} environments, not {count}")
        taken: list[ExecutionEnvironment] = []
        try:
            while len(taken) < count and (environment := self._take(None)):
                taken.append(environment)
            with ThreadPoolExecutor(max_workers=count) as threads:
                return tuple(threads.map(lambda each: each.invoke(event), taken))
        finally:
            for environment in taken:
                self._give_back(environment)

    def close(self) -> None:
        with self._lock:
            self._is_closed = True
        with ThreadPoolExecutor() as threads:
            list(threads.map(ExecutionEnvironment.close, self.started))

    def _unfit(self, tenant: str | None) -> InvokeResult | None:
        """Return Lambda's refusal of a call that names no tenant, or names one where none is isolated."""
        if self._function.is_isolated == (tenant is not None):
            return None
        wrong = "requires a tenant ID" if self._function.is_isolated else "does not isolate tenants"
        body = {"Type": "User", "message": f"The invoked function {wrong}."}
        return InvokeResult(400, json.dumps(body).encode(), error_type="InvalidParameterValueException")

    def _take(self, tenant: str | None) -> ExecutionEnvironment | None:
        with self._lock:
            if self._is_closed:
                raise FailedError(f"{self._function.logical_id} is being stopped")
            self._idle = [each for each in self._idle if each.is_alive]
            if own := [each for each in self._idle if each.tenant == tenant]:
                self._idle.remove(own[-1])
                self._taken += 1
                return own[-1]
            if self._taken >= self._limit:
                return None
            self._taken += 1
        try:
            environment = self._start(tenant)
        except FailedError:
            with self._lock:
                self._taken -= 1
            raise
        with self._lock:
            self.started.append(environment)
            closed = self._is_closed
        if closed:
            environment.close()
            raise FailedError(f"{self._function.logical_id} is being stopped")
        return environment

    def _give_back(self, environment: ExecutionEnvironment) -> None:
        with self._lock:
            self._taken -= 1
            if environment.is_alive:
                self._idle.append(environment)


def _throttled() -> InvokeResult:
    body = {
        "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded",
        "Type": "User",
        "message": "Rate Exceeded.",
    }
    return InvokeResult(429, json.dumps(body).encode(), error_type="TooManyRequestsException")
