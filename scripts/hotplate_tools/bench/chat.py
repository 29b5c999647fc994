"""How fast is an answer of the small language model? `hotplate bench chat`.

hotplate's loop and onnxruntime-genai's, which runs the same graph out of the same folder, each in a process
of its own, asked by turns: both on one thread, always by the likeliest token. Their words are compared; the
bench stops if they differ. Processor time is told beside the clock's, because it says the same on a busy
machine.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import IO, TYPE_CHECKING, Any

import hotplate_tools.bench.chat_genai
import hotplate_tools.bench.chat_ours
from hotplate_tools.environments import ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.console import Console

__all__ = ["BAR", "TOKENS", "ChatBench", "Loop", "bench_chat", "chat_data", "chat_text", "genai_config"]

MODEL = "smollm2"
QUESTION = "Write a long story about the sea."
TOKENS = 64
# Least ratio of our tokens a second to those of onnxruntime-genai. Ours.
BAR = 0.95


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop's turns.

    Attributes:
        load_ms: From files to a loop that can be asked.
        peak_mb: Memory of its process at most.
        first_ms: Until the first token, a turn each.
        rate, cpu_rate: Tokens after it by second, and by second of processor, likewise.
    """

    load_ms: float
    peak_mb: float
    first_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu_rate: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChatBench:
    """Both loops, and the text that both gave."""

    ours: Loop
    genai: Loop
    text: str

    @property
    def ratio(self) -> float:
        """Our tokens a second of processor, as a multiple of genai's."""
        return median(one / other for one, other in zip(self.ours.cpu_rate, self.genai.cpu_rate, strict=True))

    @property
    def clock_ratio(self) -> float:
        """The same by the clock."""
        return median(one / other for one, other in zip(self.ours.rate, self.genai.rate, strict=True))


def bench_chat(*, rounds: int, console: Console) -> ChatBench:
    """Ask both loops by turns.

    Raises:
        RefusedError: The model is not built on this machine.
        FailedError: A loop fails, or they answer otherwise.
    """
    source, binaries = model_folder(MODEL), ensure("bench-genai", console)
    with tempfile.TemporaryDirectory(prefix="hotplate-chat-") as scratch, ExitStack() as stack:
        folder = Path(scratch)
        for name in ("model.onnx", "model.onnx.data", "tokenizer.json", "generation.json"):
            shutil.copy(source / name, folder / name)
        (folder / "genai_config.json").write_text(json.dumps(genai_config(folder / "generation.json")))
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
        ours = _Child(stack, [sys.executable, hotplate_tools.bench.chat_ours.__file__, scratch, QUESTION])
        ids = ours.said["ids"]
        program = hotplate_tools.bench.chat_genai.__file__
        genai = _Child(stack, [str(binaries / "python"), program, scratch, json.dumps(ids)])
        loops = [Loop(child.said["load_ms"], 0) for child in (ours, genai)]
        with console.step(f"Asking both by turns, {rounds} times"):
            words = [
                _turn(child, loop)
                for _ in range(rounds)
                for child, loop in zip((ours, genai), loops, strict=True)
            ]
        if any(each["ids"] != words[0]["ids"] for each in words):
            raise FailedError("the loops give other words")
        loops = [
            Loop(loop.load_ms, child.said["peak_mb"], loop.first_ms, loop.rate, loop.cpu_rate)
            for loop, child in zip(loops, (ours, genai), strict=True)
        ]
        return ChatBench(loops[0], loops[1], words[0]["text"])


def genai_config(file: Path) -> dict[str, Any]:
    """Return what onnxruntime-genai wants to be told of a version with this `generation.json`."""
    said = json.loads(file.read_bytes())
    layers, heads, size = said["caches"]
    parts = {part: f"past_key_values.%d.{part}" for part in ("key", "value")}
    decoder = {
        "session_options": {"provider_options": [], "intra_op_num_threads": 1},
        "filename": "model.onnx",
        "head_size": size,
        "num_hidden_layers": layers,
        "num_key_value_heads": heads,
        "inputs": {
            "input_ids": "input_ids",
            "attention_mask": "attention_mask",
            **{f"past_{part}_names": name for part, name in parts.items()},
        },
        "outputs": {"logits": "logits", **{f"present_{part}_names": f"present.%d.{part}" for part in parts}},
    }
    # A token that never comes ends nothing: both make as many tokens as asked for.
    model = {"type": "llama", "context_length": said["context"], "eos_token_id": 2, "pad_token_id": 2}
    tokens = json.loads((file.parent / "tokenizer.json").read_bytes())["model"]["vocab"]
    model |= {"bos_token_id": 1, "vocab_size": len(tokens), "decoder": decoder}
    return {"model": model, "search": {"do_sample": False, "past_present_share_buffer": True, "num_beams": 1}}


def chat_data(seen: ChatBench) -> dict[str, Any]:
    """Return the figures for `--json`."""
    loops = {
        name: _figures(loop) for name, loop in (("hotplate", seen.ours), ("onnxruntime-genai", seen.genai))
    }
    return {
        "loops": loops,
        "ratio": round(seen.ratio, 3),
        "clock_ratio": round(seen.clock_ratio, 3),
        "bar": BAR,
    }


def chat_text(seen: ChatBench) -> str:
    """Return the figures as a table."""
    rows = chat_data(seen)["loops"]
    head = ["", *next(iter(rows.values()))]
    lines: Sequence[Sequence[Any]] = [head, *([name, *figures.values()] for name, figures in rows.items())]
    table = "\n".join("  ".join(f"{cell!s:>18}" for cell in line) for line in lines)
    return (
        f"{table}\ntokens by second of processor: {seen.ratio:.3f} times genai's (at least {BAR}), "
        f"by the clock {seen.clock_ratio:.3f}"
    )


def _figures(loop: Loop) -> dict[str, float]:
    return {
        "tokens_s": round(median(loop.rate), 1),
        "tokens_cpu_s": round(median(loop.cpu_rate), 1),
        "first_ms": round(median(loop.first_ms), 1),
        "load_ms": round(loop.load_ms, 1),
        "peak_mb": round(loop.peak_mb, 1),
    }


class _Child:
    """A loop in a process; `said` is what it said last."""

    def __init__(self, stack: ExitStack, command: list[str]) -> None:
        self._process = stack.enter_context(
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        )
        stack.callback(self._pipe(self._process.stdin).close)
        self.said = self._read()

    def ask(self) -> dict[str, Any]:
        pipe = self._pipe(self._process.stdin)
        pipe.write(f"{TOKENS}\n")
        pipe.flush()
        self.said = self._read()
        return self.said

    def _read(self) -> dict[str, Any]:
        line = self._pipe(self._process.stdout).readline()
        if not line:
            raise FailedError(f"a loop ended with code {self._process.wait()}; what it said is above")
        said: dict[str, Any] = json.loads(line)
        return said

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None  # noqa: S101 - both were asked for
        return pipe


def _turn(child: _Child, loop: Loop) -> dict[str, Any]:
    said = child.ask()
    loop.first_ms.append(said["first_ms"])
    loop.rate.append((TOKENS - 1) / said["rest_s"])
    loop.cpu_rate.append((TOKENS - 1) / said["rest_cpu_s"])
    return said
