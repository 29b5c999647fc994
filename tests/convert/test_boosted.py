"""LightGBM and XGBoost: every objective and form of tree, at every split, or a refusal by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hotplate.runtime.session import Session
from hotplate_tools.console import Console
from hotplate_tools.convert.converted import ConvertOptions, as_onnx
from hotplate_tools.failures import RefusedError
from hotplate_tools.publish.source import Source, read_source

PROGRAMS = Path(__file__).parent / "programs"


@pytest.fixture
def convert(boosted_models: Path, tmp_path: Path) -> Callable[..., Source]:
    def converted(name: str, program: str | None = None, rows: str | None = None) -> Source:
        options = ConvertOptions(
            rows=boosted_models / rows if rows else None,
            cached=False,
            program=PROGRAMS / program if program else None,
        )
        source = read_source(boosted_models / name, None)
        return as_onnx(source, options, tmp_path, Console(as_json=True))

    return converted


@pytest.mark.parametrize(
    "name",
    [
        "light-line.txt",
        "light-root.txt",
        "light-count.txt",
        "light-two.txt",
        "light-three.txt",
        "light-apart.txt",
        "light-forest.txt",
        "light-whole.txt",
        "light-cross.txt",
        "light-cross-lambda.txt",
        "light-constant.txt",
        "extreme-line.ubj",
        "extreme-start.ubj",
        "extreme-count.ubj",
        "extreme-logit.ubj",
        "extreme-two.ubj",
        "extreme-three.ubj",
        "extreme-labels.ubj",
        "extreme-dart.ubj",
        "extreme-forest.ubj",
        "extreme-quantiles.ubj",
        "extreme-text.json",
        "extreme-early.ubj",
    ],
)
def test_graph_answers_as_the_framework_did_also_where_values_are_missing(
    boosted_models: Path, convert: Callable[..., Source], name: str
) -> None:
    source = convert(name)
    session = Session(source.graph.read_bytes(), weights={}, threads=1)
    with np.load((boosted_models / name).with_suffix(".npz")) as archive:
        got = session.run({"input": archive["in_input"]}, session.output_names)
        expected = {key[4:]: archive[key] for key in archive.files if key.startswith("out_")}
    assert set(got) == set(expected)
    for output, array in expected.items():
        assert got[output].dtype == array.dtype
        np.testing.assert_allclose(got[output], array, rtol=1e-5, atol=1e-6)
    assert source.conversion is not None
    walked = " ".join(source.conversion.parity.cases)
    assert ("rows at the splits" in walked) == (name != "light-constant.txt")
    if "probabilities" in expected:
        classes = expected["probabilities"].shape[1]
        assert source.conversion.labels == {"probabilities": tuple(map(str, range(classes)))}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("light-kinds.txt", "splits on categories"),
        ("light-linear.txt", "linear models in its leaves"),
        ("light-zero.txt", "zero as missing"),
        ("extreme-kinds.ubj", "splits on categories"),
        ("extreme-hinge.ubj", "objective binary:hinge"),
        ("extreme-linear.ubj", "gblinear is not made of trees"),
        ("extreme-vectors.ubj", "several targets a leaf"),
    ],
)
def test_what_onnx_cannot_say_exactly_is_refused_by_its_name(
    convert: Callable[..., Source], name: str, what: str
) -> None:
    with pytest.raises(RefusedError, match=what) as refused:
        convert(name)
    assert refused.value.advice


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("light-line.txt", "nearest_run_boosted.py"),
        ("light-line.txt", "right_run_boosted.py"),
        ("extreme-line.ubj", "right_run_boosted.py"),
    ],
)
def test_made_up_rows_find_a_converter_that_is_wrong_at_the_splits_only(
    convert: Callable[..., Source], name: str, program: str
) -> None:
    with pytest.raises(
        RefusedError, match=r"differs from .*(.|\n)*rows (at the splits|with a value missing), row"
    ):
        convert(name, program)


def test_rows_of_the_user_may_hold_missing_values(convert: Callable[..., Source]) -> None:
    conversion = convert("extreme-line.ubj", rows="missing-rows.npz").conversion
    assert conversion is not None
    assert conversion.parity.cases == ("2 rows", "batch 1", "batch 3", "batch 8")
    assert conversion.golden is not None
    assert conversion.golden.rows == 1  # JSON has no NaN to pin
    assert b"null" not in conversion.golden_rows


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("\nright_child=", "\nright_child=99 ", "99 of right_child|has a child|of right_child"),
        ("\nsplit_feature=", "\nsplit_feature=9999999 ", "of split_feature|asks for feature"),
    ],
)
def test_tree_that_is_none_is_refused_before_it_is_followed(
    boosted_models: Path, tmp_path: Path, old: str, new: str, what: str
) -> None:
    text = (boosted_models / "light-line.txt").read_text()
    head, found, rest = text.partition(old)
    assert found
    _, _, rest = rest.partition(" ")
    file = tmp_path / "hostile.txt"
    file.write_text(head + new + rest)
    with pytest.raises(RefusedError, match=what):
        as_onnx(read_source(file, None), ConvertOptions(), tmp_path, Console(as_json=True))
