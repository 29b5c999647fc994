"""What the template promises of the model on SageMaker: nothing by default, a lease, scaling to zero."""

from __future__ import annotations

import re
from typing import Any

import pytest

from functions.catalogue.served import Pin, read_pins
from functions.gpu_proxy.results import OUTPUT_PREFIX
from hotplate_tools.local.intrinsics import Resolver
from tests.support.template import DOCUMENT, FUNCTIONS, RESOURCES, ROLES, as_list, of_type, statements

GPU = {name: each for name, each in RESOURCES.items() if name.startswith("Gpu")}
TOLD = {
    "GpuMode": "async",
    "GpuModelName": "imagenet",
    "GpuModelVersion": "1",
    "GpuManifestSha256": "0" * 64,
    "GpuImageDigest": "sha256:" + "0" * 64,
    "GpuDeadline": "2099-01-01T00:00:00Z",
}


def conditions(values: dict[str, str]) -> dict[str, bool]:
    resolver = Resolver(DOCUMENT, values, {})
    return {name: resolver.condition(name) for name in ("RunsGpu", "RunsGpuAsync")}


def test_default_stack_has_nothing_of_it() -> None:
    assert not any(conditions({}).values())
    assert {each["Condition"] for each in GPU.values()} == {"RunsGpu", "RunsGpuAsync"}
    kinds = {each["Type"].rpartition("::")[0] for name, each in RESOURCES.items() if name not in GPU}
    assert not kinds & {"AWS::SageMaker", "AWS::ApplicationAutoScaling"}


@pytest.mark.parametrize(("mode", "scales"), [("async", True), ("realtime", False)])
def test_only_an_endpoint_that_nobody_waits_for_scales_and_down_to_nothing(mode: str, scales: bool) -> None:
    assert conditions({**TOLD, "GpuMode": mode}) == {"RunsGpu": True, "RunsGpuAsync": scales}
    assert GPU["GpuInstances"]["Condition"] == "RunsGpuAsync"
    assert GPU["GpuInstances"]["Properties"]["MinCapacity"] == 0
    # Target tracking alone never leaves zero: its metric is by instance.
    waking = GPU["GpuWakingAlarm"]["Properties"]
    assert (waking["MetricName"], waking["AlarmActions"]) == (
        "HasBacklogWithoutCapacity",
        [{"Ref": "GpuWaking"}],
    )
    config = GPU["GpuEndpointConfig"]["Properties"]["AsyncInferenceConfig"]["Fn::If"]
    assert (config[0], config[2]) == ("RunsGpuAsync", {"Ref": "AWS::NoValue"})
    assert config[1]["OutputConfig"]["S3OutputPath"] == {
        "Fn::Sub": f"s3://${{DataBucket}}/{OUTPUT_PREFIX}answers"
    }


@pytest.mark.parametrize("missing", ["", *(name for name in TOLD if name != "GpuMode")])
def test_stack_deploys_only_with_a_pinned_model_a_pinned_image_and_a_deadline(missing: str) -> None:
    values = {**TOLD, missing: ""} if missing else TOLD
    (assertion,) = DOCUMENT["Rules"]["GpuIsTold"]["Assertions"]
    assert Resolver(DOCUMENT, values, {}).value(assertion["Assert"]) is (not missing)
    assert Resolver(DOCUMENT, {}, {}).value(assertion["Assert"]) is True


def test_endpoint_has_its_lease_from_the_first_and_runs_after_what_ends_it() -> None:
    endpoint = GPU["GpuEndpoint"]
    assert {each["Key"] for each in endpoint["Properties"]["Tags"]} == {
        f"hotplate:{name}" for name in ("stack", "deadline", "budget-usd", "usd-per-hour")
    }
    assert {"GpuSweeperFunction", "GpuContainerSubscription"} == set(endpoint["DependsOn"])
    (event,) = FUNCTIONS["GpuSweeperFunction"]["Events"].values()
    assert (event["Type"], event["Properties"]) == ("Schedule", {"Schedule": "rate(5 minutes)"})


def test_sweeper_deletes_what_bears_the_stacks_name_and_tag_only() -> None:
    (sweep,) = [each for each in statements(ROLES["GpuSweeperRole"]) if each["Sid"] == "Sweep"]
    assert sweep["Condition"] == {
        "StringEquals": {"aws:ResourceTag/hotplate:stack": {"Ref": "AWS::StackName"}}
    }
    deleters = [
        name
        for name, role in ROLES.items()
        for each in statements(role)
        if "sagemaker:DeleteEndpoint" in as_list(each["Action"])
    ]
    assert deleters == ["GpuSweeperRole"]


