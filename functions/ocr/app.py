"""`POST /v2/models/ocr/infer` and its fellows: the text on a picture, found and read by two models."""

from hotplate.wiring import pipeline_function

lambda_handler = pipeline_function("functions.ocr.model")
