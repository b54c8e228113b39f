"""Every format a camera, a phone or an office writes is read alike; whatever is broken is refused, quietly."""

from __future__ import annotations

import io
import os
import struct
import threading
import time
import tracemalloc
import warnings
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pillow_heif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags
from PIL import Image as pillow

from crackscope.drawing.walls import draw_patch
from crackscope.errors import ImageError
from crackscope.files.images import Image, ImageForm, decode_image, image_form, image_size, read_image

pillow_heif.register_heif_opener()

# Smooth, neither square nor symmetric: lossy formats keep it, and each of the eight orientations shows.
RGB = cv2.GaussianBlur(draw_patch(3, side_px=128).pixels, (0, 0), 3)[:96].copy()
RGB[:24, :40] = (200, 60, 40)
RGB = cv2.GaussianBlur(RGB, (0, 0), 2)
IMAGE = pillow.fromarray(RGB)
ALPHA = np.zeros(RGB.shape[:2], np.uint8)
ALPHA[:, 30:] = 255


LOSS = 20  # levels that lossy formats may be off at an edge; a wrong turn or colour order is off by 100


def encode(image: pillow.Image, kind: str, **choices: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **choices)
    return buffer.getvalue()


def decode(content: bytes) -> np.ndarray:
    return decode_image(content).pixels


def furthest(found: np.ndarray, wanted: np.ndarray) -> int:
    assert found.shape == wanted.shape
    return int(np.abs(found.astype(int) - wanted.astype(int)).max())


def refusal(content: bytes, **choices: Any) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(content, **choices)
    reason = str(caught.value)
    assert reason
    assert "\n" not in reason
    assert len(reason) < 250
    return reason


@pytest.fixture(autouse=True)
def _quiet(capfd: pytest.CaptureFixture[str]) -> object:
    """Nothing, not even a C library, writes to the terminal."""
    yield
    assert capfd.readouterr() == ("", "")


def grey16(image: np.ndarray = RGB) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.uint16) * 257


# Formats

