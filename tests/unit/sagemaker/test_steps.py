"""Which steps the container puts around a graph: those of the model's function."""

from __future__ import annotations

from functions.digits import model as digits
from functions.sagemaker.loading import steps_of
from hotplate.runtime.transforms import Transforms


def test_steps_are_those_of_the_models_function() -> None:
    steps = steps_of("digits")
    assert isinstance(steps, Transforms)
    assert (steps.preprocess, steps.postprocess) == (digits.preprocess, digits.postprocess)


def test_steps_made_of_assets_are_left_to_the_loader() -> None:
    from functions.sentence_embeddings import model

    assert steps_of("sentence-embeddings") is model.transforms


def test_model_without_a_function_of_its_own_has_none() -> None:
    assert steps_of("affine") is None
