"""Which references are to a tenant's own upload: those that we made, letter by letter."""

from __future__ import annotations

import re

import pytest

from hotplate.errors import ForeignInputError
from hotplate.tenants.folders import folder_of
from hotplate.tenants.uploads import new_key, own_key, uri_of
from hotplate.tenants.usage import INTERNAL

ID = "0123456789abcdef" * 2
TENANTS = [
    "acme",
    "a",
    "a.b-c_d",
    "iam:123456789012",
    "iam=3A123456789012",
    INTERNAL,
    "Acme",
    "a/b",
    "..",
    "ü",
]


@pytest.mark.parametrize("tenant", TENANTS)
def test_new_key_is_the_tenants_own(tenant: str) -> None:
    key = new_key(tenant)
    assert re.fullmatch(r"uploads/[A-Za-z0-9_=-][A-Za-z0-9._=-]*/[0-9a-f]{32}", key)
    assert own_key(uri_of("data", key), bucket="data", tenant=tenant, what="x") == key
    assert new_key(tenant) != key


def test_no_two_tenants_share_a_folder() -> None:
    assert len({folder_of(tenant) for tenant in TENANTS}) == len(TENANTS)


@pytest.mark.parametrize(
    "uri",
    [
        f"s3://data/uploads/globex/{ID}",
        f"s3://other/uploads/acme/{ID}",
        f"s3://data/uploads/acme/../globex/{ID}",
        f"s3://data/uploads/acme/..%2Fglobex%2F{ID}",
        f"s3://data/uploads/acme%2F{ID}",
        f"s3://data/uploads/acme//{ID}",
        f"s3://data/uploads/acme/{ID}/",
        f"s3://data/uploads/acme/{ID}\n",
        f"s3://data/uploads/acme/{ID}?versionId=1",
        f"s3://data/uploads/acme/{ID.upper()}",
        f"s3://data/uploads/acme/{ID[1:]}",
        "s3://data/uploads/acme/",
        f"s3://data/results/acme/{ID}",
        f"S3://data/uploads/acme/{ID}",
        f"https://data.s3.amazonaws.com/uploads/acme/{ID}",
        f"uploads/acme/{ID}",
        "",
    ],
)
def test_what_is_not_the_tenants_own_upload_is_refused(uri: str) -> None:
    with pytest.raises(ForeignInputError, match=r"input_uri of x: expected .* POST /uploads"):
        own_key(uri, bucket="data", tenant="acme", what="input_uri of x")
