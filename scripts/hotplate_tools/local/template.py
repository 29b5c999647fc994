"""What a SAM template says about functions and routes, read from what `sam build` wrote.

Rules kept: only the built template (`.aws-sam/build/template.yaml`) is read, because its code and
layer folders hold what Lambda would see; every value is resolved or refused by name
(`hotplate_tools.local.intrinsics`). `Globals` are merged as SAM merges them: maps key by key, lists
appended, everything else replaced.

Routes are the functions' events, and those of the API's own definition that call a function by its alias.

Not read: nested stacks, other OpenAPI documents, policies, alarms: nothing that does not
change how a function starts or which route reaches it.

Source: AWS SAM specification, "Globals section", "AWS::Serverless::Function" and "Api" event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import FailedError
from hotplate_tools.local.intrinsics import Resolver, read_yaml
from hotplate_tools.local.isolation import HEADER, SOURCE, defined_routes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["Function", "Route", "Template", "read_template"]

_QUEUE = "AWS::SQS::Queue"
_FUNCTION = "AWS::Serverless::Function"
_ROUTE_KEYS = ("Method", "Path", "ResponseTransferMode", "TimeoutInMillis")

# Source: AWS::Serverless::Function and AWS::Lambda::Function, defaults of Timeout (s), MemorySize (MB)
# and EphemeralStorage (MB).
_DEFAULT_TIMEOUT_S = 3
_DEFAULT_MEMORY_MB = 128
_DEFAULT_EPHEMERAL_MB = 512


@dataclass(frozen=True, slots=True)
class Function:
    """One function as Lambda would be told of it.

    Attributes:
        logical_id: Its id in the template.
        name: `FunctionName`, or the logical id.
        handler: As in `module.function`.
        runtime: As in `python3.13`.
        architecture: `x86_64` or `arm64`.
        code: Folder with the built code; absolute.
        layers: Folders with the built layers, lowest first; each is laid over `/opt`.
        environment: The variables the template sets.
        memory_mb, timeout_s, ephemeral_mb: Memory in MB, time-out in seconds, `/tmp` in MB.
        reserved_concurrency: Environments there may be at once, or None for no own limit.
        is_isolated: Whether each tenant has environments of its own.
    """

    logical_id: str
    name: str
    handler: str
    runtime: str
    architecture: str
    code: Path
    layers: tuple[Path, ...]
    environment: Mapping[str, str]
    memory_mb: int
    timeout_s: int
    ephemeral_mb: int
    reserved_concurrency: int | None
    is_isolated: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one resource of the API.

    Attributes:
        method: Upper case; `ANY` for every method.
        resource: As in `/v2/models/{model_name}/infer`; `{proxy+}` takes the rest of the path.
        function: Logical id of the function behind it.
        is_streamed: Whether API Gateway gives the answer on while it is made, and reads it by other rules.
        timeout_s: What API Gateway waits for the function, in seconds; None for its default.
        tells_tenant: Whether Lambda is told the tenant that the authoriser found.
    """

    method: str
    resource: str
    function: str
    is_streamed: bool = False
    timeout_s: float | None = None
    tells_tenant: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """What is served.

    Attributes:
        functions: By logical id.
        routes: Of the REST API.
        stage: Name of its stage.
        gateway_responses: Its `GatewayResponses`, by response type.
        has_authorizer: Whether it authorises callers.
        authorizer: Logical id of the function that does, if it is among `functions`.
    """

    functions: Mapping[str, Function]
    routes: tuple[Route, ...]
    stage: str
    gateway_responses: Mapping[str, Mapping[str, Any]]
    has_authorizer: bool
    authorizer: str | None = None


