"""The endpoint of a model that needs no steps of its own; which one, the environment says."""

from hotplate.wiring import model_function

lambda_handler = model_function()
