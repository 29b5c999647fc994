"""One model of every source kind, some served at once, answers over HTTP as its framework did."""

from __future__ import annotations

import json
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
CASES = [(index // AT_ONCE, source) for index, source in enumerate(SOURCES)]
each_of_them = pytest.mark.parametrize(
    ("served", "source"), CASES, indirect=["served"], ids=[source.name for source in SOURCES]
)


@pytest.fixture(scope="session")
def served(request: pytest.FixtureRequest) -> Iterator[LocalCloud]:
    """A local cloud with one group of them."""
    given = [source.given(request) for group, source in CASES if group == request.param]
    with local_cloud(Console(as_json=True), given) as cloud:
        yield cloud


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@each_of_them
def test_served_model_answers_as_its_framework_did(
    request: pytest.FixtureRequest, served: LocalCloud, source: SourceKind, binary: bool
) -> None:
    facts = source.folder(request) / f"{source.facts}.npz"
    assert_answers_as_its_framework_did(served.url, source.name, facts, binary=binary)


@each_of_them
def test_example_request_of_a_model_is_answered(served: LocalCloud, source: SourceKind) -> None:
    example = served.requests[source.name]
    assert example is not None
    body = json.dumps(example).encode()
    answer = call(served.url, "POST", f"/v2/models/{source.name}/infer", body)
    assert answer.status == 200
    assert answer.json()["model_name"] == source.name
