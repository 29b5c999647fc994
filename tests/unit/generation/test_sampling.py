"""The next token: the likeliest, or drawn as it should be, and the same for the same seed."""

import numpy as np
import pytest

from hotplate.generation.sampling import chooser

LOGITS = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))


def drawn(logits: np.ndarray, count: int, **how: float) -> np.ndarray:
    options = {"temperature": 1.0, "top_p": 1.0} | how
    choose = chooser(options["temperature"], options["top_p"], 7)
    return np.bincount([choose(logits) for _ in range(count)], minlength=len(logits)) / count


def test_without_temperature_the_likeliest_is_taken() -> None:
    assert chooser(0, 0.1, None)(np.array([1, 3, 3, 2], np.float32)) == 1


def test_tokens_are_as_frequent_as_they_are_likely() -> None:
    assert drawn(LOGITS, 4000) == pytest.approx([0.5, 0.3, 0.15, 0.05], abs=0.03)


def test_temperature_flattens_and_sharpens() -> None:
    assert drawn(LOGITS, 4000, temperature=2)[0] == pytest.approx(0.379, abs=0.03)
    assert drawn(LOGITS, 4000, temperature=0.5)[0] == pytest.approx(0.685, abs=0.03)


@pytest.mark.parametrize(("top_p", "kept"), [(0.4, 1), (0.6, 2), (0.81, 3), (1.0, 4)])
def test_only_the_likeliest_of_that_mass_are_drawn(top_p: float, kept: int) -> None:
    assert np.count_nonzero(drawn(LOGITS, 3000, top_p=top_p)) == kept


def test_of_a_flat_distribution_more_are_kept_than_are_sorted_at_first() -> None:
    flat = np.zeros(2000, np.float32)
    assert np.count_nonzero(drawn(flat, 6000, top_p=0.5)) > 900


def test_a_seed_decides_all() -> None:
    logits = np.random.default_rng(1).normal(size=500).astype(np.float32)
    runs = [[choose(logits) for _ in range(50)] for choose in (chooser(1, 0.9, seed) for seed in (3, 3, 4))]
    assert runs[0] == runs[1] != runs[2]


def test_without_a_seed_two_requests_differ() -> None:
    flat = np.zeros(1000, np.float32)
    first, second = (
        [choose(flat) for _ in range(10)] for choose in (chooser(1, 1, None), chooser(1, 1, None))
    )
    assert first != second


def test_logits_far_apart_do_not_overflow() -> None:
    assert chooser(0.01, 1, 1)(np.array([-1e4, 1e4], np.float32)) == 1
