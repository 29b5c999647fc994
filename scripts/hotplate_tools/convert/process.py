"""A framework's runner as a child process: started in its own environment, asked line by line."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from types import TracebackType

    from hotplate_tools.console import Console
    from hotplate_tools.convert.kinds import Converter

__all__ = ["RUNNERS", "Runner"]

RUNNERS = Path(__file__).parent / "runners"

# Nothing of ours or of the user's Python leaks into the child; one thread, so that a sum always
# adds in the same order and the same source gives the same golden rows. Compiled Python is kept with
# the environment: its installer compiles nothing, and TensorFlow's takes ten seconds.
_SETTINGS = {
    "KERAS_BACKEND": "tensorflow",
    "OMP_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONNOUSERSITE": "1",
    "PYTHONWARNINGS": "ignore",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "CUDA_VISIBLE_DEVICES": "",
}
_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT")


class Runner:
    """A runner at work; leaving the context ends it."""

    def __init__(
        self, converter: Converter, folder: Path, console: Console, *, program: Path | None = None
    ) -> None:
        """Make the environment if there is none, and start the runner.

        Args:
            converter: Which.
            folder: Where it works and may write.
            console: Told while an environment is made.
            program: Another program than the converter's own.

        Raises:
            FailedError: The environment cannot be made.
        """
        self.title = converter.title
        binaries = ensure(
            converter.environment,
            console,
            python=converter.python,
            by_pip=converter.by_pip,
            requirements=converter.requirements,
        )
        self._log = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 - closed by __exit__
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        self._process = subprocess.Popen(
            [str(binaries / "python"), str(program or RUNNERS / converter.runner)],
            cwd=folder,
            env={
                **environment,
                **_SETTINGS,
                "KERAS_HOME": str(folder),
                "PYTHONPYCACHEPREFIX": str(binaries.parent / "compiled"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
        )

    def ask(self, step: str, **job: Any) -> dict[str, Any]:
        """Return what the runner says to one step.

        Raises:
            RefusedError: The source is not fit.
            FailedError: The framework failed, in one line; or the runner died.
        """
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        try:
            self._process.stdin.write(json.dumps({"step": step, **job}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            code = self._process.wait()
            raise FailedError(f"the {self.title} runner ended with code {code}: {self._last_words()}")
        reply: dict[str, Any] = json.loads(line)
        if "refused" in reply:
            raise RefusedError(reply["refused"], advice=reply["advice"])
        if "failed" in reply:
            raise FailedError(f"{self.title} could not {step} the model: {reply['failed']}")
        done: dict[str, Any] = reply["done"]
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None  # noqa: S101, PT018
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "it said nothing"
