"""`hotplate gpu`: arguments only."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.options import as_json_option, stack_options

if TYPE_CHECKING:
    from hotplate_tools.deployed import DeployedStack

__all__ = ["gpu"]

_SPAN = re.compile(r"(?=\d)(?:(\d{1,3})d)?(?:(\d{1,4})h)?(?:(\d{1,5})m)?\Z")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")


def _moment(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return a time with its zone, in seconds since 1970."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError as fault:
        raise click.BadParameter(
            f"a time such as 2026-12-01T18:00:00Z was expected, got {value!r}"
        ) from fault
    if found.tzinfo is None:
        raise click.BadParameter(f"{value!r} has no zone; 2026-12-01T18:00:00Z has")
    return found.timestamp()


def _span(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """Return a span of time, in seconds."""
    if value is None:
        return None
    found = _SPAN.match(value)
    days, hours, minutes = (int(part or 0) for part in found.groups()) if found else (0, 0, 0)
    seconds = ((days * 24 + hours) * 60 + minutes) * 60
    if not seconds:
        raise click.BadParameter(f"a span such as 90m, 8h or 1d12h was expected, got {value!r}")
    return float(seconds)


def _digest(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Return the digest of an image."""
    if value is not None and not _DIGEST.match(value):
        raise click.BadParameter(f"sha256: and 64 hex digits were expected, got {value!r}")
    return value


def _end_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option(
            "--for", "span", callback=_span, metavar="SPAN", help="It ends so long from now: 8h, 1d12h."
        ),
        click.option("--until", callback=_moment, metavar="TIME", help="It ends then: 2026-12-01T18:00:00Z."),
    ):
        command = option(command)
    return command


_dry_run_option = click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")


@click.group()
def gpu() -> None:
    """See, start, extend and stop the model of a stack that runs on SageMaker."""


@gpu.command()
@stack_options
@as_json_option
def status(*, stack: DeployedStack, as_json: bool) -> None:
    """Print what runs, until when, and what it has cost."""
    from hotplate_tools.console import Console
    from hotplate_tools.gpu.stack import gpu_stack
    from hotplate_tools.gpu.told import status_data, status_text

    data = status_data(gpu_stack(stack), time.time())
    Console(as_json=as_json).result(data, status_text(data))


@gpu.command()
@click.argument("model")
@_end_options
@click.option(
    "--budget", type=click.FloatRange(1, 100_000), required=True, help="USD that it may cost in all."
)
@click.option("--version", help="Of the model; else what --alias points at.")
@click.option("--alias", default="live", show_default=True, help="Which without --version.")
@click.option(
    "--mode",
    type=click.Choice(["async", "realtime"]),
    default="async",
    show_default=True,
    help="Requests become jobs and no instance runs while there are none, or callers wait.",
)
@click.option("--image", callback=_digest, metavar="DIGEST", help="Of the container; else the stack's.")
@click.option("--instance-type", metavar="TYPE", help="Such as ml.g5.xlarge; else the stack's.")
@click.option("--max-instances", type=click.IntRange(1, 20), help="Else the stack's.")
@click.option(
    "--usd-per-hour",
    type=click.FloatRange(0.01, 500),
    help="What one instance asks; else from the price table.",
)
@_dry_run_option
@stack_options
@as_json_option
def start(
    model: str,
    *,
    until: float | None,
    span: float | None,
    budget: float,
    dry_run: bool,
    stack: DeployedStack,
    as_json: bool,
    **how: Any,
) -> None:
    """Serve MODEL on SageMaker until a time, or until it has cost --budget, whichever is first."""
    from hotplate_tools.console import Console
    from hotplate_tools.gpu import manage
    from hotplate_tools.gpu.stack import gpu_stack
    from hotplate_tools.gpu.told import change_data, change_text

    deadline = _deadline(until, span)
    if deadline is None:
        raise click.UsageError("say when it ends, with --until or --for")
    found, console = gpu_stack(stack), Console(as_json=as_json)
    change = manage.plan_start(found, manage.Wanted(model, deadline=deadline, budget_usd=budget, **how))
    if not dry_run:
        manage.start(found, change, console)
    console.result(change_data(change, dry_run=dry_run), change_text(change, "start", dry_run=dry_run))


@gpu.command()
@_end_options
@click.option("--budget", type=click.FloatRange(1, 100_000), help="USD that it may cost in all.")
@_dry_run_option
@stack_options
@as_json_option
def extend(
    *,
    until: float | None,
    span: float | None,
    budget: float | None,
    dry_run: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Give what runs a later deadline, or a larger budget."""
    from hotplate_tools.console import Console
    from hotplate_tools.gpu import manage
    from hotplate_tools.gpu.stack import gpu_stack
    from hotplate_tools.gpu.told import change_data, change_text

    deadline = _deadline(until, span)
    if deadline is None and budget is None:
        raise click.UsageError("say until when, with --until or --for, or how much, with --budget")
    found, console = gpu_stack(stack), Console(as_json=as_json)
    change = manage.plan_extend(found, deadline=deadline, budget_usd=budget)
    if not dry_run:
        manage.extend(found, change, console)
    console.result(change_data(change, dry_run=dry_run), change_text(change, "extend", dry_run=dry_run))


@gpu.command()
@_dry_run_option
@stack_options
@as_json_option
def stop(*, dry_run: bool, stack: DeployedStack, as_json: bool) -> None:
    """End what runs, and take all that is around it out of the stack."""
    from hotplate_tools.console import Console
    from hotplate_tools.gpu import manage
    from hotplate_tools.gpu.stack import gpu_stack
    from hotplate_tools.gpu.told import change_data, change_text

    found, console = gpu_stack(stack), Console(as_json=as_json)
    change = manage.plan_stop(found)
    if not dry_run:
        manage.stop(found, change, console)
    console.result(change_data(change, dry_run=dry_run), change_text(change, "stop", dry_run=dry_run))


def _deadline(until: float | None, span: float | None) -> float | None:
    if until is not None and span is not None:
        raise click.UsageError("--until and --for say the same; give one")
    return until if span is None else time.time() + span