JPEGS: dict[str, bytes] = {
    "usual": encode(IMAGE, "JPEG", quality=95),
    "progressive": encode(IMAGE, "JPEG", quality=95, progressive=True),
    "no subsampling": encode(IMAGE, "JPEG", quality=95, subsampling=0),
    "grey": encode(IMAGE.convert("L"), "JPEG", quality=95),
    "cmyk": encode(IMAGE.convert("CMYK"), "JPEG", quality=95),
    "restart markers": encode(IMAGE, "JPEG", quality=95, restart_marker_rows=1),
    "two photos of a phone": encode(IMAGE, "MPO", save_all=True, append_images=[IMAGE.rotate(180)], quality=95),
}
WHOLE: dict[str, bytes] = {
    **JPEGS,
    "png": encode(IMAGE, "PNG"),
    "png 16 bit": cv2.imencode(".png", RGB[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes(),
    "tiff": encode(IMAGE, "TIFF"),
    "tiff lzw": encode(IMAGE, "TIFF", compression="tiff_lzw"),
    "tiff deflate": encode(IMAGE, "TIFF", compression="tiff_deflate"),
    "tiff cmyk": encode(IMAGE.convert("CMYK"), "TIFF"),
    "tiff pages": encode(IMAGE, "TIFF", save_all=True, append_images=[IMAGE.rotate(180)]),
    "tiff 16 bit": cv2.imencode(".tiff", RGB[:, :, ::-1].astype(np.uint16) * 257)[1].tobytes(),
    "bmp": encode(IMAGE, "BMP"),
    "webp": encode(IMAGE, "WEBP", quality=95),
    "webp lossless": encode(IMAGE, "WEBP", lossless=True),
    "heic": encode(IMAGE, "HEIF", quality=95),
}
LOSSLESS = {name for name in WHOLE if name.startswith(("png", "tiff", "bmp", "webp lossless"))}


@pytest.mark.parametrize("name", WHOLE)
def test_every_format_gives_the_pixels_that_were_written(name: str) -> None:
    photo = decode_image(WHOLE[name], path="a.jpg")
    pixels = photo.pixels
    wanted = np.asarray(IMAGE.convert("L").convert("RGB")) if name == "grey" else RGB
    assert furthest(pixels, wanted) <= (0 if name in LOSSLESS else LOSS)
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert (photo.path, photo.taken_at, photo.latitude_deg) == ("a.jpg", None, None)


@pytest.mark.parametrize("name", [name for name in JPEGS if name != "cmyk"])
def test_a_jpeg_decodes_as_opencv_does(name: str) -> None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    assert furthest(decode(JPEGS[name]), np.asarray(cv2.imdecode(np.frombuffer(JPEGS[name], np.uint8), flags))) <= 2


def test_a_cmyk_jpeg_is_inverted_as_adobe_writes_it() -> None:
    assert b"Adobe" in JPEGS["cmyk"]
    white = pillow.new("CMYK", (32, 32), (0, 0, 0, 0))
    assert decode(encode(white, "JPEG")).min() >= 253


def test_grey_palette_and_one_bit() -> None:
    grey = IMAGE.convert("L")
    wanted = np.asarray(grey.convert("RGB"))
    for kind in ("PNG", "TIFF", "BMP"):
        assert furthest(decode(encode(grey, kind)), wanted) == 0
    palette = IMAGE.quantize(16)
    assert furthest(decode(encode(palette, "PNG")), np.asarray(palette.convert("RGB"))) == 0
    black_and_white = IMAGE.convert("1")
    for kind in ("PNG", "TIFF", "BMP"):
        assert furthest(decode(encode(black_and_white, kind)), np.asarray(black_and_white.convert("RGB"))) == 0


def test_the_transparent_is_laid_on_white() -> None:
    rgba = pillow.fromarray(np.dstack([RGB, ALPHA]))
    wanted = RGB.copy()
    wanted[:, :30] = 255
    for kind, choices in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})):
        assert furthest(decode(encode(rgba, kind, **choices)), wanted) == 0, kind
    grey_alpha = pillow.merge("LA", [IMAGE.convert("L"), pillow.fromarray(ALPHA)])
    found = decode(encode(grey_alpha, "PNG"))
    assert (found[:, :30] == 255).all()
    assert furthest(found[:, 30:], np.asarray(IMAGE.convert("L").convert("RGB"))[:, 30:]) == 0


def test_half_transparent_is_half_white() -> None:
    rgba = pillow.new("RGBA", (20, 20), (100, 0, 200, 128))
    assert np.abs(decode(encode(rgba, "PNG"))[0, 0].astype(int) - [177, 127, 227]).max() <= 1


def test_a_palette_with_a_transparent_colour_lies_on_white() -> None:
    palette = IMAGE.quantize(8)
    indices = np.asarray(palette)
    for transparency in (3, bytes([255, 255, 255, 0, 255, 255, 255, 255])):
        found = decode(encode(palette, "PNG", transparency=transparency))
        assert (found[indices == 3] == 255).all()
        assert furthest(found[indices != 3], np.asarray(palette.convert("RGB"))[indices != 3]) == 0


