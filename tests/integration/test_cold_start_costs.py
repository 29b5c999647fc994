"""What a cold start costs in things that can be counted: requests, bytes, copies, memory. No clock."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from hotplate.limits import RANGE_BYTES
from hotplate.manifest.layout import blob_key
from tests.support.cold_process import cold_process
from tests.support.faulty_s3 import FaultyS3, faulty_s3
from tests.support.heavy_models import LAYER_BYTES, heavy

if TYPE_CHECKING:
    from tests.support.published import Published

LAYERS = 17  # 68 MiB, in ranges of 8 the last of which is half a one
WEIGHTS_MB = LAYERS * LAYER_BYTES / 2**20

# With a thread there is no child process, and the function fetches by itself.
ALONE = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()"

# Everything is imported before it is counted what is allocated.
PROGRAM = """
import json, tracemalloc
{before}
from hotplate.wiring import _Source, _endpoint
source = _Source()
import hotplate.aws.s3_reader, hotplate.manifest.ed25519, hotplate.runtime.fetched
from hotplate.runtime.loader import build_model
tracemalloc.start()
_endpoint(source, build_model)
print(json.dumps(tracemalloc.get_traced_memory()[1]))
"""


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


def cold_start(
    s3: FaultyS3, version: Published, before: str = "", **variables: str
) -> tuple[int, dict[str, Any]]:
    """Return the bytes that Python had allocated at most, and the ledger."""
    peak, (cold,) = cold_process(s3, version, program=PROGRAM.format(before=before), **variables)
    assert cold["hotplate"] == "cold"
    return peak, cold


@pytest.mark.parametrize("before", ["", ALONE], ids=["in a child", "in the function"])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_each_byte_is_asked_for_once(s3: FaultyS3, before: str, signed: bool) -> None:
    version = heavy(LAYERS)
    trust = {} if signed else {"HOTPLATE_SIGNING_KEYS": "", "HOTPLATE_UNSIGNED": "allowed-for-development"}
    cold_start(s3, version, before, **trust)
    documents = [version.manifest_key, *([version.signature_key] if signed else [])]
    ranges = {blob_key(entry.sha256): math.ceil(entry.size / RANGE_BYTES) for entry in version.manifest.files}
    asked = [key for key, _ in s3.requests]
    assert len(asked) == len(documents) + sum(ranges.values())
    assert {key: asked.count(key) for key in asked} == dict.fromkeys(documents, 1) | ranges
    assert max(ranges.values()) == 9
    assert len({*s3.requests}) == len(s3.requests)


@pytest.mark.parametrize("before", ["", ALONE], ids=["in a child", "in the function"])
def test_python_allocates_nothing_of_the_weights_size(s3: FaultyS3, before: str) -> None:
    peak, _ = cold_start(s3, heavy(LAYERS), before)
    assert peak < RANGE_BYTES / 2, f"{peak:,} bytes"


def test_heap_holds_no_copy_of_the_weights(s3: FaultyS3) -> None:
    ledgers = []
    for layers in (1, LAYERS):
        s3.objects.clear()
        # With a first run in init, so that all of the weights are touched.
        _, cold = cold_start(s3, heavy(layers), AWS_LAMBDA_INITIALIZATION_TYPE="provisioned-concurrency")
        ledgers.append(cold)
    small, large = ledgers
    more = large["memory_mb"]["private"] - small["memory_mb"]["private"]
    assert more < WEIGHTS_MB / 8, more
    # They are there: what is not private is shared with the child that received them.
    shared = large["memory_mb"]["resident"] - large["memory_mb"]["private"]
    assert shared > WEIGHTS_MB


def test_rearranged_weights_are_seen_in_the_heap(s3: FaultyS3) -> None:
    # Or the test before would see nothing.
    _, cold = cold_start(s3, heavy(LAYERS, prepacking="parallel"))
    assert cold["memory_mb"]["private"] > WEIGHTS_MB
