"""Drawn concrete with cracks of known path and width: demo data, examples and tests, without a download.

The wall comes from `concrete`. Here it gets strokes of pens and shadows of wires, cracks are cut through it,
and photos are cut into labelled patches. What is dark and thin but no crack (joints, rims of stains, strokes)
is as frequent on cracked as on uncracked concrete, so that "any dark line" does not pay.

The wall, the cracks and the camera have streams of their own: one seed, with and without a crack, is the same
wall under the same light.
"""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from crackscope.concrete import FloatArray, Wall, blend, lay_wall, noise, photograph, shade
from crackscope.errors import DataError, OutputError

__all__ = ["Drawing", "DrawnCrack", "crack_coverage", "draw_crack_over", "draw_dataset", "draw_patch", "draw_photo"]

Float64Array = NDArray[np.float64]
Path2D = NDArray[np.float64]  # shape (n, 2)

STEP_PX = 2.0  # between the points of a crack's path: shorter is slower to draw and looks the same
SMALLEST_SIDE_PX = 16


@dataclass(frozen=True)
class DrawnCrack:
    """One crack, or one branch of it.

    Attributes:
        path_xy: Middle line, shape (n, 2), in photo pixels: x right, y down, pixel centres at integers. It
            may leave the photo by a few pixels, so that a crack does not end at the frame.
        widths_px: Full width of the dark opening at each point, shape (n,), linear in between.
        darkness: Share of the light that the opening swallows, in (0, 1].
    """

    path_xy: Path2D
    widths_px: NDArray[np.float64]
    darkness: float


