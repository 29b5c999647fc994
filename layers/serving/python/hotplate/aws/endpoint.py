"""Asks a model's endpoint on SageMaker, and waits for the answer or does not.

What the model answers is an answer, also where SageMaker reports it as an error of its own. Only what
SageMaker says for itself is raised.

Source: Amazon SageMaker API Reference, "InvokeEndpoint" and "InvokeEndpointAsync".
"""

from __future__ import annotations

from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError, ReadTimeoutError

from hotplate.aws.faults import status_of
from hotplate.errors import EndpointUnavailableError

__all__ = ["Endpoint", "EndpointAnswer"]

# Seconds after which another try may help: of a fault that passes, and of an endpoint that is not there.
SOON_S, LATER_S = 5, 60


class EndpointAnswer(NamedTuple):
    """What the container answered."""

    status: int
    body: bytes
    content_type: str


class Endpoint:
    """The endpoint `name`, reached by `hotplate.aws.clients.endpoint_client`."""

    def __init__(self, client: Any, name: str) -> None:
        self._client = client
        self._name = name

    def ask(self, body: bytes, *, content_type: str, attributes: str) -> EndpointAnswer:
        """Return the container's answer.

        Raises:
            EndpointUnavailableError: There was none.
        """
        try:
            answer = self._client.invoke_endpoint(
                EndpointName=self._name, Body=body, ContentType=content_type, CustomAttributes=attributes
            )
            return EndpointAnswer(200, answer["Body"].read(), answer["ContentType"])
        except ClientError as fault:
            # A 424 with the container's own status and body in it.
            told: dict[str, Any] = {**fault.response}
            if told.get("OriginalStatusCode"):
                text = str(told.get("OriginalMessage", ""))
                return EndpointAnswer(int(told["OriginalStatusCode"]), text.encode(), "application/json")
            raise _unavailable(fault) from fault
        except ReadTimeoutError as fault:
            raise EndpointUnavailableError("the endpoint did not answer in time", SOON_S) from fault
        except BotoCoreError as fault:
            raise EndpointUnavailableError("SageMaker cannot be reached", SOON_S) from fault

    def queue(self, input_uri: str, *, content_type: str, attributes: str, inference_id: str) -> None:
        """Have the endpoint asked what lies at `input_uri`, also while it sleeps.

        Raises:
            EndpointUnavailableError: SageMaker did not take it.
        """
        try:
            self._client.invoke_endpoint_async(
                EndpointName=self._name,
                InputLocation=input_uri,
                ContentType=content_type,
                CustomAttributes=attributes,
                InferenceId=inference_id,
            )
        except ClientError as fault:
            raise _unavailable(fault) from fault
        except BotoCoreError as fault:
            raise EndpointUnavailableError("SageMaker cannot be reached", SOON_S) from fault


def _unavailable(fault: ClientError) -> EndpointUnavailableError:
    # What it refuses as wrong can only be the endpoint: all else in the call is ours.
    if 400 <= status_of(fault) < 500 and fault.response.get("Error", {}).get("Code") == "ValidationError":
        text = "the endpoint is not there, or is only being made; its lease may have ended"
        return EndpointUnavailableError(text, LATER_S)
    return EndpointUnavailableError("the endpoint takes no requests now", SOON_S)
