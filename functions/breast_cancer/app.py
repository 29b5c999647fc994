"""`POST /v2/models/breast-cancer/infer` and its fellows: thirty measurements, as a matrix or by name."""

from functions.breast_cancer.model import postprocess, preprocess
from hotplate.runtime.transforms import Transforms
from hotplate.wiring import model_function

lambda_handler = model_function(Transforms(preprocess, postprocess))
