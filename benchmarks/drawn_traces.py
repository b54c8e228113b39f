"""Trace and measure drawn cracks, and compare lines, lengths and widths with the truth.

    python benchmarks/drawn_traces.py [cracks | walls] [--model BUNDLE] [--ideal] [--n 300] [--keep FOLDER] [--other]

``cracks`` draws n pictures of 400 px for each class of widths, as ``benchmarks/crack_widths.py`` does, with one crack
each; every second crack is branching. Each picture is traced and measured like any photo. A point of a traced line and
a point of a true one are *matched* if they lie within 4 px of each other and neither lies beyond an end of the other
line. They are *partners* if each is also the nearest one of the other, within 1.5 px. Where a branch leaves its parent,
both true lines are matched by the one line that is traced there, and one of them has no partner. Printed are, for
each class of widths:

- the share of the cracks that are found: at least 40 px of one traced crack are matched; and how much of the true
  length is matched;
- the width: the median of the traced crack with the longest matched stretch, against the median of the true widths,
  weighted by length, along that stretch;
- the centre: root mean square distance of partners from the true middle line, and the same of all matched points;
- the length: that of the stretches of traced lines that have partners, by that of the true ones that have.

The true length is that of the drawn middle line at the scale of a pixel: smoothed by a Gaussian of 1 px along it. What
turns within less than a pixel is no length that a photo shows. The ratio to the line *as drawn* is printed, too, and
that of *all matched* length.

``walls`` draws walls of 512 px with planking, joints and one crack, and prints what share of the joints' length is
traced as cracks, and what share of the length of cracks lies at a joint. Joints count where they are more than 8 px
away from the true crack, since a crack that crosses them is right.

With ``--ideal``, a map that is drawn from the truth, with noise, in cells of 2 px guides the tracing in place of a
model. What was measured is kept in FOLDER, so the same command goes on after a break. All are drawn with seeds that
nothing was adjusted with; ``--other`` draws the pictures that development used. ``--calibrate`` draws with other seeds
again, and finds the factors of `crackscope.geometry.width_intervals` for the medians of traced cracks.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits

import crackscope
from crack_widths import (
    CLASSES_PX,
    PLACES_PX,
    UNSCALED,
    Measured,
    Picture,
    calibrated,
    even_width,
    measured,
    picture,
    print_table,
)
from crackscope.drawing.crack_paths import fork_from, new_shape
from crackscope.drawing.exact_cracks import CrackLook, with_shapes
from crackscope.drawing.exact_drawings import ExactDrawing, bare
from crackscope.drawing.hard_negatives import with_negative
from crackscope.geometry.crack_summary import crack_width_mm
from crackscope.geometry.cracks import Crack
from crackscope.geometry.line_tracing import Guide
from crackscope.geometry.paths import resampled, smoothed
from crackscope.geometry.scale import LocalScale
from crackscope.measuring.joint_figures import PhotoJoints, compare_joints, joint_rows, measure_joints
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.tracing import cracks_in, measured_in

JUDGED, DEVELOPED, CALIBRATED = 21, 22, 23  # first numbers of the seeds
SIDE_PX, WALL_PX = 400, 512
NEAR_PX, LEAST_PX = 4.0, 40.0
FINE_PX = 0.25  # distance of points at which lines are compared
BORDER_PX = 4.0  # a true line counts inside the picture, without this margin
SEEN_PX = 1.0  # scale at which the true length is measured
PARTNER_PX = 1.5
CELL_PX = 2.0  # of an ideal map
CROSSING_PX = 8.0


@dataclass(frozen=True)
class Traced:
    """What was traced of one drawn crack; lengths and widths in pixels, NaN where nothing was measured.

    Attributes:
        number: Number of its class of widths.
        branching: Whether the crack has branches.
        blur_px: Blur of the picture.
        true_px: Length of the true lines inside the picture, at the scale of a pixel.
        matched_px: Matched length of these.
        partners_px: Length of these that is matched by partners.
        partners_raw_px: The same, of the lines as they were drawn.
        traced_px: Matched length of the traced lines.
        traced_partners_px: Length of these that is matched by partners.
        other_px: Length of traced lines that is not matched.
        off2_px2: Mean square distance of partners on the traced lines from the true one.
        near_off2_px2: The same, of all matched points.
        width_px: Measured width; `low_px` and `high_px` are its interval.
        own_low_px: Lower end of the interval before it is widened for the whole crack; `own_high_px` is the upper end.
        resolved: Whether it is resolved.
        true_width_px: True width.
        n_lines: Number of traced cracks.
    """

    number: int
    branching: bool
    blur_px: float
    true_px: float
    matched_px: float
    partners_px: float
    partners_raw_px: float
    traced_px: float
    traced_partners_px: float
    other_px: float
    off2_px2: float
    near_off2_px2: float
    width_px: float
    low_px: float
    high_px: float
    own_low_px: float
    own_high_px: float
    resolved: bool
    true_width_px: float
    n_lines: int

    @property
    def found(self) -> bool:
        return not np.isnan(self.width_px)


@dataclass(frozen=True, eq=False)
class Lines:
    """Points of lines, `FINE_PX` apart or less.

    Attributes:
        points: Points, shape (n, 2).
        lengths: Length that each point stands for, in pixels, shape (n,).
        is_end: Whether each point is an end of a line where no other begins, shape (n,).
        owners: Number of the crack of each point, shape (n,).
    """

    points: np.ndarray
    lengths: np.ndarray
    is_end: np.ndarray
    owners: np.ndarray

    @classmethod
    def of(cls, paths: Sequence[np.ndarray], free: Sequence[tuple[bool, bool]], owners: Sequence[int]) -> Lines:
        fine = [resampled(path, FINE_PX) for path in paths]
        lengths = [steps_of(path) for path in fine]
        ends = [np.zeros(len(path), np.bool_) for path in fine]
        for one, (first, last) in zip(ends, free, strict=True):
            one[0] |= first
            one[-1] |= last
        numbers = np.repeat(owners, [len(path) for path in fine]).astype(int)
        return cls(
            np.concatenate([np.empty((0, 2)), *fine]),
            np.concatenate([np.empty(0), *lengths]),
            np.concatenate([np.empty(0, np.bool_), *ends]),
            numbers,
        )

    def beside(self, other: Lines) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which points are matched by another line, which of them are partners, and the number of the nearest point."""
        if not len(other.points) or not len(self.points):
            nothing = np.zeros(len(self.points), np.bool_)
            return nothing, nothing, np.zeros(len(self.points), int)
        distances, nearest = KDTree(other.points).query(self.points)
        matched = (distances <= NEAR_PX) & ~other.is_end[nearest]
        back = KDTree(self.points).query(other.points[nearest])[1]
        partners = matched & (np.hypot(*(self.points - self.points[back]).T) <= PARTNER_PX)
        return matched, partners, nearest


