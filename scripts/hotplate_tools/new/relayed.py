"""The template with the infer route of a model at the relay, which asks its fallback where it cannot answer.

Moved are three lines: the `Infer` event of the model's function becomes one of the relay's. The function's
time is cut so that something is left of the 29 s that API Gateway waits. Text is changed, so comments and
layout stay as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from hotplate_tools.failures import RefusedError
from hotplate_tools.naming import logical_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["RELAY", "TIMEOUT_S", "is_relayed", "relayed"]

RELAY = "RelayFunction"
# Seconds that a function with a fallback may take; the rest of the relay's 28 s is the fallback's. Ours.
TIMEOUT_S = 20


def is_relayed(document: Mapping[str, Any], name: str) -> bool | None:
    """Return whether requests for a model's infer route come to the relay; None if nothing has that route."""
    for function, resource in document["Resources"].items():
        events = resource.get("Properties", {}).get("Events", {})
        paths = [each["Properties"].get("Path") for each in events.values() if each["Type"] == "Api"]
        if _path(name) in paths:
            return bool(function == RELAY)
    return None


def relayed(text: str, name: str) -> str:
    """Return the template `text` with that route moved.

    Raises:
        RefusedError: The model's function has no such event, as `hotplate new` writes it.
    """
    prefix = logical_prefix(name)
    begin, end = _resource(text, f"{prefix}Function")
    own = text[begin:end]
    event = re.search(
        rf"^        Infer:\n(?:          .*\n)*?.*\bPath: {re.escape(_path(name))}\}}\n", own, re.M
    )
    handler = re.search(r"^      Handler: .*\n", own, re.M)
    if not event or not handler:
        raise RefusedError(f"{prefix}Function has no event Infer for POST {_path(name)} to be moved")
    moved = event[0].replace("        Infer:", f"        {prefix}Infer:", 1)
    own = own.replace(event[0], "", 1)
    if not re.search(r"^      Timeout:", own, re.M):
        line = f"      Timeout: {TIMEOUT_S} # What is left of the relay's 28 s is its fallback's.\n"
        own = own.replace(handler[0], handler[0] + line, 1)
    text = text[:begin] + own + text[end:]
    begin, end = _resource(text, RELAY)
    relay = text[begin:end].replace("      Events:\n", f"      Events:\n{moved}", 1)
    return text[:begin] + relay + text[end:]


def _path(name: str) -> str:
    return f"/v2/models/{name}/infer"


def _resource(text: str, key: str) -> tuple[int, int]:
    """Return where the lines of a resource begin and end."""
    found = re.search(rf"^  {key}:\n(?:(?:    .*)?\n)*", text, re.M)
    if not found:
        raise RefusedError(f"template.yaml has no resource {key}")
    return found.span()
