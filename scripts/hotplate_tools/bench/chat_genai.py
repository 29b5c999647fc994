"""onnxruntime-genai's own loop: `python chat_genai.py FOLDER IDS`, then a number of tokens a line.

Runs in its own environment; standard library and that package only.
"""

from __future__ import annotations

import json
import resource
import sys
import time

__all__: list[str] = []


def main(folder: str, ids: list[int]) -> None:
    """Load, then answer each line."""
    started = time.perf_counter()
    import onnxruntime_genai as genai

    model = genai.Model(folder)
    _say({"load_ms": (time.perf_counter() - started) * 1000})
    for line in sys.stdin:
        most = int(line)
        params = genai.GeneratorParams(model)
        params.set_search_options(max_length=len(ids) + most, do_sample=False)
        started = time.perf_counter()
        generator = genai.Generator(model, params)
        generator.append_tokens(ids)
        generator.generate_next_token()
        said = [int(generator.get_next_tokens()[0])]
        first, cpu = time.perf_counter(), time.process_time()
        while len(said) < most and not generator.is_done():
            generator.generate_next_token()
            said.append(int(generator.get_next_tokens()[0]))
        rest, rest_cpu = time.perf_counter() - first, time.process_time() - cpu
        times = {"first_ms": (first - started) * 1000, "rest_s": rest, "rest_cpu_s": rest_cpu}
        _say({**times, "ids": said})


def _say(said: dict[str, object]) -> None:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({**said, "peak_mb": peak}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
