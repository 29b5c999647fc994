"""Model servers that hotplate is measured against when it is warm, each as its own documentation shows it.

Each is given the same model file and answers over HTTP on loopback, in an environment of its own
(`requirements/bench-servers.txt`, `requirements/bench-mlserver.txt`), and is stopped with its workers.

Source: the "getting started" pages of FastAPI, LitServe, BentoML and MLServer ("custom runtime").
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local import supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from hotplate_tools.console import Console

__all__ = ["SERVERS", "Server", "served"]

# BentoML and MLServer import for several seconds on a busy machine; in seconds.
_START_TIMEOUT_S = 120

_FASTAPI = """\
import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel

session = ort.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
app = FastAPI()


class Body(BaseModel):
    x: list[list[float]]


@app.post("/predict")
async def predict(body: Body):
    (y,) = session.run(None, {"x": np.array(body.x, np.float32)})
    return {"y": y.tolist()}
"""

_LITSERVE = """\
import os

import litserve as ls
import numpy as np
import onnxruntime as ort


class Api(ls.LitAPI):
    def setup(self, device):
        self.session = ort.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])

    def decode_request(self, request):
        return np.array(request["x"], np.float32)

    def predict(self, x):
        return self.session.run(None, {"x": x})[0]

    def encode_response(self, y):
        return {"y": y.tolist()}


if __name__ == "__main__":
    server = ls.LitServer(Api(), accelerator="cpu")
    port = int(os.environ["PORT"])
    server.run(host="127.0.0.1", port=port, generate_client_file=False, log_level="warning")
"""

_BENTOML = """\
import os
from typing import Annotated

import bentoml
import numpy as np
import onnxruntime as ort
from bentoml.validators import DType


@bentoml.service
class Service:
    def __init__(self):
        self.session = ort.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])

    @bentoml.api
    def predict(self, x: Annotated[np.ndarray, DType("float32")]) -> np.ndarray:
        return self.session.run(None, {"x": x})[0]
"""

_MLSERVER = """\
import os

import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Onnx(MLModel):
    async def load(self):
        self.session = ort.InferenceSession(os.environ["MODEL"], providers=["CPUExecutionProvider"])
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        (y,) = self.session.run(None, {"x": x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
"""


@dataclass(frozen=True, slots=True)
class Server:
    """A model server.

    Attributes:
        environment: `requirements/<environment>.txt`.
        program: Its module, `app.py`.
        command: What starts it, in its folder; `{port}` stands for the port.
        path: Where it is asked.
        protocol: Whether it speaks the Open Inference Protocol; else `{"x": [[...]]}`.
        settings: From three free ports, the first for HTTP, to JSON files that lie beside the program.
    """

    environment: str
    program: str
    command: tuple[str, ...]
    path: str = "/predict"
    protocol: bool = False
    settings: Callable[[list[int]], Mapping[str, Any]] = lambda _: {}


SERVERS = {
    "fastapi": Server(
        "bench-servers",
        _FASTAPI,
        ("uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning"),
    ),
    "litserve": Server("bench-servers", _LITSERVE, ("python", "app.py")),
    "bentoml": Server(
        "bench-servers",
        _BENTOML,
        ("bentoml", "serve", "app:Service", "--host", "127.0.0.1", "--port", "{port}"),
    ),
    "mlserver": Server(
        "bench-mlserver",
        _MLSERVER,
        ("mlserver", "start", "."),
        "/v2/models/model/infer",
        protocol=True,
        # In its own process: its worker processes do not start on Python 3.13, and cost more.
        settings=lambda ports: {
            "settings.json": {
                "host": "127.0.0.1",
                "http_port": ports[0],
                "grpc_port": ports[1],
                "metrics_port": ports[2],
                "parallel_workers": 0,
                "debug": False,
            },
            "model-settings.json": {"name": "model", "implementation": "app.Onnx"},
        },
    ),
}


@contextmanager
def served(server: Server, model: Path, body: bytes, console: Console) -> Iterator[Callable[[], bytes]]:
    """Start a server of the file `model`; yields what sends it `body`, over one connection, for an answer.

    Raises:
        FailedError: It cannot be installed, or did not start; its last lines say why.
    """
    binaries = ensure(server.environment, console)
    ports = _free_ports(3)
    with (
        tempfile.TemporaryFile() as log,
        _started(server, model, binaries, ports, log) as process,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", ports[0], timeout=30)) as connection,
    ):

        def ask() -> bytes:
            try:
                response = _post(connection, server.path, body)
            except ConnectionError:  # kept alive for five seconds of silence by some
                connection.close()
                response = _post(connection, server.path, body)
            answer = response.read()
            if response.status != http.HTTPStatus.OK:
                raise FailedError(f"{server.command[0]} answered {response.status}: {answer[:300]!r}")
            return answer

        _wait(process, connection, ask, log)
        yield ask


@contextmanager
def _started(
    server: Server, model: Path, binaries: Path, ports: list[int], log: IO[bytes]
) -> Iterator[subprocess.Popen[bytes]]:
    folder = Path(tempfile.mkdtemp(prefix="hotplate-bench-"))
    (folder / "app.py").write_text(server.program, encoding="utf-8")
    for name, settings in server.settings(ports).items():
        (folder / name).write_text(json.dumps(settings), encoding="utf-8")
    environ = {
        "HOME": str(folder),
        "MODEL": str(model),
        "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
        "PORT": str(ports[0]),
        "BENTOML_DO_NOT_TRACK": "True",
        "LITSERVE_DISABLE_TELEMETRY": "1",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    command = [str(binaries / server.command[0]), *server.command[1:]]
    # It stops the server with its workers, and removes the folder, however this process ends.
    owner = [sys.executable, "-I", str(Path(supervisor.__file__)), str(folder)]
    process = subprocess.Popen(
        [*owner, *(word.format(port=ports[0]) for word in command)],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
    )
    try:
        yield process
    finally:
        assert process.stdin  # noqa: S101 - it was asked for
        process.stdin.close()
        process.wait()


def _post(connection: http.client.HTTPConnection, path: str, body: bytes) -> http.client.HTTPResponse:
    connection.request("POST", path, body, {"Content-Type": "application/json"})
    return connection.getresponse()


def _wait(
    process: subprocess.Popen[bytes],
    connection: http.client.HTTPConnection,
    ask: Callable[[], bytes],
    log: IO[bytes],
) -> None:
    # Some listen before their workers are there, so only an answer says that it is ready.
    deadline, why = time.monotonic() + _START_TIMEOUT_S, ""
    while time.monotonic() < deadline and process.poll() is None:
        try:
            ask()
        except (OSError, http.client.HTTPException, FailedError) as fault:
            why = str(fault)
            connection.close()
            time.sleep(0.2)
        else:
            return
    log.seek(0)
    last = "\n".join(log.read().decode("utf-8", "replace").splitlines()[-6:])
    raise FailedError(f"a model server did not start ({why}):\n{last}")


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
