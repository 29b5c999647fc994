"""What the authoriser asks for at a route whose model a parameter names."""

from __future__ import annotations

import pytest

from functions.authorizer.decide import wanted


@pytest.mark.parametrize(
    ("method", "resource", "verb"),
    [
        ("POST", "/v2/models/{model}/infer", "infer"),
        ("POST", "/v2/models/{model}/versions/{version}/infer", "infer"),
        ("GET", "/v2/models/{model}", "read"),
        ("GET", "/v2/models/{model}/ready", "read"),
        ("POST", "/v2/models/{model}/train", None),
        ("DELETE", "/v2/models/{model}", None),
    ],
)
def test_some_model_has_to_be_allowed_and_which_is_asked_again(
    method: str, resource: str, verb: str | None
) -> None:
    assert wanted({"httpMethod": method, "resource": resource}) == (verb, None)
