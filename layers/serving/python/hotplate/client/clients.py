"""The two clients: the conversations of `exchange`, driven over HTTP, waiting or awaiting."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

import httpx2

from hotplate.client.exchange import (
    Answer,
    Send,
    Unsent,
    ask_models,
    ask_usage,
)
from hotplate.client.faults import UnreachableError
from hotplate.client.handles import AsyncJob, AsyncModel, Job, Model
from hotplate.client.retries import Retries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from hotplate.client.exchange import Conversation

__all__ = ["AsyncClient", "Client"]

# A little longer than API Gateway waits for a function, so that its words are heard and not our own.
TIMEOUT_S = 35.0


class Client:
    """An API of hotplate, or any server of the Open Inference Protocol. Threads may share one."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Connect when first used.

        Args:
            url: Of the API, before `/v2`.
            key: API key, sent as `x-api-key`.
            timeout_s: Longest silence of the server.
            retries: When a call is made again.
            transport: Other than HTTP's own.
            sleep: Waits before another try.
        """
        self._url, self._retries, self._sleep = url.rstrip("/"), retries or Retries(), sleep
        self._key = _headers(key)
        self._http = httpx2.Client(timeout=timeout_s, transport=transport)

    def model(self, name: str, version: str | None = None) -> Model:
        """Return the model of this name; nothing is asked yet."""
        return Model(self, name, version)

    def models(self) -> list[str]:
        """Return the names of the models that are ready.

        Raises:
            ApiError, UnreachableError: There was no such answer.
        """
        return self._run(ask_models(self._retries))

    def job(self, id: str) -> Job:  # noqa: A002 - the API's own word
        """Return the job of this id; nothing is asked yet."""
        return Job(self, id)

    def usage(
        self, *, start: str | None = None, end: str | None = None, model: str | None = None
    ) -> dict[str, Any]:
        """Return what the caller's tenant has used, as `GET /usage` tells it.

        Args:
            start: First day, as 2026-11-01; with `end`, the month so far if not given.
            end: Last day.
            model: Only of this one.

        Raises:
            ApiError, UnreachableError: There was no such answer.
        """
        return self._run(ask_usage(_query(start, end, model), self._retries))

    def close(self) -> None:
        """End the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run[T](self, conversation: Conversation[T]) -> T:
        came: Answer | Unsent | None = None
        while True:
            try:
                step = conversation.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                came = self._send(step)
            else:
                came = None
                self._sleep(step.seconds)

    def _send(self, step: Send) -> Answer | Unsent:
        url, headers = _addressed(step, self._url, self._key)
        try:
            return _answer(self._http.request(step.method, url, headers=headers, content=step.body))
        except httpx2.ConnectError as fault:
            return Unsent(f"{_host(url)}: {fault}")
        except httpx2.TransportError as fault:
            raise UnreachableError(f"{_host(url)}: {fault or type(fault).__name__}") from fault


class AsyncClient:
    """`Client` for `await`. Tasks may share one, within one event loop."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: Retries | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Connect when first used; the arguments are those of `Client`."""
        self._url, self._retries, self._sleep = url.rstrip("/"), retries or Retries(), sleep
        self._key = _headers(key)
        self._http = httpx2.AsyncClient(timeout=timeout_s, transport=transport)

    def model(self, name: str, version: str | None = None) -> AsyncModel:
        """Return the model of this name; nothing is asked yet."""
        return AsyncModel(self, name, version)

    async def models(self) -> list[str]:
        """Return the names of the models that are ready; raises as `Client.models`."""
        return await self._run(ask_models(self._retries))

    def job(self, id: str) -> AsyncJob:  # noqa: A002 - the API's own word
        """Return the job of this id; nothing is asked yet."""
        return AsyncJob(self, id)

    async def usage(
        self, *, start: str | None = None, end: str | None = None, model: str | None = None
    ) -> dict[str, Any]:
        """Return what the caller's tenant has used; arguments and errors are those of `Client.usage`."""
        return await self._run(ask_usage(_query(start, end, model), self._retries))

    async def close(self) -> None:
        """End the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run[T](self, conversation: Conversation[T]) -> T:
        came: Answer | Unsent | None = None
        while True:
            try:
                step = conversation.send(came)
            except StopIteration as done:
                result: T = done.value
                return result
            if isinstance(step, Send):
                came = await self._send(step)
            else:
                came = None
                await self._sleep(step.seconds)

    async def _send(self, step: Send) -> Answer | Unsent:
        url, headers = _addressed(step, self._url, self._key)
        try:
            return _answer(await self._http.request(step.method, url, headers=headers, content=step.body))
        except httpx2.ConnectError as fault:
            return Unsent(f"{_host(url)}: {fault}")
        except httpx2.TransportError as fault:
            raise UnreachableError(f"{_host(url)}: {fault or type(fault).__name__}") from fault


def _query(start: str | None, end: str | None, model: str | None) -> dict[str, str]:
    given = {"from": start, "to": end, "model": model}
    return {name: value for name, value in given.items() if value is not None}


def _headers(key: str | None) -> dict[str, str]:
    return {"x-api-key": key} if key else {}


def _addressed(step: Send, api: str, key: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Return where a request goes and with which headers; the key goes to the API only."""
    if step.path.startswith("/"):
        return api + step.path, {**key, **step.headers}
    return step.path, dict(step.headers)


def _host(url: str) -> str:
    """Return a URL without its query, which may be a credential."""
    return url.partition("?")[0]


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), response.content)
