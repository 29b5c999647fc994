"""Runs of files: what is begun, what becomes of it, and what the owner is told, resumes and cancels."""

from __future__ import annotations

import gzip
import io
import json

import numpy as np
import pytest
from arro3.core import Array, Table
from arro3.io import write_parquet

from functions.batch.work import MAX_WAITS
from hotplate.aws.batch_files import SIDECAR
from hotplate.errors import StepError, StepUnavailableError
from tests.support.batch import BUCKET, KEY, created, doubled, lines_of, loaded_affine, world

FAULT = StepError("its function ended with an error")
BUSY = StepUnavailableError("its function is busy")


def test_rows_come_out_in_order_and_bad_ones_apart_with_their_numbers() -> None:
    with world() as batch:
        body = lines_of(95, bad_every=40)
        batch.put(body)
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(body)
        errors = [json.loads(line) for line in batch.out("errors.jsonl").splitlines()]
        assert [each["row"] for each in errors] == [0, 40, 80]
        report = batch.report()
        assert (report["state"], report["version"]) == ("succeeded", "v1")
        assert report["rows"] == {"read": 95, "predicted": 92, "failed": 3}
        assert report["files"]["predictions"]["bytes"] == len(doubled(body))


@pytest.mark.parametrize(
    "file", ["a b.jsonl", "a+b.jsonl", "中文.jsonl", "a%2Fb.jsonl", "sub/folder/x.jsonl", "ä=&?.jsonl"]
)
def test_keys_are_decoded_once(file: str) -> None:
    key = f"in/acme/affine/{file}"
    with world() as batch:
        batch.put(lines_of(3), key)
        batch.work()
        assert batch.out("predictions.jsonl", key) == doubled(lines_of(3))
        assert batch.report(key)["input"]["key"] == key


@pytest.mark.parametrize("body", [b"", b"1\n"], ids=["empty", "one row"])
def test_small_files_end_too(body: bytes) -> None:
    with world() as batch:
        batch.put(body)
        batch.work()
        assert (batch.run()["state"], batch.out("predictions.jsonl")) == ("succeeded", doubled(body))


@pytest.mark.parametrize(
    ("key", "options", "words"),
    [
        ("in/acme/unheard-of/x.jsonl", None, "unknown model 'unheard-of'; this stack has: affine"),
        (KEY, b'{"version": "v0"}', "version 'v0' is not served; 'v1' is"),
        (KEY, b'{"separator": ";"}', "unknown field `separator`"),
        (KEY, b"{", "the options: "),
    ],
    ids=["model", "version", "option", "options"],
)
def test_what_cannot_be_begun_is_a_report_that_says_why(key: str, options: bytes | None, words: str) -> None:
    with world() as batch:
        if options is not None:
            batch.s3.put_object(Bucket=BUCKET, Key=key + SIDECAR, Body=options)
        batch.put(lines_of(3), key)
        batch.work()
        report = batch.report(key)
        assert report["state"] == "failed"
        assert words in report["reason"]
        assert batch.ask("resume", run=report["run"])["status"] == 409
        assert batch.models.asked == []


def test_file_that_cannot_be_read_is_a_report_and_nothing_else() -> None:
    with world() as batch:
        batch.put(b"broken")
        batch.work()
        assert batch.report()["reason"] == "no lines (byte 0)"
        assert batch.names() == ["out/acme/affine/rows.jsonl/report.json"]
        assert batch.queue.given_up == []


@pytest.mark.parametrize("key", ["in/acme/affine/", "in/x.jsonl", "in/acme/x.jsonl", f"{KEY}{SIDECAR}"])
def test_what_is_no_input_is_left_alone(key: str) -> None:
    with world() as batch:
        batch.queue.put(created(key, "e", 3))
        batch.queue.put(created(KEY, "e", 3, bucket="another"))
        batch.queue.put('{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
        batch.work()
        assert (batch.names(), batch.logged) == ([], [])


def test_options_choose_and_are_part_of_what_a_run_is() -> None:
    with world() as batch:
        batch.put(lines_of(3))
        batch.work()
        first = batch.run()["run"]
        batch.s3.put_object(Bucket=BUCKET, Key=KEY + SIDECAR, Body=b'{"row_numbers": true, "version": "v1"}')
        batch.put(lines_of(3))
        batch.work()
        assert batch.run()["run"] != first
        assert batch.report()["options"] == {"row_numbers": True, "version": "v1"}


def test_file_that_came_before_and_comes_back_is_joined_again_and_predicted_once() -> None:
    with world() as batch:
        for body in (lines_of(20), lines_of(30), lines_of(20)):
            batch.put(body)
            batch.work()
            assert batch.out("predictions.jsonl") == doubled(body)
        assert len(batch.models.asked) == 2 + 3


def test_file_that_is_replaced_meanwhile_does_not_overwrite_the_later_ones_predictions() -> None:
    with world() as batch:
        batch.put(lines_of(30))
        batch.take_one()
        first = batch.run()["run"]
        batch.put(lines_of(20))
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(20))
        assert batch.ask("status", run=first)["state"] == "failed"
        assert batch.report()["rows"]["read"] == 20


