"""The error tree as HTTP: every class has a status, the caller's faults help, ours say nothing."""

from __future__ import annotations

import inspect

import orjson
import pytest

from hotplate import errors
from hotplate.http.answers import answer_error, status_of
from hotplate.http.event import HttpRequest

REQUEST = HttpRequest("POST", (), {}, b"")

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.HotplateError)
]


def instance(kind: type[errors.HotplateError]) -> errors.HotplateError:
    if issubclass(kind, errors.RequestError):
        return kind("input 'x'", expected="FP32", received="INT64")
    if issubclass(kind, errors.EndpointUnavailableError):
        return kind("the endpoint is asleep", 60)
    return kind("s3://bucket/secret/place")


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_family_decides_the_class_of_status(kind: type[errors.HotplateError]) -> None:
    caller = issubclass(
        kind, errors.RequestError | errors.CallerError | errors.JobError | errors.BatchError
    ) or kind in (
        errors.ModelError,
        errors.ModelNotFoundError,
        errors.CardNotFoundError,
    )
    assert status_of(instance(kind)) // 100 == (4 if caller else 5)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.ShapeMismatchError, 400),
        (errors.PayloadTooLargeError, 413),
        (errors.ForeignInputError, 403),
        (errors.InputNotFoundError, 404),
        (errors.ModelNotFoundError, 404),
        (errors.JobNotFoundError, 404),
        (errors.JobConflictError, 409),
        (errors.ModelNotReadyError, 503),
        (errors.StoreUnavailableError, 503),
        (errors.StepUnavailableError, 503),
        (errors.StepTimeoutError, 504),
        (errors.StepError, 500),
        (errors.StoreDeniedError, 500),
        (errors.DigestMismatchError, 500),
    ],
)
def test_status(kind: type[errors.HotplateError], status: int) -> None:
    assert answer_error(instance(kind), REQUEST, "r").status == status


@pytest.mark.parametrize("can_upload", [True, False])
def test_body_that_is_too_large_is_told_where_else_it_may_go_and_an_answer_is_not(can_upload: bool) -> None:
    fault = errors.PayloadTooLargeError("body", expected="less", received="more", can_upload=can_upload)
    body = orjson.loads(answer_error(fault, REQUEST, "r").body)
    assert body.get("upload") == ({"method": "POST", "path": "/uploads"} if can_upload else None)


def test_callers_fault_says_what_was_expected_and_what_came() -> None:
    body = orjson.loads(answer_error(instance(errors.DatatypeMismatchError), REQUEST, "r-1").body)
    assert body == {
        "error": "input 'x': expected FP32, got INT64",
        "type": "urn:hotplate:error:DatatypeMismatchError",
        "title": "datatype mismatch",
        "status": 400,
        "detail": "input 'x': expected FP32, got INT64",
        "instance": "urn:hotplate:request:r-1",
        "expected": "FP32",
        "received": "INT64",
    }


@pytest.mark.parametrize(
    "fault",
    [
        errors.StoreDeniedError("secret place"),
        errors.DigestMismatchError("secret place"),
        KeyError("secret place"),
    ],
    ids=["store", "artifact", "bug"],
)
def test_our_fault_names_its_kind_and_the_request_and_nothing_else(fault: Exception) -> None:
    body = answer_error(fault, REQUEST, "r-2").body
    assert b"secret" not in body
    assert b"r-2" in body


def test_503_says_when_to_come_back() -> None:
    assert answer_error(errors.StoreUnavailableError("x"), None, "r").headers == {"retry-after": "2"}


def test_problem_json_goes_to_those_who_accept_it() -> None:
    asking = HttpRequest("POST", (), {"accept": "application/problem+json"}, b"")
    fault = instance(errors.UnknownInputError)
    assert answer_error(fault, asking, "r").content_type == "application/problem+json"
    assert answer_error(fault, REQUEST, "r").content_type == "application/json"
