"""Scale: the number of millimetres that a pixel of a photo shows, with its uncertainty and its source."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from crackscope.arrays import Float64Array
from crackscope.errors import DataError
from crackscope.geometry.planes import Plane

__all__ = ["COVERAGE", "MAX_MM_PER_PX", "MIN_MM_PER_PX", "LocalScale", "NoScale", "Scale"]

MIN_MM_PER_PX, MAX_MM_PER_PX = 0.001, 100.0
"""Least and greatest scale that is believed: that of a microscope, and that of a photo from 300 m away."""

COVERAGE = 1.96
"""Number of standard uncertainties on each side of a 95 % interval, for normally distributed errors."""


@dataclass(frozen=True, eq=False)
class LocalScale:
    """Millimetres per pixel at some places of a photo.

    Attributes:
        mm_per_px: Millimetres per pixel at each place, shape (...). NaN where the photo does not show the surface,
            beyond the horizon of its plane.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px` at each place, shape (...), in millimetres per pixel;
            None if it is not known. The errors at neighbouring places are nearly the same, so a mean over many places
            is not more certain.
    """

    mm_per_px: Float64Array
    uncertainty_mm_per_px: Float64Array | None = None


@dataclass(frozen=True)
class Scale:
    """Millimetres that a pixel of a photo shows, with their uncertainty and their source.

    Attributes:
        mm_per_px: Millimetres per pixel of the upright photo, from 0.001 to 100. With a `plane`, those at the middle of
            its square, as the geometric mean of all directions.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px` in millimetres per pixel, at least 0; None if it is
            not known.
        source: Source of the scale: ``reference``, ``marker``, ``table``, ``given`` or ``camera``.
        points_xy_px: Pixels (x, y) that the scale was read from: the two points of a reference, or four corners of each
            marker; nothing for other sources.
        plane: Plane of the surface, by which the scale follows the tilt of the camera; None if one number holds for the
            whole photo.

    Raises:
        DataError: If `mm_per_px` is no number from 0.001 to 100, or the uncertainty is no number of at least 0.

    Example:
        >>> Scale(0.25, 0.01).relative_uncertainty
        0.04
    """

    mm_per_px: float
    uncertainty_mm_per_px: float | None = None
    source: str = "given"
    points_xy_px: tuple[tuple[float, float], ...] = ()
    plane: Plane | None = None

    def __post_init__(self) -> None:
        for name in ("mm_per_px", "uncertainty_mm_per_px"):  # NumPy numbers are accepted, and stored as Python numbers
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))
        if not MIN_MM_PER_PX <= self.mm_per_px <= MAX_MM_PER_PX:
            raise DataError(
                f"mm per pixel is {self.mm_per_px:g}; it must lie between {MIN_MM_PER_PX:g} and {MAX_MM_PER_PX:g}. "
                "Check the unit: millimetres that one pixel of the full-size photo shows."
            )
        if self.uncertainty_mm_per_px is not None and not 0 <= self.uncertainty_mm_per_px < math.inf:
            raise DataError(
                f"the uncertainty of mm per pixel is {self.uncertainty_mm_per_px:g}; it must not be below 0."
            )

    @property
    def relative_uncertainty(self) -> float | None:
        """Standard uncertainty of `mm_per_px` as a share of it; None if it is not known."""
        return None if self.uncertainty_mm_per_px is None else self.uncertainty_mm_per_px / self.mm_per_px

    @property
    def is_approximate(self) -> bool:
        """Whether the scale rests on what a camera noted, and not on something that was measured in the photo."""
        return self.source == "camera"

    @property
    def place_xy_px(self) -> tuple[float, float] | None:
        """Pixel (x, y) that `mm_per_px` holds for; None if it is meant for the whole photo."""
        if self.plane is not None:
            return self.plane.centre_xy_px
        if not self.points_xy_px:
            return None
        x, y = np.mean(self.points_xy_px, axis=0)
        return float(x), float(y)

    def at(
        self,
        x_px: npt.ArrayLike,
        y_px: npt.ArrayLike,
        *,
        direction_xy: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    ) -> LocalScale:
        """Compute the millimetres per pixel at places of the photo, and in a direction if one is given.

        A tilted surface is shortened in one direction, so its widths and lengths need the direction in which they are
        measured: that of a width is across the crack.

        Args:
            x_px: Column of each place, in pixels of the upright photo, shape (...).
            y_px: Row of each place, in pixels, shape (...).
            direction_xy: Steps in x and y in the photo that give the direction, of any length, each of shape (...). If
                left out, the geometric mean of all directions is given.

        Returns:
            The scale at each place. Without a plane it is `mm_per_px` everywhere.

        Example:
            >>> float(Scale(0.25).at(100, 20).mm_per_px)
            0.25
        """
        points = np.stack(np.broadcast_arrays(np.asarray(x_px, np.float64), np.asarray(y_px, np.float64)), axis=-1)
        if self.plane is None:
            same = np.full(points.shape[:-1], self.mm_per_px)
            share = self.relative_uncertainty
            return LocalScale(same, None if share is None else same * share)
        steps = None
        if direction_xy is not None:
            steps = np.stack(np.broadcast_arrays(*(np.asarray(one, np.float64) for one in direction_xy)), axis=-1)
        found = self.plane.mm_per_px(points, steps)
        return LocalScale(found, found * self.plane.relative_uncertainty(points, steps))

    def length_mm(self, points_xy: npt.ArrayLike) -> tuple[float, float | None]:
        """Measure the length of a line in the photo.

        Args:
            points_xy: Pixels (x, y) along the line, shape (n, 2).

        Returns:
            Length in mm, and its standard uncertainty in mm as far as it comes from the scale; None if that is not
            known.

        Example:
            >>> Scale(0.25, 0.01).length_mm([(0, 0), (30, 40)])
            (12.5, 0.5)
        """
        points = np.asarray(points_xy, np.float64)
        if self.plane is not None:
            return self.plane.length_mm(points)
        steps = np.diff(points, axis=0)
        length = self.mm_per_px * float(np.hypot(steps[:, 0], steps[:, 1]).sum())
        share = self.relative_uncertainty
        return length, None if share is None else length * share

    def sides_away(self, x_px: float, y_px: float) -> float | None:
        """Compute how far a place lies from the marker, in sides of the marker.

        Args:
            x_px: Column of the place, in pixels.
            y_px: Row of the place, in pixels.

        Returns:
            Distance from the middle of the marker's square, in sides of it; None if the scale does not come from a
            marker. Infinity beyond the horizon of the plane.
        """
        if self.plane is None:
            return None
        places = self.plane.mm_of(np.array([(x_px, y_px), self.plane.centre_xy_px]))
        away = float(np.hypot(*(places[0] - places[1]))) / self.plane.side_mm
        return away if math.isfinite(away) else math.inf

    def to_dict(self) -> dict[str, object]:
        """Values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Scale:
        """Make a scale from a dictionary of `to_dict`, also after it was JSON.

        Args:
            found: The dictionary; unknown keys are ignored.

        Returns:
            A scale that equals the original one.

        Raises:
            DataError: If the dictionary holds no scale.
        """
        try:
            points = tuple((float(x), float(y)) for x, y in found.get("points_xy_px", ()))
            plane = Plane.from_dict(found["plane"]) if found.get("plane") else None
            return cls(
                found["mm_per_px"], found.get("uncertainty_mm_per_px"), found.get("source", "given"), points, plane
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"no scale: {error!r}. Take what Scale.to_dict gave.") from error


@dataclass(frozen=True)
class NoScale:
    """Reason why a source gives no scale for a photo.

    Attributes:
        reason: The reason, as a phrase for a table.
        is_final: Whether what was found speaks against itself, so that no less trusted source takes its place.
    """

    reason: str
    is_final: bool = False
