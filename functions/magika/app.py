"""`POST /v2/models/magika/infer` and its fellows: what kind of file some bytes are."""

from functions.magika.model import transforms
from hotplate.wiring import model_function

lambda_handler = model_function(transforms)
