"""Jobs and usage by the client, against a server made of functions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx2
import numpy as np
import pytest

from hotplate.client import ApiError, AsyncClient, Client, Prediction
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, Tensor

METADATA = {
    "name": "m",
    "versions": ["7"],
    "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
    "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1]}],
}
ROW = np.ones((1, 2), np.float32)
URL = "https://s3/answer?signed"


class Jobs:
    """Takes jobs, and tells of each what a test says, state by state."""

    def __init__(self, *states: dict[str, Any], status: int = 202) -> None:
        self.states = list(states)
        self.status = status
        self.asked: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        if request.url.host == "s3":
            return httpx2.Response(200, content=answer()[0])
        if request.url.path == "/usage":
            return httpx2.Response(200, json={"query": dict(request.url.params)})
        if request.method == "DELETE":
            return httpx2.Response(200, json=told("cancelled"))
        if request.method == "POST":
            return httpx2.Response(self.status, json=told("queued"))
        if "/jobs/" in request.url.path:
            found = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return httpx2.Response(200, json=found)
        return httpx2.Response(200, json=METADATA)


def told(state: str, **more: Any) -> dict[str, Any]:
    return {"id": "a", "state": state, "attempts": 1, **more}


def answer() -> tuple[bytes, dict[str, str]]:
    sums = Tensor("sum", "FP32", np.full(1, 2, np.float32))
    body, length = encode_response(InferenceResponse("m", "7", None, (sums,), frozenset({"sum"})))
    return body, {"inference-header-content-length": str(length), "content-type": "application/octet-stream"}


SUCCEEDED = told("succeeded", answer={"url": URL, "bytes": 1, "headers": answer()[1]})
FAILED = told("failed", error={"status": 400, "body": json.dumps({"error": "x: too odd"})})


def run(server: Jobs, work: Callable[[Any], Any]) -> tuple[Any, list[float]]:
    waits: list[float] = []
    with Client("http://api", "k", transport=httpx2.MockTransport(server), sleep=waits.append) as client:
        return work(client), waits


def submit_and(then: Callable[[Any], Any], **given: Any) -> Callable[[Any], Any]:
    return lambda client: then(client.model("m").submit(ROW, **given))


def run_async(server: Jobs, verb: str, *given: Any) -> tuple[Any, list[float]]:
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def all_of_it() -> Any:
        async with AsyncClient(
            "http://api", "k", transport=httpx2.MockTransport(server), sleep=sleep
        ) as client:
            job = await client.model("m").submit(ROW, id="a")
            return await getattr(job, verb)(*given)

    return asyncio.run(all_of_it()), waits


def check(prediction: Prediction) -> None:
    assert (prediction["sum"].tolist(), prediction.model, prediction.version) == ([2.0], "m", "7")


def test_job_is_submitted_in_binary_under_an_id_waited_for_and_fetched_without_the_key() -> None:
    server = Jobs(told("queued"), told("running"), SUCCEEDED)
    prediction, waits = run(server, submit_and(lambda job: job.result(), id="a", webhook="https://e.com"))
    check(prediction)
    assert waits == [0.5, 0.75]
    _, post, *asks, fetched = server.asked
    sent = {name: post.headers[name] for name in ("prefer", "idempotency-key", "hotplate-webhook")}
    assert sent == {"prefer": "respond-async", "idempotency-key": "a", "hotplate-webhook": "https://e.com"}
    assert post.content.endswith(ROW.tobytes())
    assert {str(each.url) for each in asks} == {"http://api/jobs/a"}
    assert str(fetched.url) == URL
    assert "x-api-key" not in fetched.headers


def test_awaiting_is_the_same() -> None:
    prediction, waits = run_async(Jobs(told("queued"), SUCCEEDED), "result")
    check(prediction)
    assert waits == [0.5]
    assert run_async(Jobs(SUCCEEDED), "status")[0].has_ended
    assert run_async(Jobs(told("running"), FAILED), "wait")[0].state == "failed"
    assert run_async(Jobs(SUCCEEDED), "cancel")[0].state == "cancelled"


def test_ids_that_are_made_differ_and_find_the_job_again() -> None:
    server = Jobs(SUCCEEDED)
    ids = {run(server, submit_and(lambda job: job.id))[0] for _ in range(2)}
    assert len(ids) == 2
    prediction, _ = run(server, lambda client: client.job(ids.pop()).result())
    check(prediction)


def test_refusal_of_the_model_is_raised_as_if_it_had_come_at_once() -> None:
    with pytest.raises(ApiError, match="400: x: too odd") as raised:
        run(Jobs(FAILED), submit_and(lambda job: job.result()))
    assert raised.value.status == 400


def test_cancelled_job_has_no_answer() -> None:
    with pytest.raises(ApiError, match="was cancelled"):
        run(Jobs(told("cancelled")), submit_and(lambda job: job.result()))


def test_waiting_ends_in_time_and_grows() -> None:
    with pytest.raises(TimeoutError, match="is running after"):
        run(Jobs(told("running")), lambda client: client.job("a").wait(2))
    server = Jobs(*[told("running")] * 12, SUCCEEDED)
    _, waits = run(server, lambda client: client.job("a").wait())
    assert waits == sorted(waits)
    assert waits[-1] == 10


def test_server_that_takes_no_jobs_says_so() -> None:
    with pytest.raises(ApiError, match="takes no jobs"):
        run(Jobs(SUCCEEDED, status=200), submit_and(lambda job: job.id))


def test_usage_is_asked_for_days_and_a_model() -> None:
    server = Jobs()
    found, _ = run(server, lambda client: client.usage(start="2026-11-01", end="2026-11-02", model="a&b"))
    assert found == {"query": {"from": "2026-11-01", "to": "2026-11-02", "model": "a&b"}}
    assert run(server, lambda client: client.usage())[0] == {"query": {}}
