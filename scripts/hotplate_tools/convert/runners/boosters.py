"""Files of LightGBM and XGBoost read as `Ensemble`s, beside the framework that is to agree with them.

Rules kept here: the frameworks parse their own files, whichever release wrote them, and what they
write anew is read here; every tree is walked before a framework predicts with it; what the graph
cannot say is refused by its name.

Source: the text of LightGBM's `Booster.save_model` and its `Tree::NumericalDecision`; XGBoost,
"Introduction to Model IO".
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
from trees import Tree, before, floor32, walk
from wire import Refusal

__all__ = ["Ensemble", "read_lightgbm", "read_xgboost"]

# LightGBM's kZeroThreshold.
NOUGHT = np.float32(1e-35)

type Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Ensemble:
    """A model of boosted trees (or of a forest: leaves are scaled then).

    Attributes:
        features: How many columns a row has.
        trees: Walked.
        targets: Which score each tree adds to.
        base: What each score starts from.
        strict: Whether the framework's own comparison is `<`, not `<=`.
        link: From scores to answers: a key of `run_boosted.LINKS`.
        slope: Of scores before a sigmoid.
        classes: How many; 0 for a regressor.
        predict: The framework itself: float32 rows to [rows, answers].
    """

    features: int
    trees: list[Tree]
    targets: list[int]
    base: list[float]
    strict: bool
    link: str
    slope: float
    classes: int
    predict: Callable[[Array], Array]


LIGHTGBM = {
    "": "identity",
    "regression": "identity",
    "regression_l1": "identity",
    "huber": "identity",
    "fair": "identity",
    "quantile": "identity",
    "mape": "identity",
    "lambdarank": "identity",
    "rank_xendcg": "identity",
    "poisson": "exponential",
    "gamma": "exponential",
    "tweedie": "exponential",
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    "binary": "sigmoid",
    "multiclass": "softmax",
    "multiclassova": "sigmoid",
}

XGBOOST = {
    "reg:squarederror": "identity",
    "reg:squaredlogerror": "identity",
    "reg:absoluteerror": "identity",
    "reg:pseudohubererror": "identity",
    "reg:quantileerror": "ascending",
    "reg:expectileerror": "identity",
    "rank:pairwise": "identity",
    "rank:ndcg": "identity",
    "rank:map": "identity",
    "binary:logitraw": "identity",
    "reg:logistic": "sigmoid",
    "binary:logistic": "sigmoid",
    "multi:softmax": "softmax",
    "multi:softprob": "softmax",
    "count:poisson": "exponential",
    "reg:gamma": "exponential",
    "reg:tweedie": "exponential",
    "survival:cox": "exponential",
    "survival:aft": "exponential",
}

# XGBoost keeps the start in units of the answer.
UNLINK: dict[str, Callable[[float], float]] = {
    "identity": lambda start: start,
    "ascending": lambda start: start,
    "softmax": lambda start: start,
    "exponential": lambda start: float(np.log(start)),
    "sigmoid": lambda start: float(np.log(start) - np.log1p(-start)),
}


def read_lightgbm(source: str) -> tuple[Ensemble, str]:
    """Return the model in a text file of LightGBM, and the framework with its version.

    Raises:
        ValueError, KeyError: It is broken; also `lightgbm.basic.LightGBMError`.
    """
    import lightgbm

    with open(source, encoding="utf-8") as file:  # noqa: PTH123 - a path by name, as the publisher sent it
        text = file.read()
    # LightGBM reads trees on several threads, and ends the process where one of them is broken.
    head, blocks = _blocks(text)
    for block in blocks:
        _lightgbm_tree(_facts(block), int(_facts(head)["max_feature_idx"]) + 1, 1.0)
    booster = lightgbm.Booster(model_str=text, params={"verbosity": -1})
    head, blocks = _blocks(booster.model_to_string())
    facts = _facts(head)
    objective, *words = facts.get("objective", "").split()
    settings = dict(word.split(":", 1) for word in words if ":" in word)
    if objective not in LIGHTGBM:
        raise Refusal(f"LightGBM's objective {objective} is not converted", _known(LIGHTGBM))
    link = "signed square" if "sqrt" in words else LIGHTGBM[objective]
    features, width = int(facts["max_feature_idx"]) + 1, int(facts["num_tree_per_iteration"])
    # A forest (boosting=rf) answers the mean of its iterations.
    share = width / len(blocks) if "average_output" in head.split("\n") else 1.0
    trees = [_lightgbm_tree(_facts(block), features, share) for block in blocks]
    classes = {"binary": 2, "multiclass": width, "multiclassova": width}.get(objective, 0)
    return (
        Ensemble(
            features=features,
            trees=trees,
            targets=[number % width for number in range(len(trees))],
            base=[0.0] * width,
            strict=False,
            link=link,
            slope=float(settings.get("sigmoid", 1)) if classes else 1.0,
            classes=classes,
            predict=lambda rows: np.asarray(booster.predict(rows, num_threads=1)),
        ),
        f"lightgbm {version('lightgbm')}",
    )


def _blocks(text: str) -> tuple[str, list[str]]:
    """Return the head of a model's text, and that of each tree."""
    head, *blocks = text.replace("\r\n", "\n").partition("\nend of trees")[0].split("\nTree=")
    return head, blocks