def test_one_transparent_value_of_grey_or_rgb() -> None:
    grey = np.full((20, 20), 90, np.uint8)
    grey[:5] = 10
    found = decode(encode(pillow.fromarray(grey), "PNG", transparency=10))
    assert (found[:5] == 255).all()
    assert (found[5:] == 90).all()
    found = decode(encode(pillow.fromarray(np.dstack([grey] * 3)), "PNG", transparency=(10, 10, 10)))
    assert (found[:5] == 255).all()
    found = decode(encode(pillow.fromarray(grey.astype(np.uint16) * 257), "PNG", transparency=2570))
    assert (found[:5] == 255).all()
    assert (found[5:] == 90).all()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_sixteen_bits_become_eight(suffix: str) -> None:
    samples = np.array([[0, 1, 255, 256, 257, 32767, 32768, 65534, 65535]] * 9, np.uint16)
    for array in (samples, np.dstack([samples] * 3)):
        found = decode(cv2.imencode(suffix, array)[1].tobytes())
        assert found.shape == (9, 9, 3)
        assert np.abs(found[:, :, 0].astype(int) - np.round(samples / 257)).max() <= 1
        assert (found[0, 0, 0], found[0, -1, 0]) == (0, 255)
    with_alpha = np.dstack([samples, samples, samples, np.where(samples > 300, 65535, 0).astype(np.uint16)])
    found = decode(cv2.imencode(suffix, with_alpha)[1].tobytes())
    assert (found[samples <= 300] == 255).all()


def test_big_endian_and_white_is_zero_tiff() -> None:
    wanted = np.arange(256).reshape(16, 16)
    for start, endian, photometric in ((b"II*\x00", "<", 1), (b"II*\x00", "<", 0), (b"MM\x00*", ">", 1)):
        samples = (wanted * 256).astype(f"{endian}u2")
        tags = [(256, 16), (257, 16), (258, 16), (259, 1), (262, photometric), (273, 8), (277, 1), (278, 16)]
        rows = b"".join(struct.pack(f"{endian}HHIHH", tag, 3, 1, value, 0) for tag, value in tags)
        ifd = struct.pack(f"{endian}H", 9) + rows + struct.pack(f"{endian}HHII", 279, 4, 1, 512) + bytes(4)
        content = start + struct.pack(f"{endian}I", 8 + 512) + samples.tobytes() + ifd
        assert (decode(content)[:, :, 1] == (wanted if photometric else 255 - wanted)).all()


def test_samples_without_a_range_are_refused() -> None:
    for array in (np.ones((20, 20), np.float32), np.ones((20, 20), np.int32)):
        assert "8 or 16-bit" in refusal(encode(pillow.fromarray(array), "TIFF"))


