"""Half a photo is refused, in every format, also where a decoder fills up what is missing or leaves out the rest."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image as pillow

from crackscope.drawing.walls import draw_patch
from crackscope.errors import ImageError
from crackscope.files.images import decode_image

HEIGHT, WIDTH = 96, 128
RGB = draw_patch(3, side_px=WIDTH).pixels[:HEIGHT].copy()
IMAGE = pillow.fromarray(RGB)


def encode(kind: str, image: pillow.Image = IMAGE, **choices: object) -> bytes:
    buffer = BytesIO()
    image.save(buffer, kind, **choices)
    return buffer.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(content)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# PNG

Chunks = list[tuple[bytes, bytes]]
SIZE_AT = 4  # of the height, in IHDR


def chunks_of(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(content):
        (n_bytes,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + n_bytes]
        at += 12 + n_bytes


def png_of(chunks: Chunks) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_parts(image: pillow.Image = IMAGE) -> tuple[bytes, bytes]:
    """Header and unpacked rows of a PNG."""
    chunks = list(chunks_of(encode("PNG", image)))
    return chunks[0][1], zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))


def assembled(header: bytes, packed: bytes) -> bytes:
    return png_of([(b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")])


def with_height(header: bytes, height: int) -> bytes:
    return header[:SIZE_AT] + struct.pack(">I", height) + header[SIZE_AT + 4 :]


HEADER, ROWS = png_parts()
PACKED = zlib.compress(ROWS)
PNGS: dict[str, tuple[bytes, str]] = {
    "half of the rows": (
        assembled(HEADER, zlib.compress(ROWS[: len(ROWS) // 2])),
        "data end after 50 % of the picture",
    ),
    "all but the last byte": (assembled(HEADER, zlib.compress(ROWS[:-1])), "data end after 99 %"),
    "no row": (assembled(HEADER, zlib.compress(b"")), "data end after 0 %"),
    "half of the packed data": (assembled(HEADER, PACKED[: len(PACKED) // 2]), "data end after"),
    "a wrong sum of the data": (assembled(HEADER, PACKED[:-4] + b"abcd"), "incorrect data check"),
    "no data": (png_of([(b"IHDR", HEADER), (b"IEND", b"")]), "PNG"),
    "no end": (png_of([(b"IHDR", HEADER), (b"IDAT", PACKED)]), "its end is missing"),
    "cut in its end": (assembled(HEADER, PACKED)[:-1], "its end is missing"),
    "a height too large": (assembled(with_height(HEADER, 2 * HEIGHT), PACKED), "data end after 50 %"),
    "a height too small": (
        assembled(with_height(HEADER, HEIGHT - 1), PACKED),
        f"more rows than its height of {HEIGHT - 1}",
    ),
    "half a height": (assembled(with_height(HEADER, HEIGHT // 2), PACKED), "more rows than its height"),
}


@pytest.mark.parametrize("name", PNGS)
def test_half_a_png_is_refused(name: str) -> None:
    content, said = PNGS[name]
    assert said in refusal(content)


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT"])
def test_a_png_with_a_broken_checksum_is_refused(kind: bytes) -> None:
    content = bytearray(assembled(HEADER, PACKED))
    at = content.index(kind)
    (n_bytes,) = struct.unpack_from(">I", content, at - 4)
    content[at + 4 + n_bytes] ^= 1
    assert "PNG" in refusal(bytes(content))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("size", [(1, 1), (5, 3), (9, 17), (128, 96)])
def test_a_whole_png_of_any_kind_is_read(mode: str, size: tuple[int, int]) -> None:
    image = IMAGE.crop((0, 0, *size)).convert(mode)
    assert decode_image(encode("PNG", image)).pixels.shape == (size[1], size[0], 3)
    content = encode("PNG", image)
    parts = list(chunks_of(content))
    data = b"".join(data for kind, data in parts if kind == b"IDAT")
    split = [(b"IDAT", data[at : at + 7]) for at in range(0, len(data), 7)]  # as many small chunks
    others = [one for one in parts if one[0] not in (b"IDAT", b"IEND")]
    found = decode_image(png_of([*others, *split, (b"IEND", b"")])).pixels
    np.testing.assert_array_equal(found, decode_image(content).pixels)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (4, 4), (5, 9), (33, 17)])
def test_an_interlaced_png_is_counted_by_its_passes(size: tuple[int, int]) -> None:
    width, height = size
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
    rows = b""
    for x, y, dx, dy in (
        (0, 0, 8, 8),
        (4, 0, 8, 8),
        (0, 4, 4, 8),
        (2, 0, 4, 4),
        (0, 2, 2, 4),
        (1, 0, 2, 2),
        (0, 1, 1, 2),
    ):
        columns = len(range(x, width, dx))
        rows += (b"\0" + bytes([200]) * columns) * len(range(y, height, dy)) if columns else b""
    assert (decode_image(assembled(header, zlib.compress(rows))).pixels == 200).all()
    assert "data end after" in refusal(assembled(header, zlib.compress(rows[:-1])))


# JPEG


def with_jpeg_height(content: bytes, height: int) -> bytes:
    at = next(at for at in (content.find(bytes([0xFF, marker])) for marker in (0xC0, 0xC1, 0xC2)) if at > 0)
    return content[: at + 5] + struct.pack(">H", height) + content[at + 7 :]


JPEGS: dict[str, bytes] = {
    "usual": encode("JPEG", quality=95),
    "strong": encode("JPEG", quality=20),
    "progressive": encode("JPEG", quality=95, progressive=True),
    "no subsampling": encode("JPEG", quality=95, subsampling=0),
    "grey": encode("JPEG", IMAGE.convert("L"), quality=95),
    "cmyk": encode("JPEG", IMAGE.convert("CMYK"), quality=95),
    "restart markers": encode("JPEG", quality=95, restart_marker_rows=1),
    "restart markers in a row": encode("JPEG", quality=95, restart_marker_blocks=2),
    "two photos of a phone": encode("MPO", save_all=True, append_images=[IMAGE.rotate(180)], quality=95),
}


@pytest.mark.parametrize("name", JPEGS)
@pytest.mark.parametrize("height", [16, 48, 80])
def test_a_jpeg_whose_height_was_made_smaller_is_refused(name: str, height: int) -> None:
    assert "the height in its header is too small" in refusal(with_jpeg_height(JPEGS[name], height))
    assert decode_image(JPEGS[name]).pixels.shape == RGB.shape


@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_whose_height_was_made_larger_is_refused(name: str) -> None:
    assert refusal(with_jpeg_height(JPEGS[name], 2 * HEIGHT))


@pytest.mark.parametrize("stray", [b"\0", b"\0" * 500, b"\x11" * 40, bytes(range(1, 13))])
def test_stray_bytes_of_cameras_before_the_end_hurt_nothing(stray: bytes) -> None:
    for name in ("usual", "grey", "cmyk"):
        content = JPEGS[name]
        found = decode_image(content[:-2] + stray + content[-2:]).pixels
        np.testing.assert_array_equal(found, decode_image(content).pixels)


def scans_of(content: bytes) -> list[int]:
    """Where each scan begins, with the tables before it."""
    found, at = [], 0
    for scan in re.finditer(b"\xff\xda", content):
        table = content.rfind(b"\xff\xc4", at, scan.start())
        found.append(table if table >= 0 and at else scan.start())
        at = scan.end()
    return found


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_progressive_jpeg_without_its_last_scans_is_refused(mode: str) -> None:
    content = encode("JPEG", IMAGE.convert(mode), quality=95, progressive=True)
    starts = scans_of(content)
    assert len(starts) >= 6
    for start in starts[1:]:
        assert "scans are missing" in refusal(content[:start] + b"\xff\xd9")
    assert decode_image(content).pixels.shape == RGB.shape


def test_a_jpeg_of_one_scan_a_channel_needs_all_of_them() -> None:
    """Three grey JPEGs become one with a scan each, as scanners write them."""
    luma = encode("JPEG", IMAGE.convert("L"), quality=95)
    frame, scan = luma.index(b"\xff\xc0"), luma.index(b"\xff\xda")
    size, tables = luma[frame + 5 : frame + 9], luma[frame + 13 : scan]
    data = luma[scan + 10 : -2]
    components = b"".join(bytes([number, 0x11, 0]) for number in (1, 2, 3))
    head = (
        luma[:frame]
        + b"\xff\xc0"
        + struct.pack(">HB", 17, 8)
        + size
        + b"\x03"
        + components
        + luma[frame + 13 : frame + 13]
    )
    scans = [b"\xff\xda\x00\x08\x01" + bytes([number, 0, 0, 63, 0]) + data for number in (1, 2, 3)]
    assert decode_image(head + tables + b"".join(scans) + b"\xff\xd9").pixels.shape == RGB.shape
    for n in (1, 2):
        assert "scans are missing" in refusal(head + tables + b"".join(scans[:n]) + b"\xff\xd9")


# Other formats


def bmp_with_height(height: int) -> bytes:
    content = bytearray(encode("BMP"))
    content[22:26] = struct.pack("<i", height)
    return bytes(content)


@pytest.mark.parametrize(
    ("height", "said"), [(HEIGHT // 2, "more rows"), (HEIGHT - 1, "more rows"), (2 * HEIGHT, "truncated")]
)
def test_a_bmp_with_another_height_is_refused(height: int, said: str) -> None:
    assert said in refusal(bmp_with_height(height))


@pytest.mark.parametrize("lossless", [False, True])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_webp_whose_data_end_early_is_refused_also_if_its_sizes_were_made_to_fit(
    share: float, lossless: bool
) -> None:
    content = encode("WEBP", lossless=lossless, quality=95)
    kind, data = content[12:16], content[20:]
    part = data[: int(len(data) * share) // 2 * 2]
    body = b"WEBP" + kind + struct.pack("<I", len(part)) + part
    assert "WEBP" in refusal(b"RIFF" + struct.pack("<I", len(body)) + body)


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
def test_a_heic_whose_data_end_early_is_refused_also_if_its_sizes_were_made_to_fit(share: float) -> None:
    pillow_heif.register_heif_opener()
    content = bytearray(encode("HEIF", quality=95))
    at = content.index(b"mdat")
    end = at + 4 + int((len(content) - at - 4) * share)
    content[at - 4 : at] = struct.pack(">I", end - at + 4)
    assert "HEIF" in refusal(bytes(content[:end]))


SEVERAL: dict[str, Callable[[], bytes]] = {
    "webp": lambda: encode("WEBP", save_all=True, append_images=[IMAGE.rotate(180)], lossless=True),
    "png": lambda: encode("PNG", save_all=True, append_images=[IMAGE.rotate(180)]),
    "tiff": lambda: encode("TIFF", save_all=True, append_images=[IMAGE.rotate(180)]),
    "heic": lambda: encode("HEIF", save_all=True, append_images=[IMAGE.rotate(180)], quality=95),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_of_several_pictures_the_first_is_read_and_told(kind: str) -> None:
    pillow_heif.register_heif_opener()
    found = decode_image(SEVERAL[kind]())
    assert found.page == "1 of 2"
    assert np.abs(found.pixels.astype(int) - RGB).mean() < 5


def test_the_primary_picture_of_a_heic_is_read_and_told() -> None:
    pillow_heif.register_heif_opener()
    content = encode("HEIF", save_all=True, append_images=[IMAGE.rotate(180)], quality=95, primary_index=1)
    found = decode_image(content)
    assert found.page == "2 of 2"
    assert np.abs(found.pixels.astype(int) - RGB[::-1, ::-1]).mean() < 5


@pytest.mark.parametrize("content", [JPEGS["usual"], JPEGS["two photos of a phone"], encode("PNG"), encode("BMP")])
def test_one_picture_has_no_page(content: bytes) -> None:
    assert decode_image(content).page is None


def test_opencv_s_png_of_sixteen_bits_is_whole() -> None:
    content = cv2.imencode(".png", RGB.astype(np.uint16) * 257)[1].tobytes()
    assert decode_image(content).pixels.shape == RGB.shape
