"""The gateway's part in authorisation: what an authoriser's answer means, and what is never an Allow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hotplate_tools.local.authoriser import read_verdict
from hotplate_tools.local.rie import InvokeResult

ARN = "arn:aws:execute-api:us-east-1:1:local/live/GET/v2"


def said(*statements: tuple[str, str], **more: Any) -> InvokeResult:
    policy = {"Statement": [{"Effect": effect, "Resource": resource} for effect, resource in statements]}
    return InvokeResult(200, json.dumps({"principalId": "p", "policyDocument": policy, **more}).encode())


@pytest.mark.parametrize(
    ("result", "refusal"),
    [
        (said(("Allow", ARN)), ""),
        (said(("Allow", "arn:aws:execute-api:*:*:local/live/*")), ""),
        (said(("Allow", ARN.replace("GET", "POST"))), "ACCESS_DENIED"),
        (said(("Allow", ARN + "/models")), "ACCESS_DENIED"),
        (said(("Allow", ARN), ("Deny", "*")), "ACCESS_DENIED"),
        (said(("allow", ARN)), "ACCESS_DENIED"),
        (said(), "ACCESS_DENIED"),
        (InvokeResult(200, b"null"), "AUTHORIZER_CONFIGURATION_ERROR"),
        (InvokeResult(200, b"{}"), "AUTHORIZER_CONFIGURATION_ERROR"),
        (InvokeResult(200, b"{"), "AUTHORIZER_CONFIGURATION_ERROR"),
        (InvokeResult(200, b'{"errorMessage": "Unauthorized"}', function_error="Unhandled"), "UNAUTHORIZED"),
        (InvokeResult(200, b'{"errorMessage": "no"}', function_error="Unhandled"), "AUTHORIZER_FAILURE"),
        (InvokeResult(429, b"{}", error_type="TooManyRequestsException"), "AUTHORIZER_FAILURE"),
    ],
)
def test_only_an_allow_for_this_very_call_lets_in(result: InvokeResult, refusal: str) -> None:
    assert read_verdict(result, ARN).refusal == refusal


def test_function_is_told_what_the_authoriser_found_as_text() -> None:
    verdict = read_verdict(said(("Allow", ARN), context={"tenant": "a", "n": 3, "yes": True}), ARN)
    assert verdict.context == {"tenant": "a", "n": "3", "yes": "true", "principalId": "p"}
