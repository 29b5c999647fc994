"""What measures a model: its trainer, or an `evaluate` of its own."""

from __future__ import annotations

import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.deployed import served_models
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.project import project_root
from hotplate_tools.training.evaluation import read_measured

SERVED = [model.name for model in served_models(read_yaml(project_root() / "template.yaml"))]


@pytest.mark.parametrize("name", SERVED)
def test_every_model_of_the_template_is_measured_against_a_bar(name: str) -> None:
    measured = read_measured(name)
    assert measured.spec.name == name
    assert measured.bars
    stated = measured.spec.provenance.metrics
    # What is built on each machine states its metrics there.
    assert not stated or set(measured.bars) <= set(stated)


def test_what_nothing_measures_is_refused() -> None:
    with pytest.raises(RefusedError, match="no model 'no-such'"):
        read_measured("no-such")
