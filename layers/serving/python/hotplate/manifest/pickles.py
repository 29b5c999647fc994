"""Is an asset a pickle? Reading one runs whatever code is in it, so none is published, and none is served.

Told by the name, and by the first bytes where a pickle has any that tell it: protocol 2 and later, an
array of Python objects in NumPy's format, and zip archives that hold one, as PyTorch writes them.

Not found: protocols 0 and 1, and what is compressed or encrypted under another name. A program that goes
looking for a pickle can read one; this keeps it from being there by accident.

Source: Python, `pickletools` ("PROTO", "FRAME"); NumPy, `numpy.lib.format`; PKWARE, APPNOTE.TXT 4.3.7.
"""

from __future__ import annotations

from pathlib import PurePosixPath

from hotplate.errors import ProgramError

__all__ = ["HEAD_BYTES", "refuse_pickle"]

# What `refuse_pickle` looks at. Ours: the first name of a zip archive and NumPy's header lie within.
HEAD_BYTES = 512

_SUFFIXES = {".ckpt", ".dill", ".joblib", ".pickle", ".pkl", ".pt", ".pth"}
_PROTOCOLS = tuple(b"\x80" + bytes([protocol]) for protocol in range(2, 6))


def refuse_pickle(path: str, head: bytes) -> None:
    """Raise if the asset is a pickle.

    Args:
        path: Its place inside the version.
        head: Its first `HEAD_BYTES` bytes, or all of it.

    Raises:
        ProgramError: It is one, or is named like one.
    """
    if PurePosixPath(path).suffix.lower() in _SUFFIXES:
        found = "named like a pickle"
    elif head.startswith(_PROTOCOLS):
        found = "a pickle"
    elif head.startswith(b"\x93NUMPY") and b"|O'" in head:
        found = "an array of Python objects, which NumPy pickles"
    elif head.startswith(b"PK\x03\x04") and b"data.pkl" in head:
        found = "an archive with a pickle in it"
    else:
        return
    raise ProgramError(f"asset {path!r} is {found}: reading one runs any code that is in it")
