"""Every layout of a TIFF gives the pixels that were written, or a reason. No strip or tile is missing in silence."""

from __future__ import annotations

import struct
from itertools import product
from typing import Any, Literal

import numpy as np
import pytest

from crackscope.errors import ImageError
from crackscope.files.images import ImageForm, decode_image, image_form, image_size
from shared.tiffs import Entries, ifd, tiff

HEIGHT, WIDTH = 37, 45  # neither fills whole tiles of 16, nor whole strips of 8 rows
PIECES: dict[str, dict[str, Any]] = {"strip": {}, "strips": {"rows_per_strip": 8}, "tiles": {"tile_px": 16}}
ALPHA_IN = {2, 4}


def samples_of(n: int, n_bits: int, height: int = HEIGHT) -> np.ndarray:
    """Random levels; an alpha channel is wholly transparent or wholly opaque at each pixel."""
    rng = np.random.default_rng(n * n_bits)
    samples = rng.integers(0, 2**n_bits, (height, WIDTH, n)).astype(np.uint8 if n_bits == 8 else np.uint16)
    if n in ALPHA_IN:
        samples[:, :, -1] = np.where(rng.random((height, WIDTH)) < 0.5, 2**n_bits - 1, 0)
    return samples


def shown(samples: np.ndarray, n_bits: int) -> np.ndarray:
    """What must be read: the upper eight bits, on white where the alpha channel is zero."""
    levels = (samples >> (n_bits - 8)).astype(np.uint8)
    colours = levels[:, :, :3] if samples.shape[2] >= 3 else np.repeat(levels[:, :, :1], 3, axis=2)
    return np.where(levels[:, :, -1:] > 0, colours, 255) if samples.shape[2] in ALPHA_IN else colours


@pytest.mark.parametrize(
    ("planar", "n_bits", "n", "compression"),
    [*product((False, True), (8, 16), (1, 2, 3, 4), ("none", "lzw", "deflate", "packbits"))],
)
def test_a_layout_gives_the_pixels_that_were_written(planar: bool, n_bits: int, n: int, compression: str) -> None:
    samples = samples_of(n, n_bits)
    for pieces, order, predictor in product(PIECES, "<>", (1, 2) if compression in ("lzw", "deflate") else (1,)):
        content = tiff(
            *(samples,), **PIECES[pieces], planar=planar, compression=compression, order=order, predictor=predictor
        )
        told = f"{pieces} {order} predictor {predictor}"
        if not planar and n == 2 and n_bits == 16:
            with pytest.raises(ImageError, match=r"^a TIFF with samples of 16\+16 bits .* save it as JPEG, or as TIFF"):
                decode_image(content)
        else:
            np.testing.assert_array_equal(decode_image(content).pixels, shown(samples, n_bits), err_msg=told)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("n_bits", [8, 16])
