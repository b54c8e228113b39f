"""Images: any image file becomes an `Image`, RGB, 8 bits, upright, with the time and place that the camera noted.

JPEGs are decoded by simplejpeg: as fast as OpenCV, but it raises what libjpeg finds wrong, where OpenCV writes that
straight to the terminal and carries on with grey. Pillow reads metadata and every other format. Whatever cannot be read
whole is refused with a reason, never repaired: half a photo is no evidence. What the decoders overlook is found by
`headers`, `wholeness` and `tiff`.
"""

from __future__ import annotations

import stat
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image as pillow

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError, ImageError
from crackscope.files.camera_facts import camera_facts, upright
from crackscope.files.headers import frame_of, jpeg_has_facts, open_file, plain_jpeg_size, quiet_header
from crackscope.files.lens_facts import LensFacts, lens_facts
from crackscope.files.pixels import ALPHA, decode_jpeg, decode_opened, decode_pillow, has_clear_pixels
from crackscope.files.raw_files import refuse_raw
from crackscope.files.tiff import Tag

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_MEGAPIXELS",
    "Image",
    "ImageForm",
    "decode_image",
    "from_pillow",
    "image_form",
    "image_size",
    "is_see_through",
    "read_image",
    "require_rgb",
]


MAX_MEGAPIXELS = 300.0
"""Default limit: a 300-megapixel panorama decodes to 0.9 GB; above that a file is more likely hostile."""

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".tif", ".tiff", ".bmp", ".webp", ".heic", ".heif"})
"""File name endings, in lower case, that are taken for images when a folder is listed."""

_BYTES_A_PIXEL = 8  # four samples of 16 bits, the most that is read, uncompressed
_ROOM_FOR_METADATA = 64_000_000
_LARGE_MEGAPIXELS = 40
_one_large_image = threading.Lock()


@dataclass(frozen=True, eq=False)
class Image:
    """An image as the camera gave it, upright, with what the camera noted.

    Attributes:
        pixels: Picture, shape (H, W, 3), uint8, RGB, EXIF orientation applied.
        path: Path as the caller wrote it; empty for an array.
        taken_at: Local time on the camera's clock (EXIF DateTimeOriginal), with an offset from UTC where it was noted;
            None where no time was.
        latitude_deg: Degrees north, WGS 84 as EXIF gives it, -90 to 90; None where not noted.
        longitude_deg: Degrees east, WGS 84 as EXIF gives it, -180 to 180; None where not noted.
        page: Page, frame or picture that was read of a file that holds several, such as ``1 of 3``; None where the
            file holds one.
        lens: Lens, sensor and distance as the camera noted them; None where it noted nothing of them.
    """

    pixels: UInt8Array
    path: str = ""
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    page: str | None = None
    lens: LensFacts | None = None


