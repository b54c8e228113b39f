"""Markers: ArUco and AprilTag markers of known size in a photo give the scale of the plane that they lie in.

OpenCV finds the markers and reads their numbers. Their corners are then measured anew from all edges of the marker
(`crackscope.geometry.marker_edges`). One number for the whole photo would be 7 % wrong at a tilt of 30°, and 20 % at
50°, so the scale is always a homography. Several markers in one plane are fitted together
(`crackscope.geometry.joint_markers`); if they do not fit, there is no scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.errors import DataError, did_you_mean
from crackscope.geometry.joint_markers import SeenMarker, fit_together
from crackscope.geometry.marker_edges import fit_marker
from crackscope.geometry.planes import Plane
from crackscope.geometry.scale import NoScale, Scale

__all__ = ["DICTIONARIES", "MarkerKind", "find_markers", "marker_bits", "marker_scale", "n_markers"]

DICTIONARIES = (
    *(f"{n}X{n}_{count}" for n in (4, 5, 6, 7) for count in (50, 100, 250, 1000)),
    *("APRILTAG_16h5", "APRILTAG_25h9", "APRILTAG_36h10", "APRILTAG_36h11", "ARUCO_MIP_36h12"),
)
"""Families of markers by OpenCV's names without ``DICT_``. Markers of its ``ARUCO_ORIGINAL`` cannot be told from their
mirror images, so they are left out."""

LEAST_SIDE_PX = 24
"""Side of a marker in pixels below which it is not looked for."""

MOST_MARKERS = 12
"""Number of markers that are fitted together; the largest ones are taken."""


@dataclass(frozen=True)
class MarkerKind:
    """Kind of the markers that are laid on the surface.

    Attributes:
        dictionary: Family of the markers, such as ``APRILTAG_36h11``.
        side_mm: Outer side of the black border in mm, from 1 to 10,000.
        side_uncertainty_mm: Standard uncertainty of `side_mm` in mm, at least 0.

    Raises:
        DataError: If the family is not known, or a value is not as above.

    Example:
        >>> MarkerKind.parse("apriltag_36H11:50:0.2")
        MarkerKind(dictionary='APRILTAG_36h11', side_mm=50.0, side_uncertainty_mm=0.2)
    """

    dictionary: str
    side_mm: float
    side_uncertainty_mm: float = 0.0

    def __post_init__(self) -> None:
        if self.dictionary not in DICTIONARIES:
            near = did_you_mean(self.dictionary.lower(), [name.lower() for name in DICTIONARIES])
            raise DataError(f"'{self.dictionary}' is no family of markers.{near} Known: {', '.join(DICTIONARIES)}.")
        if not 1 <= self.side_mm <= 10_000:
            raise DataError(f"the side of the marker is {self.side_mm:g} mm; it must lie between 1 and 10,000 mm.")
        if not 0 <= self.side_uncertainty_mm < self.side_mm:
            raise DataError(
                f"the uncertainty of the marker's side is {self.side_uncertainty_mm:g} mm; it must lie between 0 and "
                "the side."
            )

    def __str__(self) -> str:
        known = f":{self.side_uncertainty_mm:g}" if self.side_uncertainty_mm else ""
        return f"{self.dictionary}:{self.side_mm:g}{known}"

    @classmethod
    def parse(cls, text: str) -> MarkerKind:
        """Read a kind of markers as the command line takes it.

        Args:
            text: Family and side, ``DICT:SIDE_MM``, or with the side's uncertainty, ``DICT:SIDE_MM:UNCERTAINTY_MM``.
                Upper and lower case are the same, and ``DICT_`` may stand before the family.

        Raises:
            DataError: If the text has another form, or a value is not as it must be.
        """
        name, *numbers = text.strip().split(":")
        try:
            sizes = [float(number) for number in numbers]
        except ValueError:
            sizes = []
        if len(sizes) not in (1, 2):
            raise DataError(f"'{text}' is no marker; write DICT:SIDE_MM, such as APRILTAG_36h11:50.")
        plain = name.upper().removeprefix("DICT_")
        return cls({known.upper(): known for known in DICTIONARIES}.get(plain, name), *sizes)


def marker_scale(pixels: UInt8Array, kind: MarkerKind) -> Scale | NoScale:
    """Find the scale of a photo by its markers.

    Args:
        pixels: The photo, shape (H, W, 3), uint8, RGB.
        kind: Kind of the markers.

    Returns:
        The scale with its plane; or the reason why there is none: no marker that is seen whole, a mirrored one, or
        markers that do not lie in one plane or differ in size.
    """
    grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    markers = find_markers(grey, kind.dictionary)
    if not markers:
        return _why_none(grey, kind.dictionary)
    markers = sorted(markers, key=lambda one: -one.side_px)[:MOST_MARKERS]
    corners, covariance = markers[0].fitted.corners_xy, markers[0].fitted.covariance
    if len(markers) > 1:
        joint = fit_together(markers, kind.side_mm)
        if isinstance(joint, NoScale):
            return joint
        corners, covariance = joint
    plane = Plane.from_arrays(corners, covariance, side_mm=kind.side_mm, side_uncertainty_mm=kind.side_uncertainty_mm)
    centre = np.array(plane.centre_xy_px)
    mm_per_px = float(plane.mm_per_px(centre))
    points = tuple((float(x), float(y)) for one in markers for x, y in one.fitted.corners_xy)
    try:
        return Scale(mm_per_px, mm_per_px * float(plane.relative_uncertainty(centre)), "marker", points, plane)
    except DataError as error:
        return NoScale(f"marker {markers[0].id}: {error}", is_final=True)


def find_markers(grey: UInt8Array, dictionary: str) -> list[SeenMarker]:
    """Find markers that are seen whole, and measure their corners.

    Args:
        grey: The photo in grey levels, shape (H, W), uint8.
        dictionary: Family of the markers, from `DICTIONARIES`.

    Returns:
        The markers. One that is found but has no clear edges, since it is folded, dirty or too blurred, is left out.
    """
    found = []
    for number, corners in _detected(grey, dictionary):
        fitted = fit_marker(grey, marker_bits(dictionary, number), corners)
        if fitted is not None and not _at_edge(fitted.corners_xy, grey):
            found.append(SeenMarker(number, fitted))
    return found


def marker_bits(dictionary: str, number: int) -> UInt8Array:
    """Give the squares of a marker with its border.

    Args:
        dictionary: Family of the marker, from `DICTIONARIES`.
        number: Number of the marker in its family, from 0.

    Returns:
        Squares, shape (n, n), uint8: 0 is black, 255 is white.
    """
    family = _family(dictionary)
    return np.asarray(family.generateImageMarker(number, family.markerSize + 2), np.uint8)


def n_markers(dictionary: str) -> int:
    """Count the markers of a family."""
    return int(_family(dictionary).bytesList.shape[0])


@cache
def _family(dictionary: str) -> Any:
    return cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, f"DICT_{dictionary}"))


def _detected(grey: UInt8Array, dictionary: str) -> list[tuple[int, Float64Array]]:
    """Numbers and first corners, (4, 2), of the markers that OpenCV finds."""
    parameters = cv2.aruco.DetectorParameters()
    # By default the least side is .75 % of the longer side of the photo: 61 px in one of 48 megapixels.
    parameters.minMarkerPerimeterRate = min(0.03, 4 * LEAST_SIDE_PX / max(grey.shape))
    corners, numbers, _ = cv2.aruco.ArucoDetector(_family(dictionary), parameters).detectMarkers(grey)
    if numbers is None:
        return []
    places = (np.asarray(one, np.float64).reshape(4, 2) for one in corners)
    return [*zip((int(number) for number in np.ravel(numbers)), places, strict=True)]


def _why_none(grey: UInt8Array, dictionary: str) -> NoScale:
    """Reason why no marker was found; a mirrored one is found in the mirrored photo."""
    if _detected(grey, dictionary):
        return NoScale(f"the marker of {dictionary} is too blurred, folded or covered to be measured")
    mirrored = find_markers(np.ascontiguousarray(grey[:, ::-1]), dictionary)
    if mirrored:
        return NoScale(
            f"marker {mirrored[0].id} is mirrored, so the photo was flipped. Scan it as the camera gave it",
            is_final=True,
        )
    return NoScale(f"no marker of {dictionary} is seen whole")


def _at_edge(corners_xy: Float64Array, grey: UInt8Array) -> bool:
    """Whether a marker reaches beyond the photo."""
    height, width = grey.shape
    inside = (corners_xy >= 0).all() and (corners_xy <= (width - 1, height - 1)).all()
    return not inside
