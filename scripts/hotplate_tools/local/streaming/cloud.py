"""Streaming functions in the local cloud: workers that run the real runtime loop, routes that pass chunks on.

ministack 1.5 runs Python functions by a script of its own and gives answers on when they are whole; a
function's `AWS_LAMBDA_EXEC_WRAPPER` it ignores, and a method with `ResponseTransferMode: RESPONSE_STREAM` it
answers with an error. Here such a function's worker starts what the variable names, as Lambda does, and
speaks the Runtime API to it; such a method hands on each chunk when it is there. Everything else is
ministack's own: files, variables, credentials, concurrency, logs; and authorisers, keys, plans and events of
the route.

Rules kept: a caller that hangs up ends the stream; an answer that breaks off, or that the function says
failed, is broken off for the caller too, so that a part is never taken for the whole.

Runs in the environment `cloud`, as `emulator.py` does.

Source: API Gateway Developer Guide, "Stream the integration response for your proxy integrations".
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

from ministack.core import lambda_runtime  # type: ignore[import-not-found] # lives in its own environment
from ministack.core.responses import StreamingResponse  # type: ignore[import-not-found]

from hotplate_tools.local.streaming.api import RuntimeApi
from hotplate_tools.local.streaming.call import Call, split_prelude
from hotplate_tools.local.streaming.listener import LISTENER, Listener
from hotplate_tools.local.streaming.process import INIT_LIMIT_S, Outcome, follow, wait_started

__all__ = [
    "TENANT_OF_WORKER",
    "has_wrapper",
    "with_exec_wrapper",
    "with_streaming_methods",
    "with_streaming_workers",
]

type Proxy = Callable[..., Awaitable[tuple[int, dict[str, Any], Any]]]

_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
# In a worker's configuration: whose it is, where a function keeps its tenants apart.
TENANT_OF_WORKER = "HotplateTenant"
# Marks a worker's runtime, so that the script below is started in it.
_STREAMING = "streaming "
_STARTER = (Path(__file__).parent / "starter.py").read_text(encoding="utf-8")
# Source: samtranslator, `_build_apigw_integration_uri`.
_STREAMING_PATH, _BUFFERED_PATH = "/response-streaming-invocations", "/invocations"
_CONNECTION_HEADERS = {"connection", "content-length", "transfer-encoding"}


def with_exec_wrapper(own: Callable[[str], tuple[str, str]]) -> Callable[[str], tuple[str, str]]:
    """Return `own`, which names interpreter and script of a worker, for streaming workers too."""

    def binary_and_script(runtime: str) -> tuple[str, str]:
        binary, script = own(runtime.removeprefix(_STREAMING))
        return binary, _STARTER if runtime.startswith(_STREAMING) else script

    return binary_and_script


def with_streaming_workers(own: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    """Return `own`, which chooses a function's kind of worker, for functions with a wrapper too."""

    def worker_class(config: dict[str, Any]) -> Any:
        return StreamingWorker if has_wrapper(config) else own(config)

    return worker_class


def has_wrapper(config: dict[str, Any]) -> bool:
    """Return whether a function is started by what `AWS_LAMBDA_EXEC_WRAPPER` names."""
    return bool(config.get("Environment", {}).get("Variables", {}).get(_WRAPPER))


def with_streaming_methods(own: Proxy) -> Proxy:
    """Return `own`, which answers a request by a function, for methods that stream too."""

    async def invoke(integration: dict[str, Any], *args: Any, **named: Any) -> Any:
        uri = integration.get("uri") or ""
        if not uri.endswith(_STREAMING_PATH):
            return await own(integration, *args, **named)
        listener = Listener(asyncio.get_running_loop())
        LISTENER.set(listener)
        buffered = {**integration, "uri": uri.removesuffix(_STREAMING_PATH) + _BUFFERED_PATH}
        answer = asyncio.ensure_future(own(buffered, *args, **named))
        answer.add_done_callback(lambda _: listener.finish())
        return await _response(listener) or await _whole(answer)

    return invoke


async def _whole(answer: Awaitable[tuple[int, dict[str, Any], Any]]) -> Any:
    """Return ministack's own answer: the function was throttled, failed, or did not stream."""
    given = await answer
    if isinstance(given, tuple) and given[0] not in (429, 502):
        # API Gateway takes nothing else from a streaming method's function.
        return 502, {"Content-Type": "application/json"}, b'{"message": "Internal server error"}'
    return given


