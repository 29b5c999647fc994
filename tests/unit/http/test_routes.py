"""Paths of the protocol, and those that are not."""

from __future__ import annotations

import pytest

from hotplate.errors import UnknownPathError
from hotplate.http.event import HttpRequest
from hotplate.http.routes import Route, route_of


def request(method: str, path: str) -> HttpRequest:
    return HttpRequest(method, tuple(part for part in path.split("/") if part), {}, b"")


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v2/models/m", Route("metadata", "m", None)),
        ("GET", "/v2/models/m/ready", Route("ready", "m", None)),
        ("GET", "/v2/models/m/card", Route("card", "m", None)),
        ("POST", "/v2/models/m/infer", Route("infer", "m", None)),
        ("GET", "/v2/models/m/versions/1/card", Route("card", "m", "1")),
        ("GET", "/v2/models/m/versions/1", Route("metadata", "m", "1")),
        ("GET", "/v2/models/m/versions/1/ready", Route("ready", "m", "1")),
        ("POST", "/v2/models/m/versions/1/infer", Route("infer", "m", "1")),
        ("POST", "/v2/models/versions/infer", Route("infer", "versions", None)),
    ],
)
def test_path_is_understood(method: str, path: str, route: Route) -> None:
    assert route_of(request(method, path)) == route


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/m/infer"),
        ("POST", "/v2/models/m"),
        ("DELETE", "/v2/models/m"),
        ("POST", "/v2/models/m/card"),
        ("GET", "/v2/models"),
        ("GET", "/v1/models/m"),
        ("GET", "/"),
        ("POST", "/v2/models/m/versions/1/2/infer"),
        ("GET", "/v2/models/m/versions"),
    ],
)
def test_other_paths_are_named(method: str, path: str) -> None:
    with pytest.raises(UnknownPathError, match=f"got {method} {path}"):
        route_of(request(method, path))
