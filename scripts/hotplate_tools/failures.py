"""How a command ends when it does not end well: exit codes and the errors that carry them.

| code | meaning |
|---|---|
| 0 | done |
| 1 | failed: something broke; trying again may help |
| 2 | usage: the command line is wrong |
| 3 | refused: done as asked it would be wrong; the reason is printed |
"""

from __future__ import annotations

from hotplate.errors import HotplateError

__all__ = ["FailedError", "RefusedError", "ToolError"]


class ToolError(HotplateError):
    """A command could not do its work.

    Attributes:
        advice: What the reader can do next, one sentence.
        exit_code: The process's exit code.
    """

    exit_code = 1

    def __init__(self, message: str, *, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


class FailedError(ToolError):
    """Something broke."""


class RefusedError(ToolError):
    """Doing it would be wrong."""

    exit_code = 3
