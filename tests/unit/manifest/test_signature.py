"""Who signed what: every way in which a signature is none, and RFC 8032's own examples."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import pytest

from hotplate.errors import SignatureError
from hotplate.manifest.ed25519 import SodiumVerifier
from hotplate.manifest.signature import (
    DOMAIN,
    Verifier,
    decode_signature,
    key_id_of,
    sign,
    signed_message,
    verify,
)
from tests.support.signing import SeedSigner

DIGEST = hashlib.sha256(b"manifest").hexdigest()
OURS, THEIRS = SeedSigner(1), SeedSigner(2)
SIGNED = sign(DIGEST, OURS)

# Secret key's public key, message, signature. Source: RFC 8032, section 7.1, TEST 1, TEST 2, TEST 3.
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@dataclass(frozen=True)
class Obliging:
    """A `Verifier` that finds everything valid: what is refused with it, the rules refuse."""

    def is_valid(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return True


VERIFIERS: list[Verifier] = [SodiumVerifier(), Obliging()]


def document(**changes: Any) -> bytes:
    fields = json.loads(SIGNED) | changes
    return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()


def check(raw: bytes, *trusted: SeedSigner, digest: str = DIGEST) -> str:
    return verify(raw, digest, trusted=[key.public_key for key in trusted], verifier=SodiumVerifier())


def test_own_signature_is_trusted() -> None:
    assert check(SIGNED, OURS) == key_id_of(OURS.public_key)


def test_document_is_what_the_format_says() -> None:
    message = b"hotplate manifest signature 1\n" + bytes.fromhex(DIGEST)
    signature = base64.b64encode(OURS.sign(message)).decode()
    key_id = hashlib.sha256(OURS.public_key).hexdigest()[:16]
    expected = f'{{"algorithm":"ed25519","format":1,"key_id":"{key_id}","signature":"{signature}"}}'
    assert sign(DIGEST, OURS).decode() == expected


def test_signing_again_gives_the_same_bytes() -> None:
    assert sign(DIGEST, SeedSigner(1)) == SIGNED


def test_either_key_counts_while_one_replaces_the_other() -> None:
    assert check(SIGNED, OURS, THEIRS) == check(SIGNED, THEIRS, OURS)
    assert check(sign(DIGEST, THEIRS), OURS, THEIRS) == key_id_of(THEIRS.public_key)


@pytest.mark.parametrize("verifier", VERIFIERS, ids=["sodium", "rules alone"])
@pytest.mark.parametrize("trusted", [[], [THEIRS.public_key]], ids=["none", "another"])
def test_key_that_is_not_trusted_is_refused(verifier: Verifier, trusted: list[bytes]) -> None:
    with pytest.raises(SignatureError, match=f"{key_id_of(OURS.public_key)}, which is not trusted"):
        verify(SIGNED, DIGEST, trusted=trusted, verifier=verifier)


def test_every_bit_of_the_signature_counts() -> None:
    signature = decode_signature(SIGNED).signature
    for bit in range(len(signature) * 8):
        altered = bytearray(signature)
        altered[bit // 8] ^= 1 << bit % 8
        with pytest.raises(SignatureError, match="not one of key"):
            check(document(signature=base64.b64encode(altered).decode()), OURS)


def test_signature_of_another_manifest_is_refused() -> None:
    with pytest.raises(SignatureError, match="not one of key"):
        check(SIGNED, OURS, digest=hashlib.sha256(b"another").hexdigest())


def test_key_id_of_a_trusted_key_does_not_make_another_key_s_signature_count() -> None:
    borrowed = json.loads(sign(DIGEST, THEIRS))["signature"]
    with pytest.raises(SignatureError, match="not one of key"):
        check(document(signature=borrowed), OURS, THEIRS)


@pytest.mark.parametrize(
    "message",
    [
        bytes.fromhex(DIGEST),
        DIGEST.encode(),
        b"hotplate manifest signature 2\n" + bytes.fromhex(DIGEST),
        b"hotplate batch receipt 1\n" + bytes.fromhex(DIGEST),
        DOMAIN + DIGEST.encode(),
        DOMAIN,
    ],
    ids=["no domain", "hex digest", "newer domain", "other domain", "domain and hex", "domain alone"],
)
def test_what_was_signed_for_something_else_does_not_count(message: bytes) -> None:
    signature = base64.b64encode(OURS.sign(message)).decode()
    with pytest.raises(SignatureError, match="not one of key"):
        check(document(signature=signature), OURS)


def test_signed_message_is_short_enough_for_kms() -> None:
    assert len(signed_message(DIGEST)) <= 4096


@pytest.mark.parametrize("verifier", VERIFIERS, ids=["sodium", "rules alone"])
@pytest.mark.parametrize(
    ("raw", "match"),
    [
        (b"", "not a signature"),
        (b"null", "not a signature"),
        (b"\xff", "not a signature"),
        (b"[" * 100_000, "not a signature"),
        (SIGNED[:-1], "not a signature"),
        (SIGNED[:-10], "not a signature"),
        (SIGNED + b"\n", "canonical"),
        (b" " + SIGNED, "canonical"),
        (json.dumps(json.loads(SIGNED)).encode(), "canonical"),
        (SIGNED.replace(b'"format":1', b'"format":1,"format":1'), "canonical"),
        (document(format=2), "format 2, this hotplate reads format 1"),
        (document(format=2, algorithm="ml-dsa", signatures=[]), "format 2"),
        (document(format="1"), "not a signature"),
        (document(format=True), "not a signature"),
        (document(algorithm="none"), "algorithm 'none'"),
        (document(algorithm="ed25519ph"), "algorithm 'ed25519ph'"),
        (document(public_key="AAAA"), "not a signature"),
        (document(key_id=key_id_of(OURS.public_key).upper()), "not a signature"),
        (document(key_id=""), "not a signature"),
        (document(signature=""), "0 bytes"),
        (document(signature=base64.b64encode(bytes(63)).decode()), "63 bytes"),
        (document(signature=base64.b64encode(bytes(65)).decode()), "65 bytes"),
        (document(signature="-" * 88), "not a signature"),
        (document(signature=None), "not a signature"),
    ],
)
def test_what_is_no_signature_document_is_refused(verifier: Verifier, raw: bytes, match: str) -> None:
    with pytest.raises(SignatureError, match=match):
        verify(raw, DIGEST, trusted=[OURS.public_key], verifier=verifier)


@pytest.mark.parametrize("missing", ["algorithm", "format", "key_id", "signature"])
def test_missing_field_is_refused(missing: str) -> None:
    fields = {name: value for name, value in json.loads(SIGNED).items() if name != missing}
    with pytest.raises(SignatureError, match="not a signature"):
        check(json.dumps(fields, separators=(",", ":")).encode(), OURS)


@pytest.mark.parametrize("vector", RFC_8032, ids=["empty", "one byte", "two bytes"])
def test_verifier_agrees_with_the_rfc(vector: tuple[str, str, str]) -> None:
    key, message, signature = (bytes.fromhex(part) for part in vector)
    assert SodiumVerifier().is_valid(key, message, signature)
    assert not SodiumVerifier().is_valid(key, message + b"x", signature)


def test_seam_between_signature_and_message_does_not_move() -> None:
    message = b"a message"
    signature = OURS.sign(message)
    verifier = SodiumVerifier()
    assert verifier.is_valid(OURS.public_key, message, signature)
    assert not verifier.is_valid(OURS.public_key, message[1:], signature + message[:1])
    assert not verifier.is_valid(OURS.public_key, signature[63:] + message, signature[:63])


def test_key_of_small_order_signs_nothing() -> None:
    # The neutral point: a verifier that does not look accepts this for every message.
    neutral = b"\x01" + bytes(31)
    assert not SodiumVerifier().is_valid(neutral, b"any", neutral + bytes(32))


def test_signature_with_a_scalar_beyond_the_group_s_order_is_refused() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    signature = OURS.sign(b"m")
    larger = int.from_bytes(signature[32:], "little") + order
    assert not SodiumVerifier().is_valid(
        OURS.public_key, b"m", signature[:32] + larger.to_bytes(32, "little")
    )


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33)])
def test_key_of_another_length_signs_nothing(key: bytes) -> None:
    assert not SodiumVerifier().is_valid(key, b"m", OURS.sign(b"m"))
