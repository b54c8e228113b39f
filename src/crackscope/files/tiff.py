"""TIFF files: which of their pictures are pages, whether all of the pixels are there, and channels that lie apart.

A TIFF is a chain of directories, one for each picture, and each may name further ones below it (SubIFDs). A directory
says where the strips or tiles of its picture lie. Pillow believes it: what is missing stays black. Where channels lie
apart, Pillow reads some of them wrongly. So both are looked at here, after TIFF 6.0 and its BigTIFF form.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import ceil

from crackscope.errors import ImageError

__all__ = ["Directory", "Tag", "as_first", "directories", "n_planes", "pages", "plane", "require_whole_tiff"]


class Tag:
    """Numbers of the tags that are read."""

    NEW_SUBFILE_TYPE = 254
    WIDTH = 256
    HEIGHT = 257
    BITS = 258
    COMPRESSION = 259
    PHOTOMETRIC = 262
    STRIP_OFFSETS = 273
    ORIENTATION = 274
    SAMPLES = 277
    ROWS_PER_STRIP = 278
    STRIP_SIZES = 279
    PLANAR = 284
    TILE_WIDTH = 322
    TILE_HEIGHT = 323
    TILE_OFFSETS = 324
    TILE_SIZES = 325
    SUB_DIRECTORIES = 330
    EXTRA_SAMPLES = 338
    SAMPLE_FORMAT = 339
    YCBCR_SUBSAMPLING = 530
    DNG_VERSION = 50706


_KIND_BYTES = {**dict.fromkeys((1, 2, 6, 7), 1), 3: 2, 8: 2, **dict.fromkeys((5, 10, 12, 16, 17, 18), 8)}  # else 4
_WHOLE_NUMBERS = {1: "B", 3: "H", 4: "I", 7: "B", 13: "I", 16: "Q", 18: "Q"}  # struct's letters by the entry's type
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_MOST_DIRECTORIES = 10_000  # more are hostile
_SHORT = "truncated or damaged header"


@dataclass(frozen=True)
class Directory:
    """One directory of a TIFF.

    Attributes:
        content: Bytes of the whole file.
        offset: Offset of the directory.
        entries: Type, number of values and offset of the values, by tag.
    """

    content: bytes
    offset: int
    entries: Mapping[int, tuple[int, int, int]]

    def values(self, tag: int) -> tuple[int, ...]:
        """Whole numbers of a tag; none where the tag is missing or of another type.

        Raises:
            ImageError: If the file ends before the values do.
        """
        kind, n_values, at = self.entries.get(tag, (0, 0, 0))
        if (letter := _WHOLE_NUMBERS.get(kind)) is None:
            return ()
        return _unpack(self.content, f"{n_values}{letter}", at)

    def value(self, tag: int, otherwise: int = 0) -> int:
        """First number of a tag, or `otherwise` where there is none."""
        return next(iter(self.values(tag)), otherwise)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels, as stored."""
        return self.value(Tag.WIDTH), self.value(Tag.HEIGHT)

    @property
    def is_page(self) -> bool:
        """Whether it holds a picture of its own, neither a reduced copy of another one nor a mask."""
        return not self.value(Tag.NEW_SUBFILE_TYPE) & (_REDUCED | _MASK)

    def below(self) -> list[Directory]:
        """Directories that this one names as SubIFDs."""
        return [found for offset in self.values(Tag.SUB_DIRECTORIES) for found, _ in [_read(self.content, offset)]]


def directories(content: bytes) -> list[Directory]:
    """The chain of directories, one for each picture.

    Raises:
        ImageError: If the header or a directory is cut short, or there is no directory.
    """
    chain: dict[int, Directory] = {}
    (offset,) = _unpack(content, "Q", 8) if _is_big(content) else _unpack(content, "I", 4)
    while offset and offset not in chain and len(chain) < _MOST_DIRECTORIES:  # a chain may bite its own tail
        chain[offset], offset = _read(content, offset)
    if not chain:
        raise ImageError(f"TIFF: {_SHORT}")
    return list(chain.values())


def pages(chain: list[Directory]) -> list[Directory]:
    """Pictures that are pages; reduced copies and masks are none, unless there is nothing else."""
    return [found for found in chain if found.is_page] or chain


def as_first(directory: Directory) -> bytes:
    """The file with this directory as its first, so that a reader of the first picture reads this one.

    Where there is one channel, a note that the channels lie apart is left out: Pillow stumbles over it.
    """
    if directory.value(Tag.PLANAR, 1) == 2 and directory.value(Tag.SAMPLES, 1) == 1:
        return _with_entries(directory, {Tag.PLANAR: [1]})
    return _pointing_at(directory.content, directory.offset)


