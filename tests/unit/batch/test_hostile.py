"""Damaged files: a clear error or rows that add up, never a fault of another kind.

Of Parquet see `test_parquet_file`: what is wrong inside of its pages can end a process (docs/adr/0027).
"""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hotplate.errors import BatchError
from tests.support.batch_rows import csv_of, lines_of, predict_file

ROWS = np.random.default_rng(2).random((12, 3), np.float32)


def arrays(**named: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.savez(file, **named) if len(named) > 1 else np.save(file, named["x"])  # type: ignore[arg-type]
    return file.getvalue()


FILES = {
    "rows.csv": csv_of(ROWS).replace(b"r3", b'"r\n3"'),
    "rows.jsonl": lines_of(ROWS),
    "rows.npy": arrays(x=ROWS),
    "rows.npz": arrays(x=ROWS, other=ROWS),
    "rows.csv.gz": gzip.compress(csv_of(ROWS), mtime=0),
}
DAMAGE = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.sampled_from([b"", b'"', b"\n", b",", b"\xff", b"\0", b"9" * 12, b"[", b"\x80\x80"]),
    ),
    min_size=1,
    max_size=3,
)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=40, deadline=None)
@given(damage=DAMAGE, overwrite=st.booleans())
@example(damage=[(0.91015625, b"\xff")], overwrite=True)  # of the NPZ its version
def test_a_damaged_file_is_told_or_adds_up(
    name: str, damage: list[tuple[float, bytes]], overwrite: bool
) -> None:
    data = FILES[name]
    for share, text in damage:
        at = int(share * len(data))
        data = data[:at] + text + data[at + max(1, len(text)) * overwrite :]
    keep = () if "np" in name else ("id",)
    try:
        outcome = predict_file(data, name, target_bytes=150, keep=keep)
    except BatchError:
        return
    rows = sum(chunk.rows for chunk in outcome.chunks)
    assert outcome.predicted + len(outcome.errors) == rows
    assert len({error.row for error in outcome.errors}) == len(outcome.errors)
    assert all(0 <= error.row < rows for error in outcome.errors)
