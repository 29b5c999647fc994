"""What the template says of functions that stream."""

from __future__ import annotations

import os

import pytest

from tests.integration.streaming.conftest import BOOTSTRAP
from tests.support.streaming_layer import WRAPPER
from tests.support.template import FUNCTIONS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_streams_on_all_of_its_routes_or_on_none(name: str) -> None:
    """API Gateway reads a streamed answer by a streaming method only, and such a method no other answer."""
    variables = FUNCTIONS[name].get("Environment", {}).get("Variables", {})
    events = FUNCTIONS[name].get("Events", {}).values()
    modes = {each["Properties"].get("ResponseTransferMode") for each in events if each["Type"] == "Api"}
    wrapper = variables.get("AWS_LAMBDA_EXEC_WRAPPER")
    assert wrapper in {None, WRAPPER}
    assert modes <= ({"RESPONSE_STREAM"} if wrapper else {None})


def test_the_wrapper_is_where_the_template_says_and_may_be_run() -> None:
    assert str(BOOTSTRAP).endswith("/layers/serving" + WRAPPER.removeprefix("/opt"))
    assert os.access(BOOTSTRAP, os.X_OK)