def _facts(block: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in block.split("\n") if "=" in line)


def _lightgbm_tree(facts: dict[str, str], features: int, share: float) -> Tree:
    """Return a tree of the text form, where inner nodes and leaves are counted apart."""
    if int(facts["num_cat"]):
        raise Refusal(
            "the LightGBM model splits on categories, which ONNX's trees compare in another way",
            "Train it on numbers: one-hot columns, or category codes not declared as categorical_feature.",
        )
    if int(facts.get("is_linear", 0)):
        raise Refusal(
            "the LightGBM model has linear models in its leaves", "Train it with linear_tree=false."
        )
    leaves = int(facts["num_leaves"])
    inner = leaves - 1

    def numbers(name: str, kind: Any, count: int = inner) -> Array:
        found = np.array(facts[name].split() if count else [], kind)
        if len(found) != count:
            raise ValueError(f"a tree of {leaves} leaves has {len(found)} of {name}")
        return found

    flags, threshold = numbers("decision_type", np.int64), numbers("threshold", np.float64)
    missing = flags >> 2 & 3
    if (missing == 1).any():
        raise Refusal("the LightGBM model takes zero as missing", "Train it with zero_as_missing=false.")
    left, right = (
        np.concatenate([np.where(side < 0, inner + ~side, side), np.full(leaves, -1)])
        for side in (numbers("left_child", np.int64), numbers("right_child", np.int64))
    )
    blank = np.zeros(leaves, np.int64)
    feature = np.concatenate([numbers("split_feature", np.int64), blank])
    if sum(map(len, walk(left, right, feature, features))) != inner + leaves:
        raise ValueError("a tree has nodes that are not reached")
    # Where a feature had nothing missing in training, NaN counts as nought.
    goes_left = np.where(missing == 2, flags & 2 > 0, threshold >= 0)
    return Tree(
        feature=feature,
        edge=np.concatenate([_lightgbm_edge(threshold), blank]).astype(np.float32),
        left=left,
        right=right,
        missing_left=np.concatenate([goes_left, blank > 0]),
        value=np.concatenate([np.zeros(inner), numbers("leaf_value", np.float64, leaves) * share]),
    )


def _lightgbm_edge(threshold: Array) -> Array:
    """Return what goes left at most; LightGBM reads a value within `NOUGHT` of 0 as 0."""
    edge = floor32(threshold)
    below = before(-NOUGHT)
    edge = np.where((threshold < 0) & (edge >= -NOUGHT), below, edge)
    return np.where((threshold >= 0) & (edge < NOUGHT), NOUGHT, edge)


