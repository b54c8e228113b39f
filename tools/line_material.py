"""Crops of photos whose cracks are traced, with the truth of each cell of the fine map, for `default_training.py`.

A *cell* is a square of `STRIDE` network pixels. Truth of a cell: `LINE` where the centre line of a crack passes through
it or one of its neighbours, `OTHER` elsewhere, and `IGNORED` near lines and within masks, where the tracing is too
coarse to tell. Masks are drawn wider than cracks, so only their centre lines are believed.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from skimage.morphology import skeletonize

from crackscope.drawing.exact_cracks import with_crack
from crackscope.drawing.exact_drawings import bare
from crackscope.drawing.hard_negatives import with_negative
from crackscope.model.card import TrainingData
from crackscope.model.provenance import describe_pictures

STRIDE: Literal[2] = 2  # network pixels in a cell of the fine map
OTHER, LINE, IGNORED = 0, 1, 2
SURE, DOUBTED = 127, 64  # levels of a mask
RING = 2  # cells around the widened line that are not judged
NEAR_A_LINE = 0.8  # share of crops whose middle lies on a crack
BLUR_PX = 0.5, 2.0  # standard deviation of the blur of drawn lines
WIDTHS_PX = 0.35, 16.0  # typical width of a drawn crack, in pixels of the crop
FAINTEST = 1.5  # a stretch that changes the concrete by less, in its own deviations, can hardly be seen
LEAST_COVER = 0.05
AROUND = np.ones((3, 3), np.uint8)


@dataclass(frozen=True, eq=False)
class TracedPhoto:
    """A photo with a mask of its cracks, read when it is needed.

    Attributes:
        kind: Set that it belongs to, such as ``real``.
        image: Path of the photo.
        mask: Path of the mask, white where there is a crack; it may be smaller than the photo.
        source: Name of the photo that it was cut from; crops of one source share their concrete.
    """

    kind: str
    image: Path
    mask: Path
    source: str

    def pixels(self) -> np.ndarray:
        """Pixels, shape (H, W, 3), RGB, uint8."""
        return read_pixels(self.image)

    def levels(self, photo_hw: tuple[int, int]) -> np.ndarray:
        """Mask in the size of the photo, shape (H, W): above `SURE` a crack, from `DOUBTED` on perhaps."""
        mask = read_levels(self.mask)
        if mask.shape != photo_hw:
            mask = cv2.resize(mask, photo_hw[::-1], interpolation=cv2.INTER_LINEAR)
        return np.asarray(mask)

    @cached_property
    def segments(self) -> np.ndarray:
        """Pieces of the mask's centre line, one pixel step each: x, y of both ends, shape (n, 4), float32."""
        height, width = self.pixels().shape[:2]
        thin: np.ndarray = skeletonize(self.levels((height, width)) > SURE)  # type: ignore[no-untyped-call]
        return segments_of(thin)


def read_pixels(image: Path) -> np.ndarray:
    """Read a photo, shape (H, W, 3), RGB, uint8."""
    found = cv2.imread(str(image), cv2.IMREAD_COLOR)
    if found is None:
        raise SystemExit(f"{image}: no photo. Unpack the set anew.")
    return np.ascontiguousarray(found[..., ::-1])


def read_levels(mask: Path) -> np.ndarray:
    """Read a mask, shape (h, w), uint8."""
    found = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
    if found is None:
        raise SystemExit(f"{mask}: no mask. Unpack the set anew.")
    return np.asarray(found)


def segments_of(line: np.ndarray) -> np.ndarray:
    """Join neighbouring pixels of a thin line; a pixel without neighbours becomes a piece of no length.

    Args:
        line: Whether a pixel belongs to the line, shape (H, W).

    Returns:
        Middles of both pixels in x, y, shape (n, 4), float32.
    """
    found = []
    ys, xs = np.nonzero(line)
    padded = np.pad(line, 1)
    for dy, dx in ((0, 0), (0, 1), (1, -1), (1, 0), (1, 1)):
        joined = padded[ys + 1 + dy, xs + 1 + dx]
        x, y = xs[joined] + 0.5, ys[joined] + 0.5
        found.append(np.stack([x, y, x + dx, y + dy], 1))
    return np.concatenate(found).astype(np.float32)


def sources_kept_back(parts: Path, *, one_in: int = 4) -> frozenset[str]:
    """Choose sources whose photos are judged and never learnt: every fourth of each set's training rows, by name.

    Args:
        parts: CSV of set, file, source and part.
        one_in: One source in so many is kept back.
    """
    by_set: dict[str, set[str]] = {}
    for row in csv.DictReader(parts.read_text(encoding="utf-8").splitlines()):
        if row["part"] == "train" and not row["set"].endswith("unlabelled"):
            by_set.setdefault(row["set"], set()).add(row["source"])
    return frozenset(source for own in by_set.values() for source in sorted(own)[::one_in])


