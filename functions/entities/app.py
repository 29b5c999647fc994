"""`POST /v2/models/entities/infer` and its fellows: who and what a text is about, its words, its vector."""

from hotplate.wiring import program_function

lambda_handler = program_function("functions.entities.model")
