"""Thrift's compact protocol: structs as they are, whatever they mean, read and written again.

A struct is a dict of its fields by number, each with the type that was on the wire, so that what is not known
here survives. Law: `encode(decode(x)[0]) == x` for what writers of Parquet write.

Source: Apache Thrift, "Thrift Compact protocol encoding".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["BINARY", "I32", "I64", "LIST", "STRUCT", "Struct", "decode", "encode", "listed", "walk"]

type Struct = dict[int, tuple[int, Any]]

_TRUE, _FALSE, _BYTE, _I16 = 1, 2, 3, 4
I32, I64 = 5, 6
_DOUBLE = 7
BINARY, LIST = 8, 9
_SET, _MAP = 10, 11
STRUCT = 12
# Structs inside of structs. Ours: Parquet's metadata needs five.
_DEPTH = 32


def decode(data: bytes, at: int = 0) -> tuple[Struct, int]:
    """Return the struct that begins at byte `at`, and where it ends.

    Raises:
        ValueError: It is none.
    """
    try:
        return _struct(data, at, 0)
    except (IndexError, OverflowError) as fault:
        raise ValueError("the struct ends too early") from fault


def walk(data: bytes, lists: Collection[int]) -> Iterator[tuple[int, Any, int, int]]:
    """Yield each field of the struct with which the bytes begin: number, value, where that begins and ends.

    Args:
        data: Bytes that begin with a struct.
        lists: Numbers of fields that are lists, whose elements are yielded one by one, so that a long one is
            never held.

    Raises:
        ValueError: It is none.
    """
    at = number = 0
    try:
        while data[at]:
            number, kind, at = _field(data, at, number)
            count, of = 1, kind
            if kind == LIST and number in lists:
                count, of, at = _list_header(data, at)
            for _ in range(count):
                start = at
                value, at = (kind == _TRUE, at) if kind in (_TRUE, _FALSE) else _value(data, at, of, 0)
                yield number, value, start, at
    except (IndexError, OverflowError) as fault:
        raise ValueError("the struct ends too early") from fault


def encode(struct: Struct) -> bytes:
    """Return a struct's bytes."""
    out = bytearray()
    _put_struct(out, struct)
    return bytes(out)


def listed(kind: int, values: list[Any]) -> tuple[int, tuple[int, list[Any]]]:
    """Return a field that is a list of one type."""
    return LIST, (kind, values)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if value >= 2**64:
            raise ValueError("a number of more than 64 bits")
        if byte < 0x80:
            return value, at
        shift += 7


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    if depth > _DEPTH:
        raise ValueError("structs too deep inside each other")
    fields: Struct = {}
    number = 0
    while data[at]:
        number, kind, at = _field(data, at, number)
        if kind in (_TRUE, _FALSE):
            fields[number] = (kind, kind == _TRUE)
        else:
            value, at = _value(data, at, kind, depth)
            fields[number] = (kind, value)
    return fields, at + 1


def _field(data: bytes, at: int, before: int) -> tuple[int, int, int]:
    """Return a field's number and type, and where its value begins."""
    header = data[at]
    if header >> 4:
        return before + (header >> 4), header & 0x0F, at + 1
    zigzag, at = _varint(data, at + 1)
    if zigzag & 1:
        raise ValueError("a field with a number below 0")
    return zigzag >> 1, header & 0x0F, at


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if kind in (_I16, I32, I64):
        zigzag, at = _varint(data, at)
        return (zigzag >> 1) ^ -(zigzag & 1), at
    if kind == BINARY:
        size, at = _varint(data, at)
        return _bytes(data, at, size)
    if kind == STRUCT:
        return _struct(data, at, depth + 1)
    if kind in (LIST, _SET):
        return _list(data, at, depth)
    if kind in (_BYTE, _TRUE, _FALSE):
        return data[at], at + 1
    if kind == _DOUBLE:
        return _bytes(data, at, 8)
    raise ValueError(f"a field of type {kind}, which Parquet does not use")


def _bytes(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError("the struct ends too early")
    return data[at : at + size], at + size


def _list(data: bytes, at: int, depth: int) -> tuple[tuple[int, list[Any]], int]:
    size, kind, at = _list_header(data, at)
    values = []
    for _ in range(size):
        value, at = _value(data, at, kind, depth)
        values.append(value)
    return (kind, values), at


def _list_header(data: bytes, at: int) -> tuple[int, int, int]:
    """Return how many elements a list has, their type, and where they begin."""
    header = data[at]
    at += 1
    size, kind = header >> 4, header & 0x0F
    if size == 0x0F:
        size, at = _varint(data, at)
    if size > len(data):
        raise ValueError("a list of more elements than there are bytes")
    return size, kind, at


def _put_varint(out: bytearray, value: int) -> None:
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _put_struct(out: bytearray, struct: Struct) -> None:
    before = 0
    for number, (kind, value) in sorted(struct.items()):
        step = number - before
        if 0 < step < 16:
            out.append(step << 4 | kind)
        else:
            out.append(kind)
            _put_varint(out, number << 1)
        if kind not in (_TRUE, _FALSE):
            _put_value(out, kind, value)
        before = number
    out.append(0)


def _put_value(out: bytearray, kind: int, value: Any) -> None:
    if kind in (_I16, I32, I64):
        _put_varint(out, (value << 1) ^ (value >> 63))
    elif kind == BINARY:
        _put_varint(out, len(value))
        out += value
    elif kind == STRUCT:
        _put_struct(out, value)
    elif kind in (LIST, _SET):
        of, values = value
        if len(values) < 0x0F:
            out.append(len(values) << 4 | of)
        else:
            out.append(0xF0 | of)
            _put_varint(out, len(values))
        for each in values:
            _put_value(out, of, each)
    elif kind == _DOUBLE:
        out += value
    else:
        out.append(value)
