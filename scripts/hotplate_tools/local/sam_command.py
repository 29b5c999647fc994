"""`hotplate sam-local`: arguments only."""

from __future__ import annotations

import sys

import click

__all__ = ["sam_local"]


@click.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["-h", "--help"],
    }
)
@click.argument("arguments", nargs=-1, required=True, metavar="COMMAND [OPTIONS]...")
def sam_local(arguments: tuple[str, ...]) -> None:
    """Run `sam local` in containers (Docker or podman), with the models published where they can read them.

    COMMAND and OPTIONS are the SAM CLI's own, as in:

        hotplate sam-local invoke DigitsFunction -e tests/events/infer_digits.json
    """
    from hotplate_tools.console import Console
    from hotplate_tools.local.containers import sam_local as run
    from hotplate_tools.local.up import terminate_gently

    with terminate_gently():
        sys.exit(run(Console(), arguments))
