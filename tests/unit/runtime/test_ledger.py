"""The ledger adds up and keeps its phases also when they fail."""

from __future__ import annotations

import time

import pytest

from hotplate.runtime.ledger import Ledger


def test_phases_are_timed_in_order_and_added_up() -> None:
    ledger = Ledger()
    with ledger.phase("fetch"):
        time.sleep(0.02)
    with ledger.phase("fetch"):
        time.sleep(0.02)
    assert list(ledger.phases) == ["runtime", "imports", "fetch"]
    assert ledger.phases["fetch"] >= 40
    assert ledger.total_ms == pytest.approx(sum(ledger.phases.values()), abs=0.1)


def test_a_phase_that_fails_is_timed_too() -> None:
    ledger = Ledger()
    with pytest.raises(ValueError, match="x"), ledger.phase("session"):
        raise ValueError("x")
    assert "session" in ledger.phases
