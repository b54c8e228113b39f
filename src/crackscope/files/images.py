"""Images: any image file becomes an `Image`, RGB, 8 bits, upright, with the time and place that the camera noted.

JPEGs are decoded by simplejpeg: as fast as OpenCV, but it raises what libjpeg finds wrong, where OpenCV writes that
straight to the terminal and carries on with grey. Pillow reads metadata and every other format. Whatever cannot be read
whole is refused with a reason, never repaired: half a photo is no evidence.
"""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags
from PIL import Image as pillow

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, ImageError

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_MEGAPIXELS",
    "Image",
    "ImageForm",
    "decode_image",
    "from_pillow",
    "image_form",
    "image_size",
    "read_image",
    "require_rgb",
]


MAX_MEGAPIXELS = 300.0
"""Default limit: a 300-megapixel panorama decodes to 0.9 GB; above that a file is more likely hostile."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".heif"})
"""File name endings, in lower case, that are taken for images when a folder is listed."""

_STARTS = {
    **{b"\xff\xd8": "JPEG", b"\x89PNG\r\n\x1a\n": "PNG", b"BM": "BMP"},
    **{b"II*\x00": "TIFF", b"MM\x00*": "TIFF", b"II+\x00": "TIFF", b"MM\x00+": "TIFF"},
}
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
_BYTES_A_PIXEL = 8  # four samples of 16 bits, the most that is read, uncompressed
_ROOM_FOR_METADATA = 64_000_000
# cv2.rotate and cv2.flip codes for EXIF orientations 2 to 8 (Exif 2.32, tag 0x0112).
_FLIPS = {2: 1, 3: -1, 4: 0}
_TURNS = {6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
_STRIP_PX = 512
_HEADER_LOCK = threading.Lock()
_LARGE_MEGAPIXELS = 40
_one_large_image = threading.Lock()


@dataclass(frozen=True, eq=False)
class Image:
    """An image as the camera gave it, upright, with the time and place that the camera noted.

    Attributes:
        pixels: Picture, shape (H, W, 3), uint8, RGB, EXIF orientation applied.
        path: Path as the caller wrote it; empty for an array.
        taken_at: Local time on the camera's clock (EXIF DateTimeOriginal), with an offset from UTC where it was noted;
            None where no time was.
        latitude_deg: Degrees north, WGS 84 as EXIF gives it, -90 to 90; None where not noted.
        longitude_deg: Degrees east, WGS 84 as EXIF gives it, -180 to 180; None where not noted.
    """

    pixels: UInt8Array
    path: str = ""
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None


def read_image(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Read one image file: JPEG, PNG, TIFF, BMP, WebP or HEIC, told by its content.

    Args:
        path: Path of the file.
        max_megapixels: Limit in megapixels; a larger image is refused before its pixels are decoded.

    Returns:
        The image: upright, RGB, 8 bits. The first frame is taken of files with several, and the upper eight bits of
        16-bit samples.

    Raises:
        ImageError: If the file is missing, empty, truncated, not an image, or above the limit.

    Example:
        >>> import tempfile
        >>> import crackscope
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     walls = crackscope.draw_dataset(folder, n_photos=1, patches_per_photo=4, side_px=64)
        ...     crackscope.read_image(next(walls.parent.rglob("*.jpg"))).pixels.shape
        (64, 64, 3)
    """
    place = Path(path)
    try:
        status = place.stat()
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device would never end
            raise ImageError("not a file" if not stat.S_ISDIR(status.st_mode) else "a folder, not a file")
        if status.st_size > max_megapixels * 1e6 * _BYTES_A_PIXEL + _ROOM_FOR_METADATA:
            raise ImageError(f"{status.st_size / 1e9:.1f} GB is too large for {max_megapixels:g} megapixels")
        content = place.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a zero byte inside the path
        raise ImageError(f"cannot be read: {error}") from error
    return decode_image(content, path=str(path), max_megapixels=max_megapixels)


