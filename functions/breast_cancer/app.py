"""`POST /v2/models/breast-cancer/infer` and its fellows: thirty measurements, as a matrix or by name."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.breast_cancer.model")
