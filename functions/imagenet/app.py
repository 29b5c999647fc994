"""`POST /v2/models/imagenet/infer` and its fellows: what is on a photograph, as one of a thousand things."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.imagenet.model")
