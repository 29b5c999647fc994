"""The models' functions asked for answers that are passed on while they are made."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import orjson

from hotplate.aws.function_streams import FunctionStreams
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StepError
from hotplate.http.caller import tenant_told
from hotplate.http.forwarding import faults_of
from hotplate.limits import LAMBDA_PAYLOAD_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from hotplate.aws.function_streams import StreamedAnswer
    from hotplate.settings import RelaySettings

__all__ = ["ModelStream", "ModelStreams"]


class ModelStreams:
    """The models' functions; one is asked at a time."""

    def __init__(self, settings: RelaySettings, environ: Mapping[str, str]) -> None:
        """Take credentials from `environ`, for each call anew. Connect when first used."""
        self._functions = settings.functions
        self._isolated = settings.isolated
        self._streams = FunctionStreams(
            region=settings.region,
            endpoint=settings.endpoint,
            credentials=lambda: Credentials.from_environ(environ),
        )

    def has(self, model: str) -> bool:
        """Return whether the model has a function here."""
        return model in self._functions

    def begin(self, model: str, event: Mapping[str, Any], *, timeout_s: float) -> ModelStream:
        """Return the answer of the model's function to a proxy event, when it has begun.

        Args:
            model: One that is here.
            event: As API Gateway would send it.
            timeout_s: Longest wait for status and headers.

        Raises:
            StepError: It did not answer.
            StepTimeoutError: Not in time.
            StepUnavailableError: It was busy or not ready.
        """
        with faults_of(model):
            tenant = tenant_told(model, event, self._isolated)
            payload = orjson.dumps(event)
            answer = self._streams.begin(self._functions[model], payload, tenant, timeout_s=timeout_s)
        return ModelStream(model, answer)

    def close(self) -> None:
        """End the connection."""
        self._streams.close()


class ModelStream:
    """An answer of a model's function that has begun.

    Attributes:
        status, headers: As the function sent them.
    """

    def __init__(self, model: str, answer: StreamedAnswer) -> None:
        """Take what the function sends."""
        self.status, self.headers = answer.status, answer.headers
        self._model, self._answer = model, answer

    def chunks(self, left_s: Callable[[], float]) -> Generator[bytes]:
        """Yield the body, each part when it is there; see `StreamedAnswer.chunks`.

        Raises:
            StepError: The rest does not come.
        """
        with faults_of(self._model):
            yield from self._answer.chunks(left_s)

    def whole(self, left_s: Callable[[], float]) -> dict[str, Any]:
        """Return the answer as a proxy result, when all of it is there.

        Raises:
            StepError: Not all came, or more than Lambda lets a function return.
        """
        body = b""
        for chunk in self.chunks(left_s):
            body += chunk
            if len(body) > LAMBDA_PAYLOAD_BYTES:
                self.close()
                raise StepError(f"model {self._model!r}: its answer of status {self.status} has no end")
        text = base64.b64encode(body).decode()
        single = {name: each for name, each in self.headers.items() if isinstance(each, str)}
        repeated = {name: each for name, each in self.headers.items() if not isinstance(each, str)}
        more = {"multiValueHeaders": repeated} if repeated else {}
        return {"statusCode": self.status, "headers": single, **more, "body": text, "isBase64Encoded": True}

    def close(self) -> None:
        """Hang up, unless the answer has ended."""
        self._answer.close()
