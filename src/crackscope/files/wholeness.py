"""Whole files: what decoders let pass although a part of the photo is missing, or is left out.

A decoder fills what is missing with black or grey, and leaves out rows that the header does not count. So the files are
looked at here beside decoding: PNG by its chunks and the length of its data, JPEG by its scans, BMP by its rows.
TIFF is looked at in `tiff`. Decoders of WebP and HEIC refuse half a file themselves.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from math import ceil

import numpy as np

from crackscope.errors import ImageError

__all__ = ["jpeg_segments", "require_all_scans", "require_nothing_unread", "require_whole_bmp", "require_whole_png"]

_STEP_BYTES = 1 << 20
_PNG_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # samples a pixel by colour type
# First column and row, and steps, of the seven passes of an interlaced PNG.
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # neither a stuffed zero, nor a restart, nor a fill byte
_STRAY_BYTES = 16  # a row of blocks takes more, stray bytes of cameras less or they are all alike
_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")


# PNG


def require_whole_png(content: bytes) -> None:
    """Refuse a PNG whose chunks are damaged or cut short, or whose data are fewer or more than its size needs.

    Raises:
        ImageError: With what is missing.
    """
    parts, ended = [], False
    for kind, data, sum_is_right in _png_chunks(content):
        if kind in (b"IHDR", b"PLTE", b"IDAT") and not sum_is_right:
            raise ImageError(f"damaged PNG: the checksum of its chunk {kind.decode()} is wrong; export it again")
        if kind == b"IDAT":
            parts.append(data)
        ended = kind == b"IEND"
    if not ended:
        raise ImageError("truncated PNG: its end is missing; export it again")
    height, n_wanted = _png_bytes(content)
    n_found = _inflated_bytes(parts, n_wanted)
    if n_found < n_wanted:
        share = 100 * n_found // n_wanted
        raise ImageError(f"truncated PNG: its data end after {share} % of the picture; export it again")
    if n_found >= n_wanted + n_wanted / height:
        raise ImageError(f"damaged PNG: its data hold more rows than its height of {height} px; export it again")


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Kind, data, and whether the checksum is right, of each whole chunk up to the end of the picture."""
    view, at = memoryview(content), 8
    while at + 12 <= len(content):
        (n_bytes,) = struct.unpack_from(">I", content, at)
        if at + 12 + n_bytes > len(content):
            return
        kind, data = content[at + 4 : at + 8], view[at + 8 : at + 8 + n_bytes]
        wanted = struct.unpack_from(">I", content, at + 8 + n_bytes)[0]
        yield kind, data, zlib.crc32(data, zlib.crc32(kind)) == wanted
        if kind == b"IEND":
            return
        at += 12 + n_bytes


def _png_bytes(content: bytes) -> tuple[int, int]:
    """Height, and the bytes of all rows, each with its filter byte, by the header."""
    width, height, bits, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", content, 16)
    n_bits = bits * _PNG_SAMPLES.get(colour, 1)
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(ceil((width - x) / dx), ceil((height - y) / dy)) for x, y, dx, dy in passes]
    return height, sum(rows * (1 + ceil(columns * n_bits / 8)) for columns, rows in sizes if columns > 0 and rows > 0)


def _inflated_bytes(parts: list[memoryview], n_wanted: int) -> int:
    """Bytes that the data unpack to; counting stops above twice what is wanted."""
    unpacked, n_found = zlib.decompressobj(), 0
    try:
        for part in parts:
            rest: bytes | memoryview = part
            while rest and n_found <= 2 * n_wanted:
                n_found += len(unpacked.decompress(rest, _STEP_BYTES))
                rest = unpacked.unconsumed_tail
    except zlib.error as error:
        raise ImageError(f"truncated or damaged PNG: {error}") from error
    return n_found


# JPEG


