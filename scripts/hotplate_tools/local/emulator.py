"""A program: the local cloud as its own command starts it, with two things that AWS does and it does not.

- API Gateway takes a request without `Content-Type` or `Accept` for one with `application/json`, which
  `BinaryMediaTypes: ["*/*"]` covers, so bodies are bytes both ways. ministack 1.5 takes it for text,
  and garbles what clients send and get that leave these headers out (Triton's, Python's http.client).
- A function's reserved concurrency holds for all its versions together. ministack 1.5 applies it only
  to calls of the unpublished one; an API that calls an alias would never be throttled.

Runs in the environment `cloud` (requirements/cloud.txt, where the version is pinned); nothing else
imports it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as cloud  # type: ignore[import-not-found] # lives in its own environment
from ministack.services import lambda_svc  # type: ignore[import-not-found]

type App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

DEFAULTS = ((b"accept", b"application/json"), (b"content-type", b"application/json"))


def with_media_types(app: App) -> App:
    """Return `app` behind a front that gives requests to an API the headers that API Gateway assumes."""

    async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and "/_user_request_/" in scope["path"]:
            given = {name.lower() for name, _ in scope["headers"]}
            assumed = [default for default in DEFAULTS if default[0] not in given]
            scope = {**scope, "headers": [*scope["headers"], *assumed]}
        await app(scope, receive, send)

    return front


def with_shared_concurrency(
    own: Callable[[Any, dict[str, Any]], int | None],
) -> Callable[[Any, dict[str, Any]], int | None]:
    """Return `own`, which reads a record's reserved concurrency, asked for the function's own record."""

    def shared(_version: object, config: dict[str, Any]) -> int | None:
        return own(lambda_svc._functions.get(config["FunctionName"]), config)

    return shared


if __name__ == "__main__":
    lambda_svc._reserved_concurrency = with_shared_concurrency(lambda_svc._reserved_concurrency)
    cloud.app = with_media_types(cloud.app)
    cloud.main()
