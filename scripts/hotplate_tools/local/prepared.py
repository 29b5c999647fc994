"""What `hotplate up` serves, known before anything is started: the template's models and the user's own.

A model of the user's joins as a block of the template would: parameters, role, log group, routes and
function come from a copy of the template in which the block is made by `new.block`, so both clouds
treat it as any other. Its code is the generic function, which serves a graph's tensors as they are.

Rules kept:

1. Everything that can be refused is refused by `prepare`: after it a cloud is only started for models
   that are fit to be published.
2. Each model is converted and checked once; what was checked is what is published.
3. The project's own files stay as they are, and nothing is built for a model: the generic function and
   the layers are part of every build.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any

from hotplate.generation.chat import generates_text
from hotplate.tenants.webhooks import ANYWHERE
from hotplate_tools.failures import RefusedError
from hotplate_tools.local.build import GENERIC_FUNCTION, GENERIC_PACKAGE, build, host_architecture
from hotplate_tools.local.deployed import deploy_parameters, described_models, served_models
from hotplate_tools.local.examples import example_request
from hotplate_tools.local.intrinsics import parse_yaml
from hotplate_tools.naming import logical_prefix
from hotplate_tools.new.block import with_model
from hotplate_tools.new.relayed import relayed
from hotplate_tools.project import project_root
from hotplate_tools.publish.fallback import among, check_fallback
from hotplate_tools.publish.pipeline import describe, publish_prepared
from hotplate_tools.publish.signing import KeySigner
from hotplate_tools.publish.source import read_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from hotplate.store.base import Store
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.local.build import Build
    from hotplate_tools.local.examples import Requests
    from hotplate_tools.publish.pipeline import Described

__all__ = ["KEYED", "OPEN", "GivenModel", "Prepared", "prepare"]

# Of any cloud on this machine: receivers of webhooks run here too, and few processors do all of it.
_LOCAL = {"Webhooks": ANYWHERE, "JobConcurrency": "2", "BatchMapConcurrency": "2"}
# Parameters of an API that asks nobody who they are: what runs on a laptop, unless it is told otherwise; and
# of one that does.
OPEN = {"Auth": "", "RateLimits": "", "Open": "to-everybody-who-knows-the-url", **_LOCAL}
KEYED = {"Auth": "keys", "RateLimits": "per-tenant", "Open": "", **_LOCAL}


@dataclass(frozen=True, slots=True)
class GivenModel:
    """A model that the user wants served beside the template's.

    Attributes:
        path: As `publish` takes it.
        name: None takes the one in `model.yaml`, or the file's.
        options: How to convert it if it is not ONNX.
    """

    path: Path
    name: str | None = None
    options: ConvertOptions | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a cloud needs to serve the models.

    Attributes:
        build: The project's.
        document: The template, with a block for each given model.
        parameters: Values of its parameters; the functions trust `signer` unless they say otherwise.
        models: All that are published.
        signer: Signs them; nobody else will ever have its key.
    """

    build: Build
    document: Mapping[str, Any]
    parameters: Mapping[str, str]
    models: tuple[Described, ...]
    signer: KeySigner

    @property
    def requests(self) -> Requests:
        """A request for each model that is published, by name; see `examples.example_request`."""
        return {model.manifest.name: example_request(model) for model in self.models}

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return self.parameters["Auth"] == KEYED["Auth"]

    def build_in(self, folder: Path) -> Build:
        """Return the build with the given models; its templates are written into `folder`."""
        functions = tuple(
            name
            for name, each in self.document["Resources"].items()
            if each["Type"] == "AWS::Serverless::Function"
        )
        made = replace(
            self.build,
            template=folder / "template.json",
            local_template=folder / "local.json",
            functions=functions,
        )
        made.template.write_text(self._text(""), encoding="utf-8")
        made.local_template.write_text(self._text(".zip"), encoding="utf-8")
        return made

    def publish(self, store: Store, console: Console) -> None:
        """Publish every model, signed.

        Raises:
            StoreError: The registry cannot be read or written.
        """
        for model in _stand_ins_first(self.models):
            publish_prepared(model, store=store, signer=self.signer, console=console)

    def _text(self, suffix: str) -> str:
        built = {*self.build.functions, *self.build.layers}
        # Of code that a function of the build has too, that one's; the generic code has one of its own.
        of_code = {
            each["Properties"].get("CodeUri"): name
            for name, each in self.document["Resources"].items()
            if name in built
        } | {f"functions/{GENERIC_PACKAGE}/": GENERIC_FUNCTION}
        resources: dict[str, Any] = {}
        for name, resource in self.document["Resources"].items():
            properties = dict(resource.get("Properties", {}))
            for key in ("CodeUri", "ContentUri"):
                if key in properties:
                    part = name if name in built else of_code.get(properties[key], GENERIC_FUNCTION)
                    properties[key] = f"{self.build.folder / part}{suffix}"
            resources[name] = {**resource, "Properties": properties}
        # The local cloud's SAM transform is told no parameters, and the API's authoriser is chosen by one.
        declared = {
            name: {**each, "Default": self.parameters.get(name, each.get("Default"))}
            for name, each in self.document["Parameters"].items()
        }
        # YAML reads `Version: 2012-10-17` without quotes as a date.
        return json.dumps({**self.document, "Parameters": declared, "Resources": resources}, default=str)


