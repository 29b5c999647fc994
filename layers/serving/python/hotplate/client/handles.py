"""A model and a job in the caller's hand, waiting or awaiting."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from hotplate.client.exchange import ask_signature, infer, model_path
from hotplate.client.jobs import ask_job, cancel_job, fetch, submit, wait_for
from hotplate.client.tensors import tensors_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate.client.clients import AsyncClient, Client
    from hotplate.client.jobs import JobStatus
    from hotplate.client.tensors import Prediction, Signature

__all__ = ["AsyncJob", "AsyncModel", "Job", "Model"]


class Model:
    """One model of an API."""

    def __init__(self, client: Client, name: str, version: str | None) -> None:
        self._client, self._path = client, model_path(name, version)
        self._signature: Signature | None = None

    def signature(self) -> Signature:
        """Return what the model takes; asked once.

        Raises:
            ApiError, UnreachableError: There was no such answer.
        """
        if self._signature is None:
            self._signature = self._client._run(ask_signature(self._path, self._client._retries))
        return self._signature

    def predict(self, data: object, *, outputs: Sequence[str] = ()) -> Prediction:
        """Return the model's answer.

        Args:
            data: An array, numbers, text, bytes, the path of a file, a Pillow picture, or a mapping of such
                by input name. One row may come without its axis.
            outputs: Names of those wanted; all if empty.

        Raises:
            RequestError: It does not fit the signature; nothing was sent.
            ApiError: The API refused, or is still not ready after all tries.
            UnreachableError: Nobody answered, or not in time.
        """
        tensors = tensors_of(data, self.signature())
        return self._client._run(infer(self._path, tensors, outputs, self._client._retries))

    def submit(
        self,
        data: object,
        *,
        outputs: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - the API's own word
        webhook: str | None = None,
    ) -> Job:
        """Have the model asked later, and return the job.

        Args:
            data: As of `predict`.
            outputs: As of `predict`.
            id: Of the job: the same submission under the same id is the same job; None makes one.
            webhook: Address of a server that is told when the job has ended.

        Raises:
            RequestError: It does not fit the signature; nothing was sent.
            ApiError: The API refused, or takes no jobs.
            UnreachableError: Nobody answered, or not in time. Submit again under the same id.
        """
        tensors, job = tensors_of(data, self.signature()), id or uuid4().hex
        retries = self._client._retries
        self._client._run(submit(self._path, tensors, outputs, retries, job=job, webhook=webhook))
        return self._client.job(job)


class Job:
    """A job of an API, known by its id.

    Attributes:
        id: By which any client finds it again.
    """

    def __init__(self, client: Client, job: str) -> None:
        self._client = client
        self.id = job

    def status(self) -> JobStatus:
        """Return how it is now.

        Raises:
            ApiError: There is no such job (404), or the API refused.
            UnreachableError: Nobody answered, or not in time.
        """
        return self._client._run(ask_job(self.id, self._client._retries))

    def wait(self, timeout_s: float | None = None) -> JobStatus:
        """Return how it is when it has ended.

        Args:
            timeout_s: Seconds to wait in all; None for as long as it takes.

        Raises:
            TimeoutError: It has not ended by then.
            ApiError, UnreachableError: As `status`.
        """
        return self._client._run(wait_for(self.id, timeout_s, self._client._retries))

    def result(self, timeout_s: float | None = None) -> Prediction:
        """Return the model's answer, waited for as in `wait`.

        Raises:
            ApiError: As the model answered, if it refused or failed; 409 if the job was cancelled.
            TimeoutError: It has not ended by then.
            UnreachableError: Nobody answered, or not in time.
        """
        return self._client._run(fetch(self.id, timeout_s, self._client._retries))

    def cancel(self) -> JobStatus:
        """Cancel it, and return how it is then.

        Raises:
            ApiError: It has ended otherwise (409).
            UnreachableError: Nobody answered, or not in time.
        """
        return self._client._run(cancel_job(self.id, self._client._retries))


class AsyncModel:
    """`Model` for `await`."""

    def __init__(self, client: AsyncClient, name: str, version: str | None) -> None:
        self._client, self._path = client, model_path(name, version)
        self._signature: Signature | None = None

    async def signature(self) -> Signature:
        """Return what the model takes; raises as `Model.signature`."""
        if self._signature is None:
            self._signature = await self._client._run(ask_signature(self._path, self._client._retries))
        return self._signature

    async def predict(self, data: object, *, outputs: Sequence[str] = ()) -> Prediction:
        """Return the model's answer; arguments and errors are those of `Model.predict`."""
        tensors = tensors_of(data, await self.signature())
        return await self._client._run(infer(self._path, tensors, outputs, self._client._retries))

    async def submit(
        self,
        data: object,
        *,
        outputs: Sequence[str] = (),
        id: str | None = None,  # noqa: A002 - the API's own word
        webhook: str | None = None,
    ) -> AsyncJob:
        """Have the model asked later; arguments and errors are those of `Model.submit`."""
        tensors, job = tensors_of(data, await self.signature()), id or uuid4().hex
        retries = self._client._retries
        await self._client._run(submit(self._path, tensors, outputs, retries, job=job, webhook=webhook))
        return self._client.job(job)


class AsyncJob:
    """`Job` for `await`."""

    def __init__(self, client: AsyncClient, job: str) -> None:
        self._client = client
        self.id = job

    async def status(self) -> JobStatus:
        """Return how it is now; raises as `Job.status`."""
        return await self._client._run(ask_job(self.id, self._client._retries))

    async def wait(self, timeout_s: float | None = None) -> JobStatus:
        """Return how it is when it has ended; arguments and errors are those of `Job.wait`."""
        return await self._client._run(wait_for(self.id, timeout_s, self._client._retries))

    async def result(self, timeout_s: float | None = None) -> Prediction:
        """Return the model's answer; arguments and errors are those of `Job.result`."""
        return await self._client._run(fetch(self.id, timeout_s, self._client._retries))

    async def cancel(self) -> JobStatus:
        """Cancel it; raises as `Job.cancel`."""
        return await self._client._run(cancel_job(self.id, self._client._retries))
