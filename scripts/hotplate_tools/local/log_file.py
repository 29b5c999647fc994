"""What a process writes, in a file: who reads it as it comes slows who times the process's answers."""

from __future__ import annotations

import os
import tempfile
import threading

__all__ = ["LogFile"]

_AT_ONCE = 1024 * 1024


class LogFile:
    """A file of lines that another process appends to; read when it is asked for.

    Attributes:
        written: For the process that writes. Its position is the writer's.
    """

    def __init__(self) -> None:
        """Begin empty; the file has no name."""
        self.written = tempfile.TemporaryFile()  # noqa: SIM115 - `close` ends it
        self._lines: list[str] = []
        self._read = 0
        self._unfinished = b""
        self._lock = threading.Lock()

    def lines(self) -> list[str]:
        """Return all lines that are complete; the same list each time, which grows."""
        with self._lock:
            while not self.written.closed:
                part = os.pread(self.written.fileno(), _AT_ONCE, self._read)
                if not part:
                    break
                self._read += len(part)
                *complete, self._unfinished = (self._unfinished + part).split(b"\n")
                self._lines += [line.decode("utf-8", "replace") for line in complete]
            return self._lines

    def close(self) -> None:
        """Give the file up; the lines stay."""
        self.lines()
        with self._lock:
            self.written.close()
