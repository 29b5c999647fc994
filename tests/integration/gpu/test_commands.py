"""`hotplate gpu` on a stack in moto: its parameters, its endpoint, the lease, and what is refused."""

from __future__ import annotations

import json
import time
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import boto3
import click
import pytest
from botocore.exceptions import ClientError
from botocore.waiter import WaiterModel, create_waiter_with_client
from click.testing import CliRunner
from moto import mock_aws
from moto.server import ThreadedMotoServer

from functions.gpu_sweeper.sweep import sweep
from hotplate.aws.leases import Leases, deadline_text
from hotplate_tools.cli import cli
from hotplate_tools.console import Console
from hotplate_tools.deployed import DeployedStack
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.gpu import manage
from hotplate_tools.gpu.stack import gpu_stack
from hotplate_tools.local.sagemaker import LocalRuntime, local_runtime
from tests.support.callers import REGION
from tests.support.container import container
from tests.support.published import Published, published
from tests.support.template import DOCUMENT, RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

STACK, IMAGE = "prod", "sha256:" + "0" * 64
HOUR = 3600.0


def template() -> dict[str, Any]:
    """Return the parameters, the condition and the endpoint of `template.yaml`, on what moto knows."""
    # moto names an endpoint after its logical id, and knows no models, roles and topics of SageMaker here.
    endpoint = deepcopy(RESOURCES["GpuEndpoint"])
    del endpoint["DependsOn"]
    endpoint["Properties"]["EndpointConfigName"] = {"Fn::GetAtt": ["gpuconfig", "EndpointConfigName"]}
    variant = deepcopy(RESOURCES["GpuEndpointConfig"]["Properties"]["ProductionVariants"][0])
    variant["ModelName"] = "m"
    config = {
        "Type": "AWS::SageMaker::EndpointConfig",
        "Condition": "RunsGpu",
        "Properties": {"ProductionVariants": [variant]},
    }
    names = [name for name in DOCUMENT["Parameters"] if name.startswith("Gpu")]
    return {
        "Parameters": {name: DOCUMENT["Parameters"][name] for name in names},
        "Conditions": {"RunsGpu": DOCUMENT["Conditions"]["RunsGpu"]},
        "Resources": {"topic": {"Type": "AWS::SNS::Topic"}, "gpuconfig": config, "gpu": endpoint},
        "Outputs": {"ModelBucketName": {"Value": "models"}},
    }


@dataclass
class Made:
    version: Published
    sagemaker: Any
    formation: Any

    def parameters(self) -> dict[str, str]:
        (stack,) = self.formation.describe_stacks(StackName=STACK)["Stacks"]
        return {each["ParameterKey"]: each["ParameterValue"] for each in stack["Parameters"]}

    def lease(self) -> dict[str, str]:
        (endpoint,) = Leases(self.sagemaker, STACK).all()
        return {name.removeprefix("hotplate:"): value for name, value in endpoint.tags.items()}

    def names(self) -> list[str]:
        return [each["EndpointName"] for each in self.sagemaker.list_endpoints()["Endpoints"]]


def filled(s3: Any, sagemaker: Any, formation: Any) -> Made:
    version = published()
    s3.create_bucket(Bucket="models")
    for key, body in version.reader.objects.items():
        s3.put_object(Bucket="models", Key=key, Body=body)
    sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
    document = template()
    # Of a parameter that was never given, moto knows no previous value; nor does it know newer instances.
    values = {name: str(each["Default"]) for name, each in document["Parameters"].items()}
    values["GpuInstanceType"] = "ml.m5.large"
    given = [{"ParameterKey": name, "ParameterValue": value} for name, value in values.items()]
    formation.create_stack(StackName=STACK, TemplateBody=json.dumps(document), Parameters=given)
    return Made(version, sagemaker, formation)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield filled(*(boto3.client(name, REGION) for name in ("s3", "sagemaker", "cloudformation")))


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(
        cli, ["gpu", *arguments, "--stack", STACK, "--json"], catch_exceptions=False, standalone_mode=False
    )
    return json.loads(done.stdout)


