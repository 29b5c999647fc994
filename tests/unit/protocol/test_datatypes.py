from __future__ import annotations

from typing import Any, get_args

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from hotplate.errors import DatatypeMismatchError, GraphError
from hotplate.protocol.datatypes import DATATYPES, Datatype, from_dtype, from_name, from_ort, shape_of
from hotplate.protocol.types import DatatypeName


def test_table_has_each_datatype_of_the_protocol_once() -> None:
    assert tuple(row.name for row in DATATYPES) == get_args(DatatypeName)


@pytest.mark.parametrize("row", DATATYPES, ids=lambda row: row.name)
def test_every_column_leads_back_to_its_row(row: Datatype) -> None:
    assert (from_name(row.name), from_dtype(row.dtype), from_ort(row.ort_type)) == (row, row, row)


@pytest.mark.parametrize("row", DATATYPES, ids=lambda row: row.name)
def test_table_agrees_with_triton(row: Datatype) -> None:
    assert np.dtype(triton_to_np_dtype(row.name)) == row.dtype
    assert np_to_triton_dtype(row.dtype) == row.name


@pytest.mark.parametrize("row", DATATYPES, ids=lambda row: row.name)
def test_item_bytes_are_those_of_the_dtype_except_for_bytes(row: Datatype) -> None:
    assert row.item_bytes == (None if row.name == "BYTES" else row.dtype.itemsize)


@pytest.mark.parametrize("row", DATATYPES, ids=lambda row: row.name)
def test_ort_type_is_what_onnxruntime_reports(row: Datatype) -> None:
    elem = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(str) if row.name == "BYTES" else row.dtype)
    value = [onnx.helper.make_tensor_value_info(name, elem, ["n", None, 3]) for name in ("a", "b")]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["a"], ["b"])], "g", value[:1], value[1:]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=9)
    (node,) = ort.InferenceSession(model.SerializeToString()).get_inputs()
    assert (node.type, shape_of(node.shape)) == (row.ort_type, (-1, -1, 3))


@pytest.mark.parametrize("name", ["BF16", "fp32", "FLOAT", "", "FP32 "])
def test_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(DatatypeMismatchError) as refused:
        from_name(name)
    assert refused.value.received == repr(name)


@pytest.mark.parametrize("dtype", [">f4", "c8", "S3", "U3", "M8[s]"])
def test_unknown_dtype_is_refused(dtype: str) -> None:
    with pytest.raises(DatatypeMismatchError):
        from_dtype(np.dtype(dtype))


@pytest.mark.parametrize("ort_type", ["tensor(bfloat16)", "seq(map(int64,tensor(float)))", "FP32", ""])
def test_unknown_ort_type_is_refused(ort_type: str) -> None:
    with pytest.raises(GraphError):
        from_ort(ort_type)


@pytest.mark.parametrize(
    ("dims", "shape"),
    [
        ([], ()),
        ([1, 3], (1, 3)),
        (["batch", None, "?", ""], (-1, -1, -1, -1)),
        ([-2, 0, 7], (-1, 0, 7)),
    ],
)
def test_open_dimensions_become_minus_one(dims: list[Any], shape: tuple[int, ...]) -> None:
    assert shape_of(dims) == shape
