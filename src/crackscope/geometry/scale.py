"""Scale: the number of millimetres that a pixel of a photo shows."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from crackscope.errors import DataError

__all__ = ["Scale"]


@dataclass(frozen=True)
class Scale:
    """Millimetres that a pixel of a photo shows, with their uncertainty and their source.

    Attributes:
        mm_per_px: Millimetres per pixel of the upright photo, above 0.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px` in millimetres per pixel, at least 0; None if it
            is not known.
        source: Source of the scale, in a word or two, such as ``given``.

    Raises:
        DataError: If `mm_per_px` is no number above 0, or the uncertainty is no number of at least 0.

    Example:
        >>> Scale(0.25)
        Scale(mm_per_px=0.25, uncertainty_mm_per_px=None, source='given')
    """

    mm_per_px: float
    uncertainty_mm_per_px: float | None = None
    source: str = "given"

    def __post_init__(self) -> None:
        for name in ("mm_per_px", "uncertainty_mm_per_px"):  # NumPy numbers are accepted, and stored as Python numbers
            if (value := getattr(self, name)) is not None:
                object.__setattr__(self, name, float(value))
        if not 0 < self.mm_per_px < math.inf:
            raise DataError(f"mm per pixel is {self.mm_per_px:g}; it must lie above 0.")
        if self.uncertainty_mm_per_px is not None and not 0 <= self.uncertainty_mm_per_px < math.inf:
            raise DataError(
                f"the uncertainty of mm per pixel is {self.uncertainty_mm_per_px:g}; it must not be below 0."
            )

    def to_dict(self) -> dict[str, object]:
        """Values by name, ready for JSON."""
        return asdict(self)