def learnt_pictures(
    traced: Path, photos: Path | None, parts: Path, untraced: Sequence[Path]
) -> tuple[TrainingData, ...]:
    """Describe the pictures that crops are learnt from, for the card.

    Args:
        traced: Folder of the traced set.
        photos: Folder with photos/images and photos/masks, if there is one.
        parts: CSV of set, file, source and part.
        untraced: Photos that nobody traced, and that the half trained network does.
    """
    kept_back = sources_kept_back(parts)

    def digests(folder: Path, kinds: Sequence[str]) -> list[bytes]:
        found = read_traced(folder, kinds, parts, part="train", without=kept_back)
        return [hashlib.sha256(one.image.read_bytes()).digest() for one in found]

    own = digests(traced, ["real", "drawn", "styled"])
    own += [hashlib.sha256(place.read_bytes()).digest() for place in untraced]
    found = [
        describe_pictures(
            "Cracks Synthetic Dataset", own, licence="CC BY 4.0", attribution="Supervisely, Cracks Synthetic Dataset"
        )
    ]
    if photos is not None:
        of_photos = digests(photos, ["photos"])
        licence, attribution = "MIT", "A. Flor, surface-crack-detection"
        found.append(describe_pictures("surface-crack-detection", of_photos, licence=licence, attribution=attribution))
    return tuple(found)


def read_traced(
    folder: Path,
    kinds: Iterable[str],
    parts: Path,
    *,
    part: str,
    without: Container[str] = (),
    only: Container[str] | None = None,
) -> list[TracedPhoto]:
    """List traced photos of some kinds. A photo that PARTS.csv names must have this part there.

    Args:
        folder: Folder with KIND/images and KIND/masks.
        kinds: Names of sub-folders.
        parts: CSV of set, file, source and part.
        part: Part that is read, such as ``train``; kinds that the CSV does not name have it.
        without: Sources that are left out.
        only: Sources of which photos are read, if not all.
    """
    rows = {
        (row["set"].split("/")[-1], row["file"]): row
        for row in csv.DictReader(parts.read_text(encoding="utf-8").splitlines())
    }
    found = []
    for kind in kinds:
        listed = any(name == kind for name, _ in rows)
        for image in sorted((folder / kind / "images").iterdir()):
            row = rows.get((kind, image.name))
            if listed and row is None:
                raise SystemExit(f"{image}: {parts} does not name it. Give the list that belongs to the set.")
            source = row["source"] if row else image.stem
            if (row and row["part"] != part) or source in without or (only is not None and source not in only):
                continue
            [mask] = (folder / kind / "masks").glob(f"{image.stem}.*")
            found.append(TracedPhoto(kind, image, mask, source))
    return found


@dataclass(frozen=True, eq=False)
class View:
    """How a photo is seen in a crop: scaled, turned, mirrored, and moved."""

    matrix: np.ndarray  # (2, 3), from pixels of the photo to pixels of the crop
    scale: float
    side: int

    def pixels(self, photo: np.ndarray) -> np.ndarray:
        """The crop, shape (side, side, 3); what lies outside the photo is mirrored."""
        matrix = self.matrix
        if self.scale < 1:  # areas are averaged first, so that nothing is lost between two pixels
            photo = cv2.resize(photo, None, fx=self.scale, fy=self.scale, interpolation=cv2.INTER_AREA)
            matrix = matrix @ np.diag([1 / self.scale, 1 / self.scale, 1])
        return np.asarray(self._warped(photo, matrix, cv2.INTER_LINEAR), np.uint8)

    def area(self, mask: np.ndarray) -> np.ndarray:
        """Cells of the crop that the mask touches, shape (side / STRIDE, side / STRIDE)."""
        warped = self._warped(mask.astype(np.uint8) * np.uint8(255), self.matrix, cv2.INTER_LINEAR) > 0
        n = self.side // STRIDE
        return np.asarray(warped.reshape(n, STRIDE, n, STRIDE).any((1, 3)))

    def line(self, segments: np.ndarray, photo_hw: tuple[int, int]) -> np.ndarray:
        """Cells that the pieces of a line pass through; mirrored outside the photo as the pixels are."""
        n = self.side // STRIDE
        cells = np.zeros((n, n), bool)
        for mirrored in self._mirrored(segments, photo_hw):
            ends = mirrored.reshape(-1, 2, 2) @ self.matrix[:, :2].T.astype(np.float32) + self.matrix[:, 2]
            n_points = 2 + int(np.ceil(2 * self.scale / STRIDE))
            for share in np.linspace(0, 1, n_points):
                x, y = np.floor((ends[:, 0] * (1 - share) + ends[:, 1] * share) / STRIDE).astype(int).T
                inside = (x >= 0) & (x < n) & (y >= 0) & (y < n)
                cells[y[inside], x[inside]] = True
        return cells

    def _warped(self, picture: np.ndarray, matrix: np.ndarray, how: int) -> np.ndarray:
        to_middles = matrix.copy()  # OpenCV counts from the middle of a pixel, we count from its corner
        to_middles[:, 2] += matrix[:, :2] @ (0.5, 0.5) - 0.5
        size = (self.side, self.side)
        return np.asarray(cv2.warpAffine(picture, to_middles, size, flags=how, borderMode=cv2.BORDER_REFLECT))

    def _mirrored(self, segments: np.ndarray, photo_hw: tuple[int, int]) -> Iterable[np.ndarray]:
        """The pieces, and their mirror images beyond those edges of the photo that the crop reaches over."""
        corners = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]) * self.side - self.matrix[:, 2]
        reached = np.linalg.solve(self.matrix[:, :2], corners.T).T
        by_axis = []
        for length, low, high in zip(photo_hw[::-1], reached.min(0), reached.max(0), strict=True):
            images = [(1, 0, True), (-1, 0, low < 0), (-1, 2 * length, high > length)]
            by_axis.append([(sign, move) for sign, move, seen in images if seen])
        for (x_sign, x_move), (y_sign, y_move) in product(*by_axis):
            sign, move = np.array([x_sign, y_sign] * 2), np.array([x_move, y_move] * 2)
            yield (segments * sign + move).astype(np.float32)


