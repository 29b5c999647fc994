"""`POST /v2/models/sift/infer` and its fellows: keypoints of a picture, and what two pictures share."""

from hotplate.wiring import program_function

lambda_handler = program_function("functions.sift.model")
