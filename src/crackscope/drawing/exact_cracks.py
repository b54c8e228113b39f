"""Cracks drawn on any picture of uncracked concrete, with the exact truth of their lines, widths and contrasts.

The opening of a crack is dark inside and nowhere else; the camera then blurs it. Its darkness is multiplied onto the
light of the concrete, so that texture and shadows remain. Across a straight crack, the missing light adds up to its
width times its contrast, however much the picture is blurred. A crack of a quarter of a pixel thus darkens a pixel by a
quarter of its contrast. Some kinds of cracks change their surroundings too, as flakes, lime and damp do. There the sum
across the line is not the crack's alone; the truth still tells the opening.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array
from crackscope.drawing.blurred_outlines import outline_share
from crackscope.drawing.clutter import cover_of
from crackscope.drawing.concrete import noise
from crackscope.drawing.crack_paths import CrackShape, fork_from, new_shape, split_at, strand_beside
from crackscope.drawing.crack_surroundings import LUMA, Surroundings, break_flakes, dampen, emboss, encrust, fill_colour
from crackscope.drawing.exact_drawings import (
    CrackLine,
    ExactDrawing,
    hidden_behind,
    rounded,
    values_at,
    visibilities_at,
)
from crackscope.errors import DataError

__all__ = ["CRACK_KINDS", "EVEN", "CrackLook", "with_crack", "with_shapes"]

CRACK_KINDS = ("plain", "branching", "spalled", "filled", "interrupted", "shadowed", "wet")
"""Kinds of cracks. `filled` is lighter than the concrete: lime has come out of it, or it was sealed."""

LARGEST_PX = 100.0


@dataclass(frozen=True)
class CrackLook:
    """How the opening of a crack looks.

    Attributes:
        contrast: Share of the concrete's light that is missing inside the opening, above 0, at most 1.
        tint_rgb: Factor of the contrast in red, green and blue; their grey is 1, so that the grey picture has the
            contrast.
        unevenness: How far the contrast varies along and inside the crack, as by dust, in [0, 0.5].
        rim: Light on the edge that faces the lamp, and shade on the other, as a share of the concrete's light, in [0,
            0.5]. It adds as much as it takes away.
        lit_wall: Share of the contrast that light takes away on one side of a wide opening, in [0, 0.6].
        light: Direction of the light, an angle in radians.
    """

    contrast: float
    tint_rgb: tuple[float, float, float] = (1.0, 1.0, 1.0)
    unevenness: float = 0.0
    rim: float = 0.0
    lit_wall: float = 0.0
    light: float = 0.0


EVEN = CrackLook(0.7)
"""Evenly dark inside, without light on the edges, for measurements."""


def with_crack(
    drawing: ExactDrawing,
    rng: np.random.Generator,
    *,
    kind: str | None = None,
    widths_px: tuple[float, float] = (0.25, 40.0),
    contrast: float | None = None,
) -> ExactDrawing:
    """Draw one crack at random, with its branches, on a drawing.

    Args:
        drawing: The drawing so far, such as `bare` concrete.
        rng: Random generator that decides line, width and look.
        kind: One of the `CRACK_KINDS`; if left out, it is chosen at random, `plain` most often.
        widths_px: Smallest and largest typical width in pixels, above 0 to 100; even in log width between. Along its
            path a crack is up to about twice as wide in places; branches and ends are narrower.
        contrast: Share of the light that is missing inside the opening, above 0 to 1; if left out, it is chosen at
            random. A filled crack has its own.

    Returns:
        A new drawing, with the crack's truth added.

    Raises:
        DataError: If the kind is unknown or a number is outside its range.

    Example:
        >>> from crackscope.drawing.exact_drawings import bare
        >>> wall = bare(np.full((64, 64, 3), 150, np.uint8), blur_px=0.7)
        >>> drawn = with_crack(wall, np.random.default_rng(1), kind="plain", widths_px=(2, 2))
        >>> len(drawn.cracks), bool(drawn.crack_cells(4).any())
        (1, True)
    """
    if kind is not None and kind not in CRACK_KINDS:
        raise DataError(f"kind is {kind!r}; it must be one of {', '.join(CRACK_KINDS)}.")
    if not 0 < widths_px[0] <= widths_px[1] <= LARGEST_PX:
        raise DataError(f"widths_px is {widths_px}; give (low, high), 0 < low <= high <= {LARGEST_PX:g}.")
    if contrast is not None and not 0 < contrast <= 1:
        raise DataError(f"contrast is {contrast}; it must be above 0, at most 1.")
    kind = kind or CRACK_KINDS[int(rng.choice(len(CRACK_KINDS), p=(0.34, 0.2, 0.12, 0.08, 0.1, 0.08, 0.08)))]
    width_px = float(np.exp(rng.uniform(*np.log(widths_px))))
    sealed = kind == "filled" and rng.random() < 0.35
    roughness = rng.uniform(0.1, 0.3) if sealed else rng.uniform(0.5, 1.2)
    trunk = new_shape(rng, drawing.picture_hw, width_px, roughness=roughness)
    shapes, gaps = [trunk], list[Float64Array]()
    if kind == "interrupted":
        shapes, gaps = split_at(trunk, _gaps(rng, len(trunk.path_xy)))
    if kind == "branching" or (kind != "interrupted" and rng.random() < 0.12):
        shapes += _branches(rng, trunk, drawing.picture_hw, roughness)
    look = _random_look(rng, width_px)
    if contrast is not None:
        look = replace(look, contrast=contrast)
    if kind == "filled" and (sealed or rng.random() < 0.5):
        return _filled(drawing, shapes, rng, sealed=sealed)
    if kind == "shadowed":
        drawing = _shaded(drawing, *cover_of("shadow", rng, drawing.picture_hw), rng)
    surroundings = {"spalled": break_flakes, "wet": dampen, "filled": encrust}.get(kind)
    return with_shapes(drawing, shapes, look, rng, kind=kind, gaps=gaps, surroundings=surroundings)


def with_shapes(
    drawing: ExactDrawing,
    shapes: Sequence[CrackShape],
    look: CrackLook,
    rng: np.random.Generator,
    *,
    kind: str = "plain",
    gaps: Sequence[Float64Array] = (),
    surroundings: Surroundings | None = None,
) -> ExactDrawing:
    """Draw one crack of given shapes and look on a drawing.

    Args:
        drawing: The drawing so far.
        shapes: Shape of the crack and of its branches; see `shape_along` for a shape along a given line.
        look: Contrast and other looks; `EVEN` for measurements.
        rng: Random generator of unevenness, and of rounding to grey levels.
        kind: Name of the kind, for the truth.
        gaps: Middle lines of its gaps, each of shape (m, 2), in pixels.
        surroundings: Function that changes the concrete beside the crack first.

    Returns:
        A new drawing, with the crack's truth added.
    """
    light = drawing.pixels.astype(np.float32)
    outlines = [shape.outline_xy for shape in shapes]
    opening = outline_share(outlines, picture_hw=drawing.picture_hw)
    seen = outline_share(outlines, picture_hw=drawing.picture_hw, blur_px=drawing.blur_px)
    if surroundings is not None:
        surroundings(light, opening, shapes, drawing.blur_px, rng)
    missing, depth = seen.copy(), np.ones_like(seen)
    if look.unevenness > 0:
        dust = noise(rng, drawing.picture_hw, float(rng.uniform(12, 50))) + 0.8 * noise(rng, drawing.picture_hw, 4.0)
        depth = np.clip(1 + look.unevenness * dust, 0.2, min(1.5, 1 / look.contrast)).astype(np.float32)
        missing *= depth
    if look.lit_wall > 0:
        missing -= look.lit_wall * _lit_side(seen, shapes, look.light)
    if look.rim > 0:
        light *= (1 + look.rim * emboss(seen, look.light))[..., None]
    ground = light @ LUMA
    missing *= 1 - drawing.front
    for channel, tint in enumerate(look.tint_rgb):
        light[..., channel] *= 1 - np.float32(look.contrast * tint) * missing
    lines = _lines(shapes, look.contrast * depth, kind, drawing, (ground, light @ LUMA))
    return _finished(drawing, light, opening, lines, gaps, rng)


def _filled(
    drawing: ExactDrawing, shapes: Sequence[CrackShape], rng: np.random.Generator, *, sealed: bool
) -> ExactDrawing:
    """Draw a crack that is filled with something lighter than the concrete: lime, or a sealant."""
    light = drawing.pixels.astype(np.float32)
    outlines = [shape.outline_xy for shape in shapes]
    opening = outline_share(outlines, picture_hw=drawing.picture_hw)
    seen = outline_share(outlines, picture_hw=drawing.picture_hw, blur_px=drawing.blur_px)
    grey = cv2.GaussianBlur(light @ LUMA, (0, 0), 4)
    colour = fill_colour(light, rng, sealed=sealed)
    if not sealed:
        encrust(light, opening, shapes, drawing.blur_px, rng)
    strength = rng.uniform(0.75, 0.97) if sealed else rng.uniform(0.4, 0.95)
    ground = light @ LUMA
    alpha = strength * seen * (1 - drawing.front)
    light += alpha[..., None] * (colour - light)
    contrast_at = -strength * (colour @ LUMA - grey) / np.maximum(grey, 1)
    lines = _lines(shapes, np.asarray(contrast_at, np.float32), "filled", drawing, (ground, light @ LUMA))
    return _finished(drawing, light, opening, lines, [], rng)


def _shaded(
    drawing: ExactDrawing, cover: Float32Array, colour: tuple[float, float, float], rng: np.random.Generator
) -> ExactDrawing:
    """Lay a shadow over the concrete before the crack is drawn."""
    light = drawing.pixels.astype(np.float32)
    light += cover[..., None] * (np.array(colour, np.float32) - light)
    return replace(drawing, pixels=rounded(light, rng))


def _finished(
    drawing: ExactDrawing,
    light: Float32Array,
    opening: Float32Array,
    lines: list[CrackLine],
    gaps: Sequence[Float64Array],
    rng: np.random.Generator,
) -> ExactDrawing:
    """Put light and truth together; what lies behind a cable is a gap."""
    lines, hidden = hidden_behind(lines, drawing.front) if drawing.front.any() else (lines, [])
    return replace(
        drawing,
        pixels=rounded(light, rng),
        cracks=(*drawing.cracks, *lines),
        gaps=(*drawing.gaps, *gaps, *hidden),
        coverage=np.maximum(drawing.coverage, opening * (1 - drawing.front)),
    )


def _lines(
    shapes: Sequence[CrackShape],
    contrast_at: Float32Array,
    kind: str,
    drawing: ExactDrawing,
    before_after: tuple[Float32Array, Float32Array],
) -> list[CrackLine]:
    """Tell the truth of shapes; the contrast is looked up at each point."""
    number = 1 + max((crack.number for crack in drawing.cracks), default=-1)
    path_xy = np.concatenate([shape.path_xy for shape in shapes]) if shapes else np.zeros((0, 2))
    visible = visibilities_at(*before_after, path_xy) if shapes else np.zeros(0)
    ends = np.cumsum([len(shape.path_xy) for shape in shapes])[:-1]
    return [
        CrackLine(shape.path_xy, shape.widths_px, values_at(contrast_at, shape.path_xy), own, kind, number)
        for shape, own in zip(shapes, np.split(visible, ends), strict=True)
    ]


def _random_look(rng: np.random.Generator, width_px: float) -> CrackLook:
    """Draw how dark the opening is: a wide crack is mostly deep and dark; one in seven is full of dust."""
    low, high = (0.4, 0.93) if width_px < 4 else (0.6, 0.93)
    if rng.random() < 0.15:
        low, high = (0.25, 0.6) if width_px < 4 else (0.45, 0.7)
    tint = 1 + rng.uniform(-0.06, 0.04) * np.array((1.0, 0.3, -1.2)) + rng.normal(0, 0.015, 3)
    tint /= tint @ LUMA
    return CrackLook(
        contrast=float(rng.uniform(low, high)),
        tint_rgb=(float(tint[0]), float(tint[1]), float(tint[2])),
        unevenness=float(rng.uniform(0.05, 0.35 if width_px < 3 else 0.15)),
        rim=float(rng.uniform(0, 0.3) * (rng.random() < 0.6)),
        lit_wall=float(rng.uniform(0, 0.5) * (width_px > 4)),
        light=float(rng.uniform(0, 2 * np.pi)),
    )


def _lit_side(seen: Float32Array, shapes: Sequence[CrackShape], light: float) -> Float32Array:
    """Share of each pixel that lies in the opening, and is lit because its far side is near."""
    into_px = min(0.3 * float(np.median(shapes[0].widths_px)), 6.0) if len(shapes) else 1.0
    move = np.array([[1, 0, into_px * np.cos(light)], [0, 1, into_px * np.sin(light)]])
    moved = cv2.GaussianBlur(cv2.warpAffine(seen, move, seen.shape[::-1]), (0, 0), max(into_px / 2, 0.6))
    return np.asarray(np.maximum(seen - moved, 0) * seen, np.float32)


def _gaps(rng: np.random.Generator, n_points: int) -> BoolArray:
    """Draw where a crack is interrupted: one to five gaps of 3 to 25 pixels."""
    closed = np.zeros(n_points, np.bool_)
    for _ in range(int(rng.integers(1, 6))):
        begin, n_long = int(rng.integers(0, max(n_points, 1))), int(rng.integers(3, 26))
        closed[begin : begin + n_long] = True
    return closed


def _branches(
    rng: np.random.Generator, trunk: CrackShape, picture_hw: tuple[int, int], roughness: float
) -> list[CrackShape]:
    """Draw one to four branches and strands of a crack, and branches of branches."""
    branches: list[CrackShape] = []
    for _ in range(int(rng.choice((1, 2, 3, 4), p=(0.45, 0.3, 0.15, 0.1)))):
        parent = branches[-1] if branches and rng.random() < 0.2 else trunk
        draw = strand_beside if rng.random() < 0.25 else fork_from
        branch = draw(rng, parent, picture_hw, roughness=roughness)
        if branch is not None:
            branches.append(branch)
    return branches
