"""A sabotaged converter: a missing value always goes right."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "scripts/hotplate_tools/convert/runners"))

import onnx
import run_boosted
from wire import serve


def convert(job):
    done = run_boosted.convert(job)
    model = onnx.load(job["output"])
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.name == "nodes_missing_value_tracks_true":
                attribute.ints[:] = [0] * len(attribute.ints)
    onnx.save(model, job["output"])
    return done


serve({"convert": convert, "answer": run_boosted.answer})