def require_whole_tiff(directory: Directory) -> None:
    """Refuse a picture of which strips or tiles are missing, or end beyond the file.

    Raises:
        ImageError: If so, with what is missing.
    """
    _require_enough(directory)
    what, offsets, sizes, n_wanted = _pieces(directory)
    width, height = directory.size_wh
    if what == "strip" and len(offsets) > n_wanted:
        raise ImageError(
            f"damaged TIFF: it has {len(offsets)} strips, and {width}×{height} px need {n_wanted}, so rows would be "
            "left out; export it again"
        )
    wanted = list(_bytes_of_pieces(directory, what, n_wanted))
    for number, (offset, size, least) in enumerate(zip(offsets, sizes or wanted, wanted, strict=False), 1):
        if not offset or size < max(least, 1) or offset + size > len(directory.content):
            raise ImageError(f"truncated TIFF: {what} {number} of {n_wanted} is not whole; export it again")
    if n_wanted == 1 and what == "strip" and sizes and wanted[0] and sizes[0] >= wanted[0] * (height + 1) / height:
        raise ImageError(
            f"damaged TIFF: its strip holds more rows than the height of {height} px says; export it again"
        )


def _require_enough(directory: Directory) -> None:
    what, offsets, sizes, n_wanted = _pieces(directory)
    width, height = directory.size_wh
    if min(len(offsets), len(sizes or offsets)) < n_wanted:
        raise ImageError(
            f"truncated TIFF: {width}×{height} px need {n_wanted} {what}s, it has {len(offsets)}; export it again"
        )


def n_planes(directory: Directory) -> int:
    """Number of channels of a picture whose channels lie apart (PlanarConfiguration 2); 0 if they lie side by side."""
    n_samples = directory.value(Tag.SAMPLES, 1)
    return n_samples if directory.value(Tag.PLANAR, 1) == 2 and n_samples > 1 else 0


def plane(directory: Directory, number: int) -> bytes:
    """A TIFF of one channel of a picture whose channels lie apart.

    It is the same file with a further directory, which names the strips or tiles of that channel alone. So the decoder
    for a grey picture, which is known to be right, reads it, whatever packs it. All other entries, such as the
    orientation, are those of the picture.

    Args:
        directory: The picture.
        number: Number of the channel, from 0.

    Raises:
        ImageError: If strips or tiles are missing.
    """
    what, offsets, sizes, n_all = _pieces(directory)
    _require_enough(directory)
    n_each = n_all // directory.value(Tag.SAMPLES, 1)
    if not n_each:
        raise ImageError(f"TIFF: {_SHORT}")
    part = slice(number * n_each, (number + 1) * n_each)
    at, of_size = (Tag.STRIP_OFFSETS, Tag.STRIP_SIZES) if what == "strip" else (Tag.TILE_OFFSETS, Tag.TILE_SIZES)
    entries = {Tag.BITS: [directory.value(Tag.BITS, 1)], Tag.PHOTOMETRIC: [1], Tag.SAMPLES: [1], Tag.PLANAR: [1]}
    entries |= {at: list(offsets[part])} | ({of_size: list(sizes[part])} if sizes else {})
    return _with_entries(directory, entries)


# The bytes


def _order(content: bytes) -> str:
    return ">" if content[:2] == b"MM" else "<"


def _is_big(content: bytes) -> bool:
    return content[2:4] in (b"+\x00", b"\x00+")


def _unpack(content: bytes, letters: str, at: int) -> tuple[int, ...]:
    try:
        return struct.unpack_from(_order(content) + letters, content, at)
    except (struct.error, OverflowError, MemoryError) as error:
        raise ImageError(f"TIFF: {_SHORT}") from error


def _read(content: bytes, offset: int) -> tuple[Directory, int]:
    """A directory, and the offset of the next one."""
    count, row, pointer, inline = ("Q", "HHQ", "Q", 8) if _is_big(content) else ("H", "HHI", "I", 4)
    step = struct.calcsize(f"<{row}") + inline
    (n_rows,) = _unpack(content, count, offset)
    first = offset + struct.calcsize(f"<{count}")
    if first + n_rows * step > len(content):
        raise ImageError(f"TIFF: {_SHORT}")
    entries = {}
    for at in range(first, first + n_rows * step, step):
        tag, kind, n_values = _unpack(content, row, at)
        place = at + step - inline
        n_bytes = n_values * _KIND_BYTES.get(kind, 4)
        entries[tag] = kind, n_values, place if n_bytes <= inline else _unpack(content, pointer, place)[0]
    behind = first + n_rows * step
    following = _unpack(content, pointer, behind)[0] if behind + inline <= len(content) else 0
    return Directory(content, offset, entries), following


