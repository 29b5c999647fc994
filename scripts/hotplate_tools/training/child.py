"""The half of training that runs in the framework's environment: prepare to compare.

    python child.py MODULE FOLDER PACKAGE...

Started by path, with hotplate's own code on the path and nothing of its environment. Leaves what
`export` wrote in FOLDER and `REPORT` beside it; says when a step is done in lines that begin
with the record separator, between whatever the framework prints.
"""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hotplate_tools.training.trainer import load_trainer

__all__ = ["MARK", "REPORT", "main"]

MARK = "\x1e"
REPORT = "export.json"


def main(module: str, folder: str, *packages: str) -> None:
    """Run the steps."""
    trainer = load_trainer(module)
    random.seed(trainer.SEED)
    np.random.seed(trainer.SEED)
    training, held_out = _timed("prepare", lambda: trainer.prepare([Path(path) for path in packages]))
    network = _timed("build", lambda: trainer.build(training))
    train = getattr(trainer, "train", None)
    if train:
        _timed("train", lambda: train(network, training))
    artefact = _timed("export", lambda: trainer.export(network, training, held_out, Path(folder)))
    compare = getattr(trainer, "compare", None)
    metrics = _timed("compare", lambda: compare(network, held_out, Path(folder))) if compare else {}
    (Path(folder) / REPORT).write_text(json.dumps({"artefact": artefact, "metrics": metrics}))


def _timed(step: str, work: Any) -> Any:
    started = time.perf_counter()
    done = work()
    seconds = round(time.perf_counter() - started, 1)
    sys.stdout.write(f"{MARK}{json.dumps({'step': step, 'seconds': seconds})}\n")
    sys.stdout.flush()
    return done


if __name__ == "__main__":
    main(*sys.argv[1:])
