"""Camera scale: millimetres per pixel from what the camera noted, distance ÷ focal length in pixels.

The scale holds for a surface that faces the camera, at the distance that was noted. Neither is known, so it is
approximate. It is refused where a value is missing or cannot be believed: digital zoom makes focal lengths fictitious,
and a photo that was cut or resized no longer fits its sensor. The height of a drone above its take-off is no distance.
"""

from __future__ import annotations

import math

from crackscope.errors import DataError
from crackscope.files.lens_facts import LensFacts
from crackscope.geometry.scale import NoScale, Scale

__all__ = ["camera_scale"]

DISTANCES_M = (0.05, 500.0)
"""Least and greatest distance that is believed, in m."""

VIEWS = (0.3, 30.0)
"""Least and greatest focal length in diagonals of the photo: views of 118° and of 2°."""

FILM_DIAGONAL_MM = math.hypot(36, 24)

SENSORS_MM = (
    *((43.8, 32.9), (36.0, 24.0), (23.5, 15.6), (22.3, 14.9), (17.3, 13.0), (13.2, 8.8)),
    *((9.6, 7.2), (7.6, 5.7), (6.4, 4.8), (6.17, 4.55)),
)
"""Width and height in mm of the usual sensors, from medium format down to 1/2.3 inch."""

SENSOR_TOLERANCE, ASPECT_TOLERANCE, CENTRE_TOLERANCE, FOCAL_TOLERANCE = 0.03, 0.015, 0.05, 0.1
"""Shares by which a sensor, a photo's proportions, the middle of the lens, and two focal lengths may differ."""

# Standard uncertainties, as shares but for the laser's; rough figures that the manuals and Exif's rounding suggest.
LASER_M = 0.2  # DJI states ±(0.2 m + 0.15 %)
FOCUS_SHARE = 0.1  # a focused lens is sharp over a range of distances
CALIBRATED_SHARE, NOTED_SHARE = 0.01, 0.03  # focal lengths from a calibration, and as noted in whole mm
FACING_SHARE = 0.05  # a surface that is turned by up to 25° looks up to a tenth smaller in one direction


def camera_scale(facts: LensFacts | None, photo_hw: tuple[int, int]) -> Scale | NoScale | None:
    """Compute the scale of a photo by what the camera noted.

    Args:
        facts: What the camera noted, if anything.
        photo_hw: Height and width of the photo in pixels, upright or as stored.

    Returns:
        The scale; the reason why there is none; or None if nothing was noted that speaks of a distance.
    """
    if facts is None:
        return None
    distances = facts.laser_distance_m, facts.subject_distance_m
    if distances == (None, None):
        if facts.relative_altitude_m is None:
            return None
        return NoScale("only the height above take-off is noted, which is not the distance of the surface")
    try:
        distance_m, distance_share = _distance(facts)
        focal_px, focal_share = _focal(facts, photo_hw)
        share = math.hypot(distance_share, focal_share, FACING_SHARE)
        mm_per_px = 1000 * distance_m / focal_px
        return Scale(mm_per_px, mm_per_px * share, "camera")
    except (_Unbelievable, DataError) as error:
        return NoScale(str(error))


class _Unbelievable(Exception):
    """A value that cannot be believed; the message is the reason."""


def _distance(facts: LensFacts) -> tuple[float, float]:
    """Distance in m and its relative uncertainty."""
    low, high = DISTANCES_M
    laser_m, focus_m = facts.laser_distance_m, facts.subject_distance_m
    if laser_m is not None and (facts.laser_status or "Normal") != "Normal":
        raise _Unbelievable(f"the laser notes its state as '{facts.laser_status}', not Normal")
    distance_m = focus_m if laser_m is None else laser_m
    assert distance_m is not None
    if not low <= distance_m <= high:
        raise _Unbelievable(f"the distance is noted as {distance_m:g} m; {low:g} to {high:g} m are believed")
    return distance_m, FOCUS_SHARE if laser_m is None else LASER_M / distance_m


