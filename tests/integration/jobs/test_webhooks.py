"""Telling a caller's own server that a job has ended, whatever it and we do meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from functions.webhooks.deliver import MAX_TIMES, NO_ANSWER, Deliverer
from functions.webhooks.send import NotPublicError, NotReachedError, post
from hotplate.tenants.webhooks import sign
from tests.support.jobs import Jobs, KilledError, jobs
from tests.support.receiver import receiver

if TYPE_CHECKING:
    from collections.abc import Mapping

HOOK = "https://example.com/hook"
ASKED = {"model": "digits", "request": {"inputs": []}, "webhook": HOOK}


@pytest.fixture
def made() -> Iterator[Jobs]:
    with jobs() as found:
        found.secrets.replace("acme")
        yield found


class Receiver:
    """Answers what a test says, and keeps what it was told."""

    def __init__(self, *answers: int | Exception) -> None:
        self.answers = list(answers)
        self.told: list[tuple[str, bytes, Mapping[str, str]]] = []

    def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.told.append((url, body, headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def deliverer(made: Jobs, receiver: Receiver) -> Deliverer:
    return Deliverer(made.table, made.secrets, receiver, now=lambda: made.now)


def done(made: Jobs, job: str = "a") -> None:
    assert made.ask("PUT", f"/jobs/{job}", ASKED).status == 202
    assert made.worker().work(made.messages()[0]) == "done"


def state(made: Jobs, job: str = "a") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(made.ask("GET", f"/jobs/{job}").body)["webhook"]
    return found


def test_receiver_is_told_once_signed_and_without_the_answer(made: Jobs) -> None:
    done(made)
    receiver = Receiver(204)
    (reference,) = made.to_be_told()
    assert state(made) == {"url": HOOK, "state": "waiting", "status": None}
    assert [deliverer(made, receiver).deliver(reference, 1) for _ in range(2)] == [True, True]
    ((url, body, headers),) = receiver.told
    told = json.loads(body)
    assert (url, told["type"]) == (HOOK, "job.succeeded")
    assert (told["data"]["id"], told["data"]["location"]) == ("a", "/jobs/a")
    assert "1.1" not in body.decode(), "the answer takes a key"
    (secret,) = made.secrets.of("acme")
    assert headers["webhook-signature"] == sign(
        secret, message=headers["webhook-id"], at=int(made.now), body=body
    )
    assert state(made) == {"url": HOOK, "state": "delivered", "status": 204}


def test_receiver_that_is_down_for_a_while_is_told_in_the_end_and_the_job_has_ended_long_before(
    made: Jobs,
) -> None:
    done(made)
    receiver = Receiver(503, NotReachedError("down"), 200)
    (reference,) = made.to_be_told()
    found = []
    for times in (1, 2, 3):
        over = deliverer(made, receiver).deliver(reference, times)
        found.append((over, state(made)["state"], state(made)["status"]))
    assert found == [(False, "waiting", 503), (False, "waiting", NO_ANSWER), (True, "delivered", 200)]
    assert len({headers["webhook-id"] for _, _, headers in receiver.told}) == 1
    assert json.loads(made.ask("GET", "/jobs/a").body)["state"] == "succeeded"


@pytest.mark.parametrize(
    ("answer", "times", "over"),
    [
        (410, 1, True),
        (NotPublicError("10.0.0.1"), 1, True),
        (302, 1, False),
        (404, 1, False),
        (500, MAX_TIMES - 1, False),
        (500, MAX_TIMES, True),
        (NotReachedError("down"), MAX_TIMES, True),
    ],
    ids=str,
)
def test_receiver_that_will_not_take_it_is_given_up(
    made: Jobs, answer: int | Exception, times: int, over: bool
) -> None:
    done(made)
    assert deliverer(made, Receiver(answer)).deliver(made.to_be_told()[0], times) is over
    assert state(made)["state"] == ("given up" if over else "waiting")


def test_failed_cancelled_and_given_up_jobs_are_told_too_with_no_word_of_the_request(made: Jobs) -> None:
    made.models.status, made.models.body = 400, '{"error":"secret"}'
    done(made, "failed")
    made.ask("PUT", "/jobs/cancelled", ASKED)
    made.ask("DELETE", "/jobs/cancelled")
    made.models.status = 503
    made.ask("PUT", "/jobs/buried", ASKED)
    references = {each.id: each for each in made.messages()}
    assert made.worker().work(references["buried"]) == "failed"
    assert made.worker().give_up(references["buried"])
    receiver = Receiver(200)
    for reference in made.to_be_told():
        assert deliverer(made, receiver).deliver(reference, 1)
    told = [json.loads(body) for _, body, _ in receiver.told]
    assert sorted((each["data"]["id"], each["type"]) for each in told) == [
        ("buried", "job.failed"),
        ("cancelled", "job.cancelled"),
        ("failed", "job.failed"),
    ]
    assert "secret" not in str(told)


def test_worker_that_is_killed_between_the_end_and_the_telling_loses_nothing(made: Jobs) -> None:
    class Killed:
        def send(self, _: object) -> None:
            raise KilledError

    made.ask("PUT", "/jobs/a", ASKED)
    (message,) = made.messages()
    told, made.told = made.told, Killed()  # type: ignore[assignment]
    with pytest.raises(KilledError):
        made.worker().work(message)
    made.told = told
    assert json.loads(made.ask("GET", "/jobs/a").body)["state"] == "succeeded"
    assert made.worker().work(message) == "done"
    assert [each.id for each in made.to_be_told()] == ["a"]
    assert len(made.models.asked) == 1


def test_job_without_a_receiver_tells_nobody(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", {name: ASKED[name] for name in ("model", "request")})
    made.worker().work(made.messages()[0])
    assert made.to_be_told() == []
    assert "webhook" not in json.loads(made.ask("GET", "/jobs/a").body)


def test_same_job_for_another_receiver_is_another_job(made: Jobs) -> None:
    made.ask("PUT", "/jobs/a", ASKED)
    assert made.ask("PUT", "/jobs/a", {**ASKED, "webhook": HOOK + "/2"}).status == 409


def test_message_of_a_job_that_is_gone_or_another_now_tells_nobody(made: Jobs) -> None:
    done(made)
    (reference,) = made.to_be_told()
    receiver = Receiver(200)
    assert deliverer(made, receiver).deliver(reference._replace(made="other"), 1)
    assert deliverer(made, receiver).deliver(reference._replace(id="gone"), 1)
    assert receiver.told == []


def test_while_a_secret_is_replaced_both_sign(made: Jobs) -> None:
    (old,) = made.secrets.of("acme")
    new = made.secrets.replace("acme", overlap_s=60)
    assert made.secrets.of("acme") == [new, old]
    done(made)
    receiver = Receiver(200)
    deliverer(made, receiver).deliver(made.to_be_told()[0], 1)
    ((_, body, headers),) = receiver.told
    signed = [sign(each, message=headers["webhook-id"], at=int(made.now), body=body) for each in (new, old)]
    assert headers["webhook-signature"].split() == signed
    made.now += 60
    assert made.secrets.of("acme") == [new]


@pytest.mark.parametrize("status", [200, 302, 500])
def test_body_is_posted_and_no_redirect_followed(status: int) -> None:
    with receiver(status) as (url, told):
        assert post(url, b"told", {"webhook-id": "x"}, anywhere=True) == status
    ((headers, body),) = told
    assert (headers["path"], body, headers["host"]) == ("/hook?a=b", b"told", urlsplit(url).netloc)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_private_address_behind_a_name_gets_nothing(host: str) -> None:
    with receiver(200) as (url, told), pytest.raises(NotPublicError):
        post(url.replace("127.0.0.1", host).replace("http:", "https:"), b"told", {}, anywhere=False)
    assert told == []


def test_nobody_there_and_nobody_who_speaks_tls_are_not_reached() -> None:
    with receiver(200) as (url, _), pytest.raises(NotReachedError):
        post(url.replace("http:", "https:"), b"told", {}, anywhere=True)
    with pytest.raises(NotReachedError):
        post(url, b"told", {}, anywhere=True)
    with pytest.raises(NotReachedError, match="no such name"):
        post("https://nobody.invalid/", b"told", {}, anywhere=True)
