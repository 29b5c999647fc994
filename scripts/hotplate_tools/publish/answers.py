"""What the registry commands answer: as data for `--json`, as text for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from hotplate_tools.naming import logical_prefix
from hotplate_tools.publish.openssf import BUNDLE
from hotplate_tools.publish.signing import pinned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hotplate_tools.optimise.choice import Choice
    from hotplate_tools.publish.aliases import MoveAlias
    from hotplate_tools.publish.export import Exported
    from hotplate_tools.publish.gc import Garbage
    from hotplate_tools.publish.overview import Overview
    from hotplate_tools.publish.pipeline import Published
    from hotplate_tools.publish.registry import ModelListing
    from hotplate_tools.publish.verify import Verified

__all__ = [
    "deploy_parameters",
    "exported_data",
    "exported_text",
    "garbage_data",
    "garbage_text",
    "listing_text",
    "move_data",
    "move_text",
    "overview_data",
    "overview_text",
    "published_data",
    "published_text",
    "verified_data",
    "verified_text",
]


def deploy_parameters(
    name: str, version: str, manifest_sha256: str, public_key: bytes | None = None
) -> dict[str, str]:
    """Return the template parameters that pin the version, e.g. `DigitsModelVersion`, and who signed it."""
    prefix = logical_prefix(name)
    signed = {"SigningKeys": pinned(public_key)} if public_key else {}
    return {f"{prefix}ModelVersion": version, f"{prefix}ManifestSha256": manifest_sha256, **signed}


def published_data(published: Published) -> dict[str, Any]:
    """Return what was, or would be, published."""
    actions = published.actions
    return {
        "name": published.name,
        "version": published.version,
        "manifest_sha256": published.manifest_sha256,
        "dry_run": published.dry_run,
        "wrote": published.wrote,
        "blobs": [
            {"path": blob.path, "sha256": blob.sha256, "size": blob.size, "uploaded": not blob.exists}
            for blob in actions.blobs
        ],
        **({"variants": _variants_data(published.choice)} if published.choice else {}),
        "signed_by": actions.signature.key_id if actions.signature else None,
        "alias": move_data(actions.alias) if actions.alias else None,
        "parameters": _parameters(published),
    }


def published_text(published: Published) -> str:
    """Return the same for people."""
    actions = published.actions
    put, kept = ("would put", "there already") if published.dry_run else ("put", "there already")
    lines = [f"{published.name} {published.version}", f"  manifest  sha256 {published.manifest_sha256}"]
    lines += [
        f"  blob      {blob.path}, {blob.size:,} bytes: {kept if blob.exists else put}"
        for blob in actions.blobs
    ]
    lines += _variants_text(published.choice, published.dry_run) if published.choice else []
    if actions.signature:
        done = kept if actions.signature.exists else put
        lines.append(f"  signature of key {actions.signature.key_id}: {done}")
    if actions.alias:
        lines.append(f"  alias     {'would move: ' if published.dry_run else ''}{move_text(actions.alias)}")
    if not actions.pending:
        lines.append("  nothing to do: the registry holds exactly this")
    lines.append("To serve it, deploy with")
    lines += [f"  {key}={value}" for key, value in _parameters(published).items()]
    return "\n".join(lines)


def _variants_data(choice: Choice) -> dict[str, Any]:
    return {
        "taken": choice.taken.kind if choice.taken else None,
        "rows": choice.rows,
        "rows_file": choice.title,
        "float": {
            "bytes": choice.float_bytes,
            "quality": {
                name: {"metric": metric, "value": value}
                for name, (metric, value) in choice.float_quality.items()
            },
        },
        "considered": msgspec.to_builtins(choice.considered),
        "record": msgspec.to_builtins(choice.record) if choice.record else None,
    }


def _variants_text(choice: Choice, dry_run: bool) -> list[str]:
    found = ", ".join(
        f"{metric} of {name!r} {value:.4f}" for name, (metric, value) in choice.float_quality.items()
    )
    lines = [
        f"  variants  on {choice.rows:,} rows of {choice.title}",
        f"    {'float':<6}{choice.float_bytes:>15,} bytes  {found}",
    ]
    for kind, one in choice.considered.items():
        verdict = "would be taken" if dry_run and one.verdict == "taken" else one.verdict
        if one.bytes is None:
            lines.append(f"    {kind:<6}{verdict}")
        else:
            figures = f"{one.bytes:>15,} bytes  quality {one.quality:.4f}, loss {one.loss:.4f}"
            lines.append(f"    {kind:<6}{figures}: {verdict}")
    return lines


def _parameters(published: Published) -> dict[str, str]:
    signature = published.actions.signature
    pins = deploy_parameters(
        published.name,
        published.version,
        published.manifest_sha256,
        signature.public_key if signature else None,
    )
    # One parameter for all models, of which this is one entry.
    fallback = {"Fallbacks": f"{published.name}={published.fallback}"} if published.fallback else {}
    return pins | fallback


def move_data(move: MoveAlias) -> dict[str, Any]:
    """Return one move of an alias."""
    return {
        "name": move.name,
        "alias": move.alias,
        "from": move.from_version,
        "to": move.to_version,
        "manifest_sha256": move.manifest_sha256,
    }


def move_text(move: MoveAlias) -> str:
    """Return the same for people."""
    return f"{move.alias}: {move.from_version or 'nothing'} → {move.to_version}"


def overview_data(models: Sequence[Overview]) -> dict[str, Any]:
    """Return all models of a registry: what the live versions are, and every version and alias."""
    return {"models": [_overview_data(model) | _listing_data(model.listing) for model in models]}


def _overview_data(model: Overview) -> dict[str, Any]:
    found = msgspec.to_builtins(model.manifest) if model.manifest else {}
    return {
        "name": model.listing.name,
        "live": model.live,
        "fault": model.fault or None,
        "task": found.get("task"),
        "platform": model.manifest.platform if model.manifest else None,
        "inputs": found.get("inputs"),
        "outputs": found.get("outputs"),
        "metrics": model.manifest.provenance.metrics if model.manifest else None,
        "size": model.size,
        "memory_mb": model.manifest.plan.memory_mb if model.manifest else None,
        "usd_per_million": model.usd_per_million,
        "card": model.card,
    }


def overview_text(models: Sequence[Overview]) -> str:
    """Return the same for people: a line a model."""
    if not models:
        return "No model is published here."
    rows = [("NAME", "TASK", "LIVE", "SIZE", "METRICS")]
    for model in models:
        metrics = dict(model.manifest.provenance.metrics) if model.manifest else {}
        said = model.fault or ", ".join(f"{name} {value:g}" for name, value in metrics.items())
        size = "-" if model.size is None else f"{model.size / 1e6:,.2f} MB"
        task = model.manifest.task if model.manifest else ""
        rows.append((model.listing.name, task or "-", model.live or "-", size, said or "-"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]])
        for row in rows
    )


def _listing_data(model: ModelListing) -> dict[str, Any]:
    return {
        "versions": list(model.versions),
        "aliases": {
            alias: {
                "version": pointer.version,
                "manifest_sha256": pointer.manifest_sha256,
                "previous": pointer.previous,
                "moved_at": pointer.moved_at,
                "moved_by": pointer.moved_by,
                "moves": pointer.moves,
                "history": [
                    {"version": each.version, "moved_at": each.moved_at, "moved_by": each.moved_by}
                    for each in pointer.history
                ],
            }
            for alias, pointer in model.aliases.items()
        },
    }


def listing_text(models: Sequence[ModelListing]) -> str:
    """Return the versions for people: a line each, with the aliases that point at it."""
    if not models:
        return "No model is published here."
    lines = []
    for model in models:
        lines.append(model.name)
        for version in model.versions:
            pointing = [name for name, pointer in model.aliases.items() if pointer.version == version]
            lines.append(f"  {version}" + (f"  ← {', '.join(pointing)}" if pointing else ""))
    return "\n".join(lines)


def garbage_data(garbage: Garbage, *, dry_run: bool) -> dict[str, Any]:
    """Return what was, or would be, removed from a registry."""
    return {
        "dry_run": dry_run,
        "removed": [
            {
                "key": entry.key,
                "size": entry.size,
                "modified": entry.modified.isoformat(timespec="seconds"),
            }
            for entry in garbage.old
        ],
        "removed_bytes": sum(entry.size for entry in garbage.old),
        "too_young": len(garbage.young),
        "too_young_bytes": sum(entry.size for entry in garbage.young),
        "kept": garbage.kept,
        "kept_bytes": garbage.kept_bytes,
    }


def garbage_text(garbage: Garbage, *, dry_run: bool) -> str:
    """Return the same for people."""
    verb = "would remove" if dry_run else "removed"
    lines = [
        f"{verb} {entry.key}, {entry.size:,} bytes, of {entry.modified:%Y-%m-%d}" for entry in garbage.old
    ]
    total = sum(entry.size for entry in garbage.old)
    lines.append(f"{verb} {len(garbage.old)} blobs, {total:,} bytes")
    young = sum(entry.size for entry in garbage.young)
    lines.append(
        f"kept {garbage.kept} blobs that versions refer to, {garbage.kept_bytes:,} bytes; "
        f"{len(garbage.young)} without a version that are too young, {young:,} bytes"
    )
    return "\n".join(lines)


def verified_data(found: Sequence[Verified]) -> dict[str, Any]:
    """Return what `hotplate verify` found."""
    return {
        "versions": [
            {
                "name": each.name,
                "version": each.version,
                "signed_by": each.key_id,
                "files": each.files,
                "bytes": each.size,
                "faults": list(each.faults),
            }
            for each in found
        ]
    }


def verified_text(found: Sequence[Verified]) -> str:
    """Return the same for people."""
    lines = []
    for each in found:
        signed = f"signed by key {each.key_id}" if each.key_id else "no signature verified"
        verdict = f"{signed}, {each.files} files, {each.size:,} bytes" if not each.faults else "NOT WHOLE"
        lines.append(f"{each.name} {each.version}: {verdict}")
        lines += [f"  {fault}" for fault in each.faults]
    return "\n".join(lines)


def exported_data(exported: Exported) -> dict[str, Any]:
    """Return what was written to a folder."""
    return {
        "name": exported.name,
        "version": exported.version,
        "manifest_sha256": exported.manifest_sha256,
        "folder": str(exported.folder),
        "files": list(exported.files),
        "signed_by": exported.signed_by,
    }


def exported_text(exported: Exported) -> str:
    """Return the same for people."""
    signed = f"signed by key {exported.signed_by}" if exported.signed_by else "no signature verified"
    lines = [f"{exported.name} {exported.version}: {signed}", *(f"  {file}" for file in exported.files)]
    if BUNDLE in exported.files:
        bundle = exported.folder / BUNDLE
        lines += [
            "To verify it elsewhere",
            f"  model_signing verify key {exported.folder} --signature {bundle} --public_key PUBLIC.pem",
        ]
    return "\n".join(lines)
