"""Image quality without a model: light, contrast, sharpness, and the form of a file.

Sharpness and evenness are those of `crackscope.model.focus`.

A fault is judged by a limit. Sharpness and darkness are also judged against the other images of the set, so that a set
that is soft or dark as a whole is not found faulty wholesale. Limits were set by looking at METU and SDNET2018, where
few patches are faulty, and at the same patches blurred (`crackscope.drawing.corruptions`).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, Float64Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows
from crackscope.errors import ImageError
from crackscope.files.archives import Files
from crackscope.files.images import ImageForm, image_form
from crackscope.model.focus import BLANK, focus_of_grey, grey_of

__all__ = ["Faults", "Quality", "WatchedFiles", "find_faults", "quality_kind", "quality_of"]


SHARP = 0.295
"""Sharpness below which an image may be blurred. METU's least is .295; a Gaussian of 2 px leaves .25 to .28."""

SHARP_ONE_WAY, EVEN = 0.33, 0.7
"""Sharpness and evenness below both of which it may have moved: 1 in 6,000 patches is so without having been moved, and
91 to 100 % of those moved by 5.5 % of their side."""

DARK = 64.0
"""Level of the brightest pixels (95th percentile) below which an image may be dark: two stops below white."""

WHITE_SHARE = 0.2
"""Share of white pixels above which an image is overexposed; there, whatever was to see is gone."""

UNLIKE = 2.5
"""Robust standard deviations (by the median absolute deviation) from which a value is unlike the rest.

Source: Leys et al. 2013, Detecting outliers, J. Exp. Soc. Psychol. 49."""

NUMBERS = ("brightest_level", "white_share", "contrast_levels", "sharpness", "evenness")
"""What `quality_of` tells, in its order."""

_WHITE = 250  # of 255: a little below, since JPEG does not keep white white
_RAMP = 0.25
_VERSION = "quality-1"


@dataclass(frozen=True, eq=False)
class Quality:
    """Numbers of every patch of an index, and the form of its file.

    Attributes:
        rows: Values of shape (n, 5), of `quality_kind`.
        forms: Form of each file, from `WatchedFiles`; None where it could not be read.
    """

    rows: Rows
    forms: tuple[ImageForm | None, ...]


@dataclass(frozen=True, eq=False)
class Faults:
    """Which images are faulty, each of at most one kind, and how much.

    Attributes:
        blank: Shape (n,): how far below the limit the contrast is, in grey levels; 0 where it is not.
        dark: Robust z-scores below the rest; 0 where it is not dark.
        white: Share of white pixels; 0 where it is not overexposed.
        blurred: Robust z-scores below the rest; 0 where it is not blurred.
    """

    blank: Float64Array
    dark: Float64Array
    white: Float64Array
    blurred: Float64Array


def quality_kind() -> RowKind:
    """What `quality_of` tells of every patch, and its cache."""
    return RowKind(RowCache(_VERSION, width=len(NUMBERS)), _quality_all)


class WatchedFiles:
    """Files whose form is noted when they are read.

    Attributes:
        forms: By name, of those that were read so far and can be told.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.forms: dict[str, ImageForm] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return self._files.names

    def read(self, name: str) -> bytes:
        """Content of a file, its form noted."""
        content = self._files.read(name)
        with suppress(ImageError):  # decoding it says what is wrong
            self.forms[name] = image_form(content)
        return content


def _quality_all(images: Sequence[UInt8Array]) -> Float32Array:
    return np.array([quality_of(pixels) for pixels in images], np.float32)


def quality_of(pixels: UInt8Array) -> tuple[float, float, float, float, float]:
    """Brightest level (95th percentile of grey), share of white pixels, contrast in grey levels, sharpness, evenness.

    Args:
        pixels: RGB, uint8, shape (H, W, 3). An image of fewer than 8 px a side has sharpness and evenness 1.

    Example:
        >>> quality_of(np.full((32, 32, 3), 255, np.uint8))
        (255.0, 1.0, 0.0, 1.0, 1.0)
    """
    grey = grey_of(pixels)
    up_to = np.cumsum(cv2.calcHist([grey], [0], None, [256], [0, 256]).ravel()) / grey.size
    brightest = float(np.searchsorted(up_to, 0.95))
    white = float(1 - up_to[_WHITE - 1])
    return brightest, white, *focus_of_grey(grey)


def find_faults(quality: Quality) -> Faults:
    """What is blank, dark, overexposed or blurred; the first of these that holds."""
    values = np.asarray(quality.rows.values, np.float64)
    readable = np.array([i not in quality.rows.refused for i in range(len(values))], np.bool_)
    brightest, white, contrast, sharpness, evenness = values.T
    blank = readable & (contrast < BLANK)
    seen = readable & ~blank
    below = _below_the_rest(brightest, seen)
    dark = seen & (brightest < DARK) & (below > UNLIKE)
    overexposed = seen & (white > WHITE_SHARE)
    # Sharpness ends at that of a ramp: on a logarithm above it, a set's values lie evenly around their median.
    softer = _below_the_rest(np.log(np.maximum(sharpness - _RAMP, 1e-3)), seen)
    soft = (sharpness < SHARP) & (softer > UNLIKE)
    moved = (sharpness < SHARP_ONE_WAY) & (evenness < EVEN) & (softer > 1)
    blurred = seen & ~dark & ~overexposed & (soft | moved)
    return Faults(
        np.where(blank, BLANK - contrast, 0.0),
        np.where(dark, below, 0.0),
        np.where(overexposed, white, 0.0),
        np.where(blurred, softer, 0.0),
    )


def _below_the_rest(values: Float64Array, judged: BoolArray) -> Float64Array:
    """By how many robust standard deviations each value lies below the median of those that are judged."""
    if not judged.any():
        return np.zeros(len(values))
    middle = np.median(values[judged])
    spread = 1.4826 * np.median(np.abs(values[judged] - middle))
    return np.asarray((middle - values) / max(float(spread), 1e-3), np.float64)