def decode_image(content: bytes, *, path: str = "", max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Decode the bytes of one image file.

    The first frame is taken of files with several. Of 16-bit samples the upper eight bits are taken, so
    white stays white. Transparent pixels are laid on white. Other colour models are converted by Pillow.

    Args:
        content: The file's bytes.
        path: Kept in the result, for messages and rows.
        max_megapixels: A larger image is refused before its pixels are decoded.

    Raises:
        ImageError: With the reason, if the bytes are not one whole image within the limit.
    """
    if (size := _plain_jpeg_size(content)) is None:
        return _from_opened(_open(content), path, max_megapixels)
    _require_within(size, max_megapixels)
    with _room_for(size):
        pixels = _decode_jpeg(content)
        if b"Exif\x00\x00" not in content[:_JPEG_METADATA]:
            return Image(pixels, path)
        return _with_facts(pixels, _open(content), path)


def from_pillow(image: pillow.Image, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """A PIL image as an `Image`: its EXIF orientation is applied, as it is for a file.

    Args:
        image: The PIL image, of any mode that a file may have; it is left as it is.
        max_megapixels: A larger image is refused before its pixels are decoded.

    Raises:
        ImageError: If its file is cut short, its samples have no stated range, or it is above the limit.
    """
    return _from_opened(image, str(getattr(image, "filename", "")), max_megapixels)


def _from_opened(image: pillow.Image, path: str, max_megapixels: float) -> Image:
    _require_within(image.size, max_megapixels)
    with _room_for(image.size):
        return _with_facts(_decode(image), image, path)


def _room_for(size_wh: tuple[int, int]) -> AbstractContextManager[object]:
    """Large images are decoded one at a time: each takes up to six bytes a pixel while it is turned upright."""
    return _one_large_image if size_wh[0] * size_wh[1] > _LARGE_MEGAPIXELS * 1e6 else nullcontext()


def _with_facts(pixels: UInt8Array, image: pillow.Image, path: str) -> Image:
    """Pixels turned upright, with the time and place that the camera noted.

    Asked after decoding: Pillow turns a TIFF, and libheif a HEIC, itself, and then no longer reports it.
    """
    with _quiet_header():
        exif = _exif(image)
        orientation, taken_at, place = exif.get(ExifTags.Base.Orientation), _taken_at(exif), _place(exif)
    return Image(_apply_orientation(pixels, orientation), path, taken_at, *place)


def require_rgb(pixels: object) -> None:
    """Refuse an array that is no RGB image.

    Raises:
        DataError: If it is no array (H, W, 3) of uint8.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"an image must be an array (H, W, 3) of uint8 RGB; found {found}.")


def image_size(content: bytes) -> tuple[int, int]:
    """Read (height, width) in pixels from the header, as stored in the file; the pixels themselves may be missing.

    Args:
        content: The file's bytes.

    Raises:
        ImageError: If the header is damaged, or of no image.
    """
    width, height = _plain_jpeg_size(content) or _open(content).size
    return height, width


@dataclass(frozen=True)
class ImageForm:
    """How an image lies in its file, by the header alone.

    Attributes:
        height_px: Height as stored in the file, in pixels.
        width_px: Width as stored in the file, in pixels.
        mode: Pillow's word for its samples, such as ``RGB``, ``L`` (grey), ``CMYK`` or ``I;16``.
        orientation: Orientation by EXIF, 1 to 8; 1 is upright, and is taken where none is noted.
    """

    height_px: int
    width_px: int
    mode: str
    orientation: int = 1


