"""`sam local` in containers, with the models at hand.

    hotplate sam-local invoke DigitsFunction -e event.json

What it does around the SAM CLI's own command: finds a container engine, makes the base image where
podman has none, starts an S3 that the containers reach, publishes there every model that a function
of the template names (`HOTPLATE_MODEL`), and tells the functions where that is. The functions' code,
layers and memory are those of the built template.

Rules kept: nothing runs and no temporary file is left afterwards; the SAM CLI's output and exit code
are passed on as they are.

Source: AWS SAM CLI command reference, "sam local invoke"; "sam local start-api"; "sam local start-lambda".
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from hotplate.aws.s3_store import S3Store
from hotplate_tools.environments import ensure
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.cloud import run_cloud
from hotplate_tools.local.deploy import REGION, client, environment
from hotplate_tools.local.engine import Engine, container_engine, forward
from hotplate_tools.local.image import IMAGE_SETTINGS, stamp, write_image
from hotplate_tools.local.intrinsics import read_yaml
from hotplate_tools.local.lambda_runtime import LambdaRuntime, ensure_rie, ensure_runtime
from hotplate_tools.local.template import Template, read_template
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.publish.signing import KeySigner, pinned
from hotplate_tools.training.stored import is_built, model_folder, warn_of_missing

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate_tools.console import Console

__all__ = ["sam_local"]

_BUCKET = "hotplate-models"
# The SAM CLI removes its containers within seconds; what it leaves is removed with the engine.
_STOP_LIMIT_S = 30

_STAMP_LABEL = "hotplate.stamp"


def sam_local(console: Console, arguments: Sequence[str]) -> int:
    """Run `sam local <arguments>` and return its exit code.

    Args:
        console: Told what is prepared.
        arguments: As in `("invoke", "DigitsFunction", "-e", "event.json")`.

    Raises:
        FailedError: There is no container engine, or the application is not built.
        RefusedError: A model cannot be published as it is.
    """
    made = build(console, architecture=host_architecture())
    template = read_template(made.template, parameters={"Architecture": host_architecture()}, bucket=_BUCKET)
    with ExitStack() as stack:
        engine = stack.enter_context(container_engine())
        if engine.name == "podman":
            _ensure_base_images(console, engine, template)
        cloud = stack.enter_context(run_cloud(console, runtime=made.runtime))
        published = _publish(console, template, cloud.endpoint)
        port = cloud.port
        if not engine.listens_on_loopback:
            port = stack.enter_context(forward(engine.host_address, port))
        endpoint = f"http://{engine.host_address}:{port}"
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotplate-sam-")))
        given = _write_inputs(folder, made.template, published, endpoint)
        sam = [str(ensure("sam", console) / "sam"), "local", *arguments, *given]
        # The user's own AWS credentials have no business in the functions: these win.
        variables = {**os.environ, **environment(cloud.endpoint), **engine.environment}
        return _run(sam, {**variables, "SAM_CLI_TELEMETRY": "0"})


def _publish(console: Console, template: Template, endpoint: str) -> dict[str, dict[str, str]]:
    """Publish the models that functions name; return the variables each such function needs."""
    s3 = client("s3", endpoint)
    s3.create_bucket(Bucket=_BUCKET)
    store = S3Store(s3, _BUCKET)
    signer = KeySigner.throw_away()
    variables: dict[str, dict[str, str]] = {}
    models = {name: each.environment.get("HOTPLATE_MODEL") for name, each in template.functions.items()}
    warn_of_missing([model for model in models.values() if model], console)
    for name, model in models.items():
        if model and is_built(model):
            published = publish_model(model_folder(model), store=store, signer=signer, console=console)
            variables[name] = {
                "HOTPLATE_MANIFEST_SHA256": published.manifest_sha256,
                "HOTPLATE_SIGNING_KEYS": pinned(signer.public_key),
                "HOTPLATE_VERSION": published.version,
            }
    return variables


def _write_inputs(
    folder: Path, built: Path, published: Mapping[str, Mapping[str, str]], endpoint: str
) -> list[str]:
    """Write the template and the variables for the SAM CLI; return its options that name them."""
    # The CLI sets a variable only where the template declares it, so the endpoint must be declared.
    document = read_yaml(built)
    everywhere = document.setdefault("Globals", {}).setdefault("Function", {})
    everywhere.setdefault("Environment", {}).setdefault("Variables", {})["AWS_ENDPOINT_URL_S3"] = endpoint
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        for key in ("CodeUri", "ContentUri"):
            if isinstance(properties.get(key), str):
                properties[key] = str((built.parent / properties[key]).resolve())
    template, variables = folder / "template.json", folder / "variables.json"
    template.write_text(json.dumps(document), encoding="utf-8")
    common = {"HOTPLATE_BUCKET": _BUCKET}
    given = {name: {**common, **values} for name, values in published.items()}
    variables.write_text(json.dumps({"Parameters": common, **given}), encoding="utf-8")
    return [
        "--template", str(template), "--env-vars", str(variables), "--region", REGION, "--skip-pull-image",
    ]  # fmt: skip


def _ensure_base_images(console: Console, engine: Engine, template: Template) -> None:
    for function in {each.runtime: each for each in template.functions.values()}.values():
        version = function.runtime.removeprefix("python")
        name = f"public.ecr.aws/lambda/python:{version}"
        image = f"{name}-{function.architecture}"
        runtime, rie = ensure_runtime(console, function.runtime), ensure_rie(console)
        label = _label(engine, image)
        if label is None or label not in {"", stamp(runtime, rie)}:
            with console.step(f"Making a stand-in for {image}"):
                _import_image(engine, runtime, rie, image)
                # Made from the base by the CLI, which would go on using the one it made of the old base.
                engine.podman("rmi", "--force", "--ignore", f"{name}-rapid-{function.architecture}")


def _label(engine: Engine, image: str) -> str | None:
    """Return the stamp of a stand-in, an empty string for a real image, None where there is none."""
    found = json.loads(engine.podman("images", "--format", "json", "--filter", f"reference={image}"))
    return str((found[0].get("Labels") or {}).get(_STAMP_LABEL, "")) if found else None


def _import_image(engine: Engine, runtime: LambdaRuntime, rie: Path, image: str) -> None:
    settings = (*IMAGE_SETTINGS, f"LABEL {_STAMP_LABEL}={stamp(runtime, rie)}")
    changes = [part for setting in settings for part in ("--change", setting)]
    with tempfile.TemporaryFile() as archive:
        write_image(runtime, rie, archive)
        archive.seek(0)
        engine.podman("import", "--quiet", *changes, "-", image, stdin=archive)


def _run(command: list[str], environment: Mapping[str, str]) -> int:
    # A session of its own, so that Ctrl-C reaches it by us alone. It removes its containers when it is
    # told to end by SIGTERM; SIGINT it would not see where a shell started us in the background.
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        raise
