"""`POST /v2/models/diabetes/infer` and its fellows: ten measurements a patient, as a matrix or by name."""

from functions.diabetes.model import transforms
from hotplate.wiring import model_function

lambda_handler = model_function(transforms)
