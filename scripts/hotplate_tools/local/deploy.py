"""The template, deployed into the local cloud by `sam deploy`, as it is deployed to AWS.

Four things that the template says and ministack 1.5 does not take from it are done afterwards by the calls
that CloudFormation would make: `GatewayResponses` (it ignores them in an API's definition),
`ApiKeySourceType` and `ReservedConcurrentExecutions` (it ignores the properties), and `MaximumConcurrency` of
a queue (a parameter's number is text to it, with which it reads no queue at all).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from hotplate_tools.local.build import run_sam
from hotplate_tools.local.intrinsics import Resolver, read_yaml

if TYPE_CHECKING:
    from hotplate_tools.console import Console
    from hotplate_tools.local.build import Build
    from hotplate_tools.local.cloud import Cloud

__all__ = ["REGION", "STACK", "Stack", "client", "deploy", "environment"]

REGION = "us-east-1"
STACK = "hotplate"
# How `sam deploy` is told that a parameter is empty.
EMPTY = '""'


@dataclass(frozen=True, slots=True)
class Stack:
    """What was deployed.

    Attributes:
        outputs: By output name.
        resources: Physical id by logical id.
    """

    outputs: Mapping[str, str]
    resources: Mapping[str, str]


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables that send an AWS SDK to the local cloud, and nowhere else."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def client(service: str, endpoint: str) -> Any:
    """Return a boto3 client of the local cloud."""
    session = boto3.Session(aws_access_key_id="test", aws_secret_access_key="test", region_name=REGION)  # noqa: S106
    # A bucket's own host name resolves on AWS only.
    config = Config(s3={"addressing_style": "path"})
    return session.client(service, endpoint_url=endpoint, config=config)  # type: ignore[call-overload]


def deploy(cloud: Cloud, made: Build, parameters: Mapping[str, str], console: Console) -> Stack:
    """Deploy a build.

    Args:
        cloud: Where.
        made: What.
        parameters: Values of the template's parameters.
        console: Told while it is done.

    Raises:
        FailedError: `sam deploy` failed; its last lines say why.
    """
    command = ["deploy", "--template-file", str(made.local_template), "--stack-name", STACK]
    command += ["--region", REGION, "--resolve-s3", "--capabilities", "CAPABILITY_IAM"]
    # ministack takes an API's id from this tag, so its URL is the same every time.
    command += ["--tags", f"ms-custom-id={STACK}"]
    command += ["--no-confirm-changeset", "--no-progressbar", "--on-failure", "DELETE"]
    command += ["--parameter-overrides", *(f"{key}={value or EMPTY}" for key, value in parameters.items())]
    variables = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(cloud.folder),
        # Seconds between two looks at the stack; the default suits AWS, where a deployment takes minutes.
        "SAM_CLI_POLL_DELAY": "0.2",
        **environment(cloud.endpoint),
    }
    run_sam(command, console, environment=variables, cwd=cloud.folder)
    stack = _read(cloud.endpoint)
    _complete(cloud.endpoint, made, stack, parameters)
    return stack


def _read(endpoint: str) -> Stack:
    formation = client("cloudformation", endpoint)
    described = formation.describe_stacks(StackName=STACK)["Stacks"][0]
    pages = formation.get_paginator("list_stack_resources").paginate(StackName=STACK)
    return Stack(
        outputs={each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])},
        resources={
            each["LogicalResourceId"]: each["PhysicalResourceId"]
            for page in pages
            for each in page["StackResourceSummaries"]
        },
    )


def _complete(endpoint: str, made: Build, stack: Stack, parameters: Mapping[str, str]) -> None:
    document = read_yaml(made.template)
    resolver = Resolver(document, parameters, stack.resources)
    for name, resource in document["Resources"].items():
        properties = resource.get("Properties", {})
        if resource["Type"] == "AWS::Serverless::Api":
            _set_key_source(endpoint, stack.resources[name], properties.get("ApiKeySourceType", "HEADER"))
            _set_gateway_responses(endpoint, stack.resources[name], _resolved(resolver, properties))
        for event in properties.get("Events", {}).values():
            if most := event["Properties"].get("ScalingConfig", {}).get("MaximumConcurrency"):
                _set_concurrency(endpoint, stack.resources[name], int(resolver.value(most)))
        # Wrapped in a mapping because that is where AWS::NoValue vanishes.
        reserved = resolver.value({"value": properties.get("ReservedConcurrentExecutions")}).get("value")
        if reserved is not None:
            client("lambda", endpoint).put_function_concurrency(
                FunctionName=stack.resources[name], ReservedConcurrentExecutions=int(reserved)
            )


def _set_concurrency(endpoint: str, function: str, most: int) -> None:
    functions = client("lambda", endpoint)
    for each in functions.list_event_source_mappings(FunctionName=function)["EventSourceMappings"]:
        if "ScalingConfig" in each:
            functions.update_event_source_mapping(
                UUID=each["UUID"], ScalingConfig={"MaximumConcurrency": most}
            )


def _resolved(resolver: Resolver, properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: resolver.value(properties[name]) for name in ("GatewayResponses", "StageName")}


def _set_key_source(endpoint: str, api: str, source: str) -> None:
    change = {"op": "replace", "path": "/apiKeySource", "value": source}
    client("apigateway", endpoint).update_rest_api(restApiId=api, patchOperations=[change])


def _set_gateway_responses(endpoint: str, api: str, properties: Mapping[str, Any]) -> None:
    gateway = client("apigateway", endpoint)
    for kind, answer in properties.get("GatewayResponses", {}).items():
        headers = answer.get("ResponseParameters", {}).get("Headers", {})
        status = {"statusCode": str(answer["StatusCode"])} if "StatusCode" in answer else {}
        gateway.put_gateway_response(
            restApiId=api,
            responseType=kind,
            responseParameters={f"gatewayresponse.header.{name}": value for name, value in headers.items()},
            responseTemplates=answer.get("ResponseTemplates", {}),
            **status,
        )
    gateway.create_deployment(restApiId=api, stageName=properties["StageName"])