@dataclass(frozen=True)
class Drawing:
    """Drawn concrete and the truth about it.

    Attributes:
        pixels: RGB, uint8, shape (H, W, 3).
        mask: Bool, shape (H, W): true where a pixel's centre is nearer to a crack's path than half the width
            at the path's nearest point.
        cracks: The cracks, each followed by its branches; empty for uncracked concrete.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    cracks: tuple[DrawnCrack, ...]


def draw_patch(seed: int, *, side_px: int = 227, crack: bool = True, width_px: float | None = None) -> Drawing:
    """Draw one square patch of concrete, with or without a crack through its middle part.

    Args:
        seed: Any integer from 0. The same seed gives the same bytes.
        side_px: Side of the patch, at least 16.
        crack: Whether there is a crack (it may have a branch).
        width_px: Typical width of the crack, above 0; it varies along the path and tapers where the crack
            ends inside. Left out, it is drawn between 1 and 12 pixels, at most a twelfth of the side.

    Raises:
        DataError: If a number is outside what is allowed.

    Example:
        >>> patch = draw_patch(7, side_px=64, width_px=3)
        >>> patch.pixels.shape, bool(patch.mask.any()), len(patch.cracks) >= 1
        ((64, 64, 3), True, True)
        >>> bool(draw_patch(7, side_px=64, crack=False).mask.any())
        False
    """
    _require(seed >= 0, "seed", seed, "an integer from 0")
    _require(side_px >= SMALLEST_SIDE_PX, "side_px", side_px, f"at least {SMALLEST_SIDE_PX}")
    _require(width_px is None or 0 < width_px < math.inf, "width_px", width_px, "above 0")
    widths_px = (1.0, max(1.0, min(12.0, side_px / 12))) if width_px is None else (width_px, width_px)
    return _draw((seed, 0), (side_px, side_px), n_cracks=int(crack), widths_px=widths_px)


def draw_photo(
    seed: int,
    *,
    photo_hw: tuple[int, int] = (1536, 2048),
    n_cracks: int = 2,
    widths_px: tuple[float, float] = (1.5, 8.0),
) -> Drawing:
    """Draw a whole photo of a wall, up to the 12 megapixels of a phone in a few seconds.

    Args:
        seed: Any integer from 0. The same seed gives the same bytes.
        photo_hw: Size in pixels, (height, width), each at least 16.
        n_cracks: Cracks without counting their branches; 0 gives uncracked concrete.
        widths_px: Smallest and largest typical width of a crack, above 0. Along its path a crack is up to
            about half as wide again; branches and ends are narrower.

    Raises:
        DataError: If a number is outside what is allowed.

    Example:
        >>> draw_photo(1, photo_hw=(90, 120), n_cracks=0).cracks
        ()
    """
    _require(seed >= 0, "seed", seed, "an integer from 0")
    _require(min(photo_hw) >= SMALLEST_SIDE_PX, "photo_hw", photo_hw, f"sides of at least {SMALLEST_SIDE_PX}")
    _require(n_cracks >= 0, "n_cracks", n_cracks, "0 or more")
    _require(0 < widths_px[0] <= widths_px[1] < math.inf, "widths_px", widths_px, "(low, high), 0 < low <= high")
    return _draw((seed, 1), photo_hw, n_cracks=n_cracks, widths_px=widths_px)


def draw_dataset(
    folder: str | Path, *, n_photos: int = 24, patches_per_photo: int = 16, side_px: int = 227, seed: int = 0
) -> Path:
    """Draw photos, cut each into a grid of patches, and write them as a labelled folder.

    A patch is ``crack`` if a visible crack runs through it over at least a quarter of its side, ``uncracked``
    if nothing of a crack is in it; patches with only a sliver are left out, so labels are clean. Over several
    photos about half of the patches are cracked, and most photos give patches of both labels.

    Args:
        folder: Where ``crack/``, ``uncracked/`` and ``labels.csv`` go; it is made if need be.
        n_photos: At least 1.
        patches_per_photo: Cells of the grid over each photo, at least 1.
        side_px: Side of a patch, at least 16.
        seed: Any integer from 0.

    Returns:
        The path of ``labels.csv``: columns ``path,label,photo``; paths are relative to `folder`, with forward
        slashes.

    Raises:
        DataError: If a number is outside what is allowed.
        OutputError: If the folder already holds a data set.
    """
    _require(n_photos >= 1, "n_photos", n_photos, "at least 1")
    _require(patches_per_photo >= 1, "patches_per_photo", patches_per_photo, "at least 1")
    _require(side_px >= SMALLEST_SIDE_PX, "side_px", side_px, f"at least {SMALLEST_SIDE_PX}")
    _require(seed >= 0, "seed", seed, "an integer from 0")
    folder = Path(folder)
    for name in ("crack", "uncracked", "labels.csv"):
        if (folder / name).exists():
            raise OutputError(f"{folder} already holds {name}. Delete it, or name another folder.")
    for label in ("crack", "uncracked"):
        (folder / label).mkdir(parents=True)
    n_columns = math.ceil(math.sqrt(patches_per_photo))
    photo_hw = (math.ceil(patches_per_photo / n_columns) * side_px, n_columns * side_px)
    widths_px = (1.5, max(2.0, side_px / 24))
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(2,)))
    rows: list[tuple[str, str, str]] = []
    for number in range(n_photos):
        # Steer towards as many cracked as uncracked patches; the first photo has cracks and clean places.
        n_cracked = sum(label == "crack" for _, label, _ in rows)
        few = 2 * n_cracked <= len(rows)
        n_cracks = int(rng.integers(n_columns // 2, n_columns // 2 + 2) if few else rng.integers(0, 2))
        drawing = _draw((seed, 2, number), photo_hw, n_cracks=n_cracks, widths_px=widths_px)
        photo = f"photo-{number:02d}"
        for tile in range(patches_per_photo):
            y0, x0 = tile // n_columns * side_px, tile % n_columns * side_px
            tile_label = _tile_label(drawing, x0=x0, y0=y0, side_px=side_px)
            if tile_label is None:
                continue
            path = f"{tile_label}/{photo}-{tile:02d}.jpg"
            bgr = drawing.pixels[y0 : y0 + side_px, x0 : x0 + side_px, ::-1]
            _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, 92])
            (folder / path).write_bytes(jpeg.tobytes())
            rows.append((path, tile_label, photo))
    labels_csv = folder / "labels.csv"
    with labels_csv.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "photo"))
        writer.writerows(rows)
    return labels_csv


def crack_coverage(crack: DrawnCrack, *, photo_hw: tuple[int, int]) -> FloatArray:
    """The share of each pixel that a crack's opening covers.

    Across a straight crack the shares add up to its width, which is what makes a drawn width measurable.

    Args:
        crack: The crack; parts outside the photo are cut off.
        photo_hw: Size in pixels, (height, width).

    Returns:
        Shares in [0, 1], float32, shape (height, width).

    Example:
        >>> line = DrawnCrack(np.array([[-9.0, 8.2], [40.0, 8.2]]), np.array([2.5, 2.5]), darkness=0.8)
        >>> float(crack_coverage(line, photo_hw=(16, 32))[:, 10].sum().round(3))
        2.5
    """
    coverage = np.zeros(photo_hw, dtype=np.float32)
    box, distance, half_width, lean = _nearest(crack, photo_hw)
    coverage[box] = _share(distance, half_width, lean)
    return coverage


def draw_crack_over(
    pixels: NDArray[np.uint8], rng: np.random.Generator, *, widths_px: tuple[float, float]
) -> NDArray[np.uint8]:
    """Draw a crack, and perhaps its branches, over a picture of uncracked concrete.

    The opening swallows light; a hairline may be pale, here filled with dust and there open. Edges are as sharp as a
    lens that is a little out of focus leaves them.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        rng: Decides path, width and darkness.
        widths_px: Smallest and largest typical width, above 0.

    Returns:
        An array of the same shape.
    """
    photo_hw = (pixels.shape[0], pixels.shape[1])
    coverage = np.zeros(photo_hw, dtype=np.float32)
    cracks = list(_crack(rng, photo_hw, widths_px))
    for crack in cracks:
        np.maximum(coverage, crack_coverage(crack, photo_hw=photo_hw), out=coverage)
    typical_px = float(np.median(cracks[0].widths_px)) if len(cracks[0].widths_px) else 0.0
    # What is narrow may be hardly darker than its ground; what is wide is deep.
    darkness = rng.uniform(0.15, 0.9) if typical_px < 4 else rng.uniform(0.4, 0.95)
    open_share = np.clip(0.8 + 0.3 * noise(rng, photo_hw, max(photo_hw) / 6), 0.2, 1)
    shade = darkness * open_share * cv2.GaussianBlur(coverage, (0, 0), rng.uniform(0.3, 0.9))
    darkened: NDArray[np.uint8] = (pixels * (1 - shade[..., None]) + 0.5).astype(np.uint8)
    return darkened


def _require(fine: bool, name: str, value: object, allowed: str) -> None:
    if not fine:
        raise DataError(f"{name} is {value}; it must be {allowed}.")


def _draw(
    entropy: tuple[int, ...], photo_hw: tuple[int, int], *, n_cracks: int, widths_px: tuple[float, float]
) -> Drawing:
    seed, *key = entropy
    wall_rng, crack_rng, camera_rng = (
        np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(*key, stream))) for stream in range(3)
    )
    wall = lay_wall(wall_rng, photo_hw)
    for _ in range(wall_rng.poisson(min(0.25 + 0.9 * photo_hw[0] * photo_hw[1] / 1e6, 3))):
        _stroke(wall_rng, wall.planes)
    cracks: list[DrawnCrack] = []
    for _ in range(n_cracks):
        cracks.extend(_crack(crack_rng, photo_hw, widths_px))
    mask = np.zeros(photo_hw, dtype=np.bool_)
    coverage = np.zeros(photo_hw, dtype=np.float32)
    for crack in cracks:
        box, distance, half_width, lean = _nearest(crack, photo_hw, reach_px=4.0)
        mask[box] |= distance < half_width
        darkened = coverage[box]
        np.maximum(darkened, crack.darkness * _share(distance, half_width, lean), out=darkened)
        # The lip has crumbled a little: lit on one side of a crack, in shade on the other.
        wall.relief[box] -= 0.45 * np.minimum(half_width, 4) * np.exp(-np.maximum(distance - half_width, 0) / 1.4)
        _spall(crack_rng, crack, wall)
    shade(wall)
    # Light falls a little way into an opening, and dust lies in it: its far wall is less dark.
    into = np.array([[1, 0, 3 * math.cos(wall.light)], [0, 1, 3 * math.sin(wall.light)]])
    lit_wall = np.maximum(coverage - cv2.GaussianBlur(cv2.warpAffine(coverage, into, photo_hw[::-1]), (0, 0), 1), 0)
    coverage *= 1 - 0.35 * lit_wall - np.clip(0.08 * noise(crack_rng, photo_hw, 4), 0, 0.2)
    for plane, tint in zip(wall.planes, 1 - crack_rng.uniform(0, 0.05, 3), strict=True):
        plane *= 1 - np.float32(tint) * coverage
    pixels = photograph(camera_rng, wall.planes)
    return Drawing(pixels=pixels, mask=mask, cracks=tuple(cracks))


def _crack(rng: np.random.Generator, photo_hw: tuple[int, int], widths_px: tuple[float, float]) -> Iterator[DrawnCrack]:
    """One crack and its branches."""
    height, width = photo_hw
    typical_px = float(np.exp(rng.uniform(*np.log(widths_px))))
    # A hairline that is also pale would be a crack in name only.
    darkness = float(rng.uniform(0.75 if typical_px < 2.5 else 0.6, 0.97))
    wander = rng.uniform(0.5, 1.1)
    start_xy = rng.uniform(0.2, 0.8, 2) * (width - 1, height - 1)
    heading = rng.uniform(0, 2 * np.pi)
    one, other = (
        _path(rng, start_xy, heading + turn, rng.uniform(0.45, 1.2) * max(photo_hw) + 20 * typical_px, wander)
        for turn in (0.0, np.pi)
    )
    path_xy = np.concatenate([other[:0:-1], one])
    from_end = STEP_PX * np.minimum(np.arange(len(path_xy)), np.arange(len(path_xy))[::-1])
    taper = np.clip(from_end / (rng.uniform(0.1, 0.3) * STEP_PX * len(path_xy)), 0.02, 1) ** 0.7
    widths = typical_px * _swelling(rng, len(path_xy)) * taper
    n_branches = rng.choice(4, p=(0.5, 0.27, 0.15, 0.08))
    crack = _inside(DrawnCrack(path_xy, widths, darkness), photo_hw)
    yield crack
    for _ in range(n_branches):
        fork = int(rng.integers(len(crack.path_xy) // 8, max(len(crack.path_xy) * 7 // 8, 1)))
        ahead = crack.path_xy[min(fork + 8, len(crack.path_xy) - 1)] - crack.path_xy[fork]
        turn = rng.choice((-1, 1)) * rng.uniform(0.4, 1.2)
        path_xy = _path(
            rng,
            crack.path_xy[fork],
            math.atan2(ahead[1], ahead[0]) + turn,
            rng.uniform(0.1, 0.5) * max(photo_hw),
            wander,
        )
        taper = np.clip(np.linspace(1, 0, len(path_xy)), 0.02, 1) ** 0.6
        widths = rng.uniform(0.35, 0.7) * crack.widths_px[fork] * _swelling(rng, len(path_xy)) * taper
        branch = _inside(DrawnCrack(path_xy, widths, darkness), photo_hw)
        if len(branch.path_xy) >= 4:  # fewer points are a fork that has left the photo at once
            yield branch


def _path(rng: np.random.Generator, start_xy: Path2D, heading: float, length_px: float, wander: float) -> Path2D:
    """A walk that keeps its heading, but for turns at several scales, as a crack goes around aggregate."""
    n_steps = max(int(length_px / STEP_PX), 4)
    headings = np.full(n_steps, heading)
    for scale_px, turn in ((4, 0.5), (12, 0.45), (40, 0.35), (160, 0.3)):
        piece = np.cumsum(rng.random(n_steps) < STEP_PX / scale_px)  # the heading jumps at random places
        headings += wander * turn * rng.standard_normal(n_steps + 1)[piece]
    steps = STEP_PX * np.stack([np.cos(headings), np.sin(headings)], axis=1)
    return np.cumsum(np.concatenate([start_xy[None], steps]), axis=0)  # (n_steps + 1, 2)


def _swelling(rng: np.random.Generator, n_points: int) -> NDArray[np.float64]:
    """Factors around 1, slow with a little roughness, at most 1.5."""
    logs = np.zeros(n_points)
    for scale_px, amount in ((90, 0.2), (25, 0.15), (5, 0.16)):
        n_knots = int(n_points * STEP_PX / scale_px) + 2
        logs += amount * np.interp(
            np.linspace(0, n_knots - 1, n_points), np.arange(n_knots), rng.standard_normal(n_knots)
        )
    return np.minimum(np.exp(logs), 1.5)


def _inside(crack: DrawnCrack, photo_hw: tuple[int, int]) -> DrawnCrack:
    """The crack's longest run within the photo and a margin around it; without points if there is none."""
    margin = float(crack.widths_px.max()) / 2 + 2 * STEP_PX
    height, width = photo_hw
    near = np.all((crack.path_xy > -margin) & (crack.path_xy < np.array((width, height)) + margin), axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], near, [False]]).astype(np.int8)))
    runs = zip(edges[::2], edges[1::2], strict=True)
    start, stop = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    return DrawnCrack(crack.path_xy[start:stop], crack.widths_px[start:stop], crack.darkness)