def test_the_name_of_a_file_is_not_believed(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(WHOLE["png"])
    assert furthest(read_image(tmp_path / "photo.jpg").pixels, RGB) == 0


# Orientation


def oriented(orientation: int) -> np.ndarray:
    """What a viewer shows: each case spelled out with numpy, as Exif 2.32 draws it."""
    shown: dict[int, np.ndarray] = {
        1: RGB,
        2: RGB[:, ::-1],
        3: RGB[::-1, ::-1],
        4: RGB[::-1],
        5: RGB.transpose(1, 0, 2),
        6: np.rot90(RGB, -1),
        7: RGB[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(RGB),
    }
    return shown[orientation]


def exif_with(**tags: object) -> pillow.Exif:
    exif = pillow.Exif()
    for name, value in tags.items():
        exif[ExifTags.Base[name]] = value
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    ("kind", "choices"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("MPO", {"quality": 95, "save_all": True, "append_images": [IMAGE]}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("HEIF", {"quality": 95}),
    ],
)
def test_the_orientation_is_applied_once(kind: str, choices: dict[str, object], orientation: int) -> None:
    found = decode(encode(IMAGE, kind, exif=exif_with(Orientation=orientation).tobytes(), **choices))
    assert furthest(found, oriented(orientation)) <= (0 if kind in ("PNG", "WEBP", "TIFF") else LOSS)
    assert found.flags.c_contiguous


def test_the_box_of_a_heic_decides_not_its_exif() -> None:
    """A HEIC is turned by its own box (irot, imir); the EXIF orientation beside it is a copy."""
    content = encode(IMAGE, "HEIF", exif=exif_with(Orientation=6), quality=95)  # written without the box
    assert b"irot" not in content
    assert furthest(decode(content), RGB) <= LOSS
    assert b"irot" in encode(IMAGE, "HEIF", exif=exif_with(Orientation=6).tobytes(), quality=95)


@pytest.mark.parametrize("orientation", [3, 6, 7])
def test_a_sixteen_bit_image_is_turned_once_too(orientation: int) -> None:
    for kind in ("PNG", "TIFF"):
        image = pillow.fromarray(grey16())
        found = decode(encode(image, kind, exif=exif_with(Orientation=orientation)))
        assert furthest(found[:, :, 0], cv2.cvtColor(oriented(orientation).copy(), cv2.COLOR_RGB2GRAY)) == 0


@pytest.mark.parametrize(
    ("kind", "n_values", "value"),
    [
        *((3, 1, struct.pack("<HH", number, 0)) for number in (0, 9, 65535)),
        (2, 2, b"6\x00\x00\x00"),
        (7, 4, b"\x00\x06\xff\xff"),
        (11, 1, struct.pack("<f", float("nan"))),
        (5, 1, struct.pack("<I", 26)),
    ],
)
def test_an_orientation_of_nonsense_is_no_orientation(kind: int, n_values: int, value: bytes) -> None:
    row = struct.pack("<HHI", ExifTags.Base.Orientation, kind, n_values) + value
    block = b"Exif\x00\x00II*\x00" + struct.pack("<IH", 8, 1) + row + bytes(4) + bytes(8)
    for name in ("JPEG", "PNG", "WEBP"):
        assert furthest(decode(encode(IMAGE, name, exif=block, quality=95)), RGB) <= LOSS


# Time and place


def test_the_time_on_the_camera_s_clock() -> None:
    def taken(**details: str) -> datetime | None:
        exif = pillow.Exif()
        exif.get_ifd(ExifTags.IFD.Exif).update({ExifTags.Base[name]: v for name, v in details.items()})
        return decode_image(encode(IMAGE, "JPEG", exif=exif)).taken_at

    stamp = "2024:05:06 07:08:09"
    clock = datetime(2024, 5, 6, 7, 8, 9)
    assert taken(DateTimeOriginal=stamp) == clock
    east = taken(DateTimeOriginal=stamp, OffsetTimeOriginal="+02:00")
    assert east == clock.replace(tzinfo=timezone(timedelta(hours=2)))
    west = taken(DateTimeOriginal=stamp, OffsetTimeOriginal="-09:30")
    assert west == clock.replace(tzinfo=timezone(timedelta(hours=-9, minutes=-30)))
    assert taken(DateTimeOriginal=stamp, OffsetTimeOriginal="Z") == clock.replace(tzinfo=timezone.utc)
    for nonsense in ("   :  ", "local", "+99:99"):
        assert taken(DateTimeOriginal=stamp, OffsetTimeOriginal=nonsense) == clock
    for nonsense in ("0000:00:00 00:00:00", "    :  :     :  :  ", "yesterday", "2024:13:45 99:00:00", ""):
        assert taken(DateTimeOriginal=nonsense) is None


def test_the_time_of_other_formats() -> None:
    exif = exif_with(DateTime="2024:05:06 07:08:09")
    for kind in ("PNG", "WEBP", "TIFF", "HEIF"):
        assert decode_image(encode(IMAGE, kind, exif=exif)).taken_at == datetime(2024, 5, 6, 7, 8, 9), kind


def located(latitude: object, north: object, longitude: object, east: object) -> Image:
    exif = pillow.Exif()
    values = {"GPSLatitude": latitude, "GPSLatitudeRef": north, "GPSLongitude": longitude, "GPSLongitudeRef": east}
    gps: dict[int, Any] = {ExifTags.GPS[name]: value for name, value in values.items() if value is not None}
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
    return decode_image(encode(IMAGE, "JPEG", exif=exif))


@pytest.mark.parametrize(("north", "east", "signs"), [("N", "E", (1, 1)), ("S", "W", (-1, -1)), ("n", "w", (1, -1))])
def test_the_place(north: str, east: str, signs: tuple[int, int]) -> None:
    photo = located((47.0, 30.0, 36.0), north, (8.0, 15.0, 0.0), east)
    assert photo.latitude_deg == pytest.approx(signs[0] * 47.51)
    assert photo.longitude_deg == pytest.approx(signs[1] * 8.25)


@pytest.mark.parametrize(
    "values",
    [
        ((95.0, 0.0, 0.0), "N", (8.0, 0.0, 0.0), "E"),
        ((47.0, 0.0, 0.0), "N", (181.0, 0.0, 0.0), "E"),
        ((47.0, 75.0, 0.0), "N", (8.0, 0.0, 0.0), "E"),
        ((47.0, 0.0), "N", (8.0, 0.0, 0.0), "E"),
        ((47.0, 0.0, 0.0), None, (8.0, 0.0, 0.0), "E"),
        ((47.0, 0.0, 0.0), "?", (8.0, 0.0, 0.0), "E"),
        ((47.0, 0.0, 0.0), "N", None, None),
        ((0.0, 0.0, 0.0), "N", (0.0, 0.0, 0.0), "E"),
    ],
)
def test_a_place_of_nonsense_is_no_place(values: tuple[object, object, object, object]) -> None:
    photo = located(*values)
    assert (photo.latitude_deg, photo.longitude_deg) == (None, None)


def test_zero_denominators_are_no_place() -> None:
    content = encode(IMAGE, "JPEG", exif=_gps_block(latitude=[(47, 1), (30, 1), (0, 0)]))
    assert decode_image(content).latitude_deg is None
    content = encode(IMAGE, "JPEG", exif=_gps_block(latitude=[(47, 1), (30, 1), (36, 1)]))
    assert decode_image(content).latitude_deg == pytest.approx(47.51)


def _gps_block(latitude: list[tuple[int, int]]) -> bytes:
    """An EXIF block written by hand, since Pillow writes no zero denominators."""

    def rationals(pairs: list[tuple[int, int]]) -> bytes:
        return b"".join(struct.pack("<II", *pair) for pair in pairs)

    gps_at, data_at = 8 + 18, 8 + 18 + 2 + 4 * 12 + 4
    ifd = struct.pack("<HHHIII", 1, 0x8825, 4, 1, gps_at, 0)
    gps = struct.pack("<H", 4)
    gps += struct.pack("<HHI4s", 1, 2, 2, b"N\x00") + struct.pack("<HHII", 2, 5, 3, data_at)
    gps += struct.pack("<HHI4s", 3, 2, 2, b"E\x00") + struct.pack("<HHII", 4, 5, 3, data_at + 24) + bytes(4)
    data = rationals(latitude) + rationals([(8, 1), (0, 1), (0, 1)])
    return b"Exif\x00\x00II*\x00" + struct.pack("<I", 8) + ifd + gps + data


def test_a_damaged_exif_block_costs_only_itself() -> None:
    whole = _gps_block([(47, 1), (30, 1), (36, 1)])
    for n_bytes in range(6, len(whole), 7):
        content = encode(IMAGE, "JPEG", exif=whole[:n_bytes], quality=95)
        assert decode(content).shape == RGB.shape
    rng = np.random.default_rng(0)
    for _ in range(40):
        block = bytearray(whole)
        for at in rng.integers(14, len(whole), 6):
            block[at] = rng.integers(256)
        assert decode(encode(IMAGE, "JPEG", exif=bytes(block))).shape[2] == 3


# Limits


def bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def test_a_bomb_is_refused_before_it_is_decoded() -> None:
    content = bomb(20_000, 20_000)
    decode(WHOLE["png"])
    tracemalloc.start()
    begun = time.perf_counter()
    reason = refusal(content)
    seconds, (_, peak) = time.perf_counter() - begun, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "20000×20000 px is 400 megapixels, above the limit of 300" in reason
    assert seconds < 1
    assert peak < 5e6


def test_the_limit_is_the_caller_s() -> None:
    assert "above the limit of 0.01" in refusal(WHOLE["usual"], max_megapixels=0.01)
    assert "truncated" in refusal(bomb(2_000, 2_000))
    assert "truncated" in refusal(bomb(14_000, 14_000))  # 196 megapixels: above Pillow's limit, below ours
    assert decode_image(WHOLE["usual"], max_megapixels=RGB.size / 3e6).pixels.shape == RGB.shape


def test_pillow_s_own_limit_and_filters_are_put_back() -> None:
    limit, filters = pillow.MAX_IMAGE_PIXELS, list(warnings.filters)
    for content in (WHOLE["png"], bomb(20_000, 20_000), b"nothing"):
        with pytest.raises(ImageError) if content != WHOLE["png"] else warnings.catch_warnings():
            decode(content)
    assert limit == pillow.MAX_IMAGE_PIXELS
    assert filters == list(warnings.filters)


# What is refused


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", [name for name in WHOLE if "photos" not in name and "pages" not in name])
def test_a_truncated_file_is_refused(name: str, share: float) -> None:
    assert refusal(WHOLE[name][: int(len(WHOLE[name]) * share)])


def test_a_jpeg_without_its_last_byte_is_refused() -> None:
    for name in ("usual", "progressive", "grey", "restart markers"):
        for missing in (1, 2, 3):
            assert "truncated" in refusal(JPEGS[name][:-missing])


def test_a_phone_s_second_picture_may_be_missing() -> None:
    content = JPEGS["two photos of a phone"]
    first = content.index(b"\xff\xd9") + 2
    assert furthest(decode(content[: first + 100]), RGB) <= LOSS
    assert "truncated" in refusal(content[: first // 2])


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_photo() -> None:
    thumbnail = encode(IMAGE.resize((32, 24)), "JPEG")
    assert thumbnail.endswith(b"\xff\xd9")
    exif = b"Exif\x00\x00" + b"II*\x00" + struct.pack("<I", 8) + struct.pack("<H", 0) + bytes(4) + thumbnail
    content = encode(IMAGE, "JPEG", quality=95, exif=exif)
    assert content.count(b"\xff\xd9") == 2
    assert furthest(decode(content), RGB) <= LOSS
    for share in (0.3, 0.6, 0.99):
        start = content.index(thumbnail) + len(thumbnail)
        assert "truncated" in refusal(content[: start + int((len(content) - start) * share)])


@pytest.mark.parametrize("tail", [b"\x00" * 64, b"\r\n", b"trailer" * 99, b"\xff", b"\xff\xd8\xff\xd9", JPEGS["grey"]])
def test_bytes_behind_the_end_do_no_harm(tail: bytes) -> None:
    for name in ("usual", "progressive", "cmyk"):
        assert furthest(decode(JPEGS[name] + tail), RGB) <= LOSS


def test_fill_bytes_and_junk_before_a_header_segment_are_fine() -> None:
    content = JPEGS["usual"]
    at = content.index(b"\xff\xdb")
    assert furthest(decode(content[:at] + b"\xff\xff\xff" + content[at:]), RGB) <= LOSS
    assert furthest(decode(content[:-2] + b"\xff\xff" + content[-2:]), RGB) <= LOSS


@pytest.mark.parametrize("name", ["usual", "progressive", "grey", "cmyk"])
def test_a_lost_sector_is_refused_or_at_least_quiet(name: str) -> None:
    """Damage that breaks the markers is refused; what leaves them whole cannot be told from a picture."""
    content = encode(draw_image(512), "JPEG", quality=98, progressive=name == "progressive")
    rng, n_refused = np.random.default_rng(0), 0
    for _ in range(12):
        at = int(rng.integers(2000, len(content) - 5000))
        damaged = content[:at] + rng.bytes(4096) + content[at + 4096 :]
        try:
            assert decode(damaged).shape == (512, 512, 3)
        except ImageError:
            n_refused += 1
    assert n_refused >= 9


def draw_image(side_px: int) -> pillow.Image:
    return pillow.fromarray(draw_patch(1, side_px=side_px).pixels)


def test_damage_inside_a_jpeg_is_refused_and_nothing_is_written_to_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    content = bytearray(JPEGS["usual"])
    content[len(content) // 2 : len(content) // 2 + 8] = bytes(8)
    assert "damaged JPEG" in refusal(bytes(content))
    assert capfd.readouterr() == ("", "")


def test_stray_bytes_before_the_end_hurt_nothing() -> None:
    """As some phones write them; libjpeg complains, and decodes every pixel."""
    content = JPEGS["usual"]
    assert (decode(content[:-2] + bytes(24) + content[-2:]) == decode(content)).all()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"%PDF-1.7\n%abc", "a PDF"),
        (b"<!DOCTYPE html><html>404</html>", "text or markup"),
        (b"\xef\xbb\xbf \n<html>", "text or markup"),
        (b"GIF89a" + bytes(40), "a GIF"),
        (b"PK\x03\x04" + bytes(40), "a zip"),
        (b"\x00\x00\x00\x20ftypavif" + bytes(40), "an AVIF"),
        (b"\x00\x00\x00\x20ftypmp42" + bytes(40), "a video"),
        (b"\x00\x00\x00\x20ftypheic" + bytes(40), "HEIF"),
        (b"\x00" * 500, "00 00 00 00"),
        (b"\xff", "ff"),
        (b"\xff\xd8", "JPEG: damaged or truncated header"),
        (b"\xff\xd8\xff\xd9", "JPEG"),
        (b"\x89PNG\r\n\x1a\n", "PNG: damaged or truncated header"),
        (b"II*\x00", "TIFF"),
        (b"II*\x00\xff\xff\xff\xff", "TIFF"),
        (b"BM", "BMP"),
        (b"RIFF\x00\x00\x00\x00WEBP", "WEBP"),
    ],
)
def test_what_is_no_image_says_what_it_is(content: bytes, said: str) -> None:
    assert said in refusal(content)


def test_a_gif_is_refused() -> None:
    assert "it begins like a GIF; save it as JPEG or PNG" in refusal(encode(IMAGE, "GIF"))


QUIET = sorted(name for name in WHOLE if not name.startswith("tiff"))


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from(QUIET),
    places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_no_damage_raises_anything_else(name: str, places: list[tuple[float, int]]) -> None:
    content = bytearray(WHOLE[name])
    for share, value in places:
        content[int(share * len(content))] = value
    _decode_or_refuse(bytes(content))


def test_no_damage_of_a_tiff_raises_anything_else(capfd: pytest.CaptureFixture[str]) -> None:
    """libtiff writes what it finds wrong with packed pixels to the terminal, whoever calls it."""
    rng = np.random.default_rng(0)
    for name in sorted(set(WHOLE) - set(QUIET)) * 25:
        content = bytearray(WHOLE[name])
        for _ in range(rng.integers(1, 9)):
            content[int(rng.choice([rng.integers(len(content)), rng.integers(-200, 0)]))] = rng.integers(256)
        _decode_or_refuse(bytes(content))
    capfd.readouterr()


def _decode_or_refuse(content: bytes) -> None:
    try:
        pixels = decode_image(content, max_megapixels=4).pixels
    except ImageError:
        return
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3


@settings(max_examples=60, deadline=None)
@given(
    start=st.sampled_from([content[:n] for content in list(WHOLE.values())[::3] for n in (0, 4, 16, 40)]),
    noise=st.binary(max_size=120),
)
def test_noise_is_refused(start: bytes, noise: bytes) -> None:
    with pytest.raises(ImageError):
        decode_image(start + noise, max_megapixels=4)


# Files


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").mkdir()
    for path, said in ((tmp_path / "x.jpg", "a folder"), (tmp_path / "none.jpg", "No such file"), ("a\0b", "null")):
        with pytest.raises(ImageError, match=said):
            read_image(path)
    with pytest.raises(ImageError, match="cannot be read"):
        read_image(tmp_path / ("x" * 5000))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(ImageError, match="not a file"):
        read_image(tmp_path / "pipe.jpg")


def test_a_file_one_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(WHOLE["usual"])
    monkeypatch.setattr(Path, "read_bytes", _raiser(PermissionError(13, "Permission denied", str(path))))
    with pytest.raises(ImageError, match=r"^cannot be read: Permission denied$"):
        read_image(path)


def _raiser(error: BaseException) -> Callable[..., bytes]:
    def fail(*_: object, **__: object) -> bytes:
        raise error

    return fail


def test_a_gigantic_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "huge.jpg"
    with path.open("wb") as file:
        file.truncate(5_000_000_000)
    with pytest.raises(ImageError, match=r"5\.0 GB is too large"):
        read_image(path)


def test_no_file_stays_open(tmp_path: Path) -> None:
    for name, content in WHOLE.items():
        (tmp_path / name).write_bytes(content)
        read_image(tmp_path / name)
        (tmp_path / f"cut {name}").write_bytes(content[: len(content) // 2])
        if "photos" not in name and "pages" not in name:
            with pytest.raises(ImageError):
                read_image(tmp_path / f"cut {name}")
    if Path("/proc/self/fd").exists():
        assert not [link for link in _open_links() if str(tmp_path) in link]


def _open_links() -> list[str]:
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            links.append(str(entry.readlink()))
        except OSError:
            continue
    return links


def test_threads_agree_and_leave_the_filters_alone() -> None:
    names = sorted(WHOLE) * 6
    wanted = {name: decode(WHOLE[name]) for name in WHOLE}
    filters = list(warnings.filters)
    barrier = threading.Barrier(4)

    def work(part: list[str]) -> bool:
        barrier.wait()
        return all((decode(WHOLE[name]) == wanted[name]).all() for name in part)

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, [names[i::4] for i in range(4)]))
    assert filters == list(warnings.filters)


def test_a_size_is_read_from_the_header_alone() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    for ending in (".jpg", ".png", ".bmp", ".webp", ".tiff"):
        content = cv2.imencode(ending, pixels)[1].tobytes()
        assert image_size(content) == (30, 50)
        if ending in (".jpg", ".png"):
            assert image_size(content[: len(content) // 2 + 200]) == (30, 50)
    for content in (b"", b"%PDF-1.7", b"\xff\xd8\xff"):
        with pytest.raises(ImageError):
            image_size(content)


def test_a_form_is_read_from_the_header_alone() -> None:
    colour = pillow.fromarray(np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8))
    turned = pillow.Exif()
    turned[ExifTags.Base.Orientation] = 6
    deep = cv2.imencode(".png", np.zeros((30, 50, 3), np.uint16))[1].tobytes()
    for content, mode, orientation in (
        (encode(colour, "JPEG"), "RGB", 1),
        (encode(colour, "JPEG", exif=turned), "RGB", 6),
        (encode(colour.convert("L"), "JPEG"), "L", 1),
        (encode(colour.convert("CMYK"), "JPEG"), "CMYK", 1),
        (encode(colour.convert("RGBA"), "PNG"), "RGBA", 1),
        (encode(colour.convert("I;16"), "PNG"), "I;16", 1),
        (deep, "RGB;16", 1),
    ):
        assert image_form(content) == ImageForm(30, 50, mode, orientation)
    turned[ExifTags.Base.Orientation] = 99
    assert image_form(encode(colour, "JPEG", exif=turned)).orientation == 1
    with pytest.raises(ImageError):
        image_form(b"")
