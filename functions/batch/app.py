"""The function of batch: messages of its queues, items of its state machine, and questions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.batch.asked import RunRequests
from functions.batch.files import RunFiles
from functions.batch.finish import Finisher
from functions.batch.mapped import MappedPieces
from functions.batch.messages import Messages
from functions.batch.models import ModelFunctions
from functions.batch.reports import Reports
from functions.batch.split import Splitter
from functions.batch.work import PieceWorker
from hotplate.aws.batch_files import BatchFiles
from hotplate.aws.batch_map import ChunkMap
from hotplate.aws.batch_queue import BatchQueue
from hotplate.aws.batch_table import BatchTable
from hotplate.aws.clients import aws_client, s3_client
from hotplate.aws.functions import FunctionCaller
from hotplate.aws.s3_reader import S3Reader
from hotplate.aws.sigv4 import Credentials
from hotplate.settings import RelaySettings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

# Longest that reading a file, or its parts, may take in seconds; the function may take 900.
READING_S = 840.0
# Memory of this function in MB, where nobody says it (template: MemorySize).
MEMORY_MB = 1024

logger = Logger(service="batch")
_settings = RelaySettings.from_environ(os.environ)
_given_up = os.environ["HOTPLATE_BATCH_FAILED_QUEUE_ARN"]
_bucket = os.environ["HOTPLATE_DATA_BUCKET"]
_memory_mb = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") or MEMORY_MB)


def _open_reader() -> S3Reader:
    return S3Reader(
        bucket=_bucket,
        region=_settings.region,
        endpoint=os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None,
        credentials=Credentials.from_environ(os.environ),
        deadline_s=READING_S,
    )


_table = BatchTable(aws_client("dynamodb"), os.environ["HOTPLATE_BATCH_TABLE"])
_files = RunFiles(BatchFiles(s3_client(), _bucket), _open_reader)
_queue = BatchQueue(aws_client("sqs"), os.environ["HOTPLATE_BATCH_QUEUE_URL"])
_map = ChunkMap(
    aws_client("stepfunctions"),
    os.environ["HOTPLATE_BATCH_MAP_ARN"],
    above=int(os.environ["HOTPLATE_BATCH_MAP_ABOVE_CHUNKS"]),
)
_models = ModelFunctions(
    _settings.functions,
    FunctionCaller(
        region=_settings.region,
        endpoint=_settings.endpoint,
        credentials=lambda: Credentials.from_environ(os.environ),
        timeout_s=_settings.timeout_s,
    ),
    _settings.isolated,
)
_reports = Reports(_files)
_worker = PieceWorker(_table, _files, _queue, _models, memory_mb=_memory_mb)
_messages = Messages(
    _queue,
    Splitter(_table, _files, _queue, _models, _reports, _map),
    _worker,
    Finisher(_table, _files, _reports),
    logger.warning,
)
_mapped = MappedPieces(_worker)
_requests = RunRequests(_table, _queue, _map)


def lambda_handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Work on messages or on an item of the state machine, or answer a question."""
    if "piece" in event:
        return _mapped.work(event["piece"])
    if "Records" not in event:
        return _requests.answer(event)
    left = [
        record["messageId"]
        for record in event["Records"]
        if not _messages.is_done(record, given_up=record["eventSourceARN"] == _given_up)
    ]
    return {"batchItemFailures": [{"itemIdentifier": each} for each in left]}
