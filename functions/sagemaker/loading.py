"""Loads the model that the environment pins, beside a server that already says that it is not ready.

A fault that may pass (S3 is slow) is tried again. One that does not (other bytes than were published, a
deployment that is wrong) ends the process, so that SageMaker says that the endpoint failed.
"""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from hotplate.errors import ModelNotReadyError, StoreUnavailableError
from hotplate.http.answers import log_fault
from hotplate.http.endpoint import Endpoint
from hotplate.runtime.card import read_card
from hotplate.runtime.fetched import fetch_here
from hotplate.runtime.ledger import Ledger
from hotplate.runtime.loader import build_model
from hotplate.runtime.session import CUDA, providers_here
from hotplate.services import open_reader, read_input, steps_in

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.manifest.schema import Manifest
    from hotplate.protocol.references import Reference
    from hotplate.runtime.model import Model
    from hotplate.runtime.transforms import MakeTransforms, Transforms
    from hotplate.settings import Settings

__all__ = ["Loading", "load_here", "steps_of"]

# Seconds between two tries, and that one input by reference may take.
AGAIN_S = 2.0
INPUT_TIMEOUT_S = 30.0


class Loading:
    """A model that is being loaded, then its endpoint."""

    def __init__(self, settings: Settings, load: Callable[[Settings], Model]) -> None:
        """Begin with `start`; `load` is called until it returns, or raises what does not pass."""
        self._settings = settings
        self._load = load
        self._endpoint: Endpoint | None = None
        self.fault: Exception | None = None

    def start(self, when_it_cannot_be: Callable[[], object]) -> None:
        """Load in a thread; call `when_it_cannot_be` from there if there will be no model."""
        threading.Thread(target=self._run, args=(when_it_cannot_be,), name="loading", daemon=True).start()

    def endpoint(self) -> Endpoint:
        """Return the endpoint.

        Raises:
            ModelNotReadyError: It is not there yet.
        """
        if self._endpoint is None:
            raise ModelNotReadyError("the model is being loaded")
        return self._endpoint

    def _run(self, when_it_cannot_be: Callable[[], object]) -> None:
        wait = threading.Event()
        while self._endpoint is None:
            try:
                model = self._load(self._settings)
                self._endpoint = Endpoint(partial(_same, model), self._card, self._input, bounded=False)
            except StoreUnavailableError as fault:
                log_fault(fault, "loading")
                wait.wait(AGAIN_S)
            except Exception as fault:  # whatever it is, the next try would meet it again
                log_fault(fault, "loading")
                self.fault = fault
                when_it_cannot_be()
                return

    def _card(self, manifest: Manifest) -> bytes:
        with closing(open_reader(self._settings)) as reader:
            return read_card(manifest, reader)

    def _input(self, reference: Reference, tenant: str | None) -> memoryview:
        return read_input(self._settings, INPUT_TIMEOUT_S, reference, tenant)


def load_here(settings: Settings) -> Model:
    """Return the model, verified as a function verifies it, on CUDA where that is to be had.

    Raises:
        StoreError, ArtifactError: As `fetch_here` and `build_model`.
    """
    ledger, providers = Ledger(), providers_here()
    with closing(open_reader(settings)) as reader:
        # A graph made for one processor has operators that no GPU knows.
        fetched = fetch_here(settings, reader, ledger, native=CUDA not in providers)
    if CUDA not in providers:
        ledger.note("this ONNX Runtime knows no CUDA: the graph runs on the CPU")
    steps = steps_of(settings.model) if fetched.manifest.has_graph else None
    return build_model(fetched, settings, ledger, steps, providers)


def steps_of(model: str) -> Transforms | MakeTransforms | None:
    """Return the steps that a graph's function has around it; None if it has none."""
    name = f"functions.{model.replace('-', '_')}"
    # Asked of the parent first, because of a module whose parent is not there `find_spec` raises.
    if not find_spec(name) or not find_spec(f"{name}.model"):
        return None
    return steps_in(f"{name}.model")


def _same(model: Model) -> Model:
    return model
