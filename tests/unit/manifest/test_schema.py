import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hotplate.errors import ManifestError, ManifestFormatError
from hotplate.manifest.layout import version_of
from hotplate.manifest.schema import FileEntry, Golden, Manifest, Plan, Provenance, decode, encode
from hotplate.protocol.types import MetadataTensor

SHA = "0123456789abcdef" * 4

# Bytes of a version as the first hotplate wrote it. They stay here for ever and must stay readable.
FORMAT_1 = (
    b'{"files":[{"path":"golden.jsonl","role":"golden","sha256":"' + SHA.encode() + b'","size":9},'
    b'{"path":"model.onnx","role":"graph","sha256":"' + SHA.encode() + b'","size":7}],"format":1,'
    b'"golden":{"atol":0.0001,"rows":2},"inputs":[{"datatype":"FP32","name":"x","shape":[-1,3]}],'
    b'"labels":{"y":["a","b"]},"name":"affine","outputs":[{"datatype":"FP32","name":"y","shape":[-1,2]}],'
    b'"plan":{},"producer":"hotplate 0.1.0","provenance":{"metrics":{"accuracy":0.5}},"task":"scaling"}'
)

MANIFEST = Manifest(
    format=1,
    name="affine",
    inputs=(MetadataTensor("x", "FP32", (-1, 3)),),
    outputs=(MetadataTensor("y", "FP32", (-1, 2)),),
    files=(FileEntry("golden.jsonl", "golden", 9, SHA), FileEntry("model.onnx", "graph", 7, SHA)),
    task="scaling",
    producer="hotplate 0.1.0",
    labels={"y": ("a", "b")},
    golden=Golden(rows=2, atol=1e-4),
    provenance=Provenance(metrics={"accuracy": 0.5}),
)


def changed(**members: Any) -> bytes:
    """Return MANIFEST's bytes with members replaced, written canonically."""
    document = json.loads(encode(MANIFEST)) | members
    return msgspec.json.encode(document, order="sorted")


def entry(path: str, role: str = "asset", **members: Any) -> dict[str, Any]:
    return {"path": path, "role": role, "sha256": SHA, "size": 1} | members


DEEP = encode(MANIFEST).replace(
    b'"format":1', b'"format":1,"parameters":{"a":' + b"[" * 300_000 + b"]" * 300_000 + b"}"
)
GRAPH = entry("model.onnx", "graph")


def test_format_1_is_read_and_written_byte_for_byte() -> None:
    assert decode(FORMAT_1) == MANIFEST
    assert encode(MANIFEST) == FORMAT_1


def test_only_the_canonical_change_is_accepted() -> None:
    assert decode(changed(task="other")).task == "other"


@pytest.mark.parametrize(
    "path",
    [
        "../model",
        "a/../b",
        "/etc/passwd",
        "a\\b",
        "a//b",
        "a/",
        "",
        "..",
        ".",
        "./a",
        "a/./b",
        "a\nb",
        "a\u0000b",
    ],
)
def test_file_path_that_is_not_plain_is_refused(path: str) -> None:
    files = sorted([entry(path), GRAPH], key=lambda file: str(file["path"]))
    with pytest.raises(ManifestError, match="unsafe file path"):
        decode(changed(files=files))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"x"',
        b"{}",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"format":1}',
        DEEP,
        encode(MANIFEST).replace(b'"files"', b'"\xe6iles"'),
        encode(MANIFEST).replace(b"scaling", b"\xff\xff"),
        encode(MANIFEST)[:-1],
        encode(MANIFEST) + b"}",
        b"\xef\xbb\xbf" + encode(MANIFEST),
    ],
    ids=[
        "empty",
        "cut off at once",
        "null",
        "array",
        "string",
        "no format",
        "not UTF-8",
        "very deep",
        "format only",
        "deep inside",
        "key not UTF-8",
        "value not UTF-8",
        "cut off",
        "more after it",
        "byte order mark",
    ],
)
def test_what_is_no_manifest_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        decode(raw)


@pytest.mark.parametrize(
    "raw",
    [
        encode(MANIFEST) + b"\n",
        encode(MANIFEST).replace(b'"format":1', b'"format": 1'),
        encode(MANIFEST).replace(b'{"files"', b'{"task":"first","files"'),
        encode(MANIFEST).replace(b'"format":1', b'"format":1,"format":1'),
        json.dumps(dict(reversed(json.loads(encode(MANIFEST)).items())), separators=(",", ":")).encode(),
        encode(MANIFEST).replace(b'"task":"scaling"', b'"task":"\\u0073caling"'),
        encode(MANIFEST).replace(b'"atol":0.0001', b'"atol":1e-4'),
        changed(version=None),
    ],
    ids=[
        "line end",
        "white space",
        "key twice",
        "same key twice",
        "other key order",
        "escape",
        "other number form",
        "default written",
    ],
)
def test_bytes_that_are_not_canonical_are_refused(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        decode(raw)


@pytest.mark.parametrize(
    "members",
    [
        {"surprise": 1},
        {"files": []},
        {"files": [GRAPH | {"surprise": 1}]},
        {"files": [entry("a"), entry("a"), GRAPH]},
        {"files": [GRAPH, entry("a")]},
        {"files": [entry("a", "graph"), GRAPH]},
        {"files": [entry("a")]},
        {"files": [entry("a", "pickle"), GRAPH]},
        {"files": [GRAPH | {"size": -1}]},
        {"files": [GRAPH | {"size": 2**70}]},
        {"files": [GRAPH | {"size": 1.5}]},
        {"files": [GRAPH | {"sha256": SHA.upper()}]},
        {"files": [GRAPH | {"sha256": SHA[1:]}]},
        {"files": [GRAPH | {"sha256": SHA + "\n"}]},
        {"name": "Affine"},
        {"name": "../affine"},
        {"name": ""},
        {"version": "latest"},
        {"version": "1.2"},
        {"inputs": []},
        {"outputs": []},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": [-2]}]},
        {"inputs": [{"name": "x", "datatype": "FLOAT", "shape": [1]}]},
        {"inputs": [{"name": "", "datatype": "FP32", "shape": [1]}]},
        {"inputs": [{"name": "x", "datatype": "FP32", "shape": []}] * 2},
        {"outputs": [{"name": "y", "datatype": "FP32", "shape": []}] * 2},
        {"plan": {"memory_mb": 64}},
        {"plan": {"intra_op_threads": 7}},
        {"golden": {"rows": 0}},
    ],
    ids=lambda members: json.dumps(members)[:60],
)
def test_hostile_member_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ManifestError):
        decode(changed(**members))


