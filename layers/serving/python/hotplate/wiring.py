"""What a model's function is made of: the environment's settings, S3, the loader, the endpoint.

The one place in the package that chooses; every room below takes what it needs as arguments.
"""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.http.endpoint import Endpoint
from hotplate.runtime.card import read_card
from hotplate.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.model import Arrays, Model
    from hotplate.runtime.program import Load
    from hotplate.runtime.transforms import MakeTransforms, Transforms
    from hotplate.store.base import Reader

__all__ = ["model_function", "program_function"]


def model_function(transforms: Transforms | MakeTransforms | None = None) -> Endpoint:
    """Return the Lambda handler of the model that the environment names, loaded if it can be.

    Args:
        transforms: The function's own steps around the graph, or what makes them of the version's
            assets; None serves the graph's tensors.
    """
    # Here, because a function that runs no graph has no ONNX Runtime to import.
    from hotplate.runtime.loader import load_model

    return _endpoint(lambda settings, reader: load_model(settings, reader, transforms))


def program_function(load: Load, example: Callable[[], Arrays] | None = None) -> Endpoint:
    """Return the Lambda handler of a model that is Python, loaded if it can be.

    Args:
        load: Takes the folder of the version's assets and returns the program.
        example: Makes inputs for a first run before the first request; None runs nothing.
    """
    from hotplate.runtime.program import load_program

    return _endpoint(lambda settings, reader: load_program(settings, reader, load, example))


def _endpoint(load_from: Callable[[Settings, Reader], Model]) -> Endpoint:
    def load() -> Model:
        settings = Settings.from_environ(os.environ)
        with closing(_reader(settings)) as reader:
            return load_from(settings, reader)

    def card(manifest: Manifest) -> bytes:
        # A reader has one deadline for all it reads, so this one begins with the request.
        with closing(_reader(Settings.from_environ(os.environ))) as reader:
            return read_card(manifest, reader)

    return Endpoint(load, card)


def _reader(settings: Settings) -> S3Reader:
    return S3Reader.from_settings(settings, Credentials.from_environ(os.environ))