def _nearest(
    crack: DrawnCrack, photo_hw: tuple[int, int], *, reach_px: float = 1.0
) -> tuple[tuple[slice, slice], FloatArray, FloatArray, FloatArray]:
    """Distance to the path, half the width at its nearest point and its lean there, for pixels within reach.

    Returns:
        The box (rows, columns) around the crack, and three arrays over it; out of reach the distance is infinite. The
        lean is the sine of the angle between the path and the nearer axis: 0 along rows or columns, at most 0.71.
    """
    # One reach for all: a pixel beside a narrow place must not be taken for one of a wide place nearby.
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


def _share(distance: FloatArray, half_width: FloatArray, lean: FloatArray) -> FloatArray:
    """The part of a pixel's square that lies in a straight opening, exact at every angle."""
    near = np.isfinite(distance)
    away, half, leans = (values.astype(np.float64) for values in (np.where(near, distance, 0), half_width, lean))
    part = _part_below(away + half, leans) - _part_below(away - half, leans)
    return np.asarray(np.where(near, np.clip(part, 0, 1), 0), dtype=np.float32)


def _part_below(height: Float64Array, lean: Float64Array) -> Float64Array:
    """The part of a unit square that lies below a line so far above its middle; the line leans by so much.

    Across the line, the square is as wide as two boxes convolved, one of the angle's cosine, one of its sine.
    """
    long, short = np.sqrt(1 - lean**2), np.maximum(lean, 1e-4)

    def area(at: Float64Array) -> Float64Array:  # under a ramp from 0 to 1, as long as the longer box
        inside = np.clip(at + long / 2, 0, long)
        return np.asarray(inside**2 / (2 * long) + np.maximum(at - long / 2, 0))

    return np.asarray((area(height + short / 2) - area(height - short / 2)) / short)


