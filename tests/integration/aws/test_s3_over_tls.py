"""Whose certificates the cold path's S3 reader believes."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from hotplate.aws import roots
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.errors import StoreUnavailableError
from tests.support.authority import Authority
from tests.support.faulty_s3 import BUCKET, faulty_s3

BODY = bytes(range(256)) * 4000


class Believed:
    """What the reader believes in a test: AWS's authority is `aws`, the system has `others` as well."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.aws, self.other = Authority(folder, "aws"), Authority(folder, "other")
        self.unknown = Authority(folder, "unknown")
        self.systems_read = 0
        patch.setattr(roots, "ROOTS", self.aws.file)
        patch.setattr(roots, "_system", self._system)
        patch.delenv("SSL_CERT_FILE", raising=False)
        patch.delenv("SSL_CERT_DIR", raising=False)

    def _system(self) -> ssl.SSLContext:
        self.systems_read += 1
        context = ssl.create_default_context(cafile=str(self.aws.file))
        context.load_verify_locations(self.other.file)
        return context


@pytest.fixture
def believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Believed:
    return Believed(tmp_path, monkeypatch)


def read(server: ssl.SSLContext, *, deadline_s: float = 20.0) -> bytes:
    """Return what a reader gets of an S3 with this certificate: a small object, and the same by a range."""
    with faulty_s3(server) as s3:
        s3.objects["key"] = BODY
        reader = S3Reader(
            bucket=BUCKET,
            region="us-east-1",
            endpoint=s3.endpoint,
            credentials=Credentials("AK", "SK", None),
            deadline_s=deadline_s,
        )
        try:
            into = bytearray(len(BODY))
            reader.read_range("key", start=0, into=memoryview(into), object_bytes=len(BODY))
            assert reader.read_small("key", max_bytes=len(BODY)) == into
        finally:
            reader.close()
        return bytes(into)


def test_hosts_of_aws_are_believed_without_the_systems_authorities(believed: Believed) -> None:
    assert read(believed.aws.server) == BODY
    assert believed.systems_read == 0


def test_another_host_is_believed_by_the_systems_authorities_which_are_read_once(believed: Believed) -> None:
    assert read(believed.other.server) == BODY
    assert believed.systems_read == 1


def test_a_host_that_nobody_signed_is_refused(believed: Believed) -> None:
    with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        read(believed.unknown.server, deadline_s=2)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_authorities_that_the_environment_names_are_the_only_ones(
    believed: Believed, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roots, "_system", lambda: ssl.create_default_context(cafile=str(believed.other.file)))
    monkeypatch.setenv(variable, str(believed.other.file))
    assert read(believed.other.server) == BODY
    with pytest.raises(StoreUnavailableError, match="CERTIFICATE_VERIFY_FAILED"):
        read(believed.aws.server, deadline_s=2)
