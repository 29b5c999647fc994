"""What the bench of answers tells, and what it tells onnxruntime-genai."""

import json
import sys
from pathlib import Path

import pytest

import hotplate_tools.bench.chat as chat_bench
from hotplate_tools.bench.chat import RIVALS, ChatBench, Loop, chat_data, chat_text, genai_config
from tests.support.tiny_llama import assets

OURS = Loop(100.0, 300.0, "The sea", [10, 20, 30], [40, 50, 60], [80, 100, 90])
OTHER = Loop(90.0, 200.0, "The sea", [11, 21, 31], [50, 50, 50], [100, 100, 100])


def seen(against: str) -> ChatBench:
    return ChatBench(RIVALS[against], OURS, OTHER)


def test_ratios_are_of_turns_that_were_side_by_side() -> None:
    assert (seen("genai").cpu_ratio, seen("genai").clock_ratio) == (0.9, 1.0)


def test_figures_are_medians() -> None:
    data = chat_data(seen("genai"))
    assert data["loops"]["hotplate"] == {
        "tokens_s": 50,
        "tokens_cpu_s": 90,
        "first_ms": 20,
        "load_ms": 100,
        "peak_mb": 300,
    }
    assert "a multiple of onnxruntime-genai's, 1 threads each: 1.000 by the clock, 0.900" in chat_text(
        seen("genai")
    )


@pytest.mark.parametrize(
    ("against", "clock", "cpu", "is_within"),
    [
        ("genai", 0.5, 0.96, True),
        ("genai", 1.0, 0.94, False),
        ("llama", 1.21, 0.5, True),
        ("llama", 1.19, 2.0, False),
    ],
)
def test_the_bar_is_of_the_figure_that_was_promised(
    against: str, clock: float, cpu: float, is_within: bool
) -> None:
    ours, other = Loop(0, 0, "", [1], [clock], [cpu]), Loop(0, 0, "", [1], [1.0], [1.0])
    assert ChatBench(RIVALS[against], ours, other).is_within is is_within


def test_genai_is_told_the_versions_own_sizes(tmp_path: Path) -> None:
    for name, body in assets().items():
        (tmp_path / name).write_bytes(body)
    model = genai_config(tmp_path / "generation.json")["model"]
    assert (model["context_length"], model["vocab_size"]) == (
        512,
        len(json.loads(assets()["tokenizer.json"])["model"]["vocab"]),
    )
    decoder = model["decoder"]
    assert [decoder[key] for key in ("num_hidden_layers", "num_key_value_heads", "head_size")] == [2, 1, 32]
    assert decoder["outputs"]["present_value_names"] == "present.%d.value"


# Says when it was started, and how often it was asked, as its load and its figures.
CHILD = """\
import json, sys, time
print(json.dumps({"load_ms": time.monotonic(), "peak_mb": 1}), flush=True)
for line in sys.stdin:
    said = {"first_ms": 1, "rest_s": 1, "rest_cpu_s": 1, "ids": [int(sys.argv[1])], "peak_mb": 7}
    print(json.dumps(said), flush=True)
"""


@pytest.mark.parametrize("ours_first", [True, False])
def test_who_is_started_first_is_told_and_both_are_asked_as_often(ours_first: bool) -> None:
    commands = [[sys.executable, "-c", CHILD, number] for number in "12"]
    ours, other = chat_bench._pair(commands[0], commands[1], 3, ours_first)
    assert (ours.load_ms < other.load_ms) is ours_first
    assert (ours.words, other.words) == ([(1,)] * 3, [(2,)] * 3)
    assert (len(ours.rate), len(other.cpu_rate), ours.peak_mb) == (3, 3, 7)


def test_two_processes_are_told_as_one() -> None:
    one, other = Loop(100, 300, "a", [1], [2], [3], [(4,)]), Loop(200, 200, "b", [5], [6], [7], [(8,)])
    assert chat_bench._both(one, other) == Loop(150, 300, "a", [1, 5], [2, 6], [3, 7], [(4,), (8,)])
