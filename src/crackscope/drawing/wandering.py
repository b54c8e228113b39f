"""Random lines that wander as cracks do, and how their width swells and shrinks."""

from __future__ import annotations

import numpy as np

from crackscope.arrays import Float64Array

__all__ = ["STEP_PX", "longest_run_inside", "swelling", "wandering_path"]

Path2D = Float64Array  # shape (n, 2)

STEP_PX = 2.0  # distance between points of a crack's path; a shorter one takes longer and looks the same


def wandering_path(
    rng: np.random.Generator,
    start_xy: Path2D,
    heading: float,
    length_px: float,
    wander: float,
    *,
    step_px: float = STEP_PX,
    nearness: float = 1.0,
) -> Path2D:
    """Walk in one direction with random turns at several scales, as a crack goes around aggregate.

    Args:
        rng: Random generator that decides the turns.
        start_xy: First point, shape (2,), in pixels.
        heading: Direction of the walk, an angle in radians from x towards y.
        length_px: Length of the walk in pixels; it has at least four steps.
        wander: How far the walk turns, from 0 (straight) to about 1.
        step_px: Length of a step in pixels.
        nearness: Factor of the lengths between turns: 2 is the same crack photographed from half the distance.

    Returns:
        Points in pixels, shape (n_steps + 1, 2).
    """
    n_steps = max(int(length_px / step_px), 4)
    headings = np.full(n_steps, heading)
    for scale_px, turn in ((4, 0.5), (12, 0.45), (40, 0.35), (160, 0.3)):
        # The heading jumps at random places.
        piece = np.cumsum(rng.random(n_steps) < step_px / (nearness * scale_px))
        headings += wander * turn * rng.standard_normal(n_steps + 1)[piece]
    steps = step_px * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.cumsum(np.concatenate([start_xy[None], steps]), axis=0)


def swelling(rng: np.random.Generator, n_points: int, *, step_px: float = STEP_PX) -> Float64Array:
    """Draw factors around 1 for the width along a crack: mostly slow changes, a little roughness, at most 1.5.

    Args:
        rng: Random generator that decides the factors.
        n_points: Number of points along the crack.
        step_px: Distance between points in pixels.

    Returns:
        Factors, shape (n_points,), above 0.
    """
    logs = np.zeros(n_points)
    for scale_px, amount in ((90, 0.2), (25, 0.15), (5, 0.16)):
        n_knots = int(n_points * step_px / scale_px) + 2
        logs += amount * np.interp(
            np.linspace(0, n_knots - 1, n_points), np.arange(n_knots), rng.standard_normal(n_knots)
        )
    return np.minimum(np.exp(logs), 1.5)


def longest_run_inside(path_xy: Path2D, photo_hw: tuple[int, int], *, margin_px: float) -> slice:
    """Find the longest run of points inside a photo and a margin around it; the run may be empty.

    Args:
        path_xy: Points in pixels, shape (n, 2).
        photo_hw: Height and width of the photo, in pixels.
        margin_px: Width of the margin in pixels.
    """
    height, width = photo_hw
    near = np.all((path_xy > -margin_px) & (path_xy < np.array((width, height)) + margin_px), axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    return slice(*max(runs, key=lambda run: run[1] - run[0], default=(0, 0)))