def start(made: Made, *more: str) -> Any:
    end = () if "--until" in more or "--for" in more else ("--for", "8h")
    version = made.version.settings.version
    return run("start", "affine", "--version", version, "--budget", "10", "--image", IMAGE, *end, *more)


def test_a_stack_without_one_says_so(made: Made) -> None:
    data = run("status")
    assert (data["mode"], data["endpoints"], data["is_ended"], data["model"]) == ("off", [], False, None)


def test_what_is_started_is_pinned_has_its_lease_and_is_told(made: Made) -> None:
    now = time.time()
    done = start(made, "--mode", "realtime", "--instance-type", "ml.m5.xlarge")
    said = made.parameters()
    assert said.items() >= done["parameters"].items()
    assert (said["GpuMode"], said["GpuModelName"], said["GpuInstanceType"]) == (
        "realtime",
        "affine",
        "ml.m5.xlarge",
    )
    assert said["GpuManifestSha256"] == made.version.settings.manifest_sha256
    assert float(said["GpuUsdPerHour"]) == 0.27, "of the price table"
    lease = made.lease()
    assert (lease["stack"], lease["budget-usd"], lease["usd-per-hour"]) == (STACK, "10", "0.27")
    assert deadline_text(now + 8 * HOUR) <= lease["deadline"] <= deadline_text(time.time() + 8 * HOUR)
    data = run("status")
    (endpoint,) = data["endpoints"]
    assert (data["model"], data["version"], data["mode"]) == (
        "affine",
        made.version.settings.version,
        "realtime",
    )
    assert (endpoint["status"], endpoint["instances"], endpoint["budget_usd"], endpoint["over"]) == (
        "InService",
        1,
        10.0,
        None,
    )
    assert 7.9 < endpoint["hours_left"] <= 8


def test_a_dry_run_tells_the_same_and_does_nothing(made: Made) -> None:
    done = start(made, "--dry-run")
    assert done["dry_run"] is True
    assert set(done["parameters"]) >= {"GpuMode", "GpuDeadline", "GpuBudgetUsd", "GpuModelVersion"}
    assert (made.parameters()["GpuMode"], made.names()) == ("off", [])
    start(made)
    before = made.parameters()
    assert run("extend", "--for", "9h", "--dry-run")["parameters"].keys() == {"GpuDeadline"}
    assert run("stop", "--dry-run")["endpoints"] == made.names()
    assert made.parameters() == before


def test_extending_writes_the_lease_and_the_stacks_parameters(made: Made) -> None:
    start(made)
    run("extend", "--until", "2098-01-01T01:00:00+01:00", "--budget", "20.5")
    lease, said = made.lease(), made.parameters()
    assert (lease["deadline"], lease["budget-usd"]) == ("2098-01-01T00:00:00Z", "20.5")
    assert (said["GpuDeadline"], said["GpuBudgetUsd"]) == ("2098-01-01T00:00:00Z", "20.5")


def test_stopping_ends_it_and_twice_is_as_good_as_once(made: Made) -> None:
    start(made)
    assert run("stop")["parameters"] == {"GpuMode": "off"}
    assert (made.names(), made.parameters()["GpuMode"]) == ([], "off")
    assert run("stop") == {"dry_run": False, "parameters": {}, "endpoints": [], "resets": False}


def test_what_the_sweeper_ended_is_told_and_the_stack_learns_it_before_the_next_start(made: Made) -> None:
    """Moto takes no resource out of a stack when its condition ends, so what it is asked is looked at."""
    start(made, "--until", "2098-01-01T00:00:00Z")
    sweep(Leases(made.sagemaker, STACK), time.time() + 100 * 365 * 24 * HOUR)
    assert run("status")["is_ended"] is True
    recorder = Recorder(made.formation)
    stack = replace(gpu_stack(DeployedStack(STACK)), cloudformation=recorder)
    # The same lease once more: nothing is new, and yet all has to be deployed.
    deadline = datetime(2098, 1, 1, tzinfo=UTC).timestamp()
    wanted = manage.Wanted("affine", made.version.settings.version, "live", "async", deadline, 10)
    change = manage.plan_start(stack, wanted)
    assert (change.parameters, change.resets) == ({}, True)
    manage.start(stack, change, Console(as_json=True))
    assert recorder.updates == [{"GpuMode": "off"}, {"GpuMode": "async"}]


