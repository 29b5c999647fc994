"""One server for all: the local cloud, or the deployed stack whose `ApiUrl` is in HOTPLATE_URL."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.up import LocalCloud, local_cloud


@pytest.fixture(scope="session")
def cloud() -> Iterator[LocalCloud]:
    """The local cloud with everything in it, for tests that need more than its URL."""
    with local_cloud(Console(as_json=True)) as local:
        yield local


@pytest.fixture(scope="session")
def server(request: pytest.FixtureRequest) -> str:
    """The URL under which `/v2` is."""
    given = os.environ.get("HOTPLATE_URL")
    return given.rstrip("/") if given else request.getfixturevalue("cloud").url
