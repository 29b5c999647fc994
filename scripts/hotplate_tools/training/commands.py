"""`hotplate train` and `hotplate evaluate`: arguments only."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.failures import RefusedError
from hotplate_tools.options import as_json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.training.driver import Trained

__all__ = ["evaluate", "train"]


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--missing", is_flag=True, help="All that are not built on this machine.")
@click.option("--dry-run", is_flag=True, help="Train and evaluate, but write nothing.")
@as_json_option
def train(names: tuple[str, ...], *, missing: bool, dry_run: bool, as_json: bool) -> None:
    """Train models that come with the project, hold each against its bar, write what is published."""
    from hotplate_tools.console import Console
    from hotplate_tools.training.driver import train as run
    from hotplate_tools.training.stored import missing_models

    if missing == bool(names):
        raise click.UsageError("give the names of models, or --missing")
    console = Console(as_json=as_json)
    done = [run(name, dry_run=dry_run, console=console) for name in names or missing_models()]
    text = "\n".join(_text(each, dry_run=dry_run) for each in done) or "every model is built already"
    console.result({"dry_run": dry_run, "models": [_data(each) for each in done]}, text)


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option(
    "--url", envvar="HOTPLATE_URL", show_envvar=True, required=True, help="The API's; ends before /v2."
)
@click.option(
    "--write",
    "files",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Put the tables between their marks in this file; may be given several times.",
)
@as_json_option
def evaluate(names: tuple[str, ...], url: str, files: tuple[Path, ...], *, as_json: bool) -> None:
    """Ask a running API the held-out rows of models (all that are built here), and print a table.

    Ends with code 3 if a metric is under its bar; nothing is written then.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.training.served import evaluate_served
    from hotplate_tools.training.stored import measured_models
    from hotplate_tools.training.tables import evaluated_table, write_measured

    if names and files:
        raise click.UsageError("--write is for the tables of all models, so give no names")
    console = Console(as_json=as_json)
    wanted = _wanted(files) if files else list(names) or measured_models()
    found = [evaluate_served(name, url, console) for name in wanted]
    data = {"url": url, "models": [{**asdict(each), "under": each.under} for each in found]}
    console.result(data, evaluated_table(found))
    if any(each.under for each in found):
        sys.exit(RefusedError.exit_code)
    if files:
        write_measured(files, found, console)


def _wanted(files: Sequence[Path]) -> list[str]:
    """Return all models that the template serves, which the tables are of, before anything is asked."""
    from hotplate_tools.local.deployed import served_models
    from hotplate_tools.local.intrinsics import read_yaml
    from hotplate_tools.project import project_root
    from hotplate_tools.training.stored import measured_models
    from hotplate_tools.training.tables import tables_of

    for file in files:
        tables_of(file)
    served = [model.name for model in served_models(read_yaml(project_root() / "template.yaml"))]
    if missing := sorted(set(served) - set(measured_models())):
        raise RefusedError(
            f"the tables would lack {', '.join(missing)}: not built here, or nothing measures them",
            advice="`make models` builds what is missing; docs/08-training.md says what measures a model.",
        )
    return served


def _data(trained: Trained) -> dict[str, Any]:
    written = trained.written
    return {
        "name": trained.name,
        "metrics": dict(trained.metrics),
        "bars": dict(trained.bars),
        "seconds": dict(trained.seconds),
        "folder": str(written.folder),
        "version": written.version,
        "manifest_sha256": written.manifest_sha256,
        "size": written.size,
    }


def _text(trained: Trained, *, dry_run: bool) -> str:
    written = trained.written
    lines = [f"{trained.name}, on held-out rows:"]
    for metric, value in trained.metrics.items():
        bar = f"   at least {trained.bars[metric]}" if metric in trained.bars else ""
        lines.append(f"  {metric:<24}{value:>10.4f}{bar}")
    lines.append(f"{'would write' if dry_run else 'wrote'} {written.folder}, {written.size:,} bytes")
    lines.append(f"version {written.version}, manifest SHA-256 {written.manifest_sha256}")
    return "\n".join(lines)
