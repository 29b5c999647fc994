"""The stage of a bench: a published model, an S3 on a link, and functions on the real Lambda runtime.

with Stage(console, mbps=600) as stage:
    published = stage.publish(file)
    with stage.environment(HOTPLATE, published) as started:
        started.invoke(event)

S3's certificate signs itself. Each side gets it with the authorities that it would read on AWS: hotplate
those in `hotplate/aws/roots.pem`, boto3 those in `botocore/cacert.pem`.
"""

from __future__ import annotations

import compileall
import datetime
import ipaddress
import json
import os
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import botocore
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from hotplate.aws.roots import ROOTS
from hotplate.errors import LengthMismatchError
from hotplate.limits import MEMORY_MB_PER_VCPU
from hotplate.manifest.layout import manifest_key
from hotplate.manifest.schema import decode
from hotplate.settings import Settings
from hotplate.store.filesystem import FilesystemStore
from hotplate_tools.bench.link import OPENSSL_CONF
from hotplate_tools.local.build import build, host_architecture
from hotplate_tools.local.harness import lambda_variables
from hotplate_tools.local.lambda_runtime import ensure_runtime
from hotplate_tools.local.rie import ExecutionEnvironment
from hotplate_tools.local.runtime_api import RuntimeApi
from hotplate_tools.local.template import Function
from hotplate_tools.local.workspace import Workspace
from hotplate_tools.publish.pipeline import publish_model
from hotplate_tools.publish.signing import KeySigner, pinned

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from hotplate_tools.console import Console
    from hotplate_tools.local.runtime_api import Environment

__all__ = ["MODEL_VARIABLES", "FolderReader", "Stage", "Staged"]

BUCKET = "models"
# What the template says of a model's function: it runs on hotplate's runtime.
MODEL_VARIABLES = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/python/hotplate/streaming/whole"}
CA_FILE, BOTO3_CA_FILE = "ca.pem", "boto3-ca.pem"
TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Staged:
    """A model as both sides find it: published, and as the file it was.

    Attributes:
        name, version, manifest_sha256: As pinned.
        source_key: Where the file as given lies, for the usual handler.
        source_bytes: Its length.
        fetched_bytes: Length of what hotplate's function fetches.
        prepacking: As the plan says.
    """

    name: str
    version: str
    manifest_sha256: str
    source_key: str
    source_bytes: int
    fetched_bytes: int
    prepacking: str


