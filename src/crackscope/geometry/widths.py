"""Widths as results hold them: of a place, along a branch, and of a whole crack, in pixels and in millimetres.

How they are measured is told in `crackscope.geometry.crack_width`. This module needs NumPy alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from crackscope.arrays import BoolArray, Float64Array

__all__ = ["BranchWidths", "CrackMillimetres", "CrackWidth", "Figure", "WidthEstimate", "WidthMm", "width_text"]

Figure: TypeAlias = Literal["median", "p90", "maximum"]
"""A figure of a crack's width."""

_DECIMALS = 2  # of what is kept along a branch, in pixels


@dataclass(frozen=True)
class WidthEstimate:
    """Width of a crack in pixels, in one grey profile or over the length of a crack.

    Attributes:
        width_px: Best estimate of the width in pixels, above 0, also where the crack is not resolved.
        low_px: Lower end of the 95 % interval in pixels; 0 if the profile may show no crack at all.
        high_px: Upper end of the 95 % interval in pixels.
        resolved: Whether blur and noise let the width be told: the interval lies above the limit of resolution. Where
            it is False, say "below" the limit or the upper end, and do not print `width_px` as a measurement.
    """

    width_px: float
    low_px: float
    high_px: float
    resolved: bool

    @property
    def text(self) -> str:
        """Width as tables print it, in pixels: ``2.4``, or ``< 0.9`` with the upper end where it is not resolved."""
        return f"{self.width_px:.1f}" if self.resolved else f"< {self.high_px:.1f}"


@dataclass(frozen=True)
class WidthMm:
    """Width of a crack in millimetres; see `WidthEstimate`.

    Attributes:
        width_mm: Best estimate of the width in mm, above 0, also where the crack is not resolved.
        low_mm: Lower end of the 95 % interval in mm, with the uncertainty of the scale; 0 if there may be no crack.
        high_mm: Upper end of the 95 % interval in mm, with the uncertainty of the scale.
        resolved: Whether blur and noise let the width be told.
    """

    width_mm: float
    low_mm: float
    high_mm: float
    resolved: bool

    @property
    def text(self) -> str:
        """Width as tables print it, in mm: ``0.35``, or ``< 0.20`` with the upper end where it is not resolved."""
        return f"{self.width_mm:.2f}" if self.resolved else f"< {self.high_mm:.2f}"


def width_text(width: WidthEstimate | WidthMm, smallest: float | None) -> str:
    """Width as tables and pages print it, such as ``2.4`` or ``< 0.9``.

    Args:
        width: The width, in pixels or in mm.
        smallest: Smallest width that can be measured there, in the same unit; None if it is not known.

    Example:
        >>> width_text(WidthEstimate(0.3, 0.1, 0.5, False), 0.94), width_text(WidthEstimate(2.4, 2, 3, True), 0.94)
        ('< 1.0', '2.4')
    """
    least = smallest or 0.0
    if isinstance(width, WidthMm):
        least_mm = _rounded_up(least, 100)
        best_mm = max(width.width_mm, least_mm) if width.width_mm >= least else width.width_mm
        return replace(width, width_mm=best_mm, high_mm=_rounded_up(max(width.high_mm, least), 100)).text
    least_px = _rounded_up(least, 10)
    best_px = max(width.width_px, least_px) if width.width_px >= least else width.width_px
    return replace(width, width_px=best_px, high_px=_rounded_up(max(width.high_px, least), 10)).text


def _rounded_up(value: float, parts: int) -> float:
    """The next multiple of one part: of a tenth if there are 10."""
    return math.ceil(value * parts - 1e-6) / parts


