"""`POST /v2/models/voice-activity/infer` and its fellows: is somebody speaking, frame by frame."""

from functions.voice_activity.model import postprocess, preprocess, rollout
from hotplate.runtime.transforms import Transforms
from hotplate.wiring import model_function

lambda_handler = model_function(Transforms(preprocess, postprocess, rollout))
