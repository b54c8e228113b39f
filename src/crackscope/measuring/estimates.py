"""Estimates: a figure with its 95 % interval, and what is said where too few photos stand behind it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["FEW_CLUSTERS", "LEAST_CLUSTERS", "TAIL", "Estimate", "few_text"]


TAIL = 0.025
"""Probability left out at each end of an interval of 95 %."""

LEAST_CLUSTERS = 3
"""Least number of photos, or other clusters, of a label from which an interval is given."""

FEW_CLUSTERS = 8
"""Number of photos, or other clusters, of a label below which a figure is called an anecdote."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; NaN where it is not defined.

    Attributes:
        value: Value of the figure.
        low: Lower end of the interval; NaN where there is no interval.
        high: Upper end of the interval; NaN where there is no interval.
    """

    value: float
    low: float
    high: float

    def document(self) -> dict[str, float | None]:
        """Value and interval, ready for JSON; NaN becomes None, since JSON knows no NaN.

        Example:
            >>> Estimate(0.5, float("nan"), float("nan")).document()
            {'value': 0.5, 'low': None, 'high': None}
        """
        fields = {"value": self.value, "low": self.low, "high": self.high}
        return {name: float(number) if np.isfinite(number) else None for name, number in fields.items()}


def few_text(n_crack: int | None, n_uncracked: int | None, kind: str) -> str:
    """Say that a label comes from too few photos for its figures to mean much; empty where there are enough.

    Args:
        n_crack: Number of photos, or other clusters, that hold a cracked patch; None where it is not known.
        n_uncracked: Number of photos, or other clusters, that hold an uncracked patch; None where it is not known.
        kind: What these are, in the plural, such as ``photos`` or ``similarity groups``.

    A label that does not occur has no figure, so nothing is said of it.

    Example:
        >>> few_text(4, 12, "photos")
        'crack in 4 photos: read this as an anecdote'
        >>> few_text(2, 2, "scenes")
        '2 scenes of each label: read this as an anecdote, without intervals'
        >>> few_text(8, 12, "photos")
        ''
    """
    counts = {"crack": n_crack, "uncracked": n_uncracked}
    few = {label: n for label, n in counts.items() if n and n < FEW_CLUSTERS}
    if not few:
        return ""
    told = [f"{n} {kind if n > 1 else kind.removesuffix('s')}" for n in few.values()]
    where = " and ".join(f"{label} in {text}" for label, text in zip(few, told, strict=True))
    if n_crack == n_uncracked:
        where = f"{told[0]} of each label"
    end = ", without intervals" if min(few.values()) < LEAST_CLUSTERS else ""
    return f"{where}: read this as an anecdote{end}"
