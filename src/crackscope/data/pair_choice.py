"""The choice of pairs: photos that cameras tell to be near each other, and a limit of pairs for each photo."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np

__all__ = ["MOST_PAIRS", "near_by_camera", "within_limit"]


MOST_PAIRS = 40
"""Greatest number of other photos that one photo is compared with."""

_SECONDS, _METRES = 60.0, 15.0  # photos taken this soon after, or near, one another
_METRES_A_DEGREE = 111_320.0


def within_limit(pairs: Sequence[tuple[int, int]], n_before: Mapping[int, int]) -> list[tuple[int, int]]:
    """Choose pairs until a photo has `MOST_PAIRS` of them.

    Args:
        pairs: Pairs of photos by their numbers, the most promising first.
        n_before: Number of pairs that each photo has already.

    Returns:
        The chosen pairs, in order.
    """
    n_pairs = defaultdict(int, n_before)
    found = []
    for i, j in pairs:
        if max(n_pairs[i], n_pairs[j]) < MOST_PAIRS:
            n_pairs[i] += 1
            n_pairs[j] += 1
            found.append((i, j))
    return sorted(found)


def near_by_camera(rows: Sequence[Mapping[str, Any]]) -> list[list[int]]:
    """Find photos that were taken within a minute of each photo, or within a few metres.

    Args:
        rows: Facts of each photo: ``taken_at``, a time in ISO 8601, and ``place``, degrees north and east; None where
            they are not known.

    Returns:
        Numbers of the near photos of each photo, the nearest first.
    """
    near: list[list[tuple[float, int]]] = [[] for _ in rows]
    for key, reach in (("taken_at", _SECONDS), ("place", _METRES)):
        known = [(_coordinates(key, row[key]), k) for k, row in enumerate(rows) if row[key] is not None]
        known.sort(key=lambda item: (item[0][0], item[1]))
        for n, (one, k) in enumerate(known):
            for other, m in _until(known[n + 1 :], one[0] + reach):
                distance = float(np.hypot(*np.subtract(one, other))) / reach
                if distance <= 1:
                    near[k].append((distance, m))
                    near[m].append((distance, k))
    return [[k for _, k in sorted(one)] for one in near]


def _until(known: Sequence[tuple[tuple[float, float], int]], end: float) -> Iterator[tuple[tuple[float, float], int]]:
    """Entries whose first coordinate is not beyond an end; at most some hundred."""
    for n, entry in enumerate(known):
        if entry[0][0] > end or n >= 4 * MOST_PAIRS:
            return
        yield entry


def _coordinates(key: str, value: Any) -> tuple[float, float]:
    """Seconds, or metres north and east."""
    if key == "taken_at":
        return (datetime.fromisoformat(value) - datetime(1970, 1, 1)).total_seconds(), 0.0
    latitude, longitude = value
    east = longitude * _METRES_A_DEGREE * float(np.cos(np.radians(latitude)))
    return latitude * _METRES_A_DEGREE, east
