"""Facts that a camera noted beside the pixels: which side is up, when and where the photo was taken.

They stand in the Exif block. Which side is up may stand in the XMP block alone, where a program has written it there.
A block that is damaged costs only its facts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import cv2
import numpy as np
from PIL import ExifTags
from PIL import Image as pillow

from crackscope.arrays import UInt8Array

__all__ = ["CameraFacts", "camera_facts", "upright"]

# cv2.rotate and cv2.flip codes for EXIF orientations 2 to 8 (Exif 2.32, tag 0x0112).
_FLIPS = {2: 1, 3: -1, 4: 0}
_TURNS = {6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
# As an attribute, tiff:Orientation="6", or as an element, <tiff:Orientation>6</tiff:Orientation>.
_XMP_ORIENTATION = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")


@dataclass(frozen=True)
class CameraFacts:
    """What the camera noted.

    Attributes:
        orientation: Orientation, 1 to 8 as Exif counts them; 1 is upright, and is taken where none is noted.
        taken_at: Local time on the camera's clock, with an offset from UTC where it was noted; None where no time was.
        latitude_deg: Degrees north, -90 to 90; None where not noted.
        longitude_deg: Degrees east, -180 to 180; None where not noted.
    """

    orientation: int = 1
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None


def camera_facts(image: pillow.Image) -> CameraFacts:
    """Read the facts of an image that Pillow has opened.

    A HEIC is turned by its own box, which libheif heeds; the orientation that Exif and XMP repeat is a copy.

    Args:
        image: The image. A TIFF that is loaded was turned by Pillow, and is reported as upright.
    """
    exif = _exif(image)
    latitude_deg, longitude_deg = _place(exif)
    orientation = 1 if image.format == "HEIF" else _orientation(exif, image)
    return CameraFacts(orientation, _taken_at(exif), latitude_deg, longitude_deg)


def upright(pixels: UInt8Array, orientation: int) -> UInt8Array:
    """Turn and mirror pixels as an orientation of 1 to 8 says."""
    if orientation in _FLIPS:
        return np.asarray(cv2.flip(pixels, _FLIPS[orientation]), np.uint8)
    if orientation in _TURNS:
        return np.asarray(cv2.rotate(pixels, _TURNS[orientation]), np.uint8)
    if orientation == 5:
        return np.ascontiguousarray(pixels.transpose(1, 0, 2))
    if orientation == 7:
        return np.ascontiguousarray(pixels[::-1, ::-1].transpose(1, 0, 2))
    return pixels


def _orientation(exif: pillow.Exif, image: pillow.Image) -> int:
    """Orientation by Exif, else by XMP, else 1."""
    noted: Any = exif.get(ExifTags.Base.Orientation)
    if noted in range(1, 9):
        return int(noted)
    block = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""  # the second is a PNG's
    found = _XMP_ORIENTATION.search(block.encode("utf-8", "replace") if isinstance(block, str) else bytes(block))
    return int(found[1]) if found else 1


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