def read_template(
    path: Path,
    *,
    parameters: Mapping[str, str],
    bucket: str,
    functions: Sequence[str] | None = None,
    resources: Mapping[str, str] | None = None,
) -> Template:
    """Return what the built template at `path` says.

    Args:
        path: What `sam build` wrote.
        parameters: Values that override the parameters' defaults.
        bucket: What `Ref` of any bucket of the template gives; that of a table gives its logical id.
        functions: Logical ids of the functions wanted; None for all.
        resources: What `Ref` (`Id`) or `GetAtt` (`Id.Attribute`) of other resources gives.

    Raises:
        FailedError: It cannot be read or resolved, or lacks a function that is wanted.
    """
    document = read_yaml(path)
    declared: Mapping[str, Any] = document.get("Resources", {})
    known = {name: bucket for name, each in declared.items() if each.get("Type") == "AWS::S3::Bucket"}
    known |= {f"{name}.Arn": f"arn:aws:s3:::{bucket}" for name in known}
    # What calls another function is told its logical id, which is its name here; a table's and a queue's too.
    by_id = (_FUNCTION, "AWS::DynamoDB::Table", _QUEUE)
    known |= {name: name for name, each in declared.items() if each.get("Type") in by_id}
    queues = [name for name, each in declared.items() if each.get("Type") == _QUEUE]
    known |= {f"{name}.Arn": f"arn:aws:sqs:us-east-1:000000000000:{name}" for name in queues}
    resolver = Resolver(document, parameters, {**known, **(resources or {})})
    reader = _Reader(path.resolve().parent, document.get("Globals", {}), declared, resolver)
    wanted = reader.functions_there() if functions is None else list(functions)
    missing = sorted(set(wanted) - set(reader.functions_there()))
    if missing:
        raise FailedError(
            f"the template has no function {', '.join(missing)}",
            advice=f"It has {', '.join(reader.functions_there()) or 'none'}.",
        )
    guard = reader.authorizer()
    return Template(
        functions={name: reader.function(name) for name in wanted},
        routes=tuple(route for name in wanted for route in reader.routes(name)),
        stage=str(reader.api("StageName", "Prod")),  # SAM's name for the stage of an API of its own making
        gateway_responses=reader.api("GatewayResponses", {}),
        has_authorizer=bool(guard),
        authorizer=guard if guard in wanted else None,
    )


