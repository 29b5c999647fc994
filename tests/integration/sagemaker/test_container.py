"""The container's server as SageMaker meets it: a process, `/ping`, `/invocations`, SIGTERM."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from hotplate.http.attributes import ATTRIBUTES_HEADER, Attributes, write_attributes
from hotplate.http.invocations import TRITON
from hotplate.limits import SAGEMAKER_PAYLOAD_BYTES
from hotplate.manifest.layout import blob_key
from hotplate.protocol.request import encode_request
from hotplate.protocol.response import decode_response
from hotplate.protocol.types import Tensor
from tests.support.container import Container, container
from tests.support.faulty_s3 import Fault, FaultyS3, faulty_s3
from tests.support.http_call import Answer, call
from tests.support.published import Published, published

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

X = {"name": "x", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}
ASKED = json.dumps({"inputs": [X]}).encode()
JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def version() -> Published:
    return published()


@pytest.fixture(scope="module")
def s3(version: Published) -> Iterator[FaultyS3]:
    with faulty_s3() as made:
        made.objects.update(version.reader.objects)
        yield made


@pytest.fixture(scope="module")
def running(
    s3: FaultyS3, version: Published, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Container]:
    with container(tmp_path_factory.mktemp("c"), s3.endpoint, version, HOTPLATE_USD_PER_HOUR="3.6") as made:
        made.wait_ready()
        yield made


def invoke(running: Container, body: bytes, headers: dict[str, str] = JSON) -> Answer:
    return call(running.url, "POST", "/invocations", body, headers)


def raw(running: Container, sent: bytes) -> tuple[int, dict[str, Any]]:
    """Send bytes and return status and body of the answer, after which the connection has to end."""
    where = urlsplit(running.url)
    with socket.create_connection((where.hostname or "", where.port or 0), timeout=20) as connection:
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        body = json.loads(answer.read())
        assert connection.recv(1) == b""
        return answer.status, body


def test_json_and_binary_are_answered_in_kind(running: Container, version: Published) -> None:
    answer = invoke(running, ASKED)
    (y,) = answer.json()["outputs"]
    assert (answer.status, y["data"]) == (200, [2.0, 4.0, 6.0])
    assert answer.headers["hotplate-model-version"] == version.settings.version
    body, length = encode_request([Tensor("x", "FP32", np.array([[1, 2, 3]], np.float32))])
    answer = invoke(running, body, {"content-type": f"{TRITON};json-header-size={length}"})
    kind, _, size = answer.headers["content-type"].partition(";json-header-size=")
    (tensor,) = decode_response(answer.body, size).outputs
    assert (answer.status, kind, tensor.array.tolist()) == (200, TRITON, [[2.0, 4.0, 6.0]])


def test_request_of_the_proxy_is_its_callers(running: Container, version: Published) -> None:
    body, length = encode_request([Tensor("x", "FP32", np.array([[1, 2, 3]], np.float32))])
    path = f"/v2/models/affine/versions/{version.settings.version}/infer"
    told = write_attributes(Attributes(path, "acme", "k1", "req-7", str(length)))
    kind = {"content-type": "application/octet-stream"}
    answer = invoke(running, body, {**kind, ATTRIBUTES_HEADER: told})
    assert (answer.status, answer.headers["x-request-id"]) == (200, "req-7")
    assert answer.headers["content-type"].startswith(f"{TRITON};json-header-size=")
    (line,) = [each for each in running.lines("usage") if each["request_id"] == "req-7"]
    assert (line["tenant"], line["key"], line["rows"], line["status"]) == ("acme", "k1", 1, 200)
    assert (line["tier"], line["model"], line["init_ms"]) == ("sagemaker-realtime", "affine", 0)
    assert line["nano_usd"] == line["billed_ms"] * 1000 + 3700  # 3.6 USD an hour, and the calls before it


@pytest.mark.parametrize(
    ("body", "headers", "status", "told"),
    [
        (b"{", JSON, 400, "MalformedRequestError"),
        (b"", JSON, 400, "MalformedRequestError"),
        (b"x", {"content-type": "text/csv"}, 415, "UnsupportedMediaTypeError"),
        (json.dumps({"inputs": [{**X, "shape": [3]}]}).encode(), JSON, 400, "ShapeMismatchError"),
        (ASKED, {**JSON, ATTRIBUTES_HEADER: "path=%2Fv2%2Fmodels%2Fnope%2Finfer"}, 404, "ModelNotFoundError"),
        (ASKED, {**JSON, ATTRIBUTES_HEADER: "who=me"}, 400, "MalformedRequestError"),
        (ASKED, {**JSON, ATTRIBUTES_HEADER: "path=a&path=b"}, 400, "MalformedRequestError"),
    ],
)
def test_callers_fault_is_a_4xx_that_says_which(
    running: Container, body: bytes, headers: dict[str, str], status: int, told: str
) -> None:
    answer = invoke(running, body, headers)
    assert (answer.status, answer.json()["type"]) == (status, f"urn:hotplate:error:{told}")
    assert answer.json()["expected" if "expected" in answer.json() else "detail"]


def test_largest_body_is_read_and_one_byte_more_is_refused_unread(running: Container) -> None:
    most = ASKED + b" " * (SAGEMAKER_PAYLOAD_BYTES - len(ASKED))
    assert invoke(running, most).status == 200
    answer = invoke(running, most + b" ")
    assert (answer.status, answer.json()["received"]) == (413, f"{SAGEMAKER_PAYLOAD_BYTES + 1} bytes")
    assert invoke(running, ASKED).status == 200


HEAD = b"POST /invocations HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /ping HTTP/9.9\r\n\r\n", 400),
        (HEAD + b"\r\n", 400),
        (HEAD + b"Content-Length: -1\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n12345", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
        (HEAD + b"Content-Length: 500\r\n\r\nshort", 400),
        (CHUNKED + b"zz\r\n", 400),
        (CHUNKED + b"2\r\nabcd\r\n0\r\n\r\n", 400),
        (CHUNKED + b"ffffffff\r\n", 413),
        (b"POST /other HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", 404),
        (b"GET /invocations HTTP/1.1\r\nHost: h\r\n\r\n", 404),
    ],
    ids=lambda value: repr(value)[-40:],
)
def test_what_is_no_request_is_refused_and_the_server_lives(
    running: Container, sent: bytes, status: int
) -> None:
    assert raw(running, sent)[0] == status
    assert call(running.url, "GET", "/ping").status == 200


def test_chunks_are_read(running: Container) -> None:
    half = len(ASKED) // 2
    parts = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (ASKED[:half], ASKED[half:]))
    sent = HEAD + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n"
    status, body = raw(running, sent)
    assert (status, body["outputs"][0]["data"]) == (200, [2.0, 4.0, 6.0])


def test_many_at_once_get_each_its_own_answer(running: Container) -> None:
    found: dict[int, list[float]] = {}

    def ask(number: int) -> None:
        body = json.dumps({"inputs": [{**X, "data": [number, 0, 0]}]}).encode()
        for _ in range(10):
            found[number] = invoke(running, body).json()["outputs"][0]["data"]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: [2.0 * number, 0.0, 0.0] for number in range(8)}


def test_slow_start_is_not_ready_and_then_is(version: Published, tmp_path: Path) -> None:
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        s3.faults[version.graph_key].append(Fault(delay_s=1.5))
        with container(tmp_path, s3.endpoint, version) as starting:
            for answer in (call(starting.url, "GET", "/ping"), invoke(starting, ASKED)):
                assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            starting.wait_ready()
            assert invoke(starting, ASKED).status == 200
            (ledger,) = starting.lines("cold")
            assert any("CUDA" in note for note in ledger["notes"])
            assert {"manifest", "fetch", "session", "warmup"} <= set(ledger["phases_ms"])


def test_store_that_is_away_at_first_is_asked_again(version: Published, tmp_path: Path) -> None:
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        s3.faults[version.manifest_key].extend([Fault(status=503)] * 5)  # more than the reader's own tries
        with container(tmp_path, s3.endpoint, version) as starting:
            starting.wait_ready()


def test_bytes_that_were_not_published_end_the_process(version: Published, tmp_path: Path) -> None:
    with faulty_s3() as s3:
        s3.objects.update(version.reader.objects)
        key = blob_key(version.manifest.file("graph").sha256)
        s3.objects[key] = bytes(len(s3.objects[key]))
        with container(tmp_path, s3.endpoint, version) as starting:
            assert starting.process.wait(timeout=30) == 1
            assert "DigestMismatchError" in starting.log.read_text()


def test_term_answers_what_was_begun_ends_what_is_idle_and_takes_nothing_new(
    s3: FaultyS3, version: Published, tmp_path: Path
) -> None:
    with container(tmp_path, s3.endpoint, version) as running:
        running.wait_ready()
        where = urlsplit(running.url)
        address = (where.hostname or "", where.port or 0)
        idle = http.client.HTTPConnection(*address)
        idle.request("GET", "/ping")
        idle.getresponse().read()
        with socket.create_connection(address, timeout=20) as begun:
            begun.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(ASKED) + ASKED[:10])
            time.sleep(0.3)
            running.process.terminate()
            time.sleep(0.5)
            assert running.process.poll() is None, "it waits for what was begun"
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(address, timeout=5)
            begun.sendall(ASKED[10:])
            answer = http.client.HTTPResponse(begun)
            answer.begin()
            assert (answer.status, answer.getheader("connection")) == (200, "close")
            assert json.loads(answer.read())["outputs"][0]["data"] == [2.0, 4.0, 6.0]
        assert running.process.wait(timeout=10) == 0
        assert idle.sock.recv(1) == b""
        idle.close()


def test_wrong_deployment_is_said_and_ends_the_process(version: Published, tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="HOTPLATE_TIER is 'gpu'"),
        container(tmp_path, "http://127.0.0.1:9", version, HOTPLATE_TIER="gpu"),
    ):
        pass
