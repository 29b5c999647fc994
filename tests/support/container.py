"""The container's server as a plain process, against a small S3 that may misbehave."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.faulty_s3 import BUCKET
from tests.support.http_call import call
from tests.support.signing import SeedSigner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.published import Published

_ROOT = Path(__file__).parents[2]


@dataclass
class Container:
    """A server process.

    Attributes:
        url: Where it listens.
        process: It.
        log: File of what it writes.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Return its log's lines of a kind."""
        found = [json.loads(each) for each in self.log.read_text().splitlines() if each.startswith("{")]
        return [each for each in found if each.get("hotplate") == kind]

    def wait_ready(self) -> None:
        """Wait until it may be asked."""
        ends = time.monotonic() + 30
        while call(self.url, "GET", "/ping").status != 200:
            assert time.monotonic() < ends, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.02)

    def terminate(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=35)


@contextmanager
def container(folder: Path, endpoint: str, version: Published, **variables: str) -> Iterator[Container]:
    """Start the process, yield when it listens, and end it.

    Args:
        folder: For its log.
        endpoint: Of S3.
        version: That it is to serve; it has to lie there.
        variables: Of the environment, over the usual ones.
    """
    environ = {
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_ENDPOINT_URL_S3": endpoint,
        "HOTPLATE_BUCKET": BUCKET,
        "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
        "HOTPLATE_MODEL": version.settings.model,
        "HOTPLATE_VERSION": version.settings.version,
        "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "SAGEMAKER_BIND_TO_PORT": "0",
        **variables,
    }
    log = folder / "container.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "functions.sagemaker.serve", "serve"],
            env=environ,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
        )
    made = Container("", process, log)
    try:
        ends = time.monotonic() + 30
        while not (listening := made.lines("listening")):
            assert time.monotonic() < ends, log.read_text()
            assert process.poll() is None, log.read_text()
            time.sleep(0.02)
        made.url = f"http://127.0.0.1:{listening[0]['port']}"
        yield made
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
