"""The oracle: what tritonclient writes we read, what we write it reads."""

from __future__ import annotations

import numpy as np
import pytest
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput

from hotplate.protocol.datatypes import DATATYPES, Datatype
from hotplate.protocol.request import decode_request
from hotplate.protocol.response import encode_response
from hotplate.protocol.types import InferenceResponse, MetadataTensor, RequestOutput, Tensor
from tests.unit.protocol.payloads import plain

SHAPES = [(2, 3), (1,), (0,), (2, 0), (1, 1, 6)]
FORMS = [(row, binary) for row in DATATYPES for binary in (True, False) if binary or row.name != "FP16"]
FORM_IDS = [f"{row.name}-{'binary' if binary else 'json'}" for row, binary in FORMS]


def sample(row: Datatype, shape: tuple[int, ...]) -> Tensor:
    size = int(np.prod(shape))
    if row.name == "BYTES":
        array = np.empty(size, object)
        array[:] = [f"é{n}[".encode() for n in range(size)]
    else:
        array = (np.arange(size) % 2 if row.name == "BOOL" else np.arange(size) * 3).astype(row.dtype)
    return Tensor("in:0/é", row.name, array.reshape(shape))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("row", "binary"), FORMS, ids=FORM_IDS)
def test_what_triton_writes_is_read(row: Datatype, binary: bool, shape: tuple[int, ...]) -> None:
    tensor = sample(row, shape)
    sent = InferInput(tensor.name, list(shape), row.name)
    sent.set_data_from_numpy(tensor.array, binary_data=binary)
    outputs = [InferRequestedOutput("z", binary_data=True), InferRequestedOutput("y", binary_data=False)]
    body, length = InferenceServerClient.generate_request_body(
        [sent], outputs=outputs, request_id="7", priority=1
    )
    request = decode_request(
        body,
        header_length=None if length is None else str(length),
        inputs=[MetadataTensor(tensor.name, row.name, (-1,) * len(shape))],  # type: ignore[arg-type]
        outputs=[MetadataTensor("y", "FP32", ()), MetadataTensor("z", "FP32", ())],
    )
    assert (request.id, request.outputs) == (
        "7",
        (RequestOutput("z", binary=True), RequestOutput("y", binary=False)),
    )
    assert request.parameters == {"priority": 1}
    assert [plain(found) for found in request.inputs] == [plain(tensor)]


def test_triton_asks_for_binary_outputs_if_it_names_none() -> None:
    sent = InferInput("x", [1], "FP32")
    sent.set_data_from_numpy(np.array([1], "<f4"))
    body, length = InferenceServerClient.generate_request_body([sent])
    request = decode_request(
        body, header_length=str(length),
        inputs=[MetadataTensor("x", "FP32", (1,))], outputs=[MetadataTensor("y", "FP32", ())],
    )  # fmt: skip
    assert request.outputs == (RequestOutput("y", binary=True),)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("row", "binary"), FORMS, ids=FORM_IDS)
def test_what_we_write_triton_reads(row: Datatype, binary: bool, shape: tuple[int, ...]) -> None:
    tensor, other = sample(row, shape), Tensor("other", "INT8", np.array([1, 2], "i1"))
    names = frozenset({tensor.name, other.name}) if binary else frozenset[str]()
    body, length = encode_response(InferenceResponse("m", "1", "7", (tensor, other), names))
    result = InferenceServerClient.parse_response_body(body, header_length=length)
    found = result.as_numpy(tensor.name)
    if row.name == "BYTES" and not binary:
        found = np.vectorize(str.encode, otypes=[object])(found)  # triton leaves JSON text as str
    assert plain(Tensor(tensor.name, row.name, found)) == plain(tensor)
    assert result.as_numpy("other").tolist() == [1, 2]
    assert result.get_response()["id"] == "7"
