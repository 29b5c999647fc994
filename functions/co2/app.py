"""`POST /v2/models/co2/infer` and its fellows: the weekly carbon dioxide in the air, some weeks ahead."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.co2.model")
