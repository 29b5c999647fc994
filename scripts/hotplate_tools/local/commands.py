"""The commands of this room: `build`, `check-template` and `up`."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

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
@as_json_option
def up(
    *, port: int | None, reserved_concurrency: int | None, parameters: dict[str, str], as_json: bool
) -> None:
    """Run everything here: template deployed into a local cloud, models published, logs shown.

    Ctrl-C, or SIGTERM, stops it and leaves nothing behind. With --json one line is printed when the
    cloud is ready.
    """
    from hotplate_tools.local import up as room

    console = Console(as_json=as_json)
    with (
        room.terminate_gently(),
        room.local_cloud(
            console, port=port, reserved_concurrency=reserved_concurrency, parameters=parameters
        ) as local,
    ):
        sys.stdout.write(_ready(local, as_json=as_json) + "\n")
        sys.stdout.flush()
        # Ready was the result; being told to stop now is no failure.
        with suppress(KeyboardInterrupt):
            room.follow(local, console)


def _ready(local: LocalCloud, *, as_json: bool) -> str:
    if as_json:
        names = ("url", "endpoint", "bucket", "region", "port", "pid", "models")
        return json.dumps(
            {name: getattr(local, name) for name in names} | {"functions": dict(local.functions)}
        )
    lines = [f"Ready at {local.url}", f"  curl {local.url}/v2"]
    lines += [f"  curl {local.url}/v2/models/{name}" for name in local.models]
    lines += [f"  AWS_ENDPOINT_URL={local.endpoint} reaches its S3, Lambda and logs; bucket {local.bucket}"]
    return "\n".join([*lines, "  Ctrl-C stops it."])


def _pairs(values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, sign, _ in pairs:
        if not (name and sign):
            raise click.BadParameter(f"{name!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}
