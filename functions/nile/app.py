"""`POST /v2/models/nile/infer` and its fellows: next year's flow of a river, after any number of years."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.nile.model")
