"""JSON documents: bytes to a document, and the members of its objects.

Rules kept here:

1. A member that comes twice is refused in every object that is read here: readers that disagree on
   which of the two counts are a way past a check.
2. Nothing is looked up that is not known by name, so an object with a million members costs one scan.
3. An error repeats at most `EXCERPT` characters of what came.

Three facts about simdjson shape the code. A parser that is used again invalidates what it gave out before
and is not safe between threads: each document gets its own. Member look-ups scan from the start and stop at
a NUL in the name: see rule 2. Integers beyond 64 bits are no document to it, though JSON has them and
JavaScript writes 1e20 as one: such a document is read again by the standard library.

It does not know what a tensor is. Source: RFC 8259.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import orjson
import simdjson

from hotplate.errors import MalformedRequestError

__all__ = ["EXCERPT", "Json", "excerpt", "fields", "holds_more_arrays", "is_array", "mapping", "parse"]

# Any JSON value: Python's own, or simdjson's `Object` and `Array`, which live in the parser's memory.
type Json = Any

# Characters of a value that an error may repeat. Ours: enough to find it, too few to leak a payload.
EXCERPT = 60

_ARRAYS = (simdjson.Array, list)
_OBJECTS = (simdjson.Object, dict)
_WORDS = {None: "null", True: "true", False: "false"}


def parse(raw: bytes) -> Json:
    """Return the document.

    Raises:
        MalformedRequestError: Empty, not UTF-8, not JSON, nested deeper than 1,024, or with a number
            that no FP64 can hold.
    """
    try:
        return simdjson.Parser().parse(raw)
    except (ValueError, RuntimeError):
        return _parse_again(raw)


def fields(node: Json, known: Iterable[str], *, what: str) -> dict[str, Json]:
    """Return the `known` members that an object has; null counts as absent.

    Raises:
        MalformedRequestError: Not an object, or one with a member twice.
    """
    names = _names(node, what=what)
    return {name: value for name in known if name in names and (value := node[name]) is not None}


def mapping(node: Json, *, what: str) -> dict[str, Any]:
    """Return an object, with all in it, as Python's own.

    Raises:
        MalformedRequestError: Not an object, or one with a member twice.
    """
    if isinstance(node, dict):
        return dict(node)
    if not isinstance(node, simdjson.Object):
        raise MalformedRequestError(what, expected="an object", received=excerpt(node))
    members: dict[str, Any] = node.as_dict()
    if len(members) != len(node):
        raise _twice(what)
    return members


def is_array(node: Json) -> bool:
    """Return whether a value is an array."""
    return isinstance(node, _ARRAYS)


def excerpt(node: Json) -> str:
    """Return what a value is, in few words, for an error."""
    if isinstance(node, _ARRAYS):
        return "an array"
    if isinstance(node, _OBJECTS):
        return "an object"
    if node is None or isinstance(node, bool):
        return _WORDS[node]
    text = repr(node[:EXCERPT]) if isinstance(node, str) else repr(node)[:EXCERPT]
    return text if len(str(node)) <= EXCERPT else f"{text}..."


def holds_more_arrays(raw: bytes, seen: int) -> bool:
    """Return whether the document has more than `seen` opening brackets, text included.

    False proves that nobody has to look for arrays hidden among numbers: all of them were seen.
    Stops at the first bracket too many; costs a fiftieth of parsing the document.
    """
    at = -1
    for _ in range(seen + 1):
        at = raw.find(b"[", at + 1)
        if at < 0:
            return False
    return True


def _parse_again(raw: bytes) -> Json:
    try:
        orjson.loads(raw)  # the judge of what JSON is: the standard library takes NaN and lone surrogates
    except orjson.JSONDecodeError as fault:
        expected = "JSON in UTF-8 (binary data behind it needs the header Inference-Header-Content-Length)"
        raise MalformedRequestError("the body", expected=expected, received=str(fault)) from fault
    return json.loads(raw.decode(), object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    _refuse_twice([name for name, _ in pairs], what="an object in the body")
    return dict(pairs)


def _names(node: Json, *, what: str) -> set[str]:
    if isinstance(node, dict):
        return set(node)
    if not isinstance(node, simdjson.Object):
        raise MalformedRequestError(what, expected="an object", received=excerpt(node))
    return _refuse_twice(list(node), what=what)


def _refuse_twice(names: list[str], *, what: str) -> set[str]:
    unique = set(names)
    if len(unique) != len(names):
        raise _twice(what)
    return unique


def _twice(what: str) -> MalformedRequestError:
    return MalformedRequestError(what, expected="each member once", received="a member twice")
