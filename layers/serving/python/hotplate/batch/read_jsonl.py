"""JSON Lines to rows: an object a line, with the inputs as its members.

A member that nobody reads may be anything; one that comes twice counts the last time. What is kept is kept
as it is written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from hotplate.batch.report import RowError
from hotplate.batch.rows import Block, groups_of, others, selected
from hotplate.batch.text_rows import text_batches
from hotplate.batch.values import arrays_of, type_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hotplate.batch.features import Array, Feature
    from hotplate.batch.layout import Chunk, Layout, Source
    from hotplate.batch.text_rows import TextBatch

__all__ = ["read_jsonl"]

_NULL = msgspec.Raw(b"null")


def read_jsonl(
    source: Source, layout: Layout, chunk: Chunk, features: list[Feature], batch_rows: int
) -> Iterator[Block]:
    """Yield a chunk's rows.

    Raises:
        UnreadableFileError: They are not as many as the chunk says.
        StoreError: They could not be had.
    """
    decoder = msgspec.json.Decoder(_row_type(layout, features))
    for batch in text_batches(source, layout, chunk, batch_rows):
        yield _decode(batch, decoder, layout, features)


def _row_type(layout: Layout, features: list[Feature]) -> Any:
    """Return a struct of what is read: each input's value, or its elements' values, then what is kept."""
    members: list[Any] = []
    for number, feature in enumerate(features):
        if feature.whole or feature.is_single:
            members.append((f"i{number}", type_of(feature), _field(layout.columns[feature.columns[0]])))
        else:
            element = type_of(_element(feature))
            for column, place in enumerate(feature.columns):
                members.append((f"i{number}_{column}", element, _field(layout.columns[place])))
    for number, place in enumerate(layout.keep):
        # A member can be an input and kept: its name may stand in one struct once only.
        if not any(place in feature.columns for feature in features):
            members.append((f"k{number}", msgspec.Raw, _field(layout.columns[place], _NULL)))
    return msgspec.defstruct("Row", members, kw_only=True, gc=False)


def _element(feature: Feature) -> Feature:
    return type(feature)(feature.name, feature.datatype, (), feature.columns, True)


def _field(name: str, default: Any = msgspec.NODEFAULT) -> Any:
    return msgspec.field(default=default, name=name)


def _decode(batch: TextBatch, decoder: Any, layout: Layout, features: list[Feature]) -> Block:
    first_row = batch.rest.first_row
    errors = batch.too_long()
    places = others(len(batch), [error.row - first_row for error in errors])
    rows, places = _decode_lines(batch, places, decoder, errors)
    inputs: dict[str, Any] = {}
    bad: dict[int, RowError] = {}
    for number, feature in enumerate(features):
        values, why = _values(rows, number, feature)
        inputs[feature.name] = values
        for at, reason in why.items():
            bad.setdefault(at, RowError(first_row + int(places[at]), reason, feature.name))
    errors.extend(bad.values())
    good = others(len(rows), bad)
    if bad:
        inputs = selected(inputs, good)
    kept = _kept(batch, rows, places, layout, features)
    return Block(first_row, len(batch), groups_of(places[good], inputs), kept, batch.rest, errors)


def _decode_lines(
    batch: TextBatch, places: Array, decoder: Any, errors: list[RowError]
) -> tuple[list[Any], Array]:
    """Return the rows that are objects of the right members, and their places; the others are errors."""
    try:
        lines = batch.text(places)
        str(lines, "utf-8")  # of what is kept or skipped, msgspec does not look at the characters
        rows = decoder.decode_lines(lines)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    else:
        if len(rows) == len(places):
            return rows, places
    rows, good = [], []
    for place in places:
        line = batch.line(int(place))
        try:
            line.decode()
            rows.append(decoder.decode(line))
            good.append(place)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
            text = (
                "JSON in UTF-8 was expected, got other bytes"
                if isinstance(fault, UnicodeError)
                else str(fault)
            )
            reason, _, path = text.partition(" - at `$")
            errors.append(RowError(batch.rest.first_row + int(place), reason, path.strip("`.")))
    return rows, np.array(good, np.int64)


def _values(rows: list[Any], number: int, feature: Feature) -> tuple[Any, dict[int, str]]:
    if feature.whole or feature.is_single:
        name = f"i{number}"
        return arrays_of([getattr(row, name) for row in rows], feature)
    names = [f"i{number}_{column}" for column in range(len(feature.columns))]
    values, why = arrays_of(
        [[getattr(row, name) for name in names] for row in rows],
        type(feature)(feature.name, feature.datatype, (len(names),), feature.columns, True),
    )
    return np.asarray(values).reshape(len(rows), *feature.inner), why


def _kept(
    batch: TextBatch, rows: list[Any], places: Array, layout: Layout, features: list[Feature]
) -> list[list[bytes | None]]:
    """Return what is kept, in JSON, by column and then by place; None where a row is no object."""
    kept: list[list[bytes | None]] = []
    for number, place in enumerate(layout.keep):
        column: list[bytes | None] = [None] * len(batch)
        if any(place in feature.columns for feature in features):
            texts = _again(batch, places, layout.columns[place])
        else:
            texts = [bytes(getattr(row, f"k{number}")) for row in rows]
        for at, text in zip(places, texts, strict=True):
            column[at] = text
        kept.append(column)
    return kept


def _again(batch: TextBatch, places: Array, name: str) -> list[bytes]:
    kind: Any = msgspec.defstruct("Kept", [("kept", msgspec.Raw, _field(name))])
    decoder = msgspec.json.Decoder(kind)
    return [bytes(decoder.decode(batch.line(int(place))).kept) for place in places]
