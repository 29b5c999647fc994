"""`POST /v2/models/spam/infer` and its fellows: whether a mail is spam."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.spam.model")
