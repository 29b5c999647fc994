"""How long does a request take once everything is warm? `hotplate bench warm`.

Every contender gets the same model file and the same numbers, and one caller asks them in turns: some
requests of one, then of the next, over and over, so that a machine which gets busier does so for all. Each
start of the bench starts all of them anew. hotplate and the usual handler run on AWS's Runtime Interface
Emulator, hotplate on its own runtime as in the template, the other on awslambdaric; the model servers behind
their own HTTP server; `run` is `session.run` alone, in a process of its own. All answers must be the same to
the last bit. `nothing` is a function on hotplate's runtime that computes nothing: what is left of hotplate's
time without it is hotplate's. Functions have the memory that the template gives a model: it buys one vCPU,
and so one thread a session. The servers have all of the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from hotplate_tools.bench.graphs import write_mlp
from hotplate_tools.bench.rivals import HOTPLATE_TIMED, IMPORTS, RUN_ALONE, USUAL
from hotplate_tools.bench.servers import SERVERS, served
from hotplate_tools.bench.stage import MODEL_VARIABLES, Stage, Staged
from hotplate_tools.bench.times import OURS, Times, Warm
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import FailedError
from hotplate_tools.local.gateway import Answer, Request, proxy_event, read_answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from hotplate_tools.console import Console
    from hotplate_tools.local.rie import ExecutionEnvironment

    Array = np.ndarray[Any, Any]
    # One request: its milliseconds, and the answer's numbers.
    Ask = Callable[[], tuple[float, Array]]

__all__ = ["CASES", "bench_warm"]

# Floats of one request, and the inner width of the network that takes them.
CASES = {"small": (784, 128), "image": (3 * 224 * 224, 8)}

_TURN = 10  # requests of one contender before the next one's
_SETTLE = 20  # requests of each that are not counted, at every start


def bench_warm(case: str, *, starts: int, rounds: int, servers: tuple[str, ...], console: Console) -> Warm:
    """Return how long warm requests of one case take.

    Args:
        case: Key of `CASES`.
        starts: How often all contenders are started.
        rounds: Turns of each, a start.
        servers: Keys of `SERVERS`, those to be compared.
        console: Told what is done.

    Raises:
        FailedError: A contender did not start or answer, or the answers differ.
    """
    floats, inner = CASES[case]
    x = np.random.default_rng(1).random((1, floats), np.float32).round(3)  # (N, floats)
    times: dict[str, Times] = {}
    with Stage(console, vcpus=1) as stage:
        file = _written(case, floats, inner)
        with console.step(f"Publishing {file.name}"):
            staged = stage.publish(file, case)
        for start in range(starts):
            with ExitStack() as stack, console.step(f"Start {start + 1} of {starts}"):
                field_ = _Field(stage, staged, file, x, console, stack)
                _take_turns(field_.contenders(servers), rounds, times)
                field_.report(times)
    return Warm(case, floats, starts, times)


def _take_turns(contenders: Mapping[str, Ask], rounds: int, times: dict[str, Times]) -> None:
    answers: dict[str, Array] = {}
    for ask in contenders.values():
        for _ in range(_SETTLE):
            ask()
    for _ in range(rounds):
        for name, ask in contenders.items():
            for _ in range(_TURN):
                ms, answers[name] = ask()
                times.setdefault(name, Times()).whole.append(ms)
        _refuse_difference(answers)


def _refuse_difference(answers: Mapping[str, Array]) -> None:
    right = answers["run"]
    for name, answer in answers.items():
        if name != "nothing" and answer.tobytes() != right.tobytes():
            raise FailedError(f"{name} does not answer what session.run computes")


class _Field:
    """One start's contenders; they end with `stack`."""

    def __init__(
        self, stage: Stage, staged: Staged, file: Path, x: Array, console: Console, stack: ExitStack
    ) -> None:
        self._stage, self._staged, self._file, self._x = stage, staged, file, x
        self._console, self._stack = console, stack
        self._timed: dict[str, ExecutionEnvironment] = {}

    def contenders(self, servers: tuple[str, ...]) -> dict[str, Ask]:
        """Start all of them."""
        return {
            "run": self._stack.enter_context(_run_alone(self._file, self._x)),
            **{name: self._hotplate(name, binary=name == OURS[0]) for name in OURS},
            "usual": self._usual(),
            "nothing": self._nothing(),
            **{name: self._server(name) for name in servers},
        }

    def report(self, times: dict[str, Times]) -> None:
        """Add what hotplate's functions measured within."""
        for name, environment in self._timed.items():
            seen = [
                handler - run for handler, run in json.loads(environment.invoke(b'{"report": true}').payload)
            ]
            times[name].first.append(seen[0])
            times[name].outside.extend(seen[_SETTLE:])

    def _hotplate(self, name: str, *, binary: bool) -> Ask:
        body, length = encode_request([Tensor("x", "FP32", self._x)], binary=binary)
        headers = [("Content-Type", "application/octet-stream" if binary else "application/json")]
        if length is not None:
            headers.append(("Inference-Header-Content-Length", str(length)))
        event = _event(f"/v2/models/{self._staged.name}/infer", headers, body)
        environment = self._stack.enter_context(
            self._stage.environment(HOTPLATE_TIMED, self._staged, MODEL_VARIABLES)
        )
        self._timed[name] = environment

        def numbers(answer: Answer) -> Array:
            named = {key.lower(): value for key, value in answer.headers}
            decoded = decode_response(answer.body, named.get("inference-header-content-length"))
            return decoded.outputs[0].array

        return _invoked(environment, event, numbers)

    def _usual(self) -> Ask:
        event = {"body": json.dumps({"x": self._x.tolist()}), "isBase64Encoded": False}
        environment = self._stack.enter_context(self._stage.environment(USUAL, self._staged))
        return _invoked(
            environment,
            json.dumps(event).encode(),
            lambda answer: np.array(json.loads(answer.body)["y"], np.float32),
        )

    def _nothing(self) -> Ask:
        environment = self._stack.enter_context(self._stage.environment(IMPORTS, None, MODEL_VARIABLES))
        none = np.empty(0, np.float32)
        return _invoked(environment, b"{}", lambda _: none)

    def _server(self, name: str) -> Ask:
        server = SERVERS[name]
        if server.protocol:
            body, _ = encode_request([Tensor("x", "FP32", self._x)], binary=False)
        else:
            body = json.dumps({"x": self._x.tolist()}).encode()
        ask = self._stack.enter_context(served(server, self._file, body, self._console))

        def timed() -> tuple[float, Array]:
            started = time.perf_counter()
            answer = ask()
            ms = (time.perf_counter() - started) * 1000
            return ms, np.array(_numbers(json.loads(answer)), np.float32)

        return timed


