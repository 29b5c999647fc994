"""The function of uploads: what it signs, for whom, and what it refuses to sign."""

from __future__ import annotations

import importlib
import json
import time
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from functions.catalogue.schemas import COMPONENTS
from hotplate.limits import MAX_UPLOAD_BYTES, UPLOAD_LIFE_S
from hotplate.tenants.uploads import CONTENT_TYPES, own_key

if TYPE_CHECKING:
    from types import ModuleType


@dataclass
class Context:
    aws_request_id: str = "req-1"
    memory_limit_in_mb: str = "512"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setenv("HOTPLATE_DATA_BUCKET", "data")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    import functions.uploads.app as module

    return importlib.reload(module)


def ask(app: ModuleType, body: Any, path: str = "/uploads", **caller: str) -> tuple[int, Any]:
    event = {
        "httpMethod": "POST",
        "path": path,
        "headers": {},
        "body": body if isinstance(body, str) else json.dumps(body),
        "requestContext": {"authorizer": caller} if caller else {},
    }
    result = app.lambda_handler(event, Context())
    assert result["headers"]["x-request-id"] == "req-1"
    return result["statusCode"], json.loads(result["body"])


ASKED = {"size": 12, "content_type": "image/png"}


@pytest.mark.parametrize("tenant", ["acme", "iam:123456789012", None])
def test_upload_is_signed_for_one_object_of_one_length_and_type(app: ModuleType, tenant: str | None) -> None:
    status, given = ask(app, ASKED, **({"tenant": tenant} if tenant else {}))
    assert (status, given["method"]) == (201, "PUT")
    key = own_key(given["input_uri"], bucket="data", tenant=tenant or "-", what="x")
    assert given["headers"] == {"content-length": "12", "content-type": "image/png"}
    url = urlsplit(given["upload_url"])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (url.scheme, url.netloc) == ("https", "data.s3.eu-central-1.amazonaws.com")
    assert url.path.replace("%3D", "=") == f"/{key}"
    assert query["X-Amz-SignedHeaders"].split(";") == ["content-length", "content-type", "host"]
    assert query["X-Amz-Expires"] == str(UPLOAD_LIFE_S)
    assert not [name for name in query if "checksum" in name.lower()]
    ends = datetime.fromisoformat(given["expires_at"]).timestamp()
    assert abs(ends - time.time() - UPLOAD_LIFE_S) < 5


def test_two_uploads_are_two_objects(app: ModuleType) -> None:
    assert ask(app, ASKED)[1]["input_uri"] != ask(app, ASKED)[1]["input_uri"]


@pytest.mark.parametrize("size", [1, MAX_UPLOAD_BYTES])
@pytest.mark.parametrize("content_type", CONTENT_TYPES)
def test_bounds_and_types_are_signed(app: ModuleType, size: int, content_type: str) -> None:
    assert ask(app, {"size": size, "content_type": content_type})[0] == 201


@pytest.mark.parametrize(
    ("body", "status", "expected", "received"),
    [
        (ASKED | {"size": MAX_UPLOAD_BYTES + 1}, 413, str(MAX_UPLOAD_BYTES), str(MAX_UPLOAD_BYTES + 1)),
        (ASKED | {"size": 0}, 400, "1 to", "0"),
        (ASKED | {"size": -1}, 400, "1 to", "-1"),
        (ASKED | {"size": 1.5}, 400, "1 to", "1.5"),
        (ASKED | {"size": True}, 400, "1 to", "true"),
        (ASKED | {"size": "12"}, 400, "1 to", "'12'"),
        ({"content_type": "image/png"}, 400, "1 to", "null"),
        ({"size": 12}, 400, "image/png", "null"),
        (ASKED | {"content_type": "text/html"}, 400, "image/png", "text/html"),
        (ASKED | {"content_type": ["image/png"]}, 400, "image/png", "an array"),
        ("[]", 400, "an object", "an array"),
        ("", 400, "JSON", "line 1 column 1"),
    ],
)
def test_what_is_not_signed_is_told_what_would_be(
    app: ModuleType, body: Any, status: int, expected: str, received: str
) -> None:
    answered, problem = ask(app, body)
    assert answered == status
    assert expected in problem["expected"]
    assert received in problem["received"]


def test_other_paths_and_spent_tenants_are_refused(app: ModuleType) -> None:
    assert ask(app, ASKED, "/uploads/more")[0] == 404
    assert ask(app, ASKED, tenant="acme", spent="quota", spent_text="the month's quota")[0] == 429


def test_line_of_usage_tells_the_tenant(app: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    ask(app, ASKED, tenant="acme")
    (line,) = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert (line["hotplate"], line["tenant"], line["status"], line["model"]) == ("usage", "acme", 201, None)


def test_description_of_the_api_has_the_same_bounds() -> None:
    asked = COMPONENTS["UploadRequest"]["properties"]
    assert tuple(asked["content_type"]["enum"]) == CONTENT_TYPES
    assert asked["size"]["maximum"] == MAX_UPLOAD_BYTES
