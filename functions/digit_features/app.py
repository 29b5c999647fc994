"""`POST /v2/models/digit-features/infer` and its fellows: a digit, by a hundred features of its picture."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.digit_features.model")