def read_xgboost(source: str) -> tuple[Ensemble, str]:
    """Return the model in a UBJ or JSON file of XGBoost, and the framework with its version.

    Raises:
        ValueError: It is broken; also `xgboost.core.XGBoostError`, which is one.
    """
    import xgboost

    booster = xgboost.Booster(model_file=source)
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    facts, trained = learner["learner_model_param"], learner["gradient_booster"]
    objective = learner["objective"]["name"]
    if objective not in XGBOOST:
        raise Refusal(f"XGBoost's objective {objective} is not converted", _known(XGBOOST))
    if "trees" not in trained["model"]:
        raise Refusal(f"XGBoost's booster {trained['name']} is not made of trees", "Train it with gbtree.")
    features, link = int(facts["num_feature"]), XGBOOST[objective]
    if objective == "multi:softmax":
        booster.set_param({"objective": "multi:softprob"})  # the same scores, answered as probabilities
    rounds = _rounds(learner)
    stop = trained["model"]["iteration_indptr"][rounds]
    drops = trained["model"].get("weight_drop", trained.get("weight_drop")) or [1.0] * stop
    width = max(int(facts["num_class"]), int(facts["num_target"]), 1)
    starts = np.atleast_1d(json.loads(facts["base_score"])).astype(np.float64)
    classes = width if link == "softmax" else 2 if objective == "binary:logistic" and width == 1 else 0

    def predict(rows: Array) -> Array:
        data = xgboost.DMatrix(rows, missing=np.nan, nthread=1)
        return np.asarray(booster.predict(data, validate_features=False, iteration_range=(0, rounds)))

    return (
        Ensemble(
            features=features,
            trees=[
                _xgboost_tree(tree, features, drop)
                for tree, drop in zip(trained["model"]["trees"][:stop], drops, strict=False)
            ],
            targets=trained["model"]["tree_info"][:stop],
            base=[UNLINK[link](float(start)) for start in np.broadcast_to(starts, width)],
            strict=True,
            link=link,
            slope=1.0,
            classes=classes,
            predict=predict,
        ),
        f"xgboost {version('xgboost-cpu')}",
    )


def _rounds(learner: dict[str, Any]) -> int:
    """Return how many rounds answer: all, or up to the best where XGBoost's scikit-learn classes saved it."""
    kept = learner["attributes"]
    done = len(learner["gradient_booster"]["model"]["iteration_indptr"]) - 1
    return int(kept["best_iteration"]) + 1 if {"scikit_learn", "best_iteration"} <= set(kept) else done


def _xgboost_tree(tree: dict[str, Any], features: int, drop: float) -> Tree:
    if any(tree["split_type"]) or tree["categories"]:
        raise Refusal(
            "the XGBoost model splits on categories, which ONNX's trees compare in another way",
            "Train it on numbers: one-hot columns, or category codes with enable_categorical=False.",
        )
    if int(tree["tree_param"]["size_leaf_vector"]) > 1:
        raise Refusal("the XGBoost model has several targets a leaf", "Train it with one_output_per_tree.")
    left, right, feature = (
        np.array(tree[name], np.int64) for name in ("left_children", "right_children", "split_indices")
    )
    nodes = np.concatenate(walk(left, right, feature, features))
    # What pruning removed is left out, and the others are counted anew.
    places = np.full(len(left), -1)
    places[nodes] = np.arange(len(nodes))
    condition = np.array(tree["split_conditions"], np.float32)[nodes]
    return Tree(
        feature=feature[nodes],
        edge=before(condition),
        left=np.where(left[nodes] < 0, -1, places[left[nodes]]),
        right=np.where(left[nodes] < 0, -1, places[right[nodes]]),
        missing_left=np.array(tree["default_left"], bool)[nodes],
        value=condition.astype(np.float64) * drop,
    )


def _known(objectives: dict[str, str]) -> str:
    return f"Known are {', '.join(filter(None, objectives))}."
