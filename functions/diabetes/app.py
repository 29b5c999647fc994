"""`POST /v2/models/diabetes/infer` and its fellows: ten measurements a patient, as a matrix or by name."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.diabetes.model")
