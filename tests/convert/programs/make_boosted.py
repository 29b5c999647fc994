"""Train LightGBM and XGBoost models into argv[1]; beside each, what it was asked and what it answered."""

import sys
import warnings
from pathlib import Path

import lightgbm
import numpy as np
import xgboost

warnings.simplefilter("ignore")
folder = Path(sys.argv[1])
generator = np.random.default_rng(7)
COLUMNS = ("width", "height", "depth", "age")
rows = (generator.standard_normal((600, 4)) * [1, 40, 1, 1000]).astype(np.float32)
amount = np.abs(rows[:, 0] * 3 + rows[:, 1] / 10 + np.sin(rows[:, 2] * 4)) + 0.1
rows[generator.random(rows.shape) < 0.08] = np.nan
halves, thirds = (amount > 2).astype(int), np.digitize(amount, [1.5, 4])
asked = np.vstack([rows[:40], np.full((1, 4), np.nan, np.float32), np.zeros((1, 4), np.float32)])


def keep(name, answers, classes=0):
    """Write what the model answered; two classes come as the second's probability alone."""
    answers = np.asarray(answers).reshape(len(asked), -1)
    if not classes:
        np.savez(folder / f"{name}.npz", in_input=asked, out_variable=answers.astype(np.float32))
        return
    scores = np.hstack([1 - answers, answers]) if answers.shape[1] == 1 else answers
    scores = scores.astype(np.float32)
    labels = scores.argmax(axis=1).astype(np.int64)
    np.savez(folder / f"{name}.npz", in_input=asked, out_label=labels, out_probabilities=scores)


def light(name, target, classes=0, rounds=20, data=rows, categories="auto", **settings):
    settings = {"verbosity": -1, "num_threads": 1, "seed": 1, "min_data_in_leaf": 5, **settings}
    given = lightgbm.Dataset(data, target, feature_name=list(COLUMNS), categorical_feature=categories)
    booster = lightgbm.train(settings, given, rounds)
    booster.save_model(folder / f"{name}.txt")
    keep(name, booster.predict(asked), classes)


def extreme(name, target, classes=0, rounds=20, **settings):
    settings = {"nthread": 1, "seed": 1, "max_depth": 4, **settings}
    data = xgboost.DMatrix(rows, target, feature_names=list(COLUMNS))
    booster = xgboost.train(settings, data, rounds)
    booster.save_model(folder / f"{name}.ubj")
    if settings["objective"] == "multi:softmax":
        booster.set_param({"objective": "multi:softprob"})
    keep(name, booster.predict(xgboost.DMatrix(asked, feature_names=list(COLUMNS))), classes)


light("light-line", amount, objective="regression")
light("light-root", amount, objective="regression", reg_sqrt=True)
light("light-count", amount, objective="poisson")
light("light-two", halves, classes=2, objective="binary", sigmoid=2.0)
light("light-three", thirds, classes=3, objective="multiclass", num_class=3)
light("light-apart", thirds, classes=3, objective="multiclassova", num_class=3)
light(
    "light-forest", halves, classes=2, objective="binary", boosting="rf", bagging_fraction=0.5, bagging_freq=1
)
light("light-whole", amount, objective="regression", use_missing=False)
light("light-cross", halves, objective="cross_entropy")
light("light-cross-lambda", halves, objective="cross_entropy_lambda")
light("light-constant", np.full(600, 3.5), objective="regression")
light("light-zero", amount, objective="regression", zero_as_missing=True, data=np.where(rows > 1, 0, rows))
kinds = generator.integers(0, 9, (600, 4)).astype(np.float32)
light(
    "light-kinds",
    (kinds[:, 0] % 2) * 3 + kinds[:, 1],
    objective="regression",
    data=kinds,
    categories=["width"],
)
light("light-linear", amount, objective="regression", linear_tree=True)

extreme("extreme-line", amount, objective="reg:squarederror")
extreme("extreme-start", amount, objective="reg:squarederror", base_score=0.25)
extreme("extreme-count", amount, objective="count:poisson")
extreme("extreme-logit", halves, objective="binary:logitraw")
extreme("extreme-two", halves, classes=2, objective="binary:logistic", base_score=0.2)
extreme("extreme-three", thirds, classes=3, objective="multi:softprob", num_class=3)
extreme("extreme-labels", thirds, classes=3, objective="multi:softmax", num_class=3)
extreme("extreme-dart", amount, objective="reg:squarederror", booster="dart", rate_drop=0.5)
extreme("extreme-forest", amount, objective="reg:squarederror", num_parallel_tree=5, subsample=0.5, rounds=3)
extreme("extreme-quantiles", amount, objective="reg:quantileerror", quantile_alpha=[0.2, 0.8])
extreme("extreme-hinge", halves, objective="binary:hinge")
extreme("extreme-linear", np.nan_to_num(amount), objective="reg:squarederror", booster="gblinear")
pairs = np.stack([np.nan_to_num(amount), np.nan_to_num(amount) * 2], axis=1)
extreme(
    "extreme-vectors",
    pairs,
    objective="reg:squarederror",
    multi_strategy="multi_output_tree",
    tree_method="hist",
)
given = xgboost.DMatrix(kinds, kinds[:, 0] % 3, feature_types=["c", "q", "q", "q"], enable_categorical=True)
xgboost.train({"max_cat_to_onehot": 1}, given, 5).save_model(folder / "extreme-kinds.ubj")

plain = xgboost.train({}, xgboost.DMatrix(rows, amount), 5)
plain.save_model(folder / "extreme-text.json")
keep("extreme-text", plain.predict(xgboost.DMatrix(asked)))
# As XGBoost's scikit-learn classes save a model whose training stopped early.
plain.set_attr(scikit_learn='{"_estimator_type": "regressor"}', best_iteration="2")
plain.save_model(folder / "extreme-early.ubj")
keep("extreme-early", plain.predict(xgboost.DMatrix(asked), iteration_range=(0, 3)))
np.savez(folder / "missing-rows.npz", input=asked[[0, 40]])
