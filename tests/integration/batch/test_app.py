"""The function of batch as Lambda calls it, and a model's function as it calls that."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from functions.batch.mapped import MappedPieces, PieceFailedError
from functions.batch.models import ModelFunctions, PieceRefusedError
from hotplate.aws.batch_rows import Run, run_item, run_of
from hotplate.aws.functions import FunctionCaller
from hotplate.batch.asked import PieceAsked
from hotplate.batch.layout import Chunk, Layout
from hotplate.errors import StepError, StepUnavailableError, StoreUnavailableError, UnfitFileError
from hotplate.http.endpoint import Endpoint
from tests.support.batch import BUCKET, REGION, FileContext, World, created, lines_of, loaded_affine, world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

QUEUE, GIVEN_UP = "arn:aws:sqs:us-east-1:1:batch", "arn:aws:sqs:us-east-1:1:given-up"
ASKED = PieceAsked("r", "v", "in/a/m/f", "e", 5, Layout("csv", (), (), (), 0, 5), Chunk(0, 0, 5, 0, 1))


@pytest.fixture
def made() -> Iterator[World]:
    with world() as found:
        yield found


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch, made: World) -> ModuleType:
    settings = {
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9",  # nobody listens there
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        "HOTPLATE_FUNCTIONS": "affine=A:live",
        "HOTPLATE_BATCH_TABLE": "BatchTable",
        "HOTPLATE_BATCH_QUEUE_URL": "http://127.0.0.1:9/queue",
        "HOTPLATE_BATCH_FAILED_QUEUE_ARN": GIVEN_UP,
        "HOTPLATE_BATCH_MAP_ARN": "arn:aws:states:us-east-1:1:stateMachine:batch",
        "HOTPLATE_BATCH_MAP_ABOVE_CHUNKS": "1000",
        "HOTPLATE_DATA_BUCKET": BUCKET,
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    import functions.batch.app as module

    return importlib.reload(module)


def event(body: str, queue: str, tries: int = 1) -> dict[str, Any]:
    attributes = {"ApproximateReceiveCount": str(tries)}
    record = {"messageId": "m", "receiptHandle": "h", "body": body, "eventSourceARN": queue}
    return {"Records": [{**record, "attributes": attributes}]}


def test_message_whose_model_cannot_be_had_stays_and_is_given_up_in_the_end(
    app: ModuleType, made: World
) -> None:
    key = "in/acme/affine/f.jsonl"
    etag = made.put(lines_of(3), key, event=False)
    body = created(key, etag, len(lines_of(3)))
    left = app.lambda_handler(event(body, QUEUE), None)
    assert left == {"batchItemFailures": [{"itemIdentifier": "m"}]}
    assert app.lambda_handler(event(body, GIVEN_UP), None) == {"batchItemFailures": []}
    told = app.lambda_handler({"ask": "find", "key": key}, None)
    assert (told["state"], told["reason"]) == ("failed", "its worker ended before it was done")
    assert made.report(key)["state"] == "failed"


def test_item_of_the_state_machine_of_a_run_that_is_gone_is_done(app: ModuleType) -> None:
    item = {"run": "gone", "chunk": 3, "piece": 0, "round": 0, "work": "{}", "waits": 0}
    assert app.lambda_handler({"piece": item}, None) == {"chunk": 3}


@pytest.mark.parametrize(
    ("raised", "kind", "words"),
    [
        (ZeroDivisionError("secret"), PieceFailedError, "ZeroDivisionError"),
        (StepError("its function ended with an error"), StepError, "its function ended with an error"),
    ],
    ids=["of another's", "of ours"],
)
def test_item_that_fails_tells_no_foreign_words(raised: Exception, kind: type[Exception], words: str) -> None:
    class Broken:
        def work_on(self, *_: Any, **__: Any) -> None:
            raise raised

    item = {"run": "r", "chunk": 3, "piece": 0, "round": 0, "work": "{}"}
    with pytest.raises(kind) as told:
        MappedPieces(Broken()).work(item)  # type: ignore[arg-type]
    assert str(told.value) == words
    with pytest.raises(PieceFailedError, match="ValidationError"):
        MappedPieces(Broken()).work({"run": "secret"})  # type: ignore[arg-type]


def test_run_that_an_older_hotplate_began_is_read() -> None:
    run = Run("id", "acme", "affine", "v1", "7", "in/acme/affine/f", "e", 5)
    item = {name: value for name, value in run_item(run).items() if name != "mapped"}
    assert run_of(item) == run


def functions_that(answer: Any, isolated: tuple[str, ...] = ()) -> ModelFunctions:
    """Return models' functions that answer so; an exception is raised."""

    class Caller(FunctionCaller):
        def __init__(self) -> None:
            self.asked: list[tuple[str, Any]] = []

        def call(
            self,
            function: str,
            payload: bytes,
            tenant: str | None = None,
            *,
            timeout_s: float | None = None,
        ) -> bytes:
            self.asked.append((function, json.loads(payload)))
            self.tenants = {tenant}
            if isinstance(answer, Exception):
                raise answer
            return json.dumps(answer).encode()

    return ModelFunctions({"affine": "A:live"}, Caller(), isolated)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (StepUnavailableError("busy"), StepUnavailableError),
        (StepError("ended"), StepError),
        ({"statusCode": 200}, StepError),
        ({"batch": {"fault": {"status": 503, "reason": "slow"}}}, StepUnavailableError),
        ({"batch": {"fault": {"status": 500, "reason": "broken"}}}, StepError),
        ({"batch": {"fault": {"status": 400, "reason": "no rows"}}}, PieceRefusedError),
    ],
    ids=["busy", "ended", "of another hotplate", "503", "500", "400"],
)
def test_faults_of_a_models_function_are_told_apart(answer: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="affine"):
        functions_that(answer).predict("affine", "7", "acme", ASKED)