def steps_of(path_xy: np.ndarray) -> np.ndarray:
    steps = np.hypot(*np.diff(path_xy, axis=0).T)
    return np.asarray((np.append(steps, 0) + np.append(0, steps)) / 2)


def true_lines(drawn: Picture, side_px: int, sigma_px: float) -> tuple[Lines, np.ndarray]:
    """True lines inside a picture, smoothed by sigma, and the width at each of their points."""
    paths, widths, free = [], [], []
    for line in drawn.lines:
        inside = np.all((line.path_xy > BORDER_PX) & (line.path_xy < side_px - 1 - BORDER_PX), axis=1)
        ends = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]]).astype(int)))
        path = smoothed(resampled(line.path_xy, FINE_PX), sigma_px / FINE_PX) if sigma_px else line.path_xy
        at = np.linspace(0, len(line.path_xy) - 1, len(path))
        for first, last in zip(ends[::2], ends[1::2], strict=True):
            own = (at >= first) & (at <= last - 1)
            if own.sum() < 2:
                continue
            paths.append(path[own])
            even = np.linspace(at[own][0], at[own][-1], len(resampled(path[own], FINE_PX)))
            widths.append(np.interp(even, np.arange(len(line.path_xy)), line.widths_px))
            # A branch begins on the line of another one.
            free.append((line is drawn.longest or first > 0, True))
    return Lines.of(paths, free, [0] * len(paths)), np.concatenate([np.empty(0), *widths])


