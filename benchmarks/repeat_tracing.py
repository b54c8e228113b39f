"""Trace the same concrete in two photos of SDNET2018, and tell how well lines and lengths agree.

    python benchmarks/repeat_tracing.py SDNET2018 --grid GRID.csv --pairs OVERLAPS.csv --reserved RESERVED.csv \
        --work WORK [--model BUNDLE] [--most N]

OVERLAPS.csv lists pairs of photos that overlap (surface, photo_a, photo_b, overlap_share_of_a). Judged are all pairs
without a photo of RESERVED.csv that share at least 40 % of the first photo. The camera moved between both photos, and
the concrete did not. Lines of the first photo are mapped to the second one by `crackscope.register`. Two lines match
where they run within 6 px of each other along at least half of the shorter one, inside the shared area. Printed are:

- the share of the traced length in the shared area that has a partner in the other photo;
- for each pair of lines that match, the stretch that runs within 6 px of the other line: the difference of its length
  in both photos, and of its median width, after the scale between the photos was taken off; and how often the 95 %
  interval of that difference holds 0, for a crack's width did not change.

Traces are kept in WORK, so the same command goes on after a break.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto
from crackscope.geometry.crack_summary import crack_width_mm
from crackscope.geometry.paths import normals_of
from crackscope.geometry.scale import LocalScale
from overlapping_pairs import add_arguments, pairs_of, traced

NEAR_PX, OF_SHORTER = 6.0, 0.5
BORDER_PX = 24.0  # lines nearer to the edge of the shared area are left out


@dataclass(frozen=True, eq=False)
class Line:
    """A traced crack in pixels of the second photo.

    Attributes:
        branches: Points of each branch, shape (n, 2).
        widths: Widths along each branch, in pixels of the photo that it was traced in.
        places: Their places, each of shape (m, 2).
        across: Pixels of the second photo in a pixel across the line of that photo, each of shape (m,).
    """

    branches: Sequence[np.ndarray]
    widths: Sequence[crackscope.BranchWidths]
    places: Sequence[np.ndarray]
    across: Sequence[np.ndarray]

    @classmethod
    def of(cls, crack: crackscope.Crack, to_second: Callable[[np.ndarray], np.ndarray]) -> Line:
        """Take a crack to the second photo."""
        across = []
        for one in crack.widths:
            aside = normals_of(one.points_xy)
            ends = to_second(one.points_xy + 2 * aside) - to_second(one.points_xy - 2 * aside)
            across.append(np.hypot(ends[:, 0], ends[:, 1]) / 4)
        places = [to_second(one.points_xy) for one in crack.widths]
        return cls([to_second(path) for path in crack.path_xy], crack.widths, places, across)

    def median_width(self, near: KDTree) -> crackscope.WidthMm | None:
        """Median width where the line runs near another one, in pixels of the second photo; None if there is none.

        Args:
            near: Points of the other line.
        """
        close = [near.query(places)[0] <= NEAR_PX for places in self.places]
        kept = [
            (crackscope.BranchWidths(**{name: values[mine] for name, values in vars(one).items()}), across[mine])
            for one, across, mine in zip(self.widths, self.across, close, strict=True)
            if mine.any()
        ]
        if not kept:
            return None
        return crack_width_mm([one for one, _ in kept], [LocalScale(across) for _, across in kept])[0]


@dataclass(frozen=True, eq=False)
class Match:
    """A stretch of crack that was traced in both photos; lengths and widths are in pixels of the second photo."""

    length_a_px: float
    length_b_px: float
    width_a: crackscope.WidthMm | None
    width_b: crackscope.WidthMm | None

    @property
    def widths(self) -> tuple[float, float, bool, bool] | None:
        """Both widths, whether both are resolved, and whether the interval of their difference holds 0."""
        a, b = self.width_a, self.width_b
        if a is None or b is None:
            return None
        low, high = sorted((a, b), key=lambda one: one.width_mm)
        reach = np.hypot(low.high_mm - low.width_mm, high.width_mm - high.low_mm)
        return a.width_mm, b.width_mm, a.resolved and b.resolved, bool(high.width_mm - low.width_mm <= reach)


@dataclass(frozen=True, eq=False)
class Pair:
    """What two photos of one place tell."""

    name: str
    shared_px: tuple[float, float]
    partnered_px: tuple[float, float]
    matches: tuple[Match, ...]


def steps_of(path_xy: np.ndarray) -> np.ndarray:
    """Length that each point stands for."""
    steps = np.hypot(*np.diff(path_xy, axis=0).T)
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / 2)


def laid_out(lines: Sequence[Line], inside: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of all lines in the shared area, the number of the line of each, and the length that it stands for."""
    branches = [(number, path) for number, line in enumerate(lines) for path in line.branches]
    points = np.concatenate([*(path for _, path in branches), np.empty((0, 2))])
    owners = np.repeat([number for number, _ in branches], [len(path) for _, path in branches]).astype(int)
    lengths = np.concatenate([*(steps_of(path) for _, path in branches), np.empty(0)])
    within = np.array([cv2.pointPolygonTest(inside, (float(x), float(y)), True) >= BORDER_PX for x, y in points], bool)
    return points[within], owners[within], lengths[within]