def test_model_is_asked_by_its_functions_version_for_the_tenant() -> None:
    answer = {
        "part": "p", "errors": "", "rows": 1, "predicted": 1, "bad": 0, "timings_ms": {}, "remainder": None,
        "bytes_in": 5, "bytes_out": 5, "billed_ms": 1, "init_ms": 0, "memory_mb": 512, "cold": False,
    }  # fmt: skip
    functions = functions_that({"batch": answer})
    assert functions.predict("affine", "7", "acme", ASKED).rows == 1
    ((function, sent),) = functions._caller.asked  # type: ignore[attr-defined]
    assert function == "A:7"
    assert sent["requestContext"]["authorizer"] == {"tenant": "acme", "scopes": "infer:affine"}
    assert msgspec.convert(sent["batch"], PieceAsked) == ASKED


@pytest.mark.parametrize(
    ("raised", "fault"),
    [
        (UnfitFileError("no columns"), {"status": 400, "reason": "UnfitFileError: no columns"}),
        (StoreUnavailableError("slow"), {"status": 503, "reason": "StoreUnavailableError: slow"}),
        (ZeroDivisionError("secret"), {"status": 500, "reason": "InternalError"}),
    ],
)
def test_endpoint_tells_what_is_wrong_with_a_file_and_nothing_of_its_own_faults(
    raised: Exception, fault: dict[str, Any]
) -> None:
    def work(*_: Any) -> dict[str, Any]:
        raise raised

    endpoint = Endpoint(loaded_affine, work_on_files=work)
    assert endpoint({"batch": {"ask": "describe"}}, FileContext()) == {"batch": {"fault": fault}}


def test_endpoint_bills_the_cold_start_to_the_first_piece_and_to_no_other() -> None:
    told: list[float] = []

    def work(asked: Any, model: Any, context: Any, init_ms: float) -> dict[str, Any]:
        told.append(init_ms)
        return {}

    endpoint = Endpoint(loaded_affine, work_on_files=work)
    for _ in range(2):
        endpoint({"batch": {}}, FileContext())
    assert told[0] > 0
    assert told[1] == 0


def test_endpoint_without_files_takes_batch_for_a_request() -> None:
    answer = Endpoint(loaded_affine)({"batch": {}}, FileContext())
    assert answer["statusCode"] == 400


@pytest.mark.parametrize(("isolated", "told"), [(("affine",), "acme"), ((), None), (("other",), None)])
def test_lambda_is_told_the_tenant_of_a_model_that_keeps_tenants_apart(
    isolated: tuple[str, ...], told: str | None
) -> None:
    functions = functions_that({"batch": {"version": "1", "function": "7", "manifest": "{}"}}, isolated)
    assert functions.describe("affine", "acme").version == "1"
    assert functions._caller.tenants == {told}  # type: ignore[attr-defined]
