"""The signature of a version in the registry: is it there, whose is it, write it.

A signature is written once and never replaced: functions in service may trust the key that made it.
Signing the same manifest with the same key again gives the same bytes (RFC 8032), so doing it twice,
or beside another publisher, ends in the same registry.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.errors import LengthMismatchError, SignatureError, StoreNotFoundError
from hotplate.limits import MAX_SIGNATURE_BYTES
from hotplate.manifest.ed25519 import SodiumVerifier
from hotplate.manifest.layout import signature_key
from hotplate.manifest.signature import decode_signature, key_id_of, sign, verify
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from hotplate.manifest.signature import Signer
    from hotplate.store.base import Store

__all__ = ["WriteSignature", "plan_signature", "write_signature"]


@dataclass(frozen=True, slots=True)
class WriteSignature:
    """Put the signature; `exists` says that this key's signature is there already.

    Attributes:
        key: Of the object.
        body: The signature document.
        key_id, public_key: Whose key; the raw public key is what a deployment pins.
        manifest_sha256: Of what is signed.
    """

    key: str
    body: bytes
    key_id: str
    public_key: bytes
    manifest_sha256: str
    exists: bool


def plan_signature(store: Store, name: str, version: str, digest: str, signer: Signer) -> WriteSignature:
    """Return the signature that the version is to have.

    Args:
        store: The registry.
        name: Of the model.
        version: Of the model.
        digest: Hex SHA-256 of the manifest.
        signer: Asked to sign; also for a plan that is not carried out.

    Raises:
        RefusedError: Another key has signed the version, or what lies there is not its signature.
        SignatureError: The signer's signature is not valid under its own public key.
    """
    key, public_key = signature_key(name, version), signer.public_key
    body = sign(digest, signer)
    # A signer that is wrong would otherwise be found out at the first cold start.
    verify(body, digest, trusted=[public_key], verifier=SodiumVerifier())
    exists = _is_signed(store, key, digest, public_key)
    return WriteSignature(key, body, key_id_of(public_key), public_key, digest, exists)


def write_signature(store: Store, signature: WriteSignature) -> None:
    """Write a planned signature.

    Raises:
        RefusedError: Another publisher signed the version with another key meanwhile.
    """
    sha256 = hashlib.sha256(signature.body).hexdigest()
    if not store.put_new(signature.key, signature.body, sha256=sha256):
        _is_signed(store, signature.key, signature.manifest_sha256, signature.public_key)


def _is_signed(store: Store, key: str, digest: str, public_key: bytes) -> bool:
    try:
        found = store.get(key, max_bytes=MAX_SIGNATURE_BYTES).body
    except StoreNotFoundError:
        return False
    except LengthMismatchError as fault:
        raise RefusedError(f"{key} is no signature: {fault}", advice=_advice(key)) from fault
    try:
        other = decode_signature(found).key_id
        if other != key_id_of(public_key):
            raise RefusedError(
                f"{key}: signed by key {other} already, not by {key_id_of(public_key)}",
                advice=f"Deploy with both keys in SigningKeys, or replace the signature: {_advice(key)}",
            )
        verify(found, digest, trusted=[public_key], verifier=SodiumVerifier())
    except SignatureError as fault:
        raise RefusedError(f"{key} is not this version's signature: {fault}", advice=_advice(key)) from fault
    return True


def _advice(key: str) -> str:
    return f"A signature is never replaced: delete {key} and publish again."
