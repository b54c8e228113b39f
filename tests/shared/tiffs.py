"""TIFF files written byte by byte after the specification (TIFF 6.0), in layouts that no library writes at will."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Samples: TypeAlias = npt.NDArray[Any]
Entries: TypeAlias = Mapping[int, int | Sequence[int] | bytes]
"""Values by tag: whole numbers become LONG, bytes become BYTE."""

COMPRESSIONS = {"none": 1, "lzw": 5, "deflate": 8, "packbits": 32773}
_LITERALS = 250  # an LZW code has nine bits as long as the table holds fewer than 511 entries


def tiff(
    samples: Samples,
    *,
    planar: bool = False,
    compression: str = "none",
    tile_px: int | None = None,
    rows_per_strip: int | None = None,
    order: str = "<",
    predictor: int = 1,
    extra: int = 2,
    tags: Entries | None = None,
    below: Sequence[bytes] = (),
) -> bytes:
    """One TIFF with the given layout.

    Args:
        samples: Samples (height, width, n) of 8 or 16 bits: grey, grey and alpha, RGB, or RGB and alpha.
        planar: Whether each channel lies by itself (PlanarConfiguration 2).
        compression: One of `COMPRESSIONS`.
        tile_px: Side of a tile; without it, the pixels lie in strips.
        rows_per_strip: Rows of a strip; without it, there is one strip.
        order: `<` for little endian (II), `>` for big endian (MM).
        predictor: 1 for none, 2 for differences along a row.
        extra: ExtraSamples of an alpha channel: 1 multiplied into the colours, 2 not.
        tags: More entries, or others than the layout gives.
        below: Directories that `ifd` wrote, to be named by the tag SubIFDs; all of them hold no offsets.
    """
    height, width, n = samples.shape
    n_bits = samples.dtype.itemsize * 8
    planes = [samples[:, :, [k]] for k in range(n)] if planar else [samples]
    pieces = [piece for plane in planes for piece in _pieces(plane, tile_px, rows_per_strip or height)]
    packed = [_packed(piece, compression, predictor, order) for piece in pieces]
    content = bytearray((b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 0))
    offsets = []
    for one in packed:
        offsets.append(len(content))
        content += one + b"\x00" * (len(one) % 2)
    sizes = [len(one) for one in packed]
    entries: dict[int, int | Sequence[int] | bytes] = {
        **{256: width, 257: height, 258: [n_bits] * n, 259: COMPRESSIONS[compression], 262: 2 if n > 2 else 1},
        **{277: n, 284: 2 if planar else 1},
        **({338: extra} if n in (2, 4) else {}),
        **({317: predictor} if predictor != 1 else {}),
    }
    if tile_px is None:
        entries |= {273: offsets, 278: rows_per_strip or height, 279: sizes}
    else:
        entries |= {322: tile_px, 323: tile_px, 324: offsets, 325: sizes}
    if below:
        places = []
        for one in below:
            places.append(len(content))
            content += one
        entries[330] = places
    first = len(content)
    content[4:8] = struct.pack(f"{order}I", first)
    return bytes(content) + ifd(entries | dict(tags or {}), first, order)


def ifd(entries: Entries, at: int = 0, order: str = "<", following: int = 0) -> bytes:
    """A directory of a TIFF, with the values that do not fit into its entries behind it.

    Args:
        entries: Values by tag.
        at: Offset of the directory in the file.
        order: `<` for little endian, `>` for big endian.
        following: Offset of the next directory; 0 for none.
    """
    rows, values = b"", b""
    behind = at + 2 + 12 * len(entries) + 4
    for tag, value in sorted(entries.items()):
        numbers = [value] if isinstance(value, int) else value
        is_bytes = isinstance(numbers, bytes)
        packed = bytes(numbers) if is_bytes else struct.pack(f"{order}{len(numbers)}I", *numbers)
        place = packed.ljust(4, b"\x00") if len(packed) <= 4 else struct.pack(f"{order}I", behind + len(values))
        values += packed + b"\x00" * (len(packed) % 2) if len(packed) > 4 else b""
        rows += struct.pack(f"{order}HHI", tag, 1 if is_bytes else 4, len(numbers)) + place
    return struct.pack(f"{order}H", len(entries)) + rows + struct.pack(f"{order}I", following) + values


def _pieces(plane: Samples, tile_px: int | None, rows: int) -> list[Samples]:
    """Strips of a plane, or its tiles, which are filled up at the edges."""
    height, width = plane.shape[:2]
    if tile_px is None:
        return [plane[top : top + rows] for top in range(0, height, rows)]
    room = ((0, -height % tile_px), (0, -width % tile_px), (0, 0))
    full = np.pad(plane, room)
    return [
        full[top : top + tile_px, left : left + tile_px]
        for top in range(0, height, tile_px)
        for left in range(0, width, tile_px)
    ]


def _packed(piece: Samples, compression: str, predictor: int, order: str) -> bytes:
    if predictor == 2:
        piece = piece.copy()
        piece[:, 1:] -= piece[:, :-1].copy()  # wraps around, as the specification wants
    rows = [row.astype(row.dtype.newbyteorder(order)).tobytes() for row in piece]
    if compression == "packbits":
        return b"".join(map(_packbits, rows))
    content = b"".join(rows)
    return content if compression == "none" else _lzw(content) if compression == "lzw" else zlib.compress(content)


def _packbits(row: bytes) -> bytes:
    """A row in literal runs of at most 128 bytes."""
    runs = [row[at : at + 128] for at in range(0, len(row), 128)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def _lzw(content: bytes) -> bytes:
    """Codes of nine bits: literals, and a code that clears the table before it would need ten bits."""
    codes: list[int] = []
    for at in range(0, len(content), _LITERALS):
        codes += [256, *content[at : at + _LITERALS]]
    bits = "".join(f"{code:09b}" for code in (*codes, 257))
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")
