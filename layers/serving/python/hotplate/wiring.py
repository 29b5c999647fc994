"""What a model's function is made of: the environment's settings, S3, the loader, the endpoint.

The one place in the package that chooses; every room below takes what it needs as arguments. Nothing
heavy is imported at the top, and the function's own module is named, not imported: first a child process
begins to fetch the model, then the rest is imported beside it.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

import hotplate.lean  # noqa: F401 - before whatever imports msgspec
from hotplate import services
from hotplate.errors import SettingsError
from hotplate.runtime.ahead import Ahead, NotAheadError, start
from hotplate.runtime.ledger import Ledger, end_of_imports
from hotplate.settings import (
    PipelineSettings,
    Settings,
    answer_within_s,
    capture_share,
    is_isolated,
    is_snapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from hotplate.aws.s3_reader import S3Reader
    from hotplate.batch.handler import BatchHandler
    from hotplate.http.endpoint import Endpoint
    from hotplate.manifest.schema import Manifest
    from hotplate.manifest.steps import Member
    from hotplate.protocol.references import Reference
    from hotplate.runtime.fetched import Fetched
    from hotplate.runtime.model import Model, Predictor

    type Build = Callable[[Fetched, Settings, Ledger], Model]

# Seconds that one input by reference may take; API Gateway waits 29 for all of a request.
INPUT_TIMEOUT_S = 10.0

__all__ = ["generation_function", "model_function", "pipeline_function", "program_function"]


def model_function(module: str | None = None) -> Endpoint:
    """Return the Lambda handler of the model that the environment names, loaded if it can be.

    Args:
        module: Name of the module with the function's own steps around the graph: `preprocess` and
            `postprocess`, maybe `rollout`; or `transforms`, which makes them of the version's assets. None
            serves the graph's tensors.
    """
    source = _Source()
    _spare_blas()
    # Here, because a function that runs no graph has no ONNX Runtime to import.
    from hotplate.runtime.loader import build_model

    steps = services.steps_in(module) if module else None
    return _endpoint(source, lambda fetched, settings, ledger: build_model(fetched, settings, ledger, steps))


def program_function(module: str) -> Endpoint:
    """Return the Lambda handler of a model that is Python, loaded if it can be.

    Args:
        module: Name of the module with `load`, which takes the folder of the version's assets and returns
            the program, and maybe `example`, which makes inputs for a first run before the first request.
    """
    source = _Source()
    from hotplate.runtime.program import build_program

    code = import_module(module)
    example = getattr(code, "example", None)
    return _endpoint(
        source,
        lambda fetched, settings, ledger: build_program(fetched, settings, ledger, code.load, example),
    )


def pipeline_function(module: str | None = None) -> Endpoint:
    """Return the Lambda handler of a model that is made of other models, loaded if it can be.

    `HOTPLATE_PIPELINE` says where they run: `fused`, in this function, or `split`, each in its own.

    Args:
        module: Name of the module with `steps`, which takes the version's assets by path and returns the code
            steps by name; None where no step is code.
    """
    source = _Source()
    _spare_blas()
    from hotplate.runtime.pipeline import build_pipeline

    make = import_module(module).steps if module else None

    def build(fetched: Fetched, settings: Settings, ledger: Ledger) -> Model:
        with ExitStack() as stack:
            member = _members(settings, ledger, stack)
            return build_pipeline(fetched, settings, ledger, make, member)

    return _endpoint(source, build)


def _spare_blas() -> None:
    """Keep NumPy's linear algebra to one thread unless the function's environment says otherwise.

    It starts its threads when NumPy is imported: a tenth of that import, for products that a graph computes.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def generation_function() -> Endpoint:
    """Return the handler of a streaming function, whose model generates text."""
    source = _Source()
    _spare_blas()
    from hotplate.generation.loading import build_text_model
    from hotplate.http.generation import GenerationEndpoint

    return _endpoint(source, build_text_model, GenerationEndpoint)


def _members(settings: Settings, ledger: Ledger, stack: ExitStack) -> Callable[[Member], Predictor]:
    """Return what makes a pipeline's members, each from its pin."""
    own = PipelineSettings.from_environ(os.environ)
    if own.is_split:
        return _remote_members(settings, own)
    from hotplate.runtime.fused import fused_member

    reader = stack.enter_context(closing(_open_reader()))
    return lambda member: fused_member(member, reader, settings, ledger)


def _remote_members(settings: Settings, own: PipelineSettings) -> Callable[[Member], Predictor]:
    from hotplate.runtime.remote import RemoteMember

    caller = services.function_caller(settings, own.endpoint, own.timeout_s)
    return lambda member: RemoteMember(member, partial(caller.call, own.function_of(member.name)))


