"""A served model asked by an unchanged client of the protocol, and compared with what it should say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import tritonclient.http as triton

from tests.support.sources import asked_and_expected

if TYPE_CHECKING:
    from pathlib import Path


def open_client(url: str) -> triton.InferenceServerClient:
    """Return a client of the API at `url`; a context manager."""
    parts = urlsplit(url)
    return triton.InferenceServerClient(
        parts.netloc + parts.path, ssl=parts.scheme == "https", network_timeout=60, connection_timeout=60
    )


def assert_answers_as_its_framework_did(url: str, name: str, facts: Path, *, binary: bool) -> None:
    """Ask model `name` what `facts` says it was asked; compare every output with the answer there."""
    feeds, expected = asked_and_expected(facts)
    if not binary:
        feeds, expected = _sayable_in_json(feeds, expected)
    with open_client(url) as client:
        metadata = client.get_model_metadata(name)
        datatypes = {tensor["name"]: tensor["datatype"] for tensor in metadata["inputs"]}
        assert set(feeds) == set(datatypes)
        tensors = []
        for key, array in feeds.items():
            tensors.append(triton.InferInput(key, list(array.shape), datatypes[key]))
            tensors[-1].set_data_from_numpy(array, binary_data=binary)
        first = metadata["outputs"][0]["name"]
        asked = [triton.InferRequestedOutput(key or first, binary_data=binary) for key in expected]
        result = client.infer(name, tensors, outputs=asked)
    for key, array in expected.items():
        found = result.as_numpy(key or first)
        if array.dtype.hasobject and not binary:  # The client leaves text that came in JSON as it is.
            found = np.array([cell.encode() for cell in found.ravel()], object).reshape(found.shape)
        assert found.shape == array.shape
        if array.dtype.kind == "f":
            np.testing.assert_allclose(found, array, rtol=1e-4, atol=1e-5)
        else:
            np.testing.assert_array_equal(found, array)


def _sayable_in_json(
    feeds: dict[str, Any], expected: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the rows without NaN, which JSON does not have: models of trees take it for a missing value."""
    holed = [
        np.isnan(array).reshape(len(array), -1).any(axis=1)
        for array in feeds.values()
        if array.dtype.kind == "f"
    ]
    if not any(rows.any() for rows in holed):
        return feeds, expected
    whole = ~np.logical_or.reduce(holed)
    assert whole.any()
    return (
        {name: array[whole] for name, array in feeds.items()},
        {name: array[whole] for name, array in expected.items()},
    )
