"""The gate: an image is ``rejected``, with the reason, if it shows no concrete or is too blurred to be judged.

*Novelty* measures how much a picture differs from the training patches. The features of training patches lie near a
plane of few dimensions; the features of foreign pictures lie farther from it. Several measures were tried on the first
default bundle: Mahalanobis' distance, nearest neighbours, angles, and the distance to the plane. The distance to the
plane rejected the most landscapes and the fewest patches of concrete from other sites.

Novelty knows training patches only, so concrete of another kind can be far from the plane. So a gate may also hold a
classifier (`crackscope.model.gate_graph.Material`), which was fitted to concrete from many places and to pictures of
other things. A gate that a training fits has none, since it knows no other things.

*Clarity* measures blur, from the pixels alone: sharpness times the root of evenness (`crackscope.model.focus`). It is
measured at the scale at which the network sees a training patch. At its full size, even a good photo is not sharp from
pixel to pixel. An image that was shrunk before is not judged for blur, since its original sharpness is unknown.

A photo is judged in two steps (`crackscope.scanning.rejection`). First come its regions: one that shows something else
than concrete does not decide. If no region remains, at most 24 crops on a regular grid are judged, each as large as a
training patch at the network's scale. The photo is then rejected if more than half of its crops are blurred, or at
least four fifths are rejected. The more frequent reason is given.

The limits are set on cracked validation patches, because a photo of a crack must not be rejected.
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
from crackscope.model.gate_graph import Material, Plane
from crackscope.model.preprocessing import resize_patch

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
    "moved_gate",
    "patch_clarity",
    "photo_reason",
]


NOT_CONCRETE_SHARE, BLURRED_SHARE = 0.002, 0.003
"""Greatest shares of cracked patches like those of the validation part that may be rejected, one for each reason."""

LEAST_CRACKED = 200
"""Least number of cracked validation patches for a gate. With n patches, 1 in n + 1 lies beyond the greatest value."""

RANK = 64
"""Number of axes of the plane. On the first default bundle, 32 rejected fewer foreign pictures, and 128 no more."""

MAX_CROPS = 24
"""Greatest number of crops that a photo is judged by."""

BLURRED_CROPS, REJECTED_CROPS = 0.5, 0.8
"""Shares of the crops. A photo is rejected if more than the first are blurred, or at least the second are rejected."""

_LEAST_PX = 32  # a smaller picture is not judged for blur


def fit_gate(
    training: Float32Array, validation: Float32Array, clarities: Float64Array, labels: Int64Array, *, fitted_on: str
) -> tuple[Gate, Plane] | str:
    """Fit a gate, and the plane that novelty is measured from.

    The novelty limit is the k-th greatest value of n cracked patches; the clarity limit is the k-th least. A further
    patch like them lies beyond the limit with a chance of k / (n + 1). The greatest k is taken for which this chance is
    at most the allowed share. With few patches even k = 1 exceeds the share, and 1 is taken.

    Args:
        training: Features of training patches, shape (m, d).
        validation: Features of validation patches, shape (n, d).
        clarities: Clarity of each validation patch, from `patch_clarity`, shape (n,).
        labels: Labels of the validation patches, shape (n,), 1 for crack.
        fitted_on: Data and part that the gate is fitted on, for the card.

    Returns:
        The gate and the plane; or the reason why no gate can be fitted.
    """
    cracked = labels == 1
    n_crack = int(cracked.sum())
    if n_crack < LEAST_CRACKED:
        return f"{n_crack} cracked validation patches; a gate takes {LEAST_CRACKED}"
    plane = fit_plane(training)
    if plane is None:
        return f"{len(training)} training patches with {training.shape[1]} features are too few or too alike for a gate"
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


def moved_gate(
    gate: Gate,
    plane: Plane,
    material: Material | None,
    validation: Float32Array,
    clarities: Float64Array,
    labels: Int64Array,
    *,
    fitted_on: str,
) -> Gate:
    """Take a gate over for other patches: its limits are moved where they would reject too many cracked ones.

    A limit is moved as far as `fit_gate` would set it on these patches, and only so that fewer patches are rejected.

    Args:
        gate: Limits of the gate.
        plane: Plane of the gate.
        material: Classifier of the gate, if it has one.
        validation: Features of validation patches, shape (n, d), at least one of them cracked.
        clarities: Clarity of each validation patch, from `patch_clarity`, shape (n,).
        labels: Labels of the validation patches, shape (n,), 1 for crack.
        fitted_on: Data and part of the patches, for the card.

    Returns:
        The gate with its limits for these patches, and the shares of them that it rejects.
    """
    cracked = labels == 1
    novelties = plane.novelty(validation)
    max_novelty = max(gate.max_novelty, _greatest(novelties[cracked], NOT_CONCRETE_SHARE))
    min_clarity = min(gate.min_clarity, max(0.0, -_greatest(-clarities[cracked], BLURRED_SHARE)))
    foreign, blurred = novelties > max_novelty, clarities < min_clarity
    min_concrete = gate.min_concrete
    if material is not None and min_concrete is not None:
        concrete = material.concrete(validation)
        min_concrete = min(min_concrete, max(0.0, -_greatest(-concrete[cracked], NOT_CONCRETE_SHARE)))
        foreign |= concrete < min_concrete
    changes = {
        "max_novelty": max_novelty,
        "min_clarity": min_clarity,
        "min_concrete": min_concrete,
        "n_crack": int(cracked.sum()),
        "n_uncracked": int((~cracked).sum()),
        "not_concrete_crack": _share(foreign[cracked]),
        "not_concrete_uncracked": _share(foreign[~cracked]),
        "blurred_crack": _share(blurred[cracked]),
        "blurred_uncracked": _share(blurred[~cracked]),
        "fitted_on": f"{gate.fitted_on}; taken over, limits checked on {fitted_on}",
    }
    return gate.model_copy(update=changes)


def fit_plane(features: Float32Array) -> Plane | None:
    """Fit the plane through the mean along the first principal axes, at most `RANK` of them.

    Args:
        features: Features of training patches, shape (m, d). The plane has at most d / 4 and at most m / 8 axes.

    Returns:
        The plane; None if there are too few features or patches for an axis, or all patches lie in the plane.
    """
    values = np.asarray(features, np.float64)
    rank = min(RANK, values.shape[1] // 4, len(values) // 8)
    if rank < 1:
        return None
    mean = values.mean(0)
    centred = values - mean
    with threadpool_limits(1, "blas"):  # with several threads, sums in another order would change an axis
        _, directions = np.linalg.eigh(centred.T @ centred)  # the axis with the greatest variance comes last
    axes = directions[:, ::-1][:, :rank].T
    axes = axes * np.sign(axes[np.arange(rank), np.abs(axes).argmax(1)])[:, None]  # fix the sign of each axis
    plane = Plane(mean.astype(np.float32), axes.astype(np.float32), 1.0)
    spread = float(np.float32(plane.novelty(features).mean()))
    return Plane(plane.mean, plane.axes, spread) if spread > np.finfo(np.float32).tiny else None


def clarity(pixels: UInt8Array) -> float:
    """Measure sharpness times the root of evenness, in [0, 1], of an image at its own size.

    Args:
        pixels: Image, RGB, uint8, shape (H, W, 3), at the scale at which the network sees a training patch. An image
            with a side below 32 px has clarity 1.

    Example:
        >>> clarity(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)) > 0.9
        True
    """
    if min(pixels.shape[:2]) < _LEAST_PX:
        return 1.0
    sharpness, evenness = focus_of(pixels)
    return min(1.0, sharpness * math.sqrt(evenness))


def patch_clarity(pixels: UInt8Array, card: Card, *, resized: UInt8Array | None = None) -> float:
    """Measure the clarity of a patch, shrunk as training patches were; 1 for a patch that the network sees enlarged.

    Args:
        pixels: Patch, RGB, uint8, shape (H, W, 3).
        card: Card of the model.
        resized: Patch after `crackscope.model.preprocessing.resize_patch`, if it was computed already.
    """
    own_px = min(pixels.shape[:2])
    if own_px < card.patch_px:
        return 1.0
    side_px = min(card.patch_px, round(own_px * card.patch_px / card.source_px))
    if resized is not None and side_px == card.patch_px:
        return clarity(resized)
    return clarity(resize_patch(pixels, patch_px=max(1, side_px)))


def gate_crops(pixels: UInt8Array, card: Card) -> list[UInt8Array]:
    """Cut the crops that a photo is judged by; each is as large as a training patch after its resize.

    Args:
        pixels: Photo at the network's scale, RGB, uint8, shape (H, W, 3).
        card: Card of the model.

    Returns:
        Crops, each an array (h, w, 3). The list is empty if a side of the photo is shorter than a patch, since the
        usual novelty of such a strip is unknown.
    """
    height, width = pixels.shape[:2]
    side = card.patch_px
    if min(height, width) < side:
        return []
    n_rows = max(1, min(round(math.sqrt(MAX_CROPS * height / width)), height // side, MAX_CROPS))
    n_columns = max(1, min(MAX_CROPS // n_rows, width // side))
    tops, lefts = (
        np.linspace(0, length - side, n).round().astype(int)
        for length, n in zip((height, width), (n_rows, n_columns), strict=True)
    )
    return [np.ascontiguousarray(pixels[y : y + side, x : x + side]) for y in tops for x in lefts]


def photo_reason(reasons: Sequence[str | None]) -> str | None:
    """Decide from the reasons of its crops why a photo is rejected.

    A photo is rejected if more than half of its crops are blurred, or at least four fifths are rejected for any reason.
    So a wall with a door in it is judged, and a landscape is rejected.

    Args:
        reasons: Reason why each crop is rejected; None for a crop that is not.

    Returns:
        The most frequent reason; None if the photo is not rejected.

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
    """Find the value beyond which at most `share` of further values lie; the greatest value if there are few values."""
    rank = max(1, math.floor(share * (len(values) + 1)))
    return float(np.sort(values)[-rank])


def _share(found: BoolArray) -> float:
    return float(found.mean()) if len(found) else 0.0
