"""What an answer hangs on, of models whose answer is known."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from hotplate.errors import HotplateError, StepTimeoutError
from hotplate.protocol.types import InferenceRequest, MetadataTensor, RequestOutput, Tensor
from hotplate.runtime.explain import BATCH, LIMIT_S, MAX_RUNS, Explanation, explain

if TYPE_CHECKING:
    from collections.abc import Callable

    type Array = np.ndarray[Any, Any]

WEIGHTS = np.array([1.0, -2.0, 0.0, 4.0])
ROWS = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


class Predictor:
    """Answers by a function of the input `x`; counts."""

    def __init__(self, answer: Callable[[Array], Array]) -> None:
        self.answer = answer
        self.sizes: list[int] = []

    def run(self, inputs: dict[str, Array], wanted: list[str]) -> dict[str, Array]:
        self.sizes.append(len(inputs["x"]))
        assert wanted == ["y"]
        return {"y": np.asarray(self.answer(inputs["x"]))}


def model(answer: Callable[[Array], Array], shape: tuple[int, ...] = (-1, 4), output: Any = "FP32") -> Any:
    manifest = SimpleNamespace(
        name="m",
        inputs=(MetadataTensor("x", "FP32", shape), MetadataTensor("t", "BYTES", (-1,), optional=True)),
        outputs=(MetadataTensor("label", "INT64", (-1,)), MetadataTensor("y", output, (-1, 2))),
    )
    return SimpleNamespace(manifest=manifest, predictor=Predictor(answer))


def linear(x: Array) -> Array:
    score = x @ WEIGHTS
    return np.stack([score, -score], axis=1)


def request(array: Array, **parameters: Any) -> InferenceRequest:
    tensor = Tensor("x", "FP32", array)
    return InferenceRequest(None, (tensor,), (RequestOutput("y", binary=False),), parameters)


def test_each_feature_of_a_linear_model_is_worth_its_weight_times_its_value() -> None:
    found = explain(model(linear), request(ROWS))
    assert found.output == "y"
    assert found.target.tolist() == [0, 0]
    assert found.score.tolist() == [13.0, 25.0]
    np.testing.assert_allclose(found.attributions["x"], ROWS * WEIGHTS)


def test_another_column_and_baseline_are_explained_when_asked_for() -> None:
    found = explain(model(linear), request(ROWS, target=1, baseline=1))
    assert found.target.tolist() == [1, 1]
    np.testing.assert_allclose(found.attributions["x"], -(ROWS - 1) * WEIGHTS)


def test_permutation_replaces_by_what_other_rows_have_and_is_the_same_each_time() -> None:
    asked = request(ROWS, method="permutation", seed=3)
    found = explain(model(linear), asked)
    # Of two rows there is one other.
    np.testing.assert_allclose(found.attributions["x"], (ROWS - ROWS[::-1]) * WEIGHTS)
    three = np.vstack([ROWS, [[0, 1, 0, 9]]]).astype(np.float32)
    runs = [explain(model(linear), request(three, method="permutation", seed=seed)) for seed in (1, 1, 2)]
    assert np.array_equal(runs[0].attributions["x"], runs[1].attributions["x"])
    assert not np.array_equal(runs[0].attributions["x"], runs[2].attributions["x"])
    assert not runs[0].attributions["x"][:, 2].any(), "of no weight"


def test_of_a_picture_only_the_patch_that_counts_is_worth_something() -> None:
    def bright_corner(x: Array) -> Array:
        score = x[:, :2, :2].sum(axis=(1, 2, 3))
        return np.stack([score, 0 * score], axis=1)

    picture = np.ones((1, 28, 28, 3), np.float32)
    asked = model(bright_corner, (-1, 28, 28, 3))
    attribution = explain(asked, request(picture)).attributions["x"]
    assert attribution.shape == picture.shape
    assert (attribution[0, :2, :2] == 12).all()
    attribution[0, :2, :2] = 0
    assert not attribution.any()
    assert sum(asked.predictor.sizes) == 1 + 14 * 14
    assert max(asked.predictor.sizes) <= BATCH


def test_long_rows_are_cut_into_pieces_that_cover_them_once() -> None:
    long = np.ones((1, 1000), np.float32)
    found = explain(model(lambda x: np.stack([x.sum(1), 0 * x[:, 0]], 1), (-1, 1000)), request(long))
    attribution = found.attributions["x"][0]
    assert set(attribution.tolist()) == {3.0, 4.0}, "the lengths of the pieces"
    starts = np.flatnonzero(np.diff(attribution, prepend=np.nan))
    assert attribution.size == 1000
    assert starts[0] == 0


def test_model_of_one_row_at_a_time_is_asked_so() -> None:
    asked = model(linear, (1, 4))
    found = explain(asked, request(ROWS[:1]))
    np.testing.assert_allclose(found.attributions["x"], ROWS[:1] * WEIGHTS)
    assert set(asked.predictor.sizes) == {1}


def test_request_is_left_as_it_came() -> None:
    array = ROWS.copy()
    array.flags.writeable = False
    explain(model(linear), request(array))
    assert np.array_equal(array, ROWS)


@pytest.mark.parametrize(
    ("array", "parameters", "words"),
    [
        (ROWS, {"method": "magic"}, "method"),
        (ROWS, {"target": 2}, "0 to 1"),
        (ROWS, {"target": -1}, "0 to 1"),
        (ROWS, {"output": "label"}, "'y'"),
        (ROWS, {"output": "nope"}, "'y'"),
        (ROWS, {"repeats": 0}, "1 to 32"),
        (ROWS, {"repeats": 33}, "1 to 32"),
        (ROWS, {"seed": -1}, "seed"),
        (ROWS, {"baseline": "black"}, "baseline"),
        (ROWS[:1], {"method": "permutation"}, "two rows"),
        (ROWS[:0], {}, "one at least"),
        (np.ones((MAX_RUNS // 4 + 1, 4), np.float32), {}, f"at most {MAX_RUNS}"),
        (np.array([[b"text"]], object), {}, "an input of numbers"),
        (np.ones(4, np.float32), {}, "an input of numbers"),
        (np.ones((1, 4), np.uint8), {"baseline": 300}, "uint8"),
        (np.ones((1, 4), np.uint8), {"baseline": 0.5}, "uint8"),
    ],
    ids=str,
)
def test_what_cannot_be_explained_is_refused_before_the_model_is_asked_again(
    array: Array, parameters: dict[str, Any], words: str
) -> None:
    asked = model(lambda x: np.ones((len(x), 2)))
    with pytest.raises(HotplateError, match=words) as raised:
        explain(asked, request(array, **parameters))
    assert "RequestError" in [kind.__name__ for kind in type(raised.value).__mro__]
    assert len(asked.predictor.sizes) <= 1


def test_model_without_scores_is_not_explained() -> None:
    with pytest.raises(HotplateError, match="this model has none"):
        explain(model(linear, output="INT64"), request(ROWS))


def test_explaining_ends_in_time() -> None:
    now = iter(range(0, 10_000, int(LIMIT_S / 2)))
    with pytest.raises(StepTimeoutError, match="send fewer rows"):
        explain(
            model(lambda x: np.ones((len(x), 2)), (-1, 200)),
            request(np.ones((4, 200), np.float32)),
            clock=lambda: next(now),
        )


def test_explanation_names_what_it_is() -> None:
    assert Explanation._fields == ("output", "target", "score", "attributions")
