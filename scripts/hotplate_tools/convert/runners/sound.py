"""A skops file read so that no compiled code of scikit-learn follows an index that points nowhere.

skops vouches for types, not for what is in them, and leaves scikit-learn's trees to the reader's
judgement: their arrays of child and feature numbers are followed without a look at the bounds. Here
each tree is looked at before it is built, and each estimator that hands its trees to compiled code
before it is asked (ADR 14).

Source: skops 0.16, `_sklearn.TreeNode` and `exceptions.UNTRUSTED_TYPE_REASONS`; scikit-learn 1.9,
`_tree.pyx`, `_gradient_boosting.pyx` and `_hist_gradient_boosting/_predictor.pyx`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zipfile import ZipFile

import numpy as np
from skops.io import get_untrusted_types
from skops.io._audit import Node, audit_tree, get_tree
from skops.io._sklearn import ReduceNode
from skops.io._utils import read_schema
from trees import walk
from wire import Refusal

__all__ = ["load"]

TREE = "sklearn.tree._tree.Tree"
PREDICTOR = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"

# What scikit-learn compiles and skops leaves to the reader. They hold numbers; reading them runs nothing.
COMPILED = {"sklearn._loss.link.Interval", PREDICTOR, TREE}


def load(file: str) -> Any:
    """Return the estimator in a skops file.

    Raises:
        Refusal: It holds types that are not trusted, or trees that are none.
    """
    unknown = set(get_untrusted_types(file=file)) - COMPILED
    if unknown:
        raise Refusal(
            f"the skops file holds types that are not trusted: {', '.join(sorted(unknown))}",
            "Build the pipeline of scikit-learn's own parts.",
        )
    trusted = sorted(COMPILED)
    try:
        with ZipFile(file) as archive:
            schema, context = read_schema(archive)
            root = get_tree(schema, context, trusted=trusted)
            audit_tree(root, trusted=trusted)
            _check_plan(list(_nodes(root)))
            estimator = root.construct()
        for part in _parts(estimator):
            _check_holder(part)
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as fault:
        raise Refusal(f"the skops file is not sound: {fault}", "Save the model again.") from fault
    return estimator


def _check_plan(nodes: list[Any]) -> None:
    """Refuse trees that are none, and trees that would be built by another way than skops writes them."""
    usual = [node for node in nodes if isinstance(node, ReduceNode) and _is_tree(node.constructor)]
    known = {id(part) for node in usual for part in (node, node.constructor)}
    if any(_is_tree(node) and id(node) not in known for node in nodes):
        raise ValueError("a tree is built in an unusual way")
    for node in usual:
        # skops builds each part once, so what is looked at is what the tree is built of.
        _check_tree(node.args.construct(), node.attrs.construct())


def _is_tree(node: Any) -> bool:
    return f"{node.module_name}.{node.class_name}" == TREE


def _nodes(root: Node) -> Iterator[Node]:
    """Yield every node of skops' plan for building an object."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node) and id(node) not in seen:
            seen.add(id(node))
            yield node
            for child in node.children.values():
                inner = child.values() if isinstance(child, dict) else child
                waiting.extend(inner if isinstance(child, (list, dict)) else [child])


def _check_tree(args: Any, state: Any) -> None:
    """Refuse what `Tree.__cinit__` and `Tree.__setstate__` would copy without a look."""
    features, classes, outputs = args
    if not (isinstance(features, int) and isinstance(outputs, int) and isinstance(classes, np.ndarray)):
        raise ValueError("a tree's sizes are no numbers")
    if classes.shape != (outputs,) or classes.dtype.kind != "i" or outputs < 1 or classes.min() < 1:
        raise ValueError(f"a tree of {outputs} outputs has {classes.shape} numbers of classes")
    nodes = state["nodes"]
    if state["node_count"] != len(nodes):
        raise ValueError(f"a tree of {state['node_count']} nodes holds {len(nodes)}")
    links = (nodes[name].astype(np.int64) for name in ("left_child", "right_child", "feature"))
    levels = walk(*links, features)
    # Importances are reckoned over all nodes, and paths are written into as much room as the depth says.
    if sum(map(len, levels)) != len(nodes) or len(levels) - 1 > state["max_depth"]:
        raise ValueError(f"a tree of {len(nodes)} nodes has {len(levels) - 1} levels below its root")


def _parts(root: Any) -> Iterator[Any]:
    """Yield every object that is reached from `root` through attributes and containers."""
    waiting, seen = [root], {}
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part  # kept, so that no other object gets its id
        yield part
        if isinstance(part, dict):
            waiting.extend([*part.keys(), *part.values()])
        elif isinstance(part, (list, tuple, set, frozenset)):
            waiting.extend(part)
        elif isinstance(part, np.ndarray):
            waiting.extend(part.ravel().tolist() if part.dtype.hasobject else ())
        elif not isinstance(part, type):
            waiting.extend(getattr(part, "__dict__", {}).values())


def _check_holder(part: Any) -> None:
    """Refuse an estimator whose trees were made for other rows than it lets through to them."""
    from sklearn.ensemble._gb import BaseGradientBoosting
    from sklearn.ensemble._hist_gradient_boosting.gradient_boosting import BaseHistGradientBoosting
    from sklearn.tree import BaseDecisionTree

    if isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
        _same_features(part, part.tree_.n_features)
    if isinstance(part, BaseGradientBoosting) and hasattr(part, "estimators_"):
        for member in part.estimators_.ravel():
            _same_features(part, member.tree_.n_features)
            if (member.tree_.n_outputs, member.tree_.max_n_classes) != (1, 1):
                raise ValueError("a boosted tree has several outputs")
        scores = part._raw_predict_init(np.zeros((1, part.n_features_in_), np.float32))
        if scores.shape[1] != part.estimators_.shape[1]:
            raise ValueError(f"{part.estimators_.shape[1]} trees a round add to {scores.shape[1]} scores")
    if isinstance(part, BaseHistGradientBoosting) and hasattr(part, "_predictors"):
        _check_histogram(part)


def _same_features(part: Any, features: int) -> None:
    if part.n_features_in_ != features:
        raise ValueError(f"a tree of {features} features is in a model of {part.n_features_in_}")


def _check_histogram(part: Any) -> None:
    for predictor in (one for group in part._predictors for one in group):
        nodes = predictor.nodes
        if nodes["is_categorical"].any():
            raise ValueError("it splits on categories, whose tables are not looked at here")
        leaf = nodes["is_leaf"] != 0
        left, right = (np.where(leaf, -1, nodes[name].astype(np.int64)) for name in ("left", "right"))
        walk(left, right, nodes["feature_idx"].astype(np.int64), part.n_features_in_)
