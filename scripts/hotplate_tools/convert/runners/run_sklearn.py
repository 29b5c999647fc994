"""scikit-learn to ONNX: skops files, and pickles where the publisher was told to trust them.

Rules kept here: no `ZipMap` (probabilities are one tensor); numbers are float32; text is split in
the `C` locale, so answers do not depend on the machine; a skops file with types that skops does not
know is refused with their names, one with unsound trees before they are used (`sound`); nothing is
unpickled without `trust_pickle`. A tree that gets the rows as they come is tested at its own splits.

Source: skl2onnx, "Converters with options"; skops, "Secure persistence".
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np
import skl2onnx
from skl2onnx.common import tree_ensemble
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn.base import is_classifier, is_clusterer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import Pipeline
from sklearn.tree import BaseDecisionTree
from sklearn.utils import get_tags
from trees import Tree, boundary_cases, floor32
from wire import Refusal, answer_each, clean, offered, serve

OPSET = {"": 18, "ai.onnx.ml": 3}
INPUT = "input"
SKLEARN_WORD = r"(?u)\b\w\w+\b"
WORD = r"[\p{L}\p{N}_]{2,}"
TYPES = {"BYTES": StringTensorType, "INT64": Int64TensorType, "FP32": FloatTensorType}

_add_node = tree_ensemble.add_node


def _add_exact_node(*arguments: Any, nodes_missing_value_tracks_true: Any = 0, **more: Any) -> None:
    """Add a node as skl2onnx does, which for histograms gives protobuf a bool and rounds to nearest."""
    more["adjust_threshold_for_sklearn"] = True
    _add_node(*arguments, nodes_missing_value_tracks_true=int(nodes_missing_value_tracks_true), **more)


tree_ensemble.add_node = _add_exact_node

estimator: Any = None
columns: list[str] = []
outputs: list[str] = []


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Write `model.onnx`; the estimator is kept for `answer`."""
    global estimator
    estimator = _load(job)
    if not hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
        raise Refusal(f"a {type(estimator).__name__} neither predicts nor transforms")
    for step in _steps(estimator):
        _refuse_histogram(step)
    initial = _inputs(estimator, job.get("inputs"))
    options: dict[int, dict[str, Any]] = {}
    if is_classifier(estimator) and hasattr(estimator, "predict_proba"):
        options[id(estimator)] = {"zipmap": False}
    for step in _steps(estimator):
        if isinstance(step, CountVectorizer):
            options[id(step)] = _words_of(step)
    model = skl2onnx.to_onnx(
        estimator, initial_types=initial, options=options, target_opset=OPSET, name="model"
    )
    if is_classifier(estimator) and not hasattr(estimator, "predict_proba"):
        del model.graph.output[1:]  # scores that the estimator itself gives in another shape
    outputs[:] = [output.name for output in model.graph.output]
    trees = _trees(_last(estimator))
    _mend_missing(model, trees)
    with open(job["output"], "wb") as file:  # noqa: PTH123 - a path by name, as the publisher sent it
        file.write(clean(model).SerializeToString(deterministic=True))
    versions = [f"{name} {version(name)}" for name in ("scikit-learn", "skl2onnx")]
    rows = _rows_at_splits(trees, initial[0][0]) if trees and not isinstance(estimator, Pipeline) else {}
    return {"framework": ", ".join(versions), "labels": _labels(), "rows": offered(job, rows)}


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """Run the estimator on every case."""
    found: dict[str, Any] = answer_each(job, _run)
    return found


def _load(job: dict[str, Any]) -> Any:
    if job["kind"] == "skops":
        import sound

        return sound.load(job["source"])
    if not job.get("trust_pickle"):
        raise Refusal("a pickle runs any code when it is read", "Save with skops, or give --trust-pickle.")
    import joblib

    return joblib.load(job["source"])


def _refuse_histogram(part: Any) -> None:
    """Refuse a histogram gradient booster that skl2onnx would convert into one that answers otherwise."""
    if not isinstance(part, (HistGradientBoostingClassifier, HistGradientBoostingRegressor)):
        return
    if part.is_categorical_ is not None and part.is_categorical_.any():
        raise Refusal(
            "the model splits on categories, which the converter leaves out", "Encode them as numbers."
        )
    if not is_classifier(part) and part.loss in ("poisson", "gamma"):
        raise Refusal(
            f"the model is fitted with loss {part.loss!r}, whose exponential the converter leaves out",
            "Fit the logarithm with squared_error, and let the caller take the exponential.",
        )


def _steps(part: Any) -> list[Any]:
    """Return the estimator and every estimator inside of it."""
    inner = [step for _, step in part.steps] if isinstance(part, Pipeline) else []
    for _, step, *_ in [*getattr(part, "transformers_", ()), *getattr(part, "transformer_list", ())]:
        inner.append(step)
    return [part, *(deep for step in inner if hasattr(step, "get_params") for deep in _steps(step))]


def _words_of(vectorizer: Any) -> dict[str, Any]:
    r"""Return how the graph splits text into words: as the vectorizer does, on any machine.

    The converter's own default knows ASCII letters only. RE2's `\w` does too, so scikit-learn's
    default pattern is written out; a pattern of the user's is handed on as it is.
    """
    if vectorizer.analyzer != "word":
        return {"locale": "C"}
    pattern = vectorizer.token_pattern
    return {"locale": "C", "tokenexp": WORD if pattern == SKLEARN_WORD else pattern}


