"""Loads a version from a registry folder as a function does, asks it, and says what came with it."""

import json
import pathlib
import sys

import numpy as np

registry, settings, root, text = pathlib.Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], sys.argv[4]
sys.path[:0] = [root, settings.pop("hotplate")]
from functions.entities.model import load
from hotplate.protocol.types import InferenceRequest, RequestOutput, Tensor
from hotplate.runtime.program import load_program
from hotplate.settings import Settings


class Folder:
    def read_small(self, key, *, max_bytes):
        return (registry / key).read_bytes()

    def read_range(self, key, *, start, into, object_bytes):
        into[:] = (registry / key).read_bytes()[start : start + len(into)]


def example():
    return {"text": np.array([b"first"], object)}


unpickled = []
sys.addaudithook(lambda event, found: unpickled.append(repr(found)) if event == "pickle.find_class" else None)
model = load_program(Settings.from_environ(settings), Folder(), load, example)
tensor = Tensor("text", "BYTES", np.array([text.encode()], object))
wanted = tuple(RequestOutput(spec.name, binary=False) for spec in model.manifest.outputs)
response = model.predict(InferenceRequest(None, (tensor,), wanted))
answer = {
    one.name: [each.decode() if isinstance(each, bytes) else each for each in one.array.tolist()]
    for one in response.outputs
}
foreign = sorted({name.partition(".")[0] for name in sys.modules} & {"onnxruntime"})
sys.stdout.write(
    json.dumps({"answer": answer, "notes": model.ledger.notes, "foreign": foreign, "unpickled": unpickled})
    + "\n"
)
