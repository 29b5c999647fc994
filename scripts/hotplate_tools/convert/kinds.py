"""What a source is, told by its bytes where they say so, and what converts it.

| kind | source | converted in |
|---|---|---|
| onnx | `.onnx` | nothing: published as it is |
| keras | `.keras`, Keras 3 | convert-keras |
| h5 | `.h5`, Keras' older form | convert-keras |
| savedmodel | a folder with `saved_model.pb` | convert-keras |
| pt2 | `.pt2`, a program of `torch.export` | convert-torch |
| torch | `package.module:factory`, a function that makes a module | convert-torch |
| skops | `.skops`, scikit-learn | convert-sklearn |
| lightgbm | `.txt`, `.lgb`, LightGBM's own | convert-boosted |
| xgboost | `.ubj`, `.json`, XGBoost's own | convert-boosted |
| pickle | `.joblib`, `.pkl`, `.pickle`, scikit-learn | convert-sklearn, only if trusted |
| spacy | a folder with `config.cfg` and `meta.json` | nothing: served as it is, see `publish.program` |

Nothing of a source is executed here: a few bytes are read, and of an archive what `archives` says.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate_tools.convert.archives import archive_names
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["KINDS", "Converter", "detect", "is_entry_point"]

_ENTRY_POINT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True)
class Converter:
    """What turns a kind into ONNX.

    Attributes:
        title: The framework, for people.
        environment: `requirements/<environment>.txt`.
        runner: File in `runners/`.
        python: Interpreter or version, as `environments.ensure` takes it.
        by_pip: Requirements that pip, not uv, installs: see `environments.ensure`.
        requirements: Files that say what it holds, instead of the one of its name.
    """

    title: str
    environment: str
    runner: str
    python: str = sys.executable
    by_pip: str | None = None
    requirements: tuple[Path, ...] = ()


_KERAS = Converter("Keras", "convert-keras", "run_keras.py")
_TORCH = Converter("PyTorch", "convert-torch", "run_torch.py", "3.11", "torch-cpu")
_SKLEARN = Converter("scikit-learn", "convert-sklearn", "run_sklearn.py")
_LIGHTGBM = Converter("LightGBM", "convert-boosted", "run_boosted.py")
_XGBOOST = Converter("XGBoost", "convert-boosted", "run_boosted.py")

# None: already ONNX.
KINDS: dict[str, Converter | None] = {
    "onnx": None,
    "keras": _KERAS,
    "h5": _KERAS,
    "savedmodel": _KERAS,
    "pt2": _TORCH,
    "torch": _TORCH,
    "skops": _SKLEARN,
    "pickle": _SKLEARN,
    "lightgbm": _LIGHTGBM,
    "xgboost": _XGBOOST,
}

_SUFFIXES = {
    ".onnx": "onnx",
    ".keras": "keras",
    ".h5": "h5",
    ".hdf5": "h5",
    ".pt2": "pt2",
    ".skops": "skops",
    ".joblib": "pickle",
    ".pkl": "pickle",
    ".pickle": "pickle",
    ".txt": "lightgbm",
    ".lgb": "lightgbm",
    ".ubj": "xgboost",
    ".json": "xgboost",
}

# Kinds whose bytes say what they are, so a file that does not say it is something else.
_TOLD_BY_BYTES = {"keras", "h5", "pt2", "skops", "lightgbm", "xgboost"}

# In both of XGBoost's forms the model is under this key. Ours: how far it is looked for.
_XGBOOST_KEY = b"learner"
_HEAD_BYTES = 4096

_ADVICE = {
    ".pt": "Save it with torch.export.save(..., 'model.pt2'), or name a factory: package.module:function.",
    ".safetensors": "Weights alone say nothing of the network: name a factory, package.module:function.",
}
_ADVICE[".pth"] = _ADVICE[".bin"] = _ADVICE[".pt"]


def is_entry_point(text: str) -> bool:
    """Return whether `text` reads as `package.module:factory`."""
    return _ENTRY_POINT.fullmatch(text) is not None


def detect(path: Path) -> str:
    """Return the kind of the source at `path`: a key of `KINDS`, or `spacy`.

    Raises:
        RefusedError: None of them, the bytes are of another kind than the name says, or an archive is
            unsafe to unpack.
    """
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "savedmodel"
        if all((path / name).is_file() for name in ("config.cfg", "meta.json")):
            return "spacy"
        raise RefusedError(
            f"{path.name} is neither a folder with model.yaml nor a SavedModel nor a spaCy pipeline",
            advice="A SavedModel has a saved_model.pb, a spaCy pipeline config.cfg and meta.json.",
        )
    if not path.is_file():
        if is_entry_point(path.name):
            return "torch"
        raise RefusedError(f"{path} is not there")
    named = _SUFFIXES.get(path.suffix.lower())
    if named is None:
        known = ", ".join(_SUFFIXES)
        raise RefusedError(
            f"{path.name} is no kind of model that can be published",
            advice=_ADVICE.get(path.suffix.lower(), f"Known are {known}, SavedModel folders and model.yaml."),
        )
    held = _by_bytes(path)
    if (held and held != named) or (held is None and named in _TOLD_BY_BYTES):
        what = f"holds {held}" if held else f"does not hold {named}"
        raise RefusedError(f"{path.name} is named {path.suffix}, but {what}")
    return named


def _by_bytes(path: Path) -> str | None:
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "h5"
    if head.split(b"\n", 1)[0].rstrip() == b"tree":
        return "lightgbm"
    if head.startswith(b"{") and _XGBOOST_KEY in head:
        return "xgboost"
    if not head.startswith(b"PK"):
        return None
    names = archive_names(path)
    if {"config.json", "metadata.json"} <= names:
        return "keras"
    if "schema.json" in names:
        return "skops"
    if any(name.rpartition("/")[2] == "archive_format" for name in names):
        return "pt2"
    return None