def traced_lines(cracks: Sequence[Crack]) -> Lines:
    paths, free, owners = [], [], []
    for number, crack in enumerate(cracks):
        degrees = np.bincount(crack.branch_ends.ravel(), minlength=len(crack.nodes_xy))
        for path, (first, last) in zip(crack.path_xy, crack.branch_ends, strict=True):
            paths.append(path)
            free.append((bool(degrees[first] == 1), bool(degrees[last] == 1)))
            owners.append(number)
    return Lines.of(paths, free, owners)


def compared(number: int, drawn: Picture, all_cracks: Sequence[Crack], side_px: int) -> Traced:
    """Compare the traced cracks of a picture with its truth; joint-like lines are left out."""
    cracks = [crack for crack in all_cracks if not crack.joint_like]
    (true, widths), (raw, _) = (true_lines(drawn, side_px, sigma) for sigma in (SEEN_PX, 0.0))
    traced = traced_lines(cracks)
    near, traced_partners, _ = traced.beside(true)
    matched, partners, nearest = true.beside(traced)
    raw_partners = raw.beside(traced)[1]
    off_px = KDTree(true.points).query(traced.points[near])[0] if near.any() else np.empty(0)
    own_off_px = off_px[traced_partners[near]]
    of_crack = [float(traced.lengths[near & (traced.owners == i)].sum()) for i in range(len(cracks))]
    best = int(np.argmax(of_crack)) if cracks else -1
    width = cracks[best].width if cracks and of_crack[best] >= LEAST_PX else None
    true_width = float("nan")
    if width is not None:
        own = np.flatnonzero(partners & (traced.owners[nearest] == best))
        own = own[np.argsort(widths[own])]
        share = np.cumsum(true.lengths[own]) / max(float(true.lengths[own].sum()), 1e-9)
        true_width = float(widths[own][np.searchsorted(share, 0.5)]) if len(own) else float("nan")
    median = width.median if width is not None and not np.isnan(true_width) else None
    own_low, own_high = unscaled_interval(cracks[best]) if median else (float("nan"), float("nan"))
    nothing = float("nan")
    return Traced(
        number=number,
        branching=len(drawn.lines) > 1,
        blur_px=drawn.blur_px,
        true_px=float(true.lengths.sum()),
        matched_px=float(true.lengths[matched].sum()),
        partners_px=float(true.lengths[partners].sum()),
        partners_raw_px=float(raw.lengths[raw_partners].sum()),
        traced_px=float(traced.lengths[near].sum()),
        traced_partners_px=float(traced.lengths[traced_partners].sum()),
        other_px=float(traced.lengths[~near].sum()),
        off2_px2=float((own_off_px**2).mean()) if len(own_off_px) else nothing,
        near_off2_px2=float((off_px**2).mean()) if len(off_px) else nothing,
        width_px=median.width_px if median else nothing,
        low_px=median.low_px if median else nothing,
        high_px=median.high_px if median else nothing,
        own_low_px=own_low,
        own_high_px=own_high,
        resolved=bool(median and median.resolved),
        true_width_px=true_width,
        n_lines=len(cracks),
    )


def unscaled_interval(crack: Crack) -> tuple[float, float]:
    """Interval of a crack's median width in pixels, before it is widened for the whole crack."""
    pixels = [LocalScale(np.ones(len(one.width_px)), None) for one in crack.widths]
    median, _, _ = crack_width_mm(crack.widths, pixels, scales=(UNSCALED, UNSCALED, UNSCALED))
    return median.low_mm, median.high_mm


