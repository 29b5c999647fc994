"""A worker's process that is ended by SIGKILL, whatever it is at: nothing is lost, nothing is counted twice.

The function of batch and the model's function are one process, ended together; tables, bucket and queue are
moto's, behind HTTP. The test is what Lambda is to SQS: it takes messages, has them worked on, and gives those
again whose worker ended.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from tests.support.batch import BUCKET, REGION, counted, created
from tests.support.batch_process import WorkerProcess
from tests.support.template import RESOURCES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KILLS = 20
ROWS, BAD_EVERY, BATCH_ROWS = 400, 97, 40
BAD = list(range(0, ROWS, BAD_EVERY))
QUEUE_ARN = "arn:aws:sqs:us-east-1:1:batch"


def rows_of(file: int) -> list[list[float]]:
    return [[float(file), row / 8, -float(row)] for row in range(ROWS)]


def csv_of(file: int) -> bytes:
    lines = ["a,b,c", *(",".join(map(str, row)) for row in rows_of(file))]
    for bad in BAD:
        lines[1 + bad] = "1.0,no number,2.0"
    return "".join(f"{line}\n" for line in lines).encode()


class Cloud:
    """What stays while workers come and go."""

    def __init__(self, url: str, log: Path, chance: random.Random) -> None:
        options: dict[str, Any] = {
            "region_name": REGION,
            "endpoint_url": url,
            "aws_access_key_id": "a",
            "aws_secret_access_key": "b",
        }
        self.s3 = boto3.client("s3", **options)
        self.table = boto3.client("dynamodb", **options)
        self.sqs = boto3.client("sqs", **options)
        self.s3.create_bucket(Bucket=BUCKET)
        properties = RESOURCES["BatchTable"]["Properties"]
        taken = ("AttributeDefinitions", "BillingMode", "KeySchema")
        self.table.create_table(TableName="BatchTable", **{each: properties[each] for each in taken})
        self.queue = self.sqs.create_queue(QueueName="batch", Attributes={"VisibilityTimeout": "960"})[
            "QueueUrl"
        ]
        self._environ = {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_ENDPOINT_URL": url,
            "HOTPLATE_FUNCTIONS": "affine=A:live",
            "HOTPLATE_BATCH_TABLE": "BatchTable",
            "HOTPLATE_BATCH_QUEUE_URL": self.queue,
            "HOTPLATE_BATCH_FAILED_QUEUE_ARN": "arn:aws:sqs:us-east-1:1:given-up",
            "HOTPLATE_BATCH_MAP_ABOVE_CHUNKS": "1000",
            "HOTPLATE_BATCH_MAP_ARN": "arn:aws:states:us-east-1:1:stateMachine:batch",
            "HOTPLATE_DATA_BUCKET": BUCKET,
        }
        self._log, self._chance = log, chance
        self._took_s = [0.1]
        self._longest_s = 0.5
        self.kills = 0
        self.worker = WorkerProcess(self._environ, log)

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=BUCKET, Key=f"{key}.batch.json", Body=b'{"batch_rows": %d}' % BATCH_ROWS)
        etag = self.s3.put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"].strip('"')
        self.sqs.send_message(QueueUrl=self.queue, MessageBody=created(key, etag, len(body)))

    def work(self, kills: int) -> None:
        """Work on messages until there are none; end the worker at random until it has ended so often."""
        while taken := self.sqs.receive_message(
            QueueUrl=self.queue, AttributeNames=["ApproximateReceiveCount"], MaxNumberOfMessages=1
        ).get("Messages"):
            (message,) = taken
            record = {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                # However often it comes here, it is given up by the queue, not by its worker.
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSourceARN": QUEUE_ARN,
            }
            is_hunted = self.kills < kills and self._chance.random() < 0.7
            if self._work_on({"Records": [record]}, is_hunted=is_hunted):
                self.sqs.delete_message(QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"])
            else:
                self.sqs.change_message_visibility(
                    QueueUrl=self.queue, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )

    def _work_on(self, event: dict[str, Any], *, is_hunted: bool) -> bool:
        self.worker.begin(event)
        began = time.monotonic()
        answer = self.worker.answer(self._chance.uniform(0, max(self._took_s[-5:])) if is_hunted else None)
        if answer is None:
            self.worker.kill()
            self.kills += 1
            self._let_go()
            self.worker = WorkerProcess(self._environ, self._log)
            return False
        self._took_s.append(time.monotonic() - began)
        return not answer["batchItemFailures"]

    def _let_go(self) -> None:
        """Have the time pass for which a run is held by who finished it."""
        for item in self.table.scan(TableName="BatchTable")["Items"]:
            if "held_until" in item:
                self.table.update_item(
                    TableName="BatchTable",
                    Key={"pk": item["pk"], "sk": item["sk"]},
                    UpdateExpression="SET held_until = :then",
                    ExpressionAttributeValues={":then": {"N": "0"}},
                )

    def status(self, key: str) -> dict[str, Any]:
        self.worker.begin({"ask": "find", "key": key})
        answer = self.worker.answer(None)
        assert answer is not None
        return answer

    def out(self, key: str, name: str) -> bytes:
        body: bytes = self.s3.get_object(Bucket=BUCKET, Key=f"out/{key.removeprefix('in/')}/{name}")[
            "Body"
        ].read()
        return body


@pytest.fixture
def chance() -> random.Random:
    seed = int(os.environ.get("HOTPLATE_TEST_SEED") or random.SystemRandom().getrandbits(32))
    sys.stdout.write(f"seed {seed}: HOTPLATE_TEST_SEED repeats it\n")  # shown where the test fails
    return random.Random(seed)


@pytest.fixture
def cloud(tmp_path: Path, chance: random.Random) -> Iterator[Cloud]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    found = Cloud(f"http://{host}:{port}", tmp_path / "log", chance)
    yield found
    found.worker.kill()
    server.stop()


def test_worker_that_is_killed_at_twenty_random_moments(cloud: Cloud, tmp_path: Path) -> None:
    keys = []
    for file in itertools.count():
        keys.append(f"in/acme/affine/{file}.csv")
        cloud.put(keys[-1], csv_of(file))
        cloud.work(KILLS)
        if cloud.kills == KILLS:
            break
    requests = 0
    for file, key in enumerate(keys):
        report = json.loads(cloud.out(key, "report.json"))
        assert (report["state"], report["chunks"]["failed"]) == ("succeeded", 0)
        assert report["chunks"]["all"] == report["chunks"]["done"] >= 3
        assert report["rows"] == {"read": ROWS, "predicted": ROWS - len(BAD), "failed": len(BAD)}
        counted_so = cloud.status(key)
        assert counted_so["rows"] == {"predicted": ROWS - len(BAD), "failed": len(BAD)}
        assert counted_so["chunks"]["done"] == report["chunks"]["all"]
        requests += report["usage"]["requests"]
        good = [[2 * value for value in row] for number, row in enumerate(rows_of(file)) if number not in BAD]
        _, *lines = cloud.out(key, "predictions.csv").decode().splitlines()
        assert [[float(value) for value in line.split(",")] for line in lines] == good
        assert [json.loads(line)["row"] for line in cloud.out(key, "errors.jsonl").splitlines()] == BAD
    ledger = counted((tmp_path / "log").read_text())
    assert (ledger["rows"], ledger["requests"]) == (ROWS * len(keys), requests)
