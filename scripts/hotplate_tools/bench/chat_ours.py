"""hotplate's loop: `python chat_ours.py FOLDER QUESTION THREADS`, then a number of tokens a line."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

__all__: list[str] = []


def main(folder: Path, question: str, threads: int) -> None:
    """Load, then answer each line."""
    started = time.perf_counter()
    from hotplate.generation.chat import Message
    from hotplate.generation.generator import read_vocabulary
    from hotplate.runtime.cached import CachedGraph
    from hotplate.runtime.session import Session

    names = ("tokenizer.json", "generation.json")
    vocabulary = read_vocabulary({name: (folder / name).read_bytes() for name in names})
    weights = {"model.onnx.data": memoryview((folder / "model.onnx.data").read_bytes())}
    session = Session((folder / "model.onnx").read_bytes(), weights=weights, threads=threads)
    graph = CachedGraph(session, vocabulary.config.context)
    ids, _ = vocabulary.of_messages([Message("user", question)], 1)
    _say({"load_ms": (time.perf_counter() - started) * 1000, "ids": ids})
    for line in sys.stdin:
        most = int(line)
        started = time.perf_counter()
        said = [int(graph.read(ids, len(ids) + most).argmax())]
        first, cpu = time.perf_counter(), time.process_time()
        while len(said) < most:
            said.append(int(graph.step(said[-1]).argmax()))
        rest, rest_cpu = time.perf_counter() - first, time.process_time() - cpu
        times = {"first_ms": (first - started) * 1000, "rest_s": rest, "rest_cpu_s": rest_cpu}
        _say({**times, "ids": said, "text": vocabulary.tokeniser.decode(said)})


def _say(said: dict[str, object]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({**said, "peak_mb": peak}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
