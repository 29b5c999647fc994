import os
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hotplate.protocol.types import MetadataTensor
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish import graph as graph_module
from hotplate_tools.publish.bounds import refuse_long_manifest
from hotplate_tools.publish.graph import inspect_graph
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.publish.tensors import declared_bytes
from tests.support.tiny_models import (
    affine,
    info,
    model_of,
    one_node,
    with_external_weights,
    write_folder,
    write_onnx,
)


def nested(inner: onnx.NodeProto, *, domain: str = "") -> onnx.ModelProto:
    """Return a model whose `inner` node (x → y) lies in both branches of an If."""
    branch = helper.make_graph([inner], "branch", [], [info("y", ["n", 3])])
    choose = helper.make_node("If", ["c"], ["z"], then_branch=branch, else_branch=branch)
    return model_of(
        [choose],
        [info("c", [], TensorProto.BOOL), info("x", ["n", 3])],
        [info("z", ["n", 3])],
        opsets={"": 17, domain: 1} if domain else {"": 17},
    )


def with_function(inner_domain: str) -> onnx.ModelProto:
    """Return a model that calls a function of its own, which calls Relu of `inner_domain`."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(inner_domain, 1)]
    relu = helper.make_node("Relu", ["a"], ["b"], domain=inner_domain)
    function = helper.make_function(
        "mine", "Wrapped", ["a"], ["b"], [relu], opsets[: 2 if inner_domain else 1]
    )
    call = helper.make_node("Wrapped", ["x"], ["y"], domain="mine")
    opset_imports = {"": 17, "mine": 1} | ({inner_domain: 1} if inner_domain else {})
    return model_of(
        [call], [info("x", ["n", 3])], [info("y", ["n", 3])], opsets=opset_imports, functions=[function]
    )


def test_signature_is_the_graph_s_with_open_dimensions(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["a:0"], ["relu/out"]),
        helper.make_node("Identity", ["7"], ["text"]),
        helper.make_node("Cast", ["sr"], ["flag"], to=TensorProto.BOOL),
    ]
    inputs = [
        info("a:0", ["batch", None, -1, 3]),
        info("7", ["n"], TensorProto.STRING),
        info("sr", [], TensorProto.INT64),
    ]
    outputs = [
        info("relu/out", ["batch", None, None, 3]),
        info("text", ["n"], TensorProto.STRING),
        info("flag", [], TensorProto.BOOL),
    ]
    found = inspect_graph(write_onnx(tmp_path / "m.onnx", model_of(nodes, inputs, outputs)))
    assert found.inputs == (
        MetadataTensor("a:0", "FP32", (-1, -1, -1, 3)),
        MetadataTensor("7", "BYTES", (-1,)),
        MetadataTensor("sr", "INT64", ()),
    )
    assert found.outputs == (
        MetadataTensor("relu/out", "FP32", (-1, -1, -1, 3)),
        MetadataTensor("text", "BYTES", (-1,)),
        MetadataTensor("flag", "BOOL", ()),
    )


def test_weights_listed_as_inputs_are_no_inputs(tmp_path: Path) -> None:
    model = affine()
    model.graph.input.append(info("factor", [1]))
    found = inspect_graph(write_onnx(tmp_path / "m.onnx", model))
    assert [spec.name for spec in found.inputs] == ["x"]


def test_output_without_shape_gets_the_inferred_one(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [info("x", ["n", 3])], [info("y", None)])
    found = inspect_graph(write_onnx(tmp_path / "m.onnx", model))
    assert found.outputs == (MetadataTensor("y", "FP32", (-1, 3)),)


def test_output_whose_rank_nobody_knows_is_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Reshape", ["x", "to"], ["y"])]
    inputs = [info("x", ["n"]), info("to", ["rank"], TensorProto.INT64)]
    with pytest.raises(RefusedError, match="dimensions"):
        inspect_graph(write_onnx(tmp_path / "m.onnx", model_of(nodes, inputs, [info("y", None)])))


def with_weights(size: int, **fields: Any) -> onnx.ModelProto:
    """Return y = x + w with w as told, however wrong."""
    weights = TensorProto(**{"name": "w", "data_type": TensorProto.FLOAT, "dims": [size], **fields})
    node = helper.make_node("Add", ["x", weights.name], ["y"])
    return model_of([node], [info("x", ["n", 3])], [info("y", ["n", 3])], initializers=[weights])


def test_tensor_whose_elements_share_bytes_is_measured_in_bits() -> None:
    for count, bytes_needed in ((0, 0), (1, 1), (2, 1), (3, 2)):
        tensor = TensorProto(name="w", data_type=TensorProto.INT4, dims=[count])
        assert declared_bytes(tensor) == bytes_needed


def sequence_output() -> onnx.ModelProto:
    nodes = [helper.make_node("SequenceConstruct", ["x"], ["y"])]
    output = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    return model_of(nodes, [info("x", [3])], [output])


def bfloat16_output() -> onnx.ModelProto:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=TensorProto.BFLOAT16)]
    return model_of(nodes, [info("x", [3])], [info("y", [3], TensorProto.BFLOAT16)])


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (one_node("Anything", domain="my.custom"), "my.custom"),
        (one_node("Anything", domain="com.microsoft.evil" + "x" * 3), None),
        (one_node("Anything", domain="com.microsoftevil"), "com.microsoftevil"),
        (nested(helper.make_node("Anything", ["x"], ["y"], domain="deep"), domain="deep"), "deep"),
        (with_function("hidden"), "hidden"),
        (sequence_output(), "zipmap|sequence"),
        (bfloat16_output(), "bfloat16"),
        (one_node("NoSuchOperator"), "NoSuchOperator"),
        (one_node("Relu", ir_version=99), "ir_version"),
        (with_external_weights("../weights"), "plain"),
        (with_external_weights("/etc/passwd"), "outside"),
        (with_external_weights("a/../weights"), "plain"),
        (with_external_weights("./weights"), "plain"),
        (with_external_weights("link"), "outside"),
        (with_external_weights("absent"), "not in"),
        (with_external_weights("fifo"), "not in"),
        (with_external_weights(""), "plain"),
        (with_external_weights("weights", offset=4), "end of"),
        (with_external_weights("weights", length=2**40), "needs 12 bytes"),
        (with_external_weights("weights", length=8), "needs 12 bytes"),
        (with_weights(3, raw_data=bytes(11)), "needs 12 bytes, 11"),
        (with_weights(2**40, raw_data=bytes(12)), "needs 4398046511104 bytes"),
        (with_weights(-1, raw_data=bytes(12)), "negative"),
        (with_weights(3, float_data=[1.0, 2.0]), "needs 3 elements, 2"),
        (with_weights(3, data_type=99, raw_data=bytes(12)), "type 99"),
        (with_weights(3, raw_data=bytes(12), name="w" * 600), None),
    ],
    ids=[
        "custom operator",
        "operator unknown to ORT",
        "look-alike domain",
        "custom operator in a branch",
        "custom operator in a function",
        "sequence",
        "bfloat16",
        "unknown operator",
        "new IR version",
        "parent folder",
        "absolute path",
        "round about",
        "dot",
        "link",
        "absent",
        "fifo",
        "no name",
        "after the end",
        "longer than its shape",
        "shorter than its shape",
        "bytes cut off",
        "shape without end",
        "negative dimension",
        "element missing",
        "unknown type",
        "long name inside",
    ],
)
def test_unsafe_or_unservable_graph_is_refused(
    tmp_path: Path, model: onnx.ModelProto, words: str | None
) -> None:
    (tmp_path / "weights").write_bytes(bytes(12))
    folder = tmp_path / "model"
    file = write_onnx(folder / "m.onnx", model)
    (folder / "weights").write_bytes(bytes(12))
    (folder / "link").symlink_to(tmp_path / "weights")
    os.mkfifo(folder / "fifo")
    if words is None:
        inspect_graph(file)  # its domain is ONNX Runtime's, so ONNX Runtime is asked, later
        return
    with pytest.raises(RefusedError) as caught:
        inspect_graph(file)
    assert any(word in f"{caught.value} {caught.value.advice}" for word in words.split("|"))


def test_sequence_is_refused_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(RefusedError) as caught:
        inspect_graph(write_onnx(tmp_path / "m.onnx", sequence_output()))
    assert "options={'zipmap': False}" in caught.value.advice


@pytest.mark.parametrize(
    "body", [b"", b"garbage" * 99, b"<html>", b"\x80\x04pickle"], ids=["empty", "garbage", "html", "pickle"]
)
def test_file_that_is_no_onnx_is_refused(tmp_path: Path, body: bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(body)
    with pytest.raises(RefusedError, match="no ONNX file"):
        inspect_graph(tmp_path / "m.onnx")


def test_too_long_a_file_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "m.onnx").open("wb") as file:
        file.truncate(graph_module.MAX_GRAPH_BYTES + 1)  # sparse: it takes no space
    with pytest.raises(RefusedError, match="longer than"):
        inspect_graph(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    "model",
    [
        nested(helper.make_node("Relu", ["x"], ["y"])),
        with_function(""),
        one_node("Gelu", domain="com.microsoft"),
        one_node("Normalizer", domain="ai.onnx.ml", norm="L2"),
    ],
    ids=["branch", "function of its own", "com.microsoft", "ai.onnx.ml"],
)
def test_operators_that_onnx_runtime_has_are_accepted(tmp_path: Path, model: onnx.ModelProto) -> None:
    assert inspect_graph(write_onnx(tmp_path / "m.onnx", model)).weights == {}


def test_external_weights_inside_of_the_folder_are_found(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/w.bin").write_bytes(np.arange(3, dtype="<f4").tobytes())
    found = inspect_graph(write_onnx(tmp_path / "m.onnx", with_external_weights("parts/w.bin")))
    assert found.weights == {"parts/w.bin": tmp_path / "parts/w.bin"}


@pytest.mark.parametrize(
    ("opsets", "words"),
    [
        ([("", 9999)], "operator set 9999 of ai.onnx; known are 7 to"),
        ([("", 6)], "operator set 6 of ai.onnx; known are 7 to"),
        ([("", -1)], "operator set -1"),
        ([("", 17), ("ai.onnx.ml", 99)], "operator set 99 of ai.onnx.ml; known are 1 to"),
        ([("", 17), ("com.microsoft", 2)], "operator set 2 of com.microsoft"),
        ([("", 17), ("", 18)], "two versions of the operator set 'ai.onnx'"),
        ([], "not valid ONNX"),
    ],
    ids=["too new", "too old", "negative", "too new for trees", "too new for Microsoft's", "twice", "none"],
)
def test_operator_set_that_is_not_known_is_refused_before_onnx_runtime_is_asked(
    tmp_path: Path, opsets: list[tuple[str, int]], words: str
) -> None:
    model = one_node("Relu")
    del model.opset_import[:]
    model.opset_import.extend(helper.make_opsetid(*each) for each in opsets)
    with pytest.raises(RefusedError, match=words):
        inspect_graph(write_onnx(tmp_path / "m.onnx", model))


def test_what_exporters_leave_among_the_operator_sets_is_left_alone(tmp_path: Path) -> None:
    model = one_node("Relu")
    model.opset_import.append(helper.make_opsetid("pkg.onnxscript.torch_lib", 1))  # as of PyTorch
    model.opset_import.append(helper.make_opsetid("", 17))  # as of scikit-learn's exporter
    inspect_graph(write_onnx(tmp_path / "m.onnx", model))


HUGE = 2**45


def huge_constant(*, in_branch: bool = False) -> onnx.ModelProto:
    """Return a model of a few hundred bytes that makes a tensor of 2**45 floats by itself."""
    size = helper.make_tensor("s", TensorProto.INT64, [2], [2**22, 2**23])
    nodes = [
        helper.make_node("Constant", [], ["s"], value=size),
        helper.make_node("ConstantOfShape", ["s"], ["c"]),
        helper.make_node("ReduceSum", ["c"], ["r"], keepdims=0),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    inputs, outputs = [info("x", ["n", 3])], [info("y", ["n", 3])]
    if not in_branch:
        return model_of(nodes, inputs, outputs)
    branch = helper.make_graph(nodes, "branch", [], [info("y", ["n", 3])])
    choose = helper.make_node("If", ["b"], ["z"], then_branch=branch, else_branch=branch)
    return model_of([choose], [*inputs, info("b", [], TensorProto.BOOL)], [info("z", ["n", 3])])


@pytest.mark.parametrize(
    "model",
    [
        model_of(
            [helper.make_node("ReduceSum", ["x"], ["y"], keepdims=0)],
            [info("x", ["n", HUGE])],
            [info("y", [])],
        ),
        model_of([helper.make_node("Relu", ["x"], ["y"])], [info("x", ["n", "m"])], [info("y", ["n", HUGE])]),
        huge_constant(),
        huge_constant(in_branch=True),
    ],
    ids=["input", "output", "made inside", "made in a branch"],
)
def test_tensor_that_no_function_can_hold_is_refused_before_onnx_runtime_is_asked(
    tmp_path: Path, model: onnx.ModelProto
) -> None:
    with pytest.raises(RefusedError, match="at most 10240 MB of memory"):
        inspect_graph(write_onnx(tmp_path / "m.onnx", model))


@pytest.mark.parametrize(
    ("shape", "words"),
    [(["n", 10_000, 1000], "10,000,000 elements"), (["n"] * 33, "33 axes")],
    ids=["elements", "axes"],
)
def test_input_that_no_request_can_hold_is_refused(
    tmp_path: Path, shape: list[int | str], words: str
) -> None:
    model = model_of([helper.make_node("Relu", ["x"], ["y"])], [info("x", shape)], [info("y", shape)])
    with pytest.raises(RefusedError, match=words):
        describe(write_onnx(tmp_path / "m.onnx", model))


def test_weights_are_no_part_of_the_copy_that_shapes_are_told_from_and_stay_in_the_graph(
    tmp_path: Path,
) -> None:
    file = write_onnx(tmp_path / "m.onnx", with_weights(1000, raw_data=bytes(4000)))
    with pytest.raises(RefusedError):  # [n, 3] + [1000] does not fit, which ONNX Runtime says
        describe(file)
    assert inspect_graph(file).body == file.read_bytes()


def test_tensor_with_a_long_name_is_refused(tmp_path: Path) -> None:
    name = "x" * 600
    model = model_of([helper.make_node("Relu", [name], ["y"])], [info(name, ["n"])], [info("y", ["n"])])
    with pytest.raises(RefusedError, match="length <= 512"):
        inspect_graph(write_onnx(tmp_path / "m.onnx", model))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": {"y": ["a" * 513, "b", "c"]}}, "longer than 512 characters"),
        ({"name": "a" * 64}, "name"),
        ({"inputs": [{"name": "x" * 513, "datatype": "FP32", "shape": [-1, 3]}]}, "at most 512"),
        ({"inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 3], "description": "x" * 200_000}]}, ""),
    ],
    ids=["label", "model", "tensor", "fits"],
)
def test_long_names_of_model_yaml_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    folder = write_folder(tmp_path / "affine", **changes)
    if not words:
        describe(folder)
        return
    with pytest.raises(RefusedError, match=words):
        describe(folder)


def test_long_file_name_is_refused(tmp_path: Path) -> None:
    parts = "/".join(["p" * 100] * 3)
    (tmp_path / parts).parent.mkdir(parents=True)
    (tmp_path / parts).write_bytes(bytes(12))
    model = with_external_weights(parts)
    folder = write_folder(tmp_path, model=model, golden=None, plan={"weight_form": "source"})
    with pytest.raises(RefusedError, match="longer than 255 bytes"):
        describe(folder)


def test_manifest_that_no_function_would_read_is_refused(tmp_path: Path) -> None:
    described = describe(write_folder(tmp_path / "affine"))
    labels = {"y": tuple(f"{number:0500}" for number in range(2200))}
    with pytest.raises(RefusedError, match="functions read at most 1,048,576"):
        refuse_long_manifest(msgspec.structs.replace(described.manifest, labels=labels))
