"""What the bench of answers tells, and what it tells onnxruntime-genai."""

import json
from pathlib import Path

from hotplate_tools.bench.chat import ChatBench, Loop, chat_data, chat_text, genai_config
from tests.support.tiny_llama import assets

SEEN = ChatBench(
    Loop(100.0, 300.0, [10, 20, 30], [40, 50, 60], [80, 100, 90]),
    Loop(90.0, 200.0, [11, 21, 31], [50, 50, 50], [100, 100, 100]),
    "The sea",
)


def test_ratios_are_of_turns_that_were_side_by_side() -> None:
    assert (SEEN.ratio, SEEN.clock_ratio) == (0.9, 1.0)


def test_figures_are_medians() -> None:
    data = chat_data(SEEN)
    assert data["loops"]["hotplate"] == {
        "tokens_s": 50,
        "tokens_cpu_s": 90,
        "first_ms": 20,
        "load_ms": 100,
        "peak_mb": 300,
    }
    assert "0.900 times genai's" in chat_text(SEEN)


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
