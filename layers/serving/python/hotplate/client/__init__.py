"""The client: `Client(url, key).model("digits").predict(image)`, and `AsyncClient` for `await`.

It speaks the Open Inference Protocol with binary tensors, so any server of that protocol answers it. Nothing
of a function imports it, and it imports nothing of AWS, ONNX Runtime or the command line.
"""

from hotplate.client.clients import AsyncClient, Client
from hotplate.client.faults import ApiError, UnreachableError
from hotplate.client.handles import AsyncJob, AsyncModel, Job, Model
from hotplate.client.jobs import JobStatus
from hotplate.client.retries import Retries
from hotplate.client.tensors import Prediction, Signature

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncJob",
    "AsyncModel",
    "Client",
    "Job",
    "JobStatus",
    "Model",
    "Prediction",
    "Retries",
    "Signature",
    "UnreachableError",
]