def _pieces(directory: Directory) -> tuple[str, tuple[int, ...], tuple[int, ...], int]:
    """What the pixels lie in (strips or tiles), the offset and size of each, and how many there must be."""
    width, height = directory.size_wh
    n_planes = directory.value(Tag.SAMPLES, 1) if directory.value(Tag.PLANAR, 1) == 2 else 1
    if directory.values(Tag.TILE_OFFSETS):
        across = ceil(width / max(1, directory.value(Tag.TILE_WIDTH)))
        down = ceil(height / max(1, directory.value(Tag.TILE_HEIGHT)))
        offsets, sizes = directory.values(Tag.TILE_OFFSETS), directory.values(Tag.TILE_SIZES)
        return "tile", offsets, sizes, across * down * n_planes
    rows = min(height, directory.value(Tag.ROWS_PER_STRIP, height)) or 1
    offsets, sizes = directory.values(Tag.STRIP_OFFSETS), directory.values(Tag.STRIP_SIZES)
    return "strip", offsets, sizes, ceil(height / rows) * n_planes


def _bytes_of_pieces(directory: Directory, what: str, n_pieces: int) -> Iterator[int]:
    """Least number of bytes of each piece; 0 where it is packed, so that nobody can say."""
    width, height = directory.size_wh
    n_planes = directory.value(Tag.SAMPLES, 1) if directory.value(Tag.PLANAR, 1) == 2 else 1
    bits = directory.values(Tag.BITS) or (1,)
    n_samples = directory.value(Tag.SAMPLES, len(bits))
    n_bits = bits[0] if n_planes > 1 else sum(bits) if len(bits) == n_samples else bits[0] * n_samples
    if directory.value(Tag.COMPRESSION, 1) != 1 or directory.values(Tag.YCBCR_SUBSAMPLING):
        yield from [0] * n_pieces
    elif what == "tile":
        n_bytes = ceil(directory.value(Tag.TILE_WIDTH) * n_bits / 8) * directory.value(Tag.TILE_HEIGHT)
        yield from [n_bytes] * n_pieces
    else:
        rows = min(height, directory.value(Tag.ROWS_PER_STRIP, height)) or 1
        for number in range(n_pieces):
            top = number % (n_pieces // n_planes) * rows
            yield ceil(width * n_bits / 8) * min(rows, height - top)


def _with_entries(directory: Directory, entries: Mapping[int, list[int]]) -> bytes:
    """The file with one more directory at its end, which becomes the first: a copy with some entries replaced."""
    content = directory.content
    order, big = _order(content), _is_big(content)
    count, row, letter, own_kind = ("Q", "HHQ", "Q", 16) if big else ("H", "HHI", "I", 4)
    inline = struct.calcsize(f"<{letter}")
    start = len(content) + -len(content) % inline
    dropped = {Tag.EXTRA_SAMPLES, Tag.SAMPLE_FORMAT} if Tag.SAMPLES in entries else set()
    tags = sorted(set(directory.entries) - dropped | set(entries))
    behind = start + struct.calcsize(f"<{count}") + len(tags) * (struct.calcsize(f"<{row}") + inline) + inline
    rows, values = b"", b""
    for tag in tags:
        if tag in entries:
            kind, n_values = own_kind, len(entries[tag])
            packed = _packed(order, letter, entries[tag])
            place = packed if len(packed) == inline else struct.pack(order + letter, behind + len(values))
            values += packed if len(packed) != inline else b""
        else:
            kind, n_values, at = directory.entries[tag]
            fits = n_values * _KIND_BYTES.get(kind, 4) <= inline
            place = content[at : at + inline] if fits else struct.pack(order + letter, at)
        rows += struct.pack(order + row, tag, kind, n_values) + place
    added = struct.pack(order + count, len(tags)) + rows + bytes(inline) + values
    return _pointing_at(content.ljust(start, b"\x00") + added, start)


def _packed(order: str, letter: str, numbers: list[int]) -> bytes:
    try:
        return struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
    except struct.error as error:  # an offset that no file of this kind can have
        raise ImageError(f"TIFF: {_SHORT}") from error


def _pointing_at(content: bytes, offset: int) -> bytes:
    """The file with another offset of the first directory in its header."""
    place, letter = (8, "Q") if _is_big(content) else (4, "I")
    packed = struct.pack(_order(content) + letter, offset)
    return content if content.startswith(packed, place) else content[:place] + packed + content[place + len(packed) :]
