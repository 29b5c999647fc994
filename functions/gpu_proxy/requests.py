"""A request to the model on SageMaker: waited for, or taken as a job.

Where nobody waits, the request becomes a job like any other (`GET /jobs/{id}` tells of it): first its row,
then the request in the bucket, then SageMaker is told where it lies. The job stays queued until SageMaker
says what came of it, whether the endpoint is awake or has to be woken. A request that SageMaker does not take
ends its job at once, and its caller is told.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.errors import EndpointUnavailableError, ModelNotFoundError, UnknownPathError
from hotplate.http.aliases import alias_of, named_model
from hotplate.http.attributes import Attributes, write_attributes
from hotplate.http.caller import caller_of, refuse_spent
from hotplate.http.event import HttpRequest, HttpResponse
from hotplate.http.forwarding import allowed_models, refuse_unknown
from hotplate.http.invocations import LENGTH_HEADER, TRITON
from hotplate.http.metadata import metadata_of
from hotplate.http.routes import Route, route_of
from hotplate.http.webhooks import WEBHOOK_HEADER
from hotplate.tenants.keys import read_scopes
from hotplate.tenants.usage import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from functions.gpu_proxy.breaker import Breaker
    from functions.gpu_proxy.settings import ProxySettings
    from hotplate.aws.endpoint import Endpoint, EndpointAnswer
    from hotplate.aws.job_files import JobFiles
    from hotplate.aws.job_table import JobTable
    from hotplate.http.webhooks import Webhooks
    from hotplate.manifest.schema import Manifest

__all__ = ["ProxyRequests", "from_container"]

_OCTETS = "application/octet-stream"


class ProxyRequests:
    """Answers requests about the one model."""

    def __init__(
        self,
        settings: ProxySettings,
        endpoint: Endpoint,
        breaker: Breaker,
        table: JobTable,
        files: JobFiles,
        webhooks: Webhooks,
        manifest: Callable[[], Manifest],
    ) -> None:
        """Make it; `webhooks` judges receivers, and `manifest` returns that of the version, verified."""
        self._settings = settings
        self._endpoint = endpoint
        self._breaker = breaker
        self._table = table
        self._files = files
        self._webhooks = webhooks
        self._manifest = manifest

    def answer(self, request: HttpRequest, event: Mapping[str, Any], request_id: str) -> HttpResponse:
        """Return the answer.

        Raises:
            RequestError: No such path, or a receiver that cannot be one.
            ModelNotFoundError: Another model or version, or not for this caller.
            CallerError: The tenant has used up the month, and wants to infer.
            EndpointUnavailableError: The endpoint takes no requests now.
            StoreError: Table or bucket are not to be had.
        """
        route = _route(request, self._settings.model)
        self._refuse_other(route.model, route.version, event, "infer" if route.verb == "infer" else "read")
        if route.verb == "metadata":
            return HttpResponse(200, orjson.dumps(metadata_of(self._manifest(), self._settings.version)))
        if route.verb == "ready":
            self._breaker.check()
            return HttpResponse(200, orjson.dumps({"name": self._settings.model, "ready": True}))
        if route.verb != "infer":
            raise UnknownPathError("path", expected="metadata, ready or infer", received=route.verb)
        refuse_spent(caller_of(event))
        self._breaker.check()
        attributes = self._attributes(request, event, request_id)
        return (
            self._wait(request, attributes)
            if self._settings.waits
            else self._queue(request, event, attributes)
        )

    def _refuse_other(self, model: str, version: str | None, event: Mapping[str, Any], verb: str) -> None:
        served = self._settings.model
        caller = caller_of(event)
        if verb == "infer":
            refuse_unknown(model, allowed_models(caller, [served]))
        elif caller.scopes is not None and not read_scopes(caller.scopes.split()).allow("read", model):
            refuse_unknown(model, [])
        refuse_unknown(model, [served])
        if version not in (None, self._settings.version):
            raise ModelNotFoundError(
                f"unknown version {str(version)[:80]!r} of {served!r}; "
                f"this endpoint serves {self._settings.version!r}"
            )

    def _attributes(self, request: HttpRequest, event: Mapping[str, Any], request_id: str) -> str:
        caller = caller_of(event)
        return write_attributes(
            Attributes(
                path="/" + "/".join(request.segments),
                tenant=caller.tenant or "",
                key=caller.key or "",
                request_id=request_id,
                header_length=request.headers.get(LENGTH_HEADER, ""),
                asked=caller.asked,
                again="1" if caller.is_again else "",
            )
        )

    def _wait(self, request: HttpRequest, attributes: str) -> HttpResponse:
        try:
            answer = self._endpoint.ask(request.body, content_type=_type_of(request), attributes=attributes)
        except EndpointUnavailableError:
            self._breaker.failed()
            raise
        if answer.status >= 500:
            self._breaker.failed()
        else:
            self._breaker.succeeded()
        body, headers, kind = from_container(answer)
        if answer.status == 503:
            headers = {**headers, "retry-after": "2"}
        version = {"hotplate-model-version": self._settings.version}
        return HttpResponse(answer.status, body, {**headers, **version}, kind)

    def _queue(self, request: HttpRequest, event: Mapping[str, Any], attributes: str) -> HttpResponse:
        tenant, model, version = (
            caller_of(event).tenant or INTERNAL,
            self._settings.model,
            self._settings.version,
        )
        digest = hashlib.sha256(orjson.dumps([model, version]) + b"\n" + request.body).hexdigest()
        if webhook := request.headers.get(WEBHOOK_HEADER, ""):
            self._webhooks.check(tenant, webhook)
        job = self._table.add(
            tenant,
            secrets.token_hex(16),
            digest=digest,
            model=model,
            version=version,
            caller="{}",
            headers={"content-type": _type_of(request)},
            webhook=webhook,
        )
        self._files.put_request(job, request.body)
        try:
            self._endpoint.queue(
                self._files.request_uri(job),
                content_type=_type_of(request),
                attributes=attributes,
                inference_id=job.id,
            )
        except EndpointUnavailableError as fault:
            self._breaker.failed()
            self._table.bury(job, {"status": 503, "body": str(fault)})  # known to nobody, so told to nobody
            raise
        self._breaker.succeeded()
        told = {"id": job.id, "state": job.state, "model": model, "version": version}
        headers = {"location": f"/jobs/{job.id}", "retry-after": "1", "hotplate-model-version": version}
        return HttpResponse(202, orjson.dumps(told), headers)


def _route(request: HttpRequest, served: str) -> Route:
    """Return what is asked for, also by a path of another protocol, as the relay hands them on.

    Raises:
        RequestError: No such path.
    """
    if request.segments[:1] == ("v2",):
        return route_of(request)
    if alias_of(request).kind == "explain":
        raise UnknownPathError(
            "path", expected="infer, :predict, embeddings or invocations", received="explain"
        )
    return Route("infer", named_model(request) or served, None)


def from_container(answer: EndpointAnswer) -> tuple[bytes, dict[str, str], str]:
    """Return body, headers and content type as a model's function would have answered them."""
    kind, _, length = answer.content_type.partition(";json-header-size=")
    if kind == TRITON and length:
        return answer.body, {LENGTH_HEADER: length}, _OCTETS
    return answer.body, {}, answer.content_type


def _type_of(request: HttpRequest) -> str:
    return request.headers.get("content-type") or "application/json"
