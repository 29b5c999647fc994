"""A function on awslambdaric, behind a Runtime API that says how Lambda would start it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hotplate_tools.local.runtime_api import RuntimeApi
from tests.support.faulty_s3 import BUCKET
from tests.support.signing import SeedSigner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hotplate_tools.local.runtime_api import Environment
    from tests.support.faulty_s3 import FaultyS3
    from tests.support.published import Published

__all__ = ["Started", "descendants", "started"]

_ROOT = Path(__file__).parents[2]
_CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}


class Started:
    """A function that was started.

    Attributes:
        api: What its runtime speaks to.
        environment: Its processes.
    """

    def __init__(self, api: RuntimeApi, environment: Environment) -> None:
        self.api, self.environment = api, environment

    @property
    def pid(self) -> int:
        return self.environment.process.pid

    def ask(self, event: dict[str, Any]) -> dict[str, Any]:
        """Return the proxy result."""
        return dict(json.loads(self.api.invoke(json.dumps(event).encode())))

    def lines(self, kind: str) -> list[dict[str, Any]]:
        """Return what hotplate logged of a kind."""
        found = [json.loads(line) for line in self.environment.log() if line.startswith('{"hotplate"')]
        return [line for line in found if line["hotplate"] == kind]


@contextmanager
def started(
    s3: FaultyS3,
    version: Published,
    tmp: Path,
    how: Mapping[str, str] | None = None,
    *,
    handler: str = "functions.tensor.app.lambda_handler",
    credentials: Mapping[str, str] = _CREDENTIALS,
) -> Iterator[Started]:
    """Start the function that serves `version`; init may not be over yet.

    Args:
        s3: Where the version lies; its objects are put there.
        version: What is pinned.
        tmp: Its temporary folder.
        how: Variables of the environment, over the usual ones.
        handler: Another than that of the generic function.
        credentials: Variables that hold them.
    """
    s3.objects.update(version.reader.objects)
    environ = {
        **credentials,
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "HOTPLATE_BUCKET": BUCKET,
        "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
        "HOTPLATE_MODEL": version.settings.model,
        "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
        "HOTPLATE_VERSION": version.settings.version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(_ROOT),
        "TMPDIR": str(tmp),
        **(how or {}),
    }
    command = [sys.executable, "-m", "awslambdaric", handler]
    with RuntimeApi() as api, api.start(command, environ) as environment:
        yield Started(api, environment)


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, ended but not yet waited for ones too."""
    children = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [*children, *(below for child in children for below in descendants(child))]
