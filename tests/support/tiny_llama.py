"""A language model of random weights, small enough for a test: graph, tokenizer, how it is used."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from hotplate.generation.generator import Answer, Asked, Vocabulary, read_vocabulary
from hotplate.manifest.layout import blob_key
from hotplate.manifest.schema import FileEntry, Manifest
from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.cached import CachedGraph
from hotplate.runtime.session import Session
from hotplate_tools.models.smollm2.blocks import BLOCK, Packed
from hotplate_tools.models.smollm2.graph import write_graph
from hotplate_tools.models.smollm2.weights import Shape
from tests.support.published import Published, republished, sha256_of

CONTEXT = 512
SHAPE = Shape(
    layers=2, heads=2, key_heads=1, features=64, words=262, context=CONTEXT, base=10_000.0, epsilon=1e-5
)
HIDDEN = 128
BEGIN, END = "<|im_start|>", "<|im_end|>"
_MERGES = ("h e", "l l", "he ll", "hell o")


def signs() -> list[str]:
    """Return the characters that stand for bytes, in a byte-level vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) if byte in shown else chr(256 + hidden.index(byte)) for byte in range(256)]


def tokenizer(merges: tuple[str, ...] = _MERGES, marks: tuple[str, ...] = (BEGIN, END)) -> dict[str, Any]:
    """Return a `tokenizer.json` of single bytes, some merges, and marks."""
    words = [*marks, *signs(), *("".join(pair.split()) for pair in merges)]
    steps = [{"type": "Digits", "individual_digits": True}, {"type": "ByteLevel", "use_regex": True}]
    return {
        "added_tokens": [{"id": at, "content": mark} for at, mark in enumerate(marks)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": steps},
        "model": {
            "type": "BPE",
            "vocab": {word: at for at, word in enumerate(words)},
            "merges": list(merges),
        },
    }


def config(**changes: Any) -> dict[str, Any]:
    """Return a `generation.json`."""
    chat = {"begin": BEGIN, "after_role": "\n", "end": END, "after_end": "\n", "system": "Be brief."}
    caches = [SHAPE.layers, SHAPE.key_heads, SHAPE.features // SHAPE.heads]
    return {"context": CONTEXT, "caches": caches, "ends": [END], "chat": chat} | changes


def assets() -> dict[str, bytes]:
    return {
        "tokenizer.json": json.dumps(tokenizer()).encode(),
        "generation.json": json.dumps(config()).encode(),
    }


def vocabulary() -> Vocabulary:
    return read_vocabulary(assets())


def packed(draw: np.random.Generator, rows: int, columns: int, bits: int) -> Packed:
    blocks = columns // BLOCK
    codes = draw.integers(0, 256, (rows, blocks, BLOCK * bits // 8), dtype=np.uint8)
    scales = draw.uniform(0.5, 1, (rows, blocks)).astype(np.float32) / (2**bits * columns**0.5) * 3
    zeros = None if bits == 8 else np.full((rows, -(-blocks // 2)), 0x87, np.uint8)
    return Packed(codes, scales, zeros)


def plain(matrix: Packed) -> np.ndarray[Any, Any]:
    """Return the numbers that a packed matrix stands for, float32."""
    rows, blocks = matrix.scales.shape
    if matrix.bits == 8:
        centred = matrix.codes.astype(np.float32) - 128
    else:
        halves = np.stack([matrix.codes & 15, matrix.codes >> 4], axis=-1).reshape(rows, blocks, BLOCK)
        zeros = np.full((rows, blocks), 8)
        if matrix.zeros is not None:
            zeros = np.stack([matrix.zeros & 15, matrix.zeros >> 4], axis=-1).reshape(rows, -1)[:, :blocks]
        centred = halves.astype(np.float32) - zeros[..., None]
    return (centred * matrix.scales[..., None]).reshape(rows, -1)


def weights(table: str = "eight bits") -> dict[str, Any]:
    """Return the weights; the table of words is in eight bits, in `four bits` around 8, or `float`."""
    draw = np.random.default_rng(5)
    size, keys = SHAPE.features, SHAPE.key_heads * SHAPE.features // SHAPE.heads
    made: dict[str, Any] = {
        "embedding": packed(draw, SHAPE.words, size, 8),
        "norm": np.ones(size, np.float32),
    }
    for layer in range(SHAPE.layers):
        made |= {
            f"{layer}.qkv": packed(draw, size + 2 * keys, size, 8),
            f"{layer}.output": packed(draw, size, size, 8),
            f"{layer}.gate_up": packed(draw, 2 * HIDDEN, size, 4),
            f"{layer}.down": packed(draw, size, HIDDEN, 4),
            f"{layer}.input_norm": draw.uniform(0.5, 1.5, size).astype(np.float32),
            f"{layer}.post_norm": draw.uniform(0.5, 1.5, size).astype(np.float32),
        }
    if table == "float":
        made["embedding"] = plain(made["embedding"])
    if table == "four bits":
        made["embedding"] = packed(draw, SHAPE.words, size, 4)._replace(zeros=None)
    return made


@cache
def graph(table: str = "eight bits") -> tuple[bytes, bytes]:
    """Return the graph, and its weights."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        write_graph(SHAPE, weights(table), file)
        return file.read_bytes(), (Path(folder) / "model.onnx.data").read_bytes()


def session(table: str = "eight bits") -> Session:
    body, data = graph(table)
    return Session(body, weights={"model.onnx.data": memoryview(data)}, threads=1)


def cached_graph(table: str = "eight bits") -> CachedGraph:
    return CachedGraph(session(table), CONTEXT)


def published_llama(name: str = "tiny") -> Published:
    """Return it as a published version."""
    body, data = graph()
    files = {"model.onnx": body, "model.onnx.data": data, **assets()}
    roles = {"model.onnx": "graph", "model.onnx.data": "weights"}
    entries = [
        FileEntry(path, roles.get(path, "asset"), len(files[path]), sha256_of(files[path]))  # type: ignore[arg-type]
        for path in sorted(files)
    ]
    manifest = Manifest(
        format=1,
        name=name,
        inputs=(
            MetadataTensor("text_input", "BYTES", (1,)),
            MetadataTensor("max_tokens", "INT64", (1,), optional=True),
        ),
        outputs=(MetadataTensor("text_output", "BYTES", (1,)),),
        files=tuple(entries),
        task="text-generation",
    )
    blobs = {blob_key(entry.sha256): files[entry.path] for entry in entries}
    return republished(manifest, blobs)


def write_llama(
    folder: Path, name: str, *, context: int = CONTEXT, plan: dict[str, Any] | None = None
) -> Path:
    """Write a source folder of it and return that; its answers go on until they are cut.

    Args:
        folder: Is there.
        name: Of the model.
        context: Tokens that it takes; up to 4096.
        plan: As in `model.yaml`.
    """
    written = vocabulary()
    shape = replace(SHAPE, context=max(context, CONTEXT))
    write_graph(shape, weights(), folder / "model.onnx")
    for file, raw in (assets() | {"generation.json": json.dumps(config(context=context)).encode()}).items():
        (folder / file).write_bytes(raw)
    data = (folder / "model.onnx.data").read_bytes()
    loaded = Session(
        (folder / "model.onnx").read_bytes(), weights={"model.onnx.data": memoryview(data)}, threads=1
    )
    asked = Asked(written.of_text("hello", 4)[0], 4, temperature=0)
    text = "".join(Answer(asked, CachedGraph(loaded, context), written))
    row = {"inputs": {"text_input": ["hello"], "max_tokens": [4]}, "outputs": {"text_output": [text]}}
    (folder / "golden.jsonl").write_text(json.dumps(row) + "\n")
    (folder / "card.md").write_text("# Tiny\n")
    tensors = {
        "inputs": [
            {"name": "text_input", "datatype": "BYTES", "shape": [1]},
            {"name": "max_tokens", "datatype": "INT64", "shape": [1], "optional": True},
        ],
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [1]}],
    }
    document = {
        "name": name,
        "task": "text-generation",
        **tensors,
        "artefact": "model.onnx",
        "assets": ["generation.json", "tokenizer.json"],
        "golden": {"file": "golden.jsonl"},
        "card": "card.md",
        "plan": {"memory_mb": 512, **(plan or {})},
    }
    (folder / "model.yaml").write_text(yaml.safe_dump(document))
    return folder
