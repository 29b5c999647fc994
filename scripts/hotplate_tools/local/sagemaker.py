"""SageMaker's runtime on this machine: what `invoke_endpoint` and `invoke_endpoint_async` reach.

The control plane is moto's, which records endpoints and runs none; whether an endpoint is there is asked of
it. The requests themselves go to the container's own server, run as a plain process. An answer that nobody
waited for is put where the endpoint's configuration says, and who is to be told is told.

An endpoint can be put to sleep (requests wait until it is woken) and be made to fail, which on AWS takes
hours and luck.

Source: Amazon SageMaker API Reference, "InvokeEndpoint" and "InvokeEndpointAsync".
"""

from __future__ import annotations

import http.client
import json
import queue
import threading
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = ["LocalRuntime", "local_runtime"]

_HEADER = "X-Amzn-SageMaker-"


class LocalRuntime:
    """The endpoints' requests.

    Attributes:
        url: For `AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME`.
        failing: Status that SageMaker itself answers with instead of asking the container; None to ask it.
    """

    def __init__(
        self, sagemaker: Any, s3: Any, container: str, tell: Callable[[str], object], wait_s: float = 60
    ) -> None:
        """Make it.

        Args:
            sagemaker: Client of the control plane.
            s3: Client of where inputs lie and outputs go.
            container: Base URL of the container's server.
            tell: Called with each notice, as SageMaker sends it to a topic.
            wait_s: Longest that the container may take.
        """
        self.url = ""
        self.failing: int | None = None
        self._sagemaker, self._s3, self._container, self._tell = sagemaker, s3, urlsplit(container), tell
        self._wait_s = wait_s
        self._awake = threading.Event()
        self._awake.set()
        self._queued: queue.Queue[dict[str, Any] | None] = queue.Queue()

    def sleep(self) -> None:
        """Put the endpoints to sleep: what is queued waits."""
        self._awake.clear()

    def wake(self) -> None:
        """Wake them."""
        self._awake.set()

    def invoke(self, name: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of `InvokeEndpoint`."""
        if refused := self._refused(name):
            return refused
        if not self._awake.is_set():
            return _error("InternalDependencyException", 530, "no instance")
        status, kind, answer = self._ask(headers.get("Content-Type", ""), headers, body)
        if status == 200:
            return 200, {"Content-Type": kind}, answer
        return _error(
            "ModelError",
            424,
            f"Received {'client' if status < 500 else 'server'} error ({status}) from primary",
            OriginalStatusCode=status,
            OriginalMessage=answer.decode(errors="replace"),
        )

    def enqueue(self, name: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and body of `InvokeEndpointAsync`, and have it worked on."""
        if refused := self._refused(name):
            return refused
        inference = headers.get(f"{_HEADER}Inference-Id") or str(uuid.uuid4())
        config = self._output_config(name)
        file = f"{uuid.uuid4()}.out"
        asked = {
            "name": name,
            "at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "inference": inference,
            "input": headers[f"{_HEADER}InputLocation"],
            "type": headers.get(f"{_HEADER}Content-Type", "application/json"),
            "headers": dict(headers.items()),
            "output": f"{config['S3OutputPath'].rstrip('/')}/{file}",
            "failure": f"{config['S3FailurePath'].rstrip('/')}/{file}",
        }
        self._queued.put(asked)
        places = {f"{_HEADER}{name}Location": str(asked[name.lower()]) for name in ("Output", "Failure")}
        return 202, places, json.dumps({"InferenceId": inference}).encode()

    def work(self) -> None:
        """Work on what is queued, one after the other, until `stop`."""
        while (asked := self._queued.get()) is not None:
            self._awake.wait()
            self._work(asked)

    def stop(self) -> None:
        """End `work`."""
        self._queued.put(None)
        self._awake.set()

    def _work(self, asked: Mapping[str, Any]) -> None:
        body = self._object(asked["input"])
        status, kind, answer = self._ask(asked["type"], asked["headers"], body)
        place = asked["output" if status == 200 else "failure"]
        bucket, _, key = place.removeprefix("s3://").partition("/")
        self._s3.put_object(Bucket=bucket, Key=key, Body=answer, ContentType=kind)
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        notice: dict[str, Any] = {
            "awsRegion": "us-east-1",
            "eventTime": now,
            "receivedTime": asked["at"],
            "eventVersion": "1.0",
            "eventSource": "aws:sagemaker",
            "eventName": "InferenceResult",
            "inferenceId": asked["inference"],
            "requestParameters": {
                "contentType": asked["type"],
                "customAttributes": asked["headers"].get(f"{_HEADER}Custom-Attributes", ""),
                "endpointName": asked["name"],
                "inputLocation": asked["input"],
            },
        }
        if status == 200:
            given = {"contentType": kind, "outputLocation": place}
            notice |= {"invocationStatus": "Completed", "responseParameters": given}
        else:
            who = "Client" if status < 500 else "Server"
            reason = f"{who}Error: Received {who.lower()} error ({status}) from primary"
            failed = {"failureLocation": place}
            notice |= {"invocationStatus": "Failed", "failureReason": reason, "responseParameters": failed}
        self._tell(json.dumps(notice))

    def _refused(self, name: str) -> tuple[int, dict[str, str], bytes] | None:
        if self.failing:
            return _error("InternalFailure", self.failing, "it is told to fail")
        try:
            self._sagemaker.describe_endpoint(EndpointName=name)
        except ClientError:
            return _error("ValidationError", 400, f"Endpoint {name} not found.")
        return None

    def _output_config(self, name: str) -> dict[str, str]:
        config = self._sagemaker.describe_endpoint(EndpointName=name)["EndpointConfigName"]
        told = self._sagemaker.describe_endpoint_config(EndpointConfigName=config)
        found: dict[str, str] = told["AsyncInferenceConfig"]["OutputConfig"]
        return found

    def _object(self, uri: str) -> bytes:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return bytes(self._s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def _ask(self, kind: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str, bytes]:
        """Return status, content type and body of the container's answer; 500 if it has none."""
        sent = {"Content-Type": kind or "application/json"}
        name = f"{_HEADER}Custom-Attributes"
        if value := headers.get(name):
            sent[name] = value
        connection = http.client.HTTPConnection(
            self._container.hostname or "", self._container.port, timeout=self._wait_s
        )
        try:
            connection.request("POST", "/invocations", body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except (OSError, http.client.HTTPException) as fault:
            return 500, "text/plain", f"the container did not answer: {fault!r}".encode()
        finally:
            connection.close()


@contextmanager
def local_runtime(runtime: LocalRuntime, port: int = 0) -> Iterator[LocalRuntime]:
    """Serve it on loopback until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing: the container writes a line a request."""

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            match self.path.strip("/").split("/"):
                case ["endpoints", name, "invocations"]:
                    status, headers, answer = runtime.invoke(name, dict(self.headers.items()), body)
                case ["endpoints", name, "async-invocations"]:
                    status, headers, answer = runtime.enqueue(name, dict(self.headers.items()))
                case _:
                    status, headers, answer = _error("UnknownOperationException", 404, self.path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    runtime.url = f"http://127.0.0.1:{server.server_port}"
    threads = [
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}),
        threading.Thread(target=runtime.work),
    ]
    for thread in threads:
        thread.start()
    try:
        yield runtime
    finally:
        runtime.stop()
        server.shutdown()
        server.server_close()
        for thread in threads:
            thread.join()


def _error(code: str, status: int, text: str, **more: Any) -> tuple[int, dict[str, str], bytes]:
    headers = {"x-amzn-errortype": code, "Content-Type": "application/json"}
    return status, headers, json.dumps({"Message": text, **more}).encode()
