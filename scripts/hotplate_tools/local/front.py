"""HTTP in front of the runtime harness: Lambda's Invoke API and the template's REST API, on loopback.

| path | what |
|---|---|
| `POST /2015-03-31/functions/{name}/invocations` | Lambda's Invoke, for boto3 with `endpoint_url` |
| `POST /2021-11-15/functions/{name}/response-streaming-invocations` | InvokeWithResponseStream, in one part |
| `/{stage}/...` | the REST API: the template's routes |

Rules kept: HTTP/1.1 with kept-alive connections; a body above API Gateway's 10 MB is refused before
it is read; what the function says is passed on byte for byte.

Not done: TLS, signatures and credentials (none is checked), `InvocationType: Event`; a streamed answer is
given on when it is whole, as the RIE gives it.

Source: AWS Lambda API reference, "Invoke"; API Gateway quotas, "Payload size" and "Integration timeout".
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hotplate.limits import MIB
from hotplate_tools.failures import ToolError
from hotplate_tools.local.authoriser import Verdict, authoriser_event, read_verdict
from hotplate_tools.local.gateway import (
    Answer,
    GatewayResponses,
    Request,
    match_route,
    proxy_event,
    read_answer,
    streamed_result,
)
from hotplate_tools.local.streaming.frames import CONTENT_TYPE, completed, part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplate_tools.local.rie import InvokeResult
    from hotplate_tools.local.template import Route, Template

    type Invoke = Callable[[str, bytes, str | None], InvokeResult]

__all__ = ["Front", "serve"]

# Source: API Gateway quotas for REST APIs.
_MAX_BODY_BYTES = 10 * MIB
_INTEGRATION_TIMEOUT_S = 29.0

_INVOKE_PATH = re.compile(r"^/[0-9-]+/functions/([^/]+)/(response-streaming-)?invocations$")
# `name`, `name:qualifier` or an ARN, with or without qualifier.
_FUNCTION_NAME = re.compile(r"^(?:arn:[^:]+:lambda:[^:]*:\d*:function:)?([A-Za-z0-9_-]+)(?::[^:]+)?$")
_LOG_TAIL_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Front:
    """Answers requests; knows HTTP's words but no sockets.

    Attributes:
        template: Routes, stage, gateway responses and functions.
        invoke: Runs a function, named by logical id, on an event, for a tenant where it isolates them.
        integration_timeout_s: What the REST API waits for a function at most, where the route says nothing.
            The answer to one that took longer is 504, given when it ends.
    """

    template: Template
    invoke: Invoke
    integration_timeout_s: float = _INTEGRATION_TIMEOUT_S

    def answer(self, request: Request) -> Answer:
        """Return the answer to `request`, whose target begins with the stage or is Lambda's API."""
        path = urlsplit(request.target).path
        called = _INVOKE_PATH.match(path)
        if called and request.method == "POST":
            answer = self._lambda(unquote(called[1]), request)
            return _in_a_stream(answer) if called[2] else answer
        stage = f"/{self.template.stage}"
        request_id = str(uuid.uuid4())
        if path == stage or path.startswith(f"{stage}/"):
            answer = self._rest(request, request.target.removeprefix(stage) or "/", request_id)
        else:
            answer = Answer(403, (("Content-Type", "application/json"),), b'{"message":"Forbidden"}')
        return Answer(answer.status, (*answer.headers, ("x-amzn-RequestId", request_id)), answer.body)

    def too_large(self) -> Answer:
        """Return the answer to a body above API Gateway's limit, which is not read."""
        return self._own("REQUEST_TOO_LARGE", str(uuid.uuid4()))

    def _rest(self, request: Request, target: str, request_id: str) -> Answer:
        found = match_route(self.template.routes, request.method, urlsplit(target).path)
        if found is None:
            return self._own("MISSING_AUTHENTICATION_TOKEN", request_id)
        route, path_parameters = found
        inner = Request(request.method, target, request.headers, request.body, request.source_ip)
        event = proxy_event(
            inner,
            resource=route.resource,
            path_parameters=path_parameters,
            stage=self.template.stage,
            request_id=request_id,
        )
        verdict = self._verdict(inner, route, path_parameters, request_id)
        if verdict.refusal:
            return self._own(verdict.refusal, request_id)
        if verdict.context:
            event["requestContext"]["authorizer"] = dict(verdict.context)
        started, tenant = time.monotonic(), verdict.context.get("tenant") if route.tells_tenant else None
        try:
            result = self.invoke(route.function, json.dumps(event).encode(), tenant)
        except ToolError:
            return self._own("INTEGRATION_FAILURE", request_id)
        if time.monotonic() - started > (route.timeout_s or self.integration_timeout_s):
            return self._own("INTEGRATION_TIMEOUT", request_id)
        refusal = {413: "REQUEST_TOO_LARGE", 429: "THROTTLED"}.get(result.status)
        if refusal:
            return self._own(refusal, request_id)
        payload = result.payload if not route.is_streamed else streamed_result(result.payload)
        answer = None if result.function_error else read_answer(payload)
        return answer or self._own("INTEGRATION_FAILURE", request_id)

    def _verdict(
        self, request: Request, route: Route, path_parameters: Mapping[str, str], request_id: str
    ) -> Verdict:
        """Return what the API's authoriser says; everybody gets in where there is none."""
        if self.template.authorizer is None:
            return Verdict("", {})
        event = authoriser_event(
            request,
            resource=route.resource,
            path_parameters=path_parameters,
            stage=self.template.stage,
            request_id=request_id,
        )
        try:
            result = self.invoke(self.template.authorizer, json.dumps(event).encode(), None)
        except ToolError:
            return Verdict("AUTHORIZER_FAILURE", {})
        return read_verdict(result, event["methodArn"])

    def _own(self, kind: str, request_id: str) -> Answer:
        return GatewayResponses(self.template.gateway_responses).answer(kind, request_id)

    def _lambda(self, name: str, request: Request) -> Answer:
        headers = {key.lower(): value for key, value in request.headers}
        kind = headers.get("x-amz-invocation-type", "RequestResponse")
        function = self._function(name)
        if function is None:
            return _refusal(404, "ResourceNotFoundException", f"Function not found: {name}")
        if kind == "DryRun":
            return Answer(204)
        if kind != "RequestResponse":
            return _refusal(
                400, "InvalidParameterValueException", f"InvocationType {kind} is not served here"
            )
        try:
            result = self.invoke(function, request.body or b"{}", headers.get("x-amz-tenant-id"))
        except ToolError as fault:
            return _refusal(500, "ServiceException", str(fault))
        answered: list[tuple[str, str]] = [
            ("Content-Type", "application/json"),
            ("x-amzn-RequestId", result.request_id or str(uuid.uuid4())),
        ]
        if result.error_type:
            return Answer(result.status, (*answered, ("x-amzn-ErrorType", result.error_type)), result.payload)
        answered.append(("X-Amz-Executed-Version", "$LATEST"))
        if result.function_error:
            answered.append(("X-Amz-Function-Error", result.function_error))
        if headers.get("x-amz-log-type") == "Tail":
            tail = "\n".join(result.log).encode()[-_LOG_TAIL_BYTES:]
            answered.append(("X-Amz-Log-Result", base64.b64encode(tail).decode()))
        return Answer(200, tuple(answered), result.payload)

    def _function(self, name: str) -> str | None:
        match = _FUNCTION_NAME.match(name)
        wanted = match[1] if match else name
        functions = self.template.functions
        return next((key for key, each in functions.items() if wanted in {key, each.name}), None)