def test_a_second_one_is_refused_while_the_first_runs(made: Made) -> None:
    start(made)
    with pytest.raises(RefusedError, match="runs already") as refused:
        start(made)
    assert "gpu extend" in refused.value.advice


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (("--until", "2020-01-01T00:00:00Z"), "a deadline in the future was expected, got 2020-01-01"),
        (("--version", "9.9.9"), "has no version 9.9.9"),
        (("--instance-type", "ml.p5.48xlarge"), "not in the price table"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    made: Made, more: tuple[str, ...], why: str
) -> None:
    with pytest.raises(RefusedError, match=why):
        start(made, *more)
    assert made.names() == []


def test_a_stack_that_knows_no_image_has_to_be_told(made: Made) -> None:
    with pytest.raises(RefusedError, match="knows no image") as refused:
        run("start", "affine", "--version", made.version.settings.version, "--budget", "5", "--for", "1h")
    assert "--image" in refused.value.advice


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("start", "affine", "--budget", "5"), "--until or --for"),
        (("start", "affine", "--for", "1h"), "Missing parameter: budget"),
        (("start", "affine", "--budget", "5", "--for", "0h"), "90m, 8h or 1d12h"),
        (("start", "affine", "--budget", "5", "--for", "soon"), "90m, 8h or 1d12h"),
        (("start", "affine", "--budget", "5", "--until", "2098-01-01T00:00:00"), "no zone"),
        (("start", "affine", "--budget", "5", "--until", "noon"), "a time such as"),
        (("start", "affine", "--budget", "0.5", "--for", "1h"), "range"),
        (("start", "affine", "--budget", "5", "--for", "1h", "--until", "2098-01-01T00:00:00Z"), "give one"),
        (("start", "affine", "--budget", "5", "--for", "1h", "--image", "latest"), "64 hex digits"),
        (("extend",), "until when"),
    ],
)
def test_a_wrong_command_line_says_what_was_expected(arguments: tuple[str, ...], why: str) -> None:
    with pytest.raises(click.UsageError, match=why):
        run(*arguments)


def test_an_extension_is_no_shortening(made: Made) -> None:
    with pytest.raises(RefusedError, match="nothing of the stack prod runs"):
        run("extend", "--for", "1h")
    start(made)
    with pytest.raises(RefusedError, match="not before"):
        run("extend", "--for", "7h")
    with pytest.raises(RefusedError, match="budget is 10 USD"):
        run("extend", "--budget", "10")


def test_an_older_stack_is_told_apart(made: Made) -> None:
    plain = {"Resources": {"topic": {"Type": "AWS::SNS::Topic"}}, "Outputs": template()["Outputs"]}
    made.formation.create_stack(StackName="old", TemplateBody=json.dumps(plain))
    with pytest.raises(FailedError, match="no parameter GpuMode"):
        gpu_stack(DeployedStack("old"))
    with pytest.raises(FailedError, match="cannot be read"):
        gpu_stack(DeployedStack("none"))


