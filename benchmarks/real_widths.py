"""Measure widths on real grey profiles of known width: wide real cracks, photographed from farther away.

    python benchmarks/real_widths.py METU [--step 2] [--light]

METU is the folder of the METU set, with ``Positive/*.jpg``. In each photo, the largest dark stretch is taken; where it
is 6 px or wider and straight, its width at half depth is measured on seven profiles side by side, at full size. Places
where these differ by more than 12 % are left out. The photo is then blurred and seen from 3 to 20 times as far away,
each pixel the mean of a square, and one profile of 20 to 50 samples is measured. Its true width is the width at full
size divided by the distance. With ``--light``, the photo is blurred and averaged as light rather than as grey levels,
which is what a lens does: grey levels are taken as light to the power of 1 / 2.2.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from skimage.morphology import skeletonize
from threadpoolctl import threadpool_limits

from crackscope.geometry.profile_width import profile_width

REACH_PX = 60  # of a profile at full size
LEAST_PX, MOST_UNEVEN, BRIGHTEST_FLOOR = 6.0, 0.12, 0.65
CLASSES_PX = ((0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, 20.0))
GAMMA = 2.2


@dataclass(frozen=True)
class Place:
    """A place on the middle line of a crack, and the direction across it."""

    xy: np.ndarray
    across: np.ndarray


def crack_of(grey: np.ndarray) -> np.ndarray | None:
    """Largest dark stretch of a picture, if it is 100 px long."""
    ratio = cv2.GaussianBlur(grey, (0, 0), 1.0) / np.maximum(cv2.medianBlur(grey.astype(np.uint8), 101), 1)
    dark = (ratio < (1 + np.percentile(ratio, 0.5)) / 2).astype(np.uint8)
    n, labels, facts, _ = cv2.connectedComponentsWithStats(dark)
    if n < 2:
        return None
    largest = 1 + int(np.argmax(facts[1:, cv2.CC_STAT_AREA]))
    long_px = max(facts[largest, cv2.CC_STAT_WIDTH], facts[largest, cv2.CC_STAT_HEIGHT])
    return np.asarray(labels == largest) if long_px >= 100 else None


def places_on(crack: np.ndarray) -> list[Place]:
    """Places on straight stretches of a crack's middle line."""
    thin: Any = skeletonize
    points = np.argwhere(thin(crack))[:, ::-1].astype(np.float64)
    inside = cv2.distanceTransform(crack.astype(np.uint8), cv2.DIST_L2, 5)
    found = []
    for point in points[::31]:
        radius = inside[int(point[1]), int(point[0])]
        near = points[np.hypot(*(points - point).T) < max(8, 2 * radius)]
        if len(near) < 8:
            continue
        _, sizes, axes = np.linalg.svd(near - near.mean(axis=0), full_matrices=False)
        if sizes[1] < 0.2 * sizes[0]:
            found.append(Place(point, np.array([-axes[0][1], axes[0][0]])))
    return found