def _spall(rng: np.random.Generator, crack: DrawnCrack, wall: Wall) -> None:
    """Break lens-shaped flakes off the crack's edge: a shallow, fresher hollow on one side."""
    n_points = len(crack.path_xy)
    for _ in range(rng.poisson(0.004 * STEP_PX * n_points * min(float(crack.widths_px.mean()) / 3, 2))):
        n_long = int(rng.integers(4, 30))
        first = int(rng.integers(0, max(n_points - n_long, 1)))
        edge_xy = crack.path_xy[first : first + n_long]
        if len(edge_xy) < 4:
            continue
        along = np.gradient(edge_xy, axis=0)
        normal = rng.choice((-1, 1)) * np.stack([-along[:, 1], along[:, 0]], axis=1) / STEP_PX
        bulge = np.sin(np.linspace(0, np.pi, len(edge_xy))) * rng.uniform(0.7, 1.3, len(edge_xy))
        depth_px = crack.widths_px[first : first + n_long] / 2 + rng.uniform(1, 2 + min(n_long / 3, 6)) * bulge
        polygon = np.concatenate([edge_xy, (edge_xy + normal * depth_px[:, None])[::-1]])
        height, width = wall.relief.shape
        x0, y0 = np.maximum(np.floor(polygon.min(axis=0)) - 3, 0).astype(int)
        x1, y1 = np.minimum(np.ceil(polygon.max(axis=0)) + 4, (width, height)).astype(int)
        if x1 <= x0 or y1 <= y0:
            continue
        flake = np.zeros((y1 - y0, x1 - x0), dtype=np.uint8)
        corners = np.round((polygon - (x0, y0)) * 16).astype(np.int32)
        cv2.fillPoly(flake, [corners], 255, lineType=cv2.LINE_AA, shift=4)
        alpha = cv2.GaussianBlur(flake, (0, 0), 0.7).astype(np.float32) / 255
        wall.relief[y0:y1, x0:x1] -= np.float32(rng.uniform(0.8, 2)) * alpha
        freshness = np.float32(rng.uniform(-0.12, 0.22))
        for plane in wall.planes:
            plane[y0:y1, x0:x1] *= 1 + freshness * alpha


