"""Publishing signed: order, doing it again, other keys, kills; and `hotplate verify` over all of it."""

from __future__ import annotations

import json
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hotplate.errors import SignatureError
from hotplate.manifest.layout import alias_key, blob_key, manifest_key, signature_key
from hotplate.manifest.schema import decode
from hotplate.manifest.signature import Signer, key_id_of, sign
from hotplate_tools.console import Console
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.commands import publish
from hotplate_tools.publish.pipeline import Published, publish_model
from hotplate_tools.publish.signing import pinned
from hotplate_tools.publish.trust_commands import signing_key, verify
from hotplate_tools.publish.verify import verify_model
from tests.support.memory_store import KilledError, MemoryStore
from tests.support.signing import SeedSigner
from tests.support.tiny_models import affine, write_folder, write_onnx

CONSOLE = Console(as_json=True)
OURS, THEIRS = SeedSigner(1), SeedSigner(2)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "source")


def put(
    store: MemoryStore, source: Path, signer: Signer | None = OURS, *, dry_run: bool = False
) -> Published:
    return publish_model(source, store=store, signer=signer, dry_run=dry_run, console=CONSOLE)


def faults(store: MemoryStore, *keys: SeedSigner) -> list[str]:
    found = verify_model(store, "affine", None, trusted=[key.public_key for key in keys or (OURS,)])
    return [fault for each in found for fault in each.faults]


def test_signature_is_put_before_the_manifest_and_after_the_blobs(source: Path) -> None:
    store = MemoryStore()
    done = put(store, source)
    kinds = [key.rpartition("/")[2] if key.startswith("models/") else "blob" for _, key in store.writes]
    assert kinds == ["blob"] * 3 + ["manifest.sig", "manifest.json", "live.json"]
    assert store.objects[signature_key("affine", done.version)] == sign(done.manifest_sha256, OURS)
    assert faults(store) == []


def test_publishing_again_with_the_same_key_writes_nothing(source: Path) -> None:
    store = MemoryStore()
    put(store, source)
    store.writes.clear()
    assert put(store, source).wrote is False
    assert store.writes == []


def test_dry_run_signs_nothing_into_the_registry(source: Path) -> None:
    store = MemoryStore()
    planned = put(store, source, dry_run=True).actions.signature
    assert planned is not None
    assert planned.exists is False
    assert store.objects == {}


def test_signature_is_added_to_a_version_that_has_none(source: Path) -> None:
    store = MemoryStore()
    done = put(store, source, None)
    assert faults(store) == ["unsigned"]
    store.writes.clear()
    put(store, source)
    assert store.writes == [("put_new", signature_key("affine", done.version))]
    assert faults(store) == []


def test_publishing_unsigned_leaves_the_signature_that_is_there(source: Path) -> None:
    store = MemoryStore()
    put(store, source)
    store.writes.clear()
    assert put(store, source, None).wrote is False
    assert faults(store) == []


def test_another_key_is_refused_and_told_what_to_do(source: Path) -> None:
    store = MemoryStore()
    put(store, source)
    before = dict(store.objects)
    with pytest.raises(RefusedError, match=f"signed by key {key_id_of(OURS.public_key)} already") as caught:
        put(store, source, THEIRS)
    assert "SigningKeys" in caught.value.advice
    assert store.objects == before


@pytest.mark.parametrize("raw", [b"", b"junk", b" " * 5000, sign("0" * 64, OURS)])
def test_damaged_signature_is_refused_and_left(source: Path, raw: bytes) -> None:
    store = MemoryStore()
    key = signature_key("affine", put(store, source).version)
    store.objects[key] = raw
    with pytest.raises(RefusedError, match="signature") as caught:
        put(store, source)
    assert f"delete {key}" in caught.value.advice
    assert store.objects[key] == raw


def test_of_two_signers_at_once_the_second_is_told(source: Path) -> None:
    store = MemoryStore()

    def they_are_quicker(_: str, key: str) -> None:
        if key.endswith(".sig"):
            store.before = lambda operation, key: None
            store.objects[key] = sign(put(store, source, None, dry_run=True).manifest_sha256, THEIRS)

    store.before = they_are_quicker
    with pytest.raises(RefusedError, match="signed by key"):
        put(store, source)
    assert not [key for key in store.objects if key.endswith(".json")]


def test_two_with_one_key_at_once_both_succeed(source: Path) -> None:
    store = MemoryStore()

    def they_are_quicker(_: str, key: str) -> None:
        if key.endswith(".sig"):
            store.before = lambda operation, key: None
            put(store, source)

    store.before = they_are_quicker
    put(store, source)
    assert faults(store) == []


