"""Image files to grey pixels: believed in nothing, measured before a pixel is decoded.

Rules kept here:

1. A file's kind is told by its first bytes: PNG or JPEG, nothing else of what OpenCV could read.
2. Its size is read from its header by the rules that the decoders follow, for all files of a request
   before any is decoded. A decoder that then finds another size is not believed.
3. Every way in which a file can be wrong is an `UnreadableImageError` that names the element.

Source: W3C, "PNG", 11.2.2 (IHDR); ITU-T T.81, B.1 (markers) and B.2.2 (frame header); what lies between
JPEG segments is skipped as libjpeg's `next_marker` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hotplate.errors import ImageTooLargeError, UnreadableImageError
from hotplate.limits import MAX_IMAGE_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["grey_pictures", "size_of"]

type Array = np.ndarray[Any, Any]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_EXPECTED = "a PNG or JPEG file"

# JPEG markers: start of frame (with height and width), without a segment of their own, and the ends.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE = frozenset({0x01, *range(0xD0, 0xD9)})
_ENDS = frozenset({0xD9, 0xDA})


def grey_pictures(files: Mapping[str, bytes]) -> dict[str, Array]:
    """Return the pictures upright as uint8 [H, W], by the names of their elements.

    Raises:
        UnreadableImageError: One is no PNG or JPEG, or is broken.
        ImageTooLargeError: They are too large together.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for place, data in files.items():
        sizes[place] = size_of(data, place)
        total = sum(width * height for width, height in sizes.values())
        if total > MAX_IMAGE_PIXELS:
            width, height = sizes[place]
            raise ImageTooLargeError(
                place,
                expected=f"at most {MAX_IMAGE_PIXELS} pixels in a request",
                received=f"{width} x {height}, which makes {total}",
            )
    return {place: _decoded(data, sizes[place], place) for place, data in files.items()}


def size_of(data: bytes, place: str) -> tuple[int, int]:
    """Return (width, height) in pixels as the header says.

    Raises:
        UnreadableImageError: It is no header of a PNG or JPEG file with pixels.
    """
    if data.startswith(_PNG):
        size = _png_size(data)
    elif data.startswith(_JPEG):
        size = _jpeg_size(data)
    else:
        received = f"{len(data)} bytes that begin with {data[:8]!r}" if data else "0 bytes"
        raise UnreadableImageError(place, expected=_EXPECTED, received=received)
    if size is None or 0 in size:
        raise UnreadableImageError(place, expected=_EXPECTED, received="one without a size in its header")
    return size


def _png_size(data: bytes) -> tuple[int, int] | None:
    if len(data) < 24 or data[8:16] != b"\x00\x00\x00\rIHDR":
        return None
    return int.from_bytes(data[16:20]), int.from_bytes(data[20:24])


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while True:
        at = data.find(b"\xff", at)
        while at >= 0 and data[at : at + 1] == b"\xff":
            at += 1
        if at < 0 or at >= len(data):
            return None
        marker, at = data[at], at + 1
        if marker == 0 or marker in _BARE:
            continue
        segment = data[at : at + 7]
        if marker in _ENDS or len(segment) < 7:
            return None
        if marker in _FRAMES:
            return int.from_bytes(segment[5:7]), int.from_bytes(segment[3:5])
        at += max(2, int.from_bytes(segment[:2]))


def _decoded(data: bytes, size: tuple[int, int], place: str) -> Array:
    import cv2  # here, so that headers are read, and tested, without it

    try:
        grey = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    except cv2.error as fault:
        raise UnreadableImageError(
            place, expected=_EXPECTED, received=f"a broken one: {fault.err}"
        ) from fault
    # A camera's orientation may have swapped the sides.
    if grey is None or sorted(grey.shape) != sorted(size):
        raise UnreadableImageError(place, expected=_EXPECTED, received="a broken one")
    return np.asarray(grey)