def _stroke(rng: np.random.Generator, planes: list[FloatArray]) -> None:
    """A mark of pen, chalk or pencil, or the shadow of a wire: thin like a crack, but smooth and even."""
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
    box, distance, half_width, _ = _nearest(line, hw, reach_px=2 * soft_px)
    alpha = np.clip((half_width - distance) / soft_px + 0.5, 0, 1)
    ragged = np.clip(0.85 + 0.3 * noise(rng, alpha.shape, 2.5), 0, 1) if soft_px < 1 and alpha.size else 1
    blend([plane[box] for plane in planes], (strength * ragged * alpha).astype(np.float32), inks[ink])


def _tile_label(drawing: Drawing, *, x0: int, y0: int, side_px: int) -> str | None:
    """The label of one tile, or None where a crack only touches it."""
    run_px, touched = 0.0, bool(drawing.mask[y0 : y0 + side_px, x0 : x0 + side_px].any())
    inset = side_px / 20  # a crack along the very edge is not in view
    for crack in drawing.cracks:
        offset = crack.path_xy - (x0, y0)
        touched |= bool(np.all((offset > -4) & (offset < side_px + 3), axis=1).any())
        in_view = np.all((offset >= inset) & (offset <= side_px - 1 - inset), axis=1) & (crack.widths_px >= 1)
        run_px = max(run_px, STEP_PX * int(in_view.sum()))
    if run_px >= side_px / 4:
        return "crack"
    return None if touched else "uncracked"
