"""Cold starts on the real runtime from an S3 that is broken: a named error, and nothing computed."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from hotplate.manifest.signature import sign
from hotplate_tools.console import Console
from hotplate_tools.local.build import build
from hotplate_tools.local.harness import RuntimeHarness, runtime_harness
from tests.support.digits_registry import Registry, digits_registry
from tests.support.faulty_s3 import BUCKET, Fault, FaultyS3, faulty_s3
from tests.support.http_call import Answer, call
from tests.support.signing import SeedSigner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ZEROS = json.dumps(
    {"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 28, 28, 1], "data": [0] * 784}]}
).encode()


@pytest.fixture(scope="module")
def registry() -> Registry:
    build(Console())
    return digits_registry()


@pytest.fixture
def s3(registry: Registry) -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        server.objects.update(registry.objects)
        yield server


@contextmanager
def started(
    registry: Registry, s3: FaultyS3, parameters: Mapping[str, str] | None = None
) -> Iterator[RuntimeHarness]:
    with runtime_harness(
        Console(),
        bucket=BUCKET,
        s3_endpoint=s3.endpoint,
        parameters={**registry.parameters, **(parameters or {})},
        functions=["DigitsFunction"],
        environment={"HOTPLATE_FETCH_TIMEOUT_S": "3"},
    ) as harness:
        yield harness


def infer(harness: RuntimeHarness) -> Answer:
    return call(harness.url, "POST", "/v2/models/digits/infer", ZEROS)


def flip(body: bytes) -> bytes:
    return body[:-2] + bytes([body[-2] ^ 1]) + body[-1:]


BROKEN: dict[str, tuple[Callable[[FaultyS3, Registry], None], int, str]] = {
    "blob altered": (
        lambda s3, r: s3.objects.update({r.graph_key: flip(r.objects[r.graph_key])}),
        500,
        "DigestMismatchError",
    ),
    "blob truncated": (
        lambda s3, r: s3.objects.update({r.graph_key: r.objects[r.graph_key][:-1]}),
        500,
        "LengthMismatchError",
    ),
    "blob longer than stated": (
        lambda s3, r: s3.objects.update({r.graph_key: r.objects[r.graph_key] + b"x"}),
        500,
        "LengthMismatchError",
    ),
    "manifest altered": (
        lambda s3, r: s3.objects.update(
            {r.manifest_key: r.objects[r.manifest_key].replace(b"FP32", b"FP64")}
        ),
        500,
        "DigestMismatchError",
    ),
    "signature altered": (
        lambda s3, r: s3.objects.update({r.signature_key: sign(r.manifest_sha256, SeedSigner(2))}),
        500,
        "SignatureError",
    ),
    "signature missing": (lambda s3, r: s3.objects.__delitem__(r.signature_key), 500, "SignatureError"),
    "object missing": (lambda s3, r: s3.objects.__delitem__(r.graph_key), 500, "StoreNotFoundError"),
    "access denied": (
        lambda s3, r: s3.faults[r.graph_key].append(Fault(status=403)),
        500,
        "StoreDeniedError",
    ),
    "S3 slow": (
        lambda s3, r: s3.faults[r.graph_key].extend([Fault(delay_s=5)] * 4),
        503,
        "StoreUnavailableError",
    ),
    "S3 throttles for long": (
        lambda s3, r: s3.faults[r.manifest_key].extend([Fault(status=503)] * 4),
        503,
        "StoreUnavailableError",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_store_is_named_and_nothing_is_computed(registry: Registry, s3: FaultyS3, case: str) -> None:
    break_it, status, error = BROKEN[case]
    break_it(s3, registry)
    with started(registry, s3) as harness:
        answer = infer(harness)
        assert (answer.status, answer.json()["type"]) == (status, f"urn:hotplate:error:{error}")
        assert answer.headers["x-request-id"] in answer.json()["error"]
        assert "outputs" not in answer.json()
        log = "\n".join(line for each in harness.environments("DigitsFunction") for line in each.log)
        assert '"hotplate":"cold"' not in log, "the model was loaded"
        assert error in log


def test_manifest_of_a_newer_format_is_named(registry: Registry, s3: FaultyS3) -> None:
    newer = registry.objects[registry.manifest_key].replace(b'"format":1', b'"format":2')
    s3.objects[registry.manifest_key] = newer
    pinned = replace(registry, manifest_sha256=hashlib.sha256(newer).hexdigest())
    s3.objects[registry.signature_key] = sign(pinned.manifest_sha256, SeedSigner())
    with started(pinned, s3) as harness:
        answer = infer(harness)
        assert (answer.status, answer.json()["type"]) == (500, "urn:hotplate:error:ManifestFormatError")


def test_503_twice_and_then_well_is_answered(registry: Registry, s3: FaultyS3) -> None:
    s3.faults[registry.graph_key].extend([Fault(status=503), Fault(status=503)])
    with started(registry, s3) as harness:
        answer = infer(harness)
        assert answer.status == 200
        read = [key for key, _ in s3.requests]
        assert sorted(read[:2]) == [registry.manifest_key, registry.signature_key]
        assert read[2:] == [registry.graph_key] * 3


def test_environment_that_could_not_load_heals(registry: Registry, s3: FaultyS3) -> None:
    s3.faults[registry.graph_key].append(Fault(status=403))
    with started(registry, s3) as harness:
        assert infer(harness).status == 500
        deadline = time.monotonic() + 10
        while infer(harness).status != 200:
            assert time.monotonic() < deadline, "it did not heal"
            time.sleep(0.2)
        assert len(harness.environments("DigitsFunction")) == 1


def test_unsigned_version_is_served_only_where_that_is_allowed_in_so_many_words(
    registry: Registry, s3: FaultyS3
) -> None:
    del s3.objects[registry.signature_key]
    allowed = {"SigningKeys": "", "Unsigned": "allowed-for-development"}
    for parameters, status in (({"SigningKeys": ""}, 500), (allowed, 200)):
        with started(registry, s3, parameters) as harness:
            assert infer(harness).status == status
