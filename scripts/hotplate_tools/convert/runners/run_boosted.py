"""LightGBM and XGBoost to ONNX, from the files that they save themselves.

The graph is written here, not by onnxmltools, because its converters change answers: LightGBM's
float64 thresholds are rounded to the nearest float32, a random forest is divided by a fixed 100, and
categories are compared as numbers. Here every split goes as in the framework for every float32, NaN
among them, and what cannot be said exactly is refused by its name.

The graph is one `TreeEnsembleRegressor`, then the objective's link. A classifier answers `label` and
`probabilities`, everything else `variable`.

Source: ONNX, `ai.onnx.ml` 3, TreeEnsembleRegressor.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from boosters import Ensemble, read_lightgbm, read_xgboost
from onnx import TensorProto, helper
from trees import after, boundary_cases
from wire import Refusal, answer_each, clean, offered, serve

OPSETS = {"": 18, "ai.onnx.ml": 3}
INPUT = "input"
FLOAT = TensorProto.FLOAT

type Array = np.ndarray[Any, Any]


def identity(name: str, slope: float) -> list[Any]:
    """Scores as they are."""
    return [helper.make_node("Identity", ["scores"], [name])]


def exponential(name: str, slope: float) -> list[Any]:
    """Of logarithms."""
    return [helper.make_node("Exp", ["scores"], [name])]


def sigmoid(name: str, slope: float) -> list[Any]:
    """Of log-odds, each by itself."""
    return [
        helper.make_node("Constant", [], ["slope"], value_float=slope),
        helper.make_node("Mul", ["scores", "slope"], ["odds"]),
        helper.make_node("Sigmoid", ["odds"], [name]),
    ]


def softmax(name: str, slope: float) -> list[Any]:
    """Of log-odds together."""
    return [helper.make_node("Softmax", ["scores"], [name], axis=1)]


def softplus(name: str, slope: float) -> list[Any]:
    """LightGBM's `cross_entropy_lambda`."""
    return [helper.make_node("Softplus", ["scores"], [name])]


def signed_square(name: str, slope: float) -> list[Any]:
    """LightGBM's `reg_sqrt`."""
    return [
        helper.make_node("Abs", ["scores"], ["magnitude"]),
        helper.make_node("Mul", ["scores", "magnitude"], [name]),
    ]


def ascending(name: str, slope: float) -> list[Any]:
    """Quantiles, which XGBoost sorts so that they do not cross."""
    return [
        helper.make_node("Shape", ["scores"], ["width"], start=1),
        helper.make_node("TopK", ["scores", "width"], [name, "order"], axis=1, largest=0),
    ]


LINKS = {
    "identity": identity,
    "exponential": exponential,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "softplus": softplus,
    "signed square": signed_square,
    "ascending": ascending,
}

model: Any = None
name_of_input = INPUT


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx`; the model is kept for `answer`."""
    global model, name_of_input
    declared = job.get("inputs")
    name_of_input = str(declared[0]["name"]) if declared and len(declared) == 1 else INPUT
    try:
        model, framework = (read_lightgbm if job["kind"] == "lightgbm" else read_xgboost)(job["source"])
    except (KeyError, ValueError) as fault:
        raise Refusal(f"the file holds no sound model: {fault}") from fault
    with open(job["output"], "wb") as file:  # noqa: PTH123 - a path by name, as the publisher sent it
        file.write(clean(_graph(model)).SerializeToString(deterministic=True))
    rows = boundary_cases(
        model.trees, model.features, _probabilities if model.classes else None, missing=True
    )
    labels = {"probabilities": [str(number) for number in range(model.classes)]} if model.classes else {}
    cases = {label: {name_of_input: array} for label, array in rows.items()}
    return {"framework": framework, "labels": labels, "rows": offered(job, cases)}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Run the framework on every case."""
    found: dict[str, Any] = answer_each(job, _run)
    return found


def _run(feeds: dict[str, Any]) -> dict[str, Any]:
    (rows,) = feeds.values()
    if not model.classes:
        return {"variable": model.predict(rows).reshape(len(rows), -1).astype(np.float32)}
    scores = _probabilities(rows)
    return {"label": scores.argmax(axis=1).astype(np.int64), "probabilities": scores}


def _probabilities(rows: Array) -> Array:
    """Return float32 [rows, classes]."""
    found = model.predict(rows).reshape(len(rows), -1)
    found = np.hstack([1 - found, found]) if model.classes == 2 and found.shape[1] == 1 else found
    return np.asarray(found, np.float32)


def _graph(model: Ensemble) -> Any:
    out = "probabilities" if model.classes else "variable"
    width = model.classes or len(model.base)
    two = model.classes == 2 and len(model.base) == 1
    nodes = [_ensemble(model), *LINKS[model.link]("second" if two else out, model.slope)]
    if two:
        nodes += [
            helper.make_node("Constant", [], ["one"], value_float=1.0),
            helper.make_node("Sub", ["one", "second"], ["first"]),
            helper.make_node("Concat", ["first", "second"], [out], axis=1),
        ]
    outputs = [helper.make_tensor_value_info(out, FLOAT, [None, width])]
    if model.classes:
        nodes.append(helper.make_node("ArgMax", [out], ["label"], axis=1, keepdims=0))
        outputs.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, [None]))
    rows = helper.make_tensor_value_info(name_of_input, FLOAT, [None, model.features])
    graph = helper.make_graph(nodes, "model", [rows], outputs)
    opsets = [helper.make_opsetid(domain, number) for domain, number in OPSETS.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _ensemble(model: Ensemble) -> Any:
    """Return the node from rows to scores [rows, targets]."""
    columns: dict[str, list[Array]] = {}

    def add(**parts: Array) -> None:
        for name, part in parts.items():
            columns.setdefault(name, []).append(part)

    branch = "BRANCH_LT" if model.strict else "BRANCH_LEQ"
    for number, (tree, target) in enumerate(zip(model.trees, model.targets, strict=True)):
        inner = tree.left >= 0
        ends = np.flatnonzero(~inner)
        add(
            nodes_treeids=np.full(len(inner), number),
            nodes_nodeids=np.arange(len(inner)),
            nodes_modes=np.where(inner, branch, "LEAF"),
            nodes_featureids=np.where(inner, tree.feature, 0),
            nodes_values=np.where(inner, after(tree.edge) if model.strict else tree.edge, 0),
            nodes_truenodeids=np.where(inner, tree.left, 0),
            nodes_falsenodeids=np.where(inner, tree.right, 0),
            nodes_missing_value_tracks_true=(inner & tree.missing_left).astype(np.int64),
            target_treeids=np.full(len(ends), number),
            target_nodeids=ends,
            target_ids=np.full(len(ends), target),
            target_weights=tree.value[ends],
        )
    return helper.make_node(
        "TreeEnsembleRegressor",
        [name_of_input],
        ["scores"],
        domain="ai.onnx.ml",
        n_targets=len(model.base),
        base_values=model.base,
        **{name: np.concatenate(parts).tolist() for name, parts in columns.items()},
    )


if __name__ == "__main__":
    serve({"convert": convert, "answer": answer})
