"""What the document says of generated text, where the fuzzer once found it wrong."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from functions.catalogue.generation import generate_bodies
from functions.catalogue.openapi import document
from functions.catalogue.served import Pin, Served
from hotplate.manifest.schema import FileEntry, Manifest, Plan
from hotplate.protocol.types import MetadataTensor

TELLING = {
    *(f"{base}/{what}" for base in ("/v1", "/openai/v1") for what in ("chat/completions", "completions")),
    *(f"/v2/models/chatty/{verb}" for verb in ("infer", "generate", "generate_stream")),
    # SageMaker answers a version that is named, so `infer` says it whoever stands in.
    "/v2/models/chatty/versions/{version}/infer",
}


def fits(schema: dict[str, Any], value: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema).is_valid(value))


@pytest.mark.parametrize("parameters", [None, {}, {"max_tokens": None}], ids=json.dumps)
def test_parameters_that_are_null_count_as_absent_by_the_document_too(parameters: Any) -> None:
    sent, _ = generate_bodies()
    assert fits(sent, {"id": "", "parameters": parameters, "text_input": ""})
    assert fits(sent, {"id": None, "parameters": parameters, "text_input": ""})
    assert not fits(sent, {"id": "", "parameters": [], "text_input": ""})


@pytest.mark.parametrize("path", ["/v1/completions", "/openai/v1/chat/completions"])
def test_schema_of_a_stream_is_that_of_one_event(path: str) -> None:
    answers = document([], server=".")["paths"][path]["post"]["responses"]["200"]["content"]
    schema = answers["text/event-stream"]["schema"]
    assert fits(schema, {"event": "message", "data": '{"id": "cmpl-1"}'})
    assert not fits(schema, "data: one\n\n")


@pytest.mark.parametrize("fallback", ["large", None])
def test_who_answered_instead_is_told_wherever_a_fallback_may(fallback: str | None) -> None:
    text = (MetadataTensor("text_input", "BYTES", (1,)),)
    entry = FileEntry("generation.json", "asset", 1, "0" * 64)
    manifest = Manifest(1, "chatty", text, text, (entry,), plan=Plan(fallback=fallback))
    served = Served(Pin("chatty", "1", "0" * 64, 512), manifest)
    paths = document([served], server=".")["paths"]
    telling = {
        path
        for path, each in paths.items()
        if "Hotplate-Fallback" in each.get("post", {}).get("responses", {}).get("200", {}).get("headers", {})
    }
    assert telling == (TELLING if fallback else set())
