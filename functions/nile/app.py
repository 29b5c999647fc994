"""`POST /v2/models/nile/infer` and its fellows: next year's flow of a river, after any number of years."""

from functions.nile.model import postprocess, preprocess
from hotplate.runtime.transforms import Transforms
from hotplate.wiring import model_function

lambda_handler = model_function(Transforms(preprocess, postprocess))
