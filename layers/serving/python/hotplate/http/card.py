"""The model card as an answer: read at the first request for it, then kept in memory.

A fault is kept too, as long as the `Retry-After` of its answer: a store that is down is not asked
anew by every request.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from hotplate.errors import CardNotFoundError
from hotplate.http.answers import RETRY_AFTER_S
from hotplate.http.event import HttpResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from hotplate.manifest.schema import Manifest

__all__ = ["CardShelf"]

# A card is its owner's text: no browser may take it for something that runs.
_HEADERS = {"x-content-type-options": "nosniff"}


class CardShelf:
    """The card of the one version that a function serves."""

    def __init__(self, read: Callable[[Manifest], bytes] | None) -> None:
        """Read nothing yet; `read` is called at the first request. None: there is no card."""
        self._read = read
        self._card: bytes | None = None
        self._fault: Exception | None = None
        self._tried_at = 0.0

    def answer(self, manifest: Manifest) -> HttpResponse:
        """Return the card of the version that `manifest` is.

        Raises:
            CardNotFoundError: It has none.
            StoreError: It could not be read, now or a moment ago.
            ArtifactError: The bytes are not those published.
        """
        if self._card is None:
            self._card = self._first(manifest)
        return HttpResponse(200, self._card, _HEADERS, "text/markdown; charset=utf-8")

    def _first(self, manifest: Manifest) -> bytes:
        if self._read is None:
            raise CardNotFoundError(f"{manifest.name!r} is served without a card")
        if self._fault and time.monotonic() - self._tried_at < RETRY_AFTER_S:
            # The same fault is raised for many requests; without its old frames it does not grow.
            raise self._fault.with_traceback(None)
        try:
            return self._read(manifest)
        except Exception as fault:
            self._fault, self._tried_at = fault, time.monotonic()
            raise
