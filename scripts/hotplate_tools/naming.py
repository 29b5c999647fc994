"""What a model's name becomes where its own characters are not allowed. The only place that says so."""

from __future__ import annotations

import re

__all__ = ["logical_prefix", "module_name"]


def module_name(model: str) -> str:
    """Return the Python package of a model, e.g. `spam_filter_v2` for `spam-filter.v2`."""
    return model.replace("-", "_").replace(".", "_")


def logical_prefix(model: str) -> str:
    """Return the start of a model's names in the template, e.g. `SpamFilterV2`."""
    return "".join(word[0].upper() + word[1:] for word in re.split(r"[-._]+", model) if word)
