"""`POST /v2/models/magika/infer` and its fellows: what kind of file some bytes are."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.magika.model")
