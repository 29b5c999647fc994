"""The fallback that a version names: whether it can stand in, judged by what the registry holds now.

Rules kept:

1. A fallback takes what the model takes and answers what it answers: the same inputs and outputs by name,
   datatype, shape and alternative. What they mean is the owner's affair.
2. Nobody stands in for itself, not by way of others either. The relay takes one step only, so a ring would
   do no harm there; it says that its owner meant something else.
3. `sagemaker` is the same model on the stack's endpoint, whose container runs graphs and nothing else. It
   generates no text.
4. Who stands in for a model that generates text generates text too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from hotplate.generation.chat import CONFIG, generates_text
from hotplate.http.fallback import SAGEMAKER, has_same_signature
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.new.relayed import is_relayed
from hotplate_tools.project import project_root
from hotplate_tools.publish.find import find_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hotplate.manifest.schema import Manifest
    from hotplate.store.base import Store

__all__ = ["among", "check_fallback", "direct_route_of", "live_in", "with_fallback"]


def with_fallback(manifest: Manifest, fallback: str | None) -> Manifest:
    """Return the manifest with another fallback; None leaves what its owner said in `model.yaml`.

    Raises:
        RefusedError: That is no name.
    """
    if fallback is None:
        return manifest
    plan = msgspec.structs.replace(manifest.plan, fallback=fallback)
    try:
        return msgspec.json.decode(
            msgspec.json.encode(msgspec.structs.replace(manifest, plan=plan)), type=type(manifest)
        )
    except msgspec.ValidationError as fault:
        raise RefusedError(f"--fallback {fallback!r} is neither {SAGEMAKER!r} nor a model's name") from fault


def live_in(store: Store) -> Callable[[str], Manifest]:
    """Return what finds the manifest that a model's `live` points at."""
    return lambda name: find_version(store, name).manifest


def among(manifests: Iterable[Manifest]) -> Callable[[str], Manifest]:
    """Return what finds a model's manifest among these."""
    named = {each.name: each for each in manifests}

    def find(name: str) -> Manifest:
        if name not in named:
            raise RefusedError(f"{name} is to be a fallback, and is none of {', '.join(sorted(named))}")
        return named[name]

    return find


def check_fallback(manifest: Manifest, find: Callable[[str], Manifest]) -> None:
    """Refuse a fallback that cannot stand in.

    Args:
        manifest: To be published or promoted.
        find: Returns another model's manifest.

    Raises:
        RefusedError: There is no such model, it takes or answers something else, or it leads back here.
        StoreError: The registry cannot be read.
    """
    fallback = manifest.plan.fallback
    if fallback is None:
        return
    if fallback == SAGEMAKER:
        _check_container(manifest)
        return
    if fallback == manifest.name:
        raise RefusedError(f"{manifest.name} cannot be its own fallback")
    other = find(fallback)
    if not has_same_signature(manifest, other):
        raise RefusedError(
            f"{fallback} cannot stand in for {manifest.name}: {_difference(manifest, other)}",
            advice="A fallback has the same inputs and outputs.",
        )
    if generates_text(manifest) and not generates_text(other):
        raise RefusedError(
            f"{fallback} cannot stand in for {manifest.name}: it generates no text",
            advice=f"A version that does has {CONFIG} among its assets.",
        )
    way = [manifest.name, fallback]
    while (following := other.plan.fallback) and following != SAGEMAKER:
        way.append(following)
        if following in way[:-1]:
            raise RefusedError(f"a fallback leads back: {' → '.join(way)}")
        other = find(following)


def _check_container(manifest: Manifest) -> None:
    """Refuse a model that SageMaker's container does not run as its function does."""
    if not manifest.has_graph:
        raise RefusedError(
            f"{manifest.name} is a {manifest.platform} model, and SageMaker's container runs graphs only"
        )
    if generates_text(manifest):
        raise RefusedError(
            f"{manifest.name} generates text, which SageMaker's container does not",
            advice="Name another model that generates text.",
        )


def direct_route_of(name: str) -> str:
    """Return a note where the project's template gives the model's infer route to its own function; else "".

    Of a model that the template has not, and outside of a project, nothing is known.
    """
    try:
        template = project_root() / "template.yaml"
    except FailedError:
        return ""
    if is_relayed(read_yaml(template), name) is not False:
        return ""
    return (
        f"POST /v2/models/{name}/infer goes to the model's own function, so it has no fallback there: "
        f"`hotplate relay {name}` gives that route to the relay"
    )


def _difference(one: Manifest, other: Manifest) -> str:
    for kind, mine, theirs in (
        ("input", one.inputs, other.inputs),
        ("output", one.outputs, other.outputs),
    ):
        own, their = (
            [f"{each.name} {each.datatype} {list(each.shape)}" for each in specs] for specs in (mine, theirs)
        )
        if own != their:
            return f"{kind}s are {', '.join(own)} and {', '.join(their)}"
    return "which inputs are optional, or go together, differs"
