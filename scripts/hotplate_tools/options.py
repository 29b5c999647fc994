"""Command-line options that several commands share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

__all__ = ["PngFile", "as_json_option", "stack_options"]

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
)


def stack_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which stack is meant; the command gets it as `stack`, a `DeployedStack`."""

    @functools.wraps(command)
    def with_stack(*given: Any, stack: str, endpoint: str | None, region: str | None, **named: Any) -> None:
        from hotplate_tools.deployed import DeployedStack  # brings boto3, which no help text needs

        command(*given, stack=DeployedStack(stack, endpoint, region), **named)

    made: Callable[..., None] = with_stack
    for option in (
        click.option("--region", help="AWS region; the environment's or the profile's if not given."),
        click.option("--endpoint", metavar="URL", help="Of the local cloud, as `hotplate up` prints it."),
        click.option("--stack", default="hotplate", show_default=True, help="Name of the stack."),
    ):
        made = option(made)
    return made


class PngFile(click.Path):
    """A PNG file to be written, whose folder is there: said before long work, not after it."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path.

        Raises:
            BadParameter: It ends otherwise, or has no folder.
        """
        file = Path(os.fsdecode(super().convert(value, param, ctx)))
        if file.suffix != ".png" or not file.parent.is_dir():
            self.fail(f"{str(file)!r} is no .png file in a folder that is there", param, ctx)
        return file