def view_at(
    photo_hw: tuple[int, int], rng: np.random.Generator, *, scale: float, side: int, on: np.ndarray | None = None
) -> View:
    """Draw a view: any quarter turn, up to 15 degrees more, mirrored or not.

    Args:
        photo_hw: Height and width of the photo, in pixels.
        rng: Source of random numbers.
        scale: Pixels of the crop in a pixel of the photo.
        side: Side of the crop in pixels, a multiple of `STRIDE`.
        on: A point x, y of the photo near which the middle lies; anywhere if left out.
    """
    height, width = photo_hw
    reach = side / scale / 2
    if on is None:
        middle = [rng.uniform(min(reach, length / 2), max(length - reach, length / 2)) for length in (width, height)]
    else:
        middle = [at + rng.uniform(-0.6, 0.6) * reach for at in on]
        middle = [
            float(np.clip(at, min(reach, n / 2), max(n - reach, n / 2)))
            for at, n in zip(middle, (width, height), strict=True)
        ]
    angle = np.deg2rad(90 * rng.integers(4) + (rng.uniform(-15, 15) if rng.random() < 0.5 else 0))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if rng.random() < 0.5:
        turn[:, 0] *= -1
    return View(np.column_stack([turn, side / 2 - turn @ middle]), scale, side)


def truth_of(line: np.ndarray, area: np.ndarray | None = None) -> np.ndarray:
    """Truth of cells from those that a line passes through, and those that a coarse mask touches.

    Returns:
        Shape (h, w), uint8: `OTHER`, `LINE` or `IGNORED`.
    """
    widened = cv2.dilate(line.astype(np.uint8), AROUND)
    near = cv2.dilate(widened, AROUND, iterations=RING)
    if area is not None:
        near = np.maximum(near, cv2.dilate(area.astype(np.uint8), AROUND))
    return np.where(widened > 0, LINE, np.where(near > 0, IGNORED, OTHER)).astype(np.uint8)


def traced_crop(
    photo: TracedPhoto, rng: np.random.Generator, *, scales: tuple[float, float], side: int
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a crop of a traced photo and its truth.

    Args:
        photo: The photo.
        rng: Source of random numbers.
        scales: Least and greatest number of crop pixels in a pixel of the photo.
        side: Side of the crop in pixels.
    """
    pixels, segments = photo.pixels(), photo.segments
    photo_hw = pixels.shape[0], pixels.shape[1]
    scale = float(np.exp(rng.uniform(*np.log(scales))))
    on = segments[rng.integers(len(segments)), :2] if len(segments) and rng.random() < NEAR_A_LINE else None
    view = view_at(photo_hw, rng, scale=scale, side=side, on=on)
    area = view.area(photo.levels(photo_hw) >= DOUBTED)
    return view.pixels(pixels), truth_of(view.line(segments, photo_hw), area)


def drawn_crop(
    pixels: np.ndarray, rng: np.random.Generator, *, cracked: bool, negative: float
) -> tuple[np.ndarray, np.ndarray]:
    """Draw on a crop of uncracked concrete, and tell its truth. Stretches that can hardly be seen are ignored.

    Args:
        pixels: Crop of uncracked concrete, shape (side, side, 3), uint8.
        rng: Source of random numbers.
        cracked: Whether a crack is drawn.
        negative: Share of the crops on which something is drawn that is no crack.
    """
    drawing = bare(pixels, blur_px=float(rng.uniform(*BLUR_PX)))
    if rng.random() < negative:
        drawing = with_negative(drawing, rng)
    if cracked:
        drawing = with_crack(drawing, rng, widths_px=WIDTHS_PX)
    n = len(pixels) // STRIDE
    opening = (drawing.coverage > LEAST_COVER).reshape(n, STRIDE, n, STRIDE).any((1, 3))
    doubted = drawing.crack_cells(STRIDE) | drawing.gap_cells(STRIDE) | opening
    return drawing.pixels, truth_of(drawing.crack_cells(STRIDE, faintest=FAINTEST), doubted)
