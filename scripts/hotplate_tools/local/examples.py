"""A line for the shell that asks a model: the first thing to try once it is served."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.publish.pipeline import Described

__all__ = ["Requests", "curl_command", "example_command", "example_request"]

# By model: an inference request in JSON, or None where the model has none that is worth showing.
type Requests = Mapping[str, dict[str, Any] | None]

# A hundred numbers; more is no line that anybody reads or changes. Ours.
MAX_REQUEST_CHARS = 1000


def example_request(model: Described) -> dict[str, Any] | None:
    """Return an inference request in JSON that the model answers: its first golden row.

    None where there is no such row, it is long, or a tensor of the model cannot travel in JSON.
    """
    manifest = model.manifest
    rows = next((file.body for file in model.files if file.entry.role == "golden"), None)
    if rows is None or any(spec.datatype == "FP16" for spec in (*manifest.inputs, *manifest.outputs)):
        return None
    raw = rows.read_bytes() if isinstance(rows, Path) else rows
    declared = {spec.name: spec.datatype for spec in manifest.inputs}
    inputs = []
    for name, data in json.loads(raw.splitlines()[0])["inputs"].items():
        array = np.array(data, dtype=object)
        if any(isinstance(element, dict) for element in array.ravel()):  # bytes that are no text
            return None
        inputs.append({"name": name, "datatype": declared[name], "shape": list(array.shape), "data": data})
    request = {"inputs": inputs}
    return request if len(json.dumps(request)) <= MAX_REQUEST_CHARS else None


def example_command(url: str, name: str, request: dict[str, Any] | None, key: str | None = None) -> str:
    """Return a `curl` command that asks the model, or, without a request, what it takes.

    Args:
        url: The API with its stage.
        name: Of the model.
        request: As `example_request` gives it.
        key: API key to send; None where callers need none.
    """
    if request is None:
        return f"{curl_command(key)} {url}/v2/models/{name}"
    return f"{curl_command(key)} {url}/v2/models/{name}/infer -d {shlex.quote(json.dumps(request))}"


def curl_command(key: str | None) -> str:
    """Return the beginning of a `curl` command that sends the API key, if there is one."""
    return f"curl -H 'x-api-key: {key}'" if key else "curl"
