"""`hotplate card` and `hotplate export`: one published version, to read or to take away; arguments only."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hotplate_tools.options import as_json_option
from hotplate_tools.publish.commands import registry_options, require_registry
from hotplate_tools.publish.trust_commands import trusted_keys, trusted_options

__all__ = ["card", "export"]

_alias_option = click.option("--alias", default="live", show_default=True, help="Which without VERSION.")


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@registry_options
@_alias_option
@as_json_option
def card(
    name: str,
    version: str | None,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    *,
    as_json: bool,
) -> None:
    """Print the model card of NAME, and beside it what was measured when it was published.

    To a file or pipe goes the card alone, byte for byte.
    """
    from hotplate_tools.console import Console
    from hotplate_tools.publish.read_card import card_data, card_text, read_published_card
    from hotplate_tools.publish.registry import open_store

    require_registry(bucket, registry)
    store = open_store(bucket=bucket, folder=registry, region=region)
    found = read_published_card(store, name, version, alias=alias)
    console = Console(as_json=as_json)
    if as_json:
        console.result(card_data(found), "")
    elif not console.document(card_text(found)):
        sys.stdout.buffer.write(found.card)


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@click.option(
    "--to",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The new folder.",
)
@registry_options
@_alias_option
@trusted_options
@click.option(
    "--openssf",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Sign the folder for OpenSSF Model Signing too, with this elliptic-curve key in PEM.",
)
@as_json_option
def export(
    name: str,
    version: str | None,
    folder: Path,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    alias: str,
    keys: tuple[str, ...],
    openssf: Path | None,
    *,
    unsigned: bool,
    as_json: bool,
) -> None:
    """Write a version of model NAME, verified, to a plain folder."""
    from hotplate_tools.console import Console
    from hotplate_tools.publish.answers import exported_data, exported_text
    from hotplate_tools.publish.export import export_version
    from hotplate_tools.publish.openssf import read_elliptic_key
    from hotplate_tools.publish.registry import open_store

    require_registry(bucket, registry)
    trusted = trusted_keys(keys, unsigned=unsigned, region=region)
    console = Console(as_json=as_json)
    exported = export_version(
        open_store(bucket=bucket, folder=registry, region=region),
        name,
        version,
        folder,
        trusted=trusted,
        alias=alias,
        openssf=read_elliptic_key(openssf) if openssf else None,
        console=console,
    )
    console.result(exported_data(exported), exported_text(exported))
