"""What sift believes of a file before it is decoded, with Pillow as the oracle."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from functions.sift.picture import grey_pictures, size_of
from hotplate.errors import UnreadableImageError


def file(kind: str, size: tuple[int, int] = (37, 21), **options: Any) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, "white").save(out, kind, **options)
    return out.getvalue()


def exif() -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = 6
    return tags


JPEG = file("JPEG")


@pytest.mark.parametrize(
    "data",
    [
        JPEG,
        file("JPEG", progressive=True),
        file("JPEG", exif=exif().tobytes(), comment=b"\xff\xc0 " * 20),
        JPEG[:2] + b"\xff\xff\xff" + JPEG[2:],
        JPEG[:2]
        + b"\xff\xe1"
        + (len(file("JPEG", (8, 8))) + 2).to_bytes(2)
        + file("JPEG", (8, 8))
        + JPEG[2:],
        file("PNG"),
        file("PNG", compress_level=0),
    ],
    ids=["jpeg", "progressive", "comment like a frame", "fill bytes", "thumbnail", "png", "stored png"],
)
def test_size_is_the_one_in_the_header(data: bytes) -> None:
    assert size_of(data, "x") == (37, 21)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "0 bytes"),
        (b"GIF89a" + b"\0" * 99, "6 bytes|begin with b'GIF89a"),
        (JPEG[:60], "without a size"),
        (JPEG[:3], "without a size"),
        (b"\xff\xd8\xff\xda" + JPEG[4:], "without a size"),
        (b"\xff\xd8" + b"\xff" * 40, "without a size"),
        (file("PNG")[:20], "without a size"),
        (file("PNG").replace(b"IHDR", b"IHDX"), "without a size"),
        (file("PNG")[:16] + b"\0" * 8 + file("PNG")[24:], "without a size"),
    ],
)
def test_file_without_a_size_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableImageError, match=words):
        size_of(data, "image_file[0]")


def test_sizes_are_added_up_before_anything_is_decoded() -> None:
    large = file("PNG", (4000, 4000))
    with pytest.raises(UnreadableImageError, match=r"^b: .* got 4000 x 4000, which makes 32000000"):
        grey_pictures({"a": large, "b": large})


@given(st.binary(max_size=300))
def test_any_bytes_have_a_size_or_are_refused(tail: bytes) -> None:
    for head in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        try:
            width, height = size_of(head + tail, "x")
        except UnreadableImageError:
            continue
        assert width > 0
        assert height > 0
