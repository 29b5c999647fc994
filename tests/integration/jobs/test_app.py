"""The function of jobs as Lambda calls it: with requests, and with messages of its two queues."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from hotplate.aws.job_queue import MAX_TRIES, read_reference
from tests.support.callers import REGION
from tests.support.jobs import BUCKET, Jobs, event_of, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ASKED = {"model": "digits", "request": {"inputs": []}}
QUEUE, GIVEN_UP = "arn:aws:sqs:us-east-1:1:jobs", "arn:aws:sqs:us-east-1:1:given-up"


@dataclass
class Context:
    aws_request_id: str = "req-1"
    memory_limit_in_mb: str = "512"


@pytest.fixture
def made() -> Iterator[Jobs]:
    with jobs() as found:
        yield found


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, made: Jobs) -> ModuleType:
    settings = {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9",  # nobody listens there
        "HOTPLATE_FUNCTIONS": "digits=D:live,spam=S:live",
        "HOTPLATE_JOB_TABLE": "JobTable",
        "HOTPLATE_JOB_QUEUE_URL": made.url,
        "HOTPLATE_JOB_FAILED_QUEUE_ARN": GIVEN_UP,
        "HOTPLATE_DATA_BUCKET": BUCKET,
        "HOTPLATE_WEBHOOK_QUEUE_URL": made.told_url,
        "HOTPLATE_KEY_TABLE": "KeyTable",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    import functions.jobs.app as module

    return importlib.reload(module)


def message(made: Jobs, queue: str, times: int = 1) -> dict[str, Any]:
    (taken,) = made.sqs.receive_message(QueueUrl=made.url, VisibilityTimeout=1)["Messages"]
    reference = read_reference(taken["Body"])
    rest = {
        "eventSourceARN": queue,
        "receiptHandle": taken["ReceiptHandle"],
        "attributes": {"ApproximateReceiveCount": str(times)},
    }
    gone = reference._replace(id="gone")
    return {
        "Records": [
            {"messageId": "m", "body": json.dumps(reference._asdict()), **rest},
            {"messageId": "of a job that is gone", "body": json.dumps(gone._asdict()), **rest},
        ]
    }


def test_message_whose_model_is_not_reached_stays_and_the_others_do_not(app: ModuleType, made: Jobs) -> None:
    assert app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())["statusCode"] == 202
    left = app.lambda_handler(message(made, QUEUE), Context())
    assert left == {"batchItemFailures": [{"itemIdentifier": "m"}]}


@pytest.mark.parametrize(("times", "hidden"), [(1, True), (MAX_TRIES - 1, True), (MAX_TRIES, False)])
def test_message_of_a_try_that_failed_is_put_off_unless_it_was_the_last(
    app: ModuleType, made: Jobs, times: int, hidden: bool
) -> None:
    app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())
    app.lambda_handler(message(made, QUEUE, times), Context())
    time.sleep(1.1)  # As long as it was hidden at first.
    assert (made.messages() == []) is hidden


def test_message_of_the_other_queue_ends_its_job(app: ModuleType, made: Jobs) -> None:
    app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())
    assert app.lambda_handler(message(made, GIVEN_UP), Context()) == {"batchItemFailures": []}
    told = json.loads(app.lambda_handler(event_of("GET", "/jobs/a"), Context())["body"])
    assert (told["state"], told["error"]["status"]) == ("failed", 500)


def test_message_stays_while_a_store_is_away(app: ModuleType, made: Jobs) -> None:
    app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())
    sent = message(made, QUEUE)
    made.client.delete_table(TableName="JobTable")
    assert len(app.lambda_handler(sent, Context())["batchItemFailures"]) == 2


def test_only_refusals_have_a_usage_line_of_their_own(
    app: ModuleType, made: Jobs, capsys: pytest.CaptureFixture[str]
) -> None:
    app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())
    app.lambda_handler(event_of("GET", "/jobs/a"), Context())
    assert '"usage"' not in capsys.readouterr().out
    result = app.lambda_handler(event_of("GET", "/jobs/b"), Context())
    assert (result["statusCode"], result["headers"]["x-request-id"]) == (404, "req-1")
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines() if '"usage"' in each]
    assert (line["tenant"], line["status"], line["model"]) == ("acme", 404, None)


def test_message_that_is_no_reference_keeps_no_other_from_being_done(app: ModuleType, made: Jobs) -> None:
    app.lambda_handler(event_of("PUT", "/jobs/a", ASKED), Context())
    sent = message(made, GIVEN_UP)
    sent["Records"].insert(0, {"messageId": "odd", "body": "odd", "eventSourceARN": GIVEN_UP})
    assert app.lambda_handler(sent, Context()) == {"batchItemFailures": [{"itemIdentifier": "odd"}]}
    assert json.loads(app.lambda_handler(event_of("GET", "/jobs/a"), Context())["body"])["state"] == "failed"


def test_fault_that_nobody_thought_of_has_an_answer_that_tells_nothing_of_it(
    app: ModuleType, made: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken:
        def answer(self, *_: object) -> None:
            raise KeyError("inner workings")

    monkeypatch.setattr(app, "_requests", Broken())
    result = app.lambda_handler(event_of("GET", "/jobs/a"), Context())
    assert (result["statusCode"], result["headers"]["x-request-id"]) == (500, "req-1")
    assert "inner workings" not in result["body"]