class _Source:
    """Where a load gets the model from: the child that was started first, once; else this process."""

    def __init__(self) -> None:
        self._ahead: Ahead | None = None
        self._ending: Ahead | None = None
        self._why_not = ""
        self.is_late = False
        try:
            settings = _settings()
            # Before the first request Lambda may halt the environment for long, and a child with it.
            self.is_late = settings.loads_late
            if not self.is_late:
                self._ahead = start(settings, _open_reader)
        except NotAheadError as reason:
            self._why_not = str(reason)
        except SettingsError:
            pass  # the load meets it again, and the endpoint answers it

    def fetch(self, settings: Settings, ledger: Ledger) -> Fetched:
        """Return the verified version.

        Raises:
            StoreError, ArtifactError: As `fetch_here`.
            NotAheadError: The child is gone; called again, this process fetches.
        """
        ahead, self._ahead = self._ahead, None
        if ahead:
            self._ending = ahead
            return ahead.take(settings, ledger)
        if self._why_not:
            ledger.note(f"not fetched beside the imports: {self._why_not}")
        from hotplate.runtime.fetched import fetch_here

        with closing(_open_reader()) as reader:
            return fetch_here(settings, reader, ledger)

    def end(self, why_not: str = "") -> None:
        """Leave nothing behind; called when what was fetched is in use, or of no use.

        Args:
            why_not: What the ledger will say of the child that was of no use.
        """
        if self._ending:
            self._ending.end()
        self._ending, self._why_not = None, why_not or self._why_not


def _endpoint(source: _Source, build: Build, kind: type[Endpoint] | None = None) -> Endpoint:
    from hotplate.http.endpoint import Endpoint
    from hotplate.http.marshaller import install_marshaller

    def load() -> Model:
        settings, ledger = _settings(), Ledger()
        try:
            try:
                return whole(source.fetch(settings, ledger), settings, ledger)
            except NotAheadError as reason:
                source.end(str(reason))
            # Out here nothing that the child left takes room any more.
            return whole(source.fetch(settings, ledger), settings, ledger)
        finally:
            source.end()

    def whole(fetched: Fetched, settings: Settings, ledger: Ledger) -> Model:
        model = build(fetched, settings, ledger)
        fetched.complete()  # whatever built it: nothing is served of what was not verified to its end
        return model

    def card(manifest: Manifest) -> bytes:
        from hotplate.runtime.card import read_card

        # A reader has one deadline for all it reads, so this one begins with the request.
        with closing(_open_reader()) as reader:
            return read_card(manifest, reader)

    install_marshaller()
    end_of_imports()
    endpoint = (kind or Endpoint)(
        load,
        card,
        _read_input,
        submit=_submit,
        work_on_files=_work_on_files,
        keep=_keep,
        capture=_capture(),
        late=source.is_late,
        strict=is_snapshot(os.environ),
        is_isolated=is_isolated(os.environ),
        answer_within_s=_answer_within_s(),
    )
    if is_snapshot(os.environ):
        from hotplate.aws.snapshot import after_restore

        after_restore(lambda: endpoint.after_restore(_refuse_other))
    return endpoint


def _refuse_other(manifest: Manifest) -> None:
    from hotplate.manifest.schema import encode
    from hotplate.runtime.pinned import check_pin

    # Its words are ASCII: awslambdaric, which runs what has no wrapper, cannot report others.
    check_pin(encode(manifest), _settings())


def _open_reader() -> S3Reader:
    return services.open_reader(_settings())


def _settings() -> Settings:
    return Settings.from_environ(os.environ)


def _read_input(reference: Reference, tenant: str | None) -> memoryview:
    return services.read_input(_settings(), INPUT_TIMEOUT_S, reference, tenant)


def _work_on_files(asked: Mapping[str, Any], model: Model, context: Any, init_ms: float) -> dict[str, Any]:
    return _batch_handler().answer(asked, model, context, init_ms)


@cache
def _batch_handler() -> BatchHandler:
    return services.make_batch_handler(_settings())


def _capture() -> tuple[float, Callable[[str, bytes, str], None]] | None:
    """Return the share of the requests that are kept, and what puts them into the data bucket; None: none."""
    try:
        share = capture_share(os.environ)
    except SettingsError:
        return None  # the load meets it too, and the endpoint answers it

    def put(key: str, body: bytes, kind: str) -> None:
        services.open_data_writer(_settings()).put(key, body, kind)

    return (share, put) if share else None


def _answer_within_s() -> float | None:
    try:
        return answer_within_s(os.environ)
    except SettingsError:
        return None  # the load meets it too, and the endpoint answers it


def _keep(body: bytes, content_type: str, tenant: str | None) -> str:
    return services.keep_answer(_settings(), body, content_type, tenant)


def _submit(event: Mapping[str, Any]) -> dict[str, Any] | None:
    return services.hand_on(_settings(), event)
