"""`POST /v2/models/digits/infer` and its fellows: handwritten digits, as tensors or as image files."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.digits.model")
