"""What the API takes and answers, as an OpenAPI document: made from the manifests, model by model.

Rules kept here:

1. Every route of the template is in it, and every status that it answers.
2. Schemas are as strict as JSON Schema can be: an input's name, datatype and rank are in them. Its
   sizes, that `data` has as many elements, and which inputs go together are in words.
3. A schema that a client fills in allows unknown members, because the protocol does.

Source: OpenAPI Specification 3.1.0; Open Inference Protocol v2; OpenAI API reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import hotplate
from functions.catalogue.generation import completion_bodies, generate_bodies
from functions.catalogue.jobs import TAKEN, job_paths
from functions.catalogue.schemas import COMPONENTS, ref
from functions.catalogue.signature import example, infer_request, infer_response, predict_request
from hotplate.generation.chat import generates_text
from hotplate.http.embeddings import gives_embeddings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.catalogue.served import Served
    from hotplate.manifest.schema import Manifest

    type Json = dict[str, Any]

__all__ = ["document"]

_OPENAI_BASES = ("/v1", "/openai/v1")
_NAME: Json = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
_VERSION: Json = {**_NAME, "name": "version"}
_LENGTH: Json = {
    "name": "Inference-Header-Content-Length",
    "in": "header",
    "description": "Bytes of the JSON part, if binary data follows it.",
    "schema": {"type": "string", "pattern": "^[0-9]{1,18}$"},
}


def document(models: Sequence[Served], *, server: str, whole: bool = True) -> Json:
    """Return the document.

    Args:
        models: Those to describe; those that are not ready are left out.
        server: Base of the API's paths, as a URL relative to the document's.
        whole: Describe the server's own routes too.
    """
    ready = [(each, each.manifest) for each in models if each.manifest]
    paths: Json = _server_paths([manifest for _, manifest in ready]) if whole else {}
    schemas: Json = {}
    for served, manifest in ready:
        of_tier = _model_paths if served.pin.is_on_lambda else _endpoint_paths
        paths |= of_tier(served.pin.name, served.pin.version, manifest)
        schemas |= {
            f"{served.pin.name}.request": infer_request(manifest),
            f"{served.pin.name}.response": infer_response(manifest, served.pin.version),
        }
    title = "hotplate" if whole else ready[0][0].pin.name if ready else "hotplate"
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": hotplate.__version__},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": {**COMPONENTS, **schemas}},
    }


def _server_paths(manifests: Sequence[Manifest]) -> Json:
    index = _operation("What is served, and what of it is ready", _json(ref("Index")), (400, 413, 503))
    index["requestBody"] = _body(ref("IndexRequest"), required=False)
    refused = _operation("Refused: Lambda loads and unloads", None, (404, 405), parameters=[_NAME])
    paths: Json = {
        "/v2": {"get": _operation("What the server is", _json(ref("Server")))},
        "/v2/health/live": {"get": _operation("Whether it answers", _json(ref("Live")))},
        "/v2/health/ready": {"get": _with_503(_operation("Whether models can start", _json(ref("Ready"))))},
        "/v2/repository/index": {"post": index},
        "/v2/repository/models/{name}/load": {"post": refused},
        "/v2/repository/models/{name}/unload": {"post": refused},
        "/openapi.json": {"get": _operation("This document", _json({"type": "object"}), (503,))},
        "/ping": {"get": _operation("Whether it answers, as SageMaker asks", _json(ref("Live")))},
        "/invocations": {"post": _invocations([_TARGET])},
        "/uploads": {"post": _uploads()},
        **job_paths(_operation),
    }
    for base in _OPENAI_BASES:
        openai = "OpenaiError"
        listed = _operation(
            "The models, as OpenAI lists them", _json(ref("OpenaiList")), (503,), error=openai
        )
        one = _operation("One model", _json(ref("OpenaiModel")), (404, 503), error=openai, parameters=[_NAME])
        paths |= {f"{base}/models": {"get": listed}, f"{base}/models/{{name}}": {"get": one}}
        paths[f"{base}/embeddings"] = {"post": _embeddings(manifests)}
        able = [manifest for manifest in manifests if generates_text(manifest)]
        told = any(manifest.plan.fallback for manifest in able)
        for path, (summary, sent, answer) in completion_bodies([each.name for each in able]).items():
            operation = _generation(summary, sent, answer, error="OpenaiError")
            paths[base + path] = {"post": _with_fallback(operation) if told else operation}
    return paths


def _model_paths(name: str, version: str, manifest: Manifest) -> Json:
    faults = (404, 500, 503)
    paths: Json = {}
    for base, parameters in (
        (f"/v2/models/{name}", []),
        (f"/v2/models/{name}/versions/{{version}}", [{**_VERSION, "schema": {"enum": [version]}}]),
    ):
        gets = {
            "": _operation("Signature and origin", _json(ref("Metadata")), faults, parameters=parameters),
            "/ready": _operation(
                "Whether it can answer", _json(ref("ModelReady")), faults, parameters=parameters
            ),
            "/card": _operation("The model card", {"text/markdown": {}}, faults, parameters=parameters),
        }
        paths |= {base + suffix: {"get": operation} for suffix, operation in gets.items()}
        paths[f"{base}/infer"] = {"post": _infer(name, manifest, parameters)}
        if generates_text(manifest):
            sent, answer = generate_bodies()
            whole = _generation("What comes after a text", sent, answer, parameters=parameters)
            stream = _generation("The same, in events", sent, None, parameters=parameters)
            for verb, operation in (("generate", whole), ("generate_stream", stream)):
                # A version that is named is answered by that very version.
                told = bool(manifest.plan.fallback) and not parameters
                paths[f"{base}/{verb}"] = {"post": _with_fallback(operation) if told else operation}
    paths[f"/v2/models/{name}/docs"] = {"get": _operation("This, as a page", {"text/html": {}}, (404, 503))}
    paths[f"/v2/models/{name}/docs/dataplane.json"] = {
        "get": _operation("This document", _json({"type": "object"}), (404, 503))
    }
    if not generates_text(manifest):
        paths[f"/v2/models/{name}/explain"] = {"post": _explain(name, manifest)}
    paths[f"/v1/models/{name}:predict"] = {"post": _predict(manifest)}
    paths[f"/endpoints/{name}/invocations"] = {"post": _invocations([])}
    return paths


def _endpoint_paths(name: str, version: str, manifest: Manifest) -> Json:
    """Return the paths of a model on SageMaker: those of `functions/gpu_proxy`, and its page."""
    faults, versions = (404, 500, 503), [{**_VERSION, "schema": {"enum": [version]}}]
    base = f"/v2/models/{name}"
    return {
        base: {"get": _operation("Signature and origin", _json(ref("Metadata")), faults)},
        f"{base}/ready": {"get": _operation("Whether it takes requests", _json(ref("ModelReady")), faults)},
        f"{base}/infer": {"post": _infer(name, manifest, [])},
        f"{base}/versions/{{version}}/infer": {"post": _infer(name, manifest, versions)},
        f"{base}/docs": {"get": _operation("This, as a page", {"text/html": {}}, (404, 503))},
        f"{base}/docs/dataplane.json": {
            "get": _operation("This document", _json({"type": "object"}), (404, 503))
        },
    }


def _infer(name: str, manifest: Manifest, parameters: list[Json]) -> Json:
    content = {**_json(ref(f"{name}.response")), "application/octet-stream": {}}
    operation = _operation("Inference", content, _INFER_FAULTS, parameters=[*parameters, _LENGTH])
    operation["responses"]["202"] = TAKEN
    if manifest.plan.fallback:
        operation = _with_fallback(operation)
    shown = example(manifest)
    sent = _json(ref(f"{name}.request"), {"example": shown} if shown else {})
    binary = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    return operation | {"requestBody": {"required": True, "content": sent | binary}}


def _explain(name: str, manifest: Manifest) -> Json:
    operation = _infer(name, manifest, [])
    operation["summary"] = "What the answer hangs on: tensors `attribution.INPUT`, `target`, `score`"
    operation["responses"]["200"]["content"]["application/json"] = {"schema": {"type": "object"}}
    return operation


def _generation(summary: str, sent: Json, answer: Json | None, **more: Any) -> Json:
    """Return an operation that generates text; `answer` is None where it comes in events only."""
    whole = {} if answer is None else _json(answer)
    events: Json = {"text/event-stream": {"schema": _EVENT}}
    return _operation(summary, whole | events, _INFER_FAULTS, **more) | {"requestBody": _body(sent)}


def _with_fallback(operation: Json) -> Json:
    """Return the operation with the header that says that another answered."""
    answers = dict(operation["responses"])
    for status in ("200", "202"):
        if status in answers:
            told = answers[status]
            answers[status] = told | {"headers": {**told.get("headers", {}), **_FALLBACK}}
    return operation | {"responses": answers}


_FALLBACK: Json = {
    "Hotplate-Fallback": {
        "description": "Who answered instead, and why: `NAME; reason=REASON`",
        "schema": {"type": "string"},
    }
}
# Before OpenAPI 3.2 the schema of a stream of events is that of one event.
_EVENT: Json = {"type": "object", "required": ["data"], "properties": {"data": {"type": "string"}}}
_INFER_FAULTS = (400, 403, 404, 413, 429, 500, 503, 504)
_TARGET: Json = {
    "name": "X-Amzn-SageMaker-Target-Model",
    "in": "header",
    "description": "The model; may be left out where there is one only.",
    "schema": {"type": "string"},
}


def _predict(manifest: Manifest) -> Json:
    operation = _operation("Inference, as KServe's v1 has it", _json(ref("Predictions")), _INFER_FAULTS)
    operation["responses"]["202"] = TAKEN
    return operation | {"requestBody": _body(predict_request(manifest))}


def _invocations(parameters: list[Json]) -> Json:
    content = {"application/json": {"schema": {"type": "object"}}}
    operation = _operation(
        "Inference, as SageMaker's client asks", content, (*_INFER_FAULTS, 415), parameters=parameters
    )
    operation["responses"]["202"] = TAKEN
    sent = {**content, "text/plain": {"schema": {"type": "string"}}}
    return operation | {"requestBody": {"required": True, "content": sent}}


def _uploads() -> Json:
    operation = _operation("Where to put an input that is too large for a call", None, (400, 413))
    created = {"description": "Put it there", "content": _json(ref("Upload"))}
    operation["responses"] = {"201": created, **operation["responses"]}
    return operation | {"requestBody": _body(ref("UploadRequest"))}


def _embeddings(manifests: Sequence[Manifest]) -> Json:
    able = [manifest.name for manifest in manifests if gives_embeddings(manifest)]
    schema = {
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": {"type": "string", "enum": able} if able else {"type": "string", "minLength": 1},
            "input": {
                "anyOf": [
                    {"type": "string"},
                    {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": 2048},
                ]
            },
            "encoding_format": {"enum": ["float", "base64", None]},
        },
    }
    operation = _operation("Embeddings", _json(ref("Embeddings")), _INFER_FAULTS, error="OpenaiError")
    operation["responses"]["202"] = TAKEN
    return operation | {"requestBody": _body(schema)}


def _operation(
    summary: str,
    content: Json | None,
    faults: Sequence[int] = (),
    *,
    error: str = "Error",
    parameters: Sequence[Json] = (),
) -> Json:
    responses: Json = {}
    if content is not None:
        responses["200"] = {"description": "As asked", "content": content}
    for status in sorted({*faults, 429, 500, 502, 503, 504}):
        # What API Gateway answers by itself has the protocol's shape, whatever the path.
        schema = {"anyOf": [ref(error), ref("Error")]} if error != "Error" else ref(error)
        kinds = ("application/json", "application/problem+json")
        responses[str(status)] = {
            "description": _MEANING[status],
            "content": {kind: {"schema": schema} for kind in kinds},
        }
        if status in (429, 503):
            responses[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return {
        "summary": summary,
        "responses": responses,
        **({"parameters": list(parameters)} if parameters else {}),
    }


_MEANING = {
    400: "Malformed, or not the model's signature",
    402: "The month's budget is spent",
    403: "Not the caller's",
    404: "No such path, model, version, card, upload or job",
    405: "Not by a call",
    409: "The id is another job's, or the job has ended",
    413: "Too large",
    415: "A content type that is not read here",
    429: "Too many requests at once",
    500: "Our fault",
    502: "The function crashed",
    503: "Not ready; try again",
    504: "Took too long",
}


def _with_503(operation: Json) -> Json:
    operation["responses"]["503"]["content"] = _json(ref("Ready"))
    return operation


def _json(schema: Json, more: Json | None = None) -> Json:
    return {"application/json": {"schema": schema, **(more or {})}}


def _body(schema: Json, *, required: bool = True) -> Json:
    return {"required": required, "content": _json(schema)}
