"""Image quality without a model: light, contrast, sharpness, and the form of a file.

Sharpness and evenness are those of `crackscope.model.focus`.

Each fault has a limit. Sharpness and darkness are also compared with the other images of the set. So if a whole set is
soft or dark, not all its images are called faulty. The limits were set on METU and SDNET2018, where few patches are
faulty, and on the same patches blurred on purpose (`crackscope.drawing.corruptions`).
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
"""Sharpness below which an image may be blurred. The least in METU is 0.295; a Gaussian of 2 px leaves 0.25 to 0.28."""

SHARP_ONE_WAY, EVEN = 0.33, 0.7
"""Sharpness and evenness; an image below both may be blurred by movement. That holds for 1 in 6,000 patches as
they are, and for 91 to 100 % of patches blurred by a movement of 5.5 % of their side."""

DARK = 64.0
"""Level of the brightest pixels (95th percentile) below which an image may be dark: two stops below white."""

WHITE_SHARE = 0.2
"""Share of white pixels above which an image is overexposed; white pixels show nothing."""

UNLIKE = 2.5
"""Robust standard deviations (by the median absolute deviation) from which a value is unlike the rest.

Source: Leys et al. 2013, Detecting outliers, J. Exp. Soc. Psychol. 49."""

NUMBERS = ("brightest_level", "white_share", "contrast_levels", "sharpness", "evenness")
"""Names of the numbers that `quality_of` returns, in their order."""

_WHITE = 250  # level from which a pixel is white; a little below 255, since JPEG changes white pixels slightly
_RAMP = 0.25  # sharpness of a steady ramp, the least possible
_VERSION = "quality-1"


@dataclass(frozen=True, eq=False)
class Quality:
    """Numbers of every patch of an index, and the form of its file.

    Attributes:
        rows: Rows of `quality_kind`, shape (n, 5).
        forms: Form of each file, from `WatchedFiles`; None where it could not be read.
    """

    rows: Rows
    forms: tuple[ImageForm | None, ...]


@dataclass(frozen=True, eq=False)
class Faults:
    """Faults of images, at most one kind per image, and how strong they are.

    Attributes:
        blank: Distance of the contrast below its limit in grey levels, shape (n,); 0 for an image that is not blank.
        dark: Robust standard deviations below the rest, shape (n,); 0 for an image that is not dark.
        white: Share of white pixels, shape (n,); 0 for an image that is not overexposed.
        blurred: Robust standard deviations below the rest, shape (n,); 0 for an image that is not blurred.
    """

    blank: Float64Array
    dark: Float64Array
    white: Float64Array
    blurred: Float64Array


def quality_kind() -> RowKind:
    """Kind of row that holds the numbers of `quality_of` for each patch, with its cache."""
    return RowKind(RowCache(_VERSION, width=len(NUMBERS)), _quality_all)


class WatchedFiles:
    """Files whose form is noted when they are read.

    Attributes:
        forms: Forms by file name, for the files that were read so far and whose form is known.
    """

    def __init__(self, files: Files) -> None:
        self._files = files
        self.forms: dict[str, ImageForm] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all files."""
        return self._files.names

    def read(self, name: str) -> bytes:
        """Read a file, and note its form."""
        content = self._files.read(name)
        with suppress(ImageError):  # decoding the file raises the error later
            self.forms[name] = image_form(content)
        return content


def _quality_all(images: Sequence[UInt8Array]) -> Float32Array:
    return np.array([quality_of(pixels) for pixels in images], np.float32)


def quality_of(pixels: UInt8Array) -> tuple[float, float, float, float, float]:
    """Measure brightest level (95th percentile of grey), share of white pixels, contrast, sharpness and evenness.

    Args:
        pixels: Image, RGB, uint8, shape (H, W, 3). An image with a side below 8 px has sharpness and evenness 1.

    Returns:
        The five numbers, in the order of `NUMBERS`; level and contrast are in grey levels, 0 to 255.

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
    """Find images that are blank, dark, overexposed or blurred; the first fault that holds counts."""
    values = np.asarray(quality.rows.values, np.float64)
    readable = np.array([i not in quality.rows.refused for i in range(len(values))], np.bool_)
    brightest, white, contrast, sharpness, evenness = values.T
    blank = readable & (contrast < BLANK)
    seen = readable & ~blank
    below = _below_the_rest(brightest, seen)
    dark = seen & (brightest < DARK) & (below > UNLIKE)
    overexposed = seen & (white > WHITE_SHARE)
    # No sharpness lies below that of a ramp. Logarithms of the distance above it lie evenly around their median.
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
    """Number of robust standard deviations by which each value lies below the median of the judged values."""
    if not judged.any():
        return np.zeros(len(values))
    middle = np.median(values[judged])
    spread = 1.4826 * np.median(np.abs(values[judged] - middle))
    return np.asarray((middle - values) / max(float(spread), 1e-3), np.float64)