def test_colours_that_alpha_was_multiplied_into_are_divided_by_it(planar: bool, n_bits: int) -> None:
    full = 2**n_bits - 1
    samples = np.zeros((HEIGHT, WIDTH, 4), np.uint8 if n_bits == 8 else np.uint16)
    samples[:] = (full // 4, full // 2, 0, full // 2)  # half transparent: 128, 255, 0 on white
    found = decode_image(tiff(samples, planar=planar, extra=1)).pixels
    assert np.abs(found[0, 0].astype(int) - (191, 255, 128)).max() <= 2


@pytest.mark.parametrize("n_bits", [8, 16])
@pytest.mark.parametrize("compression", ["none", "lzw"])
def test_channels_that_are_no_alpha_are_left_out(n_bits: int, compression: str) -> None:
    samples = samples_of(3, n_bits)
    more = np.dstack([samples, samples_of(1, n_bits)])
    content = tiff(more, planar=True, compression=compression, extra=0)
    np.testing.assert_array_equal(decode_image(content).pixels, shown(samples, n_bits))


@pytest.mark.parametrize("planar", [False, True])
def test_white_may_be_zero(planar: bool) -> None:
    for n_bits in (8, 16):
        samples = samples_of(1, n_bits)
        content = tiff(samples, planar=planar, tags={262: 0})
        np.testing.assert_array_equal(decode_image(content).pixels, 255 - shown(samples, n_bits))
    samples = samples_of(2, 8)
    inverted = np.dstack([255 - samples[:, :, 0], samples[:, :, 1]])
    content = tiff(samples, planar=True, compression="lzw", tags={262: 0})
    np.testing.assert_array_equal(decode_image(content).pixels, shown(inverted, 8))


def test_cmyk_that_lies_apart_is_read_as_cmyk_that_does_not() -> None:
    samples = samples_of(3, 8)
    cmyk = np.dstack([samples, samples_of(1, 8)])
    together = decode_image(_without_alpha(cmyk, planar=False)).pixels
    assert together.std() > 20
    for compression in ("none", "deflate"):
        apart = decode_image(_without_alpha(cmyk, planar=True, compression=compression)).pixels
        np.testing.assert_array_equal(apart, together)


def _without_alpha(cmyk: np.ndarray, **choices: Any) -> bytes:
    return tiff(cmyk, tags={262: 5, 338: []}, **choices)


@pytest.mark.parametrize("n_bits", [8, 16])
def test_what_lies_apart_and_is_no_usual_colour_is_refused(n_bits: int) -> None:
    with pytest.raises(ImageError, match="channels lie apart"):
        decode_image(tiff(samples_of(3, n_bits), planar=True, tags={262: 8}))


def test_the_form_of_what_lies_apart_is_that_of_the_whole() -> None:
    for n, n_bits, mode in ((3, 8, "RGB"), (3, 16, "RGB;16"), (2, 8, "LA"), (4, 16, "RGBA;16")):
        content = tiff(samples_of(n, n_bits), planar=True)
        assert image_form(content) == ImageForm(HEIGHT, WIDTH, mode)
        assert image_size(content) == (HEIGHT, WIDTH)


def test_a_big_tiff_is_read_alike_and_refused_where_pillow_knows_no_big_endian_one() -> None:
    samples = samples_of(3, 16)
    np.testing.assert_array_equal(decode_image(_as_big(samples, "<")).pixels, shown(samples, 16))
    with pytest.raises(ImageError, match="not whole"):
        decode_image(_as_big(samples, "<", height=HEIGHT + 1))
    with pytest.raises(ImageError, match="save it as JPEG"):
        decode_image(_as_big(samples, ">"))


def _as_big(samples: np.ndarray, order: Literal["<", ">"], height: int = HEIGHT) -> bytes:
    """A BigTIFF with the channels apart, each in one strip."""
    planes = [samples[:, :, k].astype(samples.dtype.newbyteorder(order)).tobytes() for k in range(3)]
    data = b"".join(planes)
    start, n_bytes = 16, len(planes[0])
    first = start + len(data) + -len(data) % 8
    values = {256: [WIDTH], 257: [height], 258: [16] * 3, 259: [1], 262: [2], 277: [3], 278: [height], 284: [2]}
    values |= {273: [start + k * n_bytes for k in range(3)], 279: [n_bytes] * 3}
    behind = first + 8 + 20 * len(values) + 8
    rows, further = b"", b""
    for tag, numbers in sorted(values.items()):
        packed = struct.pack(f"{order}{len(numbers)}Q", *numbers)
        rows += struct.pack(f"{order}HHQ", tag, 16, len(numbers))
        rows += packed if len(numbers) == 1 else struct.pack(f"{order}Q", behind + len(further))
        further += packed if len(numbers) > 1 else b""
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HHHQ", 43, 8, 0, first)
    return head + data.ljust(first - start, b"\0") + struct.pack(f"{order}Q", len(values)) + rows + bytes(8) + further


# Half a photo


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("compression", ["none", "lzw", "deflate", "packbits"])
@pytest.mark.parametrize(
    ("pieces", "tags", "said"),
    [
        ({}, {257: 2 * HEIGHT}, "need"),
        ({"rows_per_strip": 8}, {257: 2 * HEIGHT}, "need"),
        ({"rows_per_strip": 8}, {257: HEIGHT // 2}, "rows would be left out"),
        ({"tile_px": 16}, {257: 2 * HEIGHT}, "tiles, it has"),
        ({"tile_px": 16}, {256: 2 * WIDTH}, "tiles, it has"),
        ({"rows_per_strip": 40}, {279: [0]}, "strip"),
        ({"rows_per_strip": 40}, {273: [10**7]}, "strip 1 of 1 is not whole"),
        ({"tile_px": 64}, {324: [10**7]}, "tile 1 of 1 is not whole"),
        ({"tile_px": 64}, {324: [0]}, "tile 1 of 1 is not whole"),
    ],
)
def test_a_missing_strip_or_tile_is_refused(
    pieces: dict[str, Any], tags: Entries, said: str, compression: str, planar: bool
) -> None:
    if planar and not all(len(v) != 1 for v in tags.values() if isinstance(v, list)):
        tags = {tag: list(value) * 3 for tag, value in tags.items() if isinstance(value, list)}
        said = said.replace("of 1", "of 3")
    content = tiff(samples_of(3, 8), planar=planar, compression=compression, tags=tags, **pieces)
    with pytest.raises(ImageError, match=r"^(truncated|damaged) TIFF: ") as caught:
        decode_image(content)
    assert said in str(caught.value)


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("height", [HEIGHT + 1, 2 * HEIGHT])
def test_a_strip_with_fewer_rows_than_its_height_is_refused(
    height: int, planar: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    for compression in ("none", "lzw", "deflate", "packbits"):
        tags = {257: height, 278: height}
        content = tiff(samples_of(3, 8), planar=planar, compression=compression, tags=tags)
        with pytest.raises(ImageError, match="truncated"):
            decode_image(content)
    capfd.readouterr()  # libtiff says so on the terminal


def test_a_strip_with_more_rows_than_its_height_is_refused() -> None:
    with pytest.raises(ImageError, match=f"more rows than the height of {HEIGHT - 1} px"):
        decode_image(tiff(samples_of(3, 8), tags={257: HEIGHT - 1}))


# Pages


def pages_of(*sizes: tuple[int, int], kinds: tuple[int, ...] = ()) -> bytes:
    """A TIFF of grey pages, page k of level 10 * k, with the NewSubfileType of each."""
    content, previous = bytearray(b"II*\x00\x00\x00\x00\x00"), 4
    for number, (height, width) in enumerate(sizes, 1):
        place = len(content)
        content += bytes([10 * number]) * (height * width) + b"\0" * (height * width % 2)
        start = len(content)
        entries: dict[int, int] = {256: width, 257: height, 258: 8, 259: 1, 262: 1, 273: place, 277: 1, 278: height}
        entries |= {279: height * width} | ({254: kinds[number - 1]} if kinds else {})
        content[previous : previous + 4] = struct.pack("<I", start)
        previous = start + 2 + 12 * len(entries)
        content += ifd(entries, start)
    return bytes(content)


@pytest.mark.parametrize(
    ("sizes", "kinds", "level", "page"),
    [
        ([(40, 40)], (), 10, None),
        ([(40, 40), (40, 40), (40, 40)], (), 10, "1 of 3"),
        ([(20, 20), (40, 40), (30, 30)], (), 20, "2 of 3"),
        ([(40, 40), (20, 20)], (0, 1), 10, None),
        ([(20, 20), (40, 40)], (1, 0), 20, None),
        ([(40, 40), (40, 40)], (0, 4), 10, None),
        ([(40, 40), (20, 20), (50, 50)], (2, 1, 2), 30, "2 of 2"),
    ],
)
def test_the_largest_page_is_judged_and_told(
    sizes: list[tuple[int, int]], kinds: tuple[int, ...], level: int, page: str | None
) -> None:
    found = decode_image(pages_of(*sizes, kinds=kinds))
    height, width = sizes[level // 10 - 1]
    assert found.pixels.shape == (height, width, 3)
    assert (found.pixels == level).all()
    assert found.page == page
    assert image_size(pages_of(*sizes, kinds=kinds)) == (height, width)


def test_a_chain_that_bites_its_tail_ends() -> None:
    content = bytearray(pages_of((20, 20), (20, 20)))
    content[-4:] = content[4:8]
    assert decode_image(bytes(content)).page == "1 of 2"
