"""llama.cpp's loop: `python chat_llama.py FILE IDS THREADS`, then a number of tokens a line.

Its cheapest way: a token is evaluated and the likeliest next one is looked up in its logits, without its
samplers. Runs in its own environment; standard library and that package with its NumPy only.
"""

from __future__ import annotations

import json
import resource
import sys
import time

__all__: list[str] = []


def main(file: str, ids: list[int], threads: int) -> None:
    """Load, then answer each line."""
    started = time.perf_counter()
    import numpy as np
    from llama_cpp import Llama, llama_get_logits

    model = Llama(file, n_ctx=512, n_threads=threads, n_threads_batch=threads, verbose=False)
    words = model.n_vocab()

    def next_of(tokens: list[int]) -> int:
        model.eval(tokens)
        return int(np.ctypeslib.as_array(llama_get_logits(model.ctx), shape=(words,)).argmax())

    _say({"load_ms": (time.perf_counter() - started) * 1000})
    for line in sys.stdin:
        most = int(line)
        model.reset()
        started = time.perf_counter()
        said = [next_of(ids)]
        first, cpu = time.perf_counter(), time.process_time()
        while len(said) < most:
            said.append(next_of([said[-1]]))
        rest, rest_cpu = time.perf_counter() - first, time.process_time() - cpu
        times = {"first_ms": (first - started) * 1000, "rest_s": rest, "rest_cpu_s": rest_cpu}
        text = model.detokenize(said).decode(errors="replace")
        _say({**times, "ids": said, "text": text})


def _say(said: dict[str, object]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({**said, "peak_mb": peak}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3]))
