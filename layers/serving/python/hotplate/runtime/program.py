"""The cold start of a model that is Python: from a pinned digest to a program that has run.

The order is that of `hotplate.runtime.loader`, and the same code up to the files: pinned manifest, its
signature, every asset hashed while it streams in. Only then the function's `load` sees a folder, and only
a folder with the published bytes in it. ONNX Runtime is not imported on this path.

What the program itself may do is not bounded here: it is the function's own code, deployed with it, and
never part of a version. Its answers are held to what the manifest declares.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from hotplate.errors import HotplateError, InferenceError, ManifestError, ProgramError
from hotplate.protocol.datatypes import from_name
from hotplate.runtime.assets import write_assets
from hotplate.runtime.deadline import DEADLINE
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.model import Arrays, Model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.types import MetadataTensor
    from hotplate.runtime.fetched import Fetched
    from hotplate.settings import Settings
    from hotplate.store.base import Reader

__all__ = ["Load", "Program", "build_program", "load_program", "program_model"]


class Program(Protocol):
    """What a function's `load` returns."""

    def predict(self, inputs: Arrays) -> Arrays:
        """Return all declared outputs by name for validated inputs by name; always a batch.

        Raises:
            RequestError: The values are unfit; the caller is told. Anything else is answered as ours.
        """
        ...


type Load = Callable[[Path], Program]


class _Checked:
    """A program whose faults are ours and whose answers are what the manifest declares."""

    def __init__(self, program: Program, manifest: Manifest) -> None:
        self._program = program
        self._declared = {spec.name: spec for spec in manifest.outputs}

    def run(self, inputs: Arrays, wanted: Sequence[str]) -> Arrays:
        try:
            with DEADLINE.interrupting():
                results = self._program.predict(inputs)
        except HotplateError:
            raise
        except Exception as fault:  # any library's own; the endpoint answers our tree
            kind = type(fault).__name__
            raise InferenceError(f"the program failed: {kind}", quoted=str(fault)) from fault
        for name in wanted:
            if name in results:
                _check(np.asarray(results[name]), self._declared[name])
        return results


def load_program(
    settings: Settings,
    reader: Reader,
    load: Load,
    example: Callable[[], Arrays] | None = None,
) -> Model:
    """Return the model that the settings pin, fetched by this process, loaded and warmed up.

    Args:
        settings: What to serve.
        reader: Where the registry lies.
        load: Takes the folder of the assets, which stays as long as the process, and returns the program.
        example: Makes inputs for a first run; None runs nothing.

    Raises:
        StoreError: Bytes could not be had.
        ArtifactError: They are not those published, or the program does not load from them.
        SettingsError: There is no room for them.
    """
    ledger = Ledger()
    return build_program(fetch_here(settings, reader, ledger), settings, ledger, load, example)


def build_program(
    fetched: Fetched,
    settings: Settings,
    ledger: Ledger,
    load: Load,
    example: Callable[[], Arrays] | None = None,
) -> Model:
    """Return the model that `load` makes of verified assets; warmed up where nobody waits for init to end.

    Args:
        fetched: The version.
        settings: What to serve.
        ledger: Gets the phases.
        load: As of `load_program`.
        example: As of `load_program`.

    Raises:
        ArtifactError: It is a graph, an asset is a pickle, or the program does not load.
        SettingsError: There is no room for the assets.
    """
    manifest = fetched.manifest
    if not manifest.is_program:
        raise ManifestError(
            f"{settings.model} {settings.version} is of platform {manifest.platform!r}, not Python"
        )
    with ledger.phase("assets"):
        folder = write_assets(fetched.of_role("asset"))
    with ledger.phase("session"):
        try:
            model = program_model(manifest, settings.version, load, folder.path, ledger)
        except BaseException:
            folder.remove()  # loading is tried again, into a new one
            raise
    if example and not settings.is_on_demand:  # else the caller who waits would wait for two first runs
        with ledger.phase("warmup"):
            _warm_up(model, example)
    return model


def program_model(manifest: Manifest, version: str, load: Load, folder: Path, ledger: Ledger) -> Model:
    """Return the model that `load` makes of the assets in `folder`.

    Raises:
        ProgramError: It raised.
    """
    try:
        program = load(folder)
    except HotplateError:
        raise
    except Exception as fault:  # any library's own
        raise ProgramError(f"the program does not load: {type(fault).__name__}: {fault}") from fault
    return Model(manifest, version, _Checked(program, manifest), ledger)


def _warm_up(model: Model, example: Callable[[], Arrays]) -> None:
    try:
        model.predictor.run(example(), [spec.name for spec in model.manifest.outputs])
    except Exception as fault:  # an example that does not fit must not keep a model from being served
        model.ledger.note(f"not warmed up: {fault}")


def _check(array: np.ndarray, spec: MetadataTensor) -> None:
    fits = array.ndim == len(spec.shape) and all(
        declared in (-1, size) for declared, size in zip(spec.shape, array.shape, strict=True)
    )
    if array.dtype != from_name(spec.datatype).dtype or not fits:
        raise InferenceError(
            f"output {spec.name!r} is {array.dtype} {list(array.shape)}, "
            f"its manifest declares {spec.datatype} {list(spec.shape)}"
        )
