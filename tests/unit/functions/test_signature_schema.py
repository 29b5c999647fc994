"""A signature as JSON Schema: what fits is taken by schema and decoder, what does not by neither."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import msgspec
import pytest

from functions.catalogue.signature import example, infer_request, predict_request, together
from hotplate.errors import RequestError
from hotplate.protocol.request import decode_request
from hotplate.protocol.types import MetadataTensor
from tests.support.published import published

INPUTS = (
    MetadataTensor("image", "FP32", (-1, 2, 2), one_of="picture"),
    MetadataTensor("file", "BYTES", (-1,), one_of="picture"),
    MetadataTensor("count", "UINT8", (), optional=True),
)
MANIFEST = msgspec.structs.replace(published().manifest, inputs=INPUTS)
IMAGE: dict[str, Any] = {"name": "image", "datatype": "FP32", "shape": [1, 2, 2], "data": [0, 1, 2, 3]}
REFERRED: dict[str, Any] = {
    **{name: IMAGE[name] for name in ("name", "datatype", "shape")},
    "parameters": {"input_uri": "s3://data/uploads/acme/1"},
}
COUNT: dict[str, Any] = {"name": "count", "datatype": "UINT8", "shape": [], "data": [3]}


def by_schema(request: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(infer_request(MANIFEST)).is_valid(request))


def by_decoder(request: Any) -> bool:
    try:
        decode_request(
            json.dumps(request).encode(),
            header_length=None,
            inputs=INPUTS,
            outputs=MANIFEST.outputs,
            fetch=lambda reference: memoryview(bytes(reference.size or 1)),
        )
    except RequestError:
        return False
    return True


@pytest.mark.parametrize(
    "inputs",
    [
        [IMAGE],
        [IMAGE, COUNT],
        [{**IMAGE, "data": [[[0, 1], [2, 3]]]}],
        [{"name": "file", "datatype": "BYTES", "shape": [2], "data": ["a", "b"]}],
        [REFERRED],
    ],
)
def test_what_fits_is_taken_by_both(inputs: list[Any]) -> None:
    request = {"inputs": inputs, "id": "1", "outputs": [{"name": "y"}]}
    assert (by_schema(request), by_decoder(request)) == (True, True)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"inputs": []},
        {"inputs": [REFERRED | {"parameters": {}}]},
        {"inputs": [REFERRED | {"parameters": {"input_uri": 1}}]},
        {"inputs": [{**IMAGE, "name": "nope"}]},
        {"inputs": [{**IMAGE, "datatype": "FP64"}]},
        {"inputs": [{**IMAGE, "shape": [4]}]},
        {"inputs": [{**IMAGE, "data": ["a"] * 4}]},
        {"inputs": [IMAGE, {**COUNT, "data": [256]}]},
        {"inputs": [IMAGE], "id": 1},
        {"inputs": [IMAGE], "outputs": [{"name": "z"}]},
    ],
)
def test_what_does_not_fit_is_refused_by_both(request_: Any) -> None:
    assert (by_schema(request_), by_decoder(request_)) == (False, False)


def test_example_fits_and_words_say_what_goes_together() -> None:
    shown = example(MANIFEST)
    assert (by_schema(shown), by_decoder(shown)) == (True, True)
    assert together(INPUTS) == "count (may be left out); exactly one of image, file"


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"input_uri": "s3://data/uploads/acme/1"}, True),
        ({"image": {"input_uri": "s3://data/uploads/acme/1"}}, True),
        ({"image": {"input_uri": "https://example.com/1"}}, False),
        ({"image": {"input_uri": "s3://data/uploads/acme/1", "more": 1}}, False),
        ({"image": [[0, 1], [2, 3]]}, True),
    ],
)
def test_instance_of_kserve_may_be_an_upload(row: Any, fits: bool) -> None:
    schema = predict_request(MANIFEST)
    assert jsonschema.Draft202012Validator(schema).is_valid({"instances": [row]}) is fits


@pytest.mark.parametrize("name", ["id", "parameters", "outputs"])
@pytest.mark.parametrize(("value", "fits"), [(None, True), (7, False)])
def test_null_counts_as_absent_by_schema_and_decoder(name: str, value: Any, fits: bool) -> None:
    request = {"inputs": [IMAGE], name: value}
    assert (by_schema(request), by_decoder(request)) == (fits, fits)
