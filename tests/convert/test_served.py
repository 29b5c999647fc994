"""One model of every source kind, some served at once, answers over HTTP as its framework did."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from hotplate_tools.console import Console
from hotplate_tools.local.up import LocalCloud, local_cloud
from tests.support.asking import assert_answers_as_its_framework_did
from tests.support.http_call import call
from tests.support.sources import FRAMEWORK_SOURCES, ONNX_SOURCES, SourceKind

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = [*ONNX_SOURCES, *FRAMEWORK_SOURCES]
# So many fit beside the project's own models: CloudFormation takes 500 resources a stack.
AT_ONCE = 5


class Clouds:
    """A local cloud with one group of them, ended when another group is asked for."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request, self._stack = request, ExitStack()
        self._group = -1
        self._cloud: LocalCloud | None = None

    def __call__(self, source: SourceKind) -> LocalCloud:
        group = SOURCES.index(source) // AT_ONCE
        if group != self._group or self._cloud is None:
            self._stack.close()
            first = group * AT_ONCE
            given = [each.given(self._request) for each in SOURCES[first : first + AT_ONCE]]
            self._cloud = self._stack.enter_context(local_cloud(Console(as_json=True), given))
            self._group = group
        return self._cloud

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def clouds(request: pytest.FixtureRequest) -> Iterator[Clouds]:
    with closing(Clouds(request)) as made:
        yield made


# In one test, so that a group's come one after the other.
@pytest.mark.parametrize("how", ["binary", "json", "example"])
@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_served_model_answers_as_its_framework_did_and_to_its_example(
    request: pytest.FixtureRequest, clouds: Clouds, source: SourceKind, how: str
) -> None:
    served = clouds(source)
    if how != "example":
        facts = source.folder(request) / f"{source.facts}.npz"
        assert_answers_as_its_framework_did(served.url, source.name, facts, binary=how == "binary")
        return
    example = served.requests[source.name]
    assert example is not None
    body = json.dumps(example).encode()
    answer = call(served.url, "POST", f"/v2/models/{source.name}/infer", body)
    assert answer.status == 200
    assert answer.json()["model_name"] == source.name
