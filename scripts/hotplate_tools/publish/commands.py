"""`hotplate publish`, `models`, `models gc`, `promote`, `rollback`: arguments only."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from hotplate_tools.options import as_json_option
from hotplate_tools.publish.options import convert_options, require_source, variant_options

if TYPE_CHECKING:
    from hotplate_tools.convert.converted import ConvertOptions
    from hotplate_tools.optimise.choice import VariantOptions

__all__ = [
    "alias_option",
    "models",
    "promote",
    "publish",
    "registry_options",
    "require_registry",
    "rollback",
]

_SEMVER = r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?"

alias_option = click.option("--alias", default="live", show_default=True, help="The pointer to move.")


def registry_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say which registry is meant."""
    for option in (
        click.option("--region", help="Region of the bucket; else as configured for AWS."),
        click.option(
            "--registry",
            type=click.Path(file_okay=False, path_type=Path),
            help="A registry in this folder instead of a bucket.",
        ),
        click.option("--bucket", envvar="HOTPLATE_BUCKET", show_envvar=True, help="Bucket of the registry."),
    ):
        command = option(command)
    return command


@click.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", help="Model name; else the one in model.yaml, or the file's.")
@convert_options
@variant_options
@registry_options
@click.option("--version", metavar="X.Y.Z", help="Publish as this version; else it is named by its digest.")
@alias_option
@click.option(
    "--sign",
    metavar="FILE|kms:KEY",
    envvar="HOTPLATE_SIGNING_KEY",
    show_envvar=True,
    help="Sign the manifest with this key file, or with this key of AWS KMS.",
)
@click.option(
    "--fallback",
    metavar="sagemaker|MODEL",
    help="Who stands in where its function is busy or the request passes limits; else as model.yaml says.",
)
@click.option("--record-revision", is_flag=True, help="Record the git commit that last changed the source.")
@click.option("--no-promote", is_flag=True, help="Move no alias.")
@click.option("--no-measure", is_flag=True, help="Do not measure the version on this machine.")
@click.option("--dry-run", is_flag=True, help="Print the plan; write nothing.")
@as_json_option
def publish(
    path: Path,
    name: str | None,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    version: str | None,
    alias: str,
    sign: str | None,
    *,
    options: ConvertOptions,
    variants: VariantOptions | None,
    fallback: str | None,
    record_revision: bool,
    no_promote: bool,
    no_measure: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish the model at PATH.

    PATH is a folder with model.yaml, or a model: .onnx, .keras, .h5, a SavedModel folder, .pt2,
    package.module:factory (PyTorch), .skops, .joblib and .pkl if they are to be trusted, LightGBM's
    .txt, or XGBoost's .ubj and .json. What is not ONNX is converted, and refused if its answers change.

    With --variant, weights of 8, 16 or 4 bits are tried on the evaluation rows, and the smallest that
    stays within --max-quality-loss is published instead of the float graph.

    Doing so again changes nothing. A version never changes once it is published.
    """
    from dataclasses import replace

    from hotplate_tools.console import Console
    from hotplate_tools.publish.answers import published_data, published_text
    from hotplate_tools.publish.fallback import direct_route_of, with_fallback
    from hotplate_tools.publish.members import RegistryMembers
    from hotplate_tools.publish.pipeline import prepare, publish_prepared
    from hotplate_tools.publish.registry import open_store
    from hotplate_tools.publish.signing import open_signer

    require_source(path)
    _require_version(version)
    require_registry(bucket, registry)
    console = Console(as_json=as_json)
    store = open_store(bucket=bucket, folder=registry, region=region)
    signer = open_signer(sign, region=region) if sign else None
    with prepare(
        path,
        name,
        version=version,
        options=options,
        variants=variants,
        record_revision=record_revision,
        members=RegistryMembers(store),
        console=console,
    ) as found:
        prepared = replace(found, manifest=with_fallback(found.manifest, fallback))
        published = publish_prepared(
            prepared,
            store=store,
            alias=None if no_promote else alias,
            dry_run=dry_run,
            signer=signer,
            console=console,
        )
        if not (no_measure or dry_run):
            from hotplate_tools.optimise.local import measure_published

            measure_published(prepared, store=store, console=console)
    if published.fallback and (note := direct_route_of(published.name)):
        console.warn(note)
    console.result(published_data(published), published_text(published))


@click.group(invoke_without_command=True)
@registry_options
@click.option("--versions", is_flag=True, help="Every version, and the aliases that point at it.")
@as_json_option
@click.pass_context
def models(
    context: click.Context,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    *,
    versions: bool,
    as_json: bool,
) -> None:
    """List the models of a registry: task, live version, size and metrics.

    With --json all that is known of each: signature, versions, aliases with their history, path of the
    card, and USD per million requests where the publishing machine measured it.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.publish.answers import listing_text, overview_data, overview_text
    from hotplate_tools.publish.overview import overviews
    from hotplate_tools.publish.registry import open_store

    if command := context.invoked_subcommand:
        _refuse_misplaced(context, command)
        return
    require_registry(bucket, registry)
    found = overviews(open_store(bucket=bucket, folder=registry, region=region))
    text = listing_text([each.listing for each in found]) if versions else overview_text(found)
    Console(as_json=as_json).result(overview_data(found), text)


@models.command()
@registry_options
@click.option(
    "--grace-days",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Keep what was written in the last so many days: a publish may be under way.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be removed; remove nothing.")
@as_json_option
def gc(
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    grace_days: int,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove blobs that no version of any model refers to."""
    from datetime import timedelta

    from hotplate_tools.console import Console
    from hotplate_tools.publish.answers import garbage_data, garbage_text
    from hotplate_tools.publish.gc import collect, find_garbage
    from hotplate_tools.publish.registry import open_store

    require_registry(bucket, registry)
    console = Console(as_json=as_json)
    store = open_store(bucket=bucket, folder=registry, region=region)
    with console.step("Reading the registry"):
        garbage = find_garbage(store, grace=timedelta(days=grace_days))
    if not dry_run:
        collect(store, garbage, console=console)
    answer = garbage_data(garbage, dry_run=dry_run), garbage_text(garbage, dry_run=dry_run)
    console.result(*answer)


@click.command()
@click.argument("name")
@click.argument("version")
@registry_options
@alias_option
@as_json_option
def promote(
    name: str,
    version: str,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    *,
    as_json: bool,
) -> None:
    """Point an alias of model NAME at VERSION."""
    from hotplate_tools.console import Console
    from hotplate_tools.publish.aliases import promote as promote_alias
    from hotplate_tools.publish.answers import move_data, move_text
    from hotplate_tools.publish.fallback import check_fallback, live_in
    from hotplate_tools.publish.find import find_version
    from hotplate_tools.publish.registry import open_store

    require_registry(bucket, registry)
    store = open_store(bucket=bucket, folder=registry, region=region)
    check_fallback(find_version(store, name, version).manifest, live_in(store))
    done = promote_alias(store, name, version, alias)
    pointer, move = done.pointer, done.move
    data = {
        "name": name,
        "alias": alias,
        "version": version,
        "move": move_data(move) if move else None,
        "moved_by": pointer.moved_by,
        "moved_at": pointer.moved_at,
    }
    already = f"{alias} of {name} points at {version} already: by {pointer.moved_by} at {pointer.moved_at}"
    text = move_text(move) if move else already
    Console(as_json=as_json).result(data, text)


@click.command()
@click.argument("name")
@registry_options
@alias_option
@as_json_option
def rollback(
    name: str, bucket: str | None, registry: Path | None, region: str | None, alias: str, *, as_json: bool
) -> None:
    """Point an alias of model NAME at the version before; twice is where it began."""
    from hotplate_tools.console import Console
    from hotplate_tools.publish.aliases import rollback as roll_back_alias
    from hotplate_tools.publish.answers import move_data, move_text
    from hotplate_tools.publish.registry import open_store

    require_registry(bucket, registry)
    move = roll_back_alias(open_store(bucket=bucket, folder=registry, region=region), name, alias)
    data = {"name": name, "alias": alias, "version": move.to_version, "move": move_data(move)}
    Console(as_json=as_json).result(data, move_text(move))


def _refuse_misplaced(context: click.Context, command: str) -> None:
    for name in context.params:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"write the options after `{command}`")


def _require_version(version: str | None) -> None:
    if version is not None and not re.fullmatch(_SEMVER, version):
        raise click.BadParameter(f"{version!r} is no version such as 1.2.3", param_hint="--version")


def require_registry(bucket: str | None, registry: Path | None) -> None:
    """Raise a usage error unless exactly one registry is meant."""
    if not bucket and registry is None:
        raise click.UsageError("give --bucket (or set HOTPLATE_BUCKET), or --registry")
    source = click.get_current_context().get_parameter_source("bucket")
    if registry is not None and source is ParameterSource.COMMANDLINE:
        raise click.UsageError("--bucket and --registry exclude each other")