def _in_a_stream(answer: Answer) -> Answer:
    """Return an answer to Invoke as one to InvokeWithResponseStream."""
    if answer.status != HTTPStatus.OK:
        return answer
    has_failed = "X-Amz-Function-Error" in dict(answer.headers)
    body = completed(json.loads(answer.body)) if has_failed else part(answer.body) + completed()
    return Answer(answer.status, (("Content-Type", CONTENT_TYPE),), body)


def _refusal(status: int, kind: str, message: str) -> Answer:
    body = json.dumps({"Type": "User", "Message": message}).encode()
    return Answer(status, (("Content-Type", "application/json"), ("x-amzn-ErrorType", kind)), body)


@contextmanager
def serve(front: Front, port: int = 0) -> Iterator[str]:
    """Serve `front` on loopback while the context lasts; yields its URL, as `http://127.0.0.1:8080`."""

    class Handler(_Handler):
        answers = front

    server = _Server(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


class _Handler(BaseHTTPRequestHandler):
    answers: Front
    protocol_version = "HTTP/1.1"
    # Head and body leave in one segment; without both settings Nagle's algorithm costs 40 ms.
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True  # the caller went away

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Say nothing: callers see the answer, and the functions' logs are kept."""

    def _answer(self) -> None:
        body, refused = self._read_body()
        request = Request(self.command, self.path, tuple(self.headers.items()), body, self.client_address[0])
        answer = refused or self.answers.answer(request)
        self.send_response_only(answer.status)
        for name, value in answer.headers:
            if name.lower() not in {"content-length", "connection", "transfer-encoding"}:
                self.send_header(name, value)
        if answer.status >= HTTPStatus.OK and answer.status not in {204, 304}:
            self.send_header("Content-Length", str(len(answer.body)))
        if refused:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        if self.command != "HEAD" and answer.status not in {204, 304}:
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _read_body(self) -> tuple[bytes | None, Answer | None]:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            return self._read_chunks()
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES:
            return None, self.answers.too_large()
        return (self.rfile.read(length) if length else None), None

    def _read_chunks(self) -> tuple[bytes | None, Answer | None]:
        parts = bytearray()
        while size := int(self.rfile.readline(64).split(b";")[0], 16):
            if len(parts) + size > _MAX_BODY_BYTES:
                return None, self.answers.too_large()
            parts += self.rfile.read(size)
            self.rfile.readline(64)
        while self.rfile.readline(65536).strip():
            pass  # trailers
        return bytes(parts) or None, None

    do_DELETE = do_GET = do_HEAD = do_OPTIONS = do_PATCH = do_POST = do_PUT = _answer  # noqa: N815
