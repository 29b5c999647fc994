from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.harness import RuntimeHarness, runtime_harness
from tests.support.tiny_function import write_tiny_application

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def harness(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RuntimeHarness]:
    template = write_tiny_application(tmp_path_factory.mktemp("built"))
    with runtime_harness(
        Console(), bucket="models", s3_endpoint="http://127.0.0.1:9", parameters={}, template=template
    ) as running:
        yield running