def _inputs(part: Any, declared: list[dict[str, Any]] | None) -> list[tuple[str, Any]]:
    """Return skl2onnx's input types: one matrix, one column of text, or one column a feature."""
    by_column = any(type(step).__name__ == "ColumnTransformer" for step in _steps(part))
    if by_column and hasattr(part, "feature_names_in_"):
        columns[:] = [str(name) for name in part.feature_names_in_]
        words = {tensor["name"]: tensor["datatype"] for tensor in declared or ()}
        missing = [name for name in columns if name not in words]
        if missing:
            raise Refusal(
                f"the estimator takes the columns {', '.join(columns)}, whose types it does not keep",
                "Declare one input a column in model.yaml, shape [-1, 1], datatype FP32, INT64 or BYTES.",
            )
        return [(name, TYPES[words[name]]([None, 1])) for name in columns]
    if isinstance(_first(part), CountVectorizer):
        return [(_named(declared), StringTensorType([None, 1]))]
    if not hasattr(part, "n_features_in_"):
        raise Refusal(f"the {type(part).__name__} does not say how many features it was fitted on")
    return [(_named(declared), FloatTensorType([None, part.n_features_in_]))]


def _first(part: Any) -> Any:
    return _first(part.steps[0][1]) if isinstance(part, Pipeline) else part


def _named(declared: list[dict[str, Any]] | None) -> str:
    return str(declared[0]["name"]) if declared and len(declared) == 1 else INPUT


def _labels() -> dict[str, list[str]]:
    if is_classifier(estimator) and len(outputs) > 1 and hasattr(estimator, "classes_"):
        return {outputs[1]: [str(name) for name in estimator.classes_]}
    return {}


def _last(part: Any) -> Any:
    return _last(part.steps[-1][1]) if isinstance(part, Pipeline) else part


def _trees(part: Any) -> list[Tree]:
    """Return the trees of an estimator that is made of nothing else, in the order of the graph."""
    members = np.ravel(getattr(part, "estimators_", [part]))
    if all(isinstance(member, BaseDecisionTree) for member in members):
        return [_tree(member.tree_) for member in members]
    return [_histogram(one) for group in getattr(part, "_predictors", ()) for one in group]


def _tree(tree: Any) -> Tree:
    return Tree(
        feature=tree.feature,
        edge=floor32(tree.threshold),
        left=tree.children_left,
        right=tree.children_right,
        missing_left=tree.missing_go_to_left != 0,
        value=np.zeros(tree.node_count),
    )


def _histogram(predictor: Any) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"] != 0
    return Tree(
        feature=nodes["feature_idx"].astype(np.int64),
        edge=floor32(nodes["num_threshold"]),
        left=np.where(leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(leaf, -1, nodes["right"].astype(np.int64)),
        missing_left=nodes["missing_go_to_left"] != 0,
        value=nodes["value"],
    )


def _mend_missing(model: Any, trees: list[Tree]) -> None:
    """Send NaN where scikit-learn does: skl2onnx sends it right in every decision tree."""
    for node in model.graph.node if trees else ():
        facts = {attribute.name: attribute for attribute in node.attribute}
        if "nodes_missing_value_tracks_true" in facts:
            places = zip(facts["nodes_treeids"].ints, facts["nodes_nodeids"].ints, strict=True)
            facts["nodes_missing_value_tracks_true"].ints[:] = [
                int(trees[tree].left[place] >= 0 and trees[tree].missing_left[place])
                for tree, place in places
            ]


def _rows_at_splits(trees: list[Tree], name: str) -> dict[str, dict[str, Any]]:
    scores = estimator.predict_proba if is_classifier(estimator) else None
    missing = get_tags(estimator).input_tags.allow_nan
    cases = boundary_cases(trees, estimator.n_features_in_, scores, missing=missing)
    return {label: {name: rows} for label, rows in cases.items()}


def _run(feeds: dict[str, Any]) -> dict[str, Any]:
    rows = _rows(feeds)
    if is_classifier(estimator):
        found = [estimator.predict(rows)]
        found += [estimator.predict_proba(rows)] if len(outputs) > 1 else []
    elif is_clusterer(estimator):
        # Fitted on float64, its compiled code takes nothing else.
        rows = rows.astype(np.float64)
        found = [estimator.predict(rows)]
        found += [estimator.transform(rows)] if len(outputs) > 1 else []
    elif hasattr(estimator, "predict"):
        found = [_column(estimator.predict(rows))]
    else:
        found = [_dense(estimator.transform(rows))]
    return dict(zip(outputs, map(_narrow, found), strict=True))


def _rows(feeds: dict[str, Any]) -> Any:
    if columns:
        import pandas as pd

        return pd.DataFrame({name: feeds[name].ravel() for name in columns})
    (only,) = feeds.values()
    return only.ravel().tolist() if only.dtype.kind == "U" else only


def _column(array: Any) -> Any:
    return array.reshape(-1, 1) if array.ndim == 1 else array


def _dense(array: Any) -> Any:
    return array.toarray() if hasattr(array, "toarray") else np.asarray(array)


def _narrow(array: Any) -> Any:
    """Return float64 as the float32 that the graph answers in, and any integer as int64."""
    if array.dtype.kind == "f":
        return array.astype(np.float32)
    return array.astype(np.int64) if array.dtype.kind in "iub" else array


if __name__ == "__main__":
    serve({"convert": convert, "answer": answer})
