r"""Who published a version: the detached signature beside a manifest, and the rules of trust.

    models/<name>/versions/<version>/manifest.sig
    {"algorithm":"ed25519","format":1,"key_id":"<16 hex>","signature":"<base64 of 64 bytes>"}

Rules kept here:

1. What is signed is `DOMAIN` and the SHA-256 of the exact bytes of the manifest. The domain keeps a
   signature made for anything else from counting here. The digest stands for the bytes because the
   function pins it anyway, and because KMS signs at most 4096 bytes; so a signature can be checked
   while the manifest is still under way.
2. The key is found by `key_id` among those that the deployment trusts, and nowhere else: a signature
   does not bring its own key. Several may be trusted, so keys can be rotated.
3. The document is canonical like a manifest: unknown fields, other spellings, another format and
   another algorithm are refused.

No input or output, and no cryptography of our own: `Signer` and `Verifier` are the seams.

Source: RFC 8032 (Ed25519); AWS KMS API Reference, `Sign`, "Message". Format history: 1, the first.
"""

from __future__ import annotations

import binascii
from collections.abc import Sequence
from typing import Annotated, Protocol

import msgspec

from hotplate.errors import SignatureError
from hotplate.manifest.digest import sha256_hex

__all__ = [
    "ALGORITHM",
    "DOMAIN",
    "FORMAT",
    "Signature",
    "Signer",
    "Verifier",
    "decode_signature",
    "key_id_of",
    "sign",
    "signed_message",
    "verify",
]

FORMAT = 1
ALGORITHM = "ed25519"
DOMAIN = b"hotplate manifest signature 1\n"
SIGNATURE_BYTES = 64


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A signature document.

    Attributes:
        algorithm: `ALGORITHM`.
        format: `FORMAT` of the writer.
        key_id: First 16 hex digits of the SHA-256 of the signer's raw public key.
        signature: The 64 bytes; base64 in JSON.
    """

    algorithm: str
    format: int
    key_id: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{16}\Z")]
    signature: bytes


class Signer(Protocol):
    """Holds, or can use, a private key."""

    @property
    def public_key(self) -> bytes:
        """The raw public key, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Return the Ed25519 signature of `message`, 64 bytes; the same every time."""


class Verifier(Protocol):
    """Checks Ed25519 signatures."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Return whether the holder of `public_key` signed `message`."""


def key_id_of(public_key: bytes) -> str:
    """Return the short name of a raw public key: 16 hex digits. A name only; trust is in the key."""
    return sha256_hex(public_key)[:16]


def signed_message(manifest_sha256: str) -> bytes:
    """Return what is signed for the manifest with this hex digest."""
    return DOMAIN + bytes.fromhex(manifest_sha256)


def sign(manifest_sha256: str, signer: Signer) -> bytes:
    """Return the signature document; the same for the same manifest and key.

    Args:
        manifest_sha256: Hex digest of the manifest's exact bytes.
        signer: Whose key signs.
    """
    return _encode(
        Signature(
            ALGORITHM, FORMAT, key_id_of(signer.public_key), signer.sign(signed_message(manifest_sha256))
        )
    )


def verify(raw: bytes, manifest_sha256: str, *, trusted: Sequence[bytes], verifier: Verifier) -> str:
    """Check that a trusted key signed the manifest with this digest; return the key's id.

    Args:
        raw: The signature document.
        manifest_sha256: Hex digest that the manifest's bytes have.
        trusted: Raw public keys, 32 bytes each.
        verifier: Does the mathematics.

    Raises:
        SignatureError: No document of this format, an unknown key, or not that key's signature.
    """
    document = decode_signature(raw)
    keys = [key for key in trusted if key_id_of(key) == document.key_id]
    if not keys:
        raise SignatureError(
            f"signed by key {document.key_id}, which is not trusted here; "
            f"trusted: {', '.join(key_id_of(key) for key in trusted) or 'none'}"
        )
    message = signed_message(manifest_sha256)
    if not any(verifier.is_valid(key, message, document.signature) for key in keys):
        raise SignatureError(
            f"the signature is not one of key {document.key_id} over manifest {manifest_sha256[:12]}..."
        )
    return document.key_id


def decode_signature(raw: bytes) -> Signature:
    """Return the signature document in `raw`.

    Raises:
        SignatureError: Not JSON, another format or algorithm, a field missing, unknown or wrong, not
            64 bytes, or bytes that are not canonical.
    """
    head = _decoded(raw, _Head)
    if head.format != FORMAT:
        raise SignatureError(
            f"signature format {head.format}, this hotplate reads format {FORMAT}: upgrade the serving layer"
        )
    document = _decoded(raw, Signature)
    if document.algorithm != ALGORITHM:
        raise SignatureError(f"signature algorithm {document.algorithm[:20]!r}, not {ALGORITHM!r}")
    if len(document.signature) != SIGNATURE_BYTES:
        raise SignatureError(f"a signature of {len(document.signature)} bytes, not {SIGNATURE_BYTES}")
    if _encode(document) != raw:
        raise SignatureError("the signature is not in canonical form")
    return document


def _encode(document: Signature) -> bytes:
    fields = msgspec.structs.asdict(document)
    fields["signature"] = binascii.b2a_base64(document.signature, newline=False).decode()
    return msgspec.json.encode(fields, order="sorted")


def _decoded[T](raw: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise SignatureError(f"not a signature: {fault}") from fault


class _Head(msgspec.Struct):
    """Just enough of any format to tell which it is."""

    format: int
