"""One local cloud with every model in it, also those that are built; `make models-test` builds them first.

With the `ApiUrl` of a deployed stack in HOTPLATE_URL that stack is asked instead.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.up import local_cloud
from hotplate_tools.project import project_root
from hotplate_tools.training.stored import is_built

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPLOYED = os.environ.get("HOTPLATE_URL", "").rstrip("/")


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The URL under which `/v2` is."""
    if DEPLOYED:
        yield DEPLOYED
        return
    served = [model.name for model in served_models(read_yaml(project_root() / "template.yaml"))]
    assert [name for name in served if not is_built(name)] == [], "`make models` builds them"
    with local_cloud(Console(as_json=True)) as cloud:
        yield cloud.url
