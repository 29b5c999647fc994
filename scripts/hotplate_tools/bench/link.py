"""An S3 for reading, over TLS, on a link of stated bandwidth: `python -m hotplate_tools.bench.link`.

A process of its own, so that it takes no time of those it serves but what the machine's cores are shared
for. It serves the files of a folder as the objects of every bucket: GET with and without a range, HEAD.
Credentials are not checked. All connections share the bandwidth, as they share a function's.

S3 itself takes none of a function's time, so this takes as little as it can: a file is mapped once, TLS
encrypts a quarter of a mebibyte at a time, by the cipher that S3 prefers (AES-128; Python's own choice is
AES-256).
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
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from hotplate.aws.tls import TlsSocket

if TYPE_CHECKING:
    import io

__all__ = ["OPENSSL_CONF", "serve"]

# What OpenSSL is told of TLS by the file that the variable of this name names.
OPENSSL_CONF = """\
openssl_conf = all
[all]
ssl_conf = tls
[tls]
system_default = cipher
[cipher]
Ciphersuites = TLS_AES_128_GCM_SHA256
"""

# Encrypted and sent at once, in bytes: with four times as many the processor's caches no longer hold them.
_CHUNK = 256 * 1024
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


class _ServerSide:
    """A context whose TLS is that of a server."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context

    def wrap_bio(self, received: ssl.MemoryBIO, to_send: ssl.MemoryBIO, **_: Any) -> ssl.SSLObject:
        return self._context.wrap_bio(received, to_send, server_side=True)


class _Accepted(TlsSocket):
    """A server's side of a connection, as `http.server` wants it."""

    def makefile(self, mode: str, _buffering: int = -1) -> io.BufferedReader:
        return super().makefile(mode)

    def setsockopt(self, *option: int) -> None:
        self._plain.setsockopt(*option)


class _Server(ThreadingHTTPServer):
    """What the handlers of all connections share."""

    daemon_threads = True

    def __init__(self, folder: Path, bandwidth: _Bandwidth | None, tls: ssl.SSLContext) -> None:
        self.folder, self.bandwidth, self._tls = folder, bandwidth, _ServerSide(tls)
        self._bodies: dict[Path, memoryview] = {}
        super().__init__(("127.0.0.1", 0), _Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Shake hands, in the connection's own thread, and answer."""
        super().finish_request(_Accepted(self._tls, request, ""), client_address)  # type: ignore[arg-type]

    def body(self, file: Path) -> memoryview:
        """Return a file's bytes, mapped once with all pages."""
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
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    return _Server(folder, _Bandwidth(mbps * 1e6 / 8) if mbps else None, tls)


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
