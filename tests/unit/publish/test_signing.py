"""Keys that sign: files that only their owner may read, and AWS KMS."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hotplate.errors import (
    HotplateError,
    StoreDeniedError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from hotplate.manifest.ed25519 import SodiumVerifier
from hotplate.manifest.signature import sign, verify
from hotplate_tools.failures import FailedError, RefusedError
from hotplate_tools.publish.signing import (
    KeySigner,
    KmsSigner,
    new_key_file,
    open_signer,
    pinned,
    public_key_of,
    read_key_file,
)
from tests.support.signing import SeedSigner

DIGEST = "a" * 64
PASSPHRASE = {"HOTPLATE_SIGNING_PASSPHRASE": "open sesame"}


def signs(signer: KeySigner | KmsSigner) -> None:
    """What it signs, the functions' verifier finds valid under its public key."""
    verify(sign(DIGEST, signer), DIGEST, trusted=[signer.public_key], verifier=SodiumVerifier())


def test_new_key_signs_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    made = new_key_file(tmp_path / "key.pem", {})
    read = read_key_file(tmp_path / "key.pem", {})
    assert read.public_key == made.public_key
    signs(read)
    assert (tmp_path / "key.pem").stat().st_mode & 0o777 == 0o600


def test_two_new_keys_differ(tmp_path: Path) -> None:
    keys = {new_key_file(tmp_path / name, {}).public_key for name in ("a", "b")}
    assert len(keys | {KeySigner.throw_away().public_key}) == 3


def test_key_is_encrypted_with_the_passphrase_of_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    made = new_key_file(file, PASSPHRASE)
    assert read_key_file(file, PASSPHRASE).public_key == made.public_key
    with pytest.raises(RefusedError, match="is encrypted"):
        read_key_file(file, {})
    with pytest.raises(RefusedError, match="not its passphrase"):
        read_key_file(file, {"HOTPLATE_SIGNING_PASSPHRASE": "another"})


def test_passphrase_for_another_key_does_not_hurt_one_that_needs_none(tmp_path: Path) -> None:
    new_key_file(tmp_path / "key.pem", {})
    signs(read_key_file(tmp_path / "key.pem", PASSPHRASE))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o777])
def test_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    file = tmp_path / "key.pem"
    new_key_file(file, {})
    file.chmod(mode)
    with pytest.raises(RefusedError, match=f"mode {mode:04o}") as caught:
        read_key_file(file, {})
    assert "chmod 600" in caught.value.advice


def test_key_file_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("precious")
    with pytest.raises(RefusedError, match="never overwritten"):
        new_key_file(file, {})
    assert file.read_text() == "precious"


def test_key_file_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(FailedError, match="cannot be written"):
        new_key_file(tmp_path / "absent" / "key.pem", {})


def test_missing_key_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match=r"absent\.pem cannot be read"):
        open_signer(str(tmp_path / "absent.pem"), environ={})


def test_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.touch(0o600)
    file.write_bytes(pem)
    with pytest.raises(RefusedError, match="another kind of key"):
        read_key_file(file, {})


@pytest.mark.parametrize(
    "raw", [b"", b"key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
)
def test_file_that_is_no_key_is_refused(tmp_path: Path, raw: bytes) -> None:
    file = tmp_path / "key.pem"
    file.touch(0o600)
    file.write_bytes(raw)
    with pytest.raises(RefusedError, match="no private key in PEM"):
        read_key_file(file, {})


def test_public_key_is_named_by_itself_or_by_its_file(tmp_path: Path) -> None:
    made = new_key_file(tmp_path / "key.pem", {})
    for reference in (pinned(made.public_key), str(tmp_path / "key.pem")):
        assert public_key_of(reference, environ={}, region=None) == made.public_key
    assert base64.b64decode(pinned(made.public_key)) == made.public_key


def kms(*answers: tuple[str, dict[str, Any]]) -> tuple[KmsSigner, Stubber]:
    """Return a signer over a client that checks what it is asked against the service's own model."""
    client = boto3.client(
        "kms", region_name="eu-central-1", aws_access_key_id="AK", aws_secret_access_key="SK"
    )
    stubber = Stubber(client)
    for operation, answer in answers:
        stubber.add_response(operation, answer)
    stubber.activate()
    return KmsSigner(client, "alias/models"), stubber


def described(public_key: Any, spec: str, usage: str = "SIGN_VERIFY") -> tuple[str, dict[str, Any]]:
    der = public_key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return "get_public_key", {"PublicKey": der, "KeySpec": spec, "KeyUsage": usage}


OURS = Ed25519PublicKey.from_public_bytes(SeedSigner().public_key)
EDWARDS = "ECC_NIST_EDWARDS25519"


def test_kms_signs_and_libsodium_verifies() -> None:
    message = b"hotplate manifest signature 1\n" + bytes.fromhex(DIGEST)
    asked = {"KeyId": "alias/models", "MessageType": "RAW", "SigningAlgorithm": "ED25519_SHA_512"}
    signer, stubber = kms(described(OURS, EDWARDS))
    stubber.add_response("sign", {"Signature": SeedSigner().sign(message)}, {**asked, "Message": message})
    assert sign(DIGEST, signer) == sign(DIGEST, SeedSigner())
    stubber.assert_no_pending_responses()


@pytest.mark.parametrize(
    "answer",
    [
        described(ec.generate_private_key(ec.SECP256R1()).public_key(), "ECC_NIST_P256"),
        described(OURS, EDWARDS, "KEY_AGREEMENT"),
    ],
    ids=["another curve", "another use"],
)
def test_kms_key_of_another_kind_is_refused(answer: tuple[str, dict[str, Any]]) -> None:
    signer, _ = kms(answer)
    with pytest.raises(RefusedError, match="alias/models is a key of kind") as caught:
        sign(DIGEST, signer)
    assert "ECC_NIST_EDWARDS25519" in caught.value.advice


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDeniedException", StoreDeniedError),
        ("NotFoundException", StoreNotFoundError),
        ("KMSInternalException", StoreUnavailableError),
        ("DisabledException", StoreError),
    ],
)
def test_kms_fault_is_ours_and_names_the_key(code: str, error: type[HotplateError]) -> None:
    signer, stubber = kms()
    stubber.add_client_error("get_public_key", code, "because", http_status_code=400)
    with pytest.raises(error, match=f"kms:alias/models: {code} because"):
        sign(DIGEST, signer)
