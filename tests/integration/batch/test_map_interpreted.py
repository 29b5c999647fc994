"""The template's state machine, interpreted: items of S3, the real worker as Lambda, leftovers in SQS."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from hotplate.aws.batch_map import ChunkMap
from hotplate.errors import StepError, StoreUnavailableError
from tests.support.batch import REGION, MemoryMap, World, doubled, lines_of, world
from tests.support.chunk_map import definition, lambda_server, waited_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROLE = "arn:aws:iam::123456789012:role/chunk-map"
INTERPRETED = {"stepfunctions": {"execute_state_machine": True}}


class Interpreted(ChunkMap):
    """The state machine of moto."""

    def __init__(self, queue_url: str, *, concurrency: int) -> None:
        self.states = boto3.client("stepfunctions", REGION)
        made = self.states.create_state_machine(
            name="hotplate-batch",
            roleArn=ROLE,
            definition=definition(BatchQueue=queue_url, BatchMapConcurrency=str(concurrency)),
        )
        super().__init__(self.states, made["stateMachineArn"], above=1)
        self.arn: str = made["stateMachineArn"]

    def executions(self) -> list[str]:
        found = self.states.list_executions(stateMachineArn=self.arn)["executions"]
        return [each["executionArn"] for each in found]


def sent_to(sqs: Any, url: str) -> list[str]:
    """Return what was sent to a queue."""
    bodies: list[str] = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        bodies += [each["Body"] for each in found]
    return bodies


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., tuple[World, list[str], Any]]]:
    """Give what runs a file through the interpreter, and tells what of it was left to the queue."""
    from contextlib import ExitStack

    with ExitStack() as stack:

        def run(body: bytes, faults: dict[int, list[Exception]]) -> tuple[World, list[str], Any]:
            batch = stack.enter_context(world(map_above=1, config=INTERPRETED))
            endpoint = stack.enter_context(lambda_server(lambda event: batch.mapped.work(event["piece"])))
            monkeypatch.setenv("AWS_ENDPOINT_URL_LAMBDA", endpoint)
            sqs = boto3.client("sqs", REGION)
            # Its delay is a parameter's own: a test does not wait for it.
            url = sqs.create_queue(QueueName="batch")["QueueUrl"]
            machine = Interpreted(url, concurrency=3)
            batch.map.start = machine.start  # type: ignore[method-assign]
            batch.models.faults = faults
            batch.put(body)
            batch.take_one()
            (execution,) = machine.executions()
            told = waited_for(machine.states, execution)
            assert told["status"] == "SUCCEEDED", told
            return batch, sent_to(sqs, url), machine.states.get_execution_history(executionArn=execution)

        yield run


def test_every_chunk_is_worked_on_by_the_map_and_the_run_is_finished(
    interpreted: Callable[..., tuple[World, list[str], Any]],
) -> None:
    body = lines_of(75, bad_every=40)
    batch, left, history = interpreted(body, {})
    assert sorted(row for _, row in batch.models.asked) == list(range(0, 75, 10))
    assert not [each for each in left if "chunk" in each]
    batch.work()
    assert batch.out("predictions.jsonl") == doubled(body)
    assert (batch.run()["state"], batch.run()["engine"]) == ("succeeded", "map")
    kinds = {each["type"] for each in history["events"]}
    assert {"MapRunStarted", "MapRunSucceeded", "ExecutionSucceeded"} <= kinds


def test_item_that_fails_is_tried_again_and_then_sent_to_the_queue_whole(
    interpreted: Callable[..., tuple[World, list[str], Any]],
) -> None:
    body = lines_of(40)
    batch, left, _ = interpreted(body, {1: [StepError("once")], 2: [StepError("for good")] * 2})
    asked = [chunk for chunk, _ in batch.models.asked]
    assert [asked.count(chunk) for chunk in range(4)] == [1, 2, 2, 1]
    (item,) = [json.loads(each) for each in left if "chunk" in each]
    assert (item["chunk"], item["run"]) == (2, batch.run()["run"])
    for each in left:
        batch.queue.put(each)
    batch.work()
    assert batch.out("predictions.jsonl") == doubled(body)
    assert batch.run()["chunks"] == {"all": 4, "done": 4, "failed": 0}


def test_execution_that_is_there_is_not_started_again_and_one_that_is_gone_is_not_stopped() -> None:
    with world(map_above=1, config={"stepfunctions": {"execute_state_machine": False}}) as batch:
        machine = Interpreted("http://queue", concurrency=1)
        batch.put(lines_of(20))
        batch.take_one()
        run = batch.table.get(batch.run()["run"])
        machine.start(run, "data", "work/list.json")
        machine.start(run, "data", "work/list.json")
        machine.stop(run)
        assert len(machine.executions()) == 1
        broken = ChunkMap(machine.states, machine.arn.replace("hotplate-batch", "another"), above=1)
        with pytest.raises(StoreUnavailableError, match="another"):
            broken.start(run, "data", "work/list.json")
        broken.stop(run)


def test_fake_has_what_the_steps_use_of_the_real_one() -> None:
    assert {name for name in dir(ChunkMap) if not name.startswith("_")} <= set(dir(MemoryMap))
