"""Marks of formwork on concrete: joints, the print of boards, and the holes of ties, with the truth of their lines.

They are what a crack is most often mistaken for. Unlike a crack, a joint is straight and of even width, and boards are
parallel and all of one width.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from crackscope.arrays import Float32Array, Float64Array
from crackscope.drawing.blurred_outlines import outline_share
from crackscope.drawing.concrete import noise, turned
from crackscope.drawing.crack_paths import shape_along
from crackscope.drawing.crack_surroundings import emboss
from crackscope.drawing.exact_drawings import ExactDrawing, OtherLine

__all__ = [
    "RUST",
    "Drawn",
    "across_picture",
    "draw_joints",
    "draw_planking",
    "draw_tie_holes",
    "strip",
    "upright_or_level",
]

Path2D = Float64Array  # shape (n, 2)

Drawn = tuple[Float32Array, list[OtherLine], Float32Array | None]
"""What was drawn: the light, float32, shape (H, W, 3); lines that are no cracks; and the share of each pixel that is
covered by something in front of the concrete, shape (H, W), or None."""

RUST = np.array((122.0, 72.0, 40.0), np.float32)
_LINE_STEP_PX = 4.0


def draw_joints(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    """Draw one or two form joints: grooves or fins, straight and of even width.

    Args:
        drawing: The drawing so far.
        rng: Random generator that decides place, width and look.

    Returns:
        Light, lines and nothing in front; see `Drawn`.
    """
    light, lines = drawing.pixels.astype(np.float32), list[OtherLine]()
    angle = upright_or_level(rng) if rng.random() < 0.75 else rng.uniform(0, np.pi)
    width_px = float(np.exp(rng.uniform(np.log(0.6), np.log(14))))
    middle_xy = rng.uniform(0.15, 0.85, 2) * drawing.picture_hw[::-1]
    second = rng.random()
    if rng.random() < 0.5:  # the concrete on the two sides was poured on different days
        light *= (1 + rng.normal(0, 0.06) * _one_side(drawing.picture_hw, middle_xy, angle))[..., None]
    looks = _line_look(rng)
    places = [(middle_xy, angle)]
    if second < 0.15:
        places.append((middle_xy, angle + np.pi / 2 + rng.normal(0, 0.01)))
    elif second < 0.3:  # the two edges of a strip
        aside = (2 * width_px + rng.uniform(4, 40)) * np.array((-math.sin(angle), math.cos(angle)))
        places.append((middle_xy + aside, angle))
    for place_xy, direction in places:
        path_xy = across_picture(drawing.picture_hw, place_xy, direction)
        _grooves(light, [path_xy], width_px, looks, drawing.blur_px, rng)
        lines.append(OtherLine(path_xy, width_px, "joint"))
    return light, lines, None


def draw_planking(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    """Draw the print of boards: parallel lines at one distance, a tone for each board, and grain along them.

    Args:
        drawing: The drawing so far.
        rng: Random generator that decides direction, width of the boards and look.

    Returns:
        Light, lines and nothing in front; see `Drawn`.
    """
    hw = drawing.picture_hw
    light, lines = drawing.pixels.astype(np.float32), list[OtherLine]()
    angle = upright_or_level(rng) if rng.random() < 0.8 else rng.uniform(0, np.pi)
    across = np.array((-math.sin(angle), math.cos(angle)))
    board_px = float(np.exp(rng.uniform(np.log(18), np.log(130))))
    width_px = float(np.exp(rng.uniform(np.log(0.5), np.log(min(5, board_px / 8)))))
    side = math.ceil(math.hypot(*hw)) + 2
    grain = noise(rng, (side, side), float(rng.uniform(2, 6)), stretch=float(rng.uniform(12, 50)))
    light *= (1 + rng.uniform(0.01, 0.06) * turned(grain, -math.degrees(angle), hw))[..., None]
    ys, xs = np.arange(hw[0], dtype=np.float32)[:, None], np.arange(hw[1], dtype=np.float32)
    offset = float(rng.uniform(0, board_px))
    away = xs * np.float32(across[0]) + ys * np.float32(across[1]) - np.float32(offset)
    board = np.floor(away / board_px).astype(np.int64)
    tones = rng.normal(1, rng.uniform(0.005, 0.05), int(board.max() - board.min()) + 1).astype(np.float32)
    tone = cv2.GaussianBlur(tones[board - board.min()], (0, 0), max(drawing.blur_px, 0.4))
    light *= tone[..., None]
    number = np.rint(away / board_px).astype(np.int64)  # the line nearest to each pixel
    first = int(number.min())
    strengths = rng.uniform(0.4, 1.2, int(number.max()) - first + 1)
    strengths[rng.random(len(strengths)) < 0.12] = 0  # these two boards met without a trace
    for index in np.flatnonzero(strengths):
        at = offset + (first + index) * board_px + rng.normal(0, 0.01 * board_px)
        path_xy = across_picture(hw, at * across, angle + rng.normal(0, 0.004))
        if _crosses(path_xy, hw):
            lines.append(OtherLine(path_xy, width_px, "planking"))
    paths = [line.path_xy for line in lines]
    strength = strengths.astype(np.float32)[number - first]
    _grooves(light, paths, width_px, _line_look(rng), drawing.blur_px, rng, strength=strength)
    return light, lines, None


def draw_tie_holes(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    """Draw holes of formwork ties on a lattice: open, or closed with a plug; rust may run down from them.

    Args:
        drawing: The drawing so far.
        rng: Random generator that decides place, size and look.

    Returns:
        Light, no lines and nothing in front; see `Drawn`.
    """
    hw = drawing.picture_hw
    light = drawing.pixels.astype(np.float32)
    radius_px = float(np.exp(rng.uniform(np.log(2.5), np.log(18))))
    spacing = rng.uniform(6, 30, 2) * radius_px
    first = rng.uniform(0, 1, 2) * np.minimum(spacing, hw[::-1])
    plugged, lamp = rng.random() < 0.4, float(rng.uniform(0, 2 * np.pi))
    bearings = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    holes: list[Path2D] = []
    for x in np.arange(first[0], hw[1], spacing[0]):
        for y in np.arange(first[1], hw[0], spacing[1]):
            uneven = (
                1 + 0.05 * np.cos(2 * bearings + rng.uniform(0, 6)) + 0.04 * np.cos(3 * bearings + rng.uniform(0, 6))
            )
            ring = radius_px * uneven[:, None] * np.stack([np.cos(bearings), np.sin(bearings)], axis=1)
            holes.append(np.array((x, y)) + rng.normal(0, 0.04, 2) * radius_px + ring)
    disc = outline_share(holes, picture_hw=hw, blur_px=drawing.blur_px)
    if rng.random() < 0.3:  # rust runs down
        length = max(int(rng.uniform(2, 12) * radius_px), 2)
        run = cv2.filter2D(disc, cv2.CV_32F, _downward(length)) * np.clip(0.6 + 0.5 * noise(rng, hw, 6), 0, 1)
        light += (rng.uniform(0.3, 0.8) * np.clip(run, 0, 1))[..., None] * (RUST - light)
    if plugged:
        shrunk = [hole + 0.12 * (hole.mean(axis=0) - hole) for hole in holes]
        inside = outline_share(shrunk, picture_hw=hw, blur_px=drawing.blur_px)
        light *= (1 - rng.uniform(0.1, 0.6) * (disc - inside) + rng.uniform(-0.2, 0.2) * inside)[..., None]
    else:
        light *= (1 - rng.uniform(0.35, 0.9) * disc)[..., None]
    light *= (1 + rng.uniform(0.1, 0.4) * emboss(disc, lamp))[..., None]
    return light, [], None


def strip(path_xy: Path2D, width_px: float, rng: np.random.Generator | None = None) -> Path2D:
    """Outline of a line of even width.

    Args:
        path_xy: Points of the middle line, shape (n, 2), in pixels.
        width_px: Full width in pixels.
        rng: Random generator; with one, the edges are worn a little.

    Returns:
        Outline, shape (2 n, 2), for `outline_share`.
    """
    return shape_along(path_xy, np.full(len(path_xy), width_px), rng, roughness=0.25).outline_xy


def across_picture(hw: tuple[int, int], place_xy: Float64Array, angle: float, *, sag: float = 0.0) -> Path2D:
    """Points of a line that crosses a picture.

    Args:
        hw: Height and width of the picture, in pixels.
        place_xy: A point on the line, shape (2,), in pixels.
        angle: Direction, an angle in radians from x towards y.
        sag: How far the line bends aside, as a share of half the picture's diagonal, over that length.

    Returns:
        Points, shape (n, 2), n at least 2, four pixels apart, from beyond one border to beyond the other.
    """
    reach = math.hypot(*hw) + 24
    at = np.arange(-reach, reach + _LINE_STEP_PX, _LINE_STEP_PX)
    down = sag * math.hypot(*hw) / 2 * (at / math.hypot(*hw) * 2) ** 2
    along, across = np.array((math.cos(angle), math.sin(angle))), np.array((-math.sin(angle), math.cos(angle)))
    path_xy = place_xy + at[:, None] * along + down[:, None] * across
    near = np.flatnonzero(np.all((path_xy > -40) & (path_xy < np.array(hw[::-1]) + 40), axis=1))
    return np.asarray(path_xy[max(near[0] - 1, 0) : near[-1] + 2] if len(near) else path_xy[:2])


def upright_or_level(rng: np.random.Generator) -> float:
    """Draw a direction near one of the axes, an angle in radians."""
    return float(rng.integers(2) * np.pi / 2 + rng.normal(0, 0.04))


def _grooves(
    light: Float32Array,
    paths_xy: list[Path2D],
    width_px: float,
    look: Float64Array,
    blur_px: float,
    rng: np.random.Generator,
    *,
    strength: Float32Array | float = 1.0,
) -> None:
    """Draw parallel lines of even width into the light, in place; `look` holds darkness, light on the edges, lamp."""
    hw = (light.shape[0], light.shape[1])
    if not paths_xy:
        return
    share = outline_share([strip(path_xy, width_px, rng) for path_xy in paths_xy], picture_hw=hw, blur_px=blur_px)
    wear = np.clip(1 + 0.25 * noise(rng, hw, 30), 0.3, 1.3) * strength
    light *= (1 - np.clip(look[0] * wear, -0.6, 0.95) * share)[..., None]
    # One edge is lit and the other lies in shade, across the line.
    along = paths_xy[0][-1] - paths_xy[0][0]
    lamp = math.atan2(along[0], -along[1]) + (np.pi if look[2] > 0 else 0)
    light *= (1 + look[1] * strength * emboss(share, lamp))[..., None]


def _line_look(rng: np.random.Generator) -> Float64Array:
    """Draw darkness (a fin is lighter than the concrete), light on the edges, and the side of the lamp."""
    fin = rng.random() < 0.25
    darkness = -rng.uniform(0.02, 0.3) if fin else rng.uniform(0.05, 0.85)
    return np.array((darkness, rng.uniform(0.1, 0.5) if fin else rng.uniform(0, 0.4), rng.choice((-1.0, 1.0))))


def _crosses(path_xy: Path2D, hw: tuple[int, int]) -> bool:
    return bool(np.any(np.all((path_xy > -0.5) & (path_xy < np.array(hw[::-1]) - 0.5), axis=1)))


def _one_side(hw: tuple[int, int], place_xy: Float64Array, angle: float) -> Float32Array:
    """1 on one side of a line, 0 on the other, with a sharp edge of a pixel."""
    ys, xs = np.arange(hw[0])[:, None] - place_xy[1], np.arange(hw[1]) - place_xy[0]
    return np.asarray(np.clip(ys * math.cos(angle) - xs * math.sin(angle) + 0.5, 0, 1), np.float32)


def _downward(length: int) -> Float32Array:
    """Kernel that draws a shape out downwards and lets it fade."""
    kernel = np.zeros((2 * length + 1, 1), np.float32)
    kernel[:length, 0] = np.linspace(0, 1, length) / max(length / 3, 1)
    return kernel