def test_time_that_is_over_inside_a_chunk_leaves_a_rest_that_is_done_next() -> None:
    with world(rows_in_chunk=10, rows_at_once=3) as batch:
        batch.put(lines_of(25, bad_every=12))
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(25, bad_every=12))
        assert batch.report()["chunks"] | {"reasons": 0} == {
            "all": 3, "done": 3, "failed": 0, "pieces": 10, "reasons": 0
        }  # fmt: skip


def test_resume_after_faults_does_the_failed_chunks_and_no_others() -> None:
    with world() as batch:
        batch.models.faults = {number: [FAULT] * 5 for number in (2, 3, 7)}
        batch.put(lines_of(100))
        batch.work()
        run = batch.run()
        assert (run["state"], run["reason"]) == ("failed_chunks", "3 of 10 chunks failed")
        report = batch.report()
        assert [each["chunk"] for each in report["chunks"]["reasons"]] == [2, 3, 7]
        assert all("ended with an error" in each["reason"] for each in report["chunks"]["reasons"])
        assert batch.names() == ["out/acme/affine/rows.jsonl/report.json"]
        batch.models.asked.clear()
        assert batch.ask("resume", run=run["run"])["state"] == "running"
        batch.work()
        assert sorted(batch.models.asked) == [(2, 20), (3, 30), (7, 70)]
        assert batch.run()["state"] == "succeeded"
        assert batch.out("predictions.jsonl") == doubled(lines_of(100))
        assert batch.report()["rows"] == {"read": 100, "predicted": 100, "failed": 0}
        assert batch.ask("resume", run=run["run"])["status"] == 409


def test_chunk_that_fails_for_a_while_is_tried_again() -> None:
    with world() as batch:
        batch.models.faults = {1: [FAULT] * 4}
        batch.put(lines_of(30))
        batch.work()
        assert batch.run()["state"] == "succeeded"
        assert len(batch.models.asked) == 3 + 4


def test_model_that_is_busy_is_waited_for_and_that_is_no_try() -> None:
    with world() as batch:
        batch.models.faults = {0: [BUSY] * 20}
        batch.put(lines_of(10))
        batch.work()
        assert batch.run()["state"] == "succeeded"
        assert [each for each in batch.queue.delays if each][:4] == [5, 10, 20, 40]
        assert max(batch.queue.delays) == 240


def test_model_that_stays_busy_is_given_up() -> None:
    with world() as batch:
        batch.models.faults = {0: [BUSY] * (MAX_WAITS + 1)}
        batch.put(lines_of(10))
        batch.work()
        assert batch.run()["state"] == "failed_chunks"


def test_cancelled_run_ends_without_predictions_and_goes_on_when_resumed() -> None:
    with world() as batch:
        batch.put(lines_of(50))
        for _ in range(3):
            batch.take_one()
        run = batch.run()["run"]
        assert batch.ask("cancel", run=run)["state"] == "cancelled"
        batch.work()
        assert batch.names() == []
        done = len(batch.models.asked)
        assert done < 5
        batch.ask("resume", run=run)
        batch.work()
        assert batch.out("predictions.jsonl") == doubled(lines_of(50))
        assert len(batch.models.asked) == 5
        assert batch.ask("cancel", run=run)["status"] == 409


def test_model_that_is_replaced_meanwhile_is_not_taken_for_the_one_that_began() -> None:
    with world() as batch:
        batch.put(lines_of(20))
        batch.take_one()
        batch.models.version = "v2"
        batch.work()
        reasons = batch.report()["chunks"]["reasons"]
        assert len(reasons) == 2
        assert "version 'v1' of 'affine' is not served any more; 'v2' is" in reasons[0]["reason"]


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({"ask": "status", "run": "none"}, 404),
        ({"ask": "find", "key": "in/a/b/c"}, 404),
        ({"ask": "delete", "run": "x"}, 400),
        ({"ask": "status", "runs": "x"}, 400),
    ],
)
def test_questions_that_cannot_be_answered_are_told_so(event: dict[str, str], status: int) -> None:
    with world() as batch:
        assert batch.requests.answer(event)["status"] == status


@pytest.mark.parametrize("packed", [False, True])
def test_real_files_are_predicted_by_a_real_model(packed: bool) -> None:
    lines = ["id,x[0],x[1],x[2]", *(f"{n},{n},{n + 0.5},1e3" for n in range(200))]
    lines[51] = "50,no,1,2"
    body = "\r\n".join(lines).encode()
    key = KEY.replace(".jsonl", ".csv.gz" if packed else ".csv")
    with world(model=loaded_affine(), rows_in_chunk=1000) as batch:
        batch.s3.put_object(Bucket=BUCKET, Key=key + SIDECAR, Body=b'{"keep": ["id"]}')
        batch.put(gzip.compress(body) if packed else body, key)
        batch.work()
        assert batch.run(key)["chunks"]["all"] > 2
        head, *rows = batch.out("predictions.csv", key).decode().splitlines()
        assert head == "id,y[0],y[1],y[2]"
        found = [tuple(map(float, row.split(","))) for row in rows]
        assert found == [(n, 2 * n, 2 * n + 1, 2e3) for n in range(200) if n != 50]
        (error,) = map(json.loads, batch.out("errors.jsonl", key).splitlines())
        assert error["row"] == 50


