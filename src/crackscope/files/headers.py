"""Headers: what an image file is, told by its first bytes, and what can be known of it before any pixel is decoded."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

import simplejpeg
from PIL import Image as pillow

from crackscope.errors import ImageError
from crackscope.files.raw_files import RAW_SUFFIXES, raw_start, refuse_raw, require_no_raw_tiff
from crackscope.files.tiff import Directory, Tag, as_first, directories, n_planes, pages, plane
from crackscope.files.wholeness import jpeg_segments

__all__ = [
    "OpenedFile",
    "frame_of",
    "jpeg_has_facts",
    "one_line",
    "open_file",
    "open_with_pillow",
    "plain_jpeg_size",
    "quiet_header",
]

_STARTS = {
    **{b"\xff\xd8": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP"},
    **{b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"II+\x00": "TIFF", b"MM\x00+": "TIFF"},
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_HEADER_LOCK = threading.Lock()


@contextmanager
def quiet_header() -> Iterator[None]:
    """Keep Pillow's warnings about odd metadata, and its own pixel limit, out of the way.

    Both are settings of the whole process: one thread at a time changes them, briefly, and puts them back.
    """
    with _HEADER_LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit = pillow.MAX_IMAGE_PIXELS
        pillow.MAX_IMAGE_PIXELS = None  # ours is checked by decode_image, per call
        try:
            yield
        finally:
            pillow.MAX_IMAGE_PIXELS = limit


@dataclass(frozen=True, eq=False)
class OpenedFile:
    """An image file whose header was read: what Pillow makes of it, its bytes, and what a TIFF says of its layout.

    Where the channels of a TIFF lie apart, `image` is the first of them, and `n_apart` is their number.
    """

    image: pillow.Image
    content: bytes
    page: str | None = None
    directory: Directory | None = None
    n_apart: int = 0


def open_file(content: bytes, path: str = "") -> OpenedFile:
    """Read the header of an image file alone.

    Args:
        content: The file's bytes.
        path: Path of the file; the ending of a raw file makes the reason clearer.

    Raises:
        ImageError: If it is no header of an image that can be read.
    """
    if not content:
        raise ImageError("the file is empty")
    kind = _kind(content)
    if raw := raw_start(content):
        refuse_raw(raw)
    if kind is None:
        if PurePath(path).suffix.lower() in RAW_SUFFIXES:
            refuse_raw(PurePath(path).suffix[1:].upper())
        raise ImageError(f"not an image that can be read: {_describe(content)}; save it as JPEG or PNG")
    if kind == "TIFF":
        return _open_tiff(content, path)
    image = open_with_pillow(content, kind)
    return OpenedFile(image, content, frame_of(image))


def _open_tiff(content: bytes, path: str) -> OpenedFile:
    """Read the header of a TIFF at its largest page."""
    chain = directories(content)
    require_no_raw_tiff(chain, path)
    there = pages(chain)
    judged = max(there, key=lambda found: found.size_wh[0] * found.size_wh[1])
    own = as_first(judged)
    page = f"{there.index(judged) + 1} of {len(there)}" if len(there) > 1 else None
    n_apart = n_planes(judged)
    first = plane(judged, 0) if n_apart else own
    try:
        image = open_with_pillow(first, "TIFF")
    except ImageError as error:
        bits, photometric = judged.values(Tag.BITS), judged.value(Tag.PHOTOMETRIC)
        if not bits or not all(judged.size_wh) or "damaged header" in str(error):
            raise
        raise ImageError(
            f"a TIFF with samples of {'+'.join(map(str, bits[:4]))} bits (photometric {photometric}) cannot be read; "
            "save it as JPEG, or as TIFF of 8 bits"
        ) from error
    return OpenedFile(image, own, page, judged, n_apart)


def frame_of(image: pillow.Image) -> str | None:
    """Which frame or picture of several an image stands at, such as ``1 of 3``; None where there is only one.

    The pictures behind a phone's JPEG are depth maps and previews, and do not count.
    """
    try:
        with quiet_header():
            n_frames = getattr(image, "n_frames", 1)
    except Exception:  # what follows the first frame is damaged
        return None
    return f"{image.tell() + 1} of {n_frames}" if n_frames > 1 and image.format != "MPO" else None


def open_with_pillow(content: bytes, kind: str) -> pillow.Image:
    """Read the header of a file of a known format.

    Args:
        content: The file's bytes.
        kind: Pillow's name of the format.

    Raises:
        ImageError: If the header is damaged, or Pillow does not know the layout.
    """
    with quiet_header():
        try:
            if kind == "HEIF":
                import pillow_heif

                pillow_heif.register_heif_opener()
            image = pillow.open(io.BytesIO(content), formats=(kind,))
            if kind == "TIFF":
                image.getexif()  # parsed here, where its warnings are quiet; decoding asks for it again
            return image
        except Exception as error:  # Pillow's plugins raise anything on damaged headers
            known = str(error).startswith("cannot identify")
            why = "damaged or truncated header" if known else f"damaged header: {one_line(error)}"
            raise ImageError(f"{kind}: {why}") from error


def _kind(content: bytes) -> str | None:
    """Pillow's name of the format, told by the first bytes, whatever the file is called."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        return "HEIF" if content[8:12] in _HEIF_BRANDS else None
    return next((kind for start, kind in _STARTS.items() if content.startswith(start)), None)


def _describe(content: bytes) -> str:
    if content[4:8] == b"ftyp":
        return "it begins like " + ("an AVIF" if content[8:12] in (b"avif", b"avis") else "a video")
    kinds = {b"%PDF": "a PDF", b"PK\x03\x04": "a zip archive", b"GIF8": "a GIF", b"<": "text or markup"}
    for start, kind in kinds.items():
        if content[:64].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(start):
            return f"it begins like {kind}"
    return f"it begins with {content[:4].hex(' ')}"


def one_line(error: Exception) -> str:
    """What an error says, in one line of at most 120 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."


def plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG that is grey or colour; None of anything else, such as CMYK or a damaged header."""
    if not content.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    except (ValueError, KeyError):
        return None  # Pillow will say what is wrong with it
    return None if colours in ("CMYK", "YCCK") else (width, height)


def jpeg_has_facts(content: bytes) -> bool:
    """Whether a JPEG has an Exif or an XMP block, wherever before its pixels."""
    starts = b"Exif\x00\x00", b"http://ns.adobe.com/xap/"
    return any(marker == 0xE1 and content.startswith(starts, at) for marker, at, _ in jpeg_segments(content))