@pytest.mark.parametrize("number", [0, 2, 99])
def test_another_format_is_refused_by_its_own_error(number: int) -> None:
    with pytest.raises(ManifestFormatError):
        decode(changed(format=number, brand_new_member={}))


def test_file_of_a_role_is_the_only_one() -> None:
    assert MANIFEST.file("graph").path == "model.onnx"
    with pytest.raises(ManifestError):
        MANIFEST.file("card")


names = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
words = st.text(st.characters(codec="utf-8"), max_size=12)
tensors = st.builds(
    MetadataTensor,
    name=names,
    datatype=st.sampled_from(["FP32", "INT64", "BYTES", "BOOL"]),
    shape=st.lists(st.integers(-1, 2**31), max_size=4).map(tuple),
    one_of=st.none() | words,
    description=words,
)
signatures = st.lists(tensors, min_size=1, max_size=4, unique_by=lambda spec: spec.name).map(tuple)
numbers = st.floats(allow_nan=False, allow_infinity=False)
characters = "abcdefghijklmnopqrstuvwxyz0123456789"
folders = st.text(characters + "._-", max_size=8).map("a{}".format)
paths = st.builds(
    "{}{}".format, folders, st.just("") | st.text(characters, min_size=1, max_size=5).map("/{}".format)
)
# No path is a file and a folder at once.
assets = st.lists(paths, max_size=3, unique_by=lambda path: path.partition("/")[0])
versions = st.tuples(*[st.integers(0, 999)] * 3).map(lambda parts: ".".join(map(str, parts)))
model_names = st.builds("{}{}".format, st.sampled_from(characters), st.text(characters + "._-", max_size=20))

# How long a loaded machine takes to make an example says nothing about the code.
patient = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def manifests(draw: Callable[[st.SearchStrategy[Any]], Any]) -> Manifest:
    paths = sorted([*draw(assets), "model.onnx"])
    return Manifest(
        format=1,
        name=draw(model_names),
        inputs=draw(signatures),
        outputs=draw(signatures),
        files=tuple(
            FileEntry(path, "graph" if path == "model.onnx" else "asset", draw(st.integers(0, 2**50)), SHA)
            for path in paths
        ),
        version=draw(st.none() | versions),
        task=draw(words),
        labels=draw(st.dictionaries(names, st.lists(words, max_size=3).map(tuple), max_size=3)),
        golden=draw(st.none() | st.builds(Golden, rows=st.integers(1, 99), rtol=numbers, atol=numbers)),
        plan=Plan(memory_mb=draw(st.none() | st.integers(128, 10240))),
        provenance=Provenance(metrics=draw(st.dictionaries(names, numbers, max_size=3))),
    )


@patient
@given(manifests())
def test_decode_of_encode_is_the_manifest(manifest: Manifest) -> None:
    assert decode(encode(manifest)) == manifest


@patient
@given(manifests(), st.randoms())
def test_order_in_which_members_were_set_changes_no_byte(manifest: Manifest, random: Any) -> None:
    document = json.loads(encode(manifest))
    shuffled = msgspec.convert(_shuffled(document, random), Manifest)
    assert encode(shuffled) == encode(manifest)
    assert version_of(shuffled) == version_of(manifest)


@patient
@given(manifests(), st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_is_refused_or_another_version(manifest: Manifest, place: int, flip: int) -> None:
    raw = bytearray(encode(manifest))
    raw[place % len(raw)] ^= flip
    try:
        other = decode(bytes(raw))
    except ManifestError:
        return
    assert version_of(other)[1] != version_of(manifest)[1]


def _shuffled(value: Any, random: Any) -> Any:
    if isinstance(value, dict):
        members = list(value.items())
        random.shuffle(members)
        return {key: _shuffled(member, random) for key, member in members}
    return [_shuffled(member, random) for member in value] if isinstance(value, list) else value


def test_variant_is_kept_and_checked() -> None:
    variant = {
        "kind": "int8",
        "metric": "accuracy",
        "output": "y",
        "reference": "expected",
        "quality": 0.97,
        "float_quality": 0.98,
        "loss": 0.01,
        "budget": 0.01,
        "rows": 400,
        "rows_sha256": "a" * 64,
        "bytes": 25,
        "float_bytes": 100,
        "considered": {"int8": {"verdict": "taken", "quality": 0.97, "loss": 0.01, "bytes": 25}},
    }
    found = decode(changed(variant=variant)).variant
    assert found is not None
    assert (found.kind, found.considered["int8"].loss) == ("int8", 0.01)
    for wrong in ({"kind": "int3"}, {"rows": 0}, {"rows_sha256": "a"}, {"bytes": -1}, {"hue": 1}):
        with pytest.raises(ManifestError):
            decode(changed(variant=variant | wrong))
