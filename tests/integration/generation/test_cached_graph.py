"""A graph that keeps what it has read, against the same network in NumPy and against itself."""

from mmap import mmap

import numpy as np
import pytest

from hotplate.errors import GraphError
from hotplate.generation.steps import PlainGraph
from hotplate.runtime.cached import CachedGraph
from hotplate.runtime.session import Session
from hotplate_tools.models.smollm2.reference import logits_of
from tests.support.tiny_llama import CONTEXT, SHAPE, cached_graph, plain, session, weights
from tests.support.tiny_llama import graph as graph_of_a_llama
from tests.support.tiny_models import affine

DRAW = np.random.default_rng(3)
PROMPT = DRAW.integers(0, SHAPE.words, 300).tolist()


def unpacked(table: str) -> dict[str, np.ndarray]:
    """Return the weights as the reference takes them; it rotates pairs, the graph halves."""
    size = SHAPE.features // SHAPE.heads
    order = np.arange(size).reshape(2, -1).T.ravel()
    made = weights(table)
    words = made["embedding"] if table == "float" else plain(made["embedding"])
    found: dict[str, np.ndarray] = {}
    for layer in range(SHAPE.layers):
        query, key, value = np.split(plain(made[f"{layer}.qkv"]), [SHAPE.features, SHAPE.features + size])
        gate, up = np.split(plain(made[f"{layer}.gate_up"]), 2)
        named = {
            "attn_q": query.reshape(SHAPE.heads, size, -1)[:, order].reshape(query.shape),
            "attn_k": key[order],
            "attn_v": value,
            "attn_output": plain(made[f"{layer}.output"]),
            "ffn_gate": gate,
            "ffn_up": up,
            "ffn_down": plain(made[f"{layer}.down"]),
            "attn_norm": made[f"{layer}.input_norm"],
            "ffn_norm": made[f"{layer}.post_norm"],
        }
        found |= {f"blk.{layer}.{name}.weight": array for name, array in named.items()}
    return found | {"token_embd.weight": words, "output_norm.weight": made["norm"]}


@pytest.mark.parametrize("table", ["eight bits", "four bits", "float"])
def test_logits_are_those_of_the_network_in_numpy(table: str) -> None:
    ids = PROMPT[:40]
    wanted = logits_of(ids, SHAPE, unpacked(table))
    graph = cached_graph(table)
    got = [graph.read(ids[:1], CONTEXT).copy(), *(graph.step(index).copy() for index in ids[1:])]
    scale = np.abs(wanted).max()
    assert np.abs(np.array(got) - wanted).max() < 0.03 * scale  # activations are in eight bits
    assert (np.array(got).argmax(axis=1) == wanted.argmax(axis=1)).mean() > 0.9


def test_plain_arrays_give_the_same() -> None:
    graph, plain_graph = cached_graph(), PlainGraph(session().run_all, 2, 1, 32)
    assert np.array_equal(graph.read(PROMPT, CONTEXT), plain_graph.read(PROMPT, CONTEXT)) or np.allclose(
        graph.read(PROMPT, CONTEXT), plain_graph.read(PROMPT, CONTEXT), atol=1e-4
    )
    assert np.allclose(graph.step(7), plain_graph.step(7), atol=1e-4)


@pytest.mark.parametrize("shared", [0, 1, 31, 32, 100, 256, 268, 299, 300])
def test_what_was_asked_before_changes_no_bit(shared: int) -> None:
    fresh, used = cached_graph(), cached_graph()
    used.read([*PROMPT[:shared], *DRAW.integers(0, SHAPE.words, 50).tolist()], CONTEXT)
    for index in (5, 6):
        used.step(index)
    assert np.array_equal(used.read(PROMPT, 400), fresh.read(PROMPT, 400))
    assert used.reused == min(shared, len(PROMPT) - 32) // 16 * 16
    assert np.array_equal(used.step(9), fresh.step(9))


def test_an_answers_own_tokens_are_read_again() -> None:
    graph = cached_graph()
    graph.read(PROMPT[:100], CONTEXT)
    for index in PROMPT[100:150]:
        graph.step(index)
    again = graph.read(PROMPT[:200], CONTEXT).copy()
    assert graph.reused == 96
    assert np.array_equal(again, cached_graph().read(PROMPT[:200], CONTEXT))


def test_short_prompts_are_not_believed_by_longer_ones() -> None:
    graph = cached_graph()
    graph.read(PROMPT[:20], CONTEXT)
    graph.read(PROMPT[:100], CONTEXT)
    assert graph.reused == 0


def test_buffers_grow_with_what_is_in_them_and_shrink_again() -> None:
    graph = cached_graph()
    graph.read(PROMPT[:100], 120)
    long = graph.read(PROMPT, CONTEXT).copy()
    assert graph.reused == 96
    assert np.array_equal(long, cached_graph().read(PROMPT, CONTEXT))
    assert {buffer.shape[2] for buffer in graph._buffers.values()} == {CONTEXT}


def test_what_reads_the_graph_keeps_its_weights() -> None:
    body, data = graph_of_a_llama()
    borrowed = mmap(-1, len(data))
    borrowed.write(data)
    made = Session(body, weights={"model.onnx.data": memoryview(borrowed)}, threads=1)
    graph = CachedGraph(made, CONTEXT)
    del made
    with pytest.raises(BufferError):  # it is still lent
        borrowed.close()
    assert np.array_equal(graph.read(PROMPT, CONTEXT), cached_graph().read(PROMPT, CONTEXT))


def test_the_whole_context_can_be_used() -> None:
    graph = cached_graph()
    ids = [*PROMPT, *PROMPT][: CONTEXT - 1]
    graph.read(ids, CONTEXT)
    assert np.isfinite(graph.step(3)).all()


def test_another_graph_is_refused() -> None:
    other = Session(affine().SerializeToString(), weights={}, threads=1)
    with pytest.raises(GraphError, match="past_key_values"):
        CachedGraph(other, 8)
