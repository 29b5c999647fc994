"""The models as OpenAI's API lists them, and its errors.

Beside the members of its model object there are ours, which its clients keep as they are, and `name` and
`ready`, because KServe's v1 has the same path for a model.

Source: OpenAI API reference, "Models" and "Error codes"; KServe, "V1 Inference Protocol".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hotplate.http.metadata import metadata_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from functions.catalogue.served import Served
    from hotplate.manifest.schema import Manifest

__all__ = ["error_body", "list_body", "model_body"]

# What a cold start fetches; files of the other roles are for one kind of processor, or are no part of it.
_FETCHED = ("graph", "weights", "asset")


def list_body(models: Sequence[Served]) -> dict[str, Any]:
    """Return the list of those that are ready."""
    ready = [model_body(each, each.manifest) for each in models if each.manifest]
    return {"object": "list", "data": ready}


def model_body(served: Served, manifest: Manifest) -> dict[str, Any]:
    """Return one model; `card` is a path of this API.

    `size` is what a cold start fetches, in bytes; of a pipeline without its `members`, which are models too.
    """
    pin = served.pin
    metadata = metadata_of(manifest, pin.version)
    has_card = pin.is_on_lambda and any(entry.role == "card" for entry in manifest.files)
    members = [member.name for member in manifest.pipeline.members] if manifest.pipeline else []
    return {
        "id": pin.name,
        "object": "model",
        "created": served.published,
        "owned_by": "hotplate",
        "name": pin.name,
        "ready": True,
        "version": pin.version,
        "task": manifest.task,
        "platform": manifest.platform,
        "inputs": metadata["inputs"],
        "outputs": metadata["outputs"],
        "metrics": manifest.provenance.metrics,
        **({"members": members} if members else {}),
        "size": sum(entry.size for entry in manifest.files if entry.role in _FETCHED),
        "tier": pin.tier,
        "memory_mb": pin.memory_mb if pin.is_on_lambda else None,
        "fallback": manifest.plan.fallback,
        "card": f"/v2/models/{pin.name}/versions/{pin.version}/card" if has_card else None,
    }


def error_body(message: str, *, kind: str, code: str, param: str | None = None) -> dict[str, Any]:
    """Return an error as OpenAI's clients read it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