@pytest.mark.parametrize("body", ["no JSON", '{"batch": 1}', '{"Records": [{"s3": {}}]}'])
def test_message_that_is_none_is_told_of_and_left_to_the_queue_of_what_was_given_up(body: str) -> None:
    with world() as batch:
        batch.queue.put(body)
        for _ in range(6):
            batch.take_one()
        assert len(batch.queue.given_up) == 1
        assert "DecodeError" in batch.logged[-1] or "ValidationError" in batch.logged[-1]
        assert batch.names() == []


def parquet_of(rows: int) -> bytes:
    columns = {f"x[{n}]": Array(np.arange(rows, dtype=np.float32)) for n in range(3)}
    body = io.BytesIO()
    write_parquet(Table.from_pydict(dict(columns)), body)
    return body.getvalue()


HEAD = b"x[0],x[1],x[2]\n"


@pytest.mark.parametrize(
    ("name", "body", "state", "rows"),
    [
        ("empty.csv", b"", "failed", 0),
        ("header.csv", HEAD, "succeeded", 0),
        ("one.csv", HEAD + b"1,2,3", "succeeded", 1),
        ("newlines.csv", HEAD + b"1,2,3\r\n4,5,6\r7,8,9\n", "succeeded", 3),
        ("quotes.csv", HEAD + b'1,2,3\n4,"5,6\n', "failed", 0),
        ("utf16.csv", (HEAD + b"1,2,3\n").decode().encode("utf-16"), "failed", 0),
        ("columns.csv", b"a,b\n1,2\n", "failed", 0),
        ("none.parquet", parquet_of(0), "succeeded", 0),
        ("one.parquet", parquet_of(1), "succeeded", 1),
        ("truncated.parquet", parquet_of(1000)[:-500], "failed", 0),
        ("truncated.csv.gz", gzip.compress(HEAD + b"1,2,3\n" * 1000, mtime=0)[:-20], "failed", 0),
        ("x.jsonl", b'{"x": [1, 2, 3]}\n{"x": 1}\n\n{"x": [4, 5, 6]}', "succeeded", 2),
    ],
)
def test_odd_files_have_a_report_and_nothing_half_written(
    name: str, body: bytes, state: str, rows: int
) -> None:
    key = f"in/acme/affine/{name}"
    with world(model=loaded_affine(), rows_in_chunk=2**20) as batch:
        batch.put(body, key)
        batch.work()
        report = batch.report(key)
        assert (report["state"], report["rows"]["predicted"]) == (state, rows)
        assert (report["reason"] is None) == (state == "succeeded")
        there = {key.rpartition("/")[2] for key in batch.names()} - {"report.json"}
        assert {each["key"].rpartition("/")[2] for each in report["files"].values()} == there
        assert there == set() or state == "succeeded"
        assert batch.queue.given_up == []


def test_run_that_fails_leaves_nothing_of_an_earlier_one_beside_its_report() -> None:
    with world() as batch:
        batch.put(lines_of(20, bad_every=7))
        batch.work()
        assert len(batch.names()) == 3
        batch.put(b"broken")
        batch.work()
        assert batch.names() == ["out/acme/affine/rows.jsonl/report.json"]
        batch.put(lines_of(5))
        batch.work()
        assert [name.rpartition("/")[2] for name in batch.names()] == ["predictions.jsonl", "report.json"]


def test_event_that_comes_late_of_what_was_replaced_changes_nothing() -> None:
    with world() as batch:
        first = batch.put(lines_of(20), event=False)
        batch.put(lines_of(30))
        batch.take_one()
        batch.queue.put(created(KEY, first, len(lines_of(20))))
        batch.work()
        assert batch.run()["state"] == "succeeded"
        assert batch.out("predictions.jsonl") == doubled(lines_of(30))


def test_same_file_with_other_options_has_no_run_until_there_is_one() -> None:
    with world() as batch:
        etag = batch.put(lines_of(5))
        batch.work()
        first = batch.ask("find", key=KEY, etag=etag, options="{}")
        assert first["state"] == "succeeded"
        other = '{"row_numbers": true}'
        batch.s3.put_object(Bucket=BUCKET, Key=f"{KEY}.batch.json", Body=other.encode())
        batch.put(lines_of(5))
        told = batch.ask("find", key=KEY, etag=etag, options=other)
        assert told["status"] == 404
        batch.work()
        assert batch.ask("find", key=KEY, etag=etag, options=other)["run"] != first["run"]
