"""Blocks of a GGUF file as ONNX Runtime's operators take them."""

from typing import Any

import numpy as np
import pytest

from hotplate_tools.models.smollm2.blocks import narrow, pack_eight_bits, pack_four_bits, values_of, widen
from tests.support.tiny_llama import plain

DRAW = np.random.default_rng(2)
ROWS, BLOCKS = 5, 3


def four_bits(scale: Any, least: Any, codes: Any) -> Any:
    """Return rows of `Q4_1`."""
    heads = np.stack([scale, least], axis=-1).astype("<f2").view(np.uint8)  # (N, B, 4)
    halves = (codes[..., :16] | codes[..., 16:] << 4).astype(np.uint8)
    return np.concatenate([heads, halves], axis=-1).reshape(len(codes), -1)


def made() -> tuple[Any, Any]:
    """Return rows as they are in the file, and the numbers that they stand for."""
    scale = DRAW.uniform(0.01, 0.1, (ROWS, BLOCKS)).astype(np.float16).astype(np.float32)
    least = (-scale * DRAW.uniform(4, 11, (ROWS, BLOCKS))).astype(np.float16).astype(np.float32)
    codes = DRAW.integers(0, 16, (ROWS, BLOCKS, 32))
    return four_bits(scale, least, codes), codes * scale[..., None] + least[..., None]


def test_a_block_is_read_as_ggml_writes_it() -> None:
    codes = np.arange(32).reshape(1, 1, 32) % 16
    got, scales, leasts = values_of(four_bits(np.full((1, 1), 0.5), np.full((1, 1), -3.0), codes))
    assert got.tolist() == codes.tolist()
    assert (scales.item(), leasts.item()) == (0.5, -3.0)


def test_four_bits_are_near_and_nearer_than_a_rounded_zero() -> None:
    raw, wanted = made()
    _, scales, leasts = values_of(raw)
    error = np.sqrt(np.mean((plain(pack_four_bits(raw)).reshape(wanted.shape) - wanted) ** 2))
    rounded = np.round(-leasts / scales) * -scales
    assert error < 0.85 * np.sqrt(np.mean((rounded - leasts) ** 2))


def test_a_zero_that_is_an_integer_loses_nothing() -> None:
    codes = DRAW.integers(0, 16, (ROWS, BLOCKS, 32))
    scale = np.full((ROWS, BLOCKS), 0.125)
    packed = pack_four_bits(four_bits(scale, -7 * scale, codes))
    assert np.array_equal(plain(packed), (0.125 * (codes - 7.0)).reshape(ROWS, -1).astype(np.float32))


def test_an_odd_number_of_blocks_has_its_last_zero_alone() -> None:
    packed = pack_four_bits(made()[0])
    assert packed.zeros is not None
    assert (packed.codes.shape, packed.zeros.shape) == ((ROWS, BLOCKS, 16), (ROWS, 2))


def test_widened_weights_lose_next_to_nothing() -> None:
    raw, wanted = made()
    assert np.abs(plain(widen(raw)) - wanted.reshape(ROWS, -1)).max() <= np.abs(wanted).max() / 253


def eight_bits() -> tuple[Any, Any]:
    """Return rows of `Q8_0`, and the numbers that they stand for."""
    codes = DRAW.integers(-127, 128, (ROWS, BLOCKS, 32)).astype(np.int8)
    scale = DRAW.uniform(0.01, 1, (ROWS, BLOCKS)).astype("<f2")
    raw = np.concatenate([scale[..., None].view(np.uint8), codes.view(np.uint8)], axis=-1).reshape(ROWS, -1)
    return raw, codes.astype(np.float32) * scale.astype(np.float32)[..., None]


def test_eight_bits_are_moved() -> None:
    raw, wanted = eight_bits()
    assert np.array_equal(plain(pack_eight_bits(raw)), wanted.reshape(ROWS, -1))


def test_narrowed_weights_are_nearer_than_rounded_ones() -> None:
    raw, wanted = eight_bits()
    packed = narrow(raw)
    assert (packed.codes.shape, packed.bits, packed.zeros) == ((ROWS, BLOCKS, 16), 4, None)
    step = np.abs(wanted).max(axis=-1, keepdims=True) / 7
    rounded = np.rint(wanted / step) * step
    error = np.sqrt(np.mean((plain(packed).reshape(wanted.shape) - wanted) ** 2))
    assert error < np.sqrt(np.mean((rounded - wanted) ** 2))


@pytest.mark.parametrize("pack", [pack_four_bits, widen])
def test_a_block_of_nothing_is_nothing(pack: Any) -> None:
    zeros = np.zeros((1, 1))
    assert not plain(pack(four_bits(zeros, zeros, np.zeros((1, 1, 32), np.int64)))).any()