def jpeg_segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, begin and end of the data of each segment of a JPEG, up to the first scan, which is included."""
    at = 2
    while (at := content.find(b"\xff", at)) >= 0 and at + 4 <= len(content):
        marker = content[at + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # junk, fill bytes, and markers without data
            at += 1 if marker == 0xFF else 2
            continue
        end = at + 2 + struct.unpack_from(">H", content, at + 2)[0]
        yield marker, at + 4, end
        if marker in (0xD9, 0xDA):
            return
        at = end


def require_all_scans(content: bytes) -> None:
    """Refuse a JPEG of several scans of which some are missing.

    A progressive JPEG sends the coefficients of a block band by band, and the bits of each one after the other. Each
    component must have got the last bit of all 64 coefficients.

    Raises:
        ImageError: If a scan is missing.
    """
    missing: dict[int, list[int]] = {}  # the lowest bit that is still to come, by component and coefficient
    for marker, begin, end in jpeg_segments(content):
        if marker in (0xC0, 0xC1, 0xC2, 0xC9, 0xCA):
            frame = content[begin:end]
            missing = {one: [1] * 64 for one in frame[6 : 6 + 3 * frame[5] : 3]}
        elif marker == 0xDA:
            _take_scan(content[begin:end], missing)
            if any(map(any, missing.values())):  # a single scan of a usual JPEG holds all
                _take_further_scans(content, end, missing)
    if any(map(any, missing.values())):
        raise ImageError("truncated JPEG: the last of its scans are missing; export it again")


def _take_further_scans(content: bytes, at: int, missing: dict[int, list[int]]) -> None:
    while (found := _MARKER.search(content, at)) and content[found.start() + 1] != 0xD9:
        begin = found.start() + 4
        if begin > len(content):
            return
        at = begin - 2 + struct.unpack_from(">H", content, begin - 2)[0]
        if content[begin - 3] == 0xDA:
            _take_scan(content[begin:at], missing)


def _take_scan(header: bytes, missing: dict[int, list[int]]) -> None:
    """Note which coefficients a scan completes."""
    if not header or len(header) < 4 + 2 * header[0]:
        return
    first, last, bits = header[1 + 2 * header[0] : 4 + 2 * header[0]]
    for component in header[1 : 1 + 2 * header[0] : 2]:
        if component in missing and first <= last < 64:
            missing[component][first : last + 1] = [bits & 15] * (last + 1 - first)


def require_nothing_unread(content: bytes, complaint: str) -> None:
    """Refuse a JPEG in which data go on where its last row should end: its height was made smaller.

    Some cameras leave a few stray bytes, or many that are alike, before the end.

    Args:
        content: Bytes of the file.
        complaint: What libjpeg said: how many bytes were left over, and before which marker.

    Raises:
        ImageError: If these bytes are a part of the picture.
    """
    found = _STRAY.search(complaint)
    if found is None or int(found[1]) <= _STRAY_BYTES:
        return
    scan = next((end for marker, _, end in jpeg_segments(content) if marker == 0xDA), len(content))
    after = _MARKER.search(content, scan)
    if after and found[2] == "d9":
        stray = np.frombuffer(content[after.start() - int(found[1]) : after.start()], np.uint8)
        if stray.size and stray.min() == stray.max():
            return
    raise ImageError(
        f"damaged JPEG: {found[1]} bytes of the picture follow after its last row, so the height in its header is too "
        "small; export it again"
    )


# BMP


def require_whole_bmp(content: bytes) -> None:
    """Refuse a BMP that says it holds more bytes of picture than its rows take up.

    Raises:
        ImageError: If at least one row would be left out.
    """
    if len(content) < 38 or struct.unpack_from("<I", content, 14)[0] < 40:
        return
    width, height, _, bits, packing, n_stated = struct.unpack_from("<iiHHII", content, 18)
    stride = (abs(width) * bits + 31) // 32 * 4
    if packing in (0, 3) and n_stated >= (abs(height) + 1) * stride > 0:
        raise ImageError(f"damaged BMP: it holds more rows than its height of {abs(height)} px; export it again")
