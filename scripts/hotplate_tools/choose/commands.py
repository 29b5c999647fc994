"""`hotplate choose`: arguments only."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotplate_tools.options import PngFile, as_json_option
from hotplate_tools.publish.commands import alias_option, registry_options, require_registry
from hotplate_tools.publish.options import convert_options, named_path

if TYPE_CHECKING:
    from hotplate_tools.choose.candidates import Given
    from hotplate_tools.convert.converted import ConvertOptions

__all__ = ["choose"]


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@convert_options
@click.option(
    "--task", help="All models that come with the project for this task, e.g. image-classification."
)
@click.option("--output", help="Measure quality on this output, where the rows have answers for several.")
@click.option(
    "--variant",
    multiple=True,
    type=click.Choice(["int8", "fp16", "int4", "all"]),
    help="Compare this variant of every graph too; may be given again.",
)
@click.option(
    "--traffic", type=click.FloatRange(min=0, min_open=True), help="Requests a minute, one row each."
)
@click.option("--plot", type=PngFile(), help="Draw the ranking into this PNG file.")
@registry_options
@alias_option
@as_json_option
def choose(
    models: tuple[str, ...],
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    *,
    options: ConvertOptions,
    task: str | None,
    output: str | None,
    variant: tuple[str, ...],
    traffic: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Rank candidate models on your own --rows by quality, p95, memory, cold start and money.

    Each MODEL is a PATH as `publish` takes it, NAME=PATH, or the NAME of a model that comes with the project
    or lies in the registry. Nothing is published or deployed.
    """
    from hotplate_tools.choose.answers import compared_data, compared_text
    from hotplate_tools.choose.compare import Wanted, compare
    from hotplate_tools.choose.plot import plot_job
    from hotplate_tools.console import Console
    from hotplate_tools.drawing import draw
    from hotplate_tools.optimise.choice import KINDS
    from hotplate_tools.planning.prices import read_prices
    from hotplate_tools.publish.registry import open_store

    if options.rows is None:
        raise click.UsageError("give --rows: the rows to compare on, with their expected answers")
    has_registry = bool(bucket) or registry is not None
    given = _given(models, task, has_registry=has_registry)
    is_asked = any(each.kind == "registry" for each in given)
    if is_asked:
        require_registry(bucket, registry)
    console = Console(as_json=as_json)
    wanted = Wanted(
        given=given,
        rows=options.rows,
        # A conversion is compared on rows made up of its signature, which is not known before.
        options=replace(options, rows=None),
        kinds=tuple(kind for kind in KINDS if kind in variant or "all" in variant),
        output=output,
        traffic=traffic,
        store=open_store(bucket=bucket, folder=registry, region=region) if is_asked else None,
        alias=alias,
    )
    compared, prices = compare(wanted, console), read_prices()
    if plot:
        draw("run_plot.py", plot_job(compared), plot, console)
    console.result(compared_data(compared, prices, plot), compared_text(compared, prices, plot))


def _given(models: tuple[str, ...], task: str | None, *, has_registry: bool) -> tuple[Given, ...]:
    """Return the candidates; a usage error if a MODEL is nowhere, named twice, or there is none."""
    from hotplate_tools.choose.candidates import Given
    from hotplate_tools.training.stored import models_of_task

    found = [_one(model, has_registry=has_registry) for model in models]
    if task is not None:
        names = models_of_task(task)
        if not names:
            raise click.BadParameter(
                f"no model that comes with the project has task {task!r}", param_hint="--task"
            )
        found += [Given(name, "project") for name in names if name not in models]
    if not found:
        raise click.UsageError("give MODELs, or --task")
    if twice := sorted({model for model in models if models.count(model) > 1}):
        raise click.UsageError(f"given twice: {', '.join(twice)}")
    return tuple(found)


def _one(model: str, *, has_registry: bool) -> Given:
    from hotplate_tools.choose.candidates import Given
    from hotplate_tools.convert.kinds import is_entry_point
    from hotplate_tools.publish.source import NAME
    from hotplate_tools.training.stored import source_folder

    name, path = named_path(model)
    if path.exists() or is_entry_point(str(path)):
        return Given(model, "path", path, name)
    if name is None and NAME.fullmatch(model):
        if (source_folder(model) / "model.yaml").is_file():
            return Given(model, "project")
        if has_registry:
            return Given(model, "registry")
    raise click.BadParameter(
        f"{model!r} is no path, no model that comes with the project, and none of a --registry or --bucket",
        param_hint="MODEL",
    )
