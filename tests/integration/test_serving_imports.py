"""What a cold start imports: the set is the budget, because every module in it costs every caller."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.faulty_s3 import BUCKET, FaultyS3, faulty_s3
from tests.support.published import Published, published, published_program
from tests.support.signing import SeedSigner
from tests.support.tiny_llama import published_llama

# Each has a lean stand-in on the serving path; see docs/03-cold-start.md.
BANNED = {
    "PIL",
    "asyncio",
    "aws_lambda_powertools",
    "boto3",
    "botocore",
    "concurrent",
    "cryptography",
    "email",
    "http",
    "httpx2",
    "nacl",
    "pydantic",
    "requests",
    "ssl",
    "urllib3",
}

# What a graph's cold start has no use for, at 1 to 6 ms each; a program's writes its assets as files.
SPARED = {"base64", "hashlib", "tempfile", "typing_extensions", "urllib"}

# How many modules a cold start imports: ours and other people's, exactly, and the standard library's at most,
# which differ by its version. One more is a decision: change the number in the same change, and say why.
MODULES = {"graph": (175, 88), "python": (159, 100), "chat": (191, 118)}

PROGRAM = """
import sys; started = {*sys.modules}
import json
import functions.digits.app as app
print(json.dumps(sorted({*sys.modules} - started)))
"""

CHAT_PROGRAM = PROGRAM.replace("functions.digits.app", "functions.chat.app")

PYTHON_PROGRAM = """
import sys; started = {*sys.modules}
import json, types
from hotplate.wiring import program_function
sys.modules["program"] = types.SimpleNamespace(load=lambda assets: (assets / "a").read_bytes() and None)
program_function("program")
print(json.dumps(sorted({*sys.modules} - started)))
"""


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with faulty_s3() as server:
        yield server


def cold_start(
    s3: FaultyS3, trust: dict[str, str], version: Published | None = None, program: str = PROGRAM
) -> set[str]:
    """Return the modules that a cold start, of digits if nothing is said, imports."""
    version = version or published(name="digits")
    s3.objects.update(version.reader.objects)
    environ = {
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_ENDPOINT_URL_S3": s3.endpoint,
        "HOTPLATE_BUCKET": BUCKET,
        "HOTPLATE_CACHE_DIR": "off",
        "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
        "HOTPLATE_MODEL": version.manifest.name,
        "HOTPLATE_VERSION": version.settings.version,
        **trust,
    }
    done = subprocess.run(
        [sys.executable, "-c", program], env=environ, capture_output=True, text=True, check=True, timeout=60
    )
    cold, modules = done.stdout.splitlines()
    assert json.loads(cold)["hotplate"] == "cold", "the model was not loaded, so this proves nothing"
    return set(json.loads(modules))


def packages_of(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def assert_count(modules: set[str], installed: int, standard: int) -> None:
    others = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names}
    assert len(others) == installed, sorted(others)
    assert len(modules) - len(others) <= standard, sorted(modules - others)


def test_digits_handler_imports_nothing_heavy(s3: FaultyS3) -> None:
    modules = cold_start(s3, {"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned})
    packages = packages_of(modules)
    assert packages & (BANNED | SPARED) == set()
    assert_count(modules, *MODULES["graph"])
    assert "onnxruntime" in packages


def test_chat_imports_nothing_heavy_either(s3: FaultyS3) -> None:
    modules = cold_start(s3, {"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned}, published_llama(), CHAT_PROGRAM)
    packages = packages_of(modules)
    assert packages & (BANNED | {"jinja2", "tokenizers"}) == set()
    assert_count(modules, *MODULES["chat"])


def test_what_is_for_pipelines_is_imported_by_pipelines_only(s3: FaultyS3) -> None:
    own = {"pipeline", "fused", "remote", "wires"}
    names = cold_start(s3, {"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned})
    assert {
        name for name in names if name.startswith("hotplate.") and name.rpartition(".")[2] in own
    } == set()
    assert "hotplate.aws.functions" not in names


@pytest.mark.parametrize(
    ("trust", "needed"),
    [
        ({"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned}, True),
        ({"HOTPLATE_UNSIGNED": "allowed-for-development"}, False),
    ],
    ids=["signed", "unsigned"],
)
def test_verifier_is_imported_only_for_a_signature(s3: FaultyS3, trust: dict[str, str], needed: bool) -> None:
    # With a thread there is no child process, so what fetching imports is seen here.
    alone = "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()\n"
    assert ("nacl" in packages_of(cold_start(s3, trust, program=alone + PROGRAM))) is needed


def test_function_that_is_python_does_not_import_onnx_runtime(s3: FaultyS3) -> None:
    modules = cold_start(
        s3, {"HOTPLATE_SIGNING_KEYS": SeedSigner().pinned}, published_program({"a": b"1"}), PYTHON_PROGRAM
    )
    packages = packages_of(modules)
    assert_count(modules, *MODULES["python"])
    assert packages & (BANNED | {"onnxruntime"}) == set()
    assert "numpy" in packages


def test_clock_of_the_ledger_starts_before_the_heavy_imports() -> None:
    program = "import sys, functions.digits; print('hotplate' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]


@pytest.mark.parametrize(("given", "started"), [({}, 0), ({"OPENBLAS_NUM_THREADS": "2"}, 1)])
def test_numpy_starts_no_threads_unless_it_is_told_to(given: dict[str, str], started: int) -> None:
    # Nothing says which model: all is imported, and no session brings threads of its own.
    program = "import os, functions.digits.app; print(len(os.listdir('/proc/self/task')))"
    done = subprocess.run(
        [sys.executable, "-c", program], env=given, capture_output=True, text=True, check=True
    )
    own = 1  # Python's
    assert int(done.stdout.splitlines()[-1]) - own == started
