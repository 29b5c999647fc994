"""Which models the template serves, and which of its parameters say so: read from the template, never listed.

A model function is one with `HOTPLATE_MODEL` in its environment; the parameters are those that its
`HOTPLATE_VERSION`, `HOTPLATE_MANIFEST_SHA256` and reserved concurrency refer to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError
from hotplate_tools.local.build import host_architecture
from hotplate_tools.publish.members import DescribedMembers
from hotplate_tools.publish.pipeline import describe
from hotplate_tools.publish.signing import pinned
from hotplate_tools.training.stored import is_built, is_pipeline, model_folder

if TYPE_CHECKING:
    from hotplate_tools.publish.pipeline import Described

__all__ = ["SIGNING_KEYS", "ServedModel", "deploy_parameters", "described_models", "served_models"]

# The template's parameter with the public keys that all its model functions trust.
SIGNING_KEYS = "SigningKeys"
# And the one with who stands in for whom.
FALLBACKS = "Fallbacks"


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A function that serves a model, with the names of the template's parameters for it.

    Attributes:
        function: Logical id.
        name: Of the model.
        version, manifest_sha256, reserved_concurrency: Names of parameters; None where the template
            gives a fixed value.
    """

    function: str
    name: str
    version: str | None
    manifest_sha256: str | None
    reserved_concurrency: str | None


def served_models(document: Mapping[str, Any]) -> list[ServedModel]:
    """Return the model functions of a template, as `read_yaml` gives it."""
    parameters = document.get("Parameters", {})
    found = []
    for function, resource in document["Resources"].items():
        properties = resource.get("Properties", {})
        variables = properties.get("Environment", {}).get("Variables", {})
        if resource["Type"] != "AWS::Serverless::Function" or "HOTPLATE_MODEL" not in variables:
            continue
        found.append(
            ServedModel(
                function=function,
                name=variables["HOTPLATE_MODEL"],
                version=_parameter(variables["HOTPLATE_VERSION"], parameters),
                manifest_sha256=_parameter(variables["HOTPLATE_MANIFEST_SHA256"], parameters),
                reserved_concurrency=_parameter(properties.get("ReservedConcurrentExecutions"), parameters),
            )
        )
    return found


def described_models(models: Iterable[ServedModel]) -> list[Described]:
    """Return those of the models that come with the project and are built here, as they would be published.

    Pipelines come last, each after its members.

    Raises:
        RefusedError: A model does not give its golden answers.
    """
    built = [model.name for model in models if is_built(model.name)]
    described = [describe(model_folder(name), name) for name in built if not is_pipeline(name)]
    members = DescribedMembers(described)
    return described + [
        describe(model_folder(name), name, members=members) for name in built if is_pipeline(name)
    ]


def deploy_parameters(
    models: Iterable[ServedModel],
    described: Iterable[Described],
    reserved_concurrency: int | None,
    *,
    public_key: bytes | None,
) -> dict[str, str]:
    """Return the template's parameters for a deployment of these models on this machine.

    Args:
        models: As `served_models` gives them; those that are not described keep the template's defaults.
        described: What is pinned.
        reserved_concurrency: For each model function; None leaves the template's.
        public_key: Raw, of whose signatures the functions are to trust; None leaves the template's.

    Raises:
        RefusedError: The concurrency of a model is no parameter.
    """
    values = {"Architecture": host_architecture()}
    if public_key is not None:
        values[SIGNING_KEYS] = pinned(public_key)
    versions = {each.manifest.name: each for each in described}
    fallbacks = {name: each.manifest.plan.fallback for name, each in versions.items()}
    # Also if there is none: what is not given keeps the value of the deployment before.
    values[FALLBACKS] = ",".join(f"{name}={each}" for name, each in fallbacks.items() if each)
    for model in models:
        if found := versions.get(model.name):
            pins = {model.version: found.version, model.manifest_sha256: found.manifest_sha256}
            values |= {parameter: value for parameter, value in pins.items() if parameter}
        if reserved_concurrency is None:
            continue
        if model.reserved_concurrency is None:
            raise RefusedError(f"the template has no parameter for the concurrency of {model.function}")
        values[model.reserved_concurrency] = str(reserved_concurrency)
    return values


def _parameter(value: Any, parameters: Mapping[str, Any]) -> str | None:
    """Return the parameter that `value` refers to, however deep."""
    if isinstance(value, dict) and value.get("Ref") in parameters:
        return str(value["Ref"])
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next((name for each in inner if (name := _parameter(each, parameters))), None)
