"""The card of a published version, and what was measured of it: two things, told apart.

Measurements lie beside a version and are not part of it (ADR 0010), so they are in no card's bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from hotplate_tools.failures import RefusedError
from hotplate_tools.planning.describe import read_measurements
from hotplate_tools.publish.card import split_card
from hotplate_tools.publish.find import find_version, read_file

if TYPE_CHECKING:
    from hotplate.store.base import Store
    from hotplate_tools.planning.records import Measurements

__all__ = ["PublishedCard", "card_data", "card_text", "read_published_card"]


@dataclass(frozen=True, slots=True)
class PublishedCard:
    """A card as it lies in a registry.

    Attributes:
        name, version: Of what.
        card: The bytes.
        head: The card's head as the manifest has it.
        measurements: What the publishing machine measured; None if it did not.
    """

    name: str
    version: str
    card: bytes
    head: dict[str, Any]
    measurements: Measurements | None


def read_published_card(store: Store, name: str, version: str | None, *, alias: str) -> PublishedCard:
    """Return the card of a version; see `find_version`.

    Raises:
        RefusedError: There is no such version, or it has no card.
        ArtifactError: Something is not as it was published.
        StoreError: The registry cannot be read.
    """
    found = find_version(store, name, version, alias=alias)
    if not any(entry.role == "card" for entry in found.manifest.files):
        raise RefusedError(
            f"{name} {found.version} was published without a card", advice="Publish it again: it gets one."
        )
    raw = read_file(store, found.manifest.file("card"))
    head = found.manifest.parameters.get("card", {})
    return PublishedCard(name, found.version, raw, head, read_measurements(store, name, found.version))


def card_data(found: PublishedCard) -> dict[str, Any]:
    """Return the card and the measurements as one document."""
    measured = msgspec.to_builtins(found.measurements) if found.measurements else None
    return {
        "name": found.name,
        "version": found.version,
        "card": found.card.decode(),
        "head": found.head,
        "measurements": measured,
    }


def card_text(found: PublishedCard) -> str:
    """Return the same as Markdown for people."""
    head, body = split_card(found.card.decode())
    parts = [f"```yaml\n{head}```\n", body] if head else [body]
    measured = found.measurements
    if measured and measured.served:
        form = measured.served
        parts.append(
            f"\n---\n\nBeside the card: measured on {measured.cpu}, {measured.threads} threads, "
            f"onnxruntime {measured.onnxruntime}. Session {form.session_ms:g} ms, first run "
            f"{form.first_run_ms:g} ms, then {form.steady_ms:g} ms a row; {form.peak_mb:g} MiB at most.\n"
        )
    return "\n".join(parts)
