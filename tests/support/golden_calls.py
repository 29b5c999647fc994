"""Golden rows of a model that comes with the project, asked over HTTP as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate_tools.publish.model_yaml import read_spec
from hotplate_tools.training.stored import model_folder
from tests.support.http_call import call

if TYPE_CHECKING:
    from hotplate_tools.publish.model_yaml import ModelSpec

__all__ = ["assert_golden_rows_come_out"]


def assert_golden_rows_come_out(server: str, name: str) -> None:
    """Send each golden row of the model; every output is compared within the row's tolerance."""
    folder = model_folder(name)
    spec = read_spec(folder / "model.yaml")
    assert spec.golden
    rows = [json.loads(line) for line in (folder / spec.golden.file).read_text("utf-8").splitlines()]
    assert rows
    for row in rows:
        answer = call(server, "POST", f"/v2/models/{name}/infer", _body(spec, row["inputs"]))
        assert answer.status == 200, answer.body
        outputs = {output["name"]: output for output in answer.json()["outputs"]}
        assert set(outputs) == set(row["outputs"])
        for output, expected in row["outputs"].items():
            got = np.array(outputs[output]["data"]).reshape(outputs[output]["shape"])
            if outputs[output]["datatype"] == "BYTES":
                assert got.tolist() == expected
            else:
                np.testing.assert_allclose(got, expected, rtol=spec.golden.rtol, atol=spec.golden.atol)


def _body(spec: ModelSpec, inputs: dict[str, Any]) -> bytes:
    datatypes = {tensor.name: tensor.datatype for tensor in spec.inputs}
    tensors = [
        {"name": name, "datatype": datatypes[name], "shape": list(np.shape(data)), "data": data}
        for name, data in inputs.items()
    ]
    return json.dumps({"inputs": tensors}).encode()
