"""What the digits model does around its graph, on pictures made here; no session."""

from __future__ import annotations

import io
import itertools
import struct
import subprocess
import sys
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageOps, PngImagePlugin
from PIL.ExifTags import Base
from PIL.Image import Transpose

from functions.digits.model import postprocess, preprocess
from hotplate import images
from hotplate.errors import ImageTooLargeError, UnreadableImageError, ValueRangeError
from hotplate.limits import MAX_IMAGE_PIXELS

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]

PNG = b"\x89PNG\r\n\x1a\n"


def seven(
    size: tuple[int, int] = (200, 240), *, ink: int = 0, paper: int = 255, pen: int = 20
) -> Image.Image:
    """A grey page with a seven, left of its middle; neither symmetric nor the same turned."""
    page = Image.new("L", size, paper)
    width, height = size
    corners = [(width * 0.2, height * 0.2), (width * 0.6, height * 0.2), (width * 0.3, height * 0.8)]
    ImageDraw.Draw(page).line(corners, fill=ink, width=pen, joint="curve")
    return page


def saved(page: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    page.save(file, kind, **options)
    return file.getvalue()


def read(*files: bytes) -> Array:
    return preprocess({"image_file": np.array(files, object)})["image"]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return PNG + header + b"".join(more) + chunk(b"IDAT", zlib.compress(b"\x00" * 64)) + chunk(b"IEND", b"")


def jpeg_claiming(width: int, height: int) -> bytes:
    real = saved(Image.new("L", (8, 8)), "JPEG")
    at = real.index(b"\xff\xc0") + 5
    return real[:at] + struct.pack(">HH", height, width) + real[at + 4 :]


class TestPixels:
    def test_pixels_in_range_are_fed_as_they_came(self) -> None:
        image = np.linspace(0, 1, 2 * 784, dtype=np.float32).reshape(2, 28, 28, 1)
        fed = preprocess({"image": image})
        assert list(fed) == ["image"]
        assert fed["image"] is image

    @pytest.mark.parametrize("value", ["-0.001", "1.001", "255.0", "inf", "-inf", "nan"])
    def test_pixel_outside_0_to_1_is_refused_by_its_place(self, value: str) -> None:
        image = np.zeros((3, 28, 28, 1), np.float32)
        image[2, 3, 27, 0] = float(value)
        with pytest.raises(ValueRangeError) as refused:
            preprocess({"image": image})
        expected = "0 (paper) to 1 (ink); divide grey levels by 255"
        assert str(refused.value) == f"image[2, 3, 27, 0]: expected {expected}, got {value}"

    def test_no_images_are_no_images(self) -> None:
        assert preprocess({"image": np.empty((0, 28, 28, 1), np.float32)})["image"].shape == (0, 28, 28, 1)
        assert read().shape == (0, 28, 28, 1)

    @pytest.mark.parametrize("sent", ["nothing", "pixels"])
    def test_pillow_is_not_imported_before_the_first_file(self, sent: str) -> None:
        code = "import sys, numpy as np; from functions.digits.model import preprocess\n"
        if sent == "pixels":
            code += "preprocess({'image': np.zeros((1, 28, 28, 1), np.float32)})\n"
        code += "print('PIL' in sys.modules)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


class TestForm:
    """The form in which MNIST was made: the longer side 20 pixels, the centre of mass at 14."""

    @pytest.mark.parametrize(
        "size",
        [(28, 28), (20, 300), (300, 20), (200, 200), (279, 281), (559, 561), (2400, 1800)],
        ids=lambda size: f"{size[0]}x{size[1]}",
    )
    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    def test_any_size_gives_a_digit_of_20_pixels_centred_by_mass(
        self, size: tuple[int, int], kind: str
    ) -> None:
        image = read(saved(seven(size, pen=max(2, min(size) // 10)), kind))
        assert (image.shape, image.dtype) == ((1, 28, 28, 1), np.float32)
        digit = image[0, :, :, 0]
        rows, columns = np.flatnonzero(digit.any(axis=1)), np.flatnonzero(digit.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
        mass = digit.sum()
        assert abs(digit.sum(axis=1) @ np.arange(28) / mass - 14) <= 0.51
        assert abs(digit.sum(axis=0) @ np.arange(28) / mass - 14) <= 0.51
        assert (digit.min(), digit.max()) == (0, 1)

    def test_place_on_the_page_does_not_matter(self) -> None:
        page = Image.new("L", (270, 279), 255)
        page.paste(seven(), (65, 37))
        np.testing.assert_array_equal(read(saved(page)), read(saved(seven())))

    def test_mass_at_one_end_keeps_the_digit_inside_the_field(self) -> None:
        page = Image.new("L", (300, 300), 255)
        ImageDraw.Draw(page).rectangle((50, 50, 249, 69), fill=0)
        ImageDraw.Draw(page).line((149, 50, 149, 249), fill=0, width=1)
        digit = read(saved(page))[0, :, :, 0]
        assert np.flatnonzero(digit.any(axis=1)).tolist() == list(range(8, 28))

    def test_digit_that_touches_the_edges_is_read_like_one_with_a_margin(self) -> None:
        page = seven(pen=12)
        tight = ImageOps.invert(page).getbbox()
        for whole in (page, ImageOps.invert(page)):
            np.testing.assert_allclose(read(saved(whole.crop(tight))), read(saved(page)), atol=0.01)

    def test_single_pixel_line_keeps_a_width(self) -> None:
        page = Image.new("L", (50, 400), 255)
        ImageDraw.Draw(page).line((25, 20, 25, 379), fill=0, width=1)
        digit = read(saved(page))[0, :, :, 0]
        assert np.flatnonzero(digit.any(axis=0)).tolist() == [14]
        assert digit[:, 14].tolist() == [0] * 4 + [1] * 20 + [0] * 4

    def test_specks_on_a_large_scan_are_not_ink(self) -> None:
        scan = np.array(seven((2400, 2400), pen=240))
        specks = np.random.default_rng(1).integers(0, 600, (400, 2)) * 4
        scan[specks[:, 0], specks[:, 1]] = 0
        clean = read(saved(seven((2400, 2400), pen=240)))
        np.testing.assert_allclose(read(saved(Image.fromarray(scan))), clean, atol=0.05)

    def test_grain_of_pale_paper_is_not_ink(self) -> None:
        page = np.array(seven((400, 480), ink=120, paper=210, pen=40))
        grainy = page + np.random.default_rng(1).normal(0, 20, page.shape)
        got = read(saved(Image.fromarray(np.clip(grainy, 0, 255).astype(np.uint8))))
        clean = read(saved(seven((400, 480), pen=40)))
        assert np.abs(got - clean).mean() < 0.05

    def test_stain_fainter_than_a_fifth_of_the_ink_is_paper(self) -> None:
        page = seven()
        ImageDraw.Draw(page).rectangle((150, 5, 195, 60), fill=255 - 50)
        np.testing.assert_array_equal(read(saved(page)), read(saved(seven())))

    def test_stroke_of_a_fifth_of_the_strongest_ink_is_part_of_the_digit(self) -> None:
        page = Image.new("L", (200, 200), 255)
        ImageDraw.Draw(page).rectangle((90, 20, 109, 99), fill=0)
        ImageDraw.Draw(page).rectangle((90, 100, 109, 179), fill=255 - 60)
        digit = read(saved(page))[0, :, :, 0]
        assert np.flatnonzero(digit.any(axis=1)).size == 20
        assert np.flatnonzero(digit.any(axis=0)).size == round(20 / 160 * 20)

    def test_hairline_on_a_large_page_does_not_fade(self) -> None:
        digit = read(saved(seven((1000, 1000), pen=3)))[0, :, :, 0]
        assert digit.max() == 1
        assert (digit > 0.3).sum() >= 20

    @pytest.mark.parametrize(
        ("ink", "paper"),
        [(255, 0), (200, 60), (60, 200), (10, 100), (250, 160)],
        ids=lambda level: str(level),
    )
    def test_polarity_and_contrast_do_not_matter(self, ink: int, paper: int) -> None:
        usual = read(saved(seven()))
        np.testing.assert_allclose(read(saved(seven(ink=ink, paper=paper))), usual, atol=0.01)


def transparent(page: Image.Image, hidden: int) -> Image.Image:
    """Black ink on nothing; the colour below full transparency is `hidden`."""
    cut = Image.new("RGBA", page.size, (hidden, hidden, hidden, 0))
    cut.paste((0, 0, 0, 255), mask=page.point(lambda level: 255 - level))
    return cut


def two_frames(page: Image.Image) -> bytes:
    return saved(page, save_all=True, append_images=[page.transpose(Transpose.ROTATE_180)])


class TestModes:
    @pytest.mark.parametrize(
        "make",
        [
            pytest.param(lambda page: saved(page.convert("1")), id="1"),
            pytest.param(lambda page: saved(page.convert("LA")), id="LA"),
            pytest.param(lambda page: saved(page.convert("P")), id="P"),
            pytest.param(lambda page: saved(page.convert("RGB")), id="RGB"),
            pytest.param(lambda page: saved(page.convert("RGBA")), id="RGBA"),
            pytest.param(
                lambda page: saved(Image.fromarray(np.asarray(page).astype(np.uint16) * 257)), id="I;16"
            ),
            pytest.param(lambda page: saved(transparent(page, 0)), id="black on nothing, black below"),
            pytest.param(lambda page: saved(transparent(page, 255)), id="black on nothing, white below"),
            pytest.param(
                lambda page: saved(page.convert("1").convert("L"), transparency=255), id="L with tRNS"
            ),
            pytest.param(lambda page: saved(page.convert("P"), transparency=255), id="P with tRNS"),
            pytest.param(lambda page: saved(transparent(page, 0).convert("LA")), id="LA, black below"),
            pytest.param(
                lambda page: saved(page.point(lambda level: 0 if level else 10), transparency=0),
                id="L with tRNS, black below",
            ),
            pytest.param(two_frames, id="first of two frames"),
            pytest.param(lambda page: saved(page, "JPEG", quality=95), id="JPEG L"),
            pytest.param(lambda page: saved(page.convert("RGB"), "JPEG", quality=95), id="JPEG RGB"),
            pytest.param(
                lambda page: saved(page.convert("RGB"), "JPEG", quality=95, progressive=True),
                id="progressive",
            ),
            pytest.param(lambda page: saved(page.convert("CMYK"), "JPEG", quality=95), id="JPEG CMYK"),
        ],
    )
    def test_every_mode_gives_what_grey_gives(self, make: Callable[[Image.Image], bytes]) -> None:
        page = seven().point(lambda level: 255 if level > 127 else 0)
        np.testing.assert_allclose(read(make(page)), read(saved(page)), atol=0.05)

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    @pytest.mark.parametrize(
        ("orientation", "as_stored"),
        [
            (1, None),
            (2, Transpose.FLIP_LEFT_RIGHT),
            (3, Transpose.ROTATE_180),
            (4, Transpose.FLIP_TOP_BOTTOM),
            (5, Transpose.TRANSPOSE),
            (6, Transpose.ROTATE_90),
            (7, Transpose.TRANSVERSE),
            (8, Transpose.ROTATE_270),
            (99, None),
        ],
    )
    def test_orientation_in_exif_is_honoured(
        self, kind: str, orientation: int, as_stored: Transpose | None
    ) -> None:
        exif = Image.Exif()
        exif[Base.Orientation] = orientation
        page = seven()
        stored = page if as_stored is None else page.transpose(as_stored)
        np.testing.assert_allclose(read(saved(stored, kind, exif=exif)), read(saved(page)), atol=0.1)

    def test_odd_exif_block_does_not_refuse_a_whole_picture(self) -> None:
        exif = Image.Exif()
        exif[Base.Orientation] = 3
        exif[Base.Make] = "camera"
        whole = saved(seven().transpose(Transpose.ROTATE_180), "JPEG", exif=exif)
        # The length of the maker's name, which is not in the file any more.
        odd = whole.replace(struct.pack(">HHI", Base.Make, 2, 7), struct.pack(">HHI", Base.Make, 2, 2**20))
        with pytest.warns(UserWarning, match="Skipping tag 271"):
            image = read(odd)
        np.testing.assert_array_equal(image, read(whole))


class TestRefused:
    @pytest.mark.parametrize(
        ("data", "received"),
        [
            pytest.param(b"", "0 bytes", id="zero bytes"),
            pytest.param(b"seven", "5 bytes that begin with b'seven'", id="text"),
            pytest.param(saved(seven(), "GIF"), "bytes that begin with b'GIF87a", id="GIF"),
            pytest.param(saved(seven(), "BMP"), "bytes that begin with b'BM", id="BMP"),
            pytest.param(saved(seven(), "TIFF"), "bytes that begin with b'II*", id="TIFF"),
            pytest.param(PNG, "a broken one", id="PNG without a header"),
            pytest.param(b"\xff\xd8\xff", "a broken one", id="JPEG without a header"),
            pytest.param(png_claiming(0, 5), "a broken one", id="no width"),
            pytest.param(png_claiming(500, 500), "a broken one", id="PNG with too few pixels"),
            pytest.param(
                png_claiming(8, 8, chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**24)))),
                "a broken one",
                id="16 MiB of text in 16 KiB",
            ),
        ],
    )
    def test_what_is_no_readable_image_is_refused(self, data: bytes, received: str) -> None:
        with pytest.raises(UnreadableImageError) as refused:
            read(data)
        assert refused.value.expected == "a PNG or JPEG file"
        assert received in refused.value.received

    @pytest.mark.parametrize("kind", ["PNG", "JPEG"])
    @pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9])
    def test_truncated_image_is_refused(self, kind: str, share: float) -> None:
        whole = saved(seven(), kind)
        with pytest.raises(UnreadableImageError):
            read(whole[: int(len(whole) * share)])

    @pytest.mark.parametrize(
        "data", [png_claiming(60_000, 60_000), jpeg_claiming(60_000, 60_000)], ids=["PNG", "JPEG"]
    )
    def test_decompression_bomb_is_refused_by_its_header(self, data: bytes) -> None:
        assert len(data) < 1000
        with pytest.raises(UnreadableImageError) as refused:
            read(data)
        assert refused.value.expected == f"at most {MAX_IMAGE_PIXELS} pixels in a request"
        assert refused.value.received == "60000 x 60000, which makes 3600000000"

    def test_pixel_limit_is_exact(self) -> None:
        with pytest.raises(UnreadableImageError) as refused:
            read(png_claiming(MAX_IMAGE_PIXELS + 1, 1))
        assert refused.value.expected == f"at most {MAX_IMAGE_PIXELS} pixels in a request"
        with pytest.raises(UnreadableImageError) as refused:
            read(png_claiming(MAX_IMAGE_PIXELS, 1))
        assert refused.value.expected == "a PNG or JPEG file"

    @pytest.mark.parametrize(
        "page",
        [
            Image.new("L", (1, 1), 0),
            Image.new("L", (300, 300), 255),
            Image.new("RGB", (300, 300), 0),
            Image.new("RGBA", (300, 300)),
            seven(ink=224),
        ],
        ids=["one pixel", "white", "black", "transparent", "too faint"],
    )
    def test_page_without_ink_is_refused(self, page: Image.Image) -> None:
        with pytest.raises(UnreadableImageError) as refused:
            read(saved(page))
        assert str(refused.value) == (
            "image_file[0]: expected one digit, 32 of 255 grey levels or more off its background, "
            "got an empty page"
        )

    @pytest.mark.parametrize("at", [0, 1, 2])
    def test_error_names_the_element_at_fault(self, at: int) -> None:
        files = [saved(seven())] * 3
        files[at] = b"?"
        with pytest.raises(UnreadableImageError, match=rf"^image_file\[{at}\]: "):
            read(*files)

    def test_settings_of_pillow_are_left_alone(self) -> None:
        before = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        read(saved(seven()), saved(seven(), "JPEG"))
        after = Image.MAX_IMAGE_PIXELS, PngImagePlugin.MAX_TEXT_CHUNK
        assert after == before


EXIF = Image.Exif()
EXIF[Base.Orientation] = 6
EXIF[Base.Make] = "camera"
WHOLE = tuple(
    saved(seven((60, 70), pen=6).convert(mode), kind, exif=EXIF)
    for mode, kind in itertools.chain(
        itertools.product(["L", "P", "RGBA", "1"], ["PNG"]), itertools.product(["L", "RGB", "CMYK"], ["JPEG"])
    )
)


# Pillow says which of a camera's notes it skips; the picture is whole.
@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=200, deadline=None)
@given(
    whole=st.sampled_from(WHOLE),
    cuts=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 3), st.binary(max_size=4)), max_size=3),
)
def test_damaged_image_is_read_or_refused_and_nothing_else(
    whole: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    data = whole
    for share, length, put in cuts:
        at = int(share * len(data))
        data = data[:at] + put + data[at + length :]
    try:
        image = read(data)
    except UnreadableImageError:
        return
    assert image.shape == (1, 28, 28, 1)
    assert 0 <= image.min() <= image.max() == 1


def test_files_of_one_request_are_read_each_by_itself() -> None:
    files = saved(seven()), saved(seven((300, 100), ink=255, paper=0), "JPEG"), saved(seven((90, 90)))
    np.testing.assert_array_equal(read(*files), np.concatenate([read(file) for file in files]))


def test_digit_is_the_most_probable_and_the_lower_of_equals() -> None:
    probabilities = np.zeros((3, 10), np.float32)
    probabilities[0, 9] = probabilities[1, 4] = 1
    probabilities[2, [3, 8]] = 0.5
    outputs = postprocess({"probabilities": probabilities})
    assert list(outputs) == ["probabilities", "digit"]
    assert outputs["probabilities"] is probabilities
    assert outputs["digit"].dtype == np.int64
    assert outputs["digit"].tolist() == [9, 4, 3]


def test_pixels_of_all_files_together_are_bounded_before_any_is_decoded() -> None:
    # Two of them are over the bound, one is not; their pixels are not even there.
    with pytest.raises(ImageTooLargeError, match="pixels in a request") as caught:
        read(png_claiming(3500, 3500), png_claiming(3500, 3500))
    assert "image_file[1]" in str(caught.value)


def test_more_pixels_are_opened_where_that_is_allowed() -> None:
    images.bound_pixels(2 * MAX_IMAGE_PIXELS)
    try:
        assert len(images.open_all(np.array([png_claiming(3500, 3500)] * 2, object), "x")) == 2
        with pytest.raises(ImageTooLargeError, match=f"at most {2 * MAX_IMAGE_PIXELS}"):
            images.open_all(np.array([png_claiming(3500, 3500)] * 4, object), "x")
    finally:
        images.bound_pixels(MAX_IMAGE_PIXELS)


def test_palette_picture_without_a_palette_is_broken() -> None:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 3, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" * 41 * 40))
    with pytest.raises(UnreadableImageError):
        read(PNG + header + pixels + chunk(b"IEND", b""))
