"""A container engine that speaks Docker's API: Docker's daemon where it answers, else podman.

podman is started here as a service of its own, with settings that also work without the right to
raise resource limits. Rules kept: nothing of it is running when the context has ended; images stay
in podman's store, where the next run finds them (`podman rmi` frees them).

Not done: rootless podman, whose containers do not see this machine's addresses; Docker over TCP.

Source: docker-engine API; podman-system-service(1), containers.conf(5).
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import FailedError
from hotplate_tools.local import supervisor

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Engine", "container_engine", "forward"]

_DOCKER_SOCKET = Path("/var/run/docker.sock")
_START_TIMEOUT_S = 20
_PODMAN_NEEDS = ("podman", "runc", "iptables")

# crun and the usual limits need rights that a machine inside a container may lack; runc and these do not.
_CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=8192:8192"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""

# Source: <linux/in.h>. The engine's bridge appears with its first container, after we have to listen.
_IP_FREEBIND = 15


@dataclass(frozen=True, slots=True)
class Engine:
    """A running engine.

    Attributes:
        name: `docker` or `podman`.
        socket: Path of its API's socket.
        host_address: Address at which its containers reach this machine.
        listens_on_loopback: Whether what they reach there is this machine's loopback itself.
        environment: Variables for programs that talk to it.
    """

    name: str
    socket: Path
    host_address: str
    listens_on_loopback: bool
    environment: dict[str, str]

    def podman(self, *arguments: str, stdin: Any = None) -> str:
        """Return what the podman command prints.

        Raises:
            FailedError: It failed; the message has its last lines.
        """
        command = ["podman", *arguments]
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            stdin=stdin,
            env={**os.environ, **self.environment},
        )
        if done.returncode:
            raise FailedError(f"{' '.join(command[:3])} failed:\n{done.stderr.strip()[-1000:]}")
        return done.stdout


@contextmanager
def container_engine() -> Iterator[Engine]:
    """Give an engine while the context lasts.

    Raises:
        FailedError: There is none, or it does not start.
    """
    docker = _docker_socket()
    if docker:
        is_desktop = "Desktop" in _ask(docker, "/info").get("OperatingSystem", "")
        address = "host.docker.internal" if is_desktop else _gateway(docker, "bridge")
        yield Engine("docker", docker, address, is_desktop, {"DOCKER_HOST": f"unix://{docker}"})
        return
    missing = [program for program in _PODMAN_NEEDS if not shutil.which(program, path=_system_path())]
    if missing or os.geteuid() != 0:
        reason = f"podman lacks {', '.join(missing)}" if missing else "podman needs root here"
        raise FailedError(
            f"there is no container engine: no Docker daemon answers, and {reason}",
            advice="Start Docker, or as root: apt-get install podman runc netavark aardvark-dns iptables",
        )
    with _podman_service() as engine:
        yield engine


@contextmanager
def forward(address: str, port: int) -> Iterator[int]:
    """Pass connections to `address` on to `port` of the loopback; yields the port at `address`."""

    class Handler(_Forwarder):
        target = ("127.0.0.1", port)

    with _FreeBindServer((address, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _podman_service() -> Iterator[Engine]:
    folder = Path(tempfile.mkdtemp(prefix="hotplate-podman-"))
    configuration, api = folder / "containers.conf", folder / "podman.sock"
    configuration.write_text(_CONTAINERS_CONF, encoding="utf-8")
    command = ["podman", "system", "service", "--time=0", f"unix://{api}"]
    environment = {"CONTAINERS_CONF": str(configuration), "DOCKER_HOST": f"unix://{api}"}
    owner = [sys.executable, "-I", str(Path(supervisor.__file__)), str(folder), *command]
    # The service's own chatter would mix with the function's log, which is what the reader wants.
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            owner,
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, **environment},
        )
    try:
        _wait_for_service(process, api, folder / "log")
        before = _containers(api)
        try:
            yield Engine("podman", api, _gateway(api, "podman"), False, environment)
        finally:
            for left in _containers(api) - before:
                _ask(api, f"/containers/{left}?force=true", method="DELETE")
    finally:
        process.communicate()


def _wait_for_service(process: subprocess.Popen[bytes], api: Path, log: Path) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not _answers(api):
        if process.poll() is not None or time.monotonic() > deadline:
            last = log.read_text(errors="replace").strip() if log.exists() else ""
            raise FailedError(f"podman's service did not start:\n{last[-1000:]}")
        time.sleep(0.02)


def _containers(api: Path) -> set[str]:
    return {each["Id"] for each in _ask(api, "/containers/json?all=true")}


def _docker_socket() -> Path | None:
    named = os.environ.get("DOCKER_HOST", "")
    if named and not named.startswith("unix://"):
        raise FailedError(f"DOCKER_HOST is {named}; only unix:// sockets are served here")
    path = Path(named.removeprefix("unix://")) if named else _DOCKER_SOCKET
    if _answers(path):
        return path
    if named:
        raise FailedError(f"nothing answers at DOCKER_HOST, {named}")
    return None


def _answers(api: Path) -> bool:
    try:
        return api.exists() and _request(api, "GET", "/_ping")[0] == http.client.OK
    except OSError:
        return False


def _gateway(api: Path, network: str) -> str:
    return str(_ask(api, f"/networks/{network}")["IPAM"]["Config"][0]["Gateway"])


def _ask(api: Path, target: str, *, method: str = "GET") -> Any:
    status, body = _request(api, method, target)
    if status >= http.client.BAD_REQUEST:
        raise FailedError(f"the container engine refused {method} {target}: {body.decode(errors='replace')}")
    return json.loads(body) if body else None


def _request(api: Path, method: str, target: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", timeout=_START_TIMEOUT_S)
    connection.sock = socket.socket(socket.AF_UNIX)
    try:
        connection.sock.settimeout(_START_TIMEOUT_S)
        connection.sock.connect(str(api))
        connection.request(method, target)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _system_path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class _FreeBindServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()


class _Forwarder(socketserver.BaseRequestHandler):
    target: tuple[str, int]

    def handle(self) -> None:
        with socket.create_connection(self.target) as other:
            back = threading.Thread(target=_pump, args=(other, self.request), daemon=True)
            back.start()
            _pump(self.request, other)
            back.join()


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass  # one side went away, and the other is told by the closing of its socket
