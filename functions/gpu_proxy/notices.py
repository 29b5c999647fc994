"""A notice of SageMaker's: what became of a request that nobody waited for, as it comes by SNS.

What is needed is checked, whatever else is in it is let be: SageMaker has added members before.

```json
{"awsRegion": "us-east-1", "eventTime": "2026-01-25T22:46:00.608Z", "receivedTime": "2026-01-25T22:…",
 "invocationStatus": "Completed",
 "requestParameters": {"endpointName": "prod-gpu", "inputLocation": "s3://…", "contentType": "…", …},
 "responseParameters": {"contentType": "application/json", "outputLocation": "s3://….out"},
 "inferenceId": "…", "eventVersion": "1.0", "eventSource": "aws:sagemaker", "eventName": "InferenceResult"}
```

Of one that failed `invocationStatus` is `Failed` and `failureReason` says why; where the container's own
answer lies is `failureLocation`.

Source: Amazon SageMaker Developer Guide, "Check prediction results", SNS topics; botocore's model of
`InvokeEndpointAsync`, whose answer names `FailureLocation`. No notice was seen on AWS by us.
"""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["Notice", "read_notice"]


class _Asked(msgspec.Struct, frozen=True):
    endpoint: str = msgspec.field(name="endpointName")
    input: str = msgspec.field(name="inputLocation")


class _Answered(msgspec.Struct, frozen=True):
    content_type: str | None = msgspec.field(name="contentType", default=None)
    output: str | None = msgspec.field(name="outputLocation", default=None)
    failure: str | None = msgspec.field(name="failureLocation", default=None)


class Notice(msgspec.Struct, frozen=True):
    """A notice.

    Attributes:
        source, event: That it is one.
        status: How it ended.
        asked: Endpoint, and where the request lies.
        answered: Where the answer, or what came instead, lies; None or empty where there is none.
        inference: The id that the request was sent with; None where the notice has none.
        reason: Of one that failed.
    """

    source: Literal["aws:sagemaker"] = msgspec.field(name="eventSource")
    event: Literal["InferenceResult"] = msgspec.field(name="eventName")
    status: Literal["Completed", "Failed"] = msgspec.field(name="invocationStatus")
    asked: _Asked = msgspec.field(name="requestParameters")
    answered: _Answered | None = msgspec.field(name="responseParameters", default=None)
    inference: str | None = msgspec.field(name="inferenceId", default=None)
    reason: str | None = msgspec.field(name="failureReason", default=None)

    @property
    def is_completed(self) -> bool:
        """Whether the container answered below 400."""
        return self.status == "Completed"


def read_notice(message: str, endpoint: str) -> Notice:
    """Return the notice in a message, which must be of this endpoint.

    Raises:
        ValueError: It is none; says what was expected. It would be so the next time too.
    """
    try:
        notice = msgspec.json.decode(message, type=Notice)
    except (msgspec.DecodeError, UnicodeError) as fault:
        raise ValueError(f"no notice of SageMaker: {fault}") from fault
    if notice.asked.endpoint != endpoint:
        raise ValueError(f"of endpoint {notice.asked.endpoint[:80]!r}, not {endpoint!r}")
    if notice.is_completed and not (notice.answered and notice.answered.output):
        raise ValueError("completed, and no responseParameters.outputLocation")
    return notice
