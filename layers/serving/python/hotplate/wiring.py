"""What a model's function is made of: the environment's settings, S3, the loader, the endpoint.

The one place in the package that chooses; every room below takes what it needs as arguments.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.http.endpoint import Endpoint
from hotplate.runtime.loader import load_model
from hotplate.settings import Settings

if TYPE_CHECKING:
    from hotplate.runtime.model import Model
    from hotplate.runtime.transforms import MakeTransforms, Transforms

__all__ = ["model_function"]


def model_function(transforms: Transforms | MakeTransforms | None = None) -> Endpoint:
    """Return the Lambda handler of the model that the environment names, loaded if it can be.

    Args:
        transforms: The function's own steps around the graph, or what makes them of the version's
            assets; None serves the graph's tensors.
    """

    def load() -> Model:
        settings = Settings.from_environ(os.environ)
        reader = S3Reader.from_settings(settings, Credentials.from_environ(os.environ))
        try:
            return load_model(settings, reader, transforms)
        finally:
            reader.close()

    return Endpoint(load)
