"""A function that is Python, run as it is served: its own `load`, behind the codecs and checks of a request.

The environment holds the function's requirements and those of the layer; hotplate and the functions are
put on the path by the publisher. ONNX Runtime is in none of them, as on Lambda.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from wire import Refusal, last_line, serve

model: Any = None


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Import the function's code and load the assets; the model is kept for `predict`."""
    global model
    sys.path[:0] = job["paths"]
    from hotplate.errors import HotplateError
    from hotplate.manifest.layout import version_of
    from hotplate.manifest.schema import decode
    from hotplate.runtime.ledger import Ledger
    from hotplate.runtime.program import program_model

    try:
        module = importlib.import_module(job["module"])
    except ImportError as fault:
        raise Refusal(
            f"{job['module']} cannot be imported: {last_line(fault)}",
            "What it imports belongs into the requirements.txt beside it.",
        ) from fault
    if not callable(getattr(module, "load", None)):
        raise Refusal(f"{job['module']} has no function load(assets)")
    manifest = decode(Path(job["manifest"]).read_bytes())
    try:
        model = program_model(manifest, version_of(manifest)[0], module.load, Path(job["assets"]), Ledger())
    except HotplateError as fault:
        raise Refusal(str(fault)) from fault
    return {}


def predict(job: dict[str, Any]) -> dict[str, Any]:
    """Answer one request; both travel as the protocol's bytes, in files."""
    from hotplate.errors import HotplateError
    from hotplate.protocol.request import decode_request
    from hotplate.protocol.response import encode_response

    manifest = model.manifest
    length = None if job["length"] is None else str(job["length"])
    try:
        request = decode_request(
            Path(job["request"]).read_bytes(),
            header_length=length,
            inputs=manifest.inputs,
            outputs=manifest.outputs,
        )
        body, head = encode_response(model.predict(request))
    except HotplateError as fault:
        raise Refusal(f"{job['place']}: {fault}") from fault
    Path(job["response"]).write_bytes(body)
    return {"length": len(body) if head is None else head}


if __name__ == "__main__":
    serve({"load": load, "predict": predict})
