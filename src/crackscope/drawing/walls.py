"""Drawn walls: concrete with cracks of known path and width, for demo, examples and tests, without a download.

`concrete` draws the wall. This module adds strokes of pens, shadows of wires and cracks, and cuts photos into labelled
patches. Dark thin lines that are no crack (joints, rims of stains, strokes) are as frequent on cracked as on uncracked
concrete. So a model that calls every dark line a crack does badly.

The wall, the cracks and the camera have random numbers of their own. So one seed gives the same wall under the same
light, with or without a crack.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.drawing.concrete import Wall, lay_wall, noise, photograph, shade
from crackscope.drawing.drawn_lines import STEP_PX, DrawnCrack, covered_share, nearest_on_path, new_crack, stroke
from crackscope.errors import DataError, OutputError
from crackscope.files.output import write_text
from crackscope.files.tables import table_text

__all__ = ["Drawing", "draw_dataset", "draw_patch", "draw_photo"]

Path2D = Float64Array  # shape (n, 2)

SMALLEST_SIDE_PX = 16


@dataclass(frozen=True)
class Drawing:
    """Drawn concrete, and where its cracks are.

    Attributes:
        pixels: Picture, RGB, uint8, shape (H, W, 3).
        mask: Whether each pixel is cracked, shape (H, W). A pixel is cracked if its centre is nearer to a crack's path
            than half the width of the crack at that point.
        cracks: Cracks, each followed by its branches; empty for uncracked concrete.
    """

    pixels: UInt8Array
    mask: BoolArray
    cracks: tuple[DrawnCrack, ...]


def draw_patch(seed: int, *, side_px: int = 227, crack: bool = True, width_px: float | None = None) -> Drawing:
    """Draw one square patch of concrete, with or without a crack through its middle part.

    Args:
        seed: Seed of the drawing, any integer from 0. The same seed gives the same bytes.
        side_px: Side of the patch in pixels, at least 16.
        crack: Whether a crack is drawn; it may have a branch.
        width_px: Typical width of the crack in pixels, above 0; it varies along the path, and the crack
            tapers to its ends. If left out, it is chosen at random from 1 to 12 pixels, at most a twelfth of the side.

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
        seed: Seed of the drawing, any integer from 0. The same seed gives the same bytes.
        photo_hw: Size in pixels, (height, width), each at least 16.
        n_cracks: Number of cracks without their branches; 0 gives uncracked concrete.
        widths_px: Smallest and largest typical width of a crack in pixels, above 0. Along its path a crack is up to
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
    """Draw photos, cut each into a grid of patches, and write the patches as a labelled folder.

    A patch is labelled ``crack`` if a visible crack runs through it over at least a quarter of its side, and
    ``uncracked`` if it holds no part of a crack. Patches with less of a crack are left out, so labels are clean. Over
    several photos about half of the patches are cracked, and most photos give patches of both labels.

    Args:
        folder: Folder for ``crack/``, ``uncracked/`` and ``labels.csv``; it is made if it does not exist.
        n_photos: Number of photos, at least 1.
        patches_per_photo: Number of cells of the grid over each photo, at least 1.
        side_px: Side of a patch in pixels, at least 16.
        seed: Seed of the drawings, any integer from 0.

    Returns:
        The path of ``labels.csv``, with the columns ``path,label,photo``; its paths are relative to `folder`, with
        forward slashes.

    Raises:
        DataError: If a number is outside what is allowed.
        OutputError: If the folder already holds a data set.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     table = draw_dataset(folder, n_photos=1, patches_per_photo=4, side_px=64)
        ...     print(table.name, table.read_text().splitlines()[0])
        labels.csv path,label,photo
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
        # Keep the numbers of cracked and uncracked patches about equal.
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
    write_text(labels_csv, table_text(("path", "label", "photo"), rows))
    return labels_csv


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
        stroke(wall_rng, wall.planes)
    cracks: list[DrawnCrack] = []
    for _ in range(n_cracks):
        cracks.extend(new_crack(crack_rng, photo_hw, widths_px))
    mask = np.zeros(photo_hw, dtype=np.bool_)
    coverage = np.zeros(photo_hw, dtype=np.float32)
    for crack in cracks:
        box, distance, half_width, lean = nearest_on_path(crack, photo_hw, reach_px=4.0)
        mask[box] |= distance < half_width
        darkened = coverage[box]
        np.maximum(darkened, crack.darkness * covered_share(distance, half_width, lean), out=darkened)
        # The edges of a crack have crumbled a little: one side is lit, the other lies in shade.
        wall.relief[box] -= 0.45 * np.minimum(half_width, 4) * np.exp(-np.maximum(distance - half_width, 0) / 1.4)
        _spall(crack_rng, crack, wall)
    shade(wall)
    # Light falls a little way into an opening, and dust lies in it, so its far side is less dark.
    into = np.array([[1, 0, 3 * math.cos(wall.light)], [0, 1, 3 * math.sin(wall.light)]])
    lit_wall = np.maximum(coverage - cv2.GaussianBlur(cv2.warpAffine(coverage, into, photo_hw[::-1]), (0, 0), 1), 0)
    coverage *= 1 - 0.35 * lit_wall - np.clip(0.08 * noise(crack_rng, photo_hw, 4), 0, 0.2)
    for plane, tint in zip(wall.planes, 1 - crack_rng.uniform(0, 0.05, 3), strict=True):
        plane *= 1 - np.float32(tint) * coverage
    pixels = photograph(camera_rng, wall.planes)
    return Drawing(pixels=pixels, mask=mask, cracks=tuple(cracks))


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


def _tile_label(drawing: Drawing, *, x0: int, y0: int, side_px: int) -> str | None:
    """Label one tile; None if it holds too little of a crack for a clear label."""
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
