"""The commands of this room: `build`, `check-template` and `up`."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.options import as_json_option
from hotplate_tools.publish.options import convert_options, named_path, require_source

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.local.prepared import GivenModel

__all__ = ["build", "check_template", "up"]


@click.command()
@as_json_option
def build(*, as_json: bool) -> None:
    """Build functions and layers, and print their sizes against Lambda's limit."""
    from hotplate_tools.local import build as room
    from hotplate_tools.local import sizes

    console = Console(as_json=as_json)
    report = sizes.measure(room.build(console))
    console.result(report.as_dict(), report.as_text())
    sizes.refuse_oversize(report)


@click.command()
@as_json_option
def check_template(*, as_json: bool) -> None:
    """Lint template.yaml by `cfn-lint` and `sam validate --lint`."""
    from hotplate_tools.local.lint import lint_template

    console = Console(as_json=as_json)
    lint_template(console)
    console.result({"template": "ok"}, "template.yaml is valid")


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@convert_options
@click.option("--port", type=click.IntRange(1, 65535), help="TCP port on 127.0.0.1; a free one if not given.")
@click.option(
    "--reserved-concurrency",
    type=click.IntRange(0, 1000),
    help="Environments that each model function may have at once.",
)
@click.option(
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    callback=lambda _context, _option, values: _pairs(values),
    help="A parameter of the template; may be given several times.",
)
@click.option(
    "--runtime",
    type=click.Choice(["cloud", "rie"]),
    default="cloud",
    show_default=True,
    help="A local AWS with the stack deployed, or the functions on AWS's Runtime Interface Emulator.",
)
@click.option("--keys", is_flag=True, help="Callers need an API key; makes one and prints it.")
@as_json_option
def up(
    models: tuple[str, ...],
    *,
    options: ConvertOptions,
    port: int | None,
    reserved_concurrency: int | None,
    parameters: dict[str, str],
    runtime: str,
    keys: bool,
    as_json: bool,
) -> None:
    """Run everything here: template deployed into a local cloud, models published, logs shown.

    Each MODEL, a PATH as `publish` takes it or NAME=PATH, is served beside the models of the template.
    Nothing of the project is changed for it.

    Ctrl-C, or SIGTERM, stops it and leaves nothing behind. With --json one line is printed when the
    cloud is ready.
    """
    from hotplate_tools.local import strict
    from hotplate_tools.local import up as cloud
    from hotplate_tools.local.examples import example_command
    from hotplate_tools.local.prepared import KEYED

    if keys:
        parameters = {**parameters, **KEYED}
    given = _given(models, options)
    console = Console(as_json=as_json)
    start = strict.strict_cloud if runtime == "rie" else cloud.local_cloud
    with (
        cloud.terminate_gently(),
        start(
            console, given, port=port, reserved_concurrency=reserved_concurrency, parameters=parameters
        ) as running,
    ):
        examples = {
            name: example_command(running.url, name, each, running.key)
            for name, each in running.requests.items()
        }
        ready = {**running.ready(), "examples": examples}
        sys.stdout.write((json.dumps(ready) if as_json else _invitation(ready)) + "\n")
        sys.stdout.flush()
        # Ready was the result; being told to stop now is no failure.
        with suppress(KeyboardInterrupt):
            running.follow(console)


def _given(models: Sequence[str], options: ConvertOptions) -> list[GivenModel]:
    from hotplate_tools.local.prepared import GivenModel

    if not models and not options.is_default:
        raise click.UsageError(
            "--rows, --tolerance, --source-path, --trust-pickle and --no-cache are for a MODEL"
        )
    given = []
    for model in models:
        name, path = named_path(model)
        require_source(path)
        given.append(GivenModel(path, name, options))
    return given


def _invitation(ready: Mapping[str, Any]) -> str:
    from hotplate_tools.local.examples import curl_command

    lines = [
        f"Ready at {ready['url']}",
        f"{curl_command(ready['key'])} {ready['url']}/v2",
        *ready["examples"].values(),
    ]
    if "bucket" in ready:
        more = f"reaches its S3, Lambda and logs; bucket {ready['bucket']}"
        lines.append(f"AWS_ENDPOINT_URL={ready['endpoint']} {more}")
    return "\n  ".join([*lines, "Ctrl-C stops it."])


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}
