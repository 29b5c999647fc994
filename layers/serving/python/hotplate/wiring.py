"""What a model's function is made of: the environment's settings, S3, the loader, the endpoint.

The one place in the package that chooses; every room below takes what it needs as arguments. Nothing
heavy is imported at the top: first a child process begins to fetch the model, then the rest is imported
beside it.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from hotplate.errors import SettingsError
from hotplate.runtime.ahead import Ahead, NotAheadError, start
from hotplate.runtime.ledger import Ledger
from hotplate.settings import Settings

if TYPE_CHECKING:
    from hotplate.aws.s3_reader import S3Reader
    from hotplate.http.endpoint import Endpoint
    from hotplate.runtime.fetched import Fetched
    from hotplate.runtime.model import Model, Transforms

__all__ = ["model_function"]


def model_function(steps: str | None = None) -> Endpoint:
    """Return the Lambda handler of the model that the environment names, loaded if it can be.

    Args:
        steps: The module with the function's own `preprocess` and `postprocess`, by name, because it is
            imported beside the fetching; None serves the graph's tensors.
    """
    source = _Source()
    from hotplate.http.endpoint import Endpoint
    from hotplate.runtime.loader import build_model

    transforms = _transforms(steps)

    def load() -> Model:
        settings, ledger = Settings.from_environ(os.environ), Ledger()
        return build_model(source.fetch(settings, ledger), settings, ledger, transforms)

    return Endpoint(load)


class _Source:
    """Where a load gets the model from: the child that was started first, once; else this process."""

    def __init__(self) -> None:
        self._ahead: Ahead | None = None
        self._why_not = ""
        try:
            self._ahead = start(Settings.from_environ(os.environ), _open_reader)
        except NotAheadError as reason:
            self._why_not = str(reason)
        except SettingsError:
            pass  # the load meets it again, and the endpoint answers it

    def fetch(self, settings: Settings, ledger: Ledger) -> Fetched:
        """Return the verified version.

        Raises:
            StoreError, ArtifactError: As `fetch_here`.
        """
        ahead, self._ahead = self._ahead, None
        if ahead:
            try:
                return ahead.take(settings, ledger)
            except NotAheadError as reason:
                self._why_not = str(reason)
        if self._why_not:
            ledger.note(f"not fetched beside the imports: {self._why_not}")
        from hotplate.runtime.fetched import fetch_here

        reader = _open_reader()
        try:
            return fetch_here(settings, reader, ledger)
        finally:
            reader.close()


def _open_reader() -> S3Reader:
    from hotplate.aws.s3_reader import S3Reader
    from hotplate.aws.sigv4 import Credentials

    return S3Reader.from_settings(Settings.from_environ(os.environ), Credentials.from_environ(os.environ))


def _transforms(module: str | None) -> Transforms | None:
    if module is None:
        return None
    from hotplate.runtime.model import Transforms

    steps = import_module(module)
    return Transforms(steps.preprocess, steps.postprocess)
