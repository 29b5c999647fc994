"""What is left of a load that failed: its words, and nothing that takes room."""

from __future__ import annotations

import gc
import logging
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from hotplate.errors import StoreUnavailableError
from hotplate.http.endpoint import Endpoint

if TYPE_CHECKING:
    from hotplate.runtime.model import Model


class Weights:
    """Stands for hundreds of megabytes."""


class Reader(logging.Handler):
    """Reads what is logged, and keeps no record."""

    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(logging.Formatter().format(record))


@pytest.fixture
def told() -> Iterator[list[str]]:
    read: list[str] = []
    reader = Reader(read)
    logging.getLogger("hotplate").addHandler(reader)
    yield read
    logging.getLogger("hotplate").removeHandler(reader)


def test_a_fault_keeps_nothing_of_what_its_load_had_fetched(
    told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[Weights]] = []

    def read() -> None:
        into = Weights()
        held.append(weakref.ref(into))
        raise OSError("reset by peer")

    def load() -> Model:
        fetched = Weights()
        held.append(weakref.ref(fetched))
        try:
            read()
        except OSError as fault:
            raise StoreUnavailableError("gave up") from fault
        raise AssertionError

    # pytest keeps what it hears, with its traceback.
    monkeypatch.setattr(logging.getLogger("hotplate"), "propagate", False)
    endpoint = Endpoint(load)
    gc.collect()
    assert [each() for each in held] == [None, None]
    # The log has been told where it happened all the same.
    assert "in read" in told[0]
    with pytest.raises(StoreUnavailableError, match="gave up"):
        endpoint._ready_model()


def test_faults_that_name_each_other_as_their_cause_end_too() -> None:
    def load() -> Model:
        first, second = OSError("first"), StoreUnavailableError("second")
        try:
            raise first
        except OSError:
            first.__cause__ = second
            raise second from first

    with pytest.raises(StoreUnavailableError, match="second"):
        Endpoint(load)._ready_model()
