"""A member of a pipeline that runs in a function of its own: asked through the protocol, in binary.

Each call names the version that the pipeline pins; a function that serves another answers 404, and never
with another model's numbers. The event is what API Gateway sends, so a member's function cannot tell the two
apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
import pybase64

from hotplate import errors
from hotplate.errors import (
    HotplateError,
    PayloadTooLargeError,
    RequestError,
    StepError,
    StepTimeoutError,
    StepUnavailableError,
)
from hotplate.limits import MAX_BODY_BYTES
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import RequestOutput, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from hotplate.manifest.steps import Member
    from hotplate.runtime.model import Arrays

__all__ = ["RemoteMember"]

_LENGTH_HEADER = "inference-header-content-length"
_ERROR_PREFIX = "urn:hotplate:error:"


class RemoteMember:
    """The `Predictor` of a member in another function."""

    def __init__(self, member: Member, invoke: Callable[[bytes], bytes]) -> None:
        """Ask the function that `invoke` calls: a proxy event in, a proxy result out."""
        self._member, self._invoke = member, invoke

    def run(self, inputs: Arrays, wanted: Sequence[str]) -> Arrays:
        """Return the outputs wanted; see `Predictor.run`.

        Raises:
            PayloadTooLargeError: The inputs do not fit a call.
            RequestError: The member refused them.
            StepError: It failed, or was not to be had.
        """
        tensors = [Tensor(spec.name, spec.datatype, inputs[spec.name]) for spec in self._member.inputs]
        body, length = encode_request(tensors, outputs=[RequestOutput(name, binary=True) for name in wanted])
        if len(body) > MAX_BODY_BYTES:
            raise PayloadTooLargeError(
                f"request to {self._member.name}",
                expected=f"at most {MAX_BODY_BYTES} bytes",
                received=f"{len(body)} bytes",
            )
        result = self._result(self._invoke(self._event(body, length)))
        headers = {str(name).lower(): value for name, value in result["headers"].items()}
        try:
            response = decode_response(_body(result), headers.get(_LENGTH_HEADER))
        except HotplateError as fault:
            raise StepError(f"the answer of {self._member.name} cannot be read") from fault
        arrays = {tensor.name: tensor.array for tensor in response.outputs}
        if missing := [name for name in wanted if name not in arrays]:
            raise StepError(f"{self._member.name} did not answer {missing[0]!r}")
        return arrays

    def _event(self, body: bytes, length: int | None) -> bytes:
        headers = {"content-type": "application/octet-stream"}
        if length is not None:
            headers[_LENGTH_HEADER] = str(length)
        return orjson.dumps(
            {
                "httpMethod": "POST",
                "path": f"/v2/models/{self._member.name}/versions/{self._member.version}/infer",
                "headers": headers,
                "body": pybase64.b64encode(body).decode(),
                "isBase64Encoded": True,
            }
        )

    def _result(self, raw: bytes) -> dict[str, Any]:
        try:
            result: dict[str, Any] = orjson.loads(raw)
            status, _ = int(result["statusCode"]), result["headers"].items()
        except (ValueError, LookupError, TypeError, AttributeError) as fault:
            raise StepError(f"the function of {self._member.name} gave no answer of the protocol") from fault
        if status != 200:
            raise self._fault(status, result)
        return result

    def _fault(self, status: int, result: dict[str, Any]) -> HotplateError:
        name = self._member.name
        if status == 503:
            return StepUnavailableError(f"{name} is not ready")
        if status == 504:
            return StepTimeoutError(f"{name} did not answer in time")
        if status == 404:
            return StepError(f"its function does not serve {name} {self._member.version}")
        if status >= 500:
            return StepError(f"{name} failed")
        try:
            answer = orjson.loads(_body(result))
            kind = getattr(errors, str(answer["type"]).removeprefix(_ERROR_PREFIX), None)
            expected, received, text = (str(answer[key]) for key in ("expected", "received", "error"))
        except (ValueError, LookupError, TypeError):
            return StepError(f"{name} answered {status}")
        if not (isinstance(kind, type) and issubclass(kind, RequestError)):
            kind = RequestError
        what = text.removesuffix(f": expected {expected}, got {received}")
        return kind(what, expected=expected, received=received)


def _body(result: dict[str, Any]) -> bytes:
    body = str(result.get("body") or "")
    return bytes(pybase64.b64decode(body)) if result.get("isBase64Encoded") else body.encode()
