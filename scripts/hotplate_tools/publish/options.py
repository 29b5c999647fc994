"""Options that say how a model becomes what is published, gathered into one argument each."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click

__all__ = ["convert_options", "named_path", "require_source", "variant_options"]


def convert_options[R](command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of converting a model that is not ONNX; the command gets them as `options`."""

    @wraps(command)
    def gathered(
        *arguments: Any,
        rows: Path | None,
        tolerance: float | None,
        source_path: Path | None,
        trust_pickle: bool,
        no_cache: bool,
        **others: Any,
    ) -> R:
        from hotplate_tools.convert.converted import ConvertOptions

        options = ConvertOptions(rows, tolerance, trust_pickle, source_path, cached=not no_cache)
        return command(*arguments, options=options, **others)

    wrapped: Callable[..., R] = gathered
    folder = click.Path(exists=True, file_okay=False, path_type=Path)
    file = click.Path(exists=True, dir_okay=False, path_type=Path)
    rows_help = "Evaluation rows for a converted model or a variant: .npz or .jsonl."
    for option in (
        click.option("--no-cache", is_flag=True, help="Convert anew what was converted before."),
        click.option("--trust-pickle", is_flag=True, help="Read a pickle, which runs the code in it."),
        click.option("--source-path", type=folder, help="Folder of package.module:factory; else this one."),
        click.option(
            "--tolerance",
            type=click.FloatRange(0, 1, min_open=True, max_open=True),
            help="Largest difference of a converted model, as a share of an output's largest value.",
        ),
        click.option("--rows", type=file, help=rows_help),
    ):
        wrapped = option(wrapped)
    return wrapped


def variant_options[R](command: Callable[..., R]) -> Callable[..., R]:
    """Add the options of publishing something smaller than the float graph; given as `variants`."""

    @wraps(command)
    def gathered(
        *arguments: Any, variant: tuple[str, ...], max_quality_loss: float | None, **others: Any
    ) -> R:
        return command(*arguments, variants=_wanted(variant, max_quality_loss), **others)

    wrapped: Callable[..., R] = gathered
    for option in (
        click.option(
            "--max-quality-loss",
            type=click.FloatRange(0, 1),
            help="Most that a variant may lose on the evaluation rows.  [default: 0.01]",
        ),
        click.option(
            "--variant",
            multiple=True,
            type=click.Choice(["int8", "fp16", "int4", "all"]),
            help="Publish this instead if it is smaller and good enough; may be given again.",
        ),
    ):
        wrapped = option(wrapped)
    return wrapped


def named_path(model: str) -> tuple[str | None, Path]:
    """Return the name, if there is one, and the path of a MODEL: PATH or NAME=PATH."""
    name, sign, path = model.partition("=")
    # A file may have the sign in its own name.
    if name and sign and not Path(model).exists():
        return name, Path(path)
    return None, Path(model)


def require_source(path: Path) -> None:
    """Raise a usage error unless `path` is there or reads as an entry point."""
    from hotplate_tools.convert.kinds import is_entry_point

    if not path.exists() and not is_entry_point(str(path)):
        raise click.BadParameter(f"{str(path)!r} does not exist", param_hint="PATH")


def _wanted(kinds: tuple[str, ...], loss: float | None) -> Any:
    """Return `VariantOptions`, or None; a budget without a variant is a usage error."""
    if not kinds:
        if loss is not None:
            raise click.UsageError("--max-quality-loss is for --variant, which is not there")
        return None
    from hotplate_tools.optimise.choice import KINDS, MAX_LOSS, VariantOptions

    wanted = tuple(kind for kind in KINDS if kind in kinds or "all" in kinds)
    return VariantOptions(wanted, MAX_LOSS if loss is None else loss)
