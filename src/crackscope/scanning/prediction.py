"""Predictions: what a model says of an image, and what counts as a patch.

The card decides what a patch is: its longer side is at most 1.2 times the longest training patch (``source_px``) and at
most 1.5 times its shorter side. Anything else is a photo, which is scanned, never squashed. Whoever knows better says
so: ``patch`` or ``photo`` instead of ``auto``.

An image whose longer side is below 0.4 times ``source_px`` shows too little: it is ``rejected`` as too small to judge.
A model with a gate (`crackscope.model.gate`) also labels an image ``rejected`` that shows no concrete or is too
blurred. The probability is given all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from crackscope.errors import DataError, ImageError, did_you_mean
from crackscope.model.card import TOO_SMALL, Card
from crackscope.model.preprocessing import MAX_ASPECT, MIN_PX

__all__ = [
    "MAX_PATCH",
    "MIN_JUDGED",
    "Prediction",
    "PredictionRow",
    "Unit",
    "require_large_enough",
    "require_patch_size",
    "require_unit",
    "size_reason",
    "unit_of",
]

Unit: TypeAlias = Literal["auto", "patch", "photo"]
"""What images are taken for: patches, photos, or what their size says."""

MAX_PATCH, MIN_JUDGED = 1.2, 0.4
"""Longer side of an image in multiples of ``source_px``: up to the first it is a patch, below the second too small."""


@dataclass(frozen=True)
class Prediction:
    """Answer of a model for one patch.

    Attributes:
        label: ``crack``, ``uncracked``, ``unsure`` or ``rejected``.
        crack_probability: Calibrated probability of crack, in [0, 1].
        threshold: Probability from which the label is ``crack``.
        reason: Reason why the patch is rejected, ``not concrete``, ``blurred`` or ``too small to judge``; None if it is
            not.
    """

    label: str
    crack_probability: float
    threshold: float
    reason: str | None = None


@dataclass(frozen=True)
class PredictionRow:
    """Answer of a model for one image among many, or the reason why the image cannot be read.

    Attributes:
        path: Path of the image; for an image without a path, ``#`` and its number in the source, from 0.
        unit: ``patch`` or ``photo``; None if the image could not be read.
        label: ``crack``, ``uncracked``, ``unsure`` or ``rejected``; for a photo, its verdict. None if there is an
            `error`.
        crack_probability: Calibrated probability of crack, in [0, 1]; for a photo, the greatest probability of any
            footprint inside it that the gate lets pass. None if there is an `error`.
        threshold: Probability from which the label is ``crack``; None if there is an `error`.
        reason: Reason why the image is rejected, ``not concrete``, ``blurred`` or ``too small to judge``; None if it is
            not.
        model: Name of the model.
        error: Reason why the image could not be read or judged; None if it was judged.
        page: Page or frame that was judged of a file with several, such as ``1 of 3``; None for a file with one.
    """

    path: str
    unit: str | None
    label: str | None
    crack_probability: float | None
    threshold: float | None
    reason: str | None
    model: str
    error: str | None = None
    page: str | None = None


def unit_of(source_hw: tuple[int, int], card: Card) -> str:
    """Tell ``patch`` from ``photo`` by the rule at the top of this module; source_hw is (height, width) in pixels."""
    short, long = sorted(source_hw)
    return "patch" if long <= MAX_PATCH * card.source_px and long <= MAX_ASPECT * short else "photo"


def require_unit(unit: str) -> None:
    """Refuse a word that says neither ``auto``, ``patch`` nor ``photo``.

    Raises:
        DataError: If it is another word.
    """
    if unit not in (known := get_args(Unit)):
        raise DataError(
            f"images cannot be taken as {unit!r}; choose {', '.join(known)}.{did_you_mean(str(unit), known)}"
        )


def size_reason(source_hw: tuple[int, int], card: Card) -> str | None:
    """Say that an image is too small to judge, if it is; source_hw is (height, width) in pixels."""
    return TOO_SMALL if max(source_hw) < MIN_JUDGED * card.source_px else None


def require_large_enough(source_hw: tuple[int, int]) -> None:
    """Refuse an image that is too small to show anything; source_hw is (height, width) in pixels.

    Raises:
        ImageError: If a side is shorter than `crackscope.model.preprocessing.MIN_PX`.
    """
    if min(source_hw) < MIN_PX:
        raise ImageError(
            f"{source_hw[1]}×{source_hw[0]} px is too small to show anything (at least {MIN_PX} px a side)"
        )


def require_patch_size(source_hw: tuple[int, int], card: Card, unit: Unit = "auto") -> None:
    """Refuse an image that is no patch; source_hw is (height, width) in pixels.

    Args:
        source_hw: Height and width of the image, in pixels.
        card: Card of the model.
        unit: What the image is taken for; as ``patch``, it may be larger than the model's patches.

    Raises:
        ImageError: If the image is too small to show anything, or a photo.
    """
    require_large_enough(source_hw)
    if unit == "photo" or (unit == "auto" and unit_of(source_hw, card) == "photo"):
        raise ImageError(
            f"{source_hw[1]}×{source_hw[0]} px is a photo, not a patch (at most {MAX_PATCH * card.source_px:.0f} px a "
            f"side, one side at most {MAX_ASPECT} times the other); scan it, cut it into patches, or take it as a "
            "patch all the same (--as patch)"
        )
