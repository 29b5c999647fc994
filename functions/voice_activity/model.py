"""What the voice-activity model does around its graph: a recording to frames, each on what came before.

The graph hears 512 new samples after the 64 before them, and a state. A caller who streams sends both
and keeps the state that comes back; a caller who has a whole recording sends that, and the frames are
run here one after the other.

Rules kept here:

1. Pure, NumPy only.
2. 16 kHz only. The graph knows 8 kHz too, in frames of another length, which nothing here makes.
3. Only samples that can be sound reach the graph: finite, and not 16-bit integers that nobody divided.

Axes: N frames of as many streams, T frames of one recording.

Source: silero-vad 6.2.3, `OnnxWrapper` in `silero_vad/utils_vad.py` (context, padding, state).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ShapeMismatchError, ValueRangeError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Array = np.ndarray[Any, Any]
    Arrays = Mapping[str, Array]
    Run = Callable[[Arrays], Arrays]

__all__ = ["CONTEXT", "FRAME", "SAMPLE_RATE", "postprocess", "preprocess", "rollout"]

# Samples per second, new ones in a frame (32 ms), and those before them. Source: as above.
SAMPLE_RATE = 16_000
FRAME = 512
CONTEXT = 64
_RATE = np.array(SAMPLE_RATE, np.int64)

# Beyond it no sample can be meant. Ours: filters may overshoot 1, and 16-bit samples reach 32,767.
LOUDEST = 2.0


def preprocess(inputs: Arrays) -> dict[str, Array]:
    """Return what is fed: the graph's own inputs, or all frames of a recording.

    Args:
        inputs: Either `waveform`, float32 [samples] at 16 kHz, -1 to 1;
            or `input`, float32 [N, 576], `state`, float32 [2, N, 128], and `sr`, int64 [], 16000.

    Returns:
        `frames`, float32 [T, 576], the last one filled up with silence; or the three as they came.

    Raises:
        ValueRangeError: A sample that is no sound, a state that is not finite, or another rate.
        ShapeMismatchError: `input` and `state` are of different numbers of streams.
    """
    if "waveform" in inputs:
        waveform = inputs["waveform"]
        _refuse_no_sound(waveform, "waveform")
        return {"frames": _frames(waveform)}
    frames, state, rate = inputs["input"], inputs["state"], int(inputs["sr"])
    if rate != SAMPLE_RATE:
        raise ValueRangeError("sr", expected=f"{SAMPLE_RATE} samples a second", received=str(rate))
    if state.shape[1] != len(frames):
        raise ShapeMismatchError(
            "state", expected=f"[2, {len(frames)}, 128]", received=str(list(state.shape))
        )
    _refuse_no_sound(frames, "input")
    if not np.isfinite(state).all():
        raise ValueRangeError(
            "state", expected="what an earlier answer gave, or zeros", received="NaN or infinity"
        )
    return {"input": frames, "state": state, "sr": _RATE}


def rollout(feeds: Arrays, run: Run) -> dict[str, Array]:
    """Return `output`, float32 [N or T, 1], and `stateN`, float32 [2, N or 1, 128], after the last frame."""
    if "input" in feeds:
        return dict(run(feeds)) if len(feeds["input"]) else _silence(feeds["state"])
    found = _silence(np.zeros((2, 1, 128), np.float32))
    probabilities = np.empty((len(feeds["frames"]), 1), np.float32)
    for index, frame in enumerate(feeds["frames"]):
        found = dict(run({"input": frame[None], "state": found["stateN"], "sr": _RATE}))
        probabilities[index] = found["output"][0]
    return {"output": probabilities, "stateN": found["stateN"]}


def postprocess(outputs: Arrays) -> Arrays:
    """Return `output` and `stateN` as they are."""
    return outputs


def _silence(state: Array) -> dict[str, Array]:
    """Return the answer to no frame at all."""
    return {"output": np.zeros((0, 1), np.float32), "stateN": state}


def _frames(waveform: Array) -> Array:
    """Return float32 [T, 576]: each frame behind the end of the one before it, the first behind silence."""
    count = -(-len(waveform) // FRAME)
    padded = np.zeros(CONTEXT + count * FRAME, np.float32)
    padded[CONTEXT : CONTEXT + len(waveform)] = waveform
    starts = np.arange(count)[:, None] * FRAME
    frames: Array = padded[starts + np.arange(CONTEXT + FRAME)]  # (T, 576)
    return frames


def _refuse_no_sound(samples: Array, name: str) -> None:
    # NaN fails the comparison, so one expression finds it too.
    right = np.abs(samples) <= LOUDEST
    if right.all():
        return
    where = np.unravel_index(int(right.argmin()), samples.shape)
    raise ValueRangeError(
        f"{name}[{', '.join(str(int(axis)) for axis in where)}]",
        expected="a sample of -1 to 1; divide 16-bit samples by 32768",
        received=str(samples[where]),
    )
