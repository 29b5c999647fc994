"""One invocation: from what SageMaker hands on to a request of the model's endpoint, and its answer back.

With the proxy's attributes the request is the one that the proxy took, of its caller. Without them it is one
of SageMaker's own clients: `/invocations`, of nobody.

Of an answer's headers SageMaker hands on the content type alone. So binary tensors are answered with the
content type that says how long their JSON is.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote

from hotplate.http.answers import answer_error
from hotplate.http.attributes import ATTRIBUTES_HEADER, Attributes, read_attributes
from hotplate.http.caller import Caller
from hotplate.http.event import HttpRequest, HttpResponse
from hotplate.http.invocations import LENGTH_HEADER, TRITON
from hotplate.http.usage import UsageLine
from hotplate.prices import instance_nano_usd

if TYPE_CHECKING:
    from collections.abc import Mapping

    from functions.sagemaker.loading import Loading
    from functions.sagemaker.settings import ContainerSettings

__all__ = ["Answering"]


class Answering:
    """Answers invocations, `settings.workers` at once; the others wait."""

    def __init__(self, settings: ContainerSettings, loading: Loading) -> None:
        self._settings = settings
        self._loading = loading
        self._free = threading.Semaphore(settings.workers)

    def ping(self) -> HttpResponse:
        """Return 200 once the model is there; SageMaker sends no requests before."""
        try:
            self._loading.endpoint()
        except Exception as fault:
            return answer_error(fault, _ping(), "ping")
        return HttpResponse(200, b'{"ready":true}')

    def invoke(self, headers: Mapping[str, str], body: bytes) -> HttpResponse:
        """Return the answer. Nothing is raised: every fault has one.

        Args:
            headers: By lower-case name.
            body: As sent.
        """
        request = HttpRequest("POST", ("invocations",), headers, body)
        request_id = secrets.token_hex(8)
        try:
            attributes = read_attributes(headers.get(ATTRIBUTES_HEADER, ""))
            request_id = attributes.request_id or request_id
            request = _request_of(attributes, request)
            endpoint = self._loading.endpoint()
        except Exception as fault:
            return answer_error(fault, request, request_id)
        with self._free:
            usage = _InstanceUsage(_Context(request_id, self._settings.memory_mb))
            usage.tier, usage.usd_per_hour = self._settings.tier, self._settings.usd_per_hour
            usage.caller = Caller(
                attributes.tenant or None,
                attributes.key or None,
                asked=attributes.asked,
                is_again=bool(attributes.again),
            )
            return _for_sagemaker(endpoint.respond(request, usage))


@dataclass(frozen=True, slots=True)
class _Context:
    """What a usage line takes from Lambda's context."""

    aws_request_id: str
    memory_limit_in_mb: int


class _InstanceUsage(UsageLine):
    """The usage line of an instance. Its start is nobody's request, so no request pays it."""

    bills_init = False
    usd_per_hour = 0.0

    def nano_usd(self, billed_ms: int) -> int:
        """Return about what so many milliseconds of the instance cost, in billionths of a USD."""
        return instance_nano_usd(billed_ms, self.usd_per_hour)


def _request_of(attributes: Attributes, request: HttpRequest) -> HttpRequest:
    if not attributes.path:
        return request
    segments = tuple(unquote(part) for part in attributes.path.split("/") if part)
    headers = dict(request.headers)
    if attributes.header_length:
        headers[LENGTH_HEADER] = attributes.header_length
    return HttpRequest("POST", segments, headers, request.body)


def _for_sagemaker(response: HttpResponse) -> HttpResponse:
    length = response.headers.get(LENGTH_HEADER)
    if length is None:
        return response
    kind = f"{TRITON};json-header-size={length}"
    return HttpResponse(response.status, response.body, response.headers, kind)


def _ping() -> HttpRequest:
    return HttpRequest("GET", ("ping",), {}, b"")
