"""Which path of the Open Inference Protocol asks for what.

| method | path after `/v2/models/{model}[/versions/{version}]` | asks for |
|---|---|---|
| GET | | metadata |
| GET | `/ready` | readiness |
| GET | `/card` | the model card; ours, not the protocol's |
| POST | `/infer` | inference |
| POST | `/explain` | what the answer hangs on; ours, not the protocol's |
| POST | `/generate`, `/generate_stream` | a text that goes on; see `hotplate.http.generation` |

Source: Open Inference Protocol v2, "HTTP/REST".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from hotplate.errors import UnknownPathError

if TYPE_CHECKING:
    from hotplate.http.event import HttpRequest

__all__ = ["Route", "route_of"]

type Verb = Literal["metadata", "ready", "card", "infer", "explain"]

_VERBS: dict[tuple[str, tuple[str, ...]], Verb] = {
    ("GET", ()): "metadata",
    ("GET", ("ready",)): "ready",
    ("GET", ("card",)): "card",
    ("POST", ("infer",)): "infer",
    ("POST", ("explain",)): "explain",
}


class Route(NamedTuple):
    """A path, understood. `version` is None if the path names none."""

    verb: Verb
    model: str
    version: str | None


def route_of(request: HttpRequest) -> Route:
    """Return what the request asks for.

    Raises:
        UnknownPathError: No such path, or another method than the path takes.
    """
    segments = request.segments
    if segments[:2] != ("v2", "models") or len(segments) < 3:
        raise _unknown(request)
    model, rest, version = segments[2], segments[3:], None
    if rest[:1] == ("versions",) and len(rest) > 1:
        version, rest = rest[1], rest[2:]
    verb = _VERBS.get((request.method, rest))
    if verb is None:
        raise _unknown(request)
    return Route(verb, model, version)


def _unknown(request: HttpRequest) -> UnknownPathError:
    return UnknownPathError(
        "path",
        expected="GET /v2/models/{model}[/versions/{version}][/ready|/card] or POST …/infer, …/explain",
        received=f"{request.method} /{'/'.join(request.segments)}"[:200],
    )
