"""`POST /v2/models/voice-activity/infer` and its fellows: is somebody speaking, frame by frame."""

from hotplate.wiring import model_function

lambda_handler = model_function("functions.voice_activity.model")
