"""Train tiny scikit-learn models into argv[1]; beside each, what it was asked and what it answered."""

import sys
from pathlib import Path

import joblib
import numpy as np
import skops.io
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

folder = Path(sys.argv[1])
flowers, kinds = load_iris(return_X_y=True)
rows = flowers[::15].astype(np.float32)
texts = ["the hotplate is hot", "no café, ok?", "again: don't", "straße 42 naïve"]
scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(flowers, kinds)
words = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts * 3, ["p", "n", "p", "n"] * 3)
named = np.array(["setosa", "versicolor", "virginica"])[kinds]
forest = RandomForestClassifier(5, random_state=0).fit(flowers, named)
holed = flowers.copy()
holed[np.random.default_rng(0).random(flowers.shape) < 0.1] = np.nan
trees = {
    "tree": DecisionTreeClassifier(random_state=0).fit(holed, named),
    "wood": RandomForestRegressor(8, random_state=0).fit(holed, flowers[:, 0]),
    "extra": ExtraTreesClassifier(8, random_state=0).fit(flowers, kinds),
    "boosted": GradientBoostingClassifier(n_estimators=8, random_state=0).fit(flowers, kinds),
    "boosted-line": GradientBoostingRegressor(n_estimators=8, random_state=0).fit(flowers, flowers[:, 0]),
    "scaled-wood": make_pipeline(StandardScaler(), RandomForestClassifier(4, random_state=0)).fit(
        holed, kinds
    ),
}
histograms = {
    "histogram-two": HistGradientBoostingClassifier(max_iter=4).fit(holed, named == "setosa"),
    "histogram-three": HistGradientBoostingClassifier(max_iter=4).fit(holed, named),
    "histogram-whole": HistGradientBoostingClassifier(max_iter=4).fit(flowers, kinds),
    "histogram-line": HistGradientBoostingRegressor(max_iter=8).fit(holed, flowers[:, 0]),
    "histogram-counts": HistGradientBoostingRegressor(loss="poisson", max_iter=2).fit(flowers, kinds),
}
for name, model in {**trees, **histograms}.items():
    skops.io.dump(model, folder / f"{name}.skops")
line = LinearRegression().fit(flowers[:, :3], flowers[:, 3])

for name, model, asked in (("scaled", scaled, rows), ("forest", forest, rows)):
    skops.io.dump(model, folder / f"{name}.skops")
    labels = model.predict(asked)
    labels = labels.astype(np.int64) if labels.dtype.kind in "iu" else labels.astype("U")
    scores = model.predict_proba(asked).astype(np.float32)
    np.savez(folder / f"{name}.npz", in_input=asked, out_label=labels, out_probabilities=scores)
skops.io.dump(line, folder / "line.skops")
answers = line.predict(rows[:, :3]).astype(np.float32)[:, None]
np.savez(folder / "line.npz", in_input=rows[:, :3], out_variable=answers)
skops.io.dump(words, folder / "words.skops")
scores = words.predict_proba(texts).astype(np.float32)
asked = np.array(texts)[:, None]
np.savez(folder / "words.npz", in_input=asked, out_probabilities=scores)
np.savez(folder / "words-rows.npz", input=asked)
by_kind = HistGradientBoostingRegressor(categorical_features=[0], max_iter=2)
joblib.dump(by_kind.fit(np.c_[kinds, flowers], flowers[:, 0]), folder / "histogram-kinds.joblib")
joblib.dump(scaled, folder / "scaled.joblib")
skops.io.dump(make_pipeline(FunctionTransformer(joblib.hash), StandardScaler()), folder / "foreign.skops")
