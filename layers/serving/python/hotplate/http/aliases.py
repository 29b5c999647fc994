"""Paths of other protocols than the Open Inference Protocol: which they are, and what answers each.

| method and path | protocol | the model is named |
|---|---|---|
| `POST /v1/models/{model}:predict`, `:explain` | KServe v1 | in the path |
| `POST /v1/embeddings`, `/openai/v1/embeddings` | OpenAI | in the body, `model` |
| `POST /endpoints/{model}/invocations` | SageMaker runtime | in the path |
| `POST /invocations` | SageMaker container | in the header `X-Amzn-SageMaker-Target-Model` |

All of them come to the relay's function, which finds the model's by `named_model` and hands the event on
as it came; the model's endpoint answers by `answer_alias`. OpenAI's completions name their model in the body
too, and are answered by `hotplate.http.generation`. The codecs are imported when they are first
needed: a cold start for the protocol itself pays nothing for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from hotplate.errors import MalformedRequestError, UnknownPathError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.http.event import HttpRequest, HttpResponse
    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.references import Fetch
    from hotplate.protocol.types import InferenceRequest, InferenceResponse

    type Predict = Callable[[InferenceRequest], InferenceResponse]
    type Explain = Callable[[InferenceRequest], HttpResponse]

__all__ = [
    "TARGET_MODEL",
    "Alias",
    "alias_of",
    "answer_alias",
    "completion_kind",
    "is_openai",
    "model_in_body",
    "named_model",
]

TARGET_MODEL = "x-amzn-sagemaker-target-model"

type Kind = Literal["predict", "explain", "embeddings", "invocations"]


type Completion = Literal["chat", "text"]

_COMPLETIONS: dict[tuple[str, ...], Completion] = {
    ("v1", "chat", "completions"): "chat",
    ("v1", "completions"): "text",
}


class Alias(NamedTuple):
    """A path, understood. `model` is None if the path names none."""

    kind: Kind
    model: str | None


def is_openai(segments: tuple[str, ...]) -> bool:
    """Return whether a path is of OpenAI's API, so that its errors have to look like OpenAI's."""
    is_kserve = segments[:2] == ("v1", "models") and ":" in segments[-1]
    return segments[:2] == ("openai", "v1") or (segments[:1] == ("v1",) and not is_kserve)


def completion_kind(segments: tuple[str, ...]) -> Completion | None:
    """Return which of OpenAI's completions a path asks for; None if it asks for something else."""
    return _COMPLETIONS.get(segments[1:] if segments[:2] == ("openai", "v1") else segments)


def alias_of(request: HttpRequest) -> Alias:
    """Return what the request asks for.

    Raises:
        UnknownPathError: No such path, or another method than it takes.
    """
    segments = request.segments[1:] if request.segments[:1] == ("openai",) else request.segments
    if request.method == "POST":
        if segments == ("v1", "embeddings"):
            return Alias("embeddings", None)
        if request.segments == ("invocations",):
            return Alias("invocations", request.headers.get(TARGET_MODEL))
        if len(segments) == 3 and (segments[0], segments[2]) == ("endpoints", "invocations"):
            return Alias("invocations", segments[1])
        if len(request.segments) == 3 and request.segments[:2] == ("v1", "models"):
            model, _, verb = request.segments[2].rpartition(":")
            if model and verb in ("predict", "explain"):
                return Alias("explain" if verb == "explain" else "predict", model)
    raise UnknownPathError(
        "path",
        expected="POST /v1/models/{model}:predict or :explain, /v1/embeddings or "
        "/endpoints/{model}/invocations",
        received=f"{request.method} /{'/'.join(request.segments)}"[:200],
    )


def named_model(request: HttpRequest) -> str | None:
    """Return the model that a request is for; None where it may leave that open and does.

    Raises:
        UnknownPathError: As `alias_of`.
        MalformedRequestError: The model is to be named in the body, and the body names none.
    """
    alias = alias_of(request)
    return model_in_body(request) if alias.kind == "embeddings" else alias.model


def model_in_body(request: HttpRequest) -> str:
    """Return the model that a request of OpenAI's API names.

    Raises:
        MalformedRequestError: It names none.
    """
    # Here, so that who only asks for a path needs no parser.
    from hotplate.protocol.json_document import excerpt, fields, parse

    model = fields(parse(request.body), ("model",), what="the request").get("model")
    if not isinstance(model, str) or not model:
        raise MalformedRequestError("model", expected="the name of a model", received=excerpt(model))
    return model


def answer_alias(
    request: HttpRequest,
    manifest: Manifest,
    predict: Predict,
    explain: Explain,
    fetch: Fetch | None = None,
) -> HttpResponse:
    """Return the answer of the model, in the words of the path's protocol.

    Args:
        request: For this model.
        manifest: Of the model that is served.
        predict: Its prediction.
        explain: What its answer hangs on, in KServe's words.
        fetch: Returns what an input refers to; None where that is not taken. OpenAI's API has
            no place for it.

    Raises:
        HotplateError: As for `POST …/infer`.
    """
    kind = alias_of(request).kind
    if kind == "predict":
        from hotplate.http.kserve import answer_predict

        return answer_predict(request.body, manifest, predict, fetch)
    if kind == "explain":
        from hotplate.http.kserve import read_instances

        return explain(read_instances(request.body, manifest, fetch))
    if kind == "embeddings":
        from hotplate.http.embeddings import answer_embeddings

        return answer_embeddings(request.body, manifest, predict)
    from hotplate.http.invocations import answer_invocation

    return answer_invocation(request, manifest, predict, fetch)
