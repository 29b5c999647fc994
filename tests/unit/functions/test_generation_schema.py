"""What the document says of generated text, where the fuzzer once found it wrong."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from functions.catalogue.generation import generate_bodies
from functions.catalogue.openapi import document


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
