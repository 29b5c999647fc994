import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hotplate.protocol.types import MetadataTensor
from hotplate.runtime.transforms import Transforms
from hotplate_tools.failures import RefusedError
from hotplate_tools.optimise.evaluation import Evaluation, read_evaluation

INPUTS = (MetadataTensor("x", "FP32", (-1, 3)),)
OUTPUTS = (MetadataTensor("y", "FP32", (-1, 3)),)


def read(
    file: Path | None, inputs: Any = INPUTS, outputs: Any = OUTPUTS, transforms: Transforms | None = None
) -> Evaluation:
    return read_evaluation(file, inputs, outputs, transforms)


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "rows.npz", **arrays)
    return folder / "rows.npz"


def column(found: Evaluation, part: str) -> list[float]:
    return [float(row[0]) for call in getattr(found, part) for row in call.feeds["x"]]


def test_few_rows_are_measured_and_calibrated_on_alike(tmp_path: Path) -> None:
    x = np.arange(33 * 3, dtype=np.float32).reshape(33, 3)
    found = read(npz(tmp_path, x=x, expected_y=np.arange(33)))
    assert (found.rows, found.title, [call.rows for call in found.calls]) == (33, "rows.npz", [16, 16, 1])
    assert column(found, "calls") == column(found, "calibration") == list(x[:, 0])
    assert np.concatenate([call.expected["y"] for call in found.calls]).tolist() == list(range(33))


@pytest.mark.parametrize(("count", "calibrated"), [(64, 16), (200, 50), (1000, 128)])
def test_many_rows_are_one_or_the_other_and_drawn_from_all(
    tmp_path: Path, count: int, calibrated: int
) -> None:
    x = np.repeat(np.arange(count, dtype=np.float32)[:, None], 3, axis=1)
    found = read(npz(tmp_path, x=x, expected_y=np.arange(count)))
    measured, ranged = column(found, "calls"), column(found, "calibration")
    assert (len(measured), len(ranged)) == (count - calibrated, calibrated)
    assert sorted(measured + ranged) == list(range(count))
    assert min(ranged) < count / 4
    assert max(ranged) > 3 * count / 4
    labels = np.concatenate([call.expected["y"] for call in found.calls])
    assert labels.tolist() == measured


def test_fixed_batch_takes_whole_calls_only(tmp_path: Path) -> None:
    inputs = (MetadataTensor("x", "FP32", (2, 3)),)
    found = read(npz(tmp_path, x=np.zeros((5, 3), np.float32)), inputs)
    assert [call.rows for call in found.calls] == [2, 2]
    with pytest.raises(RefusedError, match="fewer rows than one call"):
        read(npz(tmp_path, x=np.zeros((1, 3), np.float32)), inputs)


def test_golden_rows_are_calls_with_what_they_expect(tmp_path: Path) -> None:
    file = tmp_path / "golden.jsonl"
    row = {"inputs": {"x": [[1, 2, 3], [4, 5, 6]]}, "outputs": {"y": [[2, 4, 6], [8, 10, 12]]}}
    file.write_text(json.dumps(row) + "\n")
    found = read(file)
    assert (found.rows, found.are_targets) == (2, False)
    assert found.calls[0].expected["y"].tolist() == row["outputs"]["y"]


def test_rows_pass_through_preprocessing(tmp_path: Path) -> None:
    steps = Transforms(lambda feeds: {"z": feeds["x"] * 2}, lambda outputs: outputs)
    found = read(npz(tmp_path, x=np.ones((2, 3), np.float32)), transforms=steps)
    assert found.calls[0].feeds["z"].tolist() == found.calibration[0].feeds["z"].tolist() == [[2.0] * 3] * 2


def test_one_alternative_of_inputs_is_enough(tmp_path: Path) -> None:
    inputs = (
        MetadataTensor("x", "FP32", (-1, 3), one_of="image"),
        MetadataTensor("picture", "BYTES", (-1,), one_of="image"),
    )
    assert read(npz(tmp_path, x=np.ones((2, 3), np.float32)), inputs).rows == 2
    with pytest.raises(RefusedError, match="one of each alternative"):
        read(npz(tmp_path, x=np.ones((2, 3), np.float32), picture=np.array(["a", "b"])), inputs)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"expected_y": np.zeros(2)}, "wanted are x"),
        ({"x": np.zeros((2, 3), np.float32), "label": np.zeros(2)}, "expected_y"),
        ({"x": np.zeros((2, 3), np.float32), "expected_y": np.zeros(3)}, "same number of rows"),
        ({"x": np.zeros((0, 3), np.float32)}, "same number of rows"),
        ({"x": np.zeros((2, 4), np.float32)}, r"\[2, 4\]"),
    ],
)
def test_rows_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(RefusedError, match=message):
        read(npz(tmp_path, **arrays))


def test_no_rows_and_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="no rows of yours"):
        read(None)
    (tmp_path / "rows.csv").write_text("1,2,3\n")
    with pytest.raises(RefusedError, match="neither"):
        read(tmp_path / "rows.csv")
