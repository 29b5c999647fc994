"""Compiled packages without what only a debugger reads.

Some wheels carry debug information that is many times their code (spaCy's: 100 of 120 MB), and Lambda
counts it. It lies behind everything that is ever loaded, so the file is cut there and its section table,
which the dynamic linker does not read, is left away. Done here, because `strip` is not on every machine and
knows one processor only.

Files whose last loaded byte lies behind the debug information, as some that were patched, stay as they are.

Source: System V ABI, "Object Files" and "Program Loading"; ELF-64 Object File Format.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["remove_debug_information"]

# Identification of a 64-bit little-endian file; the header's fields from e_phoff on.
_MAGIC = b"\x7fELF\x02\x01"
_HEADER = struct.Struct("<32xQQ6xHHHHH")
_SECTION = struct.Struct("<I20xQQ24x")
_SEGMENT = struct.Struct("<8xQ16xQ16x")


def remove_debug_information(file: Path) -> bool:
    """Cut a shared object behind what is loaded, if it has debug information; return whether it was cut."""
    body = file.read_bytes()
    if not body.startswith(_MAGIC) or len(body) < _HEADER.size + 2:
        return False
    segments, sections, segment_bytes, count, section_bytes, section_count, names = _HEADER.unpack_from(body)
    if segment_bytes != _SEGMENT.size or section_bytes != _SECTION.size:
        return False
    if sections + section_count * section_bytes > len(body):
        return False
    table = [_SECTION.unpack_from(body, sections + index * section_bytes) for index in range(section_count)]
    if names >= section_count or not any(
        _name(body, table, names, each[0]) == b".debug_info" for each in table
    ):
        return False
    loaded = (_SEGMENT.unpack_from(body, segments + index * segment_bytes) for index in range(count))
    end = max((start + size for start, size in loaded), default=0)
    end = max(end, segments + count * segment_bytes)
    if end >= len(body):
        return False
    # e_shoff (8 bytes at 40) and e_shentsize, e_shnum, e_shstrndx (2 bytes each from 58) are all zero now.
    file.write_bytes(body[:40] + bytes(8) + body[48:58] + bytes(6) + body[64:end])
    return True


def _name(body: bytes, table: list[tuple[int, int, int]], names: int, at: int) -> bytes:
    start = table[names][1] + at
    return body[start : body.find(b"\0", start)]