def ideal_guide(paths: Sequence[np.ndarray], side_px: int, rng: np.random.Generator) -> Guide:
    """A map that shows where paths run, as well as a fine map could."""
    drawn, n = np.zeros((4 * side_px, 4 * side_px), np.uint8), round(side_px / CELL_PX)
    for path in paths:
        points = np.round((path + 0.5) * 4).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(drawn, [points], isClosed=False, color=255, thickness=4)
    cells = cv2.resize(drawn, (n, n), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    found = np.clip(4 * cv2.GaussianBlur(cells, (0, 0), 1.0) + rng.normal(0, 0.08, (n, n)), 0, 1)
    smooth = np.asarray(cv2.GaussianBlur(found.astype(np.float32), (0, 0), 0.7), np.float32)
    return Guide(smooth, (CELL_PX, CELL_PX), 0.4)


def traced(grey: np.ndarray, paths: Sequence[np.ndarray], model: Model | None, rng: np.random.Generator) -> list[Crack]:
    """Trace and measure a grey picture, guided by a model or by a map of paths."""
    seen = np.clip(grey, 0, 255).astype(np.uint8)
    if model is not None:
        return list(model.trace(np.repeat(seen[..., None], 3, axis=2)).cracks)
    return list(measured_in(seen, cracks_in(seen, ideal_guide(paths, len(seen), rng)), None)[0])


def trace_cracks(n: int, first_seed: int, model: Model | None, keep: Path | None) -> list[Traced]:
    found = []
    for number, i in ((number, i) for i in range(n) for number in range(len(CLASSES_PX))):
        file = keep / f"crack-{first_seed}-{number}-{i}.json" if keep else None
        if file is not None and file.is_file():
            found.append(Traced(**json.loads(file.read_text())))
            continue
        rng = np.random.default_rng([first_seed, number, i])
        drawn = picture(rng, even_width(rng, *CLASSES_PX[number]), side_px=SIDE_PX, branching=i % 2 == 1)
        cracks = traced(drawn.grey, [line.path_xy for line in drawn.lines], model, rng)
        found.append(compared(number, drawn, cracks, SIDE_PX))
        if file is not None:
            file.write_text(json.dumps(asdict(found[-1])))
    return found


def medians(found: Sequence[Traced], *, unscaled: bool = False) -> Measured:
    ends = ("own_low_px", "own_high_px") if unscaled else ("low_px", "high_px")
    names = ("true_width_px", "width_px", *ends, "resolved", "blur_px")
    return measured([tuple(getattr(one, name) for name in names) for one in found if one.found])


def print_cracks(found: Sequence[Traced]) -> None:
    print_table("Median width of traced cracks", medians(found))
    names = "found | length found | centre, RMS px | of all matched | wavy: length | branching: length | as drawn"
    print(f"\n| drawn width, px | n | {names} | of all matched |\n" + "| --- " * 10 + "|")
    classes = [(f"{low:g} to {high:g}", [i]) for i, (low, high) in enumerate(CLASSES_PX)]
    for name, numbers in (*classes, ("all", list(range(len(CLASSES_PX))))):
        own = [one for one in found if one.number in numbers]
        cells = [name, len(own), f"{np.mean([one.found for one in own]):.0%}"]
        cells += [f"{sum(one.matched_px for one in own) / sum(one.true_px for one in own):.0%}"]
        cells += [rms(own, "off2_px2", "traced_partners_px"), rms(own, "near_off2_px2", "traced_px")]
        cells += [ratio([one for one in own if one.branching == kind], "partners_px") for kind in (False, True)]
        cells += [ratio(own, "partners_raw_px"), ratio(own, "matched_px")]
        print("| " + " | ".join(map(str, cells)) + " |")
    other = sum(one.other_px for one in found) / max(sum(one.other_px + one.traced_px for one in found), 1e-9)
    print(f"\nShare of the traced length that is not matched: {other:.1%}", flush=True)


def rms(found: Sequence[Traced], square: str, weight: str) -> str:
    own = [(getattr(one, square), getattr(one, weight)) for one in found if getattr(one, weight)]
    squares, weights = np.array(own).reshape(-1, 2).T
    return f"{np.sqrt((squares * weights).sum() / max(weights.sum(), 1e-9)):.2f}"


def ratio(found: Sequence[Traced], true: str) -> str:
    """Traced by true length, pooled, and its standard deviation over cracks."""
    traced = "traced_px" if true == "matched_px" else "traced_partners_px"
    own = [one for one in found if one.matched_px >= LEAST_PX and getattr(one, true)]
    if not own:
        return "–"
    pooled = sum(getattr(one, traced) for one in own) / sum(getattr(one, true) for one in own)
    spread = np.std([getattr(one, traced) / getattr(one, true) for one in own])
    return f"{pooled - 1:+.1%} ± {spread:.1%}"


def wall(rng: np.random.Generator) -> ExactDrawing:
    """Draw a planked wall with joints and one crack."""
    texture = cv2.GaussianBlur(
        rng.standard_normal((WALL_PX, WALL_PX)).astype(np.float32), (0, 0), rng.uniform(0.6, 1.8)
    )
    grey = rng.uniform(110, 190) * (1 + rng.uniform(0.01, 0.04) * texture / texture.std())
    drawing = bare(np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2), blur_px=rng.uniform(0.6, 1.8))
    for kind in ("planking", "joint"):
        drawing = with_negative(drawing, rng, kind=kind)
    shapes = [new_shape(rng, (WALL_PX, WALL_PX), even_width(rng, 1, 10))]
    if rng.random() < 0.5 and (branch := fork_from(rng, shapes[0], (WALL_PX, WALL_PX))) is not None:
        shapes.append(branch)
    return with_shapes(drawing, shapes, CrackLook(rng.uniform(0.45, 0.9), unevenness=0.05), rng)


