"""One Lambda execution environment on this machine: AWS's Runtime Interface Emulator (RIE) and runtime.

The RIE ships inside the SAM CLI's package; behind it runs what `AWS_LAMBDA_EXEC_WRAPPER` names, or
awslambdaric, AWS's own Python runtime.

Rules kept: the function sees the variables that Lambda would set and those of its template, and
nothing of this process's environment; its code and layers are read-only; one request at a time
(the RIE dies of a second); a request that Lambda would refuse never reaches the RIE, which would
cut it instead; the answer says whether the function failed, as Lambda's `X-Amz-Function-Error`
does, although the RIE answers 200 for most failures.

Not done: CPU in proportion to memory; the init phase before the first request (the RIE starts the
runtime when the first request comes); tracing.

Source: aws/aws-lambda-runtime-interface-emulator; AWS Lambda API reference, "Invoke"; AWS Lambda
developer guide, "Defined runtime environment variables".
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.limits import LAMBDA_PAYLOAD_BYTES
from hotplate_tools.failures import FailedError
from hotplate_tools.local import sandbox
from hotplate_tools.local.log_file import LogFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.template import Function
    from hotplate_tools.local.workspace import FunctionFiles

__all__ = ["ExecutionEnvironment", "InvokeResult", "refuse_too_large"]

_INVOCATION_PATH = "/2015-03-31/functions/function/invocations"
# How long the RIE may take to listen, and what init may take beyond the function's own time-out, in
# seconds. Source of the second: AWS Lambda developer guide, "Init phase" (10 s).
_START_TIMEOUT_S = 10
_INIT_TIMEOUT_S = 10
# The RIE writes its last lines just after its answer.
_LOG_SETTLE_S = 1.0
_LOG_POLL_S = 0.001

_START = re.compile(r"^START RequestId: (\S+)")
_INIT_REPORT = re.compile(r"INIT REPORT\(durationMs: ([\d.]+)\)")
_INVOKE_DONE = re.compile(r"INVOKE RTDONE\(.*duration: ([\d.]+)ms\)")
_TIMED_OUT = re.compile(rb"^Task timed out after [\d.]+ seconds$")
_ERROR_KEYS = {"errorMessage", "errorType", "requestId", "stackTrace"}


@dataclass(frozen=True, slots=True)
class InvokeResult:
    """What Lambda's Invoke would have answered.

    Attributes:
        status: 200; 413 and 429 when the call was refused.
        payload: The function's result or its error, as JSON bytes.
        function_error: `Unhandled` when the function failed, else None.
        error_type: Exception class of a refused call, as `TooManyRequestsException`.
        request_id: Lambda's id of the request.
        log: Lines that the environment wrote meanwhile.
        init_ms: What importing the function took, when this call was a cold start, in ms.
        duration_ms: What the handler took by the RIE's clock, in ms; None when it did not return.
        wall_ms: From sending the event to having the answer, in ms.
    """

    status: int
    payload: bytes
    function_error: str | None = None
    error_type: str | None = None
    request_id: str = ""
    log: tuple[str, ...] = ()
    init_ms: float | None = None
    duration_ms: float | None = None
    wall_ms: float = 0.0


def refuse_too_large(event: bytes) -> InvokeResult | None:
    """Return Lambda's refusal of an event above its limit, or None for one within it."""
    if len(event) <= LAMBDA_PAYLOAD_BYTES:
        return None
    message = f"Request must be smaller than {LAMBDA_PAYLOAD_BYTES} bytes for the InvokeFunction operation"
    body = json.dumps({"Type": "User", "message": message}).encode()
    return InvokeResult(413, body, error_type="RequestTooLargeException")