def prepare(
    console: Console,
    given: Sequence[GivenModel] = (),
    *,
    reserved_concurrency: int | None = None,
    parameters: Mapping[str, str] | None = None,
) -> Prepared:
    """Return what is to be served; builds the project, starts nothing.

    Args:
        console: Told what is being done.
        given: Models to serve beside the template's.
        reserved_concurrency: Environments that each model function may have; None leaves the template's.
        parameters: Values of the template's parameters, over everything that is found out here.

    Raises:
        RefusedError: A model cannot be published, or two would have the same name.
        FailedError: The project cannot be built, or a framework installed.
    """
    document, own = _with_given(console, given)
    made = build(console, architecture=host_architecture())
    served, signer = served_models(document), KeySigner.throw_away()
    taken = {model.manifest.name for model in own}
    with console.step("Checking the models"):
        models = (*described_models(each for each in served if each.name not in taken), *own)
    manifests = [each.manifest for each in models]
    for manifest in manifests:
        check_fallback(manifest, among(manifests))
    values = deploy_parameters(served, models, reserved_concurrency, public_key=signer.public_key)
    return Prepared(made, document, OPEN | values | dict(parameters or {}), models, signer)


def _stand_ins_first(models: Sequence[Described]) -> list[Described]:
    """Return the models, each after its fallback, as publishing asks for that."""
    named = {model.manifest.name: model for model in models}
    fallbacks = {name: model.manifest.plan.fallback for name, model in named.items()}
    order = TopologicalSorter({name: [each] if each in named else [] for name, each in fallbacks.items()})
    return [named[name] for name in order.static_order()]


def _with_given(
    console: Console, given: Sequence[GivenModel]
) -> tuple[Mapping[str, Any], tuple[Described, ...]]:
    """Return the project's template with a block for each given model, and these as they are published."""
    text = (project_root() / "template.yaml").read_text(encoding="utf-8")
    document = parse_yaml(text, "template.yaml")
    _refuse_names_taken(given, document["Resources"])
    own: list[Described] = []
    for model in given:
        with console.step(f"Checking {model.path.name}"):
            described = describe(model.path, model.name, options=model.options, console=console)
        pins = described.manifest.name, described.version, described.manifest_sha256
        generates = generates_text(described.manifest)
        package = None if generates else GENERIC_PACKAGE
        text = with_model(text, document, *pins, package=package, generates=generates)
        if described.manifest.plan.fallback:
            text = relayed(text, described.manifest.name)
        document = parse_yaml(text, "template.yaml")
        own.append(described)
    return document, tuple(own)


def _refuse_names_taken(given: Sequence[GivenModel], resources: Mapping[str, Any]) -> None:
    """Refuse a name that is taken before anything is converted, which can take minutes."""
    seen: dict[str, Path] = {}
    for model in given:
        name = read_source(model.path, model.name).name
        function = f"{logical_prefix(name)}Function"
        advice = f"Give it another name: NAME={model.path}"
        if function in resources:
            raise RefusedError(
                f"{model.path} would be served as {name} by {function}, which the template has already",
                advice=advice,
            )
        if function in seen:
            raise RefusedError(
                f"{seen[function]} and {model.path} would both be served by {function}", advice=advice
            )
        seen[function] = model.path
