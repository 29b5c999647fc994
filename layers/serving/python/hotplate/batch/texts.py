"""A text file's bytes, a block at a time: decompressed, bounded, in UTF-8.

Rules kept here:

1. What a compressed file may become is bounded while it is read, not afterwards.
2. UTF-16 and UTF-32 are refused by their marks, or by the zero bytes that no text in UTF-8 has.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hotplate.errors import UnreadableFileError

if TYPE_CHECKING:
    from hotplate.batch.layout import Compression, Source

__all__ = ["blocks", "compression_of", "head", "mark_length"]

# Bytes that are read, or decompressed, at once. Ours.
BLOCK_BYTES = 4 * 2**20

# A file that becomes more than so many times its own length is refused, once it is more than so many bytes.
# Ours: repeated rows of numbers reach 60, a file of zeros 1,000.
MAX_RATIO = 200
RATIO_FROM_BYTES = 256 * 2**20

# A zstd frame may ask for a window of 2 GB; ours is 128 MiB, which is what `zstd --ultra` without `--long`
# asks for, as a power of two.
MAX_WINDOW_LOG = 27

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_UTF8 = b"\xef\xbb\xbf"
_OTHERS = {
    b"\xff\xfe\x00\x00": "UTF-32",
    b"\x00\x00\xfe\xff": "UTF-32",
    b"\xff\xfe": "UTF-16",
    b"\xfe\xff": "UTF-16",
}


def compression_of(first: bytes) -> Compression:
    """Return how a file that begins so is compressed."""
    if first.startswith(_GZIP):
        return "gzip"
    return "zstd" if first.startswith(_ZSTD) else "none"


def blocks(source: Source, compression: Compression, start: int = 0) -> Iterator[bytes]:
    """Yield the bytes from `start` on, decompressed; none is empty.

    Raises:
        UnreadableFileError: It ends too early, is not so compressed, or becomes too much.
        StoreError: It could not be had.
    """
    pieces = _pieces(source)
    if compression != "none":
        unpacked = _unzip(pieces) if compression == "gzip" else _unzstd(pieces)
        pieces = _bounded(unpacked, source.size)
    for piece in pieces:
        part = piece[start:] if start else piece
        start = max(0, start - len(piece))
        if part:
            yield bytes(part)


def head(source: Source, compression: Compression, most: int) -> bytes:
    """Return the first `most` bytes, decompressed; less if there are no more."""
    if compression == "none":
        return bytes(source.read(0, min(most, source.size)))
    found = b""
    for block in blocks(source, compression):
        found += block
        if len(found) >= most:
            break
    return found[:most]


def mark_length(first: bytes) -> int:
    """Return how long the byte order mark is with which a text begins.

    Raises:
        UnreadableFileError: It is not in UTF-8.
    """
    for mark, name in _OTHERS.items():
        if first.startswith(mark):
            raise UnreadableFileError(f"text in UTF-8 was expected, the file begins as {name} does", byte=0)
    if (zero := first.find(b"\x00")) >= 0:
        raise UnreadableFileError("text in UTF-8 was expected, got a zero byte", byte=zero)
    return len(_UTF8) if first.startswith(_UTF8) else 0


def _pieces(source: Source) -> Iterator[bytes | memoryview]:
    for start in range(0, source.size, BLOCK_BYTES):
        yield source.read(start, min(start + BLOCK_BYTES, source.size))


def _unzip(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what the members of a gzip file hold, one after the other."""
    member, is_begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
    try:
        for piece in pieces:
            rest = bytes(piece)
            while rest:
                if member.eof:
                    rest = rest.lstrip(b"\x00")  # what tape and block devices put behind
                    if rest:
                        member, is_begun = zlib.decompressobj(zlib.MAX_WBITS | 16), False
                    continue
                is_begun = True
                yield member.decompress(rest, BLOCK_BYTES)
                rest = member.unconsumed_tail or member.unused_data
        while is_begun and not member.eof and (more := member.decompress(b"", BLOCK_BYTES)):
            yield more
    except zlib.error as fault:
        raise UnreadableFileError(f"broken gzip: {fault}") from fault
    if is_begun and not member.eof:
        raise UnreadableFileError("broken gzip: the file ends before its data does")


def _unzstd(pieces: Iterator[bytes | memoryview]) -> Iterator[bytes]:
    """Yield what the frames of a zstd file hold, one after the other."""
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: MAX_WINDOW_LOG}
    frame, is_begun = zstd.ZstdDecompressor(options=options), False
    try:
        for piece in pieces:
            rest = bytes(piece)
            while rest or not (frame.needs_input or frame.eof):
                if frame.eof:
                    frame, is_begun = zstd.ZstdDecompressor(options=options), False
                    continue
                is_begun = True
                yield frame.decompress(rest, BLOCK_BYTES)
                rest = frame.unused_data if frame.eof else b""
    except zstd.ZstdError as fault:
        raise UnreadableFileError(f"broken zstd: {fault}") from fault
    if is_begun and not frame.eof:
        raise UnreadableFileError("broken zstd: the file ends before its data does")


def _zstd() -> Any:
    """Return the module: the standard library's from Python 3.14 on, before that its backport."""
    try:
        return import_module("compression.zstd")
    except ImportError:
        return import_module("backports.zstd")


def _bounded(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    total = 0
    for piece in pieces:
        total += len(piece)
        if total > max(RATIO_FROM_BYTES, MAX_RATIO * size):
            raise UnreadableFileError(
                f"{size:,} compressed bytes become more than {total:,}, over {MAX_RATIO} times as much"
            )
        yield piece
