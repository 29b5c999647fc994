"""What stands around a model's endpoint, made for a deployment: S3 in and out, jobs, files of rows, steps.

Everything is imported when it is first asked for: a cold start pays for what it uses. Each takes settings,
because a deployment that is wrong is to be an answer of the endpoint and not the end of its process.
"""

from __future__ import annotations

import os
from contextlib import closing
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hotplate.errors import SettingsError, StepError
from hotplate.settings import PipelineSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hotplate.aws.functions import FunctionCaller
    from hotplate.aws.s3_reader import S3Reader
    from hotplate.aws.s3_writer import S3Writer
    from hotplate.batch.handler import BatchHandler
    from hotplate.protocol.references import Reference
    from hotplate.runtime.transforms import MakeTransforms, Transforms
    from hotplate.settings import Settings

__all__ = [
    "function_caller",
    "hand_on",
    "keep_answer",
    "make_batch_handler",
    "open_data_reader",
    "open_data_writer",
    "open_reader",
    "read_input",
    "steps_in",
]

# Seconds that the function of jobs may take to accept a request; it may start cold.
SUBMIT_TIMEOUT_S = 20.0


def open_reader(settings: Settings) -> S3Reader:
    """Return a reader of the registry, whose one deadline begins now."""
    from hotplate.aws.credentials import current_credentials
    from hotplate.aws.s3_reader import S3Reader

    return S3Reader.from_settings(settings, current_credentials(os.environ))


def open_data_reader(settings: Settings, deadline_s: float) -> S3Reader:
    """Return a reader of the data bucket, with `deadline_s` seconds for all it reads.

    Raises:
        SettingsError: No bucket is named.
    """
    from hotplate.aws.credentials import current_credentials
    from hotplate.aws.s3_reader import S3Reader

    return S3Reader(
        bucket=_data_bucket(settings),
        region=settings.region,
        endpoint=settings.s3_endpoint,
        credentials=current_credentials(os.environ),
        deadline_s=deadline_s,
    )


def open_data_writer(settings: Settings) -> S3Writer:
    """Return a writer to the data bucket.

    Raises:
        SettingsError: No bucket is named.
    """
    from hotplate.aws.credentials import current_credentials
    from hotplate.aws.s3_writer import S3Writer

    return S3Writer(
        bucket=_data_bucket(settings),
        region=settings.region,
        endpoint=settings.s3_endpoint,
        credentials=current_credentials(os.environ),
    )


def read_input(settings: Settings, deadline_s: float, reference: Reference, tenant: str | None) -> memoryview:
    """Return what an input refers to; see `read_reference`.

    Raises:
        SettingsError: No bucket is named.
        RequestError, CallerError, StoreError: As `read_reference`.
    """
    from hotplate.http.references import read_reference

    return read_reference(
        reference,
        bucket=_data_bucket(settings),
        tenant=tenant,
        open_reader=lambda: open_data_reader(settings, deadline_s),
    )


def keep_answer(settings: Settings, body: bytes, content_type: str, tenant: str | None) -> str:
    """Put an answer into the data bucket and return its address, which is good for `OUTPUT_LIFE_S`.

    Raises:
        SettingsError: No bucket is named.
        StoreError: It could not be put there.
    """
    from hotplate.limits import OUTPUT_LIFE_S
    from hotplate.tenants.uploads import new_output_key
    from hotplate.tenants.usage import INTERNAL

    writer = open_data_writer(settings)
    key = new_output_key(tenant or INTERNAL)
    writer.put(key, body, content_type)
    return writer.url(key, life_s=OUTPUT_LIFE_S)


def make_batch_handler(settings: Settings) -> BatchHandler:
    """Return what answers the function of batch.

    Raises:
        SettingsError: No bucket is named.
    """
    from hotplate.aws.batch_files import BatchFiles
    from hotplate.aws.clients import s3_client
    from hotplate.batch.handler import BatchHandler

    files = BatchFiles(s3_client(), _data_bucket(settings))
    return BatchHandler(lambda deadline_s: open_data_reader(settings, deadline_s), files)


def hand_on(settings: Settings, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the function of jobs answers to an event that it is to have worked on; None: there is none.

    Raises:
        StepError: It did not answer.
    """
    if settings.jobs_function is None:
        return None
    import orjson

    endpoint = PipelineSettings.from_environ(os.environ).endpoint
    with closing(function_caller(settings, endpoint, SUBMIT_TIMEOUT_S)) as caller:
        try:
            result: dict[str, Any] = orjson.loads(caller.call(settings.jobs_function, orjson.dumps(event)))
        except StepError as fault:
            raise type(fault)(f"the request was not taken: {fault}") from fault
    return result


def function_caller(settings: Settings, endpoint: str | None, timeout_s: float) -> FunctionCaller:
    """Return who calls other functions; `endpoint` is Lambda's, None for AWS itself."""
    from hotplate.aws.credentials import current_credentials
    from hotplate.aws.functions import FunctionCaller

    return FunctionCaller(
        region=settings.region,
        endpoint=endpoint,
        credentials=lambda: current_credentials(os.environ),
        timeout_s=timeout_s,
    )


def steps_in(module: str) -> Transforms | MakeTransforms:
    """Return the steps around a graph that a module has: `transforms`, or `preprocess` and its fellows."""
    from hotplate.runtime.transforms import Transforms

    code = import_module(module)
    if hasattr(code, "transforms"):
        make: MakeTransforms = code.transforms
        return make
    return Transforms(code.preprocess, code.postprocess, getattr(code, "rollout", None))


def _data_bucket(settings: Settings) -> str:
    if settings.data_bucket is None:
        raise SettingsError("HOTPLATE_DATA_BUCKET is not set, and something is read there or kept")
    return settings.data_bucket
