"""When a fallback is asked, and what it is asked then."""

from __future__ import annotations

import base64
import json
from typing import Any

import msgspec
import pytest

from hotplate.errors import (
    ContextLengthExceededError,
    HotplateError,
    ImageTooLargeError,
    QuotaSpentError,
    ShapeMismatchError,
    StepError,
    StepTimeoutError,
    StepUnavailableError,
    TooManyRowsError,
    UnreadableImageError,
)
from hotplate.http.answers import answer_error
from hotplate.http.caller import caller_of
from hotplate.http.event import read_event, write_result
from hotplate.http.fallback import has_same_signature, marked, reason_of, redirected
from tests.support.published import published

SAID = {"what": "x", "expected": "a", "received": "b"}


def event(path: str, body: Any = None, **headers: str) -> dict[str, Any]:
    raw = base64.b64encode(json.dumps(body).encode()).decode()
    return {"httpMethod": "POST", "path": path, "headers": headers, "body": raw, "isBase64Encoded": True}


def result_of(fault: Exception, path: str = "/v2/models/a/infer") -> dict[str, Any]:
    return write_result(answer_error(fault, read_event(event(path)), "r"))


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (StepUnavailableError("busy"), "overload"),
        (StepTimeoutError("late"), "timeout"),
        (StepError("broken"), ""),
        (result_of(TooManyRowsError(**SAID)), "rows"),
        (result_of(ContextLengthExceededError(**SAID)), "context-length"),
        (result_of(ContextLengthExceededError(**SAID), "/v1/embeddings"), "context-length"),
        (result_of(ImageTooLargeError(**SAID)), "image-size"),
        (result_of(UnreadableImageError(**SAID)), ""),
        (result_of(ShapeMismatchError(**SAID)), ""),
        (result_of(QuotaSpentError("spent")), ""),
        ({"statusCode": 503, "body": "{}"}, "not-ready"),
        ({"statusCode": 504, "body": ""}, "timeout"),
        ({"statusCode": 500, "body": "{}"}, ""),
        ({"statusCode": 200, "body": "{}"}, ""),
        ({"statusCode": 400, "body": "no JSON"}, ""),
        ({"statusCode": 400, "body": '{"type": 3}'}, ""),
        ({"statusCode": 400, "body": base64.b64encode(b"\xff").decode(), "isBase64Encoded": True}, ""),
    ],
)
def test_fallback_is_asked_for_what_another_may_answer(
    outcome: dict[str, Any] | HotplateError, reason: str
) -> None:
    assert reason_of(outcome) == reason


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (event("/v2/models/a/infer", 1), event("/v2/models/b/infer", 1)),
        (event("/v1/models/a:predict", 1), event("/v1/models/b:predict", 1)),
        (event("/endpoints/a/invocations", 1), event("/endpoints/b/invocations", 1)),
        (
            event("/invocations", 1, **{"X-Amzn-SageMaker-Target-Model": "a", "accept": "x"}),
            event("/invocations", 1, **{"accept": "x", "x-amzn-sagemaker-target-model": "b"}),
        ),
        (event("/v1/embeddings", {"model": "a", "input": "é"}), {"model": "b", "input": "é"}),
        (event("/openai/v1/embeddings", {"input": "t", "model": "a"}), {"input": "t", "model": "b"}),
        (event("/v2/models/a/generate", 1), event("/v2/models/b/generate", 1)),
        (event("/v2/models/a/generate_stream", 1), event("/v2/models/b/generate_stream", 1)),
        (event("/v1/embeddings", {"model": "a", "input": ["t", "u"]}), {"model": "b", "input": ["t", "u"]}),
        (
            event("/v1/chat/completions", {"model": "a", "messages": [{"content": ["é"]}], "seed": 2**70}),
            {"model": "b", "messages": [{"content": ["é"]}], "seed": 2**70},
        ),
        (event("/openai/v1/completions", {"prompt": "é", "model": "a"}), {"prompt": "é", "model": "b"}),
        (event("/v2/models/a/versions/1/infer"), None),
        (event("/v2/models/a/explain"), None),
        (event("/v1/models/a:explain"), None),
    ],
)
def test_another_model_is_asked_the_same_by_its_own_name(sent: dict[str, Any], expected: Any) -> None:
    found = redirected(sent, read_event(sent), "a", "b", is_again=True)
    if found is None or "path" not in expected:
        asked = found and {"path": found["path"], "body": json.loads(base64.b64decode(found["body"]))}
        assert asked == (expected and {"path": sent["path"], "body": expected})
    else:
        assert found.pop("requestContext") == {"hotplateFallback": {"asked": "a", "is_again": True}}
        assert found == expected


def test_sagemaker_is_asked_the_very_same() -> None:
    sent = event("/v2/models/a/versions/1/infer", 1)
    found = redirected(sent, read_event(sent), "a", "sagemaker", is_again=False)
    assert found == {**sent, "requestContext": {"hotplateFallback": {"asked": "a", "is_again": False}}}


def test_who_stands_in_knows_the_caller_and_whom_that_asked() -> None:
    context = {"authorizer": {"tenant": "acme", "key": "k", "scopes": "infer:a"}}
    sent = {**event("/v2/models/a/infer"), "requestContext": context}
    found = redirected(sent, read_event(sent), "a", "b", is_again=True)
    assert found is not None
    caller = caller_of(found)
    assert (caller.tenant, caller.key, caller.asked, caller.is_again) == ("acme", "k", "a", True)
    assert caller_of(sent).asked == ""
    assert "hotplateFallback" not in context


def test_answer_says_who_gave_it_and_why() -> None:
    given = {"statusCode": 200, "headers": {"x": "1"}, "body": ""}
    told = {**given, "headers": {"x": "1", "hotplate-fallback": "b; reason=rows"}}
    assert marked(given, "b", "rows") == told
    assert given["headers"] == {"x": "1"}


def test_signature_is_names_datatypes_shapes_and_what_goes_together() -> None:
    one = published().manifest
    (spec,) = one.inputs
    assert has_same_signature(one, msgspec.structs.replace(one, name="other", task="t"))
    described = msgspec.structs.replace(spec, description="otherwise")
    assert has_same_signature(one, msgspec.structs.replace(one, inputs=(described,)))
    for change in ({"name": "z"}, {"datatype": "FP64"}, {"shape": (-1, 4)}, {"optional": True}):
        changed = msgspec.structs.replace(spec, **change)
        assert not has_same_signature(one, msgspec.structs.replace(one, inputs=(changed,)))
    assert not has_same_signature(one, msgspec.structs.replace(one, outputs=one.outputs * 2))
