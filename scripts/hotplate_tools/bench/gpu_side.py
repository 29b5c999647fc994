"""One side of `hotplate bench gpu`: `python gpu_side.py JOB`, then a turn a line.

JOB is JSON: `kind` (`graph` or `text`), `path` of a graph's file or of a text model's folder, `provider`
(`cuda` or `cpu`), `threads`. Says in its first line what it runs on; then each line names the rows of a
batch, or the tokens of an answer. Runs in the container's environment, with hotplate's package on the path.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.runtime.session import CPU, RUNTIME_VERSION, Session, providers_here

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["main"]

# Tokens of a prompt, and of the longest line of an encoder.
PROMPT, LENGTH = 256, 128
_SHOWN = 64  # numbers of an answer that are compared


def main(job: Mapping[str, Any]) -> None:
    """Load, say what it runs on, and take turns."""
    started = time.perf_counter()
    providers = providers_here() if job["provider"] == "cuda" else (CPU,)
    path = Path(job["path"])
    if job["kind"] == "graph":
        session = Session(path.read_bytes(), weights={}, threads=job["threads"], providers=providers)
        turn = _graph(session)
    else:
        weights = {"model.onnx.data": memoryview((path / "model.onnx.data").read_bytes())}
        body = (path / "model.onnx").read_bytes()
        session = Session(body, weights=weights, threads=job["threads"], providers=providers)
        turn = _text(session)
    load_ms = (time.perf_counter() - started) * 1000
    _say({"load_ms": load_ms, "providers": session.providers, "onnxruntime": RUNTIME_VERSION})
    for line in sys.stdin:
        _say(turn(int(line)))


def _graph(session: Session) -> Callable[[int], dict[str, Any]]:
    ((name, shape, dtype),) = session.inputs
    output = session.output_names[0]

    def turn(rows: int) -> dict[str, Any]:
        draw = np.random.default_rng(rows)
        sizes = (rows, *(LENGTH if size < 0 else size for size in shape[1:]))
        whole = np.issubdtype(dtype, np.integer)
        feed = draw.integers(0, 1000, sizes) if whole else draw.random(sizes, np.float32)
        started = time.perf_counter()
        answer = session.run({name: feed.astype(dtype)}, [output])[output]
        ms = (time.perf_counter() - started) * 1000
        return {"ms": ms, "answer": answer.ravel()[:_SHOWN].astype(float).tolist()}

    return turn


def _text(session: Session) -> Callable[[int], dict[str, Any]]:
    from hotplate.runtime.cached import CachedGraph

    graph = CachedGraph(session, PROMPT * 2)
    words = session.output_shapes["logits"][-1]
    ids = np.random.default_rng(1).integers(0, words, PROMPT).tolist()

    def turn(tokens: int) -> dict[str, Any]:
        graph.forget()
        started = time.perf_counter()
        logits = graph.read(ids, PROMPT + tokens)
        answer = logits[:_SHOWN].astype(float).tolist()
        said = int(logits.argmax())
        first = time.perf_counter()
        for _ in range(tokens - 1):
            said = int(graph.step(said).argmax())
        rest_ms = (time.perf_counter() - first) * 1000
        return {"first_ms": (first - started) * 1000, "ms": rest_ms, "answer": answer}

    return turn


def _say(said: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
