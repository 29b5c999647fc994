"""The authorities that are believed first are those that everybody believes."""

from __future__ import annotations

import datetime
import ssl
from pathlib import Path

import certifi
from cryptography import x509

from hotplate.aws.roots import ROOTS

END = "-----END CERTIFICATE-----"


def certificates(file: Path) -> list[bytes]:
    """Return the certificates of a PEM file, DER."""
    parts = file.read_text("utf-8").split(END)[:-1]
    return [ssl.PEM_cert_to_DER_cert(part[part.index("-----BEGIN") :] + END) for part in parts]


def test_each_is_one_that_certifi_has_and_will_be_valid_for_years() -> None:
    ours = certificates(ROOTS)
    assert len(set(ours)) == 4
    assert set(ours) <= set(certificates(Path(certifi.where())))
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=3 * 365)
    assert all(x509.load_der_x509_certificate(root).not_valid_after_utc > soon for root in ours)
