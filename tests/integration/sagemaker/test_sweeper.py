"""The sweeper on moto's SageMaker: whose lease is over ends, whose is not stays, others' are not touched."""

from __future__ import annotations

import importlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from functions.gpu_sweeper.sweep import sweep
from hotplate.aws.leases import LeasedEndpoint, Leases
from hotplate.errors import StoreError
from tests.support.callers import REGION

if TYPE_CHECKING:
    from collections.abc import Iterator

PAST, FUTURE = "2026-01-01T00:00:00Z", "2099-01-01T00:00:00Z"
HOUR = 3600.0


class Flaky:
    """A client of SageMaker that does not delete what a test says."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.stubborn: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def delete_endpoint(self, EndpointName: str) -> Any:  # noqa: N803 - boto3's name
        if EndpointName in self.stubborn:
            raise ClientError({"Error": {"Code": "ValidationException"}}, "DeleteEndpoint")
        return self._client.delete_endpoint(EndpointName=EndpointName)


@dataclass
class SageMaker:
    client: Flaky

    def add(self, name: str, instances: int = 1, **tags: str) -> None:
        variant = {"VariantName": "all", "ModelName": "m", "InstanceType": "ml.m5.large"}
        self.client.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=[{**variant, "InitialInstanceCount": instances}]
        )
        given = [{"Key": f"hotplate:{key.replace('_', '-')}", "Value": value} for key, value in tags.items()]
        self.client.create_endpoint(EndpointName=name, EndpointConfigName=name, Tags=given)

    def names(self) -> set[str]:
        return {each["EndpointName"] for each in self.client.list_endpoints()["Endpoints"]}

    @property
    def leases(self) -> Leases:
        return Leases(self.client, "prod")


@pytest.fixture
def made() -> Iterator[SageMaker]:
    with mock_aws():
        client = boto3.client("sagemaker", REGION)
        client.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
        yield SageMaker(Flaky(client))


def test_what_is_past_its_lease_is_deleted_and_nothing_else(made: SageMaker) -> None:
    made.add("prod-gpu-old", stack="prod", deadline=PAST)
    made.add("prod-gpu-new", stack="prod", deadline=FUTURE)
    made.add("prod-gpu-none", stack="prod")
    made.add("prod-gpu-odd", stack="prod", deadline="tomorrow")
    made.add("prod-gpu-2-gpu", stack="prod-gpu-2", deadline=PAST)
    made.add("prod-gpu-theirs")
    made.add("not-prod-gpu", stack="prod", deadline=PAST)
    done = {each.name: each.outcome for each in sweep(made.leases, time.time())}
    assert done == {
        "prod-gpu-old": "deleted",
        "prod-gpu-new": "kept",
        "prod-gpu-none": "deleted",
        "prod-gpu-odd": "deleted",
    }
    assert made.names() == {"prod-gpu-new", "prod-gpu-2-gpu", "prod-gpu-theirs", "not-prod-gpu"}
    configs = made.client.list_endpoint_configs()["EndpointConfigs"]
    assert "prod-gpu-old" in {each["EndpointConfigName"] for each in configs}, "to make it again of"


def test_money_is_counted_by_what_runs_and_ends_it_when_it_is_spent(made: SageMaker) -> None:
    lease = {"stack": "prod", "deadline": FUTURE, "budget_usd": "5", "usd_per_hour": "1.5"}
    made.add("prod-gpu", instances=2, **lease)
    begun = next(made.leases.all()).created
    assert [each.outcome for each in sweep(made.leases, begun + HOUR)] == ["kept"]
    (endpoint,) = made.leases.all()
    assert float(endpoint.tags["hotplate:spent-usd"]) == pytest.approx(3.0, abs=0.01)
    made.client.update_endpoint_weights_and_capacities(
        EndpointName="prod-gpu",
        DesiredWeightsAndCapacities=[{"VariantName": "all", "DesiredInstanceCount": 1}],
    )
    (swept,) = sweep(made.leases, begun + 2 * HOUR)
    assert (swept.outcome, swept.why) == ("kept", "4.50 USD are spent")
    (swept,) = sweep(made.leases, begun + 2.5 * HOUR)
    assert (swept.outcome, swept.why) == ("deleted", "5.25 USD of 5.00 are spent")
    assert made.names() == set()


def test_what_is_not_deleted_keeps_no_other_and_is_tried_again(made: SageMaker) -> None:
    made.add("prod-gpu-a", stack="prod", deadline=PAST)
    made.add("prod-gpu-b", stack="prod", deadline=PAST)
    made.client.stubborn = {"prod-gpu-a"}
    done = {each.name: each.outcome for each in sweep(made.leases, time.time())}
    assert done == {"prod-gpu-a": "failed", "prod-gpu-b": "deleted"}
    made.client.stubborn = set()
    assert [each.outcome for each in sweep(made.leases, time.time())] == ["deleted"]
    assert sweep(made.leases, time.time()) == []


def test_round_that_is_not_done_is_an_error_of_the_function(
    made: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOTPLATE_STACK", "prod")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    import functions.gpu_sweeper.app as module

    app = importlib.reload(module)
    monkeypatch.setattr(app, "_leases", made.leases)
    made.add("prod-gpu-a", stack="prod", deadline=PAST)
    made.client.stubborn = {"prod-gpu-a"}
    with pytest.raises(StoreError, match="prod-gpu-a; the next round"):
        app.lambda_handler({}, None)
    made.client.stubborn = set()
    assert app.lambda_handler({}, None) == {"kept": 0, "deleted": 1}


def test_endpoint_that_sleeps_costs_nothing() -> None:
    tags = {"hotplate:usd-per-hour": "1.5", "hotplate:spent-usd": "2", "hotplate:counted-at": "100"}
    endpoint = LeasedEndpoint("e", "arn", "InService", 0.0, 0, tags)
    assert endpoint.spent_usd(100 + HOUR) == 2.0


@pytest.mark.parametrize(
    ("budget", "over"), [("2", True), ("2.1", False), ("lots", True), ("-1", True), ("nan", True)]
)
def test_budget_that_cannot_be_read_is_spent(budget: str, over: bool) -> None:
    tags = {"hotplate:deadline": FUTURE, "hotplate:budget-usd": budget, "hotplate:spent-usd": "2"}
    assert bool(LeasedEndpoint("e", "arn", "InService", 0.0, 0, tags).why_over(0.0)) is over
