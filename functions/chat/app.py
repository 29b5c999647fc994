"""The endpoint of a model that generates text; which one, the environment says."""

from hotplate.wiring import generation_function

lambda_handler = generation_function()