@dataclass(frozen=True)
class CrackWidth:
    """Width of a crack over its length, in pixels.

    Attributes:
        median: Width that half of the crack's length exceeds.
        p90: Width that a tenth of the crack's length exceeds.
        maximum: Greatest width, as the median over about 20 px of length.
        maximum_xy: Place of the greatest width, x and y in pixels of the photo.
        smallest_px: Smallest width that can be measured there, in pixels: the standard deviation of what spreads a
            point of light, the photo's blur and the pixel's own square.
        measured_px: Length of the places that count, in pixels.
        resolved_share: Share of that length where the width is resolved.
        filled_share: Share of that length where the crack is lighter than the concrete.
        lit_share: Share of that length where light falls on one wall or edge.
        spalled_share: Share of that length where a strip beside the crack is darker or brighter than the concrete.
        wet_share: Share of that length where the concrete near the crack is darker.
    """

    median: WidthEstimate
    p90: WidthEstimate
    maximum: WidthEstimate
    maximum_xy: tuple[float, float]
    smallest_px: float
    measured_px: float
    resolved_share: float
    filled_share: float
    lit_share: float
    spalled_share: float
    wet_share: float

    def text(self, figure: Figure) -> str:
        """Width as tables print it, in pixels; no number below `smallest_px` is printed.

        Args:
            figure: ``median``, ``p90`` or ``maximum``.
        """
        width: WidthEstimate = getattr(self, figure)
        return width_text(width, self.smallest_px)

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return asdict(self) | {"maximum_xy": list(self.maximum_xy)}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CrackWidth:
        """Make a width from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        own = {one.name: found[one.name] for one in fields(cls)}
        own |= {name: WidthEstimate(**found[name]) for name in ("median", "p90", "maximum")}
        return cls(**own | {"maximum_xy": tuple(found["maximum_xy"])})


@dataclass(frozen=True)
class CrackMillimetres:
    """A crack in millimetres, by the scale of its photo.

    Attributes:
        mm_per_px: Millimetres per pixel at the crack, the mean along it.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px`; None if it is not known.
        length_mm: Length along all branches, in mm.
        length_uncertainty_mm: Standard uncertainty of `length_mm`, as far as it comes from the scale; None if that is
            not known.
        median: Width that half of the crack's length exceeds; None if the widths were not measured.
        p90: Width that a tenth of the crack's length exceeds; None if the widths were not measured.
        maximum: Greatest width; None if the widths were not measured.
        smallest_mm: Smallest width that can be measured there, in mm; None if the widths were not measured.
    """

    mm_per_px: float
    uncertainty_mm_per_px: float | None
    length_mm: float
    length_uncertainty_mm: float | None
    median: WidthMm | None = None
    p90: WidthMm | None = None
    maximum: WidthMm | None = None
    smallest_mm: float | None = None

    def text(self, figure: Figure) -> str:
        """Width as tables print it, in mm; no number below `smallest_mm` is printed. Empty if it was not measured.

        Args:
            figure: ``median``, ``p90`` or ``maximum``.
        """
        width: WidthMm | None = getattr(self, figure)
        if width is None or self.smallest_mm is None:
            return ""
        return width_text(width, self.smallest_mm)

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> CrackMillimetres:
        """Make a value from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        own = {one.name: found[one.name] for one in fields(cls) if one.name in found}
        widths = {name: WidthMm(**found[name]) for name in ("median", "p90", "maximum") if found.get(name)}
        return cls(**own | widths)


@dataclass(frozen=True, eq=False)
class BranchWidths:
    """Widths at places along one branch of a crack; all arrays have one entry or row a place.

    Attributes:
        points_xy: Places on the branch, shape (n, 2), in pixels of the photo.
        lengths_px: Length of the branch that each place stands for, shape (n,), in pixels.
        width_px: Best estimates of the width, shape (n,), in pixels.
        low_px: Lower ends of the 95 % intervals, shape (n,), in pixels.
        high_px: Upper ends of the 95 % intervals, shape (n,), in pixels.
        limit_px: Limit of resolution at each place, shape (n,), in pixels.
        resolved: Whether each width is resolved, shape (n,); see `WidthEstimate`.
        doubtful: Whether the width is none that counts, shape (n,): the line turns sharply there, the width is far from
            that of all neighbours, or the place lies at the photo's border.
    """

    points_xy: Float64Array
    lengths_px: Float64Array
    width_px: Float64Array
    low_px: Float64Array
    high_px: Float64Array
    limit_px: Float64Array
    resolved: BoolArray
    doubtful: BoolArray

    @classmethod
    def rounded(cls, **values: Any) -> BranchWidths:
        """Make widths with pixels rounded to two decimals, as JSON holds them.

        Args:
            values: Arrays by the names of the attributes; others are left out.
        """
        own: dict[str, Any] = {one.name: np.asarray(values[one.name]) for one in fields(cls)}
        return cls(**{name: one if one.dtype == np.bool_ else np.round(one, _DECIMALS) for name, one in own.items()})

    def to_dict(self) -> dict[str, Any]:
        """Give lists by name, ready for JSON; truth values are 0 and 1."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        return {key: (value.astype(int) if value.dtype == np.bool_ else value).tolist() for key, value in found.items()}

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> BranchWidths:
        """Make widths from a dictionary of `to_dict`; unknown keys are ignored.

        Args:
            found: The dictionary.
        """
        kinds: dict[str, type] = {"resolved": np.bool_, "doubtful": np.bool_}
        own: dict[str, Any] = {one.name: np.array(found[one.name], kinds.get(one.name, float)) for one in fields(cls)}
        return cls(**own | {"points_xy": own["points_xy"].reshape(-1, 2)})
