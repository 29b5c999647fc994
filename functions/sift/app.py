"""`POST /v2/models/sift/infer` and its fellows: keypoints of a picture, and what two pictures share."""

from functions.sift.model import example, load
from hotplate.wiring import program_function

lambda_handler = program_function(load, example)
