"""A program: the local cloud, started as its own command starts it, with what API Gateway does and it does not.

API Gateway takes a request without `Content-Type` for one of `application/json`, and one without
`Accept` for one that accepts that; `BinaryMediaTypes: ["*/*"]` covers it, so the body goes to the
function as base64 and the answer's base64 is decoded. ministack 1.5 covers only headers that are
sent: it would decode the body as text and leave the answer encoded, and clients that send no such
headers (Triton's, Python's http.client) would send and get garbage.

Runs in the environment `cloud` (requirements/cloud.txt); nothing else imports it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ministack import app as cloud  # type: ignore[import-not-found] # lives in its own environment

type App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]

ASSUMED = {b"accept": b"application/json", b"content-type": b"application/json"}
# Requests to a deployed REST API, and none to AWS's own services, have this part in their path.
API_PATH = "/_user_request_/"


def with_assumed_headers(app: App) -> App:
    """Return `app` behind a front that adds the headers API Gateway assumes."""

    async def front(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and API_PATH in scope["path"]:
            sent = {name for name, _ in scope["headers"]}
            assumed = [(name, value) for name, value in ASSUMED.items() if name not in sent]
            scope = {**scope, "headers": [*scope["headers"], *assumed]}
        await app(scope, receive, send)

    return front


if __name__ == "__main__":
    cloud.app = with_assumed_headers(cloud.app)
    cloud.main()
