"""`POST /v2/models/digits/infer` and its fellows: handwritten digits, as tensors or as image files."""

from functions.digits.model import postprocess, preprocess
from hotplate.runtime.transforms import Transforms
from hotplate.wiring import model_function

lambda_handler = model_function(Transforms(preprocess, postprocess))