def compared(name: str, lines_a: Sequence[Line], lines_b: Sequence[Line], inside: np.ndarray) -> Pair:
    """Compare the lines of both photos, in pixels of the second one.

    Args:
        name: Name of the pair.
        lines_a: Lines of the first photo, mapped to the second one.
        lines_b: Lines of the second photo.
        inside: Corners of the shared area, shape (n, 1, 2), float32.
    """
    (points_a, owners_a, px_a), (points_b, owners_b, px_b) = (laid_out(lines, inside) for lines in (lines_a, lines_b))
    shared = float(px_a.sum()), float(px_b.sum())
    if not len(points_a) or not len(points_b):
        return Pair(name, shared, (0.0, 0.0), ())
    near_a = np.zeros(len(points_a), bool)
    near_b = np.zeros(len(points_b), bool)
    matches = []
    trees = {number: KDTree(points_b[owners_b == number]) for number in np.unique(owners_b)}
    for one in np.unique(owners_a):
        mine = np.flatnonzero(owners_a == one)
        for other, tree in trees.items():
            theirs = np.flatnonzero(owners_b == other)
            close_a = tree.query(points_a[mine], distance_upper_bound=NEAR_PX)[0] <= NEAR_PX
            if not close_a.any():
                continue
            close_b = KDTree(points_a[mine]).query(points_b[theirs])[0] <= NEAR_PX
            lengths = float(px_a[mine][close_a].sum()), float(px_b[theirs][close_b].sum())
            if min(lengths) < OF_SHORTER * min(px_a[mine].sum(), px_b[theirs].sum()):
                continue
            near_a[mine[close_a]] = True
            near_b[theirs[close_b]] = True
            widths = lines_a[one].median_width(tree), lines_b[other].median_width(KDTree(points_a[mine]))
            matches.append(Match(*lengths, *widths))
    return Pair(name, shared, (float(px_a[near_a].sum()), float(px_b[near_b].sum())), tuple(matches))


def judged(pair: tuple[LabelledPhoto, LabelledPhoto], model: crackscope.Model, work: Path) -> Pair | None:
    """Trace and register two photos; None if they cannot be registered."""
    pixels = [photo.load()[0] for photo in pair]
    found = crackscope.register(*pixels)
    if not found.matches:
        return None
    cracks = [
        [crack for crack in traced(photo, own, model, work).cracks if not crack.joint_like]
        for photo, own in zip(pair, pixels, strict=True)
    ]
    inside = found.map_points(found.overlap_xy).astype(np.float32)[:, None]
    lines_a, lines_b = (
        [Line.of(crack, to_second) for crack in own]
        for own, to_second in zip(cracks, (found.map_points, as_they_are), strict=True)
    )
    return compared(" ".join(photo.name for photo in pair), lines_a, lines_b, inside)


def as_they_are(points_xy: np.ndarray) -> np.ndarray:
    """Points of the second photo, which are not mapped."""
    return points_xy


def main() -> None:
    """Judge all pairs, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    model = crackscope.load(given.model)
    pairs = pairs_of(given)
    found = []
    for number, pair in enumerate(pairs, start=1):
        one = judged(pair, model, given.work)
        share = "not registered" if one is None else f"{sum(one.partnered_px) / max(1, sum(one.shared_px)):.0%}"
        print(f"{number}/{len(pairs)} {' '.join(photo.name for photo in pair)}: {share}", flush=True)
        found += [one] if one else []
    shared, partnered = (
        np.array([getattr(one, name) for one in found]).sum() for name in ("shared_px", "partnered_px")
    )
    print(f"{len(found)} of {len(pairs)} pairs registered; {shared:,.0f} px traced in shared areas (both photos)")
    print(f"share with a partner: {partnered / max(1, shared):.1%}")
    tell_matches([match for one in found for match in one.matches])


def tell_matches(matches: Sequence[Match]) -> None:
    """Print how lengths and widths of the lines that match differ."""
    if not matches:
        return
    lengths = np.array([(match.length_a_px, match.length_b_px) for match in matches])
    off = np.abs(lengths[:, 0] / lengths[:, 1] - 1)
    print(f"{len(matches)} lines matched, {lengths[:, 1].sum():,.0f} px; difference of length: "
          f"median {np.median(off):.1%}, p90 {np.quantile(off, 0.9):.1%}")  # fmt: skip
    rows = [match.widths for match in matches if match.widths is not None]
    for name, mine in (("all", rows), ("both widths resolved", [row for row in rows if row[2]])):
        if mine:
            apart = np.abs([a - b for a, b, *_ in mine])
            print(f"difference of median width, {name}: {len(mine)} cracks of "
                  f"{np.median([row[1] for row in mine]):.2f} px (median); median {np.median(apart):.3f} px, "
                  f"p90 {np.quantile(apart, 0.9):.3f} px; "
                  f"the 95 % interval holds {np.mean([row[3] for row in mine]):.1%}")  # fmt: skip


if __name__ == "__main__":
    main()
