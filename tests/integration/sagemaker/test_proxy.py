"""The whole path of the SageMaker tier but for the GPU: proxy, runtime, container, jobs, leases.

Control plane, buckets and table are moto's server; the runtime is ours; the container is its own process.
"""

from __future__ import annotations

import base64
import importlib
import json
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from moto.server import ThreadedMotoServer

from hotplate.aws.clients import signing_client
from hotplate.aws.job_files import JobFiles
from hotplate.aws.job_queue import JobQueue
from hotplate.aws.job_table import JobTable
from hotplate.aws.leases import Leases
from hotplate.aws.webhook_secrets import WebhookSecrets
from hotplate.http.event import read_event
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from hotplate_tools.local.sagemaker import LocalRuntime, local_runtime
from tests.support.callers import REGION, made_tables
from tests.support.container import Container, container
from tests.support.jobs import event_of
from tests.support.published import Published, published
from tests.support.signing import SeedSigner

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

NAME, STACK, DATA = "prod-gpu", "prod", "data"
X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
ASKED = {"inputs": [X]}
INFER, READY = "/v2/models/affine/infer", "/v2/models/affine/ready"
LENGTH = "inference-header-content-length"


@dataclass
class Context:
    aws_request_id: str = "req-1"
    memory_limit_in_mb: str = "512"


@dataclass
class Cloud:
    """All of it, running."""

    moto: str
    sagemaker: Any
    version: Published
    container: Container
    runtime: LocalRuntime
    notices: list[str] = field(default_factory=list)
    told: threading.Event = field(default_factory=threading.Event)
    app: ModuleType | None = None
    tier: str = ""

    def make_endpoint(self, deadline: str = "2099-01-01T00:00:00Z", **tags: str) -> None:
        """Make the endpoint with a lease."""
        leased = {"stack": STACK, "deadline": deadline, **tags}
        self.sagemaker.create_endpoint(
            EndpointName=NAME,
            EndpointConfigName=NAME,
            Tags=[{"Key": f"hotplate:{name}", "Value": each} for name, each in leased.items()],
        )

    def ask(self, body: Any, path: str = INFER, headers: Any = None, **caller: str) -> dict[str, Any]:
        """Return the proxy's result for a request of the tenant `acme`."""
        assert self.app
        method = "GET" if body is None else "POST"
        event = {**event_of(method, path, body, **caller), "headers": headers or {}}
        result: dict[str, Any] = self.app.lambda_handler(event, Context())
        return result

    def deliver(self, count: int = 1) -> None:
        """Bring the proxy its notices, as SNS does, once there are so many."""
        assert self.app
        ends = time.monotonic() + 20
        while len(self.notices) < count:
            assert time.monotonic() < ends
            time.sleep(0.01)
        records = [{"Sns": {"Message": each}} for each in self.notices]
        self.notices.clear()
        assert self.app.lambda_handler({"Records": records}, Context()) is None

    def job(self, location: str, method: str = "GET", tenant: str = "acme") -> dict[str, Any]:
        """Return what the API of jobs tells."""
        from functions.jobs.requests import JobRequests
        from hotplate.http.webhooks import Webhooks

        files = JobFiles(signing_client(), DATA)
        table = JobTable(boto3.client("dynamodb", REGION), "JobTable")
        nobody = JobQueue(None, "")
        webhooks = Webhooks(WebhookSecrets(None, ""), anywhere=False)
        requests = JobRequests(table, files, nobody, nobody, webhooks, ["affine"])
        event = event_of(method, location, tenant=tenant)
        found: dict[str, Any] = json.loads(requests.answer(read_event(event), event).body)
        return found


