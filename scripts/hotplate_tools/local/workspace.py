"""The files behind execution environments: the RIE, Lambda's Python, and each function's code and layers.

Rules kept: a function gets what Lambda gives (awslambdaric and boto3, `requirements/runtime.txt`),
its code and its layers, and not one package of this project's environment, so a dependency that a
layer lacks is missed here too. Everything made here lies in one temporary folder, which a janitor
process removes when this process closes it or ends, however it ends.

With walls (Linux namespaces, see `hotplate_tools.local.sandbox`) code and layers are mounted
read-only at Lambda's own paths. Without, they are copied with no write permission, which does not
stop root; `Workspace.has_walls` says which.

Source: AWS Lambda developer guide, "Defined runtime environment variables" and "Layer paths".
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from hotplate_tools.failures import FailedError
from hotplate_tools.local import sandbox
from hotplate_tools.local.build import host_architecture
from hotplate_tools.local.lambda_runtime import LambdaRuntime, ensure_rie, ensure_runtime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.console import Console
    from hotplate_tools.local.template import Function

__all__ = ["FunctionFiles", "Workspace"]

_JANITOR = """
import os, shutil, sys, time
sys.stdin.read()
for _ in range(100):
    for folder, _, _ in os.walk(sys.argv[1]):
        os.chmod(folder, 0o700)
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if not os.path.exists(sys.argv[1]):
        break
    time.sleep(0.1)
"""


@dataclass(frozen=True, slots=True)
class FunctionFiles:
    """One function's files, ready to be run.

    Attributes:
        code, layers: Folders that are `/var/task` and `/opt`.
        folder: The workspace.
        rie: The RIE's binary.
        runtime: Lambda's Python.
        has_walls: Whether the function gets Lambda's file system, or these folders as they lie.
    """

    code: Path
    layers: Path
    folder: Path
    rie: Path
    runtime: LambdaRuntime
    has_walls: bool

    def plan(
        self, function: Function, variables: Mapping[str, str], address: str, api_address: str
    ) -> dict[str, Any]:
        """Return what `sandbox` needs to start one environment listening on `address`.

        Args:
            function: What the template says.
            variables: What the function sees besides the variables that name paths.
            address: `host:port` of the RIE's own endpoint.
            api_address: `host:port` of the Runtime API that the function's runtime talks to.
        """
        if self.has_walls:
            task, opt, home, rie = "/var/task", "/opt", "/var/runtime", "/var/rapid/aws-lambda-rie"
        else:
            task, opt, home, rie = map(str, (self.code, self.layers, self.runtime.home, self.rie))
        sources = (self.code, self.layers, self.runtime.home, self.rie)
        mounts = [*zip(map(str, sources), (task, opt, home, rie), strict=True)]
        if not self.runtime.prefix.is_relative_to("/usr"):
            mounts.append((str(self.runtime.prefix), str(self.runtime.prefix)))
        site = f"{opt}/python/lib/{function.runtime}/site-packages"
        paths = {
            "LAMBDA_TASK_ROOT": task,
            "LAMBDA_RUNTIME_DIR": home,
            "LD_LIBRARY_PATH": f"/lib64:/usr/lib64:{home}:{home}/lib:{task}:{task}/lib:{opt}/lib",
            "PATH": f"{home}/bin:/usr/local/bin:/usr/bin:/bin:{opt}/bin",
            "PYTHONPATH": f"{task}:{site}:{opt}/python",
            **({} if self.has_walls else {"TMPDIR": self._own_tmp()}),
        }
        runtime = [f"{home}/bin/python", "-m", "awslambdaric", function.handler]
        # Lambda starts what this names, with its own command behind it; the RIE knows nothing of it.
        if wrapper := function.environment.get("AWS_LAMBDA_EXEC_WRAPPER"):
            runtime.insert(0, wrapper.replace("/opt/", f"{opt}/", 1))
        addresses = ["--runtime-interface-emulator-address", address, "--runtime-api-address", api_address]
        return {
            "command": [rie, *addresses, *runtime],
            "environment": {**paths, **variables},
            "memory_mb": function.memory_mb,
            "mounts": mounts,
            "root": str(self.folder / "root"),
            "tmp_mb": function.ephemeral_mb,
            "walls": self.has_walls,
            "workdir": task,
        }

    def _own_tmp(self) -> str:
        return tempfile.mkdtemp(prefix="tmp-", dir=self.folder)


class Workspace:
    """The temporary folder and everything in it; a context manager.

    Args:
        console: Told what is installed and what cannot be had.
        walls: Whether environments get Lambda's file system; None for "where the machine allows it".

    Attributes:
        has_walls: Whether environments get Lambda's file system.
        folder: The temporary folder.
    """

    def __init__(self, console: Console, *, walls: bool | None = None) -> None:
        self._console = console
        self._files: dict[str, FunctionFiles] = {}
        self._rie = ensure_rie(console)
        self.has_walls = _namespaces_work() if walls is None else walls
        if not self.has_walls:
            console.warn(
                "No user namespaces here: functions see this machine's files, and /tmp is unbounded."
            )
        self.folder = Path(tempfile.mkdtemp(prefix="hotplate-"))
        (self.folder / "root").mkdir()
        command = [sys.executable, "-I", "-S", "-c", _JANITOR, str(self.folder)]
        self._janitor = subprocess.Popen(command, stdin=subprocess.PIPE, env={}, start_new_session=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Remove the folder."""
        self._janitor.communicate()

    def files(self, function: Function) -> FunctionFiles:
        """Return the function's files, made ready on first use.

        Raises:
            FailedError: It is built for another architecture or language than this machine runs.
        """
        if function.logical_id not in self._files:
            here = host_architecture()
            if function.architecture != here:
                raise FailedError(
                    f"{function.logical_id} is built for {function.architecture}; this machine is {here}",
                    advice=f"Build it with the parameter Architecture={here}.",
                )
            self._files[function.logical_id] = FunctionFiles(
                code=self._laid_out(f"{function.logical_id}-task", (function.code,)),
                layers=self._laid_out(f"{function.logical_id}-opt", function.layers),
                folder=self.folder,
                rie=self._rie,
                runtime=ensure_runtime(self._console, function.runtime),
                has_walls=self.has_walls,
            )
        return self._files[function.logical_id]

    def _laid_out(self, name: str, sources: tuple[Path, ...]) -> Path:
        """Return one folder with `sources` laid over each other, the last on top."""
        if self.has_walls and len(sources) == 1:
            return sources[0]
        folder = self.folder / name
        folder.mkdir()
        for source in sources:
            shutil.copytree(
                source, folder, dirs_exist_ok=True, copy_function=_link if self.has_walls else _copy
            )
        if not self.has_walls:
            for path in (folder, *folder.rglob("*")):
                path.chmod(path.stat().st_mode & ~0o222)
        return folder


def _namespaces_work() -> bool:
    command = [sys.executable, "-I", "-S", str(Path(sandbox.__file__)), "--probe"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _link(source: str, target: str) -> None:
    # Safe because every mount of it is read-only; a megabyte of links costs what a hundred cost.
    with contextlib.suppress(FileNotFoundError):
        Path(target).unlink()
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


def _copy(source: str, target: str) -> None:
    shutil.copy2(source, target)