class ExecutionEnvironment:
    """One process that runs one function, one request at a time.

    Args:
        function: What the template says.
        files: The function's files, ready to be run.
        variables: The whole environment of the function.
        tenant: Whose it is, of a function that isolates tenants; the RIE tells the runtime with each request.

    Attributes:
        invocations: How many events it was given.

    Raises:
        FailedError: It did not start; its last lines say why.
    """

    def __init__(
        self,
        function: Function,
        files: FunctionFiles,
        variables: Mapping[str, str],
        tenant: str | None = None,
    ) -> None:
        self.function = function
        self.tenant = tenant
        self.invocations = 0
        self._busy = threading.Lock()
        self._headers = {
            "Content-Type": "application/json",
            **({"X-Amz-Tenant-Id": tenant} if tenant else {}),
        }
        self._log = LogFile()
        try:
            self._process, self._port = self._start(files, variables)
        except BaseException:
            self._log.close()
            raise
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", self._port, timeout=function.timeout_s + _INIT_TIMEOUT_S * 2
        )

    @property
    def log(self) -> list[str]:
        """Every line that it wrote so far."""
        return self._log.lines()

    @property
    def is_alive(self) -> bool:
        """Whether it can take a request."""
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        """Process id of its supervisor; every other process of it is a descendant."""
        return self._process.pid

    def invoke(self, event: bytes) -> InvokeResult:
        """Return what the function made of `event`, JSON of at most 6 MiB.

        Raises:
            FailedError: It is working on another event, or it died without an answer.
        """
        refused = refuse_too_large(event)
        if refused:
            return refused
        if not self._busy.acquire(blocking=False):
            raise FailedError(f"{self.function.logical_id}: one environment takes one request at a time")
        try:
            return self._invoke(event)
        finally:
            self._busy.release()

    def close(self) -> None:
        """End it and every process under it. Returns when they are gone; may be called twice."""
        self._connection.close()
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()
        self._log.close()

    def _start(
        self, files: FunctionFiles, variables: Mapping[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        for _ in range(3):
            port, api_port = _free_ports(2)
            plan = files.plan(self.function, variables, f"127.0.0.1:{port}", f"127.0.0.1:{api_port}")
            command = [sys.executable, "-I", "-S", str(Path(sandbox.__file__)), json.dumps(plan)]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=self._log.written,
                stderr=subprocess.STDOUT,
                env={},
                start_new_session=True,
            )
            if _wait_for_port(port, process):
                return process, port
            assert process.stdin  # noqa: S101 - it was asked for
            process.stdin.close()
            process.wait()
            # Somebody else may have taken the port between our look and the RIE's.
            if not any("address already in use" in line for line in self.log):
                break
        raise FailedError(f"{self.function.logical_id} did not start:\n" + "\n".join(self.log[-6:]))

    def _invoke(self, event: bytes) -> InvokeResult:
        first_line = len(self.log)
        self.invocations += 1
        started = time.perf_counter()
        try:
            self._connection.request("POST", _INVOCATION_PATH, body=event, headers=self._headers)
            response = self._connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as fault:
            self.close()
            raise FailedError(
                f"{self.function.logical_id}: the environment died without an answer ({fault!r}):\n"
                + "\n".join(self.log[-6:])
            ) from fault
        wall_ms = (time.perf_counter() - started) * 1000
        lines = self._lines_since(first_line, complete=status == http.HTTPStatus.OK)
        request_id = _first(_START, lines) or ""
        payload, failed = _read_answer(status, body, request_id)
        init_ms, duration_ms = _first(_INIT_REPORT, lines), _first(_INVOKE_DONE, lines)
        return InvokeResult(
            status=200,
            payload=payload,
            function_error="Unhandled" if failed else None,
            request_id=request_id,
            log=lines,
            init_ms=float(init_ms) if init_ms else None,
            duration_ms=float(duration_ms) if duration_ms else None,
            wall_ms=wall_ms,
        )

    def _lines_since(self, first: int, *, complete: bool) -> tuple[str, ...]:
        # After a crash the RIE writes no REPORT line, and there is nothing to wait for.
        def is_reported() -> bool:
            return not complete or any(line.startswith("REPORT ") for line in self.log[first:])

        deadline = time.monotonic() + _LOG_SETTLE_S
        while not is_reported() and time.monotonic() < deadline:
            time.sleep(_LOG_POLL_S)
        return tuple(self.log[first:])


def _read_answer(status: int, body: bytes, request_id: str) -> tuple[bytes, bool]:
    """Return the payload as Lambda would give it, and whether the function failed."""
    if _TIMED_OUT.match(body):
        stamp = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = f"{stamp} {request_id} {body.decode()}"
        return json.dumps({"errorType": "Sandbox.Timedout", "errorMessage": message}).encode(), True
    return body, status != http.HTTPStatus.OK or _is_error(body, request_id)


def _is_error(body: bytes, request_id: str) -> bool:
    # The runtime's own report of an exception has exactly these keys and names the request; a
    # function that returned as much would have to mean it. The first bytes spare parsing the rest.
    if not body.startswith(b'{"errorMessage"'):
        return False
    answer = json.loads(body)
    return set(answer) == _ERROR_KEYS and answer["requestId"] == request_id


def _first(pattern: re.Pattern[str], lines: tuple[str, ...]) -> str | None:
    return next((match[1] for line in lines if (match := pattern.search(line))), None)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _wait_for_port(port: int, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return process.poll() is None
        time.sleep(0.005)
    return False
