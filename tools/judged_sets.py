"""Sets that a default model is judged on beside METU and SDNET2018: photos from elsewhere, stretches, tunnel joints."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.patches import PatchIndex

TILE_PX, SMALL_TILE_PX = 256, 128
SMALL_BELOW_PX = 1024  # a photo whose shorter side is less has small tiles
KINDS = {"traced/real": "real", "photos": "photos"}  # set in PARTS.csv, and its folder


@dataclass(frozen=True)
class Stretch:
    """A stretch of a photo without a crack.

    Attributes:
        surface: D, P or W.
        photo: Name of the photo.
        photo_hw: Height and width of the whole photo, in pixels.
        pixels: Pixels of the stretch, shape (H, W, 3).
    """

    surface: str
    photo: str
    photo_hw: tuple[int, int]
    pixels: np.ndarray


def photos_from_elsewhere(
    traced: Path, photos: Path, parts: Path, *, part: str, only: Collection[str] | None = None
) -> dict[str, list[LabelledPhoto]]:
    """List traced photos, by kind, with tiles of 256 px, or 128 px in small photos.

    Args:
        traced: Folder of the traced set.
        photos: Folder with photos/images and photos/masks.
        parts: CSV of set, file, source and part.
        part: Part that is listed.
        only: Sources that are listed, if not all.
    """
    rows = list(csv.DictReader(parts.read_text(encoding="utf-8").splitlines()))
    found = {}
    for name, kind in KINDS.items():
        folder = (traced if kind == "real" else photos) / kind
        wanted = {
            row["file"]
            for row in rows
            if row["set"] == name and row["part"] == part and (only is None or row["source"] in only)
        }
        by_size = [
            {
                photo.name: photo
                for photo in photos_by_masks(folder / "images", folder / "masks", tile_px=px, tiles_a_side=1)
            }
            for px in (TILE_PX, SMALL_TILE_PX)
        ]
        found[kind] = [
            by_size[min(by_size[0][photo].load()[0].shape[:2]) < SMALL_BELOW_PX][photo]
            for photo in by_size[0]
            if Path(photo).name in wanted
        ]
    return found


def free_stretches(surfaces: dict[str, PatchIndex], grid: str, stretches: Path, *, reserved: bool) -> Iterator[Stretch]:
    """Give the stretches in which no crack was seen, of the photos that the index holds.

    Args:
        surfaces: Tiles of SDNET2018, by surface.
        grid: CSV with the place of each tile.
        stretches: CSV of the stretches.
        reserved: Whether reserved photos are given, or the others.
    """
    rows = {
        f"{row['surface']}-{row['photo']}": row
        for row in csv.DictReader(stretches.read_text(encoding="utf-8").splitlines())
        if row["verdict"] == "free" and (row["reserved"] == "yes") == reserved
    }
    for index in surfaces.values():
        for photo in photos_by_grid(index, grid):
            row = rows.get(photo.name)
            if row is None:
                continue
            whole, _ = photo.load()
            top, left = int(row["row"]) * TILE_PX, int(row["col"]) * TILE_PX
            below, right = top + int(row["rows"]) * TILE_PX, left + int(row["cols"]) * TILE_PX
            height, width = whole.shape[:2]
            yield Stretch(
                row["surface"], photo.name, (height, width), np.ascontiguousarray(whole[top:below, left:right])
            )


def joint_paths(joints: Path, photo: str, *, edges: bool) -> list[np.ndarray]:
    """Traced joints of a tunnel photo, each a path of points x and y, shape (n, 2).

    Args:
        joints: CSV of photo, joint, point, x and y.
        photo: Name of the photo.
        edges: Whether steps in brightness count as well as dark lines.
    """
    traces: dict[str, list[tuple[float, float]]] = {}
    for row in csv.DictReader(joints.read_text(encoding="utf-8").splitlines()):
        if row["photo"] == photo and (edges or row["joint"].startswith("line")):
            traces.setdefault(row["joint"], []).append((float(row["x"]), float(row["y"])))
    return [np.array(trace) for trace in traces.values()]


def joint_points(joints: Path, photo: str, *, edges: bool) -> np.ndarray:
    """Points along the joints of `joint_paths`, one a pixel, shape (n, 2), x and y."""
    points = [np.empty((0, 2))]
    for path in joint_paths(joints, photo, edges=edges):
        at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
        places = np.arange(0.5, at[-1], 1.0)
        points.append(np.column_stack([np.interp(places, at, path[:, axis]) for axis in (0, 1)]))
    return np.concatenate(points)
