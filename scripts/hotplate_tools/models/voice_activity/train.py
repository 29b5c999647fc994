"""silero-vad as its publisher trained it, against its TorchScript twin: `hotplate train voice-activity`."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.voice_activity.model import FRAME, SAMPLE_RATE, postprocess, preprocess, rollout
from hotplate.runtime.transforms import Transforms
from hotplate_tools.failures import FailedError
from hotplate_tools.training.packages import MOONSHINE, Package, read_member
from hotplate_tools.training.trainer import ask_here

if TYPE_CHECKING:
    from hotplate_tools.training.trainer import Arrays, Ask

    Array = np.ndarray[Any, Any]

__all__ = ["DATA", "NOTE", "SEED", "build", "compare", "evaluate", "export", "golden", "prepare"]

SILERO = Package(
    "pypi",
    "silero-vad",
    "6.2.3",
    "7b7f5436cfcb02fae583a05b512ea96467fd449fe54cb49a5e4f06c51a1e43b8",
    "silero_vad-6.2.3-py3-none-any.whl",
)
DATA = (SILERO, MOONSHINE)
NOTE = "weights of the first as they come; measured on the second's ten seconds of speech, silence and noise"
SEED = 5

# A frame is speech above it. Source: silero-vad, `get_speech_timestamps`.
SPEECH = 0.5
# A speaker's frame is one as loud as this share of the loudest; the rest may be pauses. Ours.
LOUD = 0.1
# How far our answers may be from the publisher's program's. Ours: float32 over 312 steps.
CLOSE = 1e-4


def prepare(packages: Sequence[Path]) -> tuple[dict[str, bytes], Arrays]:
    """Return both forms of the network; held out: `speech`, `silence` and `noise`, float32 at 16 kHz."""
    names = ("silero_vad.onnx", "silero_vad.jit")
    kept = {name: read_member(packages[0], f"silero_vad/data/{name}") for name in names}
    speech = _read_wave(read_member(packages[1], "moonshine_onnx/assets/beckett.wav"))
    noise = np.random.default_rng(SEED).normal(0, 0.05, len(speech)).astype(np.float32)
    return kept, {"speech": speech, "silence": np.zeros_like(speech), "noise": noise}


def build(training: dict[str, bytes]) -> Any:
    """Return the publisher's TorchScript program: 512 samples to a probability, its state inside."""
    import torch

    torch.set_num_threads(1)
    return torch.jit.load(io.BytesIO(training["silero_vad.jit"])).eval()


def export(network: Any, training: dict[str, bytes], held_out: Arrays, folder: Path) -> str:
    """Write the graph as it is in the package."""
    (folder / "model.onnx").write_bytes(training["silero_vad.onnx"])
    return "model.onnx"


def compare(network: Any, held_out: Arrays, folder: Path) -> dict[str, float]:
    """Return the largest difference between our probabilities and the program's, on all held-out sounds.

    Raises:
        FailedError: It is above `CLOSE`.
    """
    ask = ask_here(folder / "model.onnx", Transforms(preprocess, postprocess, rollout))
    largest = 0.0
    for sound in held_out.values():
        ours = ask({"waveform": sound})["output"][:, 0]
        largest = max(largest, float(np.abs(ours - _by_program(network, sound)).max()))
    if not largest <= CLOSE:
        raise FailedError(f"our probabilities are up to {largest} from those of silero-vad itself")
    return {"largest_difference_to_program": largest}


def evaluate(ask: Ask, held_out: Arrays) -> dict[str, float]:
    """Return which share of the loud frames of speech is found, and of the frames of silence and noise not.

    `streamed` is the share of the speech's frames that are answered alike frame by frame, by a caller
    who keeps the state, and all at once.
    """
    at_once = {name: ask({"waveform": sound})["output"][:, 0] for name, sound in held_out.items()}
    framed = preprocess({"waveform": held_out["speech"]})["frames"]
    loudness = np.sqrt(np.square(framed).mean(axis=1))
    loud = loudness > LOUD * loudness.max()
    metrics = {"recall": float((at_once["speech"][loud] > SPEECH).mean())}
    for name in ("silence", "noise"):
        metrics[f"specificity_{name}"] = float((at_once[name] <= SPEECH).mean())
    state, streamed = np.zeros((2, 1, 128), np.float32), []
    for frame in framed[:64]:
        answer = ask({"input": frame[None], "state": state, "sr": np.array(SAMPLE_RATE, np.int64)})
        state = answer["stateN"]
        streamed.append(float(answer["output"][0, 0]))
    metrics["streamed"] = float((np.abs(at_once["speech"][: len(streamed)] - streamed) < CLOSE).mean())
    return metrics


def golden(ask: Ask, held_out: Arrays) -> list[Arrays]:
    """Return four frames of a made-up sound, as a recording, and as two streams at once."""
    time = np.arange(4 * FRAME) / SAMPLE_RATE
    tone = np.round(0.3 * np.sin(2 * np.pi * 220 * time) * np.sin(2 * np.pi * 3 * time), 3).astype(np.float32)
    frames = preprocess({"waveform": tone})["frames"]
    state = np.zeros((2, 2, 128), np.float32)
    rate = np.array(SAMPLE_RATE, np.int64)
    return [{"waveform": tone}, {"input": frames[1:3], "state": state, "sr": rate}]


def _by_program(network: Any, sound: Array) -> Array:
    import torch

    network.reset_states()
    padded = np.pad(sound, (0, -len(sound) % FRAME))
    with torch.no_grad():
        return np.array(
            [float(network(torch.from_numpy(part)[None], SAMPLE_RATE)) for part in padded.reshape(-1, FRAME)]
        )


def _read_wave(body: bytes) -> Array:
    """Return float32 [samples] of 16-bit mono at 16 kHz."""
    with wave.open(io.BytesIO(body)) as file:
        form = (file.getnchannels(), file.getsampwidth(), file.getframerate())
        if form != (1, 2, SAMPLE_RATE):
            raise FailedError(f"16-bit mono at {SAMPLE_RATE} Hz was expected, got {form}")
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    return (samples / 32768).astype(np.float32)
