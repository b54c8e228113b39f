"""Drawn cracks without photos: lines of known course as they come out of a scan, and what scans may make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from crackscope.arrays import Float64Array
from crackscope.geometry.cracks import Crack
from crackscope.geometry.widths import CrackWidth, WidthEstimate
from crackscope.scanning.results import PhotoResult

__all__ = ["PHOTO_HW", "crack_along", "level_crack", "moved", "network", "photo_of", "renamed", "width_of", "without"]

PHOTO_HW = (1200, 1600)


def crack_along(*paths_xy: Any, joint_like: bool = False, width: CrackWidth | None = None) -> Crack:
    """A crack whose branches run through given points, a pixel apart."""
    paths = tuple(_filled(np.asarray(path, np.float64)) for path in paths_xy)
    points = np.round(np.concatenate(paths), 2)
    length = float(sum(np.hypot(*np.diff(path, axis=0).T).sum() for path in paths))
    ends = np.concatenate([path[[0, -1]] for path in paths])
    return Crack(
        id=hashlib.sha256(points.tobytes()).hexdigest()[:8],
        path_xy=paths,
        confidence=tuple(np.full(len(path), 0.9) for path in paths),
        nodes_xy=ends,
        branch_ends=np.arange(len(ends)).reshape(-1, 2),
        joint_like=joint_like,
        length_px=length,
        direction_deg=0.0,
        direction_strength=1.0,
        directions_px=np.zeros(18),
        tortuosity=1.0,
        pattern="single",
        width=width,
    )


def level_crack(y: float, left: float = 100.0, right: float = 500.0, **choices: Any) -> Crack:
    """A level, straight crack."""
    return crack_along([[left, y], [right, y]], **choices)


def width_of(width_px: float, low_px: float, high_px: float, *, resolved: bool = True) -> CrackWidth:
    """A width of a crack, the same everywhere."""
    one = WidthEstimate(width_px, low_px, high_px, resolved)
    return CrackWidth(one, one, one, (0.0, 0.0), 0.8, 100.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def photo_of(path: str, cracks: Sequence[Crack], **known: Any) -> PhotoResult:
    """A photo with cracks, as a scan gives it."""
    order = sorted(cracks, key=lambda one: (one.joint_like, -one.length_px, one.id))
    values: dict[str, Any] = {
        "verdict": "crack",
        "crack_probability": 0.9,
        "height_px": PHOTO_HW[0],
        "width_px": PHOTO_HW[1],
    }
    return PhotoResult(path, "drawn", cracks=tuple(order), **(values | known))


def network(
    rng: np.random.Generator,
    n_cracks: int,
    photo_hw: tuple[int, int] = PHOTO_HW,
    *,
    beside: Sequence[Crack] = (),
    apart_px: float = 14.0,
) -> list[Crack]:
    """Winding cracks, some with a branch, that cross, and run beside each other at `apart_px` or more.

    A line that keeps nearer than that to an earlier one, or to one of `beside`, along 30 % of its way is drawn anew.
    Two such lines could not be told apart once each is traced some pixels aside.
    """
    found: list[Crack] = []
    while len(found) < n_cracks:
        paths = [_walk(rng, rng.uniform((60, 60), np.array(photo_hw[::-1]) - 60), photo_hw)]
        if rng.random() < 0.3:
            paths.append(_walk(rng, paths[0][len(paths[0]) // 2], photo_hw))
        one = crack_along(*paths)
        if one.length_px >= 40 and not any(_beside(one, other, apart_px) for other in (*beside, *found)):
            found.append(one)
    return found


def moved(crack: Crack, by_xy: tuple[float, float]) -> Crack:
    """A crack traced aside."""
    return crack_along(*(path + np.array(by_xy) for path in crack.path_xy), joint_like=crack.joint_like)


def without(cracks: Sequence[Crack], *numbers: int) -> list[Crack]:
    """Cracks but those with given numbers."""
    return [one for number, one in enumerate(cracks) if number not in numbers]


def _filled(path_xy: Float64Array) -> Float64Array:
    at = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path_xy, axis=0).T))])
    places = np.linspace(0, at[-1], max(2, round(at[-1]) + 1))
    return np.column_stack([np.interp(places, at, path_xy[:, axis]) for axis in (0, 1)])


def _walk(rng: np.random.Generator, start_xy: Float64Array, photo_hw: tuple[int, int]) -> Float64Array:
    steps = int(rng.integers(5, 60))
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.15, steps))
    path = start_xy + np.cumsum(10 * np.column_stack([np.cos(angles), np.sin(angles)]), axis=0)
    inside = np.all((path >= 0) & (path <= np.array(photo_hw[::-1]) - 1), axis=1)
    return np.concatenate([start_xy[None], path[: len(path) if inside.all() else int(inside.argmin())]])


def _beside(one: Crack, other: Crack, apart_px: float) -> bool:
    first, second = (np.concatenate(crack.path_xy)[::4] for crack in (one, other))
    away = np.sqrt(np.min(np.square(first[:, None] - second[None]).sum(2), axis=1))
    back = np.sqrt(np.min(np.square(second[:, None] - first[None]).sum(2), axis=1))
    return bool((away < apart_px).mean() > 0.3 or (back < apart_px).mean() > 0.3)


def renamed(result: PhotoResult, path: str) -> PhotoResult:
    """The same photo at another path."""
    return replace(result, path=path)
