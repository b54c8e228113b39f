"""References: two points of a photo whose distance is known, such as marks of a ruler or of a crack-width card."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from crackscope.errors import DataError
from crackscope.geometry.scale import NoScale, Scale

__all__ = ["Reference", "reference_scale"]

LEAST_PX = 10.0
"""Least distance of the two points: below it, a click that misses by a pixel costs more than a tenth."""

PAGE_PX = 1280
"""Longer side of a photo on the page of a scan, where the points are clicked; half a pixel of it is the error."""

_TEXT = re.compile(r"([^,=]+),([^,=]+),([^,=]+),([^,=]+)=([^,=]+)")


@dataclass(frozen=True)
class Reference:
    """Two points of a photo and their distance in millimetres.

    The scale holds along the line of the two points, and elsewhere only if the camera looked straight at the surface.

    Attributes:
        x0_px: Column of the first point, in pixels of the upright photo; 0 is the middle of the first column.
        y0_px: Row of the first point, in pixels.
        x1_px: Column of the second point, in pixels.
        y1_px: Row of the second point, in pixels.
        length_mm: Distance of the two points in mm, above 0.

    Raises:
        DataError: If a value is no number, the points are less than 10 px apart, the distance is not above 0, or the
            scale that follows is not believable.

    Example:
        >>> Reference(100, 200, 500, 200, 50).length_px
        400.0
    """

    x0_px: float
    y0_px: float
    x1_px: float
    y1_px: float
    length_mm: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.x0_px, self.y0_px, self.x1_px, self.y1_px))):
            raise DataError(f"{self}: the points must be numbers of pixels.")
        if self.length_px < LEAST_PX:
            raise DataError(
                f"{self}: the two points are {self.length_px:g} px apart; take points that are at least "
                f"{LEAST_PX:g} px apart, and better hundreds."
            )
        if not 0 < self.length_mm < math.inf:
            raise DataError(f"{self}: the length is {self.length_mm:g} mm; it must lie above 0.")
        Scale(self.length_mm / self.length_px)

    def __str__(self) -> str:
        return f"{self.x0_px:g},{self.y0_px:g},{self.x1_px:g},{self.y1_px:g}={self.length_mm:g}"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read a reference as the command line takes it.

        Args:
            text: Four pixels and a length, ``X0,Y0,X1,Y1=MM``.

        Raises:
            DataError: If the text has another form, or a value is not as it must be.

        Example:
            >>> Reference.parse("100,200,500,200=50").length_px
            400.0
        """
        match = _TEXT.fullmatch(text.strip())
        try:
            values = [float(part) for part in match.groups()] if match else []
        except ValueError:
            values = []
        if len(values) != 5:
            raise DataError(f"'{text}' is no reference; write X0,Y0,X1,Y1=MM, such as 100,200,500,200=50.")
        return cls(*values)

    @property
    def length_px(self) -> float:
        """Distance of the two points in pixels."""
        return math.hypot(self.x1_px - self.x0_px, self.y1_px - self.y0_px)


def reference_scale(reference: Reference, photo_hw: tuple[int, int]) -> Scale | NoScale:
    """Compute the scale of a photo; each point is taken to be right to half a pixel of the scan's page.

    Args:
        reference: The two points.
        photo_hw: Height and width of the photo, in pixels.

    Returns:
        The scale, or the reason why there is none: a point that lies outside of the photo.

    Example:
        >>> reference_scale(Reference(100, 200, 500, 200, 50), (3000, 4000)).mm_per_px
        0.125
    """
    height, width = photo_hw
    points = (reference.x0_px, reference.y0_px), (reference.x1_px, reference.y1_px)
    for x, y in points:
        if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
            return NoScale(f"the point {x:g},{y:g} lies outside of the photo of {width}×{height} px", is_final=True)
    click_px = max(1.0, 0.5 * max(photo_hw) / PAGE_PX)
    mm_per_px = reference.length_mm / reference.length_px
    return Scale(mm_per_px, mm_per_px * math.sqrt(2) * click_px / reference.length_px, "reference", points)
