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
from hotplate.runtime.loader import load_model
from hotplate.settings import Settings

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.runtime.model import Model, Transforms

__all__ = ["model_function"]


def model_function(transforms: Transforms | None = None) -> Endpoint:
    """Return the Lambda handler of the model that the environment names, loaded if it can be.

    Args:
        transforms: The function's own steps around the graph; None serves the graph's tensors.
    """

    def load() -> Model:
        settings = Settings.from_environ(os.environ)
        with closing(_reader(settings)) as reader:
            return load_model(settings, reader, transforms)

    def card(manifest: Manifest) -> bytes:
        # A reader has one deadline for all it reads, so this one begins with the request.
        with closing(_reader(Settings.from_environ(os.environ))) as reader:
            return read_card(manifest, reader)

    return Endpoint(load, card)


def _reader(settings: Settings) -> S3Reader:
    return S3Reader.from_settings(settings, Credentials.from_environ(os.environ))
