"""Predictions: what a model says of an image, and what counts as a patch.

The card decides what a patch is: its longer side is at most twice the longest training patch (``source_px``) and at
most 1.5 times its shorter side. Anything else is a photo, which is scanned, never squashed.

A model with a gate (`crackscope.model.gate`) labels an image ``rejected`` that shows no concrete or is too blurred. The
probability is given all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from crackscope.errors import ImageError
from crackscope.model.card import Card
from crackscope.model.preprocessing import MAX_ASPECT, MIN_PX

__all__ = ["Prediction", "PredictionRow", "require_large_enough", "require_patch_size", "unit_of"]

_MAX_PATCH = 2.0  # times source_px


@dataclass(frozen=True)
class Prediction:
    """Answer of a model for one patch.

    Attributes:
        label: ``crack``, ``uncracked``, ``unsure`` or ``rejected``.
        crack_probability: Calibrated probability of crack, in [0, 1].
        threshold: Probability from which the label is ``crack``.
        reason: Reason why the patch is rejected, ``not concrete`` or ``blurred``; None if it is not.
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
            footprint inside it. None if there is an `error`.
        threshold: Probability from which the label is ``crack``; None if there is an `error`.
        reason: Reason why the image is rejected, ``not concrete`` or ``blurred``; None if it is not.
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
    return "patch" if long <= _MAX_PATCH * card.source_px and long <= MAX_ASPECT * short else "photo"


def require_large_enough(source_hw: tuple[int, int]) -> None:
    """Refuse an image that is too small to show anything; source_hw is (height, width) in pixels.

    Raises:
        ImageError: If a side is shorter than `crackscope.model.preprocessing.MIN_PX`.
    """
    if min(source_hw) < MIN_PX:
        raise ImageError(
            f"{source_hw[1]}×{source_hw[0]} px is too small to show anything (at least {MIN_PX} px a side)"
        )


def require_patch_size(source_hw: tuple[int, int], card: Card) -> None:
    """Refuse an image that is no patch; source_hw is (height, width) in pixels.

    Raises:
        ImageError: If the image is too small to show anything, or a photo.
    """
    require_large_enough(source_hw)
    if unit_of(source_hw, card) == "photo":
        raise ImageError(
            f"{source_hw[1]}×{source_hw[0]} px is a photo, not a patch (at most {_MAX_PATCH * card.source_px:.0f} px a "
            f"side, one side at most {MAX_ASPECT} times the other); scan it, or cut it into patches"
        )
