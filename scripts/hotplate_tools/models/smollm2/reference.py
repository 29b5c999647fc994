"""A Llama in NumPy, written from its paper: what the graph is held against. Nothing of ONNX Runtime's in it.

Axes: S tokens, H heads, D features of a head, V the vocabulary.

Source: Touvron et al., "LLaMA" (2023); Su et al., "RoFormer" (2021); ggml, order of the file's rotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hotplate_tools.models.smollm2.weights import Shape

    Array = np.ndarray[Any, Any]

__all__ = ["divergence", "logits_of"]


def logits_of(
    ids: Sequence[int],
    shape: Shape,
    weights: Mapping[str, Array],
    see: Callable[[str, Array], None] = lambda product, rows: None,
) -> Array:
    """Return the logits after each token, float32 [S, V].

    Args:
        ids: Tokens.
        shape: Of the network.
        weights: float32 by the file's names.
        see: Told what each product of a layer takes, [S, K], under the name that `write_graph` gives it.
    """
    stream = weights["token_embd.weight"][list(ids)]  # (S, features)
    for layer in range(shape.layers):

        def of(name: str, layer: int = layer) -> Array:
            return weights[f"blk.{layer}.{name}.weight"]

        normed = _normed(stream, of("attn_norm"), shape.epsilon)
        see(f"{layer}.qkv", normed)
        mixed = _attention({name: normed @ of(f"attn_{name}").T for name in "qkv"}, shape)
        see(f"{layer}.output", mixed)
        stream = stream + mixed @ of("attn_output").T
        normed = _normed(stream, of("ffn_norm"), shape.epsilon)
        see(f"{layer}.gate_up", normed)
        gate = normed @ of("ffn_gate").T
        hidden = gate / (1 + np.exp(-gate)) * (normed @ of("ffn_up").T)
        see(f"{layer}.down", hidden)
        stream = stream + hidden @ of("ffn_down").T
    return _normed(stream, weights["output_norm.weight"], shape.epsilon) @ weights["token_embd.weight"].T


def divergence(wanted: Array, got: Array) -> float:
    """Return how far probabilities are from those that were wanted: Kullback and Leibler's, nats a token.

    Args:
        wanted: Logits, [S, V].
        got: Likewise.
    """
    sure, told = _log_probabilities(wanted), _log_probabilities(got)
    return float((np.exp(sure) * (sure - told)).sum(axis=1).mean())


def _log_probabilities(logits: Array) -> Array:
    rows = logits.astype(np.float64)
    rows -= rows.max(axis=1, keepdims=True)
    told: Array = rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))
    return told


def _attention(heads: Mapping[str, Array], shape: Shape) -> Array:
    size = shape.features // shape.heads
    split = {
        name: part.reshape(len(part), -1, size).swapaxes(0, 1) for name, part in heads.items()
    }  # (H, S, D)
    query, key = _rotated(split["q"], shape), _rotated(split["k"], shape)
    groups = shape.heads // shape.key_heads
    key, value = key.repeat(groups, axis=0), split["v"].repeat(groups, axis=0)
    scores = query @ key.swapaxes(1, 2) / np.sqrt(size)  # (H, S, S)
    count = scores.shape[-1]
    scores = np.where(np.tri(count, dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    mixed = weights / weights.sum(axis=-1, keepdims=True) @ value  # (H, S, D)
    return mixed.swapaxes(0, 1).reshape(count, -1).astype(np.float32)


def _rotated(heads: Array, shape: Shape) -> Array:
    """Rotate pairs of neighbours, as the file has them, by the place of the token."""
    cosines, sines = (table[: heads.shape[1]] for table in shape.rotations())  # (S, D / 2)
    even, odd = heads[..., 0::2], heads[..., 1::2]
    turned = np.stack([even * cosines - odd * sines, even * sines + odd * cosines], axis=-1)
    return turned.reshape(heads.shape)


def _normed(stream: Array, scale: Array, epsilon: float) -> Array:
    mean: Array = np.mean(stream * stream, axis=-1, keepdims=True)
    return stream / np.sqrt(mean + epsilon) * scale
