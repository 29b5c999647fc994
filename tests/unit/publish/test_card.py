import pytest

from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.card import MAX_CARD_BYTES, card_of, refuse_wrong_head
from hotplate_tools.publish.model_yaml import ModelSpec
from tests.support.tiny_models import spec_of

SPEC = ModelSpec.model_validate(spec_of())


def test_card_says_what_model_yaml_says_and_agrees_with_it() -> None:
    assert card_of(SPEC).decode() == (
        "---\nlibrary_name: onnx\nmodel_name: affine\npipeline_tag: scaling\n---\n\n# affine\n\n"
        "## Inputs\n\n- `x`: FP32 [-1, 3]. rows of three\n\n## Outputs\n\n- `y`: FP32 [-1, 3]\n\n"
        "## Measured\n\n- accuracy: 0.98\n\n## Provenance\n\n- Made by: `python train.py`\n- Seed: 7\n"
    )
    refuse_wrong_head(card_of(SPEC), SPEC)


@pytest.mark.parametrize("card", [b"# no head\n", b"---\nlicense: mit\n---\n", b"---\nnever closed", b""])
def test_card_without_a_contradiction_is_fine(card: bytes) -> None:
    refuse_wrong_head(card, SPEC)


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (b"---\nmodel_name: other\n---\n", "model_name 'other'"),
        (b"---\npipeline_tag: other\n---\n", "pipeline_tag 'other'"),
        (b"---\n- a\n---\n", "no YAML mapping"),
        (b"---\na: &x [1]\nb: *x\n---\n", "cannot be read"),
        (b"---\na: !!python/name:os.system\n---\n", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b"x" * (MAX_CARD_BYTES + 1), "longer than"),
    ],
)
def test_card_that_contradicts_or_cannot_be_read_is_refused(card: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        refuse_wrong_head(card, SPEC)
