"""What the template says of functions that stream."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.streaming.conftest import BOOTSTRAP, WHOLE
from tests.support.streaming_layer import WHOLE_WRAPPER, WRAPPER
from tests.support.template import FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_streams_on_all_of_its_routes_or_on_none(name: str) -> None:
    """API Gateway reads a streamed answer by a streaming method only, and such a method no other answer."""
    variables = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    events = FUNCTIONS[name].get("Events", {}).values()
    modes = {each["Properties"].get("ResponseTransferMode") for each in events if each["Type"] == "Api"}
    wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER")
    assert wrapper in {None, WRAPPER, WHOLE_WRAPPER}
    assert modes <= ({"RESPONSE_STREAM"} if wrapper == WRAPPER else {None})


def test_every_model_has_hotplates_runtime() -> None:
    wrappers = {
        name: function["Environment"]["Variables"].get("AWS_LAMBDA_EXEC_WRAPPER")
        for name, function in FUNCTIONS.items()
        if isinstance(function.get("Environment", {}).get("Variables", {}).get("HOTPLATE_MODEL"), str)
    }
    assert len(wrappers) > 15
    assert {name for name, wrapper in wrappers.items() if wrapper != WHOLE_WRAPPER} == {"Smollm2Function"}


@pytest.mark.parametrize(("file", "wrapper"), [(BOOTSTRAP, WRAPPER), (WHOLE, WHOLE_WRAPPER)])
def test_the_wrapper_is_where_the_template_says_and_may_be_run(file: Path, wrapper: str) -> None:
    assert str(file).endswith("/layers/serving" + wrapper.removeprefix("/opt"))
    assert os.access(file, os.X_OK)