@pytest.mark.parametrize("moment", range(12))
def test_killed_at_any_write_no_version_is_seen_without_its_signature(source: Path, moment: int) -> None:
    store = MemoryStore()
    count = iter(range(100))

    def kill(*_: str) -> None:
        if next(count) == moment:
            raise KilledError

    store.before, store.after = kill, kill
    with pytest.raises(KilledError):
        put(store, source)
    seen = [key for key in store.objects if key.endswith("manifest.json")]
    assert seen == [] or faults(store) == []
    store.before, store.after = MemoryStore().before, MemoryStore().after
    put(store, source)
    assert faults(store) == []


class Liar(SeedSigner):
    """Signs something else than it was given."""

    def sign(self, message: bytes) -> bytes:
        return super().sign(message + b"x")


def test_signer_that_signs_something_else_is_found_out_before_anything_is_written(source: Path) -> None:
    store = MemoryStore()
    with pytest.raises(SignatureError, match="not one of key"):
        put(store, source, Liar())
    assert store.objects == {}


def test_verify_names_every_fault(source: Path, tmp_path: Path) -> None:
    store = MemoryStore()
    done = put(store, source)
    manifest = decode(store.objects[manifest_key("affine", done.version)])
    golden, graph = (blob_key(manifest.file(role).sha256) for role in ("golden", "graph"))
    del store.objects[golden]
    store.objects[graph] = store.objects[graph][:-1] + b"?"
    found = faults(store, THEIRS)
    assert [each.partition(":")[0] for each in found][1:] == ["golden.jsonl", "model.onnx"]
    assert "not trusted here" in found[0]
    del store.objects[manifest_key("affine", done.version)]
    (only,) = faults(store)
    assert only.startswith("no manifest"), "the alias points at it still"


def test_verify_compares_the_alias_with_the_manifest(source: Path) -> None:
    store = MemoryStore()
    done = put(store, source)
    pointer = json.loads(store.objects[alias_key("affine", "live")]) | {"manifest_sha256": "0" * 64}
    store.objects[alias_key("affine", "live")] = json.dumps(pointer).encode()
    assert faults(store) == [
        f"alias 'live' pins SHA-256 000000000000…, the manifest has {done.manifest_sha256[:12]}…"
    ]


@click.group()
def cli() -> None:
    """Only the commands of this room."""


for command in (publish, signing_key, verify):
    cli.add_command(command)


def run(*arguments: str | Path, **environ: str) -> Result:
    clean = dict.fromkeys(("HOTPLATE_BUCKET", "HOTPLATE_SIGNING_KEY", "HOTPLATE_SIGNING_PASSPHRASE"))
    return CliRunner().invoke(cli, [str(each) for each in arguments], env={**clean, **environ})


def test_way_of_a_key_through_its_commands(tmp_path: Path) -> None:
    key, registry, model = tmp_path / "key.pem", tmp_path / "r", write_onnx(tmp_path / "m.onnx", affine())
    made = run("signing-key", "new", key, "--json")
    assert made.exit_code == 0, made.output
    public = json.loads(made.stdout)
    assert json.loads(run("signing-key", "show", key, "--json").stdout) == public
    signed = run("publish", model, "--registry", registry, "--json", HOTPLATE_SIGNING_KEY=str(key))
    answer = json.loads(signed.stdout)
    assert (answer["signed_by"], answer["parameters"]["SigningKeys"]) == (
        public["key_id"],
        public["public_key"],
    )
    again = run("publish", model, "--registry", registry, "--sign", key)
    assert f"signature of key {public['key_id']}: there already" in again.stdout
    for trusted in (key, public["public_key"]):
        whole = run("verify", "m", "--registry", registry, "--key", trusted)
        assert (whole.exit_code, f"signed by key {public['key_id']}" in whole.stdout) == (0, True)
    other = run("verify", "m", answer["version"], "--registry", registry, "--key", pinned(THEIRS.public_key))
    assert isinstance(other.exception, RefusedError)
    assert "NOT WHOLE" in other.stdout
    assert run("verify", "m", "--registry", registry, "--unsigned").exit_code == 0


def test_unsigned_publication_is_warned_of(tmp_path: Path) -> None:
    model = write_onnx(tmp_path / "m.onnx", affine())
    result = run("publish", model, "--registry", tmp_path / "r", "--json")
    assert "Not signed" in result.stderr
    assert json.loads(result.stdout)["signed_by"] is None


@pytest.mark.parametrize("arguments", [[], ["--unsigned", "--key", pinned(bytes(32))]])
def test_verify_needs_a_key_or_the_word_that_none_is_asked_for(tmp_path: Path, arguments: list[str]) -> None:
    result = run("verify", "m", "--registry", tmp_path, *arguments)
    assert (result.exit_code, "--unsigned" in result.output) == (2, True)


def test_verify_of_a_model_that_is_not_there_is_refused(tmp_path: Path) -> None:
    result = run("verify", "m", "--registry", tmp_path, "--unsigned")
    assert isinstance(result.exception, RefusedError)
