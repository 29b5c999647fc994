"""Laws: what is encoded decodes to itself, for every datatype, shape and form."""

from __future__ import annotations

from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from hotplate.protocol.datatypes import DATATYPES, Datatype
from hotplate.protocol.request import decode_request, encode_request
from hotplate.protocol.response import decode_response, encode_response
from hotplate.protocol.types import InferenceResponse, MetadataTensor, RequestOutput, Tensor
from tests.unit.protocol.payloads import plain

type Array = np.ndarray[Any, Any]

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
JSON_DATATYPES = [row for row in DATATYPES if row.name != "FP16"]


@st.composite
def arrays(draw: st.DrawFn, datatype: Datatype, *, in_json: bool) -> Array:
    shape = draw(SHAPES)
    if datatype.name == "BYTES":
        element = (
            st.text(st.characters(exclude_categories=["Cs"])).map(str.encode) if in_json else st.binary()
        )
        array = np.empty(shape, object)
        array.reshape(-1)[:] = draw(st.lists(element, min_size=array.size, max_size=array.size))
        return array
    elements: dict[str, Any] = {}
    if datatype.dtype.kind == "f" and in_json:
        elements = {"allow_nan": False, "allow_infinity": False}
    return draw(hnp.arrays(datatype.dtype, shape, elements=elements or None))


@st.composite
def tensors(draw: st.DrawFn, name: str, *, in_json: bool) -> Tensor:
    datatype = draw(st.sampled_from(JSON_DATATYPES if in_json else DATATYPES))
    return Tensor(
        name, datatype.name, draw(arrays(datatype, in_json=in_json)), {"p": draw(st.integers(0, 9))}
    )


def declared(tensor: Tensor) -> MetadataTensor:
    return MetadataTensor(tensor.name, tensor.datatype, (-1,) * tensor.array.ndim)  # type: ignore[arg-type]


@given(st.data(), st.lists(NAMES, min_size=1, max_size=3, unique=True), st.none() | NAMES, st.booleans())
def test_request_decodes_to_what_was_encoded(
    data: st.DataObject,
    names: list[str],
    identity: str | None,
    binary: bool,
) -> None:
    sent = [data.draw(tensors(name, in_json=not binary)) for name in names]
    wanted = tuple(RequestOutput(name, binary=data.draw(st.booleans())) for name in names)
    body, length = encode_request(sent, outputs=wanted, id=identity, binary=binary)
    signature = [declared(tensor) for tensor in sent]
    request = decode_request(
        body, header_length=None if length is None else str(length), inputs=signature, outputs=signature
    )
    assert (request.id, request.outputs) == (identity, wanted)
    assert [plain(tensor) for tensor in request.inputs] == [plain(tensor) for tensor in sent]


@given(st.data(), st.lists(NAMES, max_size=4, unique=True), st.none() | NAMES)
def test_answer_decodes_to_what_was_encoded(
    data: st.DataObject, names: list[str], identity: str | None
) -> None:
    binary = frozenset(data.draw(st.sets(st.sampled_from(names)))) if names else frozenset[str]()
    outputs = tuple(data.draw(tensors(name, in_json=name not in binary)) for name in names)
    response = InferenceResponse("m", "1", identity, outputs, binary)
    body, length = encode_response(response)
    assert (length is None) == (not binary)
    back = decode_response(body, None if length is None else str(length))
    assert (back.model_name, back.model_version, back.id, back.binary) == ("m", "1", identity, binary)
    assert [plain(tensor) for tensor in back.outputs] == [plain(tensor) for tensor in outputs]


@given(st.data(), st.sampled_from(JSON_DATATYPES), st.booleans())
def test_nested_and_flat_data_give_the_same_array(
    data: st.DataObject,
    datatype: Datatype,
    wide: bool,
) -> None:
    array = data.draw(arrays(datatype, in_json=True))
    readable = array if datatype.name != "BYTES" else np.vectorize(bytes.decode, otypes=[object])(array)
    entry = {"name": "x", "datatype": datatype.name, "shape": array.shape}
    found = []
    for form in (readable.tolist(), readable.reshape(-1).tolist()):
        body = orjson.dumps({"inputs": [entry | {"data": form}], "other": "OTHER"})
        body = body.replace(b'"OTHER"', b"18446744073709551616" if wide else b"1")  # which reader takes it
        (tensor,) = decode_request(
            body, header_length=None, inputs=[declared(Tensor("x", datatype.name, array))], outputs=[]
        ).inputs
        found.append(plain(tensor))
    assert found == [plain(Tensor("x", datatype.name, array))] * 2
