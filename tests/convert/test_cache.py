"""A source that was converted before is not converted again, unless something that went in changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions
from hotplate_tools.environments import cache_root
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.pipeline import describe

type Publish = Callable[..., tuple[str, bool]]


class Watching(Console):
    """A console that knows whether a model was converted."""

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__(as_json=True)
        self.converted = False
        self.meanwhile = meanwhile

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        self.converted = self.converted or title.startswith("Converting")
        with super().step(title):
            yield
        if title.startswith("Comparing"):
            self.meanwhile()


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test's own, with the environments that are there already."""
    environments = cache_root() / "envs"
    environments.mkdir(parents=True, exist_ok=True)
    own = tmp_path / "cache"
    own.mkdir()
    (own / "envs").symlink_to(environments)
    monkeypatch.setenv("HOTPLATE_CACHE", str(own))
    return own / "conversions"


@pytest.fixture
def publish(kept: Path) -> Publish:
    def published(
        path: Path, *, meanwhile: Callable[[], object] = lambda: None, **options: object
    ) -> tuple[str, bool]:
        console = Watching(meanwhile)
        described = describe(path, "tiny", options=ConvertOptions(**options), console=console)  # type: ignore[arg-type]
        return described.manifest_sha256, console.converted

    return published


def test_second_publish_takes_the_first_ones_conversion(sklearn_models: Path, publish: Publish) -> None:
    first, converted = publish(sklearn_models / "forest.skops")
    assert converted
    assert publish(sklearn_models / "forest.skops") == (first, False)
    assert publish(sklearn_models / "forest.skops", cached=False) == (first, True)
    assert publish(sklearn_models / "line.skops")[1]


def test_damaged_conversion_is_made_again(sklearn_models: Path, publish: Publish, kept: Path) -> None:
    first, _ = publish(sklearn_models / "line.skops")
    (entry,) = kept.iterdir()
    entry.write_bytes(entry.read_bytes()[:-10])
    assert publish(sklearn_models / "line.skops") == (first, True)
    assert publish(sklearn_models / "line.skops") == (first, False)


def test_refused_conversion_is_not_kept(sklearn_models: Path, publish: Publish, kept: Path) -> None:
    for _ in range(2):
        with pytest.raises(RefusedError, match="differs from"):
            publish(sklearn_models / "scaled.skops", tolerance=1e-12)
    assert not kept.exists() or not list(kept.iterdir())


def test_kept_conversion_of_a_pickle_needs_trust_again(sklearn_models: Path, publish: Publish) -> None:
    assert publish(sklearn_models / "scaled.joblib", trust_pickle=True)[1]
    assert not publish(sklearn_models / "scaled.joblib", trust_pickle=True)[1]
    with pytest.raises(RefusedError, match="is a pickle"):
        publish(sklearn_models / "scaled.joblib")


def test_source_that_changes_while_it_is_converted_is_not_kept(
    sklearn_models: Path, publish: Publish, kept: Path, tmp_path: Path
) -> None:
    body = (sklearn_models / "line.skops").read_bytes()
    model = tmp_path / "line.skops"
    model.write_bytes(body)
    publish(model, meanwhile=lambda: model.write_bytes(body + b"\0"))
    assert not kept.exists() or not list(kept.iterdir())
