"""The answer to `GET /v2/models/{model}`: what a manifest says of its model, for callers.

The protocol's members, and under `parameters` what it has no members for. All of it is in the
manifest, which is in memory: a request for metadata reads nothing.

Source: Open Inference Protocol v2, "Model Metadata".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest, Parity, Provenance
    from hotplate.protocol.types import MetadataTensor

__all__ = ["metadata_of"]


def metadata_of(manifest: Manifest, version: str) -> dict[str, Any]:
    """Return the metadata of a version as a JSON document."""
    parameters: dict[str, Any] = {"task": manifest.task, "labels": manifest.labels}
    if provenance := _provenance(manifest.provenance):
        parameters["provenance"] = provenance
    plan = {"fallback": manifest.plan.fallback, "max_rows": manifest.plan.max_rows}
    parameters |= {name: value for name, value in plan.items() if value is not None}
    if manifest.parity:
        parameters["parity"] = _parity(manifest.parity)
    return {
        "name": manifest.name,
        "versions": [version],
        "platform": manifest.platform,
        "inputs": [_tensor(spec) for spec in manifest.inputs],
        "outputs": [_tensor(spec) for spec in manifest.outputs],
        "parameters": {**parameters, **manifest.parameters},
    }


def _tensor(spec: MetadataTensor) -> dict[str, Any]:
    more = {"one_of": spec.one_of, "description": spec.description, "optional": spec.optional}
    parameters = {name: value for name, value in more.items() if value}
    metadata: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
    return metadata | ({"parameters": parameters} if parameters else {})


def _provenance(made: Provenance) -> dict[str, Any]:
    """Return what is stated; a field without a statement is left out."""
    fields = {name: getattr(made, name) for name in made.__struct_fields__}
    return {name: value for name, value in fields.items() if value not in (None, "", {})}


def _parity(parity: Parity) -> dict[str, Any]:
    """Return the comparison in short: the worst figure of all outputs."""
    return {
        "framework": parity.framework,
        "rows": parity.rows,
        "made_up": parity.made_up,
        "tolerance": parity.tolerance,
        "max_abs": max((output.max_abs for output in parity.outputs.values()), default=0.0),
        "max_rel": max((output.max_rel for output in parity.outputs.values()), default=0.0),
    }
