"""Conversations about jobs, as in `exchange`: submitted, asked for, waited for, fetched, cancelled.

A job is submitted by the model's own address with `Prefer: respond-async` and an id of ours, so tensors stay
binary and the same submission can be sent again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from hotplate.client.exchange import Send, Wait, exchange, read_json, read_prediction, request_of
from hotplate.client.faults import ApiError
from hotplate.errors import MalformedRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate.client.exchange import Answer, Conversation
    from hotplate.client.retries import Retries
    from hotplate.client.tensors import Prediction
    from hotplate.protocol.types import Tensor

__all__ = ["JobStatus", "ask_job", "cancel_job", "fetch", "submit", "wait_for"]

_ENDED = ("succeeded", "failed", "cancelled")
# Seconds between two questions at first, and at most; they grow by half each time. Ours.
FIRST_POLL_S = 0.5
MAX_POLL_S = 10.0


@dataclass(frozen=True, slots=True)
class JobStatus:
    """A job, as the API tells of it.

    Attributes:
        id: Of the job.
        state: `queued`, `running`, `succeeded`, `failed` or `cancelled`.
        attempts: How often the model was asked.
        error: What went wrong, last or for good: `status` and `body`, the model's; empty if nothing did.
        answer: Of a job that succeeded: `url`, `bytes`, `headers`, maybe `body`.
    """

    id: str
    state: str
    attempts: int
    error: Mapping[str, Any]
    answer: Mapping[str, Any]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state in _ENDED


def submit(
    path: str,
    tensors: Sequence[Tensor],
    outputs: Sequence[str],
    retries: Retries,
    *,
    job: str,
    webhook: str | None = None,
) -> Conversation[None]:
    """Have the model under `path` asked later, as the job of this id.

    Raises:
        ApiError: The API refused; or it has answered at once, because it takes no jobs.
        UnreachableError: There was no answer.
    """
    request = yield from request_of(path, tensors, outputs, retries)
    more = {"prefer": "respond-async", "idempotency-key": job}
    more |= {"hotplate-webhook": webhook} if webhook else {}
    answer = yield from exchange(replace(request, headers={**request.headers, **more}), retries)
    if answer.status != 202:
        detail = "the server takes no jobs, and has answered at once"
        raise ApiError(answer.status, "", detail, answer.headers.get("x-request-id", ""))


def ask_job(job: str, retries: Retries) -> Conversation[JobStatus]:
    """Return how a job is.

    Raises:
        ApiError, UnreachableError: There was no such answer.
    """
    return _status((yield from exchange(Send("GET", _path(job)), retries)))


def cancel_job(job: str, retries: Retries) -> Conversation[JobStatus]:
    """Cancel a job, and return how it is then.

    Raises:
        ApiError: It has ended otherwise (409), or there is none (404).
        UnreachableError: There was no answer.
    """
    return _status((yield from exchange(Send("DELETE", _path(job)), retries)))


def wait_for(job: str, timeout_s: float | None, retries: Retries) -> Conversation[JobStatus]:
    """Return how a job is when it has ended.

    Args:
        job: Its id.
        timeout_s: Seconds to wait in all, not counting how long answers take; None for as long as it takes.
        retries: Of each question.

    Raises:
        TimeoutError: It has not ended by then.
        ApiError, UnreachableError: There was no such answer.
    """
    waited, pause = 0.0, FIRST_POLL_S
    while True:
        status = yield from ask_job(job, retries)
        if status.has_ended:
            return status
        if timeout_s is not None and waited >= timeout_s:
            raise TimeoutError(f"job {job!r} is {status.state} after {waited:g} s")
        yield Wait(pause)
        waited, pause = waited + pause, min(pause * 1.5, MAX_POLL_S)


def fetch(job: str, timeout_s: float | None, retries: Retries) -> Conversation[Prediction]:
    """Return the answer of a job, waited for as in `wait_for`.

    Raises:
        ApiError: As the model answered, if the job failed; 409 if it was cancelled.
        TimeoutError: It has not ended by then.
        UnreachableError: There was no answer.
    """
    status = yield from wait_for(job, timeout_s, retries)
    if status.state == "failed":
        raise ApiError.from_answer(int(status.error["status"]), str(status.error["body"]).encode(), "")
    if status.state == "cancelled":
        raise ApiError(409, "JobConflictError", f"job {job!r} was cancelled", "")
    answer = yield from exchange(Send("GET", str(status.answer["url"])), retries)
    return read_prediction(answer.body, dict(status.answer["headers"]))


def _path(job: str) -> str:
    return f"/jobs/{quote(job, safe='')}"


def _status(answer: Answer) -> JobStatus:
    told = read_json(answer)
    try:
        return JobStatus(
            str(told["id"]),
            str(told["state"]),
            int(told["attempts"]),
            told.get("error", {}),
            told.get("answer", {}),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise MalformedRequestError(
            "the answer of /jobs", expected="id, state and attempts", received=repr(fault)[:200]
        ) from fault
