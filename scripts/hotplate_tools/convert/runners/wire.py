"""How a runner talks with the publisher: one JSON line in, one JSON line out, until its input ends.

A runner is started by path in an environment that holds its framework and nothing of hotplate, so
this file and its neighbours import the standard library and the framework only. What the framework
prints goes to standard error: the first file descriptor is moved away before it can write there.

Steps: `convert` writes `model.onnx` and describes it, and may offer rows that test it better than
random ones; `answer` runs the framework on arrays.
Arrays travel as `.npz` files without pickles; text as fixed-width strings. `=` stands before each
name, because `numpy.savez` has arguments of its own that a tensor may be named like.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["Refusal", "answer_each", "clean", "last_line", "offered", "serve"]

Step = Callable[[dict[str, Any]], dict[str, Any]]


class Refusal(Exception):  # noqa: N818 - not an error of the program: what it was given is at fault
    """The model is not fit to be converted; the message says why, `advice` what to do."""

    def __init__(self, message: str, advice: str = "") -> None:
        super().__init__(message)
        self.advice = advice


def serve(steps: dict[str, Step]) -> None:
    """Answer every line of standard input; `{"step": name, …}` calls `steps[name]` with it."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        job = json.loads(line)
        try:
            reply: dict[str, Any] = {"done": steps[job["step"]](job)}
        except Refusal as refusal:
            reply = {"refused": str(refusal), "advice": refusal.advice}
        except Exception as fault:
            # The edge of the process: the publisher shows the one line, the log keeps the rest.
            traceback.print_exc()
            reply = {"failed": last_line(fault)}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()


def last_line(fault: BaseException) -> str:
    """Return an error as one line: its class and the first line of what it says."""
    lines = [line.strip() for line in str(fault).splitlines() if line.strip()]
    return f"{type(fault).__name__}: {lines[0] if lines else 'no message'}"


def answer_each(job: dict[str, Any], run: Callable[[dict[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    """Run every case of an `answer` job and write its outputs; a case may fail by itself.

    Returns:
        `{"cases": [None, "ValueError: …", …]}`: None where the outputs were written.
    """
    import numpy as np

    found: list[str | None] = []
    for case in job["cases"]:
        with np.load(case["inputs"], allow_pickle=False) as file:
            feeds = {name[1:]: file[name] for name in file.files}
        try:
            outputs = run(feeds)
        except Exception as fault:
            traceback.print_exc()
            found.append(last_line(fault))
            continue
        _write(case["outputs"], outputs)
        found.append(None)
    return {"cases": found}


def offered(job: dict[str, Any], cases: dict[str, dict[str, Any]]) -> list[dict[str, str]]:
    """Write rows of the runner's own beside the output of a `convert` job.

    Args:
        job: The job.
        cases: Arrays by input name, by what they are called.

    Returns:
        `[{"label": …, "inputs": file}, …]`, the `rows` of the answer.
    """
    found = []
    for number, (label, arrays) in enumerate(cases.items()):
        found.append({"label": label, "inputs": f"{job['output']}.rows-{number}.npz"})
        _write(found[-1]["inputs"], arrays)
    return found


def _write(file: str, arrays: dict[str, Any]) -> None:
    import numpy as np

    entries: dict[str, Any] = {}
    for name, array in arrays.items():
        given = np.asarray(array)
        entries[f"={name}"] = given.astype("U") if given.dtype.kind == "O" else given
    np.savez(file, **entries)


def clean(model: Any) -> Any:
    """Take out of an ONNX model what differs from run to run: texts for people, traces, source paths."""
    model.doc_string = ""
    del model.metadata_props[:]
    waiting = [model.graph, *model.functions]
    while waiting:
        part = waiting.pop()
        part.doc_string = ""
        del part.metadata_props[:]
        values = [*part.input, *part.output, *part.initializer] if hasattr(part, "initializer") else []
        for value in [*values, *part.value_info]:
            value.doc_string = ""
            del value.metadata_props[:]
        for node in part.node:
            node.doc_string = ""
            del node.metadata_props[:]
            for attribute in node.attribute:
                waiting.extend([attribute.g] if attribute.HasField("g") else [])
                waiting.extend(attribute.graphs)
    return model
