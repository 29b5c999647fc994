"""Twenty movers of one alias at once: the history is one line, and each loser is told who won."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from moto import mock_aws
from moto.core.models import botocore_stubber

from hotplate.aws.clients import s3_client
from hotplate.aws.s3_store import S3Store
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError
from hotplate_tools.publish.aliases import Promotion, promote, read_alias
from hotplate_tools.publish.pipeline import publish_model
from tests.support.memory_store import MemoryStore
from tests.support.tiny_models import affine, write_onnx
from tests.support.whole_registry import assert_whole

if TYPE_CHECKING:
    from hotplate.manifest.layout import Alias
    from hotplate.store.base import Store

MOVERS = 20


class OneAtATime:
    """Makes moto answer one request at a time, as S3 does for one key: alone it checks, then writes."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __call__(self, event_name: str, request: Any, **context: Any) -> Any:
        with self.lock:
            return botocore_stubber(event_name, request, **context)


@pytest.fixture(params=["memory", "folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    if request.param == "memory":
        yield MemoryStore()
        return
    if request.param == "folder":
        yield FilesystemStore(tmp_path / "registry")
        return
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        client = s3_client(region="us-east-1")
        client.create_bucket(Bucket="registry")
        client.meta.events.register_first("before-send.s3", OneAtATime())
        yield S3Store(client, "registry")


def published(store: Store, folder: Path, factor: float, alias: str | None = None) -> str:
    file = write_onnx(folder / "m.onnx", affine(factor))
    return publish_model(file, store=store, alias=alias, console=Console(as_json=True)).version


def race(store: Store, targets: list[str]) -> list[tuple[str, Promotion | FailedError]]:
    """Promote all at once; return what each was told."""
    gate, told = threading.Barrier(len(targets)), list[tuple[str, Promotion | FailedError]]()

    def one(version: str) -> None:
        gate.wait()
        try:
            told.append((version, promote(store, "m", version, "live")))
        except FailedError as fault:
            told.append((version, fault))

    threads = [threading.Thread(target=one, args=(version,)) for version in targets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told


def line_of(pointer: Alias) -> list[str]:
    """Return every version that the alias pointed at, oldest first."""
    return [each.version for each in reversed(pointer.history)] + [pointer.version]


def test_twenty_promotes_of_two_versions_make_one_line_and_every_loser_knows_who_won(
    store: Store, tmp_path: Path
) -> None:
    start = published(store, tmp_path, 1.0, "live")
    versions = [published(store, tmp_path, factor) for factor in (2.0, 3.0)]
    told = race(store, versions * (MOVERS // 2))
    assert len(told) == MOVERS
    found = read_alias(store, "m", "live")
    assert found is not None
    pointer, _ = found
    made = [(version, each) for version, each in told if isinstance(each, Promotion) and each.move]

    # One line: each move starts where the one before it ended, and each mover that won is in it once.
    assert pointer.moves == 1 + len(made)
    line = line_of(pointer)
    assert (line[0], len(line)) == (start, pointer.moves)
    assert Counter(itertools.pairwise(line)) == Counter(
        (each.move.from_version, version) for version, each in made if each.move
    )
    assert all(one != other for one, other in itertools.pairwise(line))

    # Whoever did not move it was told where it points, by whom and when.
    for version, each in told:
        if isinstance(each, FailedError):
            (other,) = set(versions) - {version}
            assert f"to {other} by {pointer.moved_by} at " in str(each)
            assert f"hotplate promote m {version} --alias live" in each.advice
        else:
            assert each.pointer.version == version
            assert each.pointer.moved_by
    assert_whole(store)


def test_movers_that_all_planned_from_the_same_state_have_one_winner(store: Store, tmp_path: Path) -> None:
    from hotplate_tools.publish.aliases import move_alias, plan_move

    published(store, tmp_path, 1.0, "live")
    versions = [published(store, tmp_path, factor) for factor in (2.0, 3.0)]
    moves = [plan_move(store, "m", "live", version=each, sha256="0" * 64) for each in versions * 10]
    gate, told = threading.Barrier(len(moves)), list[Promotion | FailedError]()

    def one(index: int) -> None:
        move = moves[index]
        assert move is not None
        gate.wait()
        try:
            told.append(move_alias(store, move))
        except FailedError as fault:
            told.append(fault)

    threads = [threading.Thread(target=one, args=(index,)) for index in range(len(moves))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [each for each in told if isinstance(each, Promotion) and each.move]
    assert len(winners) == 1
    won = winners[0].pointer
    assert len(told) == MOVERS
    for each in told:
        if isinstance(each, FailedError):
            assert f"to {won.version} by {won.moved_by} at {won.moved_at}" in str(each)
        else:
            assert each.pointer == won
    assert won.moves == 2