def away_from(path_xy: np.ndarray, cracks: KDTree) -> list[np.ndarray]:
    """Stretches of a line inside the wall that keep away from cracks."""
    fine = resampled(path_xy, FINE_PX)
    kept = np.all((fine > 0) & (fine < WALL_PX - 1), axis=1) & (cracks.query(fine)[0] > CROSSING_PX)
    ends = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(int)))
    return [fine[a:b] for a, b in zip(ends[::2], ends[1::2], strict=True) if b - a > 1]


def trace_walls(n: int, first_seed: int, model: Model | None) -> tuple[list[PhotoJoints], float]:
    """Joints of each wall, and the share of the true cracks' length that is traced as cracks."""
    found, true_px, matched_px = [], 0.0, 0.0
    for i in range(n):
        rng = np.random.default_rng([first_seed, 99, i])
        drawn = wall(rng)
        grey = cv2.cvtColor(drawn.pixels, cv2.COLOR_RGB2GRAY)
        paths = [*(line.path_xy for line in drawn.cracks), *(line.path_xy for line in drawn.others)]
        cracks = traced(grey, paths, model, rng)
        fine = KDTree(np.concatenate([resampled(line.path_xy, FINE_PX) for line in drawn.cracks]))
        joints = [piece for line in drawn.others for piece in away_from(line.path_xy, fine)]
        if joints:
            found.append(compare_joints(f"wall {i}", joints, cracks, (WALL_PX, WALL_PX)))
        one = compared(0, Picture(grey, drawn.cracks, drawn.blur_px), cracks, WALL_PX)
        true_px, matched_px = true_px + one.true_px, matched_px + one.matched_px
    return found, matched_px / max(true_px, 1e-9)


def print_walls(walls: Sequence[PhotoJoints], recall: float) -> None:
    figures = measure_joints(walls)
    lengths = f"{figures.joint_px:.0f} px of joints, {figures.crack_px:.0f} px of traced cracks"
    print(f"\n| planked walls | n = {len(walls)}, {lengths} |")
    print("| --- | --- |")
    for title, one in joint_rows(figures):
        print(f"| {title} | {one.value:.2%} [{one.low:.2%}, {one.high:.2%}] |")
    print(f"| share of the true cracks' length that is traced as cracks | {recall:.1%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="cracks, walls; both if left out")
    parser.add_argument("--model", type=Path, help="bundle that guides the tracing; the default model if left out")
    parser.add_argument("--ideal", action="store_true", help="guide the tracing by a map that is drawn from the truth")
    parser.add_argument("--n", type=int, default=300, help="cracks a class; an eighth as many walls, at least 20")
    parser.add_argument("--keep", type=Path, help="folder for what was measured")
    parser.add_argument("--calibrate", action="store_true", help="find the factors CRACK_MEDIANS, and print them")
    parser.add_argument("--other", action="store_true", help="draw the pictures that development used")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    model = None if given.ideal else crackscope.load(given.model)
    first_seed = DEVELOPED if given.other else JUDGED
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        if given.calibrate:
            found = medians(trace_cracks(given.n, CALIBRATED, model, given.keep), unscaled=True)
            print("CRACK_MEDIANS =", calibrated([found], PLACES_PX, edges=True))
            return
        if not given.what or "cracks" in given.what:
            print_cracks(trace_cracks(given.n, first_seed, model, given.keep))
        if not given.what or "walls" in given.what:
            print_walls(*trace_walls(max(given.n // 8, 20), first_seed, model))


if __name__ == "__main__":
    main()
