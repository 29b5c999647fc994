"""What may be uploaded, where in the data bucket a tenant's uploads lie, and which references are to one.

A key is `uploads/<folder>/<id>`: the tenant's folder, and 32 random hex digits, chosen by us.

So a reference is compared, never decoded: it is the caller's own if it is letter by letter the bucket's
and the folder's name and such an id. `..`, `%2F` and a query are no ids.
"""

from __future__ import annotations

import re
import secrets

from hotplate.errors import ForeignInputError
from hotplate.tenants.folders import folder_of

__all__ = ["CONTENT_TYPES", "new_key", "new_output_key", "own_key", "uri_of"]

# What an upload may be. Ours: tensors, and the files that models read.
CONTENT_TYPES = ("application/octet-stream", "image/png", "image/jpeg", "application/json")
_ID = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SHOWN = 120


def new_key(tenant: str) -> str:
    """Return a key that no upload has."""
    return f"uploads/{folder_of(tenant)}/{secrets.token_hex(16)}"


def new_output_key(tenant: str) -> str:
    """Return a key that no answer has; answers are the tenant's too, and are fetched by a signed address."""
    return f"outputs/{folder_of(tenant)}/{secrets.token_hex(16)}"


def uri_of(bucket: str, key: str) -> str:
    """Return the reference to an object."""
    return f"s3://{bucket}/{key}"


def own_key(uri: str, *, bucket: str, tenant: str, what: str) -> str:
    """Return the key that a reference names.

    Args:
        uri: As sent.
        bucket: The stack's data bucket.
        tenant: Who refers to it.
        what: The reference in words, for the error.

    Raises:
        ForeignInputError: It is not to an upload of this tenant.
    """
    folder = uri_of(bucket, f"uploads/{folder_of(tenant)}/")
    if uri.startswith(folder) and _ID.fullmatch(uri[len(folder) :]):
        return uri.removeprefix(uri_of(bucket, ""))
    expected = "an input_uri that POST /uploads gave to this tenant"
    raise ForeignInputError(what, expected=expected, received=repr(uri[:_SHOWN]))
