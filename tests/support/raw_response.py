"""The body of an answer that botocore is given instead of one from the network."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RawResponse"]


class RawResponse(io.BytesIO):
    """Bytes, as urllib3 gives them."""

    def stream(self, **_: Any) -> Iterator[bytes]:
        while contents := self.read():
            yield contents
