"""The gate: what shows no concrete, or is too blurred to be judged, is ``rejected``, with the reason.

*Novelty* tells what training never saw. Features of training patches lie near a plane of few dimensions; those of
foreign pictures lie beside it. Of the measures tried on the first default bundle (Mahalanobis' distance, nearest
neighbours, angles), the distance to the plane rejects the most landscapes and the fewest patches of concrete from
elsewhere.

*Clarity* tells blur, from the pixels alone: sharpness times the root of evenness (`crackscope.model.focus`), at the
scale at which the network sees a training patch. At its own scale, a camera's picture is soft however good it is; and
of what somebody shrunk before, nobody knows how sharp it was, so it is not judged for blur.

A photo is judged by a sample: at most 24 crops on a regular grid, each as large as a training patch and at its scale.
Where more than half of them are blurred, or four fifths rejected, so is the photo, for the more frequent reason.

Limits are set on cracked validation patches, for what must not happen is that a crack is sent away.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.model.card import BLURRED, Card, Gate
from crackscope.model.focus import focus_of
from crackscope.model.graphs import Plane
from crackscope.model.preprocessing import resize_patch, resize_photo

__all__ = [
    "BLURRED_CROPS",
    "BLURRED_SHARE",
    "LEAST_CRACKED",
    "MAX_CROPS",
    "NOT_CONCRETE_SHARE",
    "RANK",
    "REJECTED_CROPS",
    "clarity",
    "fit_gate",
    "fit_plane",
    "gate_crops",
    "patch_clarity",
    "photo_reason",
]


NOT_CONCRETE_SHARE, BLURRED_SHARE = 0.002, 0.003
"""Shares of cracked patches like those of the validation part that may be rejected, for either reason."""

LEAST_CRACKED = 200
"""Cracked validation patches below which no limit can be held: past the greatest of n values lies 1 in n + 1."""

RANK = 64
"""Axes of the plane. On the first default bundle, 32 reject fewer foreign pictures, 128 no more."""

MAX_CROPS = 24
"""Number of crops that a photo is judged by, at most."""

BLURRED_CROPS, REJECTED_CROPS = 0.5, 0.8
"""Share of them above which a photo is blurred, and from which it is rejected for both reasons together."""

_LEAST_PX = 32  # a smaller picture is not judged for blur


def fit_gate(
    training: Float32Array, validation: Float32Array, clarities: Float64Array, labels: Int64Array, *, fitted_on: str
) -> tuple[Gate, Plane] | str:
    """A gate and the plane it measures from, or why there can be none.

    The limit is the k-th greatest value of n cracked patches (of clarity, the k-th least), k the greatest for which k /
    (n + 1), the chance of a further patch like them to lie beyond, is at most the share that is allowed, or 1: with few
    patches, 1 in n + 1 is all that can be held.

    Args:
        training: Features of training patches, shape (m, d).
        validation: Features of validation patches, shape (n, d).
        clarities: Clarity of each validation patch, from `patch_clarity`, shape (n,).
        labels: Labels of the validation patches, shape (n,), 1 for crack.
        fitted_on: Data and part, for the card.
    """
    cracked = labels == 1
    n_crack = int(cracked.sum())
    if n_crack < LEAST_CRACKED:
        return f"{n_crack} cracked validation patches; a gate takes {LEAST_CRACKED}"
    plane = fit_plane(training)
    if plane is None:
        return f"{len(training)} training patches with {training.shape[1]} features lie in no plane that tells anything"
    novelties = plane.novelty(validation)
    max_novelty = _greatest(novelties[cracked], NOT_CONCRETE_SHARE)
    min_clarity = max(0.0, -_greatest(-clarities[cracked], BLURRED_SHARE))
    foreign, blurred = novelties > max_novelty, clarities < min_clarity
    gate = Gate(
        max_novelty=max_novelty,
        min_clarity=min_clarity,
        rank=len(plane.axes),
        n_crack=n_crack,
        n_uncracked=len(labels) - n_crack,
        not_concrete_crack=_share(foreign[cracked]),
        not_concrete_uncracked=_share(foreign[~cracked]),
        blurred_crack=_share(blurred[cracked]),
        blurred_uncracked=_share(blurred[~cracked]),
        fitted_on=fitted_on,
    )
    return gate, plane


def fit_plane(features: Float32Array) -> Plane | None:
    """The plane through the mean along the first principal axes, at most `RANK`; None where too little is known.

    Args:
        features: Features of training patches, shape (m, d). A quarter of d, and an eighth of m, bound the number of
            axes.
    """
    values = np.asarray(features, np.float64)
    rank = min(RANK, values.shape[1] // 4, len(values) // 8)
    if rank < 1:
        return None
    mean = values.mean(0)
    centred = values - mean
    with threadpool_limits(1, "blas"):  # sums in another order would turn an axis
        _, directions = np.linalg.eigh(centred.T @ centred)  # the greatest last
    axes = directions[:, ::-1][:, :rank].T
    axes = axes * np.sign(axes[np.arange(rank), np.abs(axes).argmax(1)])[:, None]  # of either sign, one
    plane = Plane(mean.astype(np.float32), axes.astype(np.float32), 1.0)
    spread = float(np.float32(plane.novelty(features).mean()))
    return Plane(plane.mean, plane.axes, spread) if spread > np.finfo(np.float32).tiny else None


def clarity(pixels: UInt8Array) -> float:
    """Sharpness times the root of evenness, in [0, 1], of pixels as they are.

    Args:
        pixels: RGB, uint8, shape (H, W, 3), at the scale at which the network sees a training patch. An image with a
            side below 32 px has clarity 1.

    Example:
        >>> clarity(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)) > 0.9
        True
    """
    if min(pixels.shape[:2]) < _LEAST_PX:
        return 1.0
    sharpness, evenness = focus_of(pixels)
    return min(1.0, sharpness * math.sqrt(evenness))


def patch_clarity(pixels: UInt8Array, card: Card, *, resized: UInt8Array | None = None) -> float:
    """Clarity of a patch, shrunk as a training patch was; 1 of one that is enlarged for the network.

    Args:
        pixels: RGB, uint8, shape (H, W, 3).
        card: Card of the model.
        resized: The patch after `crackscope.model.preprocessing.resize_patch`, where it is at hand.
    """
    own_px = min(pixels.shape[:2])
    if own_px < card.patch_px:
        return 1.0
    side_px = min(card.patch_px, round(own_px * card.patch_px / card.source_px))
    if resized is not None and side_px == card.patch_px:
        return clarity(resized)
    return clarity(resize_patch(pixels, patch_px=max(1, side_px)))


def gate_crops(pixels: UInt8Array, scale: float, card: Card) -> list[UInt8Array]:
    """The crops that a photo is judged by, at the scale of a training patch, all as large as one.

    Args:
        pixels: The photo at the network's scale.
        scale: Pixels of the network per pixel of the photo. What was enlarged is shrunk again, but not below a patch.
        card: Card of the model.

    Returns:
        None of them where a side is shorter than a patch even as it is: of a strip nobody knows what novelty is usual.
    """
    shorter = min(pixels.shape[:2])
    if shorter < card.patch_px:
        return []
    picture = resize_photo(pixels, min(1.0, max(card.patch_px / card.source_px / scale, card.patch_px / shorter)))
    height, width = picture.shape[:2]
    crop_hw = min(card.patch_px, height), min(card.patch_px, width)
    n_rows = max(1, min(round(math.sqrt(MAX_CROPS * height / width)), height // crop_hw[0], MAX_CROPS))
    n_columns = max(1, min(MAX_CROPS // n_rows, width // crop_hw[1]))
    tops, lefts = (
        np.linspace(0, side - crop, n).round().astype(int)
        for side, crop, n in zip((height, width), crop_hw, (n_rows, n_columns), strict=True)
    )
    return [picture[y : y + crop_hw[0], x : x + crop_hw[1]] for y in tops for x in lefts]


def photo_reason(reasons: Sequence[str | None]) -> str | None:
    """Why a photo is rejected, from the reasons of its crops; None where at most half of them are blurred, and fewer
    than four fifths rejected for whatever reason: a wall with a door in it is concrete, a landscape is none anywhere.

    Example:
        >>> photo_reason(["not concrete"] * 8 + [None] * 2)
        'not concrete'
        >>> photo_reason(["not concrete", None])
    """
    counts = Counter(reason for reason in reasons if reason is not None)
    if counts[BLURRED] <= BLURRED_CROPS * len(reasons) and counts.total() < REJECTED_CROPS * len(reasons):
        return None
    return max(sorted(counts), key=lambda reason: counts[reason])


def _greatest(values: Float64Array, share: float) -> float:
    """The value beyond which at most a share lies, as far as so many values tell; beyond the greatest, 1 in n + 1."""
    rank = max(1, math.floor(share * (len(values) + 1)))
    return float(np.sort(values)[-rank])


def _share(found: BoolArray) -> float:
    return float(found.mean()) if len(found) else 0.0
