"""Raw files of cameras: told by what they hold, and refused, since only the small preview in them can be read.

Most of them are TIFFs whose first picture is a thumbnail. A verdict on 256×192 pixels would look like one on the photo.
"""

from __future__ import annotations

from pathlib import PurePath
from typing import NoReturn

from crackscope.errors import ImageError
from crackscope.files.tiff import Directory, Tag, pages

__all__ = ["RAW_SUFFIXES", "raw_reason", "raw_start", "refuse_raw", "require_no_raw_tiff"]

RAW_SUFFIXES = frozenset(
    (
        *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".fff", ".gpr", ".iiq", ".k25", ".kdc"),
        *(".mef", ".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".sr2", ".srf"),
        *(".srw", ".x3f"),
    )
)
"""File name endings, in lower case, of raw files."""

_STARTS = {
    **{b"FUJIFILMCCD-RAW": "Fujifilm RAF", b"IIU\x00": "Panasonic RW2", b"FOVb": "Sigma X3F"},
    **{b"IIRO": "Olympus ORF", b"IIRS": "Olympus ORF", b"MMOR": "Olympus ORF", b"\x00MRM": "Minolta MRW"},
    b"II\x1a\x00\x00\x00HEAPCCDR": "Canon CRW",
}
_SENSOR = {32803, 34892}  # PhotometricInterpretation: colour filter array, linear raw (DNG 1.7)
# Compression: Sony ARW, packed (Epson), Samsung SRW (two), Nikon NEF, Kodak, Pentax PEF.
_PACKED_BY_A_CAMERA = {32767, 32769, 32770, 32772, 34713, 65000, 65535}


def raw_start(content: bytes) -> str | None:
    """Kind of raw file by the first bytes; None where they do not decide, as in TIFFs that need a closer look."""
    if content[4:12] == b"ftypcrx ":
        return "Canon CR3"
    if content[:4] in (b"II*\x00", b"MM\x00*"):
        return "Canon CR2" if content[8:10] == b"CR" else "Phase One IIQ" if content[8:12] in _PHASE_ONE else None
    return next((kind for start, kind in _STARTS.items() if content.startswith(start)), None)


_PHASE_ONE = (b"IIII", b"MMMM")


def require_no_raw_tiff(chain: list[Directory], path: str) -> None:
    """Refuse a TIFF that is a raw file, or of which only a thumbnail can be read.

    Args:
        chain: Directories of the file.
        path: Path of the file; the ending of a raw file confirms what a TIFF inside is.

    Raises:
        ImageError: With the size of the picture that can be read.
    """
    judged, below = pages(chain)[0], [sub for found in chain for sub in found.below()]
    for found in (*chain, *below):
        packed = found.value(Tag.COMPRESSION) in _PACKED_BY_A_CAMERA
        if packed or found.value(Tag.PHOTOMETRIC) in _SENSOR or found.values(Tag.DNG_VERSION):
            refuse_raw("DNG" if found.values(Tag.DNG_VERSION) else "", judged)
    if PurePath(path).suffix.lower() in RAW_SUFFIXES:
        refuse_raw(PurePath(path).suffix[1:].upper(), judged)
    n_largest = max((_n_pixels(sub) for sub in below), default=0)
    if n_largest > max(map(_n_pixels, chain)) or not judged.is_page:
        width, height = judged.size_wh
        raise ImageError(
            f"of this file only a thumbnail of {width}×{height} px can be read, as in a camera's raw file; "
            "export it as JPEG or TIFF"
        )


def refuse_raw(kind: str, judged: Directory | None = None) -> NoReturn:
    """Refuse a raw file.

    Args:
        kind: What is known of the kind, such as ``Canon CR3``.
        judged: The picture in it that could be read.

    Raises:
        ImageError: Always.
    """
    raise ImageError(raw_reason(kind, judged))


def raw_reason(kind: str, judged: Directory | None = None) -> str:
    """Reason why a raw file is refused; see `refuse_raw`."""
    width, height = judged.size_wh if judged else (0, 0)
    preview = f", of which only a picture of {width}×{height} px can be read" if width * height else ""
    return f"it is a camera's raw file{f' ({kind})' if kind else ''}{preview}; export it as JPEG or TIFF"


def _n_pixels(directory: Directory) -> int:
    return directory.size_wh[0] * directory.size_wh[1]
