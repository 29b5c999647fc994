"""`hotplate batch`: run, status, resume, cancel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hotplate_tools.console import Console
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.options import as_json_option, stack_options

if TYPE_CHECKING:
    from hotplate_tools.batch.stack import BatchOfStack
    from hotplate_tools.deployed import DeployedStack

__all__ = ["batch"]

# Whose files are those that nobody else is named for; as usage has it of calls that nobody pays for.
OWNER = "-"
_WAIT_S = 120


@click.group()
def batch() -> None:
    """Predict files of rows: CSV, JSON Lines, Parquet, NPY and NPZ, and ZIP archives of pictures."""


@batch.command()
@click.argument("file", metavar="FILE|FOLDER|s3://BUCKET/KEY|s3://BUCKET/PREFIX/")
@click.option("--model", required=True, help="What predicts the rows.")
@click.option("--version", default="", help="Of the model, that must be served; else the run fails.")
@click.option("--tenant", default=OWNER, show_default=True, help="Who pays; `-` is the owner of the stack.")
@click.option("--options", metavar="JSON", help="About the file, as in FILE.batch.json.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder for predictions, errors and report; with a suffix, the file for predictions alone.",
)
@click.option("--no-follow", is_flag=True, help="Return when the run has begun.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing.")
@stack_options
@as_json_option
def run(
    file: str,
    *,
    model: str,
    version: str,
    tenant: str,
    options: str | None,
    out: Path | None,
    no_follow: bool,
    dry_run: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Predict the rows of FILE, follow the run to its end and print its report.

    In a FOLDER, or under a PREFIX, each file is a row: pictures, or whatever else the model reads.
    """
    from hotplate_tools.batch import files
    from hotplate_tools.batch.follow import begun
    from hotplate_tools.batch.stack import batch_of

    console, told = Console(as_json=as_json), _options(file, options, version)
    where = batch_of(stack)
    given = files.given_file(where, file)
    key = files.key_of(where, given, model, tenant)
    if dry_run:
        would = {"file": file, "bytes": given.size, "to": f"s3://{where.bucket}/{key}", "options": told}
        would |= {"files": len(given.entries)} if given.entries else {}
        what = f"{given.size:,} bytes" + (f" of {len(given.entries):,} files" if given.entries else "")
        console.result(would, f"would put {what} to {would['to']}, options {json.dumps(told)}")
        return
    etag, beside = files.put(where, given, key, told, console)
    status = begun(where, key, etag, beside, wait_s=_WAIT_S)
    if no_follow:
        console.result(status, _words(status))
        return
    _to_its_end(where, status, out, console)


@batch.command()
@click.argument("run_id", metavar="RUN")
@stack_options
@as_json_option
def status(run_id: str, *, stack: DeployedStack, as_json: bool) -> None:
    """Print how far a run is."""
    from hotplate_tools.batch.stack import batch_of

    found = batch_of(stack).ask("status", run_id)
    Console(as_json=as_json).result(found, _words(found))


@batch.command()
@click.argument("run_id", metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), help="As of `run`.")
@click.option("--no-follow", is_flag=True, help="Return when the run goes on.")
@stack_options
@as_json_option
def resume(
    run_id: str,
    *,
    out: Path | None,
    no_follow: bool,
    stack: DeployedStack,
    as_json: bool,
) -> None:
    """Take a run up again: what failed or is missing, or rows on which the model failed, and nothing else."""
    from hotplate_tools.batch.stack import batch_of

    console = Console(as_json=as_json)
    where = batch_of(stack)
    found = where.ask("resume", run_id)
    if no_follow:
        console.result(found, _words(found))
        return
    _to_its_end(where, found, out, console)


@batch.command()
@click.argument("run_id", metavar="RUN")
@stack_options
@as_json_option
def cancel(run_id: str, *, stack: DeployedStack, as_json: bool) -> None:
    """End a run. What has begun is not stopped, and without effect but on the bill."""
    from hotplate_tools.batch.stack import batch_of

    found = batch_of(stack).ask("cancel", run_id)
    Console(as_json=as_json).result(found, _words(found))


def _options(file: str, given: str | None, version: str) -> dict[str, Any]:
    """Return what is said about a file: on the command line, else in the file beside it."""
    from hotplate.aws.batch_files import SIDECAR

    beside = Path(file.rstrip("/") + SIDECAR)
    text = given if given is not None else beside.read_text() if beside.is_file() else "{}"
    try:
        told = json.loads(text)
    except json.JSONDecodeError as fault:
        raise RefusedError(f"the options are no JSON: {fault}") from fault
    if not isinstance(told, dict):
        raise RefusedError("the options are no JSON object")
    return told | ({"version": version} if version else {})


def _to_its_end(where: BatchOfStack, status: dict[str, Any], out: Path | None, console: Console) -> None:
    from hotplate_tools.batch.files import save, whole
    from hotplate_tools.batch.follow import follow

    done = follow(where, status, console)
    if done["state"] == "cancelled":
        raise FailedError(
            f"run {done['run']} was cancelled", advice="`hotplate batch resume` goes on with it."
        )
    report = whole(where, done["out"])
    saved = save(where, report, out, console) if out else []
    if done["state"] != "succeeded":
        raise FailedError(
            f"run {done['run']}: {done['state']}: {done['reason']}",
            advice=f"See s3://{where.bucket}/{done['out']}/report.json; `hotplate batch resume` goes on.",
        )
    console.result({**report, "saved": saved}, _report_words(report, saved))


def _words(status: dict[str, Any]) -> str:
    chunks, rows = status["chunks"], status["rows"]
    lines = [
        f"{status['run']}  {status['state']}  {status['model']} {status['version'] or ''}".rstrip(),
        f"  chunks {chunks['done']} done, {chunks['failed']} failed, of {chunks['all'] or '…'}",
        f"  rows {rows['predicted']:,} predicted, {rows['failed']:,} set aside",
    ]
    return "\n".join(lines + ([f"  {status['reason']}"] if status["reason"] else []))


def _report_words(report: dict[str, Any], saved: list[str]) -> str:
    rows, usage = report["rows"], report["usage"]
    rate = rows["read"] / max(report["seconds"], 1)
    lines = [
        f"{report['run']}  {report['state']}  {report['model']} {report['version']}",
        f"  rows {rows['read']:,}: {rows['predicted']:,} predicted, {rows['failed']:,} set aside",
        f"  {report['seconds']} s ({rate:,.0f} rows/s)",
        f"  {usage['billed_ms']:,} ms billed, {usage['usd']:.6f} USD",
    ]
    if again := report["resumable_rows"]:
        lines.insert(
            2, f"  on {again:,} the model failed: `hotplate batch resume {report['run']}` asks them again"
        )
    lines += [f"  {each['key']}  {each['bytes']:,} bytes" for each in report["files"].values()]
    return "\n".join(lines + [f"  saved {path}" for path in saved])
