"""Nothing is lost, nothing is counted twice: whatever comes twice, late, or ends in the middle."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from tests.support.batch import counted, doubled, lines_of, world
from tests.support.raw_response import RawResponse

if TYPE_CHECKING:
    from tests.support.batch import World

ROWS, BAD_EVERY = 50, 15
BODY = lines_of(ROWS, bad_every=BAD_EVERY)
BAD = list(range(0, ROWS, BAD_EVERY))


def check(batch: World, printed: str) -> None:
    """Every good row is there once, every bad one is told of once, and all is counted once."""
    batch.moments.kill_at.clear()  # who looks is not killed
    assert batch.run()["state"] == "succeeded"
    assert batch.out("predictions.jsonl") == doubled(BODY)
    assert [json.loads(line)["row"] for line in batch.out("errors.jsonl").splitlines()] == BAD
    expected = {"read": ROWS, "predicted": ROWS - len(BAD), "failed": len(BAD)}
    assert batch.report()["rows"] == expected
    assert batch.run()["rows"] == {"predicted": expected["predicted"], "failed": expected["failed"]}
    assert counted(printed)["rows"] == ROWS
    assert counted(printed)["requests"] == batch.report()["usage"]["requests"]
    assert batch.queue.given_up == []


@pytest.mark.parametrize("seed", range(3))
def test_messages_that_come_twice_and_in_any_order(seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    with world(seed=seed, copies=2, rows_at_once=6) as batch:
        batch.put(BODY)
        batch.work()
        check(batch, capsys.readouterr().out)


def moments_of_a_run() -> int:
    with world(seed=5, rows_at_once=6) as batch:
        batch.put(BODY)
        batch.work()
        return batch.moments.count


@pytest.mark.parametrize("part", range(4))
def test_worker_that_is_killed_at_any_of_twenty_moments(
    part: int, capsys: pytest.CaptureFixture[str]
) -> None:
    moments = random.Random(11).sample(range(1, moments_of_a_run()), 20)
    for moment in moments[part * 5 : part * 5 + 5]:
        capsys.readouterr()
        with world(seed=5, rows_at_once=6, kill_at=[moment]) as batch:
            batch.put(BODY)
            batch.work()
            assert batch.moments.count > moment
            check(batch, capsys.readouterr().out)


def test_workers_that_are_killed_again_and_again(capsys: pytest.CaptureFixture[str]) -> None:
    with world(seed=3, copies=2, rows_at_once=6, kill_at=range(13, 4000, 97)) as batch:
        batch.put(BODY)
        batch.work()
        check(batch, capsys.readouterr().out)


def test_worker_that_always_ends_at_once_fails_its_chunk_with_a_reason() -> None:
    with world() as batch:
        batch.put(lines_of(20))
        batch.take_one()
        (first, _) = sorted(batch.queue.waiting, key=lambda each: json.loads(each["body"])["chunk"])
        first["tries"] = 5
        batch.work()
        (told,) = batch.report()["chunks"]["reasons"]
        assert told == {"chunk": 0, "reason": "its worker ended before it was done"}
        assert batch.run()["state"] == "failed_chunks"


def test_store_that_answers_503_to_one_request_in_ten(capsys: pytest.CaptureFixture[str]) -> None:
    chance = random.Random(2)
    refused = []

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if chance.random() >= 0.1:
            return None
        refused.append(request.url)
        body = b"<Error><Code>SlowDown</Code><Message>slow</Message></Error>"
        return AWSResponse(request.url, 503, HTTPHeaders(), RawResponse(body))

    with world(seed=1, rows_at_once=20) as batch:
        batch.s3.meta.events.register_first("before-send.s3", refuse)
        batch.put(BODY)
        batch.work()
        batch.s3.meta.events.unregister("before-send.s3", refuse)
        check(batch, capsys.readouterr().out)
    assert len(refused) >= 5


def test_queue_that_is_throttled(capsys: pytest.CaptureFixture[str]) -> None:
    with world(seed=4, rows_at_once=6) as batch:
        batch.queue.throttled = 0.25
        batch.put(BODY)
        batch.work()
        check(batch, capsys.readouterr().out)
        assert len(batch.logged) >= 3


def test_two_workers_that_finish_last_together_finish_once() -> None:
    with world() as batch:
        batch.put(lines_of(10))
        batch.take_one()
        batch.take_one()  # the only chunk
        (finish,) = batch.queue.waiting
        ends = []
        whole = batch.table.end
        batch.table.end = lambda *a, **k: ends.append(a) or whole(*a, **k)  # type: ignore[method-assign,func-returns-value]
        hold = batch.table.hold

        def hold_and_meet(run: Any) -> Any:
            held = hold(run)
            # Now the other one comes, whose message is the same.
            batch.table.hold = hold  # type: ignore[method-assign]
            batch.queue.waiting.insert(0, {**finish, "tries": 0, "id": "other"})
            batch.take_one()
            return held

        batch.table.hold = hold_and_meet  # type: ignore[method-assign]
        batch.take_one()
        batch.work()
        assert len(ends) == 1
        assert batch.run()["state"] == "succeeded"


def test_one_bad_row_in_ten_thousand(capsys: pytest.CaptureFixture[str]) -> None:
    body = b"".join(b"bad\n" if n % 10_000 == 4567 else b"%d\n" % n for n in range(30_000))
    with world(rows_in_chunk=3000) as batch:
        batch.put(body)
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(body)
        errors = [json.loads(line)["row"] for line in batch.out("errors.jsonl").splitlines()]
        assert errors == [4567, 14567, 24567]
        assert batch.report()["rows"] == {"read": 30_000, "predicted": 29_997, "failed": 3}
        assert counted(capsys.readouterr().out)["rows"] == 30_000
