"""What the proxy tells the container of a request: SageMaker's custom attributes.

SageMaker hands on a body, its content type and one header of text, `X-Amzn-SageMaker-Custom-Attributes`. In
it is what a Lambda function would have from its event: the path, who asks, and the request's id, so that the
container's usage line is the tenant's. Only who may call SageMaker itself can write it, as only who may
invoke a function can make up its event.

Source: Amazon SageMaker API Reference, "InvokeEndpoint": at most 1,024 visible US-ASCII characters.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from hotplate.errors import MalformedRequestError

__all__ = ["ATTRIBUTES_HEADER", "Attributes", "read_attributes", "write_attributes"]

ATTRIBUTES_HEADER = "x-amzn-sagemaker-custom-attributes"
MAX_CHARS = 1024


class Attributes(NamedTuple):
    """What is told; "" of what is not.

    Attributes:
        path: That was asked, after the stage.
        tenant, key: Who asks.
        request_id: Of the function that took the request.
        header_length: Bytes of JSON before a body's binary tensors.
        asked: The model, where the request was sent here instead of to its function.
        again: `1` where that function has a usage line for it.
    """

    path: str = ""
    tenant: str = ""
    key: str = ""
    request_id: str = ""
    header_length: str = ""
    asked: str = ""
    again: str = ""


def write_attributes(attributes: Attributes) -> str:
    """Return the header's text.

    Raises:
        MalformedRequestError: It is longer than SageMaker takes, which only a path can be the reason of.
    """
    text = urlencode({name: value for name, value in attributes._asdict().items() if value})
    if len(text) > MAX_CHARS:
        raise MalformedRequestError(
            "path", expected="one that fits into 1,024 characters with its caller", received=f"{len(text)}"
        )
    return text


def read_attributes(text: str) -> Attributes:
    """Return what the header's text tells.

    Raises:
        MalformedRequestError: It is none of `write_attributes`.
    """
    if not text:
        return Attributes()
    try:
        pairs = parse_qsl(text, strict_parsing=True)
        known = dict(pairs)
        if len(known) != len(pairs) or len(text) > MAX_CHARS:
            raise ValueError("a name twice, or too long")
        return Attributes(**known)
    except (TypeError, ValueError) as fault:
        raise MalformedRequestError(
            ATTRIBUTES_HEADER,
            expected=f"NAME=VALUE&… of {', '.join(Attributes._fields)}",
            received="other text",
        ) from fault
