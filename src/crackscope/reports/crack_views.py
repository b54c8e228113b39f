"""Views of cracks on the page of a scan: lines over the photo, a small table, and crops around the widest places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.cracks import Crack
from crackscope.geometry.paths import length_of
from crackscope.geometry.widths import WidthEstimate, WidthMm, width_text
from crackscope.reports.page import data_uri
from crackscope.scanning.crack_lines import COLOURS, WidthClasses, coloured_lines, label_places
from crackscope.scanning.photo_scan import Trace
from crackscope.scanning.results import ALARMING, PhotoResult

__all__ = ["BLUR_TO_TELL_PX", "CrackLine", "CrackViews", "crack_notes", "crack_views"]

BLUR_TO_TELL_PX = 2.0
"""Blur of a photo, in pixels, above which the page warns of it."""

_SHOWN_PX = 1000  # about the width of a photo on the page, in pixels of the screen
_LABEL_PX = (20, 24)  # height and width of a number there
_TOLERANCE_PX = 0.35  # by which lines are simplified, in the same pixels
_N_LISTED = 12
_N_CROPS = 6
_CROP_PX = 320
_CROP_QUALITY = 82
_BESIDE_PX = 7  # between the edge of a crack and the line that is drawn beside it
_LEAST_BESIDE_PX = 60  # least length of a branch with such a line, but for the branch of the widest place
_SMOOTHED = 13  # points of a line whose mean is drawn in a crop
_INK = (27, 39, 51)


@dataclass(frozen=True)
class CrackLine:
    """Line of one crack on the page.

    Attributes:
        title: What is told of it under the pointer.
        joint_like: Whether it looks like a joint.
        paths: Number of the class of width, and the ``d`` of an SVG path in pixels of the photo.
    """

    title: str
    joint_like: bool
    paths: list[tuple[int, str]]


@dataclass(frozen=True)
class CrackViews:
    """All that the page shows of the cracks of one photo.

    Attributes:
        lines: Lines of all cracks, by their numbers.
        numbers: Number of each crack that counts, and the place of its plate in percent from the left and from the top.
        legend: Colour and text of each class of width.
        unit: Unit of the classes, ``mm`` or ``px``.
        rows: Cells of the table: number, length, median width, maximum width, direction, pattern; each cell is what is
            told first and what is told in small letters.
        n_left_out: Number of cracks that the table leaves out.
        crops: Address, text below and alternative text of each crop.
    """

    lines: list[CrackLine]
    numbers: list[tuple[int, float, float]]
    legend: list[tuple[str, str]]
    unit: str
    rows: list[list[tuple[str, str]]]
    n_left_out: int
    crops: list[tuple[str, str, str]]


def crack_views(found: PhotoResult, pixels: UInt8Array) -> CrackViews | None:
    """Make the views of the cracks that are drawn; None if there are none.

    Args:
        found: Result of the photo.
        pixels: The photo, RGB, uint8, shape (H, W, 3).
    """
    cracks = found.drawn_cracks
    if not cracks:
        return None
    own = [crack for crack in cracks if not crack.joint_like]
    classes = WidthClasses.of(own)
    height, width = pixels.shape[:2]
    per_shown = width / _SHOWN_PX
    plates = label_places(own, (height, width), (_LABEL_PX[0] * per_shown, _LABEL_PX[1] * per_shown))
    titles = [f"Line {i}, which looks like a joint" if one.joint_like else _title(i, one) for i, one in _from_1(cracks)]
    return CrackViews(
        lines=[_line(crack, title, classes, per_shown) for crack, title in zip(cracks, titles, strict=True)],
        numbers=[(i, 100 * (x + 0.5) / width, 100 * (y + 0.5) / height) for i, (x, y) in enumerate(plates, start=1)],
        legend=[
            (f"rgb({red} {green} {blue})", text.replace("-", "–"))
            for (red, green, blue), text in zip(COLOURS, classes.texts, strict=True)
        ],
        unit=classes.unit,
        rows=[_row(i, crack) for i, crack in _from_1(own[:_N_LISTED])],
        n_left_out=len(own[_N_LISTED:]),
        crops=[_crop(i, crack, pixels) for i, crack in _from_1(own[:_N_CROPS]) if crack.width is not None],
    )


def crack_notes(found: PhotoResult, trace: Trace) -> list[str]:
    """Sentences on what was traced in a photo, and how far it can be trusted.

    Args:
        found: Result of the photo.
        trace: Photos whose lines were traced.
    """
    alarming, n_joints = found.verdict in ALARMING, sum(crack.joint_like for crack in found.cracks)
    if found.traced_by is None:
        if trace is None:
            return ["Lines were not traced (--maps-only). Scan without that option to get them."]
        why = f"since the photo is {found.verdict}" if not alarming else "since the photo is too small"
        return [f"No lines were traced, {why}." + ("" if alarming else " --trace all traces every photo.")]
    notes = []
    if not alarming and found.cracks:
        n, one = len(found.cracks), len(found.cracks) == 1
        lines, listed = ("1 line was", "it is") if one else (f"{n} lines were", "they are")
        notes.append(f"{lines} traced; as the photo is {found.verdict}, {listed} listed in cracks.csv only.")
    elif not found.cracks:
        notes.append("No line was found.")
    elif n_joints:
        lines = "1 dashed line looks" if n_joints == 1 else f"{n_joints} dashed lines look"
        notes.append(f"{lines} like a joint, a board or a cable, and so {'does' if n_joints == 1 else 'do'} not count.")
    if found.blur_px is not None and found.blur_px > BLUR_TO_TELL_PX:
        limits = [crack.width.smallest_px for crack in found.cracks if crack.width is not None]
        least = math.ceil(10 * (median(limits) if limits else found.blur_px)) / 10
        notes.append(f"This photo was enlarged or is out of focus; widths below about {least:.1f} px cannot be told.")
    if found.traced_by == "ridges":
        notes.append("The model has no fine map, so lines follow dark ridges, which may also be joints or scratches.")
    return notes


def _from_1(cracks: Sequence[Crack]) -> list[tuple[int, Crack]]:
    return [*enumerate(cracks, start=1)]


def _line(crack: Crack, title: str, classes: WidthClasses, per_shown: float) -> CrackLine:
    paths = [
        (number or 0, _svg_path(points, per_shown))
        for number, points in coloured_lines(crack, classes, tolerance_px=_TOLERANCE_PX * per_shown)
    ]
    return CrackLine(title, crack.joint_like, paths)


def _svg_path(points: Float64Array, per_shown: float) -> str:
    decimals = 0 if per_shown > 3 else 1
    return "M" + " ".join(f"{x:.{decimals}f},{y:.{decimals}f}" for x, y in points.tolist())


def _title(number: int, crack: Crack) -> str:
    length, median_width, maximum, *_ = (" ".join(filter(None, cell)) for cell in _row(number, crack)[1:])
    return f"Crack {number}: length {length}; median width {median_width}; maximum width {maximum}"


def _row(number: int, crack: Crack) -> list[tuple[str, str]]:
    length = f"{crack.length_px:,.0f} px", ""
    if crack.mm is not None:
        length = _millimetres(crack.mm.length_mm), f"({length[0]})"
    median_width, maximum = ("", ""), ("", "")
    if crack.width is not None:
        mm, limit_px = crack.mm, crack.width.smallest_px
        limit_mm = mm.smallest_mm if mm else None
        median_width = _width_cell(crack.width.median, mm.median if mm else None, limit_px, limit_mm, ends=False)
        maximum = _width_cell(crack.width.maximum, mm.maximum if mm else None, limit_px, limit_mm, ends=True)
    direction = f"{crack.direction_deg % 180:.0f}°", ""
    return [(str(number), ""), length, median_width, maximum, direction, (crack.pattern, "")]


def _millimetres(length_mm: float) -> str:
    return f"{length_mm / 1000:.2f} m" if length_mm >= 1000 else f"{length_mm:.0f} mm"


def _width_cell(
    px: WidthEstimate, mm: WidthMm | None, limit_px: float, limit_mm: float | None, *, ends: bool
) -> tuple[str, str]:
    """A width, first in mm if it is known there; in small letters its interval if it is resolved, and its pixels."""
    in_px = f"{width_text(px, limit_px)} px"
    if mm is None:
        return in_px, f"({px.low_px:.1f} to {px.high_px:.1f})" if ends and px.resolved else ""
    interval = f"{mm.low_mm:.2f} to {mm.high_mm:.2f} mm; " if ends and mm.resolved else ""
    return f"{width_text(mm, limit_mm)} mm", f"({interval}{in_px})"


# Crops


def _crop(number: int, crack: Crack, pixels: UInt8Array) -> tuple[str, str, str]:
    """The photo around the widest place of a crack, with a thin line beside the crack and two marks at that place."""
    assert crack.width is not None
    x, y = crack.width.maximum_xy
    (height, width), side = pixels.shape[:2], _CROP_PX
    left, top = (max(0, min(round(at) - side // 2, whole - side)) for at, whole in ((x, width), (y, height)))
    picture = pixels[top : top + side, left : left + side].copy()
    corner = np.array([left, top], np.float64)
    branch = min(range(len(crack.path_xy)), key=lambda i: _distances(crack.path_xy[i], (x, y)).min())
    path, half = crack.path_xy[branch], crack.width.maximum.width_px / 2
    across, middle = _normals(path), np.array([x, y]) - corner
    for i, one in enumerate(crack.path_xy):  # lines beside short branches would only cover the junctions
        if i != branch and length_of(one) < _LEAST_BESIDE_PX:
            continue
        aside = _half_widths(crack, i) + _BESIDE_PX
        beside = _smoothed(one - corner + aside[:, None] * _normals(one))
        near = ((beside > -side) & (beside < 2 * side)).all(1)
        for points in np.split(beside, np.flatnonzero(~near)):
            if len(points) > 2:
                _thin(picture, points[1:])
    normal = across[int(_distances(path, (x, y)).argmin())]
    for way in (-1, 1):
        _thin(picture, np.array([middle + way * (half + 2) * normal, middle + way * (half + 16) * normal]))
    cell, small = _row(number, crack)[3]
    text = f"{number}: {cell}"
    alternative = f"Crack {number} at its widest place, at full resolution: {cell} {small}".strip()
    return data_uri(picture_bytes(picture, ".jpg", quality=_CROP_QUALITY), "jpeg"), text, alternative


def _distances(path: Float64Array, place: tuple[float, float]) -> Float64Array:
    return np.hypot(path[:, 0] - place[0], path[:, 1] - place[1])


def _half_widths(crack: Crack, branch: int) -> Float64Array:
    """Half of the width at each point of a branch, smoothed along it."""
    widths, path = crack.widths[branch], crack.path_xy[branch]
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    at = np.cumsum(widths.lengths_px) - widths.lengths_px / 2
    window = np.ones(min(9, len(at)))
    smooth = np.convolve(widths.width_px, window, "same") / np.convolve(np.ones(len(at)), window, "same")
    return np.asarray(np.interp(steps, at, smooth) / 2)


def _smoothed(points: Float64Array) -> Float64Array:
    """Running mean over neighbouring points; fewer at the ends."""
    window = np.ones(min(_SMOOTHED, len(points)))
    count = np.convolve(np.ones(len(points)), window, "same")
    return np.column_stack([np.convolve(points[:, i], window, "same") / count for i in (0, 1)])


def _normals(path: Float64Array) -> Float64Array:
    """Unit vectors across a line at each of its points, shape (n, 2)."""
    if len(path) < 2:
        return np.tile([0.0, 1.0], (len(path), 1))
    ahead = path[np.minimum(np.arange(len(path)) + _SMOOTHED, len(path) - 1)]
    behind = path[np.maximum(np.arange(len(path)) - _SMOOTHED, 0)]
    along = ahead - behind
    lengths = np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-9)
    return np.column_stack([-along[:, 1], along[:, 0]]) / lengths[:, None]


def _thin(picture: UInt8Array, points: Float64Array) -> None:
    fixed = np.round(points * 16).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [fixed], False, _INK, 2, cv2.LINE_AA, 4)
    cv2.polylines(picture, [fixed], False, COLOURS[-1], 1, cv2.LINE_AA, 4)