def settings(moto: str, version: Published) -> dict[str, str]:
    return {
        "AWS_ACCESS_KEY_ID": "AK",
        "AWS_SECRET_ACCESS_KEY": "SK",
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ENDPOINT_URL": moto,
        "HOTPLATE_BUCKET": "models",
        "HOTPLATE_DATA_BUCKET": DATA,
        "HOTPLATE_ENDPOINT": NAME,
        "HOTPLATE_JOB_TABLE": "JobTable",
        "HOTPLATE_KEY_TABLE": "KeyTable",
        "HOTPLATE_MANIFEST_SHA256": version.settings.manifest_sha256,
        "HOTPLATE_ENDPOINT_MODEL": "affine",
        "HOTPLATE_SIGNING_KEYS": SeedSigner().pinned,
        "HOTPLATE_STACK": STACK,
        "HOTPLATE_VERSION": version.settings.version,
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    version, server = published(), ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    moto = f"http://{host}:{port}"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings(moto, version).items():
            patch.setenv(name, value)
        s3, sagemaker = boto3.client("s3", REGION), boto3.client("sagemaker", REGION)
        queue = boto3.client("sqs", REGION).create_queue(QueueName="told")["QueueUrl"]
        patch.setenv("HOTPLATE_WEBHOOK_QUEUE_URL", queue)
        made_tables(boto3.client("dynamodb", REGION))
        for bucket in ("models", DATA):
            s3.create_bucket(Bucket=bucket)
        for key, body in version.reader.objects.items():
            s3.put_object(Bucket="models", Key=key, Body=body)
        output = f"s3://{DATA}/results/=endpoint"
        sagemaker.create_model(ModelName="m", ExecutionRoleArn="arn:aws:iam::123456789012:role/r")
        sagemaker.create_endpoint_config(
            EndpointConfigName=NAME,
            ProductionVariants=[
                {
                    "VariantName": "all",
                    "ModelName": "m",
                    "InstanceType": "ml.m5.large",
                    "InitialInstanceCount": 2,
                }
            ],
            AsyncInferenceConfig={
                "OutputConfig": {"S3OutputPath": f"{output}/answers", "S3FailurePath": f"{output}/faults"}
            },
        )
        folder = tmp_path_factory.mktemp("c")
        # Jobs of the other tier are told apart by their variable only.
        with container(folder, moto, version, HOTPLATE_TIER="sagemaker-async") as running:
            notices: list[str] = []
            runtime = LocalRuntime(sagemaker, s3, running.url, notices.append)
            with local_runtime(runtime):
                patch.setenv("AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME", runtime.url)
                running.wait_ready()
                yield Cloud(moto, sagemaker, version, running, runtime, notices)
    server.stop()


@pytest.fixture
def cloud(base: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud with an endpoint where nobody waits."""
    yield from started(base, monkeypatch, "sagemaker-async")


@pytest.fixture
def waiting(base: Cloud, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """The cloud with an endpoint where callers wait."""
    yield from started(base, monkeypatch, "sagemaker-realtime")


def started(base: Cloud, monkeypatch: pytest.MonkeyPatch, tier: str) -> Iterator[Cloud]:
    if base.tier != tier:
        monkeypatch.setenv("HOTPLATE_TIER", tier)
        import functions.gpu_proxy.app as module

        base.app, base.tier = importlib.reload(module), tier
    assert base.app
    base.app._breaker.succeeded()
    base.make_endpoint()
    yield base
    base.runtime.wake()
    base.runtime.failing = None
    base.notices.clear()
    for each in base.sagemaker.list_endpoints()["Endpoints"]:
        base.sagemaker.delete_endpoint(EndpointName=each["EndpointName"])


def body_of(result: dict[str, Any]) -> bytes:
    text = result["body"]
    return base64.b64decode(text) if result["isBase64Encoded"] else text.encode()


def test_caller_who_waits_gets_what_a_function_would_answer(waiting: Cloud) -> None:
    result = waiting.ask(ASKED)
    assert result["statusCode"] == 200
    assert json.loads(body_of(result))["outputs"][0]["data"] == [2.0, 4.0, 6.0]
    assert result["headers"]["hotplate-model-version"] == waiting.version.settings.version
    body, length = encode_request([Tensor("x", "FP32", np.array([[1, 2, 3]], np.float32))])
    result = waiting.ask(body, headers={LENGTH: str(length), "content-type": "application/octet-stream"})
    (tensor,) = decode_response(body_of(result), result["headers"][LENGTH]).outputs
    assert (result["headers"]["content-type"], tensor.array.tolist()) == (
        "application/octet-stream",
        [[2.0, 4.0, 6.0]],
    )


@pytest.mark.parametrize(
    "path", ["/v1/models/affine:predict", "/endpoints/affine/invocations", "/invocations"]
)
def test_request_of_another_protocol_is_answered_in_its_words(waiting: Cloud, path: str) -> None:
    result = waiting.ask({"instances": [[1, 2, 3]]} if "v1" in path else ASKED, path)
    assert result["statusCode"] == 200, result["body"]
    told = json.loads(body_of(result))
    rows = told["predictions"] if "v1" in path else told["outputs"][0]["data"]
    assert json.dumps(rows).replace("[[", "[").replace("]]", "]") == "[2.0, 4.0, 6.0]"
    for other in ("/v1/models/other:predict", "/v1/models/affine:explain"):
        assert waiting.ask({"instances": [[1, 2, 3]]}, other)["statusCode"] == 404


def test_callers_fault_comes_through_as_the_container_says_it(waiting: Cloud) -> None:
    result = waiting.ask({"inputs": [{**X, "shape": [3]}]})
    assert (result["statusCode"], json.loads(result["body"])["type"]) == (
        400,
        "urn:hotplate:error:ShapeMismatchError",
    )


def test_answered_request_is_metered_once_by_the_container(
    waiting: Cloud, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(waiting.container.lines("usage"))
    waiting.ask(ASKED)
    (line,) = waiting.container.lines("usage")[before:]
    assert (line["tenant"], line["key"], line["request_id"]) == ("acme", "k", "req-1")
    assert '"usage"' not in capsys.readouterr().out
    assert waiting.ask(ASKED, scopes="infer:other")["statusCode"] == 404
    (refused,) = [json.loads(each) for each in capsys.readouterr().out.splitlines() if '"usage"' in each]
    assert (refused["tenant"], refused["status"], refused["model"]) == ("acme", 404, None)


def test_caller_who_does_not_wait_gets_a_job_and_then_its_answer(cloud: Cloud) -> None:
    result = cloud.ask(ASKED)
    location = result["headers"]["location"]
    assert (result["statusCode"], json.loads(result["body"])["state"]) == (202, "queued")
    cloud.deliver()
    told = cloud.job(location)
    assert (told["state"], told["model"]) == ("succeeded", "affine")
    assert told["answer"]["body"]["outputs"][0]["data"] == [2.0, 4.0, 6.0]
    body, length = encode_request([Tensor("x", "FP32", np.array([[1, 2, 3]], np.float32))])
    octets = {LENGTH: str(length), "content-type": "application/octet-stream"}
    location = cloud.ask(body, headers=octets)["headers"]["location"]
    cloud.deliver()
    answer = cloud.job(location)["answer"]
    key = answer["url"].partition("?")[0].partition(f"/{DATA}/")[2].replace("%3D", "=")
    raw = boto3.client("s3", REGION).get_object(Bucket=DATA, Key=key)["Body"].read()
    (tensor,) = decode_response(raw, answer["headers"][LENGTH]).outputs
    assert tensor.array.tolist() == [[2.0, 4.0, 6.0]]


def test_job_is_seen_by_its_own_tenant_only(cloud: Cloud) -> None:
    from hotplate.errors import JobNotFoundError

    location = cloud.ask(ASKED, tenant="iam:1")["headers"]["location"]
    cloud.deliver()
    assert cloud.job(location, tenant="iam:1")["state"] == "succeeded"
    with pytest.raises(JobNotFoundError):
        cloud.job(location)


def test_sleeping_endpoint_takes_the_request_and_answers_when_it_is_awake(cloud: Cloud) -> None:
    cloud.runtime.sleep()
    result = cloud.ask(ASKED)
    location = result["headers"]["location"]
    time.sleep(0.3)
    assert (result["statusCode"], cloud.job(location)["state"], cloud.notices) == (202, "queued", [])
    cloud.runtime.wake()
    cloud.deliver()
    assert cloud.job(location)["state"] == "succeeded"


def test_job_that_was_cancelled_stays_so(cloud: Cloud) -> None:
    cloud.runtime.sleep()
    location = cloud.ask(ASKED)["headers"]["location"]
    assert cloud.job(location, "DELETE")["state"] == "cancelled"
    cloud.runtime.wake()
    cloud.deliver()
    assert cloud.job(location)["state"] == "cancelled"


def test_callers_fault_that_nobody_waited_for_ends_the_job_with_it(cloud: Cloud) -> None:
    location = cloud.ask({"inputs": [{**X, "shape": [3]}]})["headers"]["location"]
    cloud.deliver()
    told = cloud.job(location)
    assert (told["state"], told["error"]["status"]) == ("failed", 400)
    assert json.loads(told["error"]["body"])["type"] == "urn:hotplate:error:ShapeMismatchError"


def test_notice_that_comes_twice_changes_nothing(cloud: Cloud) -> None:
    location = cloud.ask(ASKED)["headers"]["location"]
    while not cloud.notices:
        time.sleep(0.01)
    twice = list(cloud.notices)
    cloud.deliver()
    before = cloud.job(location)
    cloud.notices.extend(twice)
    cloud.deliver()
    assert {**cloud.job(location), "answer": 0} == {**before, "answer": 0}


def noticed(
    *,
    input: str = "s3://data/results/acme/a/b/request.json",  # noqa: A002 - SageMaker's word
    endpoint: str = NAME,
    status: str = "Completed",
    output: str | None = "s3://data/results/=endpoint/answers/x.out",
    source: str = "aws:sagemaker",
    **more: Any,
) -> str:
    """Return a notice as SageMaker sends it."""
    notice = {
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-25T22:46:00.608Z",
        "receivedTime": "2026-01-25T22:46:00.455Z",
        "invocationStatus": status,
        "requestParameters": {"endpointName": endpoint, "inputLocation": input, "accept": "*/*"},
        "responseParameters": {"contentType": "application/json", "outputLocation": output},
        "eventVersion": "1.0",
        "eventSource": source,
        "eventName": "InferenceResult",
    }
    return json.dumps(notice | more)


@pytest.mark.parametrize(
    "message",
    [
        "no JSON",
        "[]",
        noticed(input="s3://other/results/acme/a/b/request.json"),
        noticed(input="s3://data/uploads/acme/x"),
        noticed(endpoint="other"),
        noticed(status="InProgress"),
        noticed(output=None),
        noticed(source="aws:s3"),
    ],
)
def test_notice_about_nothing_of_ours_is_logged_and_done(
    cloud: Cloud, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.notices.append(message)
    cloud.deliver()
    assert "a notice is about no job" in caplog.messages


def test_answer_outside_of_the_endpoints_folder_is_never_read(
    cloud: Cloud, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.runtime.sleep()
    location = cloud.ask(ASKED)["headers"]["location"]
    job = JobTable(boto3.client("dynamodb", REGION), "JobTable").get("acme", location.rpartition("/")[2])
    asked = JobFiles(signing_client(), DATA).request_uri(job)
    cloud.notices.append(noticed(input=asked, output=asked))
    cloud.deliver()
    (refused,) = [each for each in caplog.records if each.message == "a notice is about no job"]
    assert "is not under 'results/=endpoint/'" in vars(refused)["error"]
    cloud.runtime.wake()
    cloud.deliver()


def test_notice_with_more_in_it_than_is_known_and_less_than_it_may_have_ends_its_job(cloud: Cloud) -> None:
    cloud.runtime.sleep()
    location = cloud.ask(ASKED)["headers"]["location"]
    job = JobTable(boto3.client("dynamodb", REGION), "JobTable").get("acme", location.rpartition("/")[2])
    asked = JobFiles(signing_client(), DATA).request_uri(job)
    failed: dict[str, Any] = {
        "invocationStatus": "Failed",
        "failureReason": "ModelError: it is gone",
        "new": {"a": [1]},
    }
    cloud.notices.append(noticed(input=asked, inferenceId="another's", **failed))
    cloud.deliver()
    assert cloud.job(location)["state"] == "queued"
    cloud.notices.append(noticed(input=asked, responseParameters=None, **failed))
    cloud.deliver()
    told = cloud.job(location)
    assert (told["state"], told["error"]) == ("failed", {"status": 504, "body": "ModelError: it is gone"})
    cloud.runtime.wake()
    cloud.deliver()
    assert cloud.job(location)["state"] == "failed"


def told_of() -> list[Any]:
    """Return the jobs in the queue of ends that are to be told, and empty it."""
    client, found = boto3.client("sqs", REGION), []
    queue = client.get_queue_url(QueueName="told")["QueueUrl"]
    while messages := client.receive_message(QueueUrl=queue).get("Messages"):
        for each in messages:
            found.append(json.loads(each["Body"])["id"])
            client.delete_message(QueueUrl=queue, ReceiptHandle=each["ReceiptHandle"])
    return found


def test_receiver_is_told_of_the_end_of_a_job_however_it_ends(cloud: Cloud) -> None:
    hook = {"hotplate-webhook": "https://example.com/told"}
    refused = cloud.ask(ASKED, headers=hook)
    assert (refused["statusCode"], "webhook-secret" in refused["body"]) == (400, True)
    WebhookSecrets(boto3.client("dynamodb", REGION), "KeyTable").replace("acme")
    assert cloud.ask(ASKED, headers={"hotplate-webhook": "http://10.0.0.1/"})["statusCode"] == 400
    good = cloud.ask(ASKED, headers=hook)["headers"]["location"]
    cloud.deliver()
    bad = cloud.ask({"inputs": [{**X, "shape": [3]}]}, headers=hook)["headers"]["location"]
    cloud.deliver()
    cloud.ask(ASKED)
    cloud.deliver()
    assert told_of() == [each.rpartition("/")[2] for each in (good, bad)]
    assert cloud.job(good)["webhook"] == {"url": hook["hotplate-webhook"], "state": "waiting", "status": None}


def test_request_that_another_tier_did_not_take_is_metered_as_such(cloud: Cloud) -> None:
    assert cloud.app
    before = len(cloud.container.lines("usage"))
    event = {**event_of("POST", INFER, ASKED), "headers": {}}
    event["requestContext"]["hotplateFallback"] = {"asked": "affine", "is_again": True}
    assert cloud.app.lambda_handler(event, Context())["statusCode"] == 202
    cloud.deliver()
    (line,) = cloud.container.lines("usage")[before:]
    told = {name: line[name] for name in ("model", "tier", "asked", "requests", "tenant")}
    assert told == {
        "model": "affine", "tier": "sagemaker-async", "asked": "affine", "requests": 0, "tenant": "acme",
    }  # fmt: skip


def test_failing_endpoint_is_left_alone_after_five_times_and_tried_again_later(
    waiting: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert waiting.app
    clock = [1000.0]
    monkeypatch.setattr(waiting.app._breaker, "_now", lambda: clock[0])
    waiting.runtime.failing = 500
    seen = [waiting.ask(ASKED) for _ in range(6)]
    assert {each["statusCode"] for each in seen} == {503}
    assert [each["headers"]["retry-after"] for each in seen] == ["5"] * 5 + ["30"]
    assert "failed 5 times in a row" in json.loads(seen[-1]["body"])["error"]
    waiting.runtime.failing = None
    clock[0] += 29
    assert (waiting.ask(ASKED)["statusCode"], waiting.ask(None, READY, scopes="*:*")["statusCode"]) == (
        503,
        503,
    )
    clock[0] += 2
    assert waiting.ask(ASKED)["statusCode"] == 200
    assert waiting.ask(None, READY, scopes="*:*")["statusCode"] == 200


def test_request_that_sagemaker_does_not_take_leaves_no_job_that_waits(cloud: Cloud) -> None:
    cloud.runtime.failing = 503
    result = cloud.ask(ASKED)
    assert (result["statusCode"], "location" in result["headers"]) == (503, False)
    rows = boto3.client("dynamodb", REGION).scan(TableName="JobTable")["Items"]
    assert "queued" not in {row["state"]["S"] for row in rows if row["pk"]["S"] == "tenant#acme"}


def test_container_that_is_gone_is_an_answer_and_not_silence(cloud: Cloud) -> None:
    from urllib.parse import urlsplit

    kept = cloud.runtime._container
    cloud.runtime._container = urlsplit("http://127.0.0.1:9")
    location = cloud.ask(ASKED)["headers"]["location"]
    cloud.deliver()
    cloud.runtime._container = kept
    told = cloud.job(location)
    assert (told["state"], told["error"]["status"]) == ("failed", 500)


@pytest.mark.parametrize(
    ("path", "caller", "status"),
    [
        ("/v2/models/other/infer", {}, 404),
        ("/v2/models/affine/versions/9/infer", {}, 404),
        (INFER, {"scopes": "read:*"}, 404),
        (INFER, {"spent": "quota", "spent_text": "used up"}, 429),
        (INFER, {"spent": "budget", "spent_text": "spent"}, 402),
    ],
)
def test_who_may_not_is_refused_before_sagemaker_is_asked(
    cloud: Cloud, path: str, caller: dict[str, str], status: int
) -> None:
    cloud.runtime.failing = 599
    assert cloud.ask(ASKED, path, **caller)["statusCode"] == status


def test_metadata_is_the_versions_for_who_may_read_it(cloud: Cloud) -> None:
    result = cloud.ask(None, "/v2/models/affine", scopes="read:affine")
    told = json.loads(result["body"])
    assert (told["name"], told["versions"]) == ("affine", [cloud.version.settings.version])
    assert cloud.ask(None, "/v2/models/affine", scopes="infer:affine")["statusCode"] == 404


def test_lease_that_is_over_is_swept_and_the_caller_is_told(cloud: Cloud) -> None:
    import functions.gpu_sweeper.app as module

    sweeper = importlib.reload(module)
    assert sweeper.lambda_handler({}, Context()) == {"kept": 1, "deleted": 0}
    assert cloud.ask(ASKED)["statusCode"] == 202
    cloud.deliver()
    (leased,) = Leases(cloud.sagemaker, STACK).all()
    Leases(cloud.sagemaker, STACK).tag(leased, deadline="2026-01-01T00:00:00Z")
    assert sweeper.lambda_handler({}, Context()) == {"kept": 0, "deleted": 1}
    result = cloud.ask(ASKED)
    assert (result["statusCode"], result["headers"]["retry-after"]) == (503, "60")
    assert "its lease may have ended" in json.loads(result["body"])["error"]
