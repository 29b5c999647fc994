"""A side of a bench in a process of its own: a number a line in, a line of JSON out."""

from __future__ import annotations

import json
import subprocess
from typing import IO, TYPE_CHECKING, Any

from hotplate_tools.failures import FailedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import ExitStack

__all__ = ["Child"]


class Child:
    """A process that lives as long as `stack`; `said` is what it said last."""

    def __init__(
        self, stack: ExitStack, command: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Start it, and wait for its first line.

        Raises:
            FailedError: It ended instead.
        """
        self._process = stack.enter_context(
            subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
        )
        stack.callback(self._pipe(self._process.stdin).close)
        self.said = self._read()

    def ask(self, number: int) -> dict[str, Any]:
        """Return what it says to a number.

        Raises:
            FailedError: It ended instead.
        """
        pipe = self._pipe(self._process.stdin)
        pipe.write(f"{number}\n")
        pipe.flush()
        self.said = self._read()
        return self.said

    def _read(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise FailedError(f"a side ended with code {self._process.wait()}; what it said is above")
        said: dict[str, Any] = json.loads(line)
        return said

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # noqa: S101 - both were asked for
        return pipe
