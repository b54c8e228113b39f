"""Drawn lines on pictures of concrete: cracks of known path and width, and thin dark lines that are no crack."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.drawing.concrete import blend, noise
from crackscope.drawing.wandering import STEP_PX, longest_run_inside, swelling, wandering_path

__all__ = [
    "STEP_PX",
    "DrawnCrack",
    "covered_share",
    "crack_coverage",
    "crack_over",
    "mark_over",
    "nearest_on_path",
    "new_crack",
    "stroke",
]

Path2D = Float64Array  # shape (n, 2)


@dataclass(frozen=True)
class DrawnCrack:
    """One drawn crack, or one branch of it.

    Attributes:
        path_xy: Points of the middle line, shape (n, 2), in photo pixels: x to the right, y down, with
            pixel centres at integers. The line may leave the photo by a few pixels, so that a crack does not end at the
            frame.
        widths_px: Full width of the dark opening at each point in pixels, shape (n,); linear between points.
        darkness: Share of the light that the opening absorbs, in (0, 1].
    """

    path_xy: Path2D
    widths_px: Float64Array
    darkness: float


def crack_coverage(crack: DrawnCrack, *, photo_hw: tuple[int, int]) -> Float32Array:
    """Compute the share of each pixel that a crack's opening covers.

    Across a straight crack the shares add up to its width, so the drawn width can be measured.

    Args:
        crack: The crack; parts outside the photo are cut off.
        photo_hw: Height and width of the photo, in pixels.

    Returns:
        Shares in [0, 1], float32, shape (height, width).

    Example:
        >>> line = DrawnCrack(np.array([[-9.0, 8.2], [40.0, 8.2]]), np.array([2.5, 2.5]), darkness=0.8)
        >>> float(crack_coverage(line, photo_hw=(16, 32))[:, 10].sum().round(3))
        2.5
    """
    coverage = np.zeros(photo_hw, dtype=np.float32)
    box, distance, half_width, lean = nearest_on_path(crack, photo_hw)
    coverage[box] = covered_share(distance, half_width, lean)
    return coverage


def crack_over(
    pixels: UInt8Array, rng: np.random.Generator, *, widths_px: tuple[float, float]
) -> tuple[UInt8Array, Float32Array]:
    """Draw a crack, and perhaps its branches, over a picture of uncracked concrete.

    The opening absorbs light. A hairline may be pale; it may be filled with dust in some places and open in others. Its
    edges are blurred a little, as by a lens that is slightly out of focus.

    Args:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        rng: Random generator that decides path, width and darkness.
        widths_px: Smallest and largest typical width in pixels, above 0.

    Returns:
        The picture with the crack, an array of the same shape; and the share of each pixel that the crack covers, shape
        (H, W), in [0, 1].
    """
    photo_hw = (pixels.shape[0], pixels.shape[1])
    coverage = np.zeros(photo_hw, dtype=np.float32)
    cracks = list(new_crack(rng, photo_hw, widths_px))
    for crack in cracks:
        np.maximum(coverage, crack_coverage(crack, photo_hw=photo_hw), out=coverage)
    typical_px = float(np.median(cracks[0].widths_px)) if len(cracks[0].widths_px) else 0.0
    # A narrow crack may be hardly darker than the concrete; a wide crack is deep and dark.
    darkness = rng.uniform(0.15, 0.9) if typical_px < 4 else rng.uniform(0.4, 0.95)
    open_share = np.clip(0.8 + 0.3 * noise(rng, photo_hw, max(photo_hw) / 6), 0.2, 1)
    shade = darkness * open_share * cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 0.9))
    darkened: UInt8Array = (pixels * (1 - shade[..., None]) + 0.5).astype(np.uint8)
    return darkened, coverage


def mark_over(pixels: UInt8Array, rng: np.random.Generator) -> UInt8Array:
    """Draw a line that is no crack over a picture: a stroke of pen, chalk or pencil, or the shadow of a wire.

    Args:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        rng: Random generator that decides which line is drawn, and where.

    Returns:
        The picture with the line, an array of the same shape.
    """
    planes = [pixels[..., channel].astype(np.float32) for channel in range(3)]
    stroke(rng, planes)
    marked: UInt8Array = np.clip(np.stack(planes, axis=2) + 0.5, 0, 255).astype(np.uint8)
    return marked


def new_crack(
    rng: np.random.Generator, photo_hw: tuple[int, int], widths_px: tuple[float, float]
) -> Iterator[DrawnCrack]:
    """Draw the paths and widths of one crack and its branches at random.

    Args:
        rng: Random generator that decides path, width, darkness and branches.
        photo_hw: Height and width of the picture, in pixels.
        widths_px: Smallest and largest typical width in pixels, above 0.
    """
    height, width = photo_hw
    typical_px = float(np.exp(rng.uniform(*np.log(widths_px))))
    # A hairline that is also pale could not be seen.
    darkness = float(rng.uniform(0.75 if typical_px < 2.5 else 0.6, 0.97))
    wander = rng.uniform(0.5, 1.1)
    start_xy = rng.uniform(0.2, 0.8, 2) * (width - 1, height - 1)
    heading = rng.uniform(0, 2 * np.pi)
    one, other = (
        wandering_path(rng, start_xy, heading + turn, rng.uniform(0.45, 1.2) * max(photo_hw) + 20 * typical_px, wander)
        for turn in (0.0, np.pi)
    )
    path_xy = np.concatenate([other[:0:-1], one])
    from_end = STEP_PX * np.minimum(np.arange(len(path_xy)), np.arange(len(path_xy))[::-1])
    taper = np.clip(from_end / (rng.uniform(0.1, 0.3) * STEP_PX * len(path_xy)), 0.02, 1) ** 0.7
    widths = typical_px * swelling(rng, len(path_xy)) * taper
    n_branches = rng.choice(4, p=(0.5, 0.27, 0.15, 0.08))
    crack = _inside(DrawnCrack(path_xy, widths, darkness), photo_hw)
    yield crack
    for _ in range(n_branches):
        fork = int(rng.integers(len(crack.path_xy) // 8, max(len(crack.path_xy) * 7 // 8, 1)))
        ahead = crack.path_xy[min(fork + 8, len(crack.path_xy) - 1)] - crack.path_xy[fork]
        turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.2)
        path_xy = wandering_path(
            rng,
            crack.path_xy[fork],
            math.atan2(ahead[1], ahead[0]) + turn,
            rng.uniform(0.1, 0.5) * max(photo_hw),
            wander,
        )
        taper = np.clip(np.linspace(1, 0, len(path_xy)), 0.02, 1) ** 0.6
        widths = rng.uniform(0.35, 0.7) * crack.widths_px[fork] * swelling(rng, len(path_xy)) * taper
        branch = _inside(DrawnCrack(path_xy, widths, darkness), photo_hw)
        if len(branch.path_xy) >= 4:  # a branch with fewer points has left the photo at once
            yield branch


def _inside(crack: DrawnCrack, photo_hw: tuple[int, int]) -> DrawnCrack:
    """Cut a crack to its longest run inside the photo and a margin around it; it may have no points left."""
    run = longest_run_inside(crack.path_xy, photo_hw, margin_px=float(crack.widths_px.max()) / 2 + 2 * STEP_PX)
    return DrawnCrack(crack.path_xy[run], crack.widths_px[run], crack.darkness)


def nearest_on_path(
    crack: DrawnCrack, photo_hw: tuple[int, int], *, reach_px: float = 1.0
) -> tuple[tuple[slice, slice], Float32Array, Float32Array, Float32Array]:
    """Compute distance to the path, and half the width and lean at its nearest point, for pixels within reach.

    Returns:
        The box (rows, columns) around the crack, and three arrays over it. Beyond the reach, the distance is infinite.
        The lean is the sine of the angle between the path and the nearer axis: 0 along rows or columns, at most 0.71.
    """
    # All points have the same reach, so that a pixel beside a narrow point is not given to a wide point nearby.
    reach = float(crack.widths_px.max()) / 2 + reach_px
    x0, y0 = np.maximum(np.floor(crack.path_xy.min(axis=0) - reach), 0).astype(int)
    x1, y1 = np.minimum(np.ceil(crack.path_xy.max(axis=0) + reach) + 1, photo_hw[::-1]).astype(int)
    x1, y1 = max(x1, x0), max(y1, y0)
    distance = np.full((y1 - y0, x1 - x0), np.inf, dtype=np.float32)
    half_width, lean = np.zeros_like(distance), np.zeros_like(distance)
    points = [(x - x0, y - y0, w / 2) for (x, y), w in zip(crack.path_xy, crack.widths_px, strict=True)]
    xs, ys = np.arange(x1 - x0), np.arange(y1 - y0)[:, None]
    for (ax, ay, a_half), (bx, by, b_half) in itertools.pairwise(points):
        left, right = max(math.ceil(min(ax, bx) - reach), 0), math.floor(max(ax, bx) + reach) + 1
        top, bottom = max(math.ceil(min(ay, by) - reach), 0), math.floor(max(ay, by) + reach) + 1
        if right <= 0 or bottom <= 0:
            continue
        window = (slice(top, bottom), slice(left, right))
        dx, dy = bx - ax, by - ay
        px, py = xs[left:right] - ax, ys[top:bottom] - ay
        along = np.clip((px * dx + py * dy) / max(dx * dx + dy * dy, 1e-12), 0, 1)
        here = np.hypot(px - along * dx, py - along * dy)
        nearer = here < distance[window]
        distance[window][nearer] = here[nearer]
        half_width[window][nearer] = (a_half + along * (b_half - a_half))[nearer]
        lean[window][nearer] = min(abs(dx), abs(dy)) / max(math.hypot(dx, dy), 1e-12)
    return (slice(y0, y1), slice(x0, x1)), distance, half_width, lean


def covered_share(distance: Float32Array, half_width: Float32Array, lean: Float32Array) -> Float32Array:
    """Compute the part of each pixel that lies in a straight opening, exact at each angle; see `nearest_on_path`."""
    near = np.isfinite(distance)
    away, half, leans = (values.astype(np.float64) for values in (np.where(near, distance, 0), half_width, lean))
    part = _part_below(away + half, leans) - _part_below(away - half, leans)
    return np.asarray(np.where(near, np.clip(part, 0, 1), 0), dtype=np.float32)


def _part_below(height: Float64Array, lean: Float64Array) -> Float64Array:
    """Compute the part of a unit square below a line with a given lean, at a given height above the square's middle.

    Across the line, the profile of the square is the convolution of two boxes, as long as the angle's cosine and sine.
    """
    long, short = np.sqrt(1 - lean**2), np.maximum(lean, 1e-4)

    def area(at: Float64Array) -> Float64Array:  # area under a ramp from 0 to 1 that is as long as the longer box
        inside = np.clip(at + long / 2, 0, long)
        return np.asarray(inside**2 / (2 * long) + np.maximum(at - long / 2, 0))

    return np.asarray((area(height + short / 2) - area(height - short / 2)) / short)


def stroke(rng: np.random.Generator, planes: list[Float32Array]) -> None:
    """Draw a stroke of pen, chalk or pencil, or the shadow of a wire: thin like a crack, but smooth and even.

    Args:
        rng: Random generator that decides which line is drawn, and where.
        planes: Red, green and blue of a picture, float32, each of shape (H, W), changed in place.
    """
    hw = planes[0].shape
    inks = ((42, 58, 140), (160, 48, 44), (48, 48, 52), (92, 92, 94), (226, 226, 222), (70, 74, 84))
    ink = int(rng.integers(len(inks)))
    is_wire = ink == len(inks) - 1  # a shadow runs through the whole picture
    length_px = 3 * max(hw) if is_wire else rng.uniform(0.2, 1) * min(max(hw), 600)
    n_points = max(int(length_px / STEP_PX), 4)
    bend = rng.normal(0, 0.2 / length_px) + rng.normal(0, 1 / length_px) * np.sin(
        np.linspace(0, rng.uniform(0, 9), n_points)
    )
    headings = rng.uniform(0, 2 * np.pi) + STEP_PX * np.cumsum(bend)
    steps = STEP_PX * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    path_xy = rng.random(2) * hw[::-1] + np.cumsum(steps, axis=0) - steps.sum(axis=0) / 2
    if is_wire:
        width_px, soft_px, strength = rng.uniform(4, 14), rng.uniform(1, 4), rng.uniform(0.3, 0.75)
    else:
        width_px, soft_px, strength = rng.uniform(1.5, 5), 0.6, rng.uniform(0.35, 0.9)
    line = DrawnCrack(path_xy, np.full(n_points, width_px), darkness=1.0)
    box, distance, half_width, _ = nearest_on_path(line, hw, reach_px=2 * soft_px)
    alpha = np.clip((half_width - distance) / soft_px + 0.5, 0, 1)
    ragged = np.clip(0.85 + 0.3 * noise(rng, alpha.shape, 2.5), 0, 1) if soft_px < 1 and alpha.size else 1
    blend([plane[box] for plane in planes], (strength * ragged * alpha).astype(np.float32), inks[ink])