def image_form(content: bytes) -> ImageForm:
    """Size, mode and orientation of the bytes of an image file; nothing is decoded.

    Raises:
        ImageError: If the header is damaged, or of no image.
    """
    size = _plain_jpeg_size(content)
    if size is not None and b"Exif\x00\x00" not in content[:_JPEG_METADATA]:
        grey = simplejpeg.decode_jpeg_header(content, strict=False)[2] == "Gray"
        return ImageForm(size[1], size[0], "L" if grey else "RGB")
    image = _open(content)
    with _quiet_header():
        orientation: Any = _exif(image).get(ExifTags.Base.Orientation)
    deep = image.format == "PNG" and content[24:25] == b"\x10" and "16" not in image.mode  # bits a sample, in IHDR
    mode = f"{image.mode};16" if deep else image.mode
    return ImageForm(image.height, image.width, mode, orientation if orientation in range(1, 9) else 1)


def _require_within(size_wh: tuple[int, int], max_megapixels: float) -> None:
    width, height = size_wh
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"{width}×{height} px is {width * height / 1e6:.0f} megapixels, above the limit of {max_megapixels:g}; "
            "raise it with --max-megapixels if the file is trusted"
        )


# The header


@contextmanager
def _quiet_header() -> Iterator[None]:
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


def _open(content: bytes) -> pillow.Image:
    """Read the header alone, with a reason where it is none."""
    if not content:
        raise ImageError("the file is empty")
    kind = _kind(content)
    if kind is None:
        raise ImageError(f"not an image that can be read: {_describe(content)}; save it as JPEG or PNG")
    with _quiet_header():
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
            why = "damaged or truncated header" if known else f"damaged header: {_one_line(error)}"
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


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 120 else text[:117] + "..."


# The pixels

# The first segments of a JPEG, with EXIF among them, are at most 64 KB each.
_JPEG_METADATA = 4 * 65_536
# libjpeg's words for bytes that stand where none should and hurt nothing: some phones leave them.
_HARMLESS = "extraneous bytes before marker"


def _plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """(width, height) of a JPEG that is grey or colour; None of anything else, such as CMYK or a damaged header."""
    if not content.startswith(b"\xff\xd8"):
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content, strict=False)
    except (ValueError, KeyError):
        return None  # Pillow will say what is wrong with it
    return None if colours in ("CMYK", "YCCK") else (width, height)


def _decode_jpeg(content: bytes) -> UInt8Array:
    """Pixels as they lie in the file. libjpeg fills what is missing with grey; here its complaint is the reason."""
    try:
        try:
            pixels = simplejpeg.decode_jpeg(content, colorspace="RGB")
        except ValueError as error:
            if _HARMLESS not in str(error):
                raise
            pixels = simplejpeg.decode_jpeg(content, colorspace="RGB", strict=False)
    except ValueError as error:
        kind = "truncated" if "Premature end" in str(error) else "damaged"
        raise ImageError(f"{kind} JPEG: {_one_line(error)}") from error
    return np.asarray(pixels, np.uint8)


def _decode(image: pillow.Image) -> UInt8Array:
    """Pixels as they lie in the file (a TIFF's and a HEIC's already upright): (H, W, 3), writable."""
    try:
        image.load()
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
            return _upper_bits(image)
        if image.mode in ("I", "F"):
            raise ImageError(f"samples of mode {image.mode} have no stated range; save it as 8 or 16-bit")
        if image.has_transparency_data:
            image = _on_white(image.convert("RGBA"))
        return _in_strips(image if image.mode == "RGB" else image.convert("RGB"))
    except ImageError:
        raise
    except Exception as error:  # truncated data surfaces as OSError, SyntaxError, struct.error, ...
        raise ImageError(f"truncated or damaged {image.format or 'image'}: {_one_line(error)}") from error


