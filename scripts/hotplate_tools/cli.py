"""The command line: arguments only; each command calls one function of its own room.

Commands import their rooms when they run, so that `hotplate --help` stays quick.
"""

from __future__ import annotations

import json
import sys

import click

import hotplate
from hotplate.errors import HotplateError
from hotplate_tools.batch.commands import batch
from hotplate_tools.bench.commands import bench
from hotplate_tools.choose.commands import choose
from hotplate_tools.convert.commands import convert
from hotplate_tools.failures import ToolError
from hotplate_tools.gpu.commands import gpu
from hotplate_tools.keys.commands import keys
from hotplate_tools.keys.data import data
from hotplate_tools.keys.usage import usage
from hotplate_tools.local import commands as local
from hotplate_tools.local.sam_command import sam_local
from hotplate_tools.new.commands import new, relay
from hotplate_tools.options import as_json_option
from hotplate_tools.planning.commands import plan
from hotplate_tools.predict import predict
from hotplate_tools.publish import commands as publish
from hotplate_tools.publish import trust_commands as trust
from hotplate_tools.publish import version_commands as version
from hotplate_tools.training import commands as training

__all__ = ["cli", "main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(hotplate.__version__, prog_name="hotplate")
def cli() -> None:
    """Trained model in, HTTPS endpoint in your own AWS account out."""


@cli.command()
@as_json_option
def demo(*, as_json: bool) -> None:
    """Publish a model, start the local cloud, ask it cold and warm, stop."""
    from dataclasses import asdict

    from hotplate_tools.console import Console
    from hotplate_tools.demo import demonstrate
    from hotplate_tools.local.up import terminate_gently

    console = Console(as_json=as_json)
    with terminate_gently():
        seen = demonstrate(console)
    console.result(asdict(seen), seen.as_text())


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--architecture", type=click.Choice(["x86_64", "arm64"]), default="x86_64", show_default=True)
@click.option(
    "--signing-key",
    metavar="FILE|kms:KEY",
    envvar="HOTPLATE_SIGNING_KEY",
    show_envvar=True,
    help="The functions trust what this key signed, and nothing else.",
)
@click.argument("options", nargs=-1, metavar="[SAM DEPLOY OPTIONS]...")
def deploy(architecture: str, signing_key: str | None, options: tuple[str, ...]) -> None:
    """Build the stack and deploy it to AWS by `sam deploy`, whose options these are: --guided, for one."""
    from hotplate_tools.console import Console
    from hotplate_tools.deploy import deploy as run

    run(Console(), options, architecture=architecture, signing_key=signing_key)


for _command in (
    bench,
    new,
    relay,
    publish.publish,
    publish.models,
    publish.promote,
    publish.rollback,
    trust.signing_key,
    trust.verify,
    version.card,
    version.export,
    plan,
    predict,
    batch,
    choose,
    convert,
    data,
    gpu,
    keys,
    usage,
    training.train,
    training.evaluate,
    local.up,
    local.build,
    local.check_template,
    sam_local,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; errors end it with their exit code and one clear line."""
    try:
        cli(standalone_mode=False)
    except click.ClickException as fault:
        fault.show()
        sys.exit(fault.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except HotplateError as fault:
        _report(fault)
        sys.exit(fault.exit_code if isinstance(fault, ToolError) else 1)


def _report(fault: HotplateError) -> None:
    advice = fault.advice if isinstance(fault, ToolError) else ""
    if "--json" in sys.argv:
        sys.stdout.write(
            json.dumps({"error": str(fault), "type": type(fault).__name__, "advice": advice}) + "\n"
        )
        return
    sys.stderr.write(f"hotplate: {fault}\n" + (f"  {advice}\n" if advice else ""))


if __name__ == "__main__":
    main()
