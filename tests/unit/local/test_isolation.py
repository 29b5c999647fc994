"""The rules of tenant isolation, each broken once."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from hotplate_tools.local.isolation import isolation_faults
from tests.support.template import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTION = "BreastCancerFunction"
QUEUE = {"Type": "SQS", "Properties": {"Queue": "arn:aws:sqs:us-east-1:1:queue"}}
API = {"Type": "Api", "Properties": {"Method": "GET", "Path": "/cells"}}


def properties(document: Any, name: str = FUNCTION) -> Any:
    return document["Resources"][name]["Properties"]


def operation(document: Any) -> Any:
    paths = properties(document, "Api")["DefinitionBody"]["paths"]
    return paths["/v2/models/breast-cancer/infer"]["post"]["x-amazon-apigateway-integration"]


def variables(document: Any) -> Any:
    return document["Globals"]["Function"]["Environment"]["Variables"]


def mapping(kind: str, key: str) -> Callable[[Any], None]:
    resource = {"Type": kind, "Properties": {key: {"Ref": FUNCTION}}}
    return lambda document: document["Resources"].update(Other=resource)


def test_project_keeps_them() -> None:
    assert isolation_faults(DOCUMENT) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda it: properties(it).update(SnapStart={"ApplyOn": "None"}), "excludes SnapStart"),
        (
            lambda it: properties(it).update(
                SnapStart={"Fn::If": ["X", {"ApplyOn": "PublishedVersions"}, {}]}
            ),
            "excludes SnapStart (SnapStart), also under a condition",
        ),
        (
            lambda it: it["Globals"]["Function"].update(SnapStart={"ApplyOn": "PublishedVersions"}),
            "excludes SnapStart",
        ),
        (
            lambda it: properties(it).update(
                ProvisionedConcurrencyConfig={"ProvisionedConcurrentExecutions": 1}
            ),
            "excludes provisioned concurrency",
        ),
        (lambda it: properties(it).update(FunctionUrlConfig={"AuthType": "NONE"}), "excludes a function URL"),
        (lambda it: properties(it).update(Events={"Work": QUEUE}), "other than API Gateway (Work: SQS)"),
        (mapping("AWS::Lambda::EventSourceMapping", "FunctionName"), "other than API Gateway (Other:"),
        (mapping("AWS::Lambda::Url", "TargetFunctionArn"), "other than API Gateway (Other:"),
        (lambda it: properties(it).update(Events={"Own": API}), "event Own (/cells) hands on no tenant"),
        (
            lambda it: operation(it).pop("requestParameters"),
            "POST /v2/models/breast-cancer/infer hands on no",
        ),
        (
            lambda it: operation(it).update(
                requestParameters={
                    "integration.request.header.X-Amz-Tenant-Id": "method.request.header.X-Tenant"
                }
            ),
            "POST /v2/models/breast-cancer/infer hands on no tenant",
        ),
        (
            lambda it: operation(it).update(
                uri={"Fn::Sub": f"arn:x:lambda:path/functions/${{{FUNCTION}.Arn}}/invocations"},
                requestParameters={},
            ),
            "POST /v2/models/breast-cancer/infer hands on no tenant",
        ),
        (lambda it: variables(it).pop("HOTPLATE_ISOLATED"), "HOTPLATE_ISOLATED does not name it"),
        (lambda it: properties(it).pop("TenancyConfig"), "names breast-cancer, which isolates no tenants"),
        (
            lambda it: properties(it, "OcrFunction")["Environment"]["Variables"].update(
                HOTPLATE_MEMBERS={"Fn::Sub": f"breast-cancer=${{{FUNCTION}}}:live"}
            ),
            "OcrFunction calls it as a member of a split pipeline",
        ),
    ],
)
def test_what_lambda_excludes_or_what_makes_it_worthless_is_a_fault(
    change: Callable[[Any], None], words: str
) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    assert any(words in fault for fault in isolation_faults(document))
