"""Pictures out of files that nobody vouches for: opened, bounded, and brought upright on white.

Rules kept here:

1. Pillow is imported when the first file comes, so callers who send pixels do not pay for it at a cold
   start. It is no part of the layers: a function that uses this module has it in its `requirements.txt`.
2. A file is believed in nothing: its kind is read from its first bytes, its size from its header
   before a pixel is decoded, and every way in which it can be wrong is an `UnreadableImageError`
   that names the element.
3. Pillow's global settings are neither used nor changed.

Of a file with several frames the first is read.

Axes: N files.
"""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from hotplate.errors import ImageTooLargeError, UnreadableImageError
from hotplate.limits import MAX_IMAGE_PIXELS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from PIL.Image import Image
    from PIL.ImageFile import ImageFile

__all__ = ["bound_pixels", "decode", "open_all", "upright"]

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
_EXPECTED = "a PNG or JPEG file"

# What Pillow raises for files that are broken, cut off, or hold more text than it accepts.
_PILLOW_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


# Pixels of one request that this process opens.
_most = [MAX_IMAGE_PIXELS]


def bound_pixels(pixels: int) -> None:
    """Open as many pixels for one request, at most, from now on.

    Args:
        pixels: Of all its images together. Without this call as many as a function's memory holds.
    """
    _most[0] = pixels


def open_all(files: np.ndarray[Any, Any], name: str) -> list[ImageFile]:
    """Return the files with their headers read and their pixels not yet decoded.

    Every header is read before any pixel: a small file can stand for a large picture, and a request
    for many.

    Args:
        files: object [N] of bytes.
        name: Of the input, for errors.

    Raises:
        UnreadableImageError: One is no PNG or JPEG.
        ImageTooLargeError: Together they hold more than `MAX_IMAGE_PIXELS`, or than was `allow`ed.
    """
    opened: list[ImageFile] = []
    total = 0
    for index, data in enumerate(files):
        place = f"{name}[{index}]"
        with _readable(place):
            opened.append(_opened(data))
        total += opened[-1].width * opened[-1].height
        if total > _most[0]:
            raise ImageTooLargeError(
                place,
                expected=f"at most {_most[0]} pixels in a request",
                received=f"{opened[-1].width} x {opened[-1].height}, which makes {total}",
            )
    return opened


def decode(image: ImageFile, mode: Literal["L", "RGB"], side: int, place: str) -> Image:
    """Return the first frame, on white where it is transparent, not turned yet (`upright`).

    Args:
        image: As `open_all` opened it.
        mode: Grey or colour, 8 bits a channel.
        side: A JPEG may be decoded to a smaller picture, whose sides are both at least this, in pixels.
        place: The element in words, for errors.

    Raises:
        UnreadableImageError: The file is broken.
    """
    with _readable(place):
        # A JPEG decoder can leave out colour and detail, which saves most of the time on a photograph.
        image.draft(mode, (side, side))
        image.load()
        return _on_white(image, mode)


def upright(page: Image, image: ImageFile) -> Image:
    """Return `page` turned as the EXIF block of the file that it came from says."""
    # Not ImageOps.exif_transpose: it also writes the EXIF block anew, which fails on odd blocks
    # that a camera wrote and every viewer shows.
    from PIL.ExifTags import Base
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    turn = turns.get(image.getexif().get(Base.Orientation, 1))
    return page if turn is None else page.transpose(turn)


def _on_white(image: ImageFile, mode: str) -> Image:
    from PIL import Image

    if image.mode == "I;16":  # Pillow 11 clips in its own conversion
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert(mode)
    if not image.has_transparency_data:
        return image.convert(mode)
    seen = image.convert("RGBA")
    page = Image.new(mode, image.size, "white")
    page.paste(seen.convert(mode), None, seen)
    return page


@contextmanager
def _readable(place: str) -> Iterator[None]:
    try:
        yield
    except _NotAnImageError as fault:
        raise UnreadableImageError(place, expected=_EXPECTED, received=str(fault)) from fault
    except _PILLOW_ERRORS as fault:
        received = f"a broken one: {fault}" if str(fault) else "a broken one"
        raise UnreadableImageError(place, expected=_EXPECTED, received=received) from fault


class _NotAnImageError(Exception):
    """The first bytes are those of neither kind; says which they are."""


def _opened(data: bytes) -> ImageFile:
    """Return the file with its header read.

    The plugins are called directly because `PIL.Image.open` compares the size with a global limit
    and warns or raises by it; the limit here is our own, and lower.
    """
    if data.startswith(_PNG):
        from PIL.PngImagePlugin import PngImageFile

        return PngImageFile(io.BytesIO(data))
    if data.startswith(_JPEG):
        from PIL.JpegImagePlugin import JpegImageFile

        return JpegImageFile(io.BytesIO(data))
    raise _NotAnImageError(f"{len(data)} bytes that begin with {data[:8]!r}" if data else "0 bytes")
