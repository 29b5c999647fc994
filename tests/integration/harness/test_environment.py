"""What one execution environment does and lets its function see."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from hotplate.limits import LAMBDA_PAYLOAD_BYTES

if TYPE_CHECKING:
    from hotplate_tools.local.harness import RuntimeHarness
    from hotplate_tools.local.rie import InvokeResult


def answer(harness: RuntimeHarness, **event: Any) -> Any:
    result = harness.invoke("TinyFunction", event)
    assert result.function_error is None, result.payload
    return json.loads(result.payload)


def failure(harness: RuntimeHarness, **event: Any) -> tuple[InvokeResult, Any]:
    result = harness.invoke("TinyFunction", event)
    assert result.function_error == "Unhandled", result.payload
    return result, json.loads(result.payload)


def test_cold_start_is_told_from_a_warm_call(harness: RuntimeHarness) -> None:
    # An earlier crash leaves an environment that must start its runtime anew.
    failure(harness, do="exit")
    cold, warm = (harness.invoke("TinyFunction", {"do": "describe"}) for _ in range(2))
    assert cold.init_ms is not None
    assert cold.init_ms > 0
    assert warm.init_ms is None
    assert warm.duration_ms is not None
    assert 0 < warm.duration_ms < warm.wall_ms
    assert [json.loads(each.payload)["count"] for each in (cold, warm)] == [1, 2]


def test_result_names_the_request_that_the_function_saw(harness: RuntimeHarness) -> None:
    result = harness.invoke("TinyFunction", {"do": "describe"})
    assert json.loads(result.payload)["request_id"] == result.request_id


def test_later_layer_lies_over_the_earlier(harness: RuntimeHarness) -> None:
    assert answer(harness, do="describe")["layers"] == ["lower", "upper"]


def test_environment_is_exactly_lambda_s_and_the_template_s(harness: RuntimeHarness) -> None:
    seen = answer(harness, do="look")["environment"]
    api, token = seen.pop("AWS_LAMBDA_RUNTIME_API"), seen.pop("AWS_LAMBDA_METADATA_TOKEN")
    assert api.startswith("127.0.0.1:")
    assert token
    # The harness's own Lambda, through which one function calls another.
    assert seen.pop("AWS_ENDPOINT_URL_LAMBDA").startswith("http://127.0.0.1:")
    assert seen == {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.13",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "TinyFunction",
        "AWS_LAMBDA_FUNCTION_TIMEOUT": "2",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/Functions",
        "AWS_LAMBDA_LOG_STREAM_NAME": "$LATEST",
        "AWS_LAMBDA_METADATA_API": api,
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "BUCKET": "models",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
        "PATH": "/var/runtime/bin:/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "PYTHONPATH": "/var/task:/opt/python/lib/python3.13/site-packages:/opt/python",
        "TZ": ":UTC",
        "_HANDLER": "app.handler",
    }


def test_function_sees_lambda_s_file_system_and_its_own_processes(harness: RuntimeHarness) -> None:
    assert harness.has_walls
    seen = answer(harness, do="look")
    assert seen["uid"] == 993
    assert seen["tmp"] == []
    assert not seen["shm"]
    assert len(seen["processes"]) == 2  # the RIE and the runtime
    assert "work" not in seen["root"]


@pytest.mark.parametrize(
    "place", ["/var/task/app.py", "/opt/python/new", "/var/runtime/new", "/new", "/etc/new"]
)
def test_everything_but_tmp_is_read_only(harness: RuntimeHarness, place: str) -> None:
    assert answer(harness, do="write", path=place) == os.strerror(30)


def test_tmp_takes_what_the_template_says_and_no_more(harness: RuntimeHarness) -> None:
    # 512 MB in all, written in parts because the function has 256 MB of memory.
    written = [answer(harness, do="write", path=f"/tmp/{name}", size=180 << 20) for name in "abc"]  # noqa: S108
    assert written == ["written", "written", os.strerror(28)]


def test_exception_is_a_function_error(harness: RuntimeHarness) -> None:
    result, error = failure(harness, do="boom")
    assert (result.status, error["errorType"], error["errorMessage"]) == (200, "ValueError", "boom")


def test_result_that_looks_like_an_error_is_none(harness: RuntimeHarness) -> None:
    assert answer(harness, do="lookalike") == {"errorMessage": "mine", "errorType": "Mine"}


def test_time_out_kills_the_runtime_and_the_next_call_is_cold(harness: RuntimeHarness) -> None:
    result, error = failure(harness, do="sleep", seconds=30)
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Task timed out after 2.00 seconds")
    assert 2000 <= result.wall_ms < 4000
    assert answer(harness, do="describe")["count"] == 1


def test_crash_is_a_runtime_exit_error(harness: RuntimeHarness) -> None:
    _, error = failure(harness, do="exit")
    assert error["errorType"] == "Runtime.ExitError"
    assert "exit status 3" in error["errorMessage"]


def test_more_memory_than_the_function_has_kills_it(harness: RuntimeHarness) -> None:
    assert answer(harness, do="allocate", mb=64) == 64 << 20
    result, error = failure(harness, do="allocate", mb=400)
    assert error["errorType"] == "Runtime.ExitError"
    assert "signal: killed" in error["errorMessage"]
    assert any("out of memory" in line for line in result.log)


def test_largest_request_arrives_whole(harness: RuntimeHarness) -> None:
    frame = len(json.dumps({"do": "measure", "text": ""}))
    text = "x" * (LAMBDA_PAYLOAD_BYTES - frame)
    assert answer(harness, do="measure", text=text) == len(text)


def test_larger_request_is_refused_before_the_function(harness: RuntimeHarness) -> None:
    before = sum(each.invocations for each in harness.environments("TinyFunction"))
    result = harness.invoke("TinyFunction", {"do": "measure", "text": "x" * LAMBDA_PAYLOAD_BYTES})
    assert (result.status, result.error_type) == (413, "RequestTooLargeException")
    assert sum(each.invocations for each in harness.environments("TinyFunction")) == before


def test_larger_response_is_a_function_error(harness: RuntimeHarness) -> None:
    _, error = failure(harness, do="repeat", size=LAMBDA_PAYLOAD_BYTES + 200)
    assert error["errorType"] == "Function.ResponseSizeTooLarge"


def test_package_that_no_layer_has_fails_init(harness: RuntimeHarness) -> None:
    result = harness.invoke("BrokenFunction", {})
    error = json.loads(result.payload)
    assert result.function_error == "Unhandled"
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'numpy'" in error["errorMessage"]