class FolderReader:
    """A `Reader` of a registry in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_small(self, key: str, *, max_bytes: int) -> bytes:
        """Return the whole object; see `Reader.read_small`."""
        body = (self._folder / key).read_bytes()
        if len(body) > max_bytes:
            raise LengthMismatchError(f"{key}: {len(body)} bytes, at most {max_bytes}")
        return body

    def read_range(self, key: str, *, start: int, into: memoryview, object_bytes: int) -> None:
        """Fill `into`; see `Reader.read_range`."""
        with (self._folder / key).open("rb") as file:
            file.seek(start)
            if os.fstat(file.fileno()).st_size != object_bytes or file.readinto(into) != len(into):
                raise LengthMismatchError(f"{key} is not of {object_bytes} bytes")


class Stage:
    """Everything that the functions of a bench run on; a context manager."""

    def __init__(self, console: Console, *, mbps: float | None = None, vcpus: int = 2) -> None:
        """Prepare nothing yet.

        Args:
            console: Told what is done.
            mbps: Bandwidth of the link to S3 in megabits a second; None for no limit.
            vcpus: That the functions' memory buys.
        """
        self._console, self._mbps, self._vcpus = console, mbps, vcpus
        self._memory_mb = vcpus * MEMORY_MB_PER_VCPU
        self._stack = ExitStack()
        self._signer = KeySigner.throw_away()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._build = build(self._console, architecture=host_architecture())
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hotplate-bench-")))
            self._workspace = stack.enter_context(Workspace(self._console))
            self._registry = self._folder / "registry"
            self._registry.mkdir()
            self.endpoint = stack.enter_context(self._link())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *fault: object) -> None:
        self._stack.close()

    def publish(self, file: Path, name: str) -> Staged:
        """Return the model in `file`, published and lying beside."""
        store = FilesystemStore(self._registry)
        done = publish_model(file, name=name, store=store, signer=self._signer, console=self._console)
        source = self._registry / "sources" / file.name
        source.parent.mkdir(exist_ok=True)
        source.symlink_to(file.resolve())
        blobs = [blob for blob in done.actions.blobs if not blob.path.endswith((".jsonl", ".md"))]
        native = [blob for blob in blobs if ".x86-64" in blob.path or ".aarch64" in blob.path]
        size = sum(blob.size for blob in native or blobs)
        manifest = decode((self._registry / manifest_key(name, done.version)).read_bytes())
        return Staged(
            name=name,
            version=done.version,
            manifest_sha256=done.manifest_sha256,
            source_key=f"sources/{file.name}",
            source_bytes=file.stat().st_size,
            fetched_bytes=size,
            prepacking=manifest.plan.prepacking,
        )

    def direct(self, model: Staged) -> tuple[Settings, FolderReader]:
        """Return what loads the model in this process, on demand and without a link."""
        environ = {**self._variables(model), "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self._memory_mb)}
        return Settings.from_environ(environ), FolderReader(self._registry)

    @contextmanager
    def runtime(
        self, program: str, model: Staged, how: Mapping[str, str]
    ) -> Iterator[tuple[RuntimeApi, Environment]]:
        """Start a fresh environment of a function that is `program`, on the runtime, as `how` says.

        It has no walls, so that its processes can be looked at, and a temporary folder of its own.
        """
        function = self._function(program, model)
        runtime = ensure_runtime(self._console, self._build.runtime)
        code = [function.code, *(layer / "python" for layer in function.layers)]
        with tempfile.TemporaryDirectory(dir=self._folder) as tmp, RuntimeApi() as api:
            given = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
            variables = {
                **lambda_variables(function, given),
                "AWS_CA_BUNDLE": str(function.code / BOTO3_CA_FILE),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": os.pathsep.join(map(str, code)),
                "SSL_CERT_FILE": str(function.code / CA_FILE),
                "TMPDIR": tmp,
                **how,
            }
            command = [str(runtime.home / "bin" / "python"), "-m", "awslambdaric", function.handler]
            with api.start(command, variables) as environment:
                yield api, environment

    @contextmanager
    def environment(
        self, program: str, model: Staged | None, more: Mapping[str, str] | None = None
    ) -> Iterator[ExecutionEnvironment]:
        """Start a fresh environment of a function that is `program`; it does nothing until it is invoked.

        `more` are variables that its template would say beside the usual ones.
        """
        function = self._function(program, model, more)
        files = self._workspace.files(function)
        credentials = {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
        environment = ExecutionEnvironment(function, files, lambda_variables(function, credentials))
        try:
            yield environment
        finally:
            environment.close()

    def _function(
        self, program: str, model: Staged | None, more: Mapping[str, str] | None = None
    ) -> Function:
        code = self._folder / f"code-{abs(hash(program))}"
        if not code.exists():
            code.mkdir()
            (code / "app.py").write_text(program, encoding="utf-8")
            own = (self._folder / "certificate.pem").read_bytes()
            (code / CA_FILE).write_bytes(ROOTS.read_bytes() + own)
            (code / BOTO3_CA_FILE).write_bytes(_boto3_authorities().read_bytes() + own)
            compileall.compile_dir(str(code), quiet=1)
        task = "/var/task" if self._workspace.has_walls else str(code)
        variables = {
            "AWS_CA_BUNDLE": f"{task}/{BOTO3_CA_FILE}",
            "SSL_CERT_FILE": f"{task}/{CA_FILE}",
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            # The emulator is written in Go, whose threads are as many as a function's machine has vCPUs.
            "GOMAXPROCS": str(self._vcpus),
        }
        if model:
            variables |= self._variables(model)
        variables |= more or {}
        return Function(
            logical_id=code.name,
            name=code.name,
            handler="app.lambda_handler",
            runtime=self._build.runtime,
            architecture=host_architecture(),
            code=code,
            layers=tuple(self._build.folder / name for name in ("OnnxruntimeLayer", "ServingLayer")),
            environment=variables,
            memory_mb=self._memory_mb,
            timeout_s=TIMEOUT_S,
            ephemeral_mb=2048,
            reserved_concurrency=None,
        )

    def _variables(self, model: Staged) -> dict[str, str]:
        return {
            "HOTPLATE_BUCKET": BUCKET,
            "HOTPLATE_FETCH_TIMEOUT_S": str(TIMEOUT_S),
            "HOTPLATE_MANIFEST_SHA256": model.manifest_sha256,
            "HOTPLATE_MODEL": model.name,
            "HOTPLATE_SIGNING_KEYS": pinned(self._signer.public_key),
            "HOTPLATE_VERSION": model.version,
            "MODEL_BUCKET": BUCKET,
            "MODEL_BYTES": str(model.source_bytes),
            "MODEL_KEY": model.source_key,
        }

    @contextmanager
    def _link(self) -> Iterator[str]:
        _write_certificate(self._folder)
        command = [sys.executable, "-m", "hotplate_tools.bench.link", str(self._registry)]
        files = [str(self._folder / name) for name in ("certificate.pem", "key.pem")]
        openssl = self._folder / "openssl.cnf"
        openssl.write_text(OPENSSL_CONF, encoding="ascii")
        server = subprocess.Popen(
            [*command, *files, str(self._mbps or 0)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OPENSSL_CONF": str(openssl)},
        )
        with server:
            assert server.stdin  # noqa: S101 - it was asked for
            assert server.stdout  # noqa: S101 - likewise
            try:
                yield f"https://127.0.0.1:{int(server.stdout.readline())}"
            finally:
                server.stdin.close()
                server.wait()


def answer_of(payload: bytes) -> dict[str, Any]:
    """Return the body of a function's answer.

    Raises:
        ValueError: It did not answer 200.
    """
    answer = json.loads(payload)
    if answer.get("statusCode") != 200:
        raise ValueError(f"the function answered {payload[:500]!r}")
    return dict(json.loads(answer["body"]))


def _boto3_authorities() -> Path:
    return Path(botocore.__file__).with_name("cacert.pem")


def _write_certificate(folder: Path) -> None:
    """Write a certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hotplate bench")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
