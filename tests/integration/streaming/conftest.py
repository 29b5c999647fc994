from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import hotplate.streaming
from hotplate_tools.local.streaming.call import Call, split_prelude
from hotplate_tools.local.streaming.process import Outcome, StreamingFunction

ROOT = Path(__file__).parents[3]
BOOTSTRAP, WHOLE = (Path(hotplate.streaming.__file__).parent / name for name in ("bootstrap", "whole"))


class Asked:
    """One event that a function works on, in a thread.

    Attributes:
        call: It.
        parts: What came, each with the time, in seconds since 1970.
    """

    def __init__(self, function: StreamingFunction, event: Any) -> None:
        self.call = Call(json.dumps(event).encode())
        self.parts: list[tuple[float, bytes]] = []
        self._outcome: list[Outcome] = []
        self._thread = threading.Thread(target=self._run, args=(function,))
        self._thread.start()

    def _run(self, function: StreamingFunction) -> None:
        def deliver(part: bytes) -> None:
            self.parts.append((time.time(), part))

        self._outcome.append(function.run(self.call, deliver))

    def wait_parts(self, number: int) -> None:
        deadline = time.monotonic() + 10
        while len(self.parts) < number:
            assert time.monotonic() < deadline, self.parts
            time.sleep(0.005)

    def outcome(self) -> Outcome:
        self._thread.join(30)
        return self._outcome[0]

    def answer(self) -> tuple[dict[str, Any], bytes]:
        """Return status and headers, and the body."""
        self.outcome()
        split = split_prelude(b"".join(part for _, part in self.parts))
        assert split is not None, self.parts
        return split


type Start = Callable[..., StreamingFunction]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start functions as Lambda does: by the wrapper, with the interpreter."""
    running: list[StreamingFunction] = []

    def begin(
        variables: Mapping[str, str] | None = None, wrapper: Path = BOOTSTRAP, **limits: float
    ) -> StreamingFunction:
        environment = {
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
            "AWS_LAMBDA_FUNCTION_NAME": "streamer",
            "LAMBDA_TASK_ROOT": str(ROOT),
            "PATH": os.environ["PATH"],
            "_HANDLER": "tests.support.programs.streamer.handler",
            **(variables or {}),
        }
        command = [str(wrapper), sys.executable]
        running.append(StreamingFunction(command, environment, **{"timeout_s": 10.0, **limits}))
        return running[-1]

    yield begin
    for function in running:
        function.__exit__()


def closed(function: StreamingFunction) -> list[dict[str, Any]]:
    """Return what the function logged of generators that ended."""
    return [json.loads(line) for line in function.log() if line.startswith('{"closed"')]
