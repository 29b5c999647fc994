"""What goes to the log of a fault: where it was raised and what it was, and not a word of a payload."""

from __future__ import annotations

import pytest

from hotplate.errors import (
    InferenceError,
    ShapeMismatchError,
    StepError,
    StoreDeniedError,
)
from hotplate.observability import trace_of, words_of


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            StoreDeniedError("s3://bucket/key: AccessDenied"),
            "StoreDeniedError: s3://bucket/key: AccessDenied",
        ),
        (StepError("step 'read' failed"), "StepError: step 'read' failed"),
        (InferenceError("the graph failed", quoted="idx=secret"), "InferenceError: the graph failed"),
        (ShapeMismatchError("input", expected="FP32", received="secret"), "ShapeMismatchError"),
        (KeyError("secret"), "KeyError"),
        (ValueError("could not convert string to float: 'secret'"), "ValueError"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_only_our_own_words_are_told(fault: Exception, words: str) -> None:
    assert words_of(fault) == words


def test_foreign_words_are_there_for_who_runs_the_model_himself() -> None:
    assert str(InferenceError("the graph failed", quoted="idx=7")) == "the graph failed: idx=7"


def fail() -> None:
    try:
        float("secret")
    except ValueError as fault:
        raise StepError("its code failed") from fault


def test_trace_names_what_was_raised_where_and_because_of_what() -> None:
    with pytest.raises(StepError) as caught:
        fail()
    trace = trace_of(caught.value)
    here = [line for line in trace if line.endswith(" fail")]
    assert [line for line in trace if not line.startswith("  ")] == [
        "StepError: its code failed",
        "ValueError",
    ]
    assert len(here) == 2
    assert "test_observability.py:" in here[0]
    assert "secret" not in "\n".join(trace)


def test_trace_ends_where_causes_go_in_a_circle() -> None:
    first, second = ValueError("a"), TypeError("b")
    first.__cause__, second.__cause__ = second, first
    assert trace_of(first) == ["ValueError", "TypeError"]


def hide() -> None:
    try:
        raise KeyError("hidden")
    except KeyError:
        raise ValueError("shown") from None


def test_trace_leaves_out_what_was_hidden_on_purpose() -> None:
    with pytest.raises(ValueError, match="shown") as caught:
        hide()
    assert [line for line in trace_of(caught.value) if not line.startswith("  ")] == ["ValueError"]
