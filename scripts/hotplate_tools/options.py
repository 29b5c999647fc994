"""Command-line options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

__all__ = ["PngFile", "as_json_option"]

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
)


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
