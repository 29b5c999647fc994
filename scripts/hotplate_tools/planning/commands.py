"""`hotplate plan`: its arguments, and which way they lead."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.options import PngFile, as_json_option
from hotplate_tools.publish.commands import alias_option, registry_options, require_registry
from hotplate_tools.publish.options import convert_options, variant_options

if TYPE_CHECKING:
    from hotplate_tools.console import Console
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.optimise.choice import VariantOptions
    from hotplate_tools.planning.prices import Prices
    from hotplate_tools.planning.records import Description
    from hotplate_tools.planning.rules import Proposal

__all__ = ["plan"]


@click.command()
@click.argument("model", metavar="NAME|PATH")
@convert_options
@variant_options
@registry_options
@alias_option
@click.option(
    "--traffic", type=click.FloatRange(min=0, min_open=True), help="Requests a minute, one row each."
)
@click.option(
    "--code-mb",
    type=click.FloatRange(min=0),
    help="Unzipped function with its layers in MB, as `hotplate build` prints; else the layers' bound.",
)
@click.option("--arm64", is_flag=True, help="Reckon with arm64's price.")
@click.option("--no-measure", is_flag=True, help="Estimate from sizes; run nothing.")
@click.option(
    "--what-if", is_flag=True, help="Say from how many requests an hour on SageMaker is cheaper than Lambda."
)
@click.option(
    "--gpu-ms",
    type=click.FloatRange(min=0, min_open=True),
    help="With --what-if: one row on a GPU of the price table, in ms, as measured there.",
)
@click.option("--plot", type=PngFile(), help="With --what-if: draw it into this PNG file.")
@as_json_option
def plan(
    model: str,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    traffic: float | None,
    code_mb: float | None,
    *,
    options: ConvertOptions,
    variants: VariantOptions | None,
    arm64: bool,
    no_measure: bool,
    what_if: bool,
    gpu_ms: float | None,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Say how and where to run a model, why not otherwise, and what it costs.

    A PATH, as `publish` takes it, is converted, optimised and measured on this machine first; a NAME is
    read from the registry with what was measured when it was published.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.planning.answers import plan_data, plan_text
    from hotplate_tools.planning.describe import SERVING_CODE_BYTES
    from hotplate_tools.planning.prices import read_prices
    from hotplate_tools.planning.rules import propose

    if (gpu_ms or plot) and not what_if:
        raise click.UsageError("--gpu-ms and --plot are for --what-if")
    console = Console(as_json=as_json)
    code_bytes = SERVING_CODE_BYTES if code_mb is None else int(code_mb * 1e6)
    described = _local(model, options, variants, code_bytes, console, measured=not no_measure)
    if described is None:
        if variants or not options.is_default:
            raise click.UsageError("options of converting and of variants are for a PATH")
        require_registry(bucket, registry)
        described = _published(model, bucket, registry, region, alias, code_bytes, measured=not no_measure)
    prices = read_prices()
    architecture = "arm64" if arm64 else "x86_64"
    proposal = propose(described, prices, traffic=traffic, architecture=architecture)
    data, text = plan_data(proposal, prices), plan_text(proposal, prices)
    if what_if:
        more, words = _what_if(proposal, prices, architecture, gpu_ms, plot, console)
        data["what_if"] = more
        text += f"\n{words}"
    console.result(data, text)


def _local(
    model: str,
    options: ConvertOptions,
    variants: VariantOptions | None,
    code_bytes: int,
    console: Console,
    *,
    measured: bool,
) -> Description | None:
    """Return what a path or an entry point is; None of what is neither."""
    from hotplate_tools.convert.kinds import is_entry_point

    if not Path(model).exists() and not is_entry_point(model):
        return None
    from hotplate_tools.optimise.local import local_description

    return local_description(
        Path(model),
        options=options,
        variants=variants,
        code_bytes=code_bytes,
        console=console,
        measured=measured,
    )


def _published(
    model: str,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    code_bytes: int,
    *,
    measured: bool,
) -> Description:
    from hotplate_tools.planning.describe import published_description
    from hotplate_tools.publish.registry import open_store

    store = open_store(bucket=bucket, folder=registry, region=region)
    described = published_description(store, model, alias, code_bytes=code_bytes)
    return described if measured else replace(described, measurements=None)


def _what_if(
    proposal: Proposal,
    prices: Prices,
    architecture: str,
    gpu_ms: float | None,
    plot: Path | None,
    console: Console,
) -> tuple[dict[str, Any], str]:
    """Return the crossing points as data and as text, after drawing them if that is asked for."""
    from hotplate_tools.planning import whatif, whatif_answers

    found = whatif.what_if(proposal, prices, architecture=architecture, gpu_ms=gpu_ms)
    data = whatif_answers.what_if_data(found, proposal, prices)
    if plot:
        from hotplate_tools.drawing import draw

        draw("run_what_if.py", whatif_answers.what_if_job(found, proposal, prices), plot, console)
        data["plot"] = str(plot)
    return data, whatif_answers.what_if_text(found, proposal)