def _numbers(answer: Any) -> Any:
    """Return the numbers of a server's answer: the protocol's, `{"y": ...}`, or they alone."""
    if isinstance(answer, dict):
        return answer["outputs"][0]["data"] if "outputs" in answer else answer["y"]
    return answer


def _event(path: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    request = Request("POST", path, [("Host", "localhost"), ("User-Agent", "bench"), *headers], body)
    event = proxy_event(request, resource=path, path_parameters={}, stage="v1", request_id="bench")
    return json.dumps(event).encode()


def _invoked(environment: ExecutionEnvironment, event: bytes, numbers: Callable[[Answer], Array]) -> Ask:
    def ask() -> tuple[float, Array]:
        result = environment.invoke(event)
        answer = read_answer(result.payload)
        if answer is None or answer.status != 200:
            raise FailedError(
                f"the function answered {result.payload[:300]!r}", advice="\n".join(result.log[-6:])
            )
        return result.wall_ms, numbers(answer)

    return ask


@contextmanager
def _run_alone(file: Path, x: Array) -> Iterator[Ask]:
    array = file.with_suffix(".npy")
    np.save(array, x)
    command = [sys.executable, "-c", RUN_ALONE, str(file), str(array)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin  # noqa: S101 - it was asked for
        assert process.stdout  # noqa: S101 - likewise
        asked, answered = process.stdin, process.stdout

        def ask() -> tuple[float, Array]:
            asked.write("1\n")
            asked.flush()
            seen = json.loads(answered.readline())
            return seen["times"][0], np.array(seen["y"], np.float32)

        try:
            yield ask
        finally:
            asked.close()


def _written(case: str, floats: int, inner: int) -> Path:
    file = cache_root() / "bench" / f"warm-{case}.onnx"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".unfinished")
        write_mlp(unfinished, inputs=floats, inner=inner)
        unfinished.rename(file)
    return file
