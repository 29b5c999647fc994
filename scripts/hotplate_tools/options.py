"""Command-line options, and checks of arguments, that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

__all__ = ["as_json_option", "convert_options", "require_source"]

as_json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print the result as one JSON document."
)


def convert_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of converting a model that is not ONNX."""
    rows = click.Path(exists=True, dir_okay=False, path_type=Path)
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    for option in (
        click.option("--trust-pickle", is_flag=True, help="Read a pickle, which runs the code in it."),
        click.option("--source-path", type=folder, help="Folder of package.module:factory; else this one."),
        click.option(
            "--tolerance",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Largest difference of a converted model, as a share of an output's largest value.",
        ),
        click.option("--rows", type=rows, help="Evaluation rows for a converted model: .npz or .jsonl."),
    ):
        command = option(command)
    return command


def require_source(path: Path) -> None:
    """Raise a usage error unless `path` is there or reads as an entry point."""
    from hotplate_tools.convert.kinds import is_entry_point

    if not path.exists() and not is_entry_point(str(path)):
        raise click.BadParameter(f"{str(path)!r} does not exist", param_hint="PATH")
