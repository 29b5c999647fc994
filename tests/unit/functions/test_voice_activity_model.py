"""What the voice-activity model does around its graph; the graph is made up here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from functions.voice_activity.model import CONTEXT, FRAME, postprocess, preprocess, rollout
from hotplate.errors import ShapeMismatchError, ValueRangeError
from hotplate.runtime.transforms import Transforms

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]

STEPS = Transforms(preprocess, postprocess, rollout)
RATE = np.array(16_000, np.int64)


def counting(feeds: Any) -> dict[str, Array]:
    """A graph whose state counts the frames and whose output is the sum of the new samples and that count."""
    count = feeds["state"] + 1
    new = feeds["input"][:, CONTEXT:].sum(axis=1, keepdims=True)
    return {"output": (new + count[0, :, :1]).astype(np.float32), "stateN": count}


def test_frames_begin_with_the_end_of_the_one_before_and_end_with_silence() -> None:
    sound = (np.arange(FRAME + 3) / 1000).astype(np.float32)
    frames = preprocess({"waveform": sound})["frames"]
    assert frames.shape == (2, CONTEXT + FRAME)
    assert not frames[0, :CONTEXT].any()
    np.testing.assert_array_equal(frames[0, CONTEXT:], sound[:FRAME])
    np.testing.assert_array_equal(frames[1, : CONTEXT + 3], sound[FRAME - CONTEXT :])
    assert not frames[1, CONTEXT + 3 :].any()


def test_recording_is_run_frame_by_frame_on_the_state_before() -> None:
    sound = np.zeros(3 * FRAME, np.float32)
    sound[FRAME] = 0.5
    found = STEPS.apply({"waveform": sound}, counting)
    assert found["output"].tolist() == [[1.0], [2.5], [3.0]]
    assert found["stateN"].shape == (2, 1, 128)
    assert (found["stateN"] == 3).all()


def test_frames_of_streams_are_run_once_with_the_state_that_was_sent() -> None:
    state = np.zeros((2, 2, 128), np.float32)
    state[:, 1] = 7
    found = STEPS.apply({"input": np.zeros((2, 576), np.float32), "state": state, "sr": RATE}, counting)
    assert found["output"].tolist() == [[1.0], [8.0]]


def test_no_sound_is_no_frame() -> None:
    found = STEPS.apply({"waveform": np.zeros(0, np.float32)}, counting)
    assert found["output"].shape == (0, 1)
    assert not found["stateN"].any()


@pytest.mark.parametrize("sample", [np.nan, np.inf, -32768, 2.1])
def test_sample_that_is_no_sound_is_named(sample: float) -> None:
    sound = np.zeros(9, np.float32)
    sound[4] = sample
    with pytest.raises(ValueRangeError, match=r"waveform\[4\]: expected a sample of -1 to 1"):
        preprocess({"waveform": sound})
    with pytest.raises(ValueRangeError, match=r"input\[0, 4\]"):
        preprocess(
            {"input": np.resize(sound, (1, 576)), "state": np.zeros((2, 1, 128), np.float32), "sr": RATE}
        )


def test_rate_state_and_streams_have_to_fit() -> None:
    frame, state = np.zeros((1, 576), np.float32), np.zeros((2, 1, 128), np.float32)
    with pytest.raises(ValueRangeError, match="expected 16000 samples a second, got 8000"):
        preprocess({"input": frame, "state": state, "sr": np.array(8000)})
    with pytest.raises(ShapeMismatchError, match=r"expected \[2, 1, 128\], got \[2, 3, 128\]"):
        preprocess({"input": frame, "state": np.repeat(state, 3, axis=1), "sr": RATE})
    with pytest.raises(ValueRangeError, match="NaN or infinity"):
        preprocess({"input": frame, "state": state + np.nan, "sr": RATE})
