"""The parity record of a graph that was converted earlier: `parity.json` in a source folder.

A folder that holds the converted graph can be published without its framework; what the gate saw
then travels beside the graph and names its bytes, so that it is believed of no other.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from hotplate.manifest.schema import Parity
from hotplate_tools.failures import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

    from hotplate_tools.publish.graph import Graph

__all__ = ["encode_record", "read_record"]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file.

    Attributes:
        sha256: Digest of the graph, then of each file of weights, by name.
        parity: As in a manifest.
    """

    sha256: dict[str, str]
    parity: Parity


def encode_record(parity: Parity, graph: Graph) -> bytes:
    """Return the file's bytes."""
    raw = msgspec.json.encode(_Record(_digests(graph), parity), order="sorted")
    return msgspec.json.format(raw, indent=2) + b"\n"


def read_record(file: Path, graph: Graph) -> Parity:
    """Return what the gate saw of `graph`.

    Raises:
        RefusedError: Not such a record, or of other bytes.
    """
    try:
        record = msgspec.json.decode(file.read_bytes(), type=_Record)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise RefusedError(f"{file.name} is no parity record: {fault}") from fault
    here = _digests(graph)
    if record.sha256 != here:
        wrong = next(name for name in {**here, **record.sha256} if here.get(name) != record.sha256.get(name))
        raise RefusedError(
            f"{file.name} is the record of another graph: {wrong} there has SHA-256 "
            f"{record.sha256.get(wrong, 'none')[:12]}…, here {here.get(wrong, 'none')[:12]}…",
            advice="Convert the model again (`hotplate convert`, `hotplate train`), or remove the record.",
        )
    return record.parity


def _digests(graph: Graph) -> dict[str, str]:
    found = {"model.onnx": hashlib.sha256(graph.body).hexdigest()}
    for location, file in sorted(graph.weights.items()):
        with file.open("rb") as stream:
            found[location] = hashlib.file_digest(stream, "sha256").hexdigest()
    return found
