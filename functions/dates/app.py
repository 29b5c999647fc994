"""`POST /v2/models/dates/infer` and its fellows: dates as people write them to ISO 8601."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.dates.model")
