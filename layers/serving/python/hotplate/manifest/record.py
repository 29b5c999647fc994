"""What every record of a manifest is, and the words that several of them use."""

from __future__ import annotations

from typing import Annotated

import msgspec

__all__ = ["ModelName", "Record", "Sha256"]

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
ModelName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}\Z")]


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Immutable; an unknown field is an error; a default is not written."""
