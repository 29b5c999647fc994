"""Write skops files into argv[1] whose trees would lead scikit-learn's compiled code out of its arrays."""

import json
import sys
import zipfile
from pathlib import Path

import numpy as np
import skops.io
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.tree import DecisionTreeClassifier

folder = Path(sys.argv[1])
rows, kinds = load_iris(return_X_y=True)
FAR = 10**9


def save(name, model):
    skops.io.dump(model, folder / f"{name}.skops")


def grown():
    return DecisionTreeClassifier(random_state=0).fit(rows, kinds)


def with_nodes(name, change):
    """Save a tree whose state was changed, which `Tree.__setstate__` takes as it is."""
    model = grown()
    state = model.tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    change(state)
    model.tree_.__setstate__(state)
    save(name, model)


def with_plan(name, change):
    """Save a tree, then change what skops wrote about it."""
    save(name, grown())
    with zipfile.ZipFile(folder / f"{name}.skops") as archive:
        files = {entry: archive.read(entry) for entry in archive.namelist()}
    schema = json.loads(files["schema.json"])
    change(schema["content"]["content"]["tree_"])
    files["schema.json"] = json.dumps(schema).encode()
    with zipfile.ZipFile(folder / f"{name}.skops", "w") as archive:
        for entry, body in files.items():
            archive.writestr(entry, body)


def put(field, node, value):
    def change(state):
        state["nodes"][field][node] = value

    return change


def fewer_classes(plan):
    outputs = {"__class__": "int", "__module__": "builtins", "__loader__": "JsonNode", "content": "1000000"}
    plan["__reduce__"]["args"]["content"][2] = outputs


def more_nodes(plan):
    plan["content"]["content"]["node_count"]["content"] = str(FAR)


def unusual(plan):
    plan["__loader__"] = "ConstructorFromReduceNode"
    plan["__class__"], plan["__module__"] = "Tree", "sklearn.tree._tree"
    plan["content"] = plan["__reduce__"]["args"]


def as_a_loss(plan):
    plan["__loader__"] = "LossNode"
    plan["__class__"], plan["__module__"] = "Tree", "sklearn.tree._tree"
    plan["content"]["content"]["node_count"]["content"] = str(FAR)


leaf = int(np.flatnonzero(grown().tree_.children_left < 0)[0])
with_nodes("child", put("left_child", 0, FAR))
with_nodes("feature", put("feature", 0, FAR))
with_nodes("circle", put("right_child", 2, 0))
with_nodes("below", put("left_child", leaf, -2))
with_nodes("depth", lambda state: state.update(max_depth=0))
with_plan("classes", fewer_classes)
with_plan("count", more_nodes)
with_plan("unusual", unusual)
with_plan("loss", as_a_loss)

narrow = grown()
narrow.n_features_in_ = 1
save("narrow", narrow)
wide = GradientBoostingRegressor(n_estimators=2).fit(rows, kinds)
wide.estimators_ = np.hstack([wide.estimators_] * 50)
save("wide", wide)
histogram = HistGradientBoostingRegressor(max_iter=1).fit(rows, kinds)
histogram._predictors[0][0].nodes["left"][0] = FAR
save("histogram", histogram)