class _Reader:
    """Reads the resources of one template."""

    def __init__(
        self, root: Path, global_sections: Mapping[str, Any], declared: Mapping[str, Any], resolver: Resolver
    ) -> None:
        self._root = root
        self._globals = global_sections
        self._declared = declared
        self._resolver = resolver

    def functions_there(self) -> list[str]:
        return self._of_type(_FUNCTION)

    def function(self, logical_id: str) -> Function:
        properties = _merge(
            self._globals.get("Function", {}), self._declared[logical_id].get("Properties", {})
        )
        read = _Properties(logical_id, properties, self._resolver)
        variables = read.optional("Environment", {}).get("Variables", {})
        reserved = read.optional("ReservedConcurrentExecutions", None)
        return Function(
            logical_id=logical_id,
            name=read.optional("FunctionName", logical_id),
            handler=read.required("Handler"),
            runtime=read.required("Runtime"),
            architecture=read.optional("Architectures", ["x86_64"])[0],
            code=self._folder(logical_id, read.required("CodeUri")),
            layers=tuple(self._layer(logical_id, layer) for layer in properties.get("Layers", [])),
            environment={key: _variable(value) for key, value in variables.items()},
            memory_mb=int(read.optional("MemorySize", _DEFAULT_MEMORY_MB)),
            timeout_s=int(read.optional("Timeout", _DEFAULT_TIMEOUT_S)),
            ephemeral_mb=int(read.optional("EphemeralStorage", {}).get("Size", _DEFAULT_EPHEMERAL_MB)),
            reserved_concurrency=None if reserved is None else int(reserved),
            is_isolated=bool(read.optional("TenancyConfig", None)),
        )

    def routes(self, logical_id: str) -> list[Route]:
        return [*self._event_routes(logical_id), *self._defined_routes(logical_id)]

    def _defined_routes(self, logical_id: str) -> Iterator[Route]:
        for route in defined_routes(self._api()):
            if route.function == logical_id:
                # Wrapped in a mapping because that is where AWS::NoValue vanishes.
                given = self._resolver.value({"given": route.parameters}).get("given", {})
                tells = given.get(HEADER) == SOURCE
                yield Route(route.method, route.path, logical_id, tells_tenant=tells)

    def _event_routes(self, logical_id: str) -> list[Route]:
        events = self._declared[logical_id].get("Properties", {}).get("Events", {})
        found = (
            self._resolver.value({key: event["Properties"].get(key) for key in _ROUTE_KEYS})
            for event in events.values()
            if event.get("Type") == "Api"
        )
        return [
            Route(
                method.upper(),
                path,
                logical_id,
                is_streamed=transfer == "RESPONSE_STREAM",
                timeout_s=int(timeout_ms) / 1000 if timeout_ms else None,
            )
            for method, path, transfer, timeout_ms in (each.values() for each in found)
        ]

    def authorizer(self) -> str:
        """Return the logical id of the API's authoriser, or what else authorises; "" where nothing does."""
        auth = self._api().get("Auth", {})
        name = str(self._resolver.value(auth.get("DefaultAuthorizer", "")))
        function = auth.get("Authorizers", {}).get(name, {}).get("FunctionArn", {})
        return str(function.get("Fn::GetAtt", [name])[0])

    def api(self, name: str, default: Any) -> Any:
        """Return one property of the template's API, or `default`."""
        return self._resolver.value(self._api().get(name, default))

    def _api(self) -> Mapping[str, Any]:
        apis = [
            _merge(self._globals.get("Api", {}), self._declared[logical_id].get("Properties", {}))
            for logical_id in self._of_type("AWS::Serverless::Api")
        ]
        if len(apis) > 1:
            raise FailedError("the template has several APIs; the runtime harness serves one")
        properties = apis[0] if apis else self._globals.get("Api", {})
        if "DefinitionUri" in properties or any(not each.function for each in defined_routes(properties)):
            raise FailedError(
                "the template has routes in an OpenAPI document that call no function of its own by its alias"
            )
        return dict(properties)

    def _of_type(self, kind: str) -> list[str]:
        return [
            name
            for name, each in self._declared.items()
            if each.get("Type") == kind
            and ("Condition" not in each or self._resolver.condition(each["Condition"]))
        ]

    def _layer(self, logical_id: str, node: Any) -> Path:
        name = node.get("Ref") if isinstance(node, dict) else None
        layer = self._declared.get(str(name), {})
        if layer.get("Type") != "AWS::Serverless::LayerVersion":
            raise FailedError(f"{logical_id} has the layer {node}, which is not built by this template")
        content = self._resolver.value(layer["Properties"]["ContentUri"])
        return self._folder(str(name), content)

    def _folder(self, logical_id: str, uri: str) -> Path:
        folder = (self._root / uri).resolve()
        if not folder.is_dir():
            raise FailedError(f"{logical_id} is not built: there is no {folder}", advice="Run `sam build`.")
        return folder


class _Properties:
    """Properties of one function, each resolved when it is asked for."""

    def __init__(self, logical_id: str, properties: Mapping[str, Any], resolver: Resolver) -> None:
        self._logical_id = logical_id
        self._properties = properties
        self._resolver = resolver

    def required(self, name: str) -> str:
        if name not in self._properties:
            raise FailedError(f"{self._logical_id} has no {name}")
        return str(self._resolver.value(self._properties[name]))

    def optional(self, name: str, default: Any) -> Any:
        # NO_VALUE only survives inside a container, so a lone AWS::NoValue is caught by wrapping it.
        return self._resolver.value({name: self._properties.get(name, default)}).get(name, default)


def _variable(value: Any) -> str:
    # CloudFormation writes booleans as JSON does.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _merge(base: Any, own: Any) -> Any:
    if isinstance(base, dict) and isinstance(own, dict) and not _is_intrinsic(own):
        return {
            key: _merge(base[key], own[key]) if key in base and key in own else own.get(key, base.get(key))
            for key in {**base, **own}
        }
    if isinstance(base, list) and isinstance(own, list):
        return [*base, *own]
    return own


def _is_intrinsic(node: Mapping[str, Any]) -> bool:
    return len(node) == 1 and next(iter(node)).split("::")[0] in {"Ref", "Fn"}