def samples(picture: np.ndarray, xy: np.ndarray, across: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Samples of a picture along a line; NaN outside."""
    x, y = (xy + steps[:, None] * across).T
    values = map_coordinates(picture, [y, x], order=1, mode="nearest")
    height, width = picture.shape
    return np.where((x >= 0) & (y >= 0) & (x <= width - 1) & (y <= height - 1), values, np.nan)


def half_depth(profile: np.ndarray) -> tuple[float, float, float] | None:
    """Width, middle and floor (as a share of the concrete's grey) of a wide crack; None if it is unclear."""
    middle = len(profile) // 2
    known = np.flatnonzero(np.isfinite(profile))
    if len(known) < 60 or not np.isfinite(profile[middle - 20 : middle + 21]).all():
        return None
    begin, end = known[0], known[-1]
    floor = float(np.sort(profile[middle - 3 : middle + 4])[:2].mean())
    concrete = float(np.median(np.concatenate([profile[begin : middle - 12], profile[middle + 13 : end + 1]])))
    for _ in range(2):
        level, left, right = (floor + concrete) / 2, middle, middle
        while left > begin and profile[left] < level:
            left -= 1
        while right < end and profile[right] < level:
            right += 1
        if profile[middle] >= level or left == begin or right == end:
            return None
        from_x = left + (profile[left] - level) / (profile[left] - profile[left + 1])
        to_x = right - (profile[right] - level) / (profile[right] - profile[right - 1])
        width = to_x - from_x
        if width > 6:
            floor = float(np.median(profile[int(np.ceil(from_x + width / 4)) : int(to_x - width / 4) + 1]))
        beside = int(1.2 * max(width, 6))
        sides = (profile[max(begin, int(from_x) - 3 - beside) : int(from_x) - 2], profile[int(to_x) + 3 :][:beside])
        if min(np.isfinite(side).sum() for side in sides) < 4:
            return None
        concrete = float(np.mean([np.nanmedian(side) for side in sides]))
    return width, (from_x + to_x) / 2 - middle, floor / concrete


def from_afar(grey: np.ndarray, place: Place, rng: np.random.Generator, *, light: bool) -> tuple[float, ...] | None:
    """True width of a smaller picture's profile, and its estimate; None if the place does not serve."""
    full = np.arange(-REACH_PX, REACH_PX + 1.0)
    first = half_depth(samples(grey, place.xy, place.across, full))
    if first is None or first[0] < LEAST_PX or first[2] > BRIGHTEST_FLOOR:
        return None
    times = first[0] / float(np.exp(rng.uniform(np.log(0.35), np.log(6.0))))
    blur_px = float(np.exp(rng.uniform(np.log(0.4), np.log(1.6))))
    if not 3 <= times <= 20:
        return None
    along = np.array([place.across[1], -place.across[0]])
    beside = np.linspace(-1.2, 1.2, 7) * times * max(blur_px, 0.5)
    each = [half_depth(samples(grey, place.xy + shift * along, place.across, full)) for shift in beside]
    if any(one is None for one in each):
        return None
    widths, middles, _ = np.array([one for one in each if one is not None]).T
    if widths.std() > MOST_UNEVEN * widths.mean() or middles.std() > 0.25 * times:
        return None
    seen = (grey / 255) ** GAMMA * 255 if light else grey
    seen = cv2.blur(cv2.GaussianBlur(seen, (0, 0), blur_px * times), (max(round(times), 1),) * 2)
    half = int(rng.integers(10, 25))
    steps = (middles.mean() + rng.uniform(-2, 2) * times) + times * np.arange(-half, half + 1.0)
    values = samples(seen, place.xy, place.across, steps)
    while len(values) > 20 and not np.isfinite(values[[0, -1]]).all():
        values = values[1:-1]
    if not np.isfinite(values).all():
        return None
    if light:
        values = 255 * (values / 255) ** (1 / GAMMA)
    values = np.round(values + rng.normal(0, 1, len(values)))
    width_px = float(widths.mean() / times)
    if abs(int(np.argmin(values)) - len(values) // 2) > 3.5 + width_px / 2:
        return None
    found = profile_width(values)
    return width_px, found.width_px, found.low_px, found.high_px, found.resolved, first[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("metu", type=Path)
    parser.add_argument("--step", type=int, default=2, help="take every so many photos")
    parser.add_argument("--light", action="store_true", help="blur and average light, not grey levels")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    rows: list[tuple[float, ...]] = []
    with threadpool_limits(1):
        for number, path in enumerate(sorted((given.metu / "Positive").glob("*.jpg"))[:: given.step]):
            grey = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float32)
            crack, rng = crack_of(grey), np.random.default_rng(number)
            for place in places_on(crack) if crack is not None else []:
                row = from_afar(grey, place, rng, light=given.light)
                rows += [row] if row is not None else []
    truth, width, low, high, resolved, floor = np.array(rows).T
    print("| true width, px | n | floor, median | bias | median error | mean error | in interval | resolved |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for low_px, high_px in CLASSES_PX:
        one = (truth >= low_px) & (truth < high_px)
        error, held = (width - truth)[one], ((low <= truth) & (truth <= high))[one].mean()
        figures = f"{error.mean():+.2f} | {np.median(np.abs(error)):.2f} | {np.abs(error).mean():.2f} | {held:.1%}"
        share = f"{resolved[one].mean():.0%}"
        print(f"| {low_px:g} to {high_px:g} | {one.sum()} | {np.median(floor[one]):.2f} | {figures} | {share} |")


if __name__ == "__main__":
    main()
