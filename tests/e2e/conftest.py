"""The servers that the same tests run against.

Without a word: the local cloud, and the runtime harness. With the `ApiUrl` of a deployed stack in
HOTPLATE_URL: that stack, and only the tests that need no more than its URL.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.prepared import KEYED, GivenModel
from hotplate_tools.local.strict import strict_cloud
from hotplate_tools.local.up import LocalCloud, local_cloud
from tests.support.sources import ONNX_SOURCES, write_onnx_sources
from tests.support.tiny_llama import write_llama
from tests.support.tiny_models import write_folder, write_picker, write_slow

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from hotplate_tools.local.harness import RuntimeHarness

RESERVED_CONCURRENCY = 4
_KEYED = pytest.StashKey[tuple[ExitStack, LocalCloud]]()
DEPLOYED = os.environ.get("HOTPLATE_URL", "").rstrip("/")


@pytest.fixture(scope="session")
def onnx_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of models that are not the template's, and what they answer."""
    return write_onnx_sources(tmp_path_factory.mktemp("onnx"))


@pytest.fixture(scope="session")
def cloud(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """The local cloud with everything in it, and models of the user's own."""
    _only_here()
    given = [source.given(request) for source in ONNX_SOURCES]
    # So that a file of some megabytes is a large one; two cores work on so many chunks at once.
    large = {"BatchMapAboveChunks": "2", "BatchMapConcurrency": "3"}
    console = Console(as_json=True)
    with local_cloud(console, given, reserved_concurrency=RESERVED_CONCURRENCY, parameters=large) as local:
        yield local


@pytest.fixture(scope="module")
def keyed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LocalCloud:
    """The local cloud that asks callers for keys, keeps tenants apart, and keeps requests.

    With a model that fails on some requests, one that has a fallback, one that has one and generates text,
    and one that takes as long as it is told, which may be 5 s.

    One for all modules in a row that use it; the memory that it takes is needed after them.
    """
    _only_here()
    stash = request.config.stash
    if _KEYED not in stash:
        made = tmp_path_factory.mktemp
        given = [GivenModel(write_picker(made("picker"))), GivenModel(write_slow(made("slow")))]
        for name, plan in (
            ("doubled", {"memory_mb": 512, "max_rows": 2, "fallback": "doubled-large"}),
            ("doubled-large", {"memory_mb": 1024}),
        ):
            given.append(GivenModel(write_folder(made(name), name=name, plan=plan, labels=None)))
        chatty = write_llama(made("chatty"), "chatty", context=2048, plan={"fallback": "chatty-large"})
        large = write_llama(made("chatty-large"), "chatty-large", context=4096)
        given += [GivenModel(chatty), GivenModel(large)]
        parameters = {**KEYED, "CaptureShare": "1", "TenantIsolation": "per-tenant", "AnswerWithin": "5"}
        stack = ExitStack()
        local = stack.enter_context(local_cloud(Console(as_json=True), given, parameters=parameters))
        stash[_KEYED] = (stack, local)
    return stash[_KEYED][1]


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """End the cloud of `keyed` after the last module in a row that uses it."""
    if isinstance(nextitem, pytest.Function) and (
        nextitem.path == item.path or "keyed" in nextitem.fixturenames
    ):
        return
    if _KEYED in item.config.stash:
        item.config.stash[_KEYED][0].close()
        del item.config.stash[_KEYED]


@pytest.fixture(scope="session")
def harness(request: pytest.FixtureRequest) -> Iterator[RuntimeHarness]:
    """The functions on the real Lambda runtime, and models of the user's own."""
    _only_here()
    given = [source.given(request) for source in ONNX_SOURCES]
    with strict_cloud(Console(as_json=True), given, reserved_concurrency=RESERVED_CONCURRENCY) as strict:
        yield strict.harness


@pytest.fixture(scope="session", params=["deployed"] if DEPLOYED else ["cloud", "harness"])
def server(request: pytest.FixtureRequest) -> str:
    """The URL under which `/v2` is."""
    if request.param == "deployed":
        return DEPLOYED
    url: str = request.getfixturevalue(request.param).url
    return url


def _only_here() -> None:
    if DEPLOYED:
        pytest.skip("HOTPLATE_URL is set: only tests that need no more than a URL are run")
