"""Keys that sign manifests: a key file of the publisher's, a key in AWS KMS, or one for this run only.

Rules kept:

1. A private key file is PEM, PKCS #8, Ed25519, and only its owner may read it; one that others can
   read is refused, as `ssh` does.
2. Its passphrase comes from the environment, `HOTPLATE_SIGNING_PASSPHRASE`, never from the command line.
3. A KMS key is `ECC_NIST_EDWARDS25519`: it signs there and is verified here like any other.
4. Nothing here prints or stores a private key, but `new_key_file` into the file it was asked for.

Source: RFC 8410 (Ed25519 in PKCS #8); AWS KMS API Reference, `Sign`, `GetPublicKey`.
"""

from __future__ import annotations

import base64
import os
import re
import stat
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from hotplate.aws.faults import kms_faults
from hotplate.settings import PUBLIC_KEY_BYTES
from hotplate_tools.failures import FailedError, RefusedError

if TYPE_CHECKING:
    from hotplate.manifest.signature import Signer

__all__ = [
    "PASSPHRASE",
    "KeySigner",
    "KmsSigner",
    "new_key_file",
    "open_signer",
    "pinned",
    "public_key_of",
    "read_key_file",
]

# The variable's name, not a passphrase.
PASSPHRASE = "HOTPLATE_SIGNING_PASSPHRASE"  # noqa: S105
KMS_PREFIX = "kms:"

_BASE64_KEY = re.compile(r"[A-Za-z0-9+/]{43}=")
# Real ones are below 400 bytes.
_MAX_KEY_FILE_BYTES = 16 * 1024


class KeySigner:
    """A `Signer` that holds its key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def throw_away(cls) -> KeySigner:
        """Return a signer with a new key that nobody else will ever have."""
        return cls(Ed25519PrivateKey.generate())

    @property
    def public_key(self) -> bytes:
        """See `Signer.public_key`."""
        return self._key.public_key().public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        return self._key.sign(message)


class KmsSigner:
    """A `Signer` whose key never leaves AWS KMS; two calls a publication, none a cold start.

    Args:
        client: Of KMS.
        key: Key id, key ARN, `alias/…` or alias ARN.
    """

    def __init__(self, client: Any, key: str) -> None:
        self._client = client
        self._key = key

    @cached_property
    def public_key(self) -> bytes:
        """See `Signer.public_key`.

        Raises:
            RefusedError: The key is of another kind.
            StoreError: KMS does not answer, or denies it.
        """
        with kms_faults(self._key):
            answer = self._client.get_public_key(KeyId=self._key)
        key = None
        if answer["KeyUsage"] == "SIGN_VERIFY":
            key = serialization.load_der_public_key(answer["PublicKey"])
        if not isinstance(key, Ed25519PublicKey):
            raise RefusedError(
                f"{self._key} is a key of kind {answer.get('KeySpec')} for {answer['KeyUsage']}",
                advice="aws kms create-key --key-spec ECC_NIST_EDWARDS25519 --key-usage SIGN_VERIFY",
            )
        return key.public_bytes_raw()

    def sign(self, message: bytes) -> bytes:
        """See `Signer.sign`."""
        with kms_faults(self._key):
            answer = self._client.sign(
                KeyId=self._key, Message=message, MessageType="RAW", SigningAlgorithm="ED25519_SHA_512"
            )
        return bytes(answer["Signature"])


def open_signer(
    reference: str, *, environ: Mapping[str, str] = os.environ, region: str | None = None
) -> Signer:
    """Return the signer that `--sign` names.

    Args:
        reference: `kms:` and a key of AWS KMS, or the path of a key file.
        environ: Where the passphrase of a key file is.
        region: Of KMS; None as configured for AWS.

    Raises:
        RefusedError: See `read_key_file`.
    """
    if reference.startswith(KMS_PREFIX):
        from hotplate.aws.clients import kms_client

        return KmsSigner(kms_client(region=region), reference.removeprefix(KMS_PREFIX))
    return read_key_file(Path(reference), environ)


def read_key_file(path: Path, environ: Mapping[str, str] = os.environ) -> KeySigner:
    """Return the signer whose private key is in `path`.

    Raises:
        RefusedError: Others may read the file, or it holds no Ed25519 key that the passphrase opens.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            raw = file.read(_MAX_KEY_FILE_BYTES)
    except OSError as fault:
        raise RefusedError(f"the signing key {path} cannot be read: {fault.strerror}") from fault
    if stat.S_IMODE(mode) & 0o077:
        raise RefusedError(
            f"others than its owner may use the signing key {path} (mode {stat.S_IMODE(mode):04o})",
            advice=f"chmod 600 {path}; and make a new key if others could have read it.",
        )
    passphrase = environ.get(PASSPHRASE) or None
    encrypted = b"ENCRYPTED" in raw
    if encrypted and passphrase is None:
        raise RefusedError(f"the signing key {path} is encrypted", advice=f"Set {PASSPHRASE}.")
    try:
        # A passphrase that is set for another key is no fault of a key that needs none.
        key = serialization.load_pem_private_key(raw, (passphrase or "").encode() if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as fault:
        wrong = f", or {PASSPHRASE} is not its passphrase" if encrypted else ""
        raise RefusedError(f"{path} is no private key in PEM{wrong}") from fault
    if not isinstance(key, Ed25519PrivateKey):
        raise RefusedError(f"{path} holds another kind of key than Ed25519")
    return KeySigner(key)


def new_key_file(path: Path, environ: Mapping[str, str] = os.environ) -> KeySigner:
    """Make a key, write it to the new file `path` (mode 0600), and return its signer.

    Raises:
        RefusedError: There is such a file already; it is left as it is.
        FailedError: It cannot be written.
    """
    key = Ed25519PrivateKey.generate()
    passphrase = environ.get(PASSPHRASE)
    encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if passphrase:
        encryption = serialization.BestAvailableEncryption(passphrase.encode())
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            os.fsync(file.fileno())
    except FileExistsError as fault:
        raise RefusedError(f"{path} exists; a key is never overwritten") from fault
    except OSError as fault:
        raise FailedError(f"the signing key {path} cannot be written: {fault.strerror}") from fault
    return KeySigner(key)


def pinned(public_key: bytes) -> str:
    """Return a raw public key as `HOTPLATE_SIGNING_KEYS` and the template's `SigningKeys` have it."""
    return base64.b64encode(public_key).decode()


def public_key_of(reference: str, *, environ: Mapping[str, str] = os.environ, region: str | None) -> bytes:
    """Return the raw public key that `--key` names: base64 of it, or what `open_signer` takes."""
    if _BASE64_KEY.fullmatch(reference):
        key = base64.b64decode(reference)
        if len(key) == PUBLIC_KEY_BYTES:
            return key
    return open_signer(reference, environ=environ, region=region).public_key
