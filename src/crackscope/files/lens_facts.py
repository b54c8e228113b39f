"""Lens facts: what a camera noted of its lens, its sensor and the distance of what it saw.

They stand in the Exif block, and drones of DJI write more into the XMP block. Values are read as they stand; whether
they can be believed is decided where they are used (`crackscope.geometry.camera_scale`).
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from PIL import ExifTags
from PIL import Image as pillow

__all__ = ["LensFacts", "lens_facts"]

_MM_PER_UNIT = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""Millimetres of the units of FocalPlaneResolutionUnit (Exif 2.32, tag 0xA210); 4 and 5 are written by some cameras."""

_INFINITE = 0xFFFFFFFF  # numerator by which Exif says that a distance is infinite


@dataclass(frozen=True)
class LensFacts:
    """What a camera noted of lens, sensor and distance; None where it noted nothing, NaN where it noted no number.

    Attributes:
        focal_mm: Focal length in mm.
        focal_35mm: Focal length in mm of a lens with the same view on film of 36×24 mm.
        focal_px: Focal length in pixels by the maker's calibration.
        centre_xy_px: Pixel (x, y) that the lens's axis meets, by the maker's calibration.
        dewarp_focal_px: Focal length in pixels by the calibration of this very lens.
        pixels_per_mm: Pixels per mm of the sensor.
        recorded_wh_px: Width and height of the photo as the camera recorded it, in pixels.
        digital_zoom: Digital zoom; 0 and 1 mean that there was none.
        laser_distance_m: Distance that a laser measured, in m.
        laser_status: State of the laser, such as ``Normal``.
        subject_distance_m: Distance that the camera was focused at, in m; infinite where it says so.
        relative_altitude_m: Height above the place of take-off, in m.
        is_cropped: Whether a program notes that it cropped the photo.
    """

    focal_mm: float | None = None
    focal_35mm: float | None = None
    focal_px: float | None = None
    centre_xy_px: tuple[float, float] | None = None
    dewarp_focal_px: float | None = None
    pixels_per_mm: float | None = None
    recorded_wh_px: tuple[int, int] | None = None
    digital_zoom: float | None = None
    laser_distance_m: float | None = None
    laser_status: str | None = None
    subject_distance_m: float | None = None
    relative_altitude_m: float | None = None
    is_cropped: bool = False


def lens_facts(image: pillow.Image) -> LensFacts | None:
    """Read the facts of an image that Pillow has opened.

    Args:
        image: The image.

    Returns:
        The facts; None if the file holds none of them. A block that is damaged costs only its facts.
    """
    details = _details(image)
    block = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""  # the second is a PNG's
    xmp = block if isinstance(block, str) else bytes(block).decode("utf-8", "replace")
    base = ExifTags.Base
    noted = _text_in(xmp, "aux:ApproximateFocusDistance")
    subject_m = _distance(details.get(base.SubjectDistance))
    centre = (
        _number_in(xmp, "drone-dji:CalibratedOpticalCenterX"),
        _number_in(xmp, "drone-dji:CalibratedOpticalCenterY"),
    )
    found = LensFacts(
        focal_mm=_number(details.get(base.FocalLength)),
        focal_35mm=_number(details.get(base.FocalLengthIn35mmFilm)) or None,  # 0 means that it is not known
        focal_px=_number_in(xmp, "drone-dji:CalibratedFocalLength"),
        centre_xy_px=None if centre[0] is None or centre[1] is None else (centre[0], centre[1]),
        dewarp_focal_px=_dewarp_focal_px(xmp),
        pixels_per_mm=_pixels_per_mm(details),
        recorded_wh_px=_recorded_wh(details),
        digital_zoom=_number(details.get(base.DigitalZoomRatio)),
        laser_distance_m=_number_in(xmp, "drone-dji:LRFTargetDistance"),
        laser_status=_text_in(xmp, "drone-dji:LRFStatus"),
        subject_distance_m=subject_m if subject_m is not None or noted is None else _distance(_parsed(noted), noted),
        relative_altitude_m=_number_in(xmp, "drone-dji:RelativeAltitude"),
        is_cropped=(_text_in(xmp, "crs:HasCrop") or "").lower() == "true",
    )
    return None if found == LensFacts() else found


def _details(image: pillow.Image) -> dict[int, Any]:
    try:
        exif = image.getexif()
        return {**exif, **exif.get_ifd(ExifTags.IFD.Exif)}
    except Exception:  # a damaged block must not cost the pixels
        return {}


def _number(value: Any) -> float | None:
    """Value of a tag; NaN for a fraction with a zero below, or for anything that is no number."""
    if value is None:
        return None
    try:
        return float(value[0] if isinstance(value, tuple) else value)
    except (TypeError, ValueError, ZeroDivisionError, IndexError):
        return math.nan


def _distance(value: Any, text: str = "") -> float | None:
    """Distance in m, which Exif calls infinite by a large numerator."""
    if getattr(value, "numerator", 0) == _INFINITE or text.startswith(str(_INFINITE)):
        return math.inf
    return _number(value)


def _pixels_per_mm(details: dict[int, Any]) -> float | None:
    resolution = _number(details.get(ExifTags.Base.FocalPlaneXResolution))
    unit = _number(details.get(ExifTags.Base.FocalPlaneResolutionUnit, 2))  # inches, as Exif says where it is left out
    if resolution is None or unit is None:
        return None
    return resolution / _MM_PER_UNIT[int(unit)] if unit in _MM_PER_UNIT else math.nan


def _recorded_wh(details: dict[int, Any]) -> tuple[int, int] | None:
    width, height = (_number(details.get(tag)) for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight))
    if width is None or height is None or not (math.isfinite(width) and math.isfinite(height)):
        return None
    return int(width), int(height)


# XMP: values stand as attributes, name="value", or as elements, <name>value</name>


def _text_in(xmp: str, name: str) -> str | None:
    found = re.search(rf"""\b{name}\s*(?:=\s*["']|>)\s*([^"'<]*?)\s*["'<]""", xmp)
    return found[1] if found else None


def _number_in(xmp: str, name: str) -> float | None:
    text = _text_in(xmp, name)
    return None if text is None else _parsed(text)


def _parsed(text: str) -> float:
    """Number in a text, which may be a fraction such as 27/10; NaN for anything else."""
    above, _, below = text.partition("/")
    try:
        return float(above) / float(below or 1)
    except (ValueError, ZeroDivisionError):
        return math.nan


def _dewarp_focal_px(xmp: str) -> float | None:
    """Mean of fx and fy, the first two numbers behind the date of ``DewarpData``."""
    text = _text_in(xmp, "drone-dji:DewarpData")
    if text is None:
        return None
    numbers = [_parsed(part) for part in text.rpartition(";")[2].split(",")]
    return (numbers[0] + numbers[1]) / 2 if len(numbers) >= 2 else math.nan
