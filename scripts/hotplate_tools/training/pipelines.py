"""A pipeline that comes with the project, asked on this machine: fused, of members that are built here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hotplate_tools.publish.members import DescribedMembers
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.publish.steps import draft_predictor
from hotplate_tools.training.stored import member_names, model_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate_tools.publish.model_yaml import ModelSpec
    from hotplate_tools.training.trainer import Ask

__all__ = ["asking_pipeline", "built_members"]


def built_members(spec: ModelSpec) -> DescribedMembers:
    """Return the members of a pipeline as they would be published from this machine.

    Raises:
        RefusedError: One is not built here.
    """
    return DescribedMembers([describe(model_folder(name), name) for name in member_names(spec)])


def asking_pipeline(spec: ModelSpec, assets: Mapping[str, bytes], members: DescribedMembers) -> Ask:
    """Return what answers public inputs as the endpoint will.

    Raises:
        RefusedError: Its wires do not fit, or a member does not load.
    """
    predictor = draft_predictor(spec, assets, members)
    wanted = [tensor.name for tensor in spec.outputs]
    return lambda inputs: predictor.run(inputs, wanted)