def read_image(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Read one image file: JPEG, PNG, TIFF, BMP, WebP or HEIC, told by its content.

    Args:
        path: Path of the file.
        max_megapixels: Limit in megapixels; a larger image is refused before its pixels are decoded.

    Returns:
        The image: upright, RGB, 8 bits. Of a file with several pictures one is taken, and `Image.page` says which:
        the largest page of a TIFF, the first frame of an animation, the primary picture of a HEIC. Of 16-bit samples
        the upper eight bits are taken.

    Raises:
        ImageError: If the file is missing, empty, truncated, not an image, a camera's raw file, or above the limit.

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

    Of a file with several pictures one is taken, as `read_image` says. Of 16-bit samples the upper eight bits are
    taken, so white stays white. Transparent pixels are laid on white. Other colour models are converted by Pillow.

    Args:
        content: The file's bytes.
        path: Kept in the result, for messages and rows.
        max_megapixels: A larger image is refused before its pixels are decoded.

    Raises:
        ImageError: With the reason, if the bytes are not one whole image within the limit.
    """
    if (size := plain_jpeg_size(content)) is None:
        opened = open_file(content, path)
        _require_within(opened.image.size, max_megapixels)
        with _room_for(opened.image.size):
            return _with_facts(decode_opened(opened), opened.image, path, opened.page)
    _require_within(size, max_megapixels)
    with _room_for(size):
        pixels = decode_jpeg(content)
        if not jpeg_has_facts(content):
            return Image(pixels, path)
        return _with_facts(pixels, open_file(content, path).image, path)


def from_pillow(image: pillow.Image, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """A PIL image as an `Image`: its EXIF orientation is applied, as it is for a file.

    Args:
        image: The PIL image, of any mode that a file may have, at the page that is wanted; it is left as it is.
        max_megapixels: A larger image is refused before its pixels are decoded.

    Raises:
        ImageError: If its file is cut short or is a camera's raw file, its samples have no stated range, Pillow reads
            its file wrongly, or it is above the limit.
    """
    path = str(getattr(image, "filename", ""))
    _require_within(image.size, max_megapixels)
    _require_read_rightly(image)
    with _room_for(image.size):
        return _with_facts(decode_pillow(image), image, path, frame_of(image))


def _require_read_rightly(image: pillow.Image) -> None:
    """Refuse a TIFF that Pillow opened and reads wrongly; its bytes, which would tell more, are not at hand."""
    tags: Any = getattr(image, "tag_v2", {})
    if tags.get(Tag.DNG_VERSION) or (tags.get(Tag.NEW_SUBFILE_TYPE, 0) & 1 and tags.get(Tag.SUB_DIRECTORIES)):
        refuse_raw("DNG" if tags.get(Tag.DNG_VERSION) else "")
    if tags.get(Tag.PLANAR, 1) == 2 and tags.get(Tag.SAMPLES, 1) > 1:
        raise ImageError("Pillow reads a TIFF whose channels lie apart wrongly; pass the path of the file instead")


def _room_for(size_wh: tuple[int, int]) -> AbstractContextManager[object]:
    """Large images are decoded one at a time: each takes up to six bytes a pixel while it is turned upright."""
    return _one_large_image if size_wh[0] * size_wh[1] > _LARGE_MEGAPIXELS * 1e6 else nullcontext()


def _with_facts(pixels: UInt8Array, image: pillow.Image, path: str, page: str | None = None) -> Image:
    """Pixels turned upright, with what the camera noted.

    Asked after decoding: Pillow turns a TIFF, and libheif a HEIC, itself, and then no longer reports it.
    """
    with quiet_header():
        facts, lens = camera_facts(image), lens_facts(image)
    turned = upright(pixels, facts.orientation)
    return Image(turned, path, facts.taken_at, facts.latitude_deg, facts.longitude_deg, page, lens)


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
    width, height = plain_jpeg_size(content) or open_file(content).image.size
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
    size = plain_jpeg_size(content)
    if size is not None and not jpeg_has_facts(content):
        grey = simplejpeg.decode_jpeg_header(content, strict=False)[2] == "Gray"
        return ImageForm(size[1], size[0], "L" if grey else "RGB")
    opened = open_file(content)
    image = opened.image
    with quiet_header():
        orientation = camera_facts(image).orientation
    deep = image.format == "PNG" and content[24:25] == b"\x10" and "16" not in image.mode  # bits a sample, in IHDR
    mode = f"{image.mode};16" if deep else image.mode
    if opened.n_apart:  # the image is the first channel alone
        joined = {2: "LA", 3: "RGB", 4: "RGBA"}.get(opened.n_apart, mode)
        mode = f"{joined};16" if "16" in mode else joined
    return ImageForm(image.height, image.width, mode, orientation)


def is_see_through(content: bytes) -> bool:
    """Whether a pixel of an image file is not opaque, so that its colour depends on what it is laid on.

    Raises:
        ImageError: If the header is damaged, or of no image.
    """
    if plain_jpeg_size(content) is not None:
        return False
    opened = open_file(content)
    if opened.directory is not None and opened.n_apart:
        return opened.directory.value(Tag.EXTRA_SAMPLES) in ALPHA
    return has_clear_pixels(opened.image)


def _require_within(size_wh: tuple[int, int], max_megapixels: float) -> None:
    width, height = size_wh
    if width * height > max_megapixels * 1e6:
        raise ImageError(
            f"{width}×{height} px is {width * height / 1e6:.0f} megapixels, above the limit of {max_megapixels:g}; "
            "raise it with --max-megapixels if the file is trusted"
        )
