"""API Gateway's part in authorisation: it asks the authoriser of a route and does what that says.

Rules kept: the policy is judged for this request's own method ARN, an explicit Deny wins, and whatever is no
Allow is a refusal; an authoriser that raises "Unauthorized" is 401, one that fails in another way 500, and
nobody gets in. Nothing is cached (`ReauthorizeEvery: 0`).

Not done: TOKEN authorisers, Cognito, AWS_IAM, policies with conditions, usage plans.

Source: API Gateway Developer Guide, "Use API Gateway Lambda authorizers" and "Output from …".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

from hotplate_tools.local.gateway import proxy_event
from hotplate_tools.local.intrinsics import PSEUDO_PARAMETERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.local.gateway import Request
    from hotplate_tools.local.rie import InvokeResult

__all__ = ["Verdict", "authoriser_event", "read_verdict"]


class Verdict(NamedTuple):
    """What becomes of a request.

    Attributes:
        refusal: Type of the gateway's answer, as `ACCESS_DENIED`; "" if the request goes on.
        context: What the function is told of the caller.
    """

    refusal: str
    context: Mapping[str, str]


def authoriser_event(
    request: Request, *, resource: str, path_parameters: Mapping[str, str], stage: str, request_id: str
) -> dict[str, Any]:
    """Return the event of a REQUEST authoriser for `request`; arguments as for `proxy_event`."""
    event = proxy_event(
        request, resource=resource, path_parameters=path_parameters, stage=stage, request_id=request_id
    )
    place = f"{PSEUDO_PARAMETERS['AWS::Region']}:{PSEUDO_PARAMETERS['AWS::AccountId']}"
    path = urlsplit(request.target).path
    arn = f"arn:aws:execute-api:{place}:local/{stage}/{request.method}{path}"
    del event["body"], event["isBase64Encoded"]  # an authoriser sees no body
    return {"type": "REQUEST", "methodArn": arn, **event}


def read_verdict(result: InvokeResult, method_arn: str) -> Verdict:
    """Return what the authoriser's result says of a call of `method_arn`."""
    try:
        said = json.loads(result.payload)
        if result.function_error or result.error_type:
            unknown = said.get("errorMessage") == "Unauthorized"
            return Verdict("UNAUTHORIZED" if unknown else "AUTHORIZER_FAILURE", {})
        effects = {
            each["Effect"]
            for each in said["policyDocument"]["Statement"]
            if any(_covers(resource, method_arn) for resource in _listed(each["Resource"]))
        }
        context = {name: _text(value) for name, value in (said.get("context") or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError):
        return Verdict("AUTHORIZER_CONFIGURATION_ERROR", {})
    if effects != {"Allow"}:
        return Verdict("ACCESS_DENIED", {})
    return Verdict("", {**context, "principalId": str(said.get("principalId", ""))})


def _covers(resource: str, arn: str) -> bool:
    pattern = re.escape(resource).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, arn) is not None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