def test_usage_lines_of_the_container_reach_the_ledger() -> None:
    group = GPU["GpuContainerLogGroup"]["Properties"]["LogGroupName"]
    name = GPU["GpuEndpoint"]["Properties"]["EndpointName"]["Fn::Sub"]
    assert group == {"Fn::Sub": f"/aws/sagemaker/Endpoints/{name}"}
    (written,) = [
        each
        for each in of_type("AWS::Logs::SubscriptionFilter").values()
        if each["LogGroupName"] == {"Ref": "GpuContainerLogGroup"}
    ]
    assert written["FilterPattern"] == '{ $.hotplate = "usage" }'


def test_proxy_has_its_routes_and_is_told_of_the_same_model_as_the_container() -> None:
    assert routes_of_requests() == {
        ("GET", "/v2/models/{model}"),
        ("GET", "/v2/models/{model}/ready"),
        ("POST", "/v2/models/{model}/infer"),
        ("POST", "/v2/models/{model}/versions/{version}/infer"),
    }
    proxy = FUNCTIONS["GpuProxyFunction"]["Environment"]["Variables"]
    container = GPU["GpuServed"]["Properties"]["PrimaryContainer"]["Environment"]
    assert proxy["HOTPLATE_ENDPOINT_MODEL"] == container["HOTPLATE_MODEL"] == {"Ref": "GpuModelName"}
    for name in ("VERSION", "MANIFEST_SHA256", "TIER", "BUCKET"):
        assert proxy[f"HOTPLATE_{name}"] == container[f"HOTPLATE_{name}"]
    assert proxy["HOTPLATE_ENDPOINT"] == GPU["GpuEndpoint"]["Properties"]["EndpointName"]


def test_catalogue_is_told_of_it_only_where_it_runs() -> None:
    served = FUNCTIONS["CatalogueFunction"]["Environment"]["Variables"]["HOTPLATE_SERVED"]
    values = {**TOLD, "GpuModelName": "large"}
    away = read_pins(Resolver(DOCUMENT, {}, {}).value(served))
    pins = read_pins(Resolver(DOCUMENT, values, {}).value(served))
    assert pins.keys() - away.keys() == {"large"}
    assert pins["large"] == Pin("large", "1", "0" * 64, 0, "sagemaker-async")
    # A model that is on both is the function's.
    assert read_pins(Resolver(DOCUMENT, TOLD, {}).value(served)) == away


def test_relay_may_ask_it_only_where_it_runs() -> None:
    variables = FUNCTIONS["RelayFunction"]["Environment"]["Variables"]
    assert variables["HOTPLATE_FALLBACKS"] == {"Ref": "Fallbacks"}
    asked = {"GpuProxyFunction": "P"}
    assert Resolver(DOCUMENT, {}, asked).value(variables["HOTPLATE_GPU_PROXY"]) == ""
    assert Resolver(DOCUMENT, TOLD, asked).value(variables["HOTPLATE_GPU_PROXY"]) == "imagenet=P"
    (allowed,) = [
        each["Fn::If"]
        for each in ROLES["RelayRole"]["Policies"][0]["PolicyDocument"]["Statement"]
        if "Fn::If" in each
    ]
    assert (allowed[0], allowed[1]["Action"], allowed[1]["Resource"]) == (
        "RunsGpu",
        "lambda:InvokeFunction",
        {"Fn::GetAtt": ["GpuProxyFunction", "Arn"]},
    )


@pytest.mark.parametrize(
    ("text", "is_good"),
    [("", True), ("a=b", True), ("a=sagemaker,b-1.x=c", True), ("a", False), ("a=b,", False), ("A=b", False)],
)
def test_fallbacks_are_names_of_models(text: str, is_good: bool) -> None:
    assert bool(re.search(DOCUMENT["Parameters"]["Fallbacks"]["AllowedPattern"], text)) is is_good


def routes_of_requests() -> set[tuple[str, str]]:
    events: dict[str, Any] = FUNCTIONS["GpuProxyFunction"]["Events"]
    return {
        (each["Properties"]["Method"], each["Properties"]["Path"])
        for each in events.values()
        if each["Type"] == "Api"
    }
