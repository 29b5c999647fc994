"""An S3 for reading, over TLS, on a link of stated bandwidth: `python -m hotplate_tools.bench.link`.

A process of its own, so that it takes no time of those it serves but what the machine's cores are shared
for. It serves the files of a folder as the objects of every bucket: GET with and without a range, HEAD.
Credentials are not checked. All connections share the bandwidth, as they share a function's.
"""

from __future__ import annotations

import mmap
import re
import ssl
import sys
import threading
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["serve"]

_CHUNK = 1024 * 1024
_SHAPED_CHUNK = 32 * 1024
_RANGE = re.compile(r"bytes=(\d+)-(\d+)?\Z")


class _Bandwidth:
    """Lets so many bytes a second through, however many connections ask."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._lock = threading.Lock()
        self._free_at = 0.0

    def take(self, count: int) -> None:
        with self._lock:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + count / self._bytes_per_s
            pause = self._free_at - now
        time.sleep(pause)


class _Server(ThreadingHTTPServer):
    """What the handlers of all connections share."""

    daemon_threads = True

    def __init__(self, folder: Path, bandwidth: _Bandwidth | None) -> None:
        self.folder, self.bandwidth = folder, bandwidth
        self._bodies: dict[Path, memoryview] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    def body(self, file: Path) -> memoryview:
        """Return a file's bytes, mapped once with all pages: S3 takes none of a function's time."""
        if file not in self._bodies:
            with file.open("rb") as stream:
                flags = mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0)
                body = mmap.mmap(stream.fileno(), 0, flags=flags, prot=mmap.PROT_READ)
            self._bodies[file] = memoryview(body)
        return self._bodies[file]

    def handle_error(self, *_: object) -> None:
        """A client that hangs up has what it wanted."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        file = self.server.folder / unquote(urlsplit(self.path).path).split("/", 2)[2]
        if not file.is_file():
            self._head(404, 0)
            return
        size = file.stat().st_size
        asked = _RANGE.match(self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        last = min(last, size - 1)
        more = {"Content-Range": f"bytes {first}-{last}/{size}"} if asked else {}
        self._head(206 if asked else 200, last + 1 - first, more | {"ETag": f'"{file.name[:32]}"'})
        if self.command == "GET" and size:
            self._send(self.server.body(file)[first : last + 1])

    def _head(self, status: int, length: int, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length))
        self.send_header("Last-Modified", formatdate(0, usegmt=True))
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, body: memoryview) -> None:
        bandwidth = self.server.bandwidth
        chunk = _SHAPED_CHUNK if bandwidth else _CHUNK
        for at in range(0, len(body), chunk):
            part = body[at : at + chunk]
            if bandwidth:
                bandwidth.take(len(part))
            self.wfile.write(part)


def serve(folder: Path, certificate: Path, key: Path, *, mbps: float | None) -> ThreadingHTTPServer:
    """Return the server, listening on a free port of 127.0.0.1.

    Args:
        folder: Its files are the objects.
        certificate: PEM file.
        key: Its private key, PEM.
        mbps: Megabits a second for all connections together; None for no limit.

    Raises:
        OSError: No port, or a PEM file cannot be read.
    """
    server = _Server(folder, _Bandwidth(mbps * 1e6 / 8) if mbps else None)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    return server


def main() -> None:
    """Serve `folder certificate key mbps` (0: no limit) until standard input ends; print the port."""
    folder, certificate, key, mbps = sys.argv[1:]
    server = serve(Path(folder), Path(certificate), Path(key), mbps=float(mbps) or None)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main()
