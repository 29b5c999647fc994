"""`hotplate train` and `hotplate evaluate`: arguments only."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.failures import RefusedError
from hotplate_tools.options import as_json_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.training.driver import Trained
    from hotplate_tools.training.served import Evaluated

__all__ = ["evaluate", "evaluated_table", "train"]


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
@as_json_option
def evaluate(names: tuple[str, ...], url: str, *, as_json: bool) -> None:
    """Ask a running API the held-out rows of models (all that are built here), and print a table.

    Ends with code 3 if a metric is under its bar.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.training.served import evaluate_served
    from hotplate_tools.training.stored import trained_models

    console = Console(as_json=as_json)
    found = [evaluate_served(name, url, console) for name in names or trained_models()]
    data = {"url": url, "models": [{**asdict(each), "under": each.under} for each in found]}
    console.result(data, evaluated_table(found))
    if any(each.under for each in found):
        sys.exit(RefusedError.exit_code)


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


def evaluated_table(found: Sequence[Evaluated]) -> str:
    """Return a Markdown table, a line a model."""
    lines = [
        "| model | task | held-out rows, through the endpoint | size | cold start | warm |",
        "|---|---|---|---|---|---|",
    ]
    for each in found:
        metrics = "; ".join(
            f"{name} {value:g} (bar {each.bars[name]:g}{', under it' if name in each.under else ''})"
            for name, value in each.metrics.items()
            if name in each.bars
        )
        cold = "was warm" if each.cold_ms is None else f"{each.cold_ms:.0f} ms"
        size = f"{each.size / 1e6:.2f} MB" if each.size >= 1e5 else f"{each.size / 1e3:.0f} kB"
        lines.append(f"| `{each.name}` | {each.task} | {metrics} | {size} | {cold} | {each.warm_ms:g} ms |")
    return "\n".join(lines)
