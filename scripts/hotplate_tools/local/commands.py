"""The commands of this room: `build`, `check-template` and `up`."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.options import as_json_option

if TYPE_CHECKING:
    from hotplate_tools.local.up import LocalCloud

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
@as_json_option
def up(
    *,
    port: int | None,
    reserved_concurrency: int | None,
    parameters: dict[str, str],
    runtime: str,
    as_json: bool,
) -> None:
    """Run everything here: template deployed into a local cloud, models published, logs shown.

    Ctrl-C, or SIGTERM, stops it and leaves nothing behind. With --json one line is printed when the
    cloud is ready.
    """
    from hotplate_tools.local import strict
    from hotplate_tools.local import up as cloud

    console = Console(as_json=as_json)
    with cloud.terminate_gently(), ExitStack() as stack:
        if runtime == "rie":
            harness = stack.enter_context(
                strict.strict_cloud(
                    console, port=port, reserved_concurrency=reserved_concurrency, parameters=parameters
                )
            )
            ready, text = {"url": harness.url, "endpoint": harness.lambda_url}, _invitation(harness.url, [])
            follow = partial(strict.follow, harness, console)
        else:
            local = stack.enter_context(
                cloud.local_cloud(
                    console, port=port, reserved_concurrency=reserved_concurrency, parameters=parameters
                )
            )
            ready, text = _ready(local), _invitation(local.url, _services(local))
            follow = partial(cloud.follow, local, console)
        sys.stdout.write((json.dumps(ready) if as_json else text) + "\n")
        sys.stdout.flush()
        # Ready was the result; being told to stop now is no failure.
        with suppress(KeyboardInterrupt):
            follow()


def _ready(local: LocalCloud) -> dict[str, Any]:
    names = ("url", "endpoint", "bucket", "region", "port", "pid", "models")
    return {name: getattr(local, name) for name in names} | {"functions": dict(local.functions)}


def _services(local: LocalCloud) -> list[str]:
    return [f"AWS_ENDPOINT_URL={local.endpoint} reaches its S3, Lambda and logs; bucket {local.bucket}"]


def _invitation(url: str, more: list[str]) -> str:
    return "\n  ".join([f"Ready at {url}", f"curl {url}/v2", *more, "Ctrl-C stops it."])


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}
