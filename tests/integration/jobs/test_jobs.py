"""Jobs from submission to their end, whatever comes twice, late, from others, or not at all."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from hotplate.aws.clients import signing_client
from hotplate.aws.job_files import JobFiles
from hotplate.aws.job_queue import JobQueue
from hotplate.aws.job_table import HELD_S, JOB_S
from hotplate.errors import StepError, StepTimeoutError, StepUnavailableError, StoreUnavailableError
from tests.support.jobs import Jobs, KilledError, event_of, jobs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.aws.job_table import Job

ASKED = {"model": "digits", "request": {"inputs": [], "id": "é"}}


@pytest.fixture
def made() -> Iterator[Jobs]:
    with jobs() as found:
        yield found


def told(made: Jobs, job: str = "a", **caller: str) -> dict[str, Any]:
    answer = made.ask("GET", f"/jobs/{job}", **caller)
    return {"status": answer.status, **json.loads(answer.body)}


def test_job_is_taken_worked_on_and_told(made: Jobs) -> None:
    answer = made.ask("PUT", "/jobs/a", ASKED)
    assert (answer.status, answer.headers) == (202, {"location": "/jobs/a", "retry-after": "1"})
    assert told(made)["state"] == "queued"
    (message,) = made.messages()
    assert made.worker().work(message) == "done"
    found = told(made)
    assert (found["state"], found["attempts"], found["answer"]["body"]) == (
        "succeeded",
        1,
        {"outputs": [1.1]},
    )
    assert '"body":{"outputs":[1.10]}' in made.ask("GET", "/jobs/a").body.decode(), "byte by byte"
    assert "X-Amz-Algorithm=AWS4-HMAC-SHA256" in found["answer"]["url"], "what a key of KMS needs"


def test_model_is_asked_what_the_caller_sent_as_the_caller(made: Jobs) -> None:
    sent = b'{"model": "digits", "version": "7", "request": {"x":  1.0e2}}'
    made.ask("PUT", "/jobs/a", sent, scopes="infer:digits")
    made.worker().work(made.messages()[0])
    ((model, event),) = made.models.asked
    assert (model, event["path"]) == ("digits", "/v2/models/digits/versions/7/infer")
    assert base64.b64decode(event["body"]) == b'{"x":  1.0e2}'
    assert event["requestContext"] == {
        "authorizer": {"tenant": "acme", "scopes": "infer:digits", "key": "k"},
    }


def test_server_chooses_an_id_that_nobody_has(made: Jobs) -> None:
    places = {made.ask("POST", "/jobs", ASKED).headers["location"] for _ in range(3)}
    assert len(places) == 3
    assert len(made.messages()) == 3


def test_same_put_again_is_the_same_job_and_another_is_refused(made: Jobs) -> None:
    first = json.loads(made.ask("PUT", "/jobs/a", ASKED).body)
    again = made.ask("PUT", "/jobs/a", ASKED)
    assert (again.status, json.loads(again.body)) == (202, first)
    other = made.ask("PUT", "/jobs/a", {**ASKED, "version": "7"})
    assert (other.status, json.loads(other.body)["type"]) == (409, "urn:hotplate:error:JobConflictError")
    made.worker().work(made.messages()[0])
    ((_, event),) = made.models.asked
    assert json.loads(base64.b64decode(event["body"])) == ASKED["request"]


def test_same_put_after_the_end_starts_nothing(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    made.worker().work(made.messages()[0])
    answer = made.ask("PUT", "/jobs/a", ASKED)
    assert (answer.status, json.loads(answer.body)["state"]) == (202, "succeeded")
    assert made.messages() == []


def test_submission_that_broke_off_before_the_queue_is_sent_by_the_same_put(made: Jobs) -> None:
    class Broken(JobQueue):
        def send(self, job: Job) -> None:
            raise StoreUnavailableError(job.id)

    good, made.queue = made.queue, Broken(made.sqs, made.url)
    assert made.ask("PUT", "/jobs/a", ASKED).status == 503
    made.queue = good
    assert made.messages() == []
    assert made.ask("PUT", "/jobs/a", ASKED).status == 202
    assert made.worker().work(made.messages()[0]) == "done"
    assert told(made)["state"] == "succeeded"


def test_message_that_comes_again_after_the_end_asks_nobody(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    assert [made.worker().work(message) for _ in range(3)] == ["done"] * 3
    assert made.worker().give_up(message)
    assert (len(made.models.asked), told(made)["state"]) == (1, "succeeded")


def test_message_that_comes_twice_at_once_asks_once_and_is_kept(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    second: list[str] = []
    made.models.meanwhile = lambda: second.append(made.worker().work(message))
    assert made.worker().work(message) == "done"
    assert (second, len(made.models.asked)) == (["held"], 1)


def test_job_of_a_killed_worker_is_done_again_and_its_first_answer_stays(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    with pytest.raises(KilledError):
        made.killed().work(message)
    assert told(made)["state"] == "running"
    assert made.worker().work(message) == "held"
    made.now += HELD_S
    made.models.body = '{"outputs":[222222222]}'
    assert made.worker().work(message) == "done"
    found = told(made)
    assert (found["state"], found["attempts"], found["answer"]["body"]) == (
        "succeeded",
        2,
        {"outputs": [1.1]},
    )
    assert found["answer"]["bytes"] == len('{"outputs":[1.10]}')


def test_worker_whose_time_is_over_cannot_end_the_job_of_the_next(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    slow = made.table.start(made.table.get("acme", "a"))
    assert slow
    made.now += HELD_S
    assert made.table.start(slow)
    assert made.table.finish(slow, "failed") is None
    assert made.table.release(slow, {}) is None
    assert told(made)["state"] == "running"


def test_request_that_the_model_refuses_fails_with_its_words_and_is_not_tried_again(made: Jobs) -> None:
    made.models.status, made.models.body = 400, '{"error":"input: expected 1"}'
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    assert made.worker().work(message) == "done"
    assert told(made)["state"] == "failed"
    assert told(made)["error"] == {"status": 400, "body": '{"error":"input: expected 1"}'}


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (500, None),
        (503, None),
        (429, None),
        (503, StepUnavailableError("busy")),
        (504, StepTimeoutError("too slow")),
        (500, StepError("it ended")),
    ],
)
def test_model_that_fails_is_asked_again_until_the_job_is_given_up(
    made: Jobs, status: int, fault: StepError | None
) -> None:
    made.models.status, made.models.fault, made.models.body = status, fault, "busy"
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    assert [made.worker().work(message) for _ in range(2)] == ["failed", "failed"]
    assert (told(made)["state"], told(made)["attempts"]) == ("queued", 2)
    assert made.worker().give_up(message)
    found = told(made)
    assert (found["state"], found["error"]["status"]) == ("failed", status)
    body = found["error"]["body"]
    assert body == "busy" if fault is None else json.loads(body)["error"] == str(fault)
    assert made.worker().work(message) == "done"
    assert len(made.models.asked) == 2


def test_job_whose_workers_were_all_killed_is_given_up_when_nobody_holds_it(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    with pytest.raises(KilledError):
        made.killed().work(message)
    assert not made.worker().give_up(message)
    made.now += HELD_S
    assert made.worker().give_up(message)
    assert told(made)["error"]["body"] == "its worker ended before it was done"


def test_cancelled_job_is_not_started(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    assert [made.ask("DELETE", "/jobs/a").status for _ in range(2)] == [200, 200]
    assert made.worker().work(message) == "done"
    assert (made.models.asked, told(made)["state"]) == ([], "cancelled")


def test_job_that_is_cancelled_while_it_runs_stays_so(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    made.models.meanwhile = lambda: made.ask("DELETE", "/jobs/a")
    assert made.worker().work(made.messages()[0]) == "done"
    assert (told(made)["state"], "answer" in told(made)) == ("cancelled", False)


def test_job_that_has_ended_cannot_be_cancelled(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    made.worker().work(made.messages()[0])
    assert made.ask("DELETE", "/jobs/a").status == 409
    assert told(made)["state"] == "succeeded"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_job_of_another_tenant_is_not_there(made: Jobs, method: str) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    assert made.ask(method, "/jobs/a", tenant="globex").status == 404
    assert made.ask("PUT", "/jobs/a", {**ASKED, "model": "spam"}, tenant="globex").status == 202
    assert (told(made)["model"], told(made, tenant="globex")["model"]) == ("digits", "spam")


def test_job_whose_time_is_over_is_gone_and_its_id_is_free(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    (old,) = made.messages()
    made.worker().work(old)
    made.now += JOB_S
    assert told(made)["status"] == 404
    assert made.ask("PUT", "/jobs/a", {**ASKED, "model": "spam"}).status == 202
    made.models.body = '{"outputs":[2]}'
    assert made.worker().work(old) == "done", "a message of the old job is not one of the new"
    assert told(made)["state"] == "queued"
    made.worker().work(made.messages()[0])
    assert told(made)["answer"]["body"] == {"outputs": [2]}


@pytest.mark.parametrize(
    ("path", "body", "caller", "status", "word"),
    [
        ("/jobs/a", {**ASKED, "model": "nope"}, {}, 404, "this server has: digits, spam"),
        ("/jobs/a", ASKED, {"scopes": "infer:spam read:digits"}, 404, "this server has: spam"),
        ("/jobs/a", ASKED, {"spent": "quota", "spent_text": "used up"}, 429, "used up"),
        ("/jobs/a", ASKED, {"spent": "budget", "spent_text": "used up"}, 402, "used up"),
        ("/jobs/a", b"{", {}, 400, "body"),
        ("/jobs/a", {"model": "digits"}, {}, 400, "request"),
        ("/jobs/a", {**ASKED, "request": [1]}, {}, 400, "request"),
        ("/jobs/a", {**ASKED, "callback": "https://example.com"}, {}, 400, "callback"),
        ("/jobs/a", {**ASKED, "webhook": "https://x"}, {}, 400, "webhook"),
        ("/jobs/a", {**ASKED, "webhook": "https://example.com"}, {}, 400, "a webhook secret"),
        ("/jobs/a", {**ASKED, "version": "../7"}, {}, 400, "version"),
        ("/jobs/-a", ASKED, {}, 400, "id"),
        ("/jobs/a/b", ASKED, {}, 404, "path"),
    ],
)
def test_submission_that_cannot_be_worked_on_leaves_nothing_behind(
    made: Jobs, path: str, body: Any, caller: dict[str, str], status: int, word: str
) -> None:
    answer = made.ask("PUT", path, body, **caller)
    assert answer.status == status
    assert word in json.loads(answer.body)["detail"]
    assert (made.messages(), told(made)["status"]) == ([], 404)


def handed(path: str, body: bytes, **headers: str) -> dict[str, Any]:
    """Return the event of a request for a model whose caller prefers not to wait."""
    event = event_of("POST", path, body)
    return {**event, "headers": {"Prefer": "respond-async", **headers}}


def test_request_that_a_models_function_hands_on_is_a_job_that_asks_the_same(made: Jobs) -> None:
    body, kept = b"{}\x00\xff", {"inference-header-content-length": "2", "content-type": "application/x"}
    event = handed("/v2/models/digits/versions/7/infer", body, **kept, **{"x-api-key": "secret"})
    answer = made.answer(event)
    assert (answer.status, answer.headers["preference-applied"]) == (202, "respond-async")
    assert answer.headers["location"] == f"/jobs/{json.loads(answer.body)['id']}"
    assert made.worker().work(made.messages()[0]) == "done"
    ((model, asked),) = made.models.asked
    assert (model, asked["path"], asked["headers"]) == ("digits", "/v2/models/digits/versions/7/infer", kept)
    assert base64.b64decode(asked["body"]) == body
    assert asked["requestContext"]["authorizer"]["tenant"] == "acme"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/models/digits:predict", b'{"instances": []}'),
        ("/v1/embeddings", b'{"model": "digits", "input": "a"}'),
        ("/openai/v1/embeddings", b'{"model": "digits", "input": "a"}'),
        ("/endpoints/digits/invocations", b"abc"),
        ("/invocations", b"abc"),
    ],
)
def test_requests_of_other_protocols_can_be_handed_on_too(made: Jobs, path: str, body: bytes) -> None:
    assert made.answer(handed(path, body, **{"X-Amzn-SageMaker-Target-Model": "digits"})).status == 202
    assert made.worker().work(made.messages()[0]) == "done"
    ((model, asked),) = made.models.asked
    assert (model, asked["path"], base64.b64decode(asked["body"])) == ("digits", path, body)


def test_handed_on_request_with_a_key_is_one_job_however_often_it_comes(made: Jobs) -> None:
    path, key = "/v2/models/digits/infer", {"Idempotency-Key": "order-17"}
    ids = {json.loads(made.answer(handed(path, b"{}", **key)).body)["id"] for _ in range(2)}
    assert ids == {"order-17"}
    assert made.answer(handed(path, b"[]", **key)).status == 409
    assert made.answer(handed("/v1/models/digits:predict", b"{}", **key)).status == 409
    assert made.ask("PUT", "/jobs/order-17", {"model": "digits", "request": {}}).status == 409


@pytest.mark.parametrize(
    ("event", "status"),
    [
        (handed("/v2/models/nope/infer", b"{}"), 404),
        (handed("/v2/models/digits/card", b"{}"), 404),
        (handed("/v2/models/digits/infer", b"{}", **{"Idempotency-Key": "a/b"}), 400),
        (handed("/invocations", b"{}"), 404),
        (handed("/v1/embeddings", b"{}"), 400),
    ],
    ids=["no such model", "nothing to infer", "no id", "no model, of several", "no model in the body"],
)
def test_what_is_handed_on_and_is_no_request_for_a_model_is_refused(
    made: Jobs, event: dict[str, Any], status: int
) -> None:
    assert made.answer(event).status == status
    assert made.messages() == []


def test_job_of_an_older_hotplate_is_worked_on(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", {**ASKED, "version": "7"})
    key = {"pk": {"S": "tenant#acme"}, "sk": {"S": "job#a"}}
    made.client.update_item(
        TableName="JobTable",
        Key=key,
        UpdateExpression="REMOVE #path, headers",
        ExpressionAttributeNames={"#path": "path"},
    )
    assert made.worker().work(made.messages()[0]) == "done"
    ((_, asked),) = made.models.asked
    assert asked["path"] == "/v2/models/digits/versions/7/infer"
    assert asked["headers"] == {"content-type": "application/json"}


def test_large_answer_is_told_by_its_address_alone(made: Jobs) -> None:
    made.models.body = json.dumps({"outputs": ["x" * 65536]})
    made.ask("PUT", "/jobs/a", ASKED)
    made.worker().work(made.messages()[0])
    assert set(told(made)["answer"]) == {"bytes", "headers", "url"}


@pytest.mark.parametrize(
    ("tenant", "folder"), [("acme", "acme"), ("iam:1", "iam=3A1"), ("a/../b", "a=2F..=2Fb")]
)
def test_address_of_an_answer_names_the_region_and_the_tenants_own_folder(
    made: Jobs, monkeypatch: pytest.MonkeyPatch, tenant: str, folder: str
) -> None:
    made.ask("PUT", "/jobs/a", ASKED, tenant=tenant)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    address = urlsplit(JobFiles(signing_client(), "data").answer_url(made.table.get(tenant, "a")))
    assert address.netloc == "data.s3.eu-central-1.amazonaws.com"
    assert unquote(address.path).startswith(f"/results/{folder}/a/")
