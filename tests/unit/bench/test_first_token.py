"""What the bench of first tokens tells."""

from hotplate_tools.bench.first_token import FirstToken, FormSeen, first_token_data, first_token_text

SEEN = FirstToken(
    {
        "four-bits": FormSeen(
            91_400_000,
            93_000_000,
            "The capital of France is Paris.",
            [1300.0, 1100.0, 1200.0],
            [{"imports": 700.0, "wait": 50.0}, {"imports": 800.0}, {"imports": 750.0, "wait": 10.0}],
        )
    }
)


def test_figures_are_medians_and_the_quickest_stands_beside() -> None:
    form = first_token_data(SEEN)["forms"]["four-bits"]
    assert form == {
        "what": "table and attention in four bits",
        "weights_mb": 91.4,
        "fetched_mb": 93.0,
        "first_token_ms": 1200.0,
        "quickest_ms": 1100.0,
        "phases_ms": {"imports": 750.0, "wait": 10.0},
        "answer": "The capital of France is Paris.",
    }


def test_size_form_phases_and_answer_are_told() -> None:
    text = first_token_text(SEEN)
    assert "91.4 MB of weights (table and attention in four bits): first token after 1200 ms" in text
    assert "imports 750, wait 10" in text
    assert "'The capital of France is Paris.'" in text