async def _response(listener: Listener) -> tuple[int, dict[str, Any], StreamingResponse] | None:
    """Return the answer that has begun; None if there is none that streams."""
    data = b""
    while isinstance(part := await listener.next_part(), bytes):
        data += part
        try:
            begun = split_prelude(data)
        except ValueError:
            listener.hang_up()
            return None
        if begun is not None:
            head, rest = begun
            return head["statusCode"], _headers(head), StreamingResponse(_runner(listener, rest))
    return None


def _runner(listener: Listener, first: bytes) -> Callable[[Any, Any], Awaitable[None]]:
    async def run(send: Any, receive: Any) -> None:
        is_whole = False
        if first:
            await send({"type": "http.response.body", "body": first, "more_body": True})
        async with aclosing(listener.rest(receive)) as rest:
            async for each in rest:
                if isinstance(each, Outcome):
                    is_whole = not each.is_broken and each.error is None
                elif each:
                    await send({"type": "http.response.body", "body": each, "more_body": True})
        if is_whole:  # without a last frame the caller sees that this was not all
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return run


def _headers(head: dict[str, Any]) -> dict[str, Any]:
    merged = {**head.get("headers", {}), **head.get("multiValueHeaders", {})}
    if cookies := head.get("cookies"):
        merged["Set-Cookie"] = cookies
    return {name: value for name, value in merged.items() if name.lower() not in _CONNECTION_HEADERS}


class StreamingWorker(lambda_runtime.Worker):  # type: ignore[misc] # has no types
    """A worker whose process speaks the Runtime API."""

    _proc: Any  # ministack's own
    _api: RuntimeApi

    def __init__(self, func_name: str, config: dict[str, Any], code_zip: bytes) -> None:
        """Take ministack's arguments."""
        super().__init__(func_name, {**config, "Runtime": f"{_STREAMING}{config['Runtime']}"}, code_zip)
        self._close_api: Callable[[], None] = _nothing

    def _spawn(self) -> None:
        """Start the process; its init goes on."""
        self._close_api()
        super()._spawn()
        self._api = RuntimeApi()
        self._close_api = self._api.close
        self._proc.stdin.write(json.dumps({"api": self._api.address}) + "\n")
        self._proc.stdin.flush()

    def invoke(self, event: Any, request_id: str, **named: Any) -> dict[str, Any]:
        """Have an event answered, as ministack's worker does; chunks go to who listens."""
        call = Call(
            json.dumps(event).encode(),
            request_id=request_id,
            arn=named.get("invoked_function_arn") or self.config.get("FunctionArn", ""),
            trace_id=named.get("trace_id") or "",
            tenant=self.config.get(TENANT_OF_WORKER),
        )
        listener = LISTENER.get()
        with self._lock:
            is_cold, parts = self._proc is None or self._proc.poll() is not None, list[bytes]()
            if listener is not None:
                listener.attach(call)
            outcome = self._run(call, is_cold, parts.append if listener is None else listener.deliver)
            if outcome.is_spent:
                self._end_process()
            answer = _result(outcome, b"".join(parts), call)
            if listener is not None:
                listener.end(outcome)
            return {**answer, "cold_start": is_cold, "log": self._drain_stderr_bounded()}

    def _run(self, call: Call, is_cold: bool, deliver: Callable[[bytes], None]) -> Outcome:
        timeout_s = float(self.config.get("Timeout", 3))
        if is_cold:
            self._spawn()
            failed = wait_started(self._api, self._proc, INIT_LIMIT_S + timeout_s)
            if failed:
                return failed
        return follow(self._api, self._proc, call, timeout_s=timeout_s, deliver=deliver)

    def _end_process(self) -> None:
        process, self._proc = self._proc, None
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
        self._close_api()
        self._close_api = _nothing

    def _discard_tmpdir(self) -> None:
        """Leave nothing, when ministack ends the worker."""
        # Closing waits for a thread; ministack ends its workers one after the other.
        threading.Thread(target=self._close_api, daemon=True).start()
        super()._discard_tmpdir()


def _nothing() -> None:
    """Close nothing."""


def _result(outcome: Outcome, body: bytes, call: Call) -> dict[str, Any]:
    """Return ministack's form of an outcome."""
    if outcome.error is not None:
        message = outcome.error.get("errorMessage") or outcome.error.get("errorType")
        return {"status": "error", "error": message, "trace": ""}  # the runtime has logged its own
    if outcome.is_broken:
        return {"status": "ok", "result": None}  # hung up on; nothing went wrong in the function
    if call.is_streamed or not body:
        return {"status": "ok", "result": body}  # bytes go on as they are
    return {"status": "ok", "result": json.loads(body)}
