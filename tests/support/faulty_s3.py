"""A small S3 on loopback that misbehaves on demand: what moto and real S3 will not do when asked."""

from __future__ import annotations

import re
import ssl
import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

BUCKET = "models"


@dataclass(frozen=True)
class Fault:
    """What happens to one answer.

    `status` replaces the answer; `delay_s` passes before it; `cut_at` ends the body after so many
    bytes though the headers promise all; `drip_s` passes between bytes, `head_drip_s` between bytes of
    the headers; `plain` ignores the range.
    """

    status: int | None = None
    delay_s: float = 0.0
    cut_at: int | None = None
    drip_s: float = 0.0
    head_drip_s: float = 0.0
    plain: bool = False


@dataclass
class FaultyS3:
    """Objects by key, and the faults that the next answers for a key meet, in order."""

    endpoint: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, deque[Fault]] = field(default_factory=lambda: defaultdict(deque))
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


@contextmanager
def faulty_s3(tls: ssl.SSLContext | None = None) -> Iterator[FaultyS3]:
    """Serve until the block ends, by TLS if a certificate is given."""
    state = FaultyS3()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            key = unquote(self.path).removeprefix(f"/{BUCKET}/")
            state.requests.append((key, self.headers.get("Range")))
            state.headers.append({name.lower(): value for name, value in self.headers.items()})
            fault = state.faults[key].popleft() if state.faults[key] else Fault()
            time.sleep(fault.delay_s)
            self._answer(state.objects.get(key), fault)

        def _answer(self, body: bytes | None, fault: Fault) -> None:
            if fault.head_drip_s:
                for byte in b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000:
                    self.wfile.write(bytes([byte]))
                    time.sleep(fault.head_drip_s)
            if fault.status or body is None:
                self._head(fault.status or 404, 0)
                return
            wanted = re.match(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
            if not wanted or fault.plain:
                self._head(200, len(body))
                self._send(body, fault)
                return
            first, last = int(wanted[1]), min(int(wanted[2]), len(body) - 1)
            if first >= len(body):
                self._head(416, 0)
                return
            self._head(206, last + 1 - first, f"bytes {first}-{last}/{len(body)}")
            self._send(body[first : last + 1], fault)

        def _head(self, status: int, length: int, content_range: str | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(length))
            if content_range:
                self.send_header("Content-Range", content_range)
            self.end_headers()

        def _send(self, body: bytes, fault: Fault) -> None:
            if fault.drip_s:
                for index in range(len(body)):
                    self.wfile.write(body[index : index + 1])
                    time.sleep(fault.drip_s)
            elif fault.cut_at is not None:
                self.wfile.write(body[: fault.cut_at])
                self.close_connection = True
            else:
                self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    state.endpoint = f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
