"""Blocks of a GGUF file as ONNX Runtime's operators take them."""

from typing import Any

import numpy as np

from hotplate_tools.models.smollm2.blocks import (
    BLOCK,
    eight_bit_values,
    four_bit_values,
    in_eight_bits,
    in_four_bits,
    narrowed,
)
from hotplate_tools.models.smollm2.calibrated import Moments, calibrated
from hotplate_tools.models.smollm2.reference import divergence
from tests.support.tiny_llama import plain

DRAW = np.random.default_rng(2)
ROWS, COLUMNS = 48, 3 * BLOCK


def error(got: Any, wanted: Any) -> float:
    return float(np.sqrt(np.mean((got - wanted) ** 2)))


def test_a_block_of_four_bits_is_read_as_ggml_writes_it() -> None:
    codes = np.arange(32).reshape(1, 1, 32) % 16
    head = np.array([0.5, -3.0], "<f2").view(np.uint8).reshape(1, 1, 4)
    raw = np.concatenate([head, (codes[..., :16] | codes[..., 16:] << 4).astype(np.uint8)], axis=-1)
    assert np.array_equal(four_bit_values(raw.reshape(1, -1)), 0.5 * codes.reshape(1, -1) - 3)


def test_a_block_of_eight_bits_is_read_as_ggml_writes_it() -> None:
    codes = np.arange(-16, 16, dtype=np.int8)
    raw = np.concatenate([np.array([0.25], "<f2").view(np.uint8), codes.view(np.uint8)])
    assert np.array_equal(eight_bit_values(raw.reshape(1, -1)), 0.25 * codes.reshape(1, -1))


def test_eight_bits_lose_next_to_nothing() -> None:
    values = DRAW.normal(size=(ROWS, COLUMNS))
    assert np.abs(plain(in_eight_bits(values)) - values).max() <= np.abs(values).max() / 253


def test_an_odd_number_of_blocks_has_its_last_zero_alone() -> None:
    codes = np.zeros((ROWS, 3, BLOCK), np.uint8)
    packed = in_four_bits(codes, np.ones((ROWS, 3)), np.full((ROWS, 3), 8))
    assert packed.zeros is not None
    assert (packed.codes.shape, packed.bits, packed.zeros.shape) == ((ROWS, 3, BLOCK // 2), 4, (ROWS, 2))


def test_narrowed_weights_are_around_eight() -> None:
    values = DRAW.normal(size=(ROWS, COLUMNS))
    packed = narrowed(values)
    assert (packed.bits, packed.zeros) == (4, None)
    assert np.abs(plain(packed) - values).max() <= np.abs(values).max() / 13


def inputs() -> Any:
    """Return rows of an input whose numbers come together, as a network's do."""
    causes = DRAW.normal(size=(4000, 24))
    return causes @ DRAW.normal(size=(24, COLUMNS)) + 0.1 * DRAW.normal(size=(4000, COLUMNS))


def moments(rows: Any) -> Any:
    seen = Moments()
    seen.see("a", rows[:1000])
    seen.see("a", rows[1000:])
    return seen.of("a")


def test_moments_are_sums_over_all_rows() -> None:
    rows = inputs()
    assert np.allclose(moments(rows), rows.T @ rows)


def test_calibrated_weights_give_nearer_products_than_the_nearest_ones() -> None:
    rows, values = inputs(), DRAW.normal(size=(ROWS, COLUMNS))
    fitted = plain(calibrated(values, moments(rows)))
    alone = plain(calibrated(values, np.eye(COLUMNS)))
    assert error(fitted, values) >= error(alone, values)
    assert error(rows @ fitted.T, rows @ values.T) < 0.5 * error(rows @ alone.T, rows @ values.T)


def test_codes_of_inputs_that_do_not_go_together_are_the_nearest() -> None:
    codes = DRAW.integers(0, 16, (ROWS, 3, BLOCK))
    codes[..., 0], codes[..., 1] = 0, 15  # so that the whole range is there
    values = (0.125 * (codes - 7.0)).reshape(ROWS, -1)
    assert np.array_equal(plain(calibrated(values, np.eye(COLUMNS))), values.astype(np.float32))


def test_a_block_of_nothing_is_nothing() -> None:
    nothing = np.zeros((2, BLOCK))
    for packed in (calibrated(nothing, np.eye(BLOCK)), in_eight_bits(nothing), narrowed(nothing)):
        assert not plain(packed).any()


def test_probabilities_diverge_by_what_is_not_expected() -> None:
    wanted, got = np.log([[0.5, 0.5], [0.25, 0.75]]), np.log([[0.25, 0.75], [0.25, 0.75]])
    apart = 0.5 * np.log(0.5 / 0.25) + 0.5 * np.log(0.5 / 0.75)
    assert np.isclose(divergence(wanted, got), apart / 2)
    assert np.isclose(divergence(wanted, got + 3), apart / 2)
    assert np.isclose(divergence(wanted, wanted), 0)