class Formation:
    """A client of CloudFormation, with its own waiters."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def get_waiter(self, name: str) -> Any:
        assert name == "stack_update_complete"
        model = WaiterModel(self._client._get_waiter_config())
        return create_waiter_with_client("StackUpdateComplete", model, cast("Any", self))


class Recorder(Formation):
    """One that remembers the parameters that updates change, and does not change them elsewhere."""

    def __init__(self, client: Any) -> None:
        super().__init__(client)
        self.updates: list[dict[str, str]] = []

    def update_stack(self, **named: Any) -> None:
        assert named["UsePreviousTemplate"] is True
        new = {each["ParameterKey"]: each.get("ParameterValue") for each in named["Parameters"]}
        self.updates.append({name: value for name, value in new.items() if value is not None})

    def describe_stacks(self, **named: Any) -> Any:
        told = self._client.describe_stacks(**named)
        (stack,) = told["Stacks"]
        given = {name: value for update in self.updates for name, value in update.items()}
        for each in stack["Parameters"]:
            each["ParameterValue"] = given.get(each["ParameterKey"], each["ParameterValue"])
        stack["StackStatus"] = "UPDATE_COMPLETE"
        return told


class Failing(Formation):
    """One whose updates fail, as its events say."""

    def update_stack(self, **_: Any) -> None:
        pass

    def describe_stacks(self, **named: Any) -> Any:
        told = self._client.describe_stacks(**named)
        told["Stacks"][0]["StackStatus"] = "UPDATE_ROLLBACK_COMPLETE"
        return told

    def describe_stack_events(self, **_: Any) -> Any:
        first = {"LogicalResourceId": "GpuEndpoint", "ResourceStatus": "CREATE_FAILED"}
        then = {"LogicalResourceId": STACK, "ResourceStatus": "UPDATE_ROLLBACK_IN_PROGRESS"}
        return {"StackEvents": [then, {**first, "ResourceStatusReason": "no capacity"}]}


def test_an_update_that_fails_says_why_in_cloudformations_words(made: Made) -> None:
    stack = gpu_stack(DeployedStack(STACK))
    failing = replace(stack, cloudformation=Failing(made.formation), delay_s=1)
    with pytest.raises(FailedError, match="was not updated: GpuEndpoint: no capacity"):
        failing.update({"GpuMode": "async"})


def test_an_update_that_is_not_taken_says_so(made: Made) -> None:
    stack = gpu_stack(DeployedStack(STACK))
    made.formation.delete_stack(StackName=STACK)
    with pytest.raises(FailedError, match=r"the stack prod: .*ValidationError"):
        stack.update({"GpuMode": "async"})


def test_a_lease_that_the_stack_does_not_take_is_told_as_extended(made: Made) -> None:
    start(made)
    stack = gpu_stack(DeployedStack(STACK))
    failing = replace(stack, cloudformation=Failing(made.formation), delay_s=1)
    change = manage.plan_extend(failing, deadline=None, budget_usd=99)
    with pytest.raises(FailedError, match="the lease is extended, but not the stack's parameters"):
        manage.extend(failing, change, Console(as_json=True))
    assert made.lease()["budget-usd"] == "99"
    # As its advice says: once more, and the stack knows too.
    manage.extend(stack, manage.plan_extend(stack, deadline=None, budget_usd=99), Console(as_json=True))
    assert gpu_stack(DeployedStack(STACK)).parameters["GpuBudgetUsd"] == "99"
    with pytest.raises(RefusedError, match="its budget is 99 USD"):
        manage.plan_extend(gpu_stack(DeployedStack(STACK)), deadline=None, budget_usd=99)


def test_started_it_answers_and_stopped_it_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    clients = [DeployedStack(STACK, url).client(name) for name in ("s3", "sagemaker", "cloudformation")]
    made = filled(*clients)
    try:
        with (
            container(tmp_path, url, made.version, HOTPLATE_TIER="sagemaker-realtime") as running,
            local_runtime(LocalRuntime(made.sagemaker, clients[0], running.url, print)) as runtime,
        ):
            running.wait_ready()
            start(made, "--mode", "realtime", "--endpoint", url)
            (endpoint,) = run("status", "--endpoint", url)["endpoints"]
            client = boto3.client(
                    "sagemaker-runtime", REGION, endpoint_url=runtime.url,
                    aws_access_key_id="test", aws_secret_access_key="test",
                )  # fmt: skip
            tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
            asked = {
                "EndpointName": endpoint["name"],
                "ContentType": "application/json",
                "Body": json.dumps({"inputs": [tensor]}),
            }
            answer = json.loads(client.invoke_endpoint(**asked)["Body"].read())
            assert answer["outputs"][0]["data"] == [2.0, 4.0, 6.0]
            assert run("stop", "--endpoint", url)["endpoints"] == [endpoint["name"]]
            with pytest.raises(ClientError, match="not found"):
                client.invoke_endpoint(**asked)
    finally:
        server.stop()
