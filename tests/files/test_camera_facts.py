"""Which side is up is found wherever a file may say it: in Exif or in XMP, near the start or far behind."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
import pytest
from PIL import ExifTags
from PIL import Image as pillow

from crackscope.drawing.walls import draw_patch
from crackscope.files.images import decode_image, image_form
from shared.tiffs import tiff

RGB = np.repeat(np.repeat(draw_patch(3, side_px=16).pixels[:12], 8, axis=0), 8, axis=1)
RGB[:24, :40] = (200, 60, 40)  # neither square nor symmetric
IMAGE = pillow.fromarray(RGB)
ICC = bytes(range(256)) * 2_000  # half a megabyte, as some printers' profiles are

SHOWN: dict[int, np.ndarray] = {
    1: RGB,
    2: RGB[:, ::-1],
    3: RGB[::-1, ::-1],
    4: RGB[::-1],
    5: RGB.transpose(1, 0, 2),
    6: np.rot90(RGB, -1),
    7: RGB[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(RGB),
}


def exif_of(orientation: int) -> bytes:
    exif = pillow.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return exif.tobytes()


def xmp_of(orientation: int, form: str) -> bytes:
    inside = {
        "attribute": f'<rdf:Description tiff:Orientation="{orientation}"/>',
        "single quotes": f"<rdf:Description tiff:Orientation = '{orientation}'/>",
        "element": f"<rdf:Description><tiff:Orientation>{orientation}</tiff:Orientation></rdf:Description>",
        "element on lines of its own": f"<tiff:Orientation>\n  {orientation}\n</tiff:Orientation>",
    }[form]
    return f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF>{inside}</rdf:RDF></x:xmpmeta>'.encode()


FORMS = ["attribute", "single quotes", "element", "element on lines of its own"]


def encode(kind: str, **choices: object) -> bytes:
    buffer = BytesIO()
    IMAGE.save(buffer, kind, **choices)
    return buffer.getvalue()


# JPEG


def segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_with(*segments: bytes) -> bytes:
    content = encode("JPEG", quality=95, subsampling=0)
    return content[:2] + b"".join(segments) + content[2:]


def icc_segments() -> list[bytes]:
    parts = [ICC[at : at + 60_000] for at in range(0, len(ICC), 60_000)]
    return [segment(0xE2, b"ICC_PROFILE\0" + bytes([k, len(parts)]) + part) for k, part in enumerate(parts, 1)]


def jpeg_xmp(orientation: int, form: str = "attribute") -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_of(orientation, form))


# PNG


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_with(added: bytes, *, late: bool) -> bytes:
    content = encode("PNG")
    at = len(content) - 12 if late else 33  # before IEND, behind IHDR
    return content[:at] + added + content[at:]


def png_xmp(orientation: int, form: str = "attribute", *, packed: bool = False) -> bytes:
    text = xmp_of(orientation, form)
    head = b"XML:com.adobe.xmp\0" + bytes([packed, 0]) + b"\0\0"
    return chunk(b"iTXt", head + (zlib.compress(text) if packed else text))


WAYS: dict[str, Callable[[int], bytes]] = {
    "jpeg, exif behind a large profile": lambda k: jpeg_with(*icc_segments(), segment(0xE1, exif_of(k))),
    "jpeg, exif before it": lambda k: jpeg_with(segment(0xE1, exif_of(k)), *icc_segments()),
    "jpeg, exif of 1 and xmp": lambda k: jpeg_with(segment(0xE1, exif_of(k)), jpeg_xmp(1 + k % 8)),
    "jpeg, exif of nonsense and xmp": lambda k: jpeg_with(segment(0xE1, exif_of(0)), jpeg_xmp(k)),
    "jpeg, xmp behind a large profile": lambda k: jpeg_with(*icc_segments(), jpeg_xmp(k)),
    **{f"jpeg, xmp, {form}": (lambda k, form=form: jpeg_with(jpeg_xmp(k, form))) for form in FORMS},  # type: ignore[misc]
    "png, exif": lambda k: encode("PNG", exif=exif_of(k)),
    "png, exif behind the pixels": lambda k: png_with(chunk(b"eXIf", exif_of(k)[6:]), late=True),
    "png, xmp": lambda k: png_with(png_xmp(k), late=False),
    "png, xmp behind the pixels": lambda k: png_with(png_xmp(k, "single quotes"), late=True),
    "png, xmp packed": lambda k: png_with(png_xmp(k, "element", packed=True), late=True),
    "webp, exif": lambda k: encode("WEBP", lossless=True, exif=exif_of(k), icc_profile=ICC),
    "webp, xmp": lambda k: encode("WEBP", lossless=True, xmp=xmp_of(k, "attribute"), icc_profile=ICC),
    "webp, xmp, single quotes": lambda k: encode("WEBP", lossless=True, xmp=xmp_of(k, "single quotes")),
    "tiff": lambda k: tiff(RGB, tags={274: k, 34675: ICC}),
    "tiff, packed": lambda k: tiff(RGB, compression="lzw", tags={274: k}),
    "tiff, apart": lambda k: tiff(RGB, planar=True, compression="lzw", tags={274: k, 34675: ICC}),
    "tiff, apart, 16 bits": lambda k: tiff(RGB.astype(np.uint16) * 257, planar=True, tags={274: k}),
    "tiff, apart, xmp": lambda k: tiff(RGB, planar=True, tags={700: xmp_of(k, "attribute")}),
    **{f"tiff, xmp, {form}": (lambda k, form=form: tiff(RGB, tags={700: xmp_of(k, form)})) for form in FORMS},  # type: ignore[misc]
    "tiff, its tag and another xmp": lambda k: tiff(RGB, tags={274: k, 700: xmp_of(1 + k % 8, "attribute")}),
    "tiff, packed, xmp": lambda k: tiff(RGB, compression="deflate", tags={700: xmp_of(k, "single quotes")}),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_orientation_is_heeded_once(way: str) -> None:
    for orientation, wanted in SHOWN.items():
        content = WAYS[way](orientation)
        found = decode_image(content).pixels
        assert found.shape == wanted.shape, orientation
        loss = 20 if way.startswith("jpeg") else 0
        assert np.abs(found.astype(int) - wanted).max() <= loss, orientation
        assert image_form(content).orientation == orientation


@pytest.mark.parametrize("text", ["0", "9", "x", ""])
def test_an_xmp_orientation_of_nonsense_is_none(text: str) -> None:
    block = f'<rdf:Description tiff:Orientation="{text}"/>'.encode()
    content = jpeg_with(segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + block))
    assert decode_image(content).pixels.shape == RGB.shape
