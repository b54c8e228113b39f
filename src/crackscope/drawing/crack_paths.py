"""Shape of drawn cracks: the middle line, the width along it, and the two edges, all known exactly.

The middle line turns at several scales. It is smooth at the scale of the crack's width, so that it has one clear
direction at each point. The two edges follow it half a width away on either side. What is finer than the middle line is
in the edges: both shift together where the crack dodges a grain, and each is a little rough by itself. The width that
is told includes this roughness.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from crackscope.arrays import BoolArray, Float64Array
from crackscope.drawing.wandering import longest_run_inside, swelling, wandering_path

__all__ = ["CrackShape", "fork_from", "new_shape", "shape_along", "split_at", "strand_beside"]

Path2D = Float64Array  # shape (n, 2)

SHAPE_STEP_PX = 1.0  # distance between points of a random path
THINNEST_PX = 0.02  # width at a tip


@dataclass(frozen=True)
class CrackShape:
    """Shape of one crack, or one branch of it.

    Attributes:
        path_xy: Points of the middle line, shape (n, 2), n at least 2, in picture pixels: x to the right, y down, with
            pixel centres at integers. The line may leave the picture by a few pixels.
        widths_px: Distance between the edges at each point in pixels, shape (n,).
        edges_xy: Points of both edges beside each point, shape (2, n, 2).
        first: Number of the point from which the shape is open. A branch begins on the middle line of its parent, but
            opens at the parent's edge.
    """

    path_xy: Path2D
    widths_px: Float64Array
    edges_xy: Float64Array
    first: int = 0

    @property
    def outline_xy(self) -> Path2D:
        """Outline of the open part, shape (m, 2), for `outline_share`."""
        one, other = self.edges_xy[:, self.first :]
        return np.concatenate([one, other[::-1]])


def shape_along(
    path_xy: Path2D, widths_px: Float64Array, rng: np.random.Generator | None = None, *, roughness: float = 0.0
) -> CrackShape:
    """Lay a crack along a given line.

    Args:
        path_xy: Points of the middle line, shape (n, 2), n at least 2, in pixels, about one pixel apart if the edges
            are to be rough. The line's bends must be wider than half the crack's width.
        widths_px: Full width at each point in pixels, shape (n,), above 0.
        rng: Random generator of the edges' roughness; not needed for smooth edges.
        roughness: How rough the edges are, from 0 (smooth) to about 1.

    Returns:
        The shape. With rough edges, its widths differ a little from those given.

    Example:
        >>> line = np.array([[0.0, 5.0], [9.0, 5.0]])
        >>> shape_along(line, np.array([2.0, 2.0])).edges_xy[:, 0].tolist()
        [[0.0, 6.0], [0.0, 4.0]]
    """
    along = _directions(path_xy)
    # The two faces of a crack match each other: where it turns sharply, both turn, and the opening becomes narrower.
    overall = along
    if len(path_xy) > 8:
        step_px = float(np.hypot(*np.diff(path_xy, axis=0).T).mean())
        sigma = (1 + 0.8 * float(np.median(widths_px))) / max(step_px, 1e-9)
        overall = gaussian_filter1d(along, min(sigma, len(path_xy) / 4), axis=0, mode="nearest")
        overall /= np.maximum(np.hypot(*overall.T), 1e-12)[:, None]
    turned = np.maximum((along * overall).sum(axis=1), 0.3)
    normal = np.stack([-overall[:, 1], overall[:, 0]], axis=1)
    to_edges = np.stack([widths_px / 2, widths_px / 2])
    if rng is not None and roughness > 0:
        # A hairline is rough in proportion to its width, a wide crack only by the size of a grain.
        furthest_px = roughness * np.minimum(0.28 * widths_px, 0.15 + 0.035 * widths_px)
        grain_px = 0.9 + 0.07 * float(np.median(widths_px))
        both, one, other = (_ripples(rng, len(path_xy), grain_px) for _ in range(3))
        to_edges = np.maximum(to_edges + furthest_px * np.stack([one, other]), 0.05 * widths_px)
        to_edges += roughness * 0.45 * np.stack([both, -both])
    widths = np.maximum(to_edges.sum(axis=0) * turned, THINNEST_PX)
    edges = np.stack([path_xy + normal * to_edges[0][:, None], path_xy - normal * to_edges[1][:, None]])
    return CrackShape(path_xy, widths, edges)


def new_shape(
    rng: np.random.Generator, picture_hw: tuple[int, int], width_px: float, *, roughness: float = 1.0
) -> CrackShape:
    """Draw the shape of a crack at random; it starts in the middle part of the picture and runs both ways.

    Args:
        rng: Random generator that decides the line, the width along it, and the roughness of the edges.
        picture_hw: Height and width of the picture, in pixels.
        width_px: Typical width in pixels, above 0.
        roughness: How rough the edges are, from 0 (smooth) to about 1.
    """
    height, width = picture_hw
    start_xy = rng.uniform(0.2, 0.8, 2) * (width - 1, height - 1)
    heading = rng.uniform(0, 2 * np.pi)
    wander, nearness = rng.uniform(0.4, 1.1), _nearness(rng, width_px)
    one, other = (
        _walk(rng, start_xy, heading + turn, rng.uniform(0.35, 1.3) * max(picture_hw) + 8 * width_px, wander, nearness)
        for turn in (0.0, np.pi)
    )
    path_xy = _smoothed(np.concatenate([other[:0:-1], one]), 0.5 + 0.25 * width_px)
    n_points = len(path_xy)
    from_end = np.minimum(np.arange(n_points), np.arange(n_points)[::-1])
    taper = np.clip(from_end / (rng.uniform(0.1, 0.3) * n_points), 0, 1) ** 0.7
    widths = width_px * _varied(rng, n_points, width_px) * taper
    run = longest_run_inside(path_xy, picture_hw, margin_px=float(widths.max()) / 2 + 8)
    return _laid(path_xy[run], widths[run], rng, roughness)


def fork_from(
    rng: np.random.Generator, parent: CrackShape, picture_hw: tuple[int, int], *, roughness: float = 1.0
) -> CrackShape | None:
    """Draw a branch that leaves a crack and ends in the concrete, narrower than its parent.

    Args:
        rng: Random generator that decides where it leaves, and its line and width.
        parent: The crack.
        picture_hw: Height and width of the picture, in pixels.
        roughness: How rough the edges are, from 0 (smooth) to about 1.

    Returns:
        The branch; None if it would leave the picture at once.
    """
    n_points = len(parent.path_xy)
    fork = int(rng.integers(n_points // 8, max(n_points * 7 // 8, n_points // 8 + 1)))
    ahead = parent.path_xy[min(fork + 10, n_points - 1)] - parent.path_xy[max(fork - 10, 0)]
    turn, width_px = rng.choice((-1, 1)) * rng.uniform(0.4, 1.3), float(parent.widths_px[fork] * rng.uniform(0.35, 0.8))
    heading = math.atan2(ahead[1], ahead[0]) + turn + (np.pi if rng.random() < 0.5 else 0)
    length_px = rng.uniform(0.1, 0.6) * max(picture_hw) + parent.widths_px[fork]
    walk = _walk(rng, parent.path_xy[fork], heading, length_px, rng.uniform(0.4, 1.1), _nearness(rng, width_px))
    path_xy = _smoothed(walk, 0.5 + 0.25 * width_px)
    taper = np.clip(np.linspace(1, 0, len(path_xy)), 0, 1) ** 0.6
    widths = width_px * _varied(rng, len(path_xy), width_px) * taper
    run = longest_run_inside(path_xy, picture_hw, margin_px=width_px / 2 + 8)
    if run.start > 0 or run.stop < 12:
        return None
    return _opened_beside(_laid(path_xy[run], widths[run], rng, roughness), parent, fork)


def strand_beside(
    rng: np.random.Generator, parent: CrackShape, picture_hw: tuple[int, int], *, roughness: float = 1.0
) -> CrackShape | None:
    """Draw a second strand that leaves a crack, runs beside it, and joins it again, as around a piece of concrete.

    Args:
        rng: Random generator that decides where it runs, and its width.
        parent: The crack.
        picture_hw: Height and width of the picture, in pixels.
        roughness: How rough the edges are, from 0 (smooth) to about 1.

    Returns:
        The strand; None if the crack is too short or too wide for one.
    """
    n_points, wide_px = len(parent.path_xy), float(parent.widths_px.max())
    if wide_px > 0.04 * max(picture_hw):
        return None
    n_long = int(rng.uniform(0.1, 0.45) * max(picture_hw) + 4 * wide_px)
    if n_points < n_long + 8:
        return None
    begin = int(rng.integers(4, n_points - n_long - 3))
    part_xy = parent.path_xy[begin : begin + n_long]
    straight = np.linspace(part_xy[0], part_xy[-1], n_long)
    chord = part_xy[-1] - part_xy[0]
    normal = np.array([-chord[1], chord[0]]) / max(float(np.hypot(*chord)), 1e-9)
    bulge = np.sin(np.linspace(0, np.pi, n_long)) ** 0.7
    away_px = rng.choice((-1, 1)) * (rng.uniform(0.05, 0.2) * n_long + 1.1 * wide_px)
    lean = 0.5 * (part_xy - straight) + 2.0 * np.stack([_ripples(rng, n_long, 6.0) for _ in "xy"], axis=1)
    walk = straight + bulge[:, None] * (away_px * normal + lean)
    width_px = float(np.median(parent.widths_px[begin : begin + n_long]) * rng.uniform(0.35, 0.9))
    widths = width_px * _varied(rng, n_long, width_px)
    path_xy = _smoothed(walk, 0.5 + 0.25 * width_px)
    strand = _opened_beside(_laid(path_xy, widths, rng, roughness), parent, begin)
    end = len(path_xy) - _opened_beside(_reversed(strand), parent, begin + n_long - 1).first
    if end - strand.first < 8:
        return None
    closed = np.arange(len(path_xy)) >= end
    middle = (strand.edges_xy[0] + strand.edges_xy[1]) / 2
    return replace(strand, edges_xy=np.where(closed[None, :, None], middle[None], strand.edges_xy))


def split_at(shape: CrackShape, gaps: BoolArray, *, taper_px: float = 6.0) -> tuple[list[CrackShape], list[Path2D]]:
    """Interrupt a crack: each piece tapers to the gap beside it.

    Args:
        shape: The crack.
        gaps: Whether each point lies in a gap, shape (n,).
        taper_px: Length over which a piece narrows towards a gap, in pixels, at least 2.5 times the width; 0 cuts it
            off.

    Returns:
        The pieces of at least four points, and the middle lines of the gaps between them, each of shape (m, 2).
    """
    taper_px = max(taper_px, 2.5 * float(shape.widths_px.max())) if taper_px > 0 else 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[True], gaps, [True]]).astype(np.int8)))
    runs = [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= 4]
    pieces: list[CrackShape] = []
    for a, b in runs:
        own = np.arange(b - a, dtype=np.float64)
        narrow = np.ones(b - a)
        if taper_px > 0 and a > 0:
            narrow = np.minimum(narrow, (own / taper_px) ** 0.7)
        if taper_px > 0 and b < len(gaps):
            narrow = np.minimum(narrow, (own[::-1] / taper_px) ** 0.7)
        path_xy, open_edges = shape.path_xy[a:b], shape.edges_xy[:, a:b]
        pieces.append(
            CrackShape(
                path_xy,
                np.maximum(shape.widths_px[a:b] * narrow, THINNEST_PX),
                path_xy + (open_edges - path_xy) * narrow[:, None],
                max(shape.first - a, 0),
            )
        )
    between = [shape.path_xy[b - 1 : a + 1] for (_, b), (a, _) in itertools.pairwise(runs)]
    return pieces, between


def _directions(path_xy: Path2D) -> Path2D:
    """Unit vectors along a line, shape (n, 2)."""
    along = np.gradient(path_xy, axis=0)
    along /= np.maximum(np.hypot(*along.T), 1e-12)[:, None]
    return np.asarray(along)


def _laid(path_xy: Path2D, widths: Float64Array, rng: np.random.Generator, roughness: float) -> CrackShape:
    """Lay a crack along a random line, and tell its middle line as smooth as it can be seen across its width."""
    shape = shape_along(path_xy, np.maximum(widths, THINNEST_PX), rng, roughness=roughness)
    smooth_px = 1 + 0.2 * float(np.median(widths))
    between_xy = shape.edges_xy.mean(axis=0)
    middle_xy = _smoothed(between_xy, smooth_px)
    apart = shape.edges_xy[0] - shape.edges_xy[1]
    steps, raw_steps = np.gradient(middle_xy, axis=0), np.gradient(between_xy, axis=0)
    lengths = np.maximum(np.hypot(*steps.T), 1e-9)
    across = (steps[:, 0] * apart[:, 1] - steps[:, 1] * apart[:, 0]) / lengths
    # The smooth line is a little shorter; the width makes up for it, so that width times length is the area.
    area = gaussian_filter1d(raw_steps[:, 0] * apart[:, 1] - raw_steps[:, 1] * apart[:, 0], 2 * smooth_px)
    told_area = gaussian_filter1d(across * lengths, 2 * smooth_px)
    widths = np.maximum(across * np.clip(area / np.maximum(told_area, 1e-9), 0.8, 1.25), THINNEST_PX)
    return replace(shape, path_xy=middle_xy, widths_px=widths)


def _reversed(shape: CrackShape) -> CrackShape:
    return CrackShape(shape.path_xy[::-1], shape.widths_px[::-1], shape.edges_xy[:, ::-1])


def _opened_beside(shape: CrackShape, parent: CrackShape, at: int) -> CrackShape:
    """Open a branch only outside its parent, so that no place is covered twice."""
    near = slice(max(at - 40, 0), at + 40)
    away = np.hypot(*(shape.path_xy[:60, None] - parent.path_xy[None, near]).transpose(2, 0, 1))
    inside = (away < parent.widths_px[near] / 2).any(axis=1)
    return replace(shape, first=int(np.argmin(np.concatenate([inside, [False]]))))


def _nearness(rng: np.random.Generator, width_px: float) -> float:
    """Draw how near the camera is: a wide crack is mostly seen from near, so its turns are longer too."""
    return float(np.exp(rng.uniform(np.log(0.45), np.log(1.8)))) * float(np.sqrt(max(width_px / 4, 1)))


def _walk(
    rng: np.random.Generator, start_xy: Path2D, heading: float, length_px: float, wander: float, nearness: float
) -> Path2D:
    return wandering_path(rng, start_xy, heading, length_px, wander, step_px=SHAPE_STEP_PX, nearness=nearness)


def _smoothed(path_xy: Path2D, sigma_px: float) -> Path2D:
    """Smooth a line by a Gaussian along it, but keep its ends where they are."""
    sigma = min(sigma_px, len(path_xy) / 8) / SHAPE_STEP_PX
    if sigma < 0.2:
        return path_xy
    smooth = gaussian_filter1d(path_xy - path_xy[0], sigma, axis=0, mode="nearest") + path_xy[0]
    from_end = np.minimum(np.arange(len(path_xy)), np.arange(len(path_xy))[::-1])
    inner = (1 - np.exp(-((from_end / (1.5 * sigma)) ** 2)))[:, None]
    return np.asarray(inner * smooth + (1 - inner) * path_xy)


def _varied(rng: np.random.Generator, n_points: int, width_px: float) -> Float64Array:
    """Draw factors of the width along a crack; some cracks hardly vary, others nearly close in places."""
    factors = np.minimum(swelling(rng, n_points, step_px=SHAPE_STEP_PX) ** rng.uniform(0.7, 2.4), 1.6)
    # A wide crack does not widen and narrow within a small part of its width.
    return np.asarray(gaussian_filter1d(factors, max(0.12 * width_px, 0.5), mode="nearest"))


def _ripples(rng: np.random.Generator, n_points: int, smooth_px: float) -> Float64Array:
    """Draw noise along a line with a variance near 1, never beyond 2: half fine, half four times coarser."""
    total = np.zeros(n_points)
    for sigma in (smooth_px, 4 * smooth_px):
        white = rng.standard_normal(n_points)
        total += math.sqrt(math.sqrt(math.pi) * sigma) * gaussian_filter1d(white, sigma, mode="reflect")
    return np.clip(total, -2, 2)
