"""What a GGUF file of a Llama holds: its shape, its weights in blocks or as plain numbers, its vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hotplate_tools.models.smollm2.blocks import (
    Packed,
    eight_bit_values,
    four_bit_values,
    in_eight_bits,
    narrowed,
)
from hotplate_tools.models.smollm2.calibrated import Moments, calibrated
from hotplate_tools.models.smollm2.reference import logits_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gguf import GGUFReader

    Array = np.ndarray[Any, Any]

__all__ = ["FORMS", "PUBLISHED", "Form", "Shape", "packed_weights", "plain_weights", "read_shape"]

type Form = Literal["mixed", "four-bits", "float-table"]

# How the table of words, which is the last product too, and the matrices of attention are kept; those of the
# layers' other half are in four bits always.
FORMS = {
    "mixed": "table and attention in eight bits",
    "four-bits": "table and attention in four bits",
    "float-table": "table in float32, attention in four bits",
}
PUBLISHED: Form = "mixed"

# The file's matrices that are one product, by its name in the graph.
_PRODUCTS = {
    "qkv": ("attn_q", "attn_k", "attn_v"),
    "output": ("attn_output",),
    "gate_up": ("ffn_gate", "ffn_up"),
    "down": ("ffn_down",),
}


@dataclass(frozen=True)
class Shape:
    """Sizes of a Llama.

    Attributes:
        layers, heads, key_heads, features, words, context: How many.
        base: Of the rotations' frequencies.
        epsilon: Of the norms.
    """

    layers: int
    heads: int
    key_heads: int
    features: int
    words: int
    context: int
    base: float
    epsilon: float

    def rotations(self) -> tuple[Array, Array]:
        """Return cosines and sines, float32 [context, half a head's features]."""
        size = self.features // self.heads
        steps = 1 / self.base ** (np.arange(0, size, 2, dtype=np.float64) / size)
        angles = np.outer(np.arange(self.context), steps)
        return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def read_shape(file: GGUFReader) -> Shape:
    """Return the shape that the file states."""

    def said(name: str) -> Any:
        return file.get_field(f"llama.{name}").contents()

    return Shape(
        layers=said("block_count"),
        heads=said("attention.head_count"),
        key_heads=said("attention.head_count_kv"),
        features=said("embedding_length"),
        words=said("vocab_size"),
        context=said("context_length"),
        base=said("rope.freq_base"),
        epsilon=said("attention.layer_norm_rms_epsilon"),
    )


def packed_weights(
    file: GGUFReader, shape: Shape, texts: Iterable[Sequence[int]], form: Form = PUBLISHED
) -> dict[str, Packed | Array]:
    """Return the weights as `write_graph` takes them; products of one input are one product.

    Args:
        file: What they are in.
        shape: Of the network.
        texts: Tokens of what the network reads and writes; four bits are fitted to what it computes of them.
        form: How table and attention are kept.
    """
    raw = {tensor.name: np.asarray(tensor.data) for tensor in file.tensors}
    plain, moments = plain_weights(file), Moments()
    for ids in texts:
        logits_of(ids, shape, plain, moments.see)
    found: dict[str, Packed | Array] = {
        "embedding": _table(plain["token_embd.weight"], raw["token_embd.weight"], form),
        "norm": raw["output_norm.weight"],
    }
    for layer in range(shape.layers):
        for product, names in _PRODUCTS.items():
            values = np.concatenate([four_bit_values(_rows(raw, shape, layer, name)) for name in names])
            # Attention is a quarter of the weights, and half of what four bits would lose.
            wide = form == "mixed" and product in ("qkv", "output")
            name = f"{layer}.{product}"
            found[name] = in_eight_bits(values) if wide else calibrated(values, moments.of(name))
        found[f"{layer}.input_norm"] = raw[f"blk.{layer}.attn_norm.weight"]
        found[f"{layer}.post_norm"] = raw[f"blk.{layer}.ffn_norm.weight"]
    return found


def plain_weights(file: GGUFReader) -> dict[str, Array]:
    """Return the weights as float32 by the file's names, as the package `gguf` reads them."""
    from gguf import dequantize

    return {tensor.name: dequantize(tensor.data, tensor.tensor_type) for tensor in file.tensors}


def _table(plain: Array, raw: Array, form: Form) -> Packed | Array:
    if form == "float-table":
        return plain
    return in_eight_bits(eight_bit_values(raw)) if form == "mixed" else narrowed(eight_bit_values(raw))


def _rows(raw: dict[str, Array], shape: Shape, layer: int, name: str) -> Array:
    """Return the rows of a matrix; of queries and keys in the order that rotates halves, not pairs."""
    matrix = raw[f"blk.{layer}.{name}.weight"]
    heads = {"attn_q": shape.heads, "attn_k": shape.key_heads}.get(name)
    if heads is None:
        return matrix
    pairs = matrix.reshape(heads, -1, 2, matrix.shape[-1])  # (heads, half, 2, bytes)
    return pairs.swapaxes(1, 2).reshape(matrix.shape)
