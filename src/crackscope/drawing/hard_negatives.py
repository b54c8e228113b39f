"""Hard negatives: things on concrete that look like cracks and are none, drawn with the truth of their lines.

Form joints and planking are straight and of even width. Cables and wires hang in front of the wall and throw a shadow.
Tie holes, rust, edges of shadows, lettering, graffiti and strokes of a pen complete the list. Walls of brick, wood and
grass cannot be drawn well enough to learn from; a training takes real pictures of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from crackscope.drawing.blurred_outlines import outline_share
from crackscope.drawing.clutter import cover_of
from crackscope.drawing.concrete import noise
from crackscope.drawing.drawn_lines import mark_over
from crackscope.drawing.exact_drawings import ExactDrawing, OtherLine, hidden_behind, rounded
from crackscope.drawing.form_marks import (
    RUST,
    Drawn,
    across_picture,
    draw_joints,
    draw_planking,
    draw_tie_holes,
    strip,
    upright_or_level,
)
from crackscope.errors import DataError

__all__ = ["NEGATIVE_KINDS", "with_negative"]

_CABLES = ((28, 28, 30), (52, 54, 58), (120, 122, 122), (188, 188, 184), (92, 70, 52), (150, 60, 44))
_INKS = ((30, 30, 34), (40, 56, 140), (170, 40, 44), (60, 60, 62), (232, 230, 222), (230, 120, 30), (200, 40, 120))


def with_negative(drawing: ExactDrawing, rng: np.random.Generator, *, kind: str | None = None) -> ExactDrawing:
    """Draw one thing that is no crack on a drawing.

    Draw such things first and cracks later, so that cracks run through joints and paint, and behind cables and wires.

    Args:
        drawing: The drawing so far, such as `bare` concrete.
        rng: Random generator that decides place, size and look.
        kind: One of the `NEGATIVE_KINDS`; if left out, it is chosen at random, joints and planking most often.

    Returns:
        A new drawing. Joints, planks, cables and wires are added to its `others`.

    Raises:
        DataError: If the kind is unknown.

    Example:
        >>> from crackscope.drawing.exact_drawings import bare
        >>> wall = bare(np.full((64, 64, 3), 150, np.uint8))
        >>> drawn = with_negative(wall, np.random.default_rng(1), kind="joint")
        >>> drawn.others[0].kind, len(drawn.cracks)
        ('joint', 0)
    """
    if kind is not None and kind not in NEGATIVE_KINDS:
        raise DataError(f"kind is {kind!r}; it must be one of {', '.join(NEGATIVE_KINDS)}.")
    kind = kind or str(rng.choice(NEGATIVE_KINDS, p=_CHANCES))
    light, lines, front = _DRAWN_BY[kind](drawing, rng)
    drawing = replace(drawing, pixels=rounded(light, rng), others=(*drawing.others, *lines))
    if front is None:
        return drawing
    seen, hidden = hidden_behind(drawing.cracks, front)
    return replace(
        drawing,
        cracks=tuple(seen),
        gaps=(*drawing.gaps, *hidden),
        coverage=drawing.coverage * (1 - front),
        front=np.maximum(drawing.front, front),
    )


def _cable(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    return _hung(drawing, rng, "cable", float(np.exp(rng.uniform(np.log(5), np.log(26)))), n_lines=1)


def _wire(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    width_px = float(np.exp(rng.uniform(np.log(0.8), np.log(4))))
    return _hung(drawing, rng, "wire", width_px, n_lines=int(rng.choice((1, 2, 3), p=(0.6, 0.25, 0.15))))


def _hung(drawing: ExactDrawing, rng: np.random.Generator, kind: str, width_px: float, *, n_lines: int) -> Drawn:
    """Hang round lines in front of the wall: lit on one side, with a shadow that is softer the farther it falls."""
    hw, blur_px = drawing.picture_hw, drawing.blur_px
    light, lines = drawing.pixels.astype(np.float32), list[OtherLine]()
    angle = upright_or_level(rng) if rng.random() < 0.5 else float(rng.uniform(0, np.pi))
    across = np.array((-math.sin(angle), math.cos(angle)))
    place_xy, sag = rng.uniform(0.15, 0.85, 2) * hw[::-1], rng.normal(0, 0.12)
    colour = np.array(_CABLES[int(rng.integers(len(_CABLES)))], np.float32) * (light.mean() / np.float32(170))
    far_px, lamp = float(rng.uniform(0, 4) * width_px + rng.uniform(1, 8)), rng.uniform(0, 2 * np.pi)
    fall = far_px * np.array((math.cos(lamp), math.sin(lamp)))
    dark = rng.uniform(0.2, 0.6) * (rng.random() < 0.7)
    front = np.zeros(hw, np.float32)
    for number in range(n_lines):
        aside = number * (2.5 * width_px + rng.uniform(1, 8)) * across
        path_xy = across_picture(hw, place_xy + aside, angle + number * rng.normal(0, 0.02), sag=sag)
        shadow_blur_px = math.hypot(blur_px, 0.15 * far_px)
        shadow = outline_share([strip(path_xy + fall, width_px)], picture_hw=hw, blur_px=shadow_blur_px)
        light *= (1 - dark * shadow)[..., None]
        share = outline_share([strip(path_xy, width_px)], picture_hw=hw, blur_px=blur_px)
        light += share[..., None] * (0.75 * colour - light)
        # Two brighter strips inside, one within the other, make it look round.
        for shift, wide, gain in ((-0.15, 0.45, 0.25), (-0.2, 0.15, 0.35)):
            inner = strip(path_xy + shift * width_px * across, wide * width_px)
            light += gain * outline_share([inner], picture_hw=hw, blur_px=blur_px)[..., None] * colour
        front = np.maximum(front, share)
        lines.append(OtherLine(path_xy, width_px, kind))
    return light, lines, front


def _rust(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    """Draw rust that has run down from a few places on one level, narrow streaks that fade."""
    hw = drawing.picture_hw
    light = drawing.pixels.astype(np.float32)
    streak_px = float(np.exp(rng.uniform(np.log(2), np.log(14))))
    streaks = noise(rng, hw[::-1], streak_px, stretch=float(rng.uniform(12, 40))).T
    begins = float(rng.uniform(-0.3, 0.6)) * hw[0] + 12 * noise(rng, (1, hw[1]), 2 * streak_px)
    below = np.arange(hw[0], dtype=np.float32)[:, None] - begins
    fade = np.where(below > 0, np.exp(-below / np.float32(rng.uniform(0.2, 1.2) * hw[0])), 0)
    grain = np.clip(0.8 + 0.35 * noise(rng, hw, 3), 0, 1.2)
    cover = np.clip(streaks - rng.uniform(0.2, 1.2), 0, 1) * fade * grain
    cover = cv2.GaussianBlur(cover.astype(np.float32), (0, 0), float(rng.uniform(0.6, 2)))
    colour = RUST * np.float32(rng.uniform(0.6, 1.15)) * (light.mean() / np.float32(165))
    light += (rng.uniform(0.4, 1.0) * np.clip(cover, 0, 1))[..., None] * (colour - light)
    return light, [], None


def _graffiti(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    """Draw strokes of paint, or a scrawl in one line of a marker or a spray can."""
    if rng.random() < 0.4:
        return _cover("paint")(drawing, rng)
    hw = drawing.picture_hw
    light = drawing.pixels.astype(np.float32)
    n_points, step_px = int(rng.uniform(0.6, 3) * max(hw) / 2), 2.0
    curl = rng.uniform(0.02, 0.12) * noise(rng, (1, n_points), float(rng.uniform(6, 20)))[0].astype(np.float64)
    headings = rng.uniform(0, 2 * np.pi) + np.cumsum(step_px * curl)
    path_xy = rng.uniform(0.2, 0.8, 2) * hw[::-1] + step_px * np.cumsum(
        np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0
    )
    width_px = float(np.exp(rng.uniform(np.log(1.2), np.log(12))))
    spray_px = rng.uniform(0.15, 0.5) * width_px if rng.random() < 0.5 else 0.0
    share = outline_share([strip(path_xy, width_px)], picture_hw=hw, blur_px=math.hypot(drawing.blur_px, spray_px))
    share *= rng.uniform(0.4, 0.95) * np.clip(0.95 + 0.15 * noise(rng, hw, 2.5), 0, 1)
    ink = np.array(_INKS[int(rng.integers(len(_INKS)))], np.float32)
    light += share[..., None] * (ink * (light.mean() / np.float32(180)) - light)
    return light, [OtherLine(path_xy, width_px, "graffiti")], None


def _stroke(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
    return mark_over(drawing.pixels, rng).astype(np.float32), [], None


def _cover(clutter_kind: str) -> Callable[[ExactDrawing, np.random.Generator], Drawn]:
    """Draw one kind of clutter; see `cover_of`."""

    def draw(drawing: ExactDrawing, rng: np.random.Generator) -> Drawn:
        light = drawing.pixels.astype(np.float32)
        cover, colour = cover_of(clutter_kind, rng, drawing.picture_hw)
        light += cover[..., None] * (np.array(colour, np.float32) - light)
        return light, [], None

    return draw


_DRAWN_BY: dict[str, Callable[[ExactDrawing, np.random.Generator], Drawn]] = {
    "joint": draw_joints,
    "planking": draw_planking,
    "tie_holes": draw_tie_holes,
    "cable": _cable,
    "wire": _wire,
    "rust": _rust,
    "shadow": _cover("shadow"),
    "lettering": _cover("writing"),
    "graffiti": _graffiti,
    "stroke": _stroke,
}
_CHANCES = (0.26, 0.22, 0.06, 0.06, 0.1, 0.06, 0.08, 0.05, 0.05, 0.06)

NEGATIVE_KINDS = tuple(_DRAWN_BY)
"""Kinds of hard negatives."""
