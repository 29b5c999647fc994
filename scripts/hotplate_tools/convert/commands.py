"""`hotplate convert`: arguments only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotplate_tools.options import as_json_option
from hotplate_tools.publish.options import convert_options, require_source

if TYPE_CHECKING:
    from hotplate_tools.convert.converted import ConvertOptions

__all__ = ["convert"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--out",
    "folder",
    required=True,
    type=click.Path(path_type=Path),
    help="The folder to write; not there yet.",
)
@click.option("--name", help="Model name; else the one in model.yaml, or the file's.")
@convert_options
@click.option("--dry-run", is_flag=True, help="Convert and compare; write nothing.")
@as_json_option
def convert(
    path: Path,
    folder: Path,
    name: str | None,
    *,
    options: ConvertOptions,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Convert the model at PATH into a source folder that is published without its framework.

    PATH is anything that `hotplate publish` takes.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.convert.folder import convert_into

    require_source(path)
    console = Console(as_json=as_json)
    done = convert_into(path, folder, name=name, options=options, dry_run=dry_run, console=console)
    parity = done.manifest.parity
    worst = {output: each.max_rel for output, each in parity.outputs.items()} if parity else {}
    verb = "would write" if dry_run else "wrote"
    lines = [f"{verb} {folder / file}, {size:,} bytes" for file, size in done.files.items()]
    lines += [f"{output}: within {gap:g} of its largest value" for output, gap in worst.items()]
    data = {
        "name": done.manifest.name,
        "dry_run": dry_run,
        "folder": str(folder),
        "files": dict(done.files),
        "max_rel": worst,
    }
    console.result(data, "\n".join(lines))
