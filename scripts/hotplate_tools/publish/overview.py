"""What the models of a registry are, as its live versions say: for `hotplate models`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hotplate.errors import ArtifactError
from hotplate_tools.failures import RefusedError
from hotplate_tools.planning.describe import SERVING_CODE_BYTES, published_description
from hotplate_tools.planning.prices import read_prices
from hotplate_tools.planning.rules import propose
from hotplate_tools.publish.find import find_version
from hotplate_tools.publish.registry import list_models

if TYPE_CHECKING:
    from hotplate.manifest.schema import Manifest
    from hotplate.store.base import Store
    from hotplate_tools.publish.registry import ModelListing

__all__ = ["LIVE", "Overview", "overviews"]

LIVE = "live"

# What a cold start fetches.
_FETCHED = ("graph", "weights", "asset")


@dataclass(frozen=True, slots=True)
class Overview:
    """One model.

    Attributes:
        listing: Its versions and aliases.
        manifest: Of the version that `live` points at; None without one.
        fault: Why that one cannot be believed, in words; empty if it can.
        usd_per_million: Of requests, by what was measured when it was published; None if nothing was.
    """

    listing: ModelListing
    manifest: Manifest | None = None
    fault: str = ""
    usd_per_million: float | None = None

    @property
    def live(self) -> str | None:
        """The version that `live` points at."""
        pointer = self.listing.aliases.get(LIVE)
        return pointer.version if pointer else None

    @property
    def size(self) -> int | None:
        """Bytes that a cold start of it fetches."""
        files = self.manifest.files if self.manifest else ()
        return sum(entry.size for entry in files if entry.role in _FETCHED) if files else None

    @property
    def card(self) -> str | None:
        """Path of its card in an API that serves it."""
        files = self.manifest.files if self.manifest else ()
        has_card = any(entry.role == "card" for entry in files)
        return f"/v2/models/{self.listing.name}/versions/{self.live}/card" if has_card else None


def overviews(store: Store) -> list[Overview]:
    """Return every model of a registry, sorted by name.

    Raises:
        StoreError: The registry cannot be read.
    """
    return [_overview(store, listing) for listing in list_models(store)]


def _overview(store: Store, listing: ModelListing) -> Overview:
    if LIVE not in listing.aliases:
        return Overview(listing)
    try:
        manifest = find_version(store, listing.name, alias=LIVE).manifest
        return Overview(listing, manifest, usd_per_million=_price(store, listing.name, manifest))
    except (ArtifactError, RefusedError) as fault:
        return Overview(listing, fault=str(fault))


def _price(store: Store, name: str, manifest: Manifest) -> float | None:
    if not manifest.has_graph:
        return None
    described = published_description(store, name, LIVE, code_bytes=SERVING_CODE_BYTES)
    if described.measurements is None:
        return None
    proposal = propose(described, read_prices(), traffic=None, architecture="x86_64")
    return round(proposal.money.total, 4)
