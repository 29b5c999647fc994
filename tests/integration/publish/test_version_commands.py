"""`hotplate card` and `hotplate export`: what was published comes out, and nothing that is not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hotplate.errors import DigestMismatchError
from hotplate.manifest.layout import blob_key, manifest_key, signature_key
from hotplate.manifest.schema import decode
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.console import Console
from hotplate_tools.environments import ensure
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.local import measure_published
from hotplate_tools.publish.pipeline import Published, prepare, publish_model
from hotplate_tools.publish.signing import pinned
from hotplate_tools.publish.version_commands import card, export
from tests.support.signing import SeedSigner
from tests.support.tiny_models import write_folder

CONSOLE = Console(as_json=True)
OURS, THEIRS = SeedSigner(1), SeedSigner(2)
KEY = ("--key", pinned(OURS.public_key))


@click.group()
def cli() -> None:
    """Only the commands of this room."""


cli.add_command(card)
cli.add_command(export)


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    return tmp_path / "registry"


@pytest.fixture
def published(tmp_path: Path, registry: Path) -> Published:
    source = write_folder(tmp_path / "source")
    (source / "card.md").write_text("---\nlicense: mit\n---\n\n# Größe\n")
    store = FilesystemStore(registry)
    return publish_model(source, store=store, signer=OURS, console=CONSOLE)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [*map(str, arguments)], env={"HOTPLATE_BUCKET": None})


def refusal(*arguments: str | Path) -> str:
    fault = run(*arguments).exception
    assert isinstance(fault, RefusedError), fault
    return f"{fault} {fault.advice}"


def measure(source: Path, registry: Path) -> None:
    with prepare(source) as prepared:
        measure_published(prepared, store=FilesystemStore(registry), console=CONSOLE)


@pytest.mark.parametrize("versions", [(), ("published",)])
def test_card_is_printed_byte_for_byte(
    published: Published, registry: Path, tmp_path: Path, versions: tuple[str, ...]
) -> None:
    chosen = [published.version for _ in versions]
    result = run("card", "affine", *chosen, "--registry", registry)
    assert result.stdout_bytes == (tmp_path / "source/card.md").read_bytes()


def test_card_as_json_has_its_head_and_the_measurements_beside_it(
    published: Published, registry: Path, tmp_path: Path
) -> None:
    measure(tmp_path / "source", registry)
    found: dict[str, Any] = json.loads(run("card", "affine", "--registry", registry, "--json").stdout)
    assert (found["version"], found["head"]) == (published.version, {"license": "mit"})
    assert found["card"].endswith("# Größe\n")
    assert found["measurements"]["forms"][0]["steady_ms"] >= 0


def test_card_on_a_terminal_is_laid_out_with_what_was_measured(
    published: Published, registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(tmp_path / "source", registry)
    monkeypatch.setenv("FORCE_COLOR", "1")
    text = run("card", "affine", "--registry", registry).stdout
    assert "Größe" in text
    assert "# Größe" not in text
    assert "measured on" in text


def test_card_that_is_not_there_is_refused(published: Published, registry: Path) -> None:
    assert "no alias 'live'" in refusal("card", "other", "--registry", registry)
    assert "no version 0" in refusal("card", "affine", "0", "--registry", registry)


def test_altered_card_is_not_printed(published: Published, registry: Path) -> None:
    manifest = decode((registry / manifest_key("affine", published.version)).read_bytes())
    blob = registry / blob_key(manifest.file("card").sha256)
    blob.write_bytes(blob.read_bytes().replace(b"mit", b"gpl"))
    result = run("card", "affine", "--registry", registry)
    assert isinstance(result.exception, DigestMismatchError)
    assert result.stdout == ""


def test_export_is_the_version_and_what_signed_it(
    published: Published, registry: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = run("export", "affine", "--to", out, "--registry", registry, *KEY, "--json")
    assert json.loads(result.stdout)["files"] == [
        "card.md", "golden.jsonl", "manifest.json", "manifest.sig", "model.onnx"
    ]  # fmt: skip
    raw = (out / "manifest.json").read_bytes()
    assert hashlib.sha256(raw).hexdigest() == published.manifest_sha256
    for entry in decode(raw).files:
        assert hashlib.sha256((out / entry.path).read_bytes()).hexdigest() == entry.sha256
    assert (out / "manifest.sig").read_bytes() == (
        registry / signature_key("affine", published.version)
    ).read_bytes()


def test_export_into_a_folder_that_holds_something_is_refused(
    published: Published, registry: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    assert run("export", "affine", "--to", tmp_path / "out", "--registry", registry, *KEY).exit_code == 0
    assert "not an empty folder" in refusal(
        "export", "affine", "--to", tmp_path / "out", "--registry", registry, *KEY
    )


@pytest.mark.parametrize("what", ["blob", "manifest", "signature", "other key"])
def test_export_of_what_is_not_as_published_writes_nothing(
    published: Published, registry: Path, tmp_path: Path, what: str
) -> None:
    key = registry / manifest_key("affine", published.version)
    files = {
        "blob": registry / blob_key(decode(key.read_bytes()).file("graph").sha256),
        "manifest": key,
        "signature": registry / signature_key("affine", published.version),
    }
    if file := files.get(what):
        file.write_bytes(file.read_bytes()[:-1] + b"~")
    trust = ("--key", pinned(THEIRS.public_key)) if what == "other key" else KEY
    refusal("export", "affine", "--to", tmp_path / "out", "--registry", registry, *trust)
    assert not (tmp_path / "out").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".out")]


def test_unsigned_version_is_exported_only_when_no_signature_is_asked_for(
    tmp_path: Path, registry: Path
) -> None:
    publish_model(write_folder(tmp_path / "s"), store=FilesystemStore(registry), console=CONSOLE)
    assert "unsigned" in refusal("export", "affine", "--to", tmp_path / "o", "--registry", registry, *KEY)
    result = run("export", "affine", "--to", tmp_path / "o", "--registry", registry, "--unsigned")
    assert (result.exit_code, (tmp_path / "o/manifest.sig").exists()) == (0, False)


def write_key(path: Path, key: ec.EllipticCurvePrivateKey | Ed25519PrivateKey, password: bytes = b"") -> Path:
    hidden: serialization.KeySerializationEncryption = serialization.NoEncryption()
    if password:
        hidden = serialization.BestAvailableEncryption(password)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    path.write_bytes(pem)
    path.chmod(0o600)
    return path


@pytest.fixture(params=[ec.SECP256R1, ec.SECP384R1], ids=["P-256", "P-384"])
def key(request: pytest.FixtureRequest) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(request.param())


@pytest.fixture
def exported(published: Published, registry: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey) -> Path:
    file = write_key(tmp_path / "ec.pem", key)
    result = run(
        "export", "affine", "--to", tmp_path / "out", "--registry", registry, *KEY, "--openssf", file
    )
    assert result.exit_code == 0, result.output
    assert "model_signing verify key" in result.stdout
    return tmp_path / "out"


def tool_accepts(folder: Path, public: Path) -> bool:
    """Ask the package as it is installed, by its own command."""
    tool = ensure("model-signing", CONSOLE) / "model_signing"
    arguments = ["verify", "key", folder, "--signature", folder / "model.sig", "--public_key", public]
    return subprocess.run([str(tool), *map(str, arguments)], check=False, capture_output=True).returncode == 0


def test_openssf_s_own_tool_accepts_the_export_and_no_other_bytes(
    exported: Path, tmp_path: Path, key: ec.EllipticCurvePrivateKey
) -> None:
    def public_of(name: str, owner: ec.EllipticCurvePrivateKey) -> Path:
        pem = owner.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        (tmp_path / name).write_bytes(pem)
        return tmp_path / name

    public = public_of("public.pem", key)
    assert tool_accepts(exported, public)
    assert not tool_accepts(exported, public_of("other.pem", ec.generate_private_key(key.curve)))
    for file in ("model.onnx", "manifest.json", "model.sig"):
        whole = (exported / file).read_bytes()
        (exported / file).write_bytes(whole[:100] + bytes([whole[100] ^ 1]) + whole[101:])
        assert not tool_accepts(exported, public), file
        (exported / file).write_bytes(whole)
    (exported / "more").touch()
    assert not tool_accepts(exported, public)
    (exported / "more").unlink()
    assert tool_accepts(exported, public)


@pytest.mark.parametrize("kind", ["Ed25519", "other curve", "encrypted", "no key", "open to all", "absent"])
def test_key_that_cannot_sign_for_openssf_is_refused_before_anything_is_written(
    published: Published, registry: Path, tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "key.pem"
    if kind == "Ed25519":
        write_key(file, Ed25519PrivateKey.generate())
    elif kind == "no key":
        file.write_text("no key")
        file.chmod(0o600)
    elif kind != "absent":
        curve = ec.SECP256K1() if kind == "other curve" else ec.SECP256R1()
        write_key(file, ec.generate_private_key(curve), b"secret" if kind == "encrypted" else b"")
        file.chmod(0o644 if kind == "open to all" else 0o600)
    words = {
        "Ed25519": "Ed25519", "other curve": "P-256", "encrypted": "encrypted", "no key": "no private key",
        "open to all": "mode 0644", "absent": "cannot be read",
    }  # fmt: skip
    said = refusal(
        "export", "affine", "--to", tmp_path / "out", "--registry", registry, *KEY, "--openssf", file
    )
    assert words[kind] in said
    assert not os.path.lexists(tmp_path / "out")