def _focal(facts: LensFacts, photo_hw: tuple[int, int]) -> tuple[float, float]:
    """Focal length in pixels and its relative uncertainty."""
    _require_no_zoom(facts.digital_zoom)
    if facts.is_cropped:
        raise _Unbelievable("a program notes that it cropped the photo")
    _require_whole(facts, photo_hw)
    candidates = {
        "the calibration": (_calibrated(facts), CALIBRATED_SHARE),
        "the sensor's resolution": (_by_resolution(facts, photo_hw), NOTED_SHARE),
        "the focal length for film": (_by_film(facts, photo_hw), NOTED_SHARE),
    }
    known = [(name, focal, share) for name, (focal, share) in candidates.items() if focal is not None]
    if not known:
        raise _Unbelievable("the sensor is not known: neither its resolution nor a focal length in pixels is noted")
    (name, focal_px, share), *others = known
    diagonal = math.hypot(*photo_hw)
    if not VIEWS[0] * diagonal <= focal_px <= VIEWS[1] * diagonal:
        raise _Unbelievable(f"by {name}, the focal length is {focal_px:g} px, which fits no lens")
    for other, its_px, _ in others:
        if not abs(its_px / focal_px - 1) <= FOCAL_TOLERANCE:
            raise _Unbelievable(
                f"two focal lengths are noted: {focal_px:.0f} px by {name}, {its_px:.0f} px by {other}. The photo was "
                "zoomed, cut or resized"
            )
    return focal_px, share


def _require_no_zoom(zoom: float | None) -> None:
    if zoom is None:
        raise _Unbelievable("whether digital zoom was on is not noted")
    if zoom not in (0, 1):
        raise _Unbelievable(f"digital zoom is noted as {zoom:g}; it must be off")


def _require_whole(facts: LensFacts, photo_hw: tuple[int, int]) -> None:
    """Refuse a photo that is not as large as the camera took it."""
    size = sorted(photo_hw)
    text = f"{photo_hw[1]}×{photo_hw[0]} px"
    if facts.recorded_wh_px is not None and sorted(facts.recorded_wh_px) != size:
        raise _Unbelievable(
            f"the photo has {text}, and the camera took {facts.recorded_wh_px[0]}×{facts.recorded_wh_px[1]} px: it was "
            "cut or resized"
        )
    if facts.centre_xy_px is not None:
        middle = sorted(2 * place for place in facts.centre_xy_px)
        if not all(abs(twice / side - 1) <= CENTRE_TOLERANCE for twice, side in zip(middle, size, strict=True)):
            raise _Unbelievable(f"the photo has {text}, which does not fit the calibration of its sensor")
    elif facts.recorded_wh_px is None:
        raise _Unbelievable("the size of the photo as the camera took it is not noted")


def _calibrated(facts: LensFacts) -> float | None:
    """Focal length in pixels by the maker: that of this very lens, if it fits the one of its kind."""
    own, kind = facts.dewarp_focal_px, facts.focal_px
    if own is None or kind is None:
        return _positive(kind if own is None else own, "px")
    own_px, kind_px = _positive(own, "px"), _positive(kind, "px")
    assert own_px is not None
    assert kind_px is not None
    if abs(own_px / kind_px - 1) > FOCAL_TOLERANCE:
        raise _Unbelievable(f"two calibrations are noted, with focal lengths of {own_px:.0f} and {kind_px:.0f} px")
    return own_px


def _by_resolution(facts: LensFacts, photo_hw: tuple[int, int]) -> float | None:
    """Focal length in pixels by that in mm and the pixels per mm; the sensor must be one of the usual ones."""
    focal_mm, per_mm = _positive(facts.focal_mm, "mm"), facts.pixels_per_mm
    if focal_mm is None or per_mm is None:
        return None
    if not 0 < per_mm < math.inf:
        raise _Unbelievable("the resolution of the sensor is noted without a number")
    height, width = sorted(side / per_mm for side in photo_hw)
    if not any(
        abs(width / wide - 1) <= SENSOR_TOLERANCE and abs(height / high - 1) <= SENSOR_TOLERANCE
        for wide, high in SENSORS_MM
    ):
        raise _Unbelievable(
            f"the photo would fill a sensor of {width:.1f}×{height:.1f} mm, which no camera has: it was cut or resized"
        )
    return focal_mm * per_mm


def _by_film(facts: LensFacts, photo_hw: tuple[int, int]) -> float | None:
    """Focal length in pixels by that for film of 36×24 mm, which is compared by diagonals (CIPA DCG-001)."""
    _positive(facts.focal_mm, "mm")
    focal_35mm = _positive(facts.focal_35mm, "mm")
    if focal_35mm is None:
        return None
    aspect = max(photo_hw) / min(photo_hw)
    if not any(abs(aspect / whole - 1) <= ASPECT_TOLERANCE for whole in (4 / 3, 3 / 2)):
        raise _Unbelievable(f"the photo's proportions, {aspect:.2f}:1, fit no whole sensor: 4:3 and 3:2 do")
    return focal_35mm * math.hypot(*photo_hw) / FILM_DIAGONAL_MM


def _positive(value: float | None, unit: str) -> float | None:
    """A focal length that is noted; it must lie above 0."""
    if value is not None and not 0 < value < math.inf:
        raise _Unbelievable(f"the focal length is noted as {value:g} {unit}")
    return value
