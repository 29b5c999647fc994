from typing import Any

import msgspec
import pytest
import yaml

from hotplate.limits import MAX_CARD_BYTES
from hotplate.manifest.schema import FileEntry, Golden, Manifest, OutputParity, Parity, Plan, Provenance
from hotplate.protocol.types import MetadataTensor
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.card import card_of, read_head, split_card
from hotplate_tools.publish.model_yaml import ModelSpec
from tests.support.tiny_models import spec_of

SPEC = ModelSpec.model_validate(spec_of(license="mit"))
MANIFEST = Manifest(
    format=1,
    name="affine",
    inputs=(MetadataTensor("x", "FP32", (-1, 3), description="rows of\nthree"),),
    outputs=(MetadataTensor("y", "FP32", (-1, 3)),),
    files=(FileEntry("model.onnx", "graph", 12_345, "0" * 64),),
    task="scaling",
    producer="hotplate 1",
    labels={"y": ("a", "b")},
    golden=Golden(rows=2, rtol=1e-4, atol=1e-5),
    plan=Plan(weight_form="inline"),
    parity=Parity("keras 3", 12, 1e-4, {"y": OutputParity(2e-6, 1e-6, 1.0)}, ("batch 1", "batch 3")),
    provenance=Provenance(
        command="python train.py", data="rows", seed=7, git_revision="a" * 40, metrics={"accuracy": 0.98}
    ),
)
WHOLE = """\
---
library_name: onnx
license: mit
model-index:
- name: affine
  results:
  - dataset:
      name: rows
      type: custom
    metrics:
    - name: accuracy
      type: accuracy
      value: 0.98
    task:
      type: scaling
model_name: affine
pipeline_tag: scaling
---

# affine

## Inputs

- `x`: FP32 [-1, 3]. rows of three

## Outputs

- `y`: FP32 [-1, 3]. Classes: a, b

## Evaluation

- accuracy: 0.98

## Conversion

Converted, and compared with keras 3 on 12 rows of the owner's (batch 1; batch 3).
Allowed was a difference of 0.0001 of an output's largest magnitude.

| output | largest difference | relative | same label |
|---|---|---|---|
| `y` | 2e-06 | 1e-06 | 100.00% |

## How it is served

- Form: optimised by ONNX Runtime before it was published, weights inside of the graph
- Read at a cold start: 12,345 bytes
- Golden rows: 2, each answered within 1e-05 + 0.0001 × the expected number when it was published

## Provenance

- Made by: `python train.py`
- Data: rows
- Seed: 7
- Git revision: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
- Published by: hotplate 1
"""


def test_written_card_says_what_the_manifest_says_and_agrees_with_model_yaml() -> None:
    card = card_of(MANIFEST, license_name="mit")
    assert card.decode() == WHOLE
    head = read_head(card, SPEC)
    assert head == yaml.safe_load(split_card(WHOLE)[0])
    assert head["model-index"][0]["results"][0]["metrics"][0]["value"] == 0.98


def test_written_card_leaves_out_what_nobody_stated() -> None:
    bare = Manifest(
        format=1, name="bare", inputs=MANIFEST.inputs, outputs=MANIFEST.outputs, files=MANIFEST.files
    )
    card = card_of(bare)
    assert read_head(card, None) == {"library_name": "onnx", "model_name": "bare"}
    titles = [line for line in card.decode().splitlines() if line.startswith("## ")]
    assert titles == ["## Inputs", "## Outputs", "## How it is served"]


def test_written_card_of_a_thousand_classes_names_some() -> None:
    many = msgspec.structs.replace(MANIFEST, labels={"y": tuple(f"c{number}" for number in range(1000))})
    assert "c19 and 980 more\n" in card_of(many).decode()


@pytest.mark.parametrize(
    ("card", "head"),
    [
        (b"# no head\n", {}),
        (b"---\nlicense: mit\nmade: 2026-11-24\ntags: [a, 1, null, 0.5]\n---\n# x\n", None),
        (b"---\nnever closed", {}),
        (b"", {}),
    ],
)
def test_head_is_read_as_json(card: bytes, head: dict[str, Any] | None) -> None:
    wanted = {"license": "mit", "made": "2026-11-24", "tags": ["a", 1, None, 0.5]} if head is None else head
    assert read_head(card, SPEC) == wanted


def test_license_of_the_card_alone_is_fine() -> None:
    assert read_head(b"---\nlicense: mit\n---\n", ModelSpec.model_validate(spec_of())) == {"license": "mit"}


@pytest.mark.parametrize(
    ("card", "words"),
    [
        (b"---\nmodel_name: other\n---\n", "model_name 'other'"),
        (b"---\npipeline_tag: other\n---\n", "pipeline_tag 'other'"),
        (b"---\nlicense: gpl-3.0\n---\n", "license 'gpl-3.0'"),
        (b"---\n- a\n---\n", "no YAML mapping"),
        (b"---\na: &x [1]\nb: *x\n---\n", "cannot be read"),
        (b"---\na: !!python/name:os.system\n---\n", "cannot be read"),
        (b"---\na: .nan\n---\n", "no number in JSON"),
        (b"---\n1: a\n---\n", "keys must be text"),
        (b"---\na: !!set {b, c}\n---\n", "nothing that JSON has"),
        (b"\xff", "cannot be read"),
        (b"x" * (MAX_CARD_BYTES + 1), "longer than"),
    ],
)
def test_card_that_contradicts_or_cannot_be_read_is_refused(card: bytes, words: str) -> None:
    with pytest.raises(RefusedError, match=words):
        read_head(card, SPEC)