def _in_strips(image: pillow.Image) -> UInt8Array:
    """Copy the pixels of an RGB image strip by strip; Pillow would make a further copy of all of them."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP_PX):
        bottom = min(top + _STRIP_PX, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _upper_bits(image: pillow.Image) -> UInt8Array:
    """The upper eight bits of grey samples with 9 to 16 bits."""
    samples = np.asarray(image).astype(np.uint16)
    tags: Any = getattr(image, "tag_v2", {})
    n_bits = tags.get(258, (16,))[0]  # TIFF BitsPerSample
    grey = np.asarray(samples >> (n_bits - 8), np.uint8)
    if tags.get(262) == 0:  # TIFF PhotometricInterpretation: white is zero, which Pillow heeds up to 8 bits
        grey = 255 - grey
    if isinstance(transparent := image.info.get("transparency"), int):
        grey = np.where(samples == transparent, np.uint8(255), grey)
    return np.repeat(grey[:, :, None], 3, axis=2)


def _on_white(rgba: pillow.Image) -> pillow.Image:
    if rgba.getchannel("A").getextrema() == (255, 255):
        return rgba
    white = pillow.new("RGBA", rgba.size, "white")
    white.alpha_composite(rgba)
    return white


def _apply_orientation(pixels: UInt8Array, orientation: object) -> UInt8Array:
    """Turn and mirror the pixels as EXIF says (1 to 8; anything else is taken for 1)."""
    if orientation in _FLIPS:
        return np.asarray(cv2.flip(pixels, _FLIPS[orientation]), np.uint8)
    if orientation in _TURNS:
        return np.asarray(cv2.rotate(pixels, _TURNS[orientation]), np.uint8)
    if orientation == 5:
        return np.ascontiguousarray(pixels.transpose(1, 0, 2))
    if orientation == 7:
        return np.ascontiguousarray(pixels[::-1, ::-1].transpose(1, 0, 2))
    return pixels


# Time and place


def _exif(image: pillow.Image) -> pillow.Exif:
    try:
        return image.getexif()
    except Exception:  # a damaged EXIF block must not cost the pixels
        return pillow.Exif()


def _taken_at(exif: pillow.Exif) -> datetime | None:
    try:
        details = exif.get_ifd(ExifTags.IFD.Exif)
        stamp = _text(details.get(ExifTags.Base.DateTimeOriginal) or exif.get(ExifTags.Base.DateTime))
        local = datetime.fromisoformat(stamp[:10].replace(":", "-") + stamp[10:19])
    except Exception:  # cameras without a set clock write blanks and zeros
        return None
    try:
        offset = _text(details.get(ExifTags.Base.OffsetTimeOriginal)).replace("Z", "+00:00")
        return datetime.fromisoformat(local.isoformat() + offset)
    except ValueError:  # an offset of blanks or nonsense: the time on the clock still holds
        return local


def _place(exif: pillow.Exif) -> tuple[float | None, float | None]:
    try:
        gps = exif.get_ifd(ExifTags.IFD.GPSInfo)
        latitude_deg = _degrees(gps[ExifTags.GPS.GPSLatitude]) * _sign(gps[ExifTags.GPS.GPSLatitudeRef], "NS")
        longitude_deg = _degrees(gps[ExifTags.GPS.GPSLongitude]) * _sign(gps[ExifTags.GPS.GPSLongitudeRef], "EW")
    except Exception:  # no position, no hemisphere, or zero denominators
        return None, None
    # Receivers without a fix write 0, 0, which lies in the Atlantic.
    within = abs(latitude_deg) <= 90 and abs(longitude_deg) <= 180 and (latitude_deg or longitude_deg)
    return (latitude_deg, longitude_deg) if within else (None, None)


def _degrees(sexagesimal: tuple[Any, Any, Any]) -> float:
    degrees, minutes, seconds = (float(part) for part in sexagesimal)
    if not (0 <= degrees <= 180 and 0 <= minutes <= 60 and 0 <= seconds <= 60):  # also refuses nan
        raise ValueError("position without a value")
    return degrees + minutes / 60 + seconds / 3600


def _sign(reference: object, directions: str) -> int:
    return 1 - 2 * directions.index(_text(reference)[:1].upper() or "missing")


def _text(value: object) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\x00 ")
