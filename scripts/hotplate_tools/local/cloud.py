"""The local cloud as a process: an AWS that acts (ministack), on the loopback, for as long as it is needed.

Rules kept: everything that it and its functions write lies in one folder, which is gone when the
context ends, however it ends (`hotplate_tools.local.supervisor`); it sees nothing of the caller's
environment; it listens on 127.0.0.1 only.

Nothing is kept between two runs: a start from nothing takes seconds, and always gives what the
template says.
"""

from __future__ import annotations

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.local.interpreter import find_python

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["HOST", "Cloud", "run_cloud"]

HOST = "127.0.0.1"

# Starting takes about a second; a loaded machine gets half a minute.
START_LIMIT_S = 30.0
POLL_S = 0.05
# The supervisor gives its child two seconds before it kills; a full disk's cache may take longer.
STOP_LIMIT_S = 60.0

# Functions and layers are unpacked there, some hundred MB of small writes; in memory that takes a quarter of
# the time. Used where there is room for it and for the functions' processes (bytes).
MEMORY_FOLDER = Path("/dev/shm")  # noqa: S108 - a folder of its own is made in it
MEMORY_NEEDED_BYTES = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Cloud:
    """A local cloud that runs.

    Attributes:
        endpoint: Base address of every AWS service.
        port: Its TCP port on 127.0.0.1.
        folder: Everything it writes.
        log: Its own log.
        process: The supervisor; ends when the cloud does.
    """

    endpoint: str
    port: int
    folder: Path
    log: Path
    process: subprocess.Popen[bytes]

    def check(self) -> None:
        """Raise if the cloud has ended.

        Raises:
            FailedError: With the last lines of its log.
        """
        if self.process.poll() is not None:
            raise FailedError("the local cloud has stopped by itself")


@contextmanager
def run_cloud(console: Console, *, runtime: str, port: int | None = None) -> Iterator[Cloud]:
    """Start a local cloud, and stop it at the end.

    Args:
        console: Told while its environment is made.
        runtime: Lambda's name for the Python of the functions.
        port: TCP port; None takes a free one.

    Raises:
        FailedError: The port is taken, or the cloud does not start.
    """
    python = ensure("cloud", console, python=str(find_python(runtime))) / "python"
    port = _free_port(port)
    folder = Path(tempfile.mkdtemp(prefix="hotplate-up-", dir=_quick_folder()))
    log = folder / "cloud.log"
    (folder / "tmp").mkdir()
    here = Path(__file__).parent
    command = [sys.executable, "-I", str(here / "supervisor.py"), str(folder), str(python), "-I"]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, str(here / "emulator.py")],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=_environment(folder, port),
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for us; we decide when it ends.
        )
    try:
        cloud = Cloud(f"http://{HOST}:{port}", port, folder, log, process)
        _wait_until_ready(cloud)
        yield cloud
    finally:
        assert process.stdin is not None  # noqa: S101 - a pipe was asked for
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.wait(STOP_LIMIT_S)


def _quick_folder() -> Path | None:
    """Return the memory's file system if it is roomy and programs may be run from it; else None."""
    if not MEMORY_FOLDER.is_dir():
        return None
    system = os.statvfs(MEMORY_FOLDER)
    room = min(system.f_bavail * system.f_frsize, os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGESIZE"))
    may_run = not system.f_flag & os.ST_NOEXEC
    return MEMORY_FOLDER if may_run and room > MEMORY_NEEDED_BYTES else None


def _environment(folder: Path, port: int) -> dict[str, str]:
    # Functions inherit it, so it holds nothing that Lambda would not give them but these names.
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "STATE_DIR": str(folder / "state"),
        "S3_DATA_DIR": str(folder / "s3"),
        "BIND_HOST": HOST,
        "GATEWAY_PORT": str(port),
        # Listeners of services that nothing here uses.
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        # Every worker has its own copy of code and layers, so bytecode written beside it is never read.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _free_port(port: int | None) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port or 0))
        except OSError as fault:
            raise FailedError(
                f"port {port} of {HOST} is taken", advice="Give another --port, or none for a free one."
            ) from fault
        return int(probe.getsockname()[1])


def _wait_until_ready(cloud: Cloud) -> None:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline:
        if cloud.process.poll() is not None:
            break
        connection = http.client.HTTPConnection(HOST, cloud.port, timeout=START_LIMIT_S)
        try:
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == http.client.OK:
                return
        except OSError:
            time.sleep(POLL_S)
        finally:
            connection.close()
    last = cloud.log.read_text(errors="replace").strip().splitlines()[-6:] if cloud.log.exists() else []
    raise FailedError("the local cloud does not start:\n" + "\n".join(last))
