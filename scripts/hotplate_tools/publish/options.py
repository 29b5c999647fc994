"""Options of `hotplate publish` that say how a model becomes what is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from hotplate_tools.optimise.choice import VariantOptions

__all__ = ["convert_options", "variant_options", "wanted_variants"]


def convert_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of converting a model that is not ONNX."""
    rows = click.Path(exists=True, dir_okay=False, path_type=Path)
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    for option in (
        click.option("--no-cache", is_flag=True, help="Convert anew what was converted before."),
        click.option("--trust-pickle", is_flag=True, help="Read a pickle, which runs the code in it."),
        click.option("--source-path", type=folder, help="Folder of package.module:factory; else this one."),
        click.option(
            "--tolerance",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Largest difference of a converted model, as a share of an output's largest value.",
        ),
        click.option(
            "--rows", type=rows, help="Evaluation rows for a converted model or a variant: .npz or .jsonl."
        ),
    ):
        command = option(command)
    return command


def variant_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of publishing something smaller than the float graph."""
    for option in (
        click.option(
            "--max-quality-loss",
            type=click.FloatRange(0, 1),
            help="Most that a variant may lose on the evaluation rows.  [default: 0.01]",
        ),
        click.option(
            "--variant",
            "variants",
            multiple=True,
            type=click.Choice(["int8", "fp16", "int4", "all"]),
            help="Publish this instead if it is smaller and good enough; may be given again.",
        ),
    ):
        command = option(command)
    return command


def wanted_variants(kinds: tuple[str, ...], loss: float | None) -> VariantOptions | None:
    """Return what both options ask for, or None; a budget without a variant is a usage error."""
    if not kinds:
        if loss is not None:
            raise click.UsageError("--max-quality-loss is for --variant, which is not there")
        return None
    from hotplate_tools.optimise.choice import KINDS, MAX_LOSS, VariantOptions

    wanted = tuple(kind for kind in KINDS if kind in kinds or "all" in kinds)
    return VariantOptions(wanted, MAX_LOSS if loss is None else loss)
