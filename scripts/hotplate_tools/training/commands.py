"""`hotplate train`: arguments only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.options import as_json_option

if TYPE_CHECKING:
    from hotplate_tools.training.driver import Trained

__all__ = ["train"]


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
