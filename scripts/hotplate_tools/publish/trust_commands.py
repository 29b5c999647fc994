"""`hotplate signing-key` and `hotplate verify`: arguments only."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from hotplate_tools.options import as_json_option
from hotplate_tools.publish.commands import registry_options, require_registry

if TYPE_CHECKING:
    from hotplate_tools.console import Console

__all__ = ["signing_key", "trusted_keys", "trusted_options", "verify"]


def trusted_options[**P, R](command: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say whose signature is trusted."""
    for option in (
        click.option("--unsigned", is_flag=True, help="Ask for no signature."),
        click.option(
            "--key",
            "keys",
            multiple=True,
            metavar="BASE64|FILE|kms:KEY",
            help="A key that is trusted; may be given several times. Required, unless --unsigned.",
        ),
    ):
        command = option(command)
    return command


def trusted_keys(keys: tuple[str, ...], *, unsigned: bool, region: str | None) -> list[bytes]:
    """Return the raw public keys that `trusted_options` name; none if no signature is asked for."""
    from hotplate_tools.publish.signing import public_key_of

    if bool(keys) == unsigned:
        raise click.UsageError("give --key, or --unsigned to ask for no signature")
    return [public_key_of(key, region=region) for key in keys]


@click.group(name="signing-key")
def signing_key() -> None:
    """Keys that sign what is published."""


@signing_key.command(name="new")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@as_json_option
def new(file: Path, *, as_json: bool) -> None:
    """Make a key in the new file FILE, and print the public key that functions are to trust.

    The file is encrypted if HOTPLATE_SIGNING_PASSPHRASE is set.
    """
    import os

    from hotplate_tools.console import Console
    from hotplate_tools.publish.signing import PASSPHRASE, new_key_file

    console = Console(as_json=as_json)
    signer = new_key_file(file)
    if not os.environ.get(PASSPHRASE):
        console.warn(f"{file} is not encrypted: whoever reads it can sign. Set {PASSPHRASE} for one that is.")
    _show(console, signer.public_key)


@signing_key.command(name="show")
@click.argument("key", metavar="FILE|kms:KEY")
@click.option("--region", help="Region of AWS KMS; else as configured for AWS.")
@as_json_option
def show(key: str, region: str | None, *, as_json: bool) -> None:
    """Print the public key of a key file, or of a key in AWS KMS."""
    from hotplate_tools.console import Console
    from hotplate_tools.publish.signing import public_key_of

    _show(Console(as_json=as_json), public_key_of(key, region=region))


@click.command()
@click.argument("name")
@click.argument("version", required=False)
@registry_options
@trusted_options
@as_json_option
def verify(
    name: str,
    version: str | None,
    bucket: str | None,
    registry: Path | None,
    region: str | None,
    keys: tuple[str, ...],
    *,
    unsigned: bool,
    as_json: bool,
) -> None:
    """Read model NAME, or one VERSION, back from the registry: manifests, signatures, files, aliases."""
    from hotplate_tools.console import Console
    from hotplate_tools.publish.answers import verified_data, verified_text
    from hotplate_tools.publish.registry import open_store
    from hotplate_tools.publish.verify import refuse_faults, verify_model

    require_registry(bucket, registry)
    trusted = trusted_keys(keys, unsigned=unsigned, region=region)
    store = open_store(bucket=bucket, folder=registry, region=region)
    found = verify_model(store, name, version, trusted=trusted)
    Console(as_json=as_json).result(verified_data(found), verified_text(found))
    refuse_faults(found)


def _show(console: Console, public_key: bytes) -> None:
    from hotplate.manifest.signature import key_id_of
    from hotplate_tools.publish.signing import pinned

    text = f"key {key_id_of(public_key)}\nTo trust it, deploy with\n  SigningKeys={pinned(public_key)}"
    console.result({"key_id": key_id_of(public_key), "public_key": pinned(public_key)}, text)
