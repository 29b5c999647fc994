import io
import pickle
import zipfile

import numpy as np
import pytest

from hotplate.errors import ProgramError
from hotplate.manifest.pickles import HEAD_BYTES, refuse_pickle


def npy(array: object) -> bytes:
    out = io.BytesIO()
    np.save(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    return out.getvalue()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [1, {"a": [1, 2]}, "text" * 1000], ids=["int", "dict", "text"])
def test_pickle_is_known_by_its_first_bytes(protocol: int, value: object) -> None:
    with pytest.raises(ProgramError, match="'a/words' is a pickle"):
        refuse_pickle("a/words", pickle.dumps(value, protocol)[:HEAD_BYTES])


@pytest.mark.parametrize("name", ["m.pkl", "M.PICKLE", "a/b.joblib", "weights.pt", "x.pth", "c.dill"])
def test_name_of_a_pickle_is_enough(name: str) -> None:
    with pytest.raises(ProgramError, match="named like a pickle"):
        refuse_pickle(name, b"")


@pytest.mark.parametrize(
    "body",
    [
        npy(np.array([object()])),
        npy(np.array([(1, "a")], dtype=[("n", "i4"), ("o", "O")])),
        archive("net/data.pkl", "net/data/0"),
    ],
    ids=["objects", "objects in a record", "PyTorch"],
)
def test_what_holds_a_pickle_is_one(body: bytes) -> None:
    with pytest.raises(ProgramError, match="reading one runs any code"):
        refuse_pickle("a", body[:HEAD_BYTES])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x80",  # msgpack's empty map
        b"\x81\xa1a\x01",
        b'{"a": 1}',
        npy(np.zeros(3)),
        npy(np.zeros(3, [("O|", "f4")])),
        archive("config.json"),
        b"\x80\x01abc",
    ],
)
def test_other_files_are_none(body: bytes) -> None:
    refuse_pickle("a.bin", body)
