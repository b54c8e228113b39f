"""Drawings of cracks: their lines over a picture of the photo, coloured by width and numbered, with a legend."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.geometry.cracks import Crack
from crackscope.scanning.crack_lines import COLOURS, WidthClasses, coloured_lines, label_places

__all__ = ["draw_cracks"]

_INK, _WHITE, _GREY = (27, 39, 51), (255, 255, 255), (205, 210, 215)
_CASING_OPACITY = 0.6  # of the dark rim, by which light lines stand out from light concrete
_SHIFT = 4  # binary digits below a pixel that OpenCV draws with
_DASH_PX = 9
_MOST_NUMBERS = 40  # more would cover the photo


def draw_cracks(
    picture: UInt8Array, cracks: Sequence[Crack], photo_hw: tuple[float, float], *, labels: bool = True
) -> None:
    """Draw cracks over a picture of their photo, in place.

    Lines that look like joints are thin, grey and dashed, and have no number.

    Args:
        picture: Picture of the photo, RGB, uint8, shape (h, w, 3), of any size.
        cracks: Cracks in the order of their numbers; those that look like joints stand last.
        photo_hw: Height and width of the photo, in pixels.
        labels: Whether numbers and a legend are drawn.
    """
    longest = max(picture.shape[:2])
    line_px = max(1, round(longest / 700))
    factors = np.array([picture.shape[1] / photo_hw[1], picture.shape[0] / photo_hw[0]])
    own = [crack for crack in cracks if not crack.joint_like]
    classes = WidthClasses.of(own)
    lines = [
        (number, (points + 0.5) * factors - 0.5, crack.joint_like)
        for crack in cracks
        for number, points in coloured_lines(crack, classes, tolerance_px=0.5 / float(factors.max()))
    ]
    rim = picture.copy()
    for _, points, joint_like in lines:
        if not joint_like:
            _line(rim, points, _INK, line_px + 2)
    picture[:] = cv2.addWeighted(rim, _CASING_OPACITY, picture, 1 - _CASING_OPACITY, 0)
    for number, points, joint_like in lines:
        if joint_like:
            for dash in _dashes(points):
                _line(picture, dash, _GREY, 1)
        else:
            _line(picture, points, COLOURS[number] if number is not None else _GREY, line_px)
    if labels and own:
        size, thick = max(0.4, longest / 2200), max(1, round(longest / 800))
        _write_numbers(picture, own[:_MOST_NUMBERS], factors, size, thick)
        _write_legend(picture, classes, [points for _, points, _ in lines], size, thick)


def _line(picture: UInt8Array, points: Float64Array, colour: tuple[int, int, int], line_px: int) -> None:
    fixed = np.round(points * (1 << _SHIFT)).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(picture, [fixed], False, colour, line_px, cv2.LINE_AA, _SHIFT)


def _dashes(points: Float64Array) -> list[Float64Array]:
    """Every second stretch of a line, each as long as a dash."""
    steps = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(points, axis=0).T))])
    starts = np.arange(0, steps[-1], 2 * _DASH_PX)
    ends = np.minimum(starts + _DASH_PX, steps[-1])
    return [
        np.column_stack([np.interp((start, end), steps, points[:, i]) for i in (0, 1)])
        for start, end in zip(starts, ends, strict=True)
    ]


def _write_numbers(
    picture: UInt8Array, cracks: Sequence[Crack], factors: Float64Array, size: float, thick: int
) -> None:
    (width, height), _ = cv2.getTextSize("0" * len(str(len(cracks))), cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    plate_hw = (height + 8) / factors[1], (width + 8) / factors[0]
    photo_hw = round(picture.shape[0] / factors[1]), round(picture.shape[1] / factors[0])
    for number, place in reversed([*enumerate(label_places(cracks, photo_hw, plate_hw), 1)]):  # the first one on top
        x, y = (np.array(place) + 0.5) * factors
        _write(picture, str(number), (round(float(x)), round(float(y))), size, thick)


def _write(picture: UInt8Array, text: str, middle_xy: tuple[int, int], size: float, thick: int) -> None:
    """Write text on a dark plate, in the middle of it."""
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, thick)
    left, top = middle_xy[0] - width // 2 - 4, middle_xy[1] - height // 2 - 4
    cv2.rectangle(picture, (left, top), (left + width + 8, top + height + 8), _INK, -1)
    corner = left + 4, top + height + 4
    cv2.putText(picture, text, corner, cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, thick, cv2.LINE_AA)


def _write_legend(
    picture: UInt8Array, classes: WidthClasses, lines: Sequence[Float64Array], size: float, thick: int
) -> None:
    """Write the classes of width and their unit on a plate, in the corner with the fewest lines."""
    rows = [f"width, {classes.unit}", *classes.texts]
    sizes = [cv2.getTextSize(row, cv2.FONT_HERSHEY_SIMPLEX, size, thick)[0] for row in rows]
    step = max(height for _, height in sizes) + 8
    swatch = 2 * step
    wide, high = max(sizes[0][0], swatch + max(width for width, _ in sizes[1:])) + 16, step * len(rows) + 10
    height, width = picture.shape[:2]
    if wide > width / 2 or high > height / 2:
        return
    points = np.concatenate([*lines, np.zeros((0, 2))])
    corners = [(x, y) for y in (height - high, 0) for x in (width - wide, 0)]

    def n_inside(corner: tuple[int, int]) -> int:
        return int(((points >= corner) & (points <= np.add(corner, (wide, high)))).all(1).sum())

    left, top = min(corners, key=n_inside)
    cv2.rectangle(picture, (left, top), (left + wide - 1, top + high - 1), _INK, -1)
    for i, row in enumerate(rows):
        y = top + (i + 1) * step
        if i:
            cv2.line(picture, (left + 8, y - step // 3), (left + swatch - 6, y - step // 3), COLOURS[i - 1], 3 * thick)
        x = left + 8 + (swatch if i else 0)
        cv2.putText(picture, row, (x, y), cv2.FONT_HERSHEY_SIMPLEX, size, _WHITE, thick, cv2.LINE_AA)
