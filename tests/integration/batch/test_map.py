"""Runs that go through the state machine: the same outcome as through the queue, whatever breaks."""

from __future__ import annotations

import json

import pytest

from hotplate.aws.batch_rows import RUN_S
from hotplate.errors import StepError, StepUnavailableError
from tests.support.batch import BUCKET, World, doubled, lines_of, world

ROWS = 95
FAULT = StepError("its function ended with an error")
BUSY = StepUnavailableError("its function is busy")


def outcome(batch: World) -> tuple[object, ...]:
    """Return all of a report that does not depend on who handed out the chunks."""
    report = batch.report()
    told = {name: report[name] for name in ("state", "reason", "rows", "chunks", "files", "round")}
    errors = batch.out("errors.jsonl") if "errors" in report["files"] else b""
    return told, report["usage"]["requests"], batch.out("predictions.jsonl"), errors


def test_outcome_is_that_of_the_queue() -> None:
    found = []
    for above, engine in ((1000, "queue"), (9, "map")):
        with world(rows_at_once=6, map_above=above) as batch:
            batch.put(lines_of(ROWS, bad_every=40))
            batch.work()
            assert (batch.run()["engine"], batch.report()["engine"]) == (engine, engine)
            found.append(outcome(batch))
    assert found[0] == found[1]


@pytest.mark.parametrize(("above", "engine"), [(10, "queue"), (9, "map")])
def test_run_of_more_chunks_than_the_parameter_is_the_maps(above: int, engine: str) -> None:
    with world(map_above=above) as batch:
        batch.put(lines_of(100))
        batch.work()
        assert (batch.run()["engine"], batch.run()["chunks"]["all"]) == (engine, 10)
        assert bool(batch.map.started) == (engine == "map")
        sent = sum("chunk" in body for body in batch.queue.sent)
        assert sent == (0 if engine == "map" else 10)


@pytest.mark.parametrize("seed", range(2))
def test_items_that_come_twice_and_workers_that_are_killed(seed: int) -> None:
    kill_at = range(23, 4000, 61)
    with world(seed=seed, copies=2, rows_at_once=6, kill_at=kill_at, map_above=2) as batch:
        body = lines_of(ROWS, bad_every=40)
        batch.put(body)
        batch.work()
        batch.moments.kill_at.clear()
        assert batch.out("predictions.jsonl") == doubled(body)
        assert batch.report()["rows"] == {"read": ROWS, "predicted": ROWS - 3, "failed": 3}
        assert batch.run()["chunks"] == {"all": 10, "done": 10, "failed": 0}


def test_what_is_left_over_of_a_chunk_is_gone_on_with_at_once() -> None:
    with world(rows_at_once=3, map_above=1) as batch:
        batch.put(lines_of(20))
        batch.work()
        assert [row for chunk, row in batch.models.asked if chunk == 0] == [0, 3, 6, 9]
        assert not [body for body in batch.queue.sent if "chunk" in body]


def test_item_whose_model_stays_busy_is_the_queues() -> None:
    with world(map_above=1) as batch:
        batch.models.faults = {0: [BUSY, BUSY, BUSY]}
        batch.put(lines_of(20))
        batch.work()
        assert batch.run()["state"] == "succeeded"
        # Twice in the map, and the queue's own wait.
        assert (batch.models.asked.count((0, 0)), max(batch.queue.delays)) == (4, 5)


def test_chunk_on_which_the_model_fails_is_named_and_resume_asks_for_it_alone() -> None:
    with world(map_above=1) as batch:
        batch.models.faults = {1: [FAULT] * 20}
        batch.put(lines_of(50))
        batch.work()
        assert batch.run()["state"] == "failed_chunks"
        assert [each["chunk"] for each in batch.report()["chunks"]["reasons"]] == [1]
        batch.models.faults, batch.models.asked = {}, []
        batch.ask("resume", run=batch.run()["run"])
        batch.work()
        assert batch.run()["state"] == "succeeded"
        assert batch.models.asked == [(1, 10)]
        # One chunk is no run for the map.
        assert (batch.run()["engine"], batch.run()["round"]) == ("queue", 1)


def test_what_the_map_did_not_do_is_sent_when_it_ends() -> None:
    with world(map_above=1) as batch:
        batch.put(lines_of(50))
        batch.take_one()
        batch.map.items = batch.map.items[:2]  # as if its tolerance had been exceeded
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(50))
        assert len(batch.models.asked) == 5


def test_run_whose_execution_was_ended_by_hand_is_taken_up_again() -> None:
    with world(map_above=1) as batch:
        batch.put(lines_of(50))
        batch.take_one()
        batch.map.items, batch.map.missed = [], None
        batch.work()
        assert batch.run()["state"] == "running"
        batch.ask("resume", run=batch.run()["run"])
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(50))


def test_cancel_ends_the_execution_and_resume_begins_another() -> None:
    with world(map_above=1) as batch:
        batch.put(lines_of(50))
        batch.take_one()
        batch.map.take_one(batch.mapped)
        run = batch.run()["run"]
        assert batch.ask("cancel", run=run)["state"] == "cancelled"
        assert batch.map.stopped == [run]
        batch.work()
        batch.ask("resume", run=run)
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(50))
        rounds = [name.rpartition("-")[2] for name in batch.map.started if name.startswith(f"{run}-")]
        assert (rounds, len(batch.models.asked)) == (["0", "1"], 5)


def test_list_holds_no_payload_and_is_a_json_array() -> None:
    with world(map_above=1) as batch:
        batch.put(lines_of(20))
        batch.take_one()
        run = batch.run()["run"]
        body = batch.s3.get_object(Bucket=BUCKET, Key=f"work/{run}/map/0.json")["Body"].read()
        assert [(each["run"], each["chunk"]) for each in json.loads(body)] == [(run, 0), (run, 1)]
        assert {name for each in json.loads(body) for name in each} == {
            "run", "chunk", "piece", "round", "work", "waits",
        }  # fmt: skip


@pytest.mark.parametrize("map_above", [1, 1000], ids=["map", "queue"])
@pytest.mark.parametrize("removed", [True, False], ids=["removed", "expired"])
def test_same_file_after_its_run_has_expired_is_a_run_of_its_own(
    map_above: int, removed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with world(map_above=map_above) as batch:
        body = lines_of(50)
        batch.put(body)
        batch.work()
        batch.clock[0] += RUN_S + 3600
        table, name = batch.table._client, batch.table._name
        for item in table.scan(TableName=name)["Items"] if removed else ():
            table.delete_item(TableName=name, Key={"pk": item["pk"], "sk": item["sk"]})
        batch.models.asked.clear()
        batch.put(body)
        batch.work()
        ended = batch.run()
        assert (ended["state"], ended["rows"]["predicted"]) == ("succeeded", 50)
        assert batch.models.asked
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"usage"' in line]
        assert sum(line["rows"] for line in lines) == 100
        assert len({line["request_id"] for line in lines}) == len(lines)
