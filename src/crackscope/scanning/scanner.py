"""The scanner: it turns a photo into a `CrackMap`, window by window, at the scale of the model.

The map is the same as if the whole photo were given at once, whatever the size of the windows. Their halo covers the
receptive field, and they start at multiples of the stride. So memory depends on the window, not on the photo.

**Network scale.** The pixels of the network per pixel of the photo. A model was trained on patches of a certain size in
pixels, and at certain millimetres per pixel if these are known. If the photo's millimetres per pixel are given, the
photo is resized to those of the model. Otherwise ``auto`` assumes a photo like those that training patches were cut
from, and shrinks it in the same way. If its shorter side would then be below `SMALL_PX`, the photo was shrunk before.
It is resized to `SMALL_PX`, but enlarged at most `MAX_ENLARGEMENT` times. An image of patch size is treated as a patch,
with the calibration and the label of a patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from numbers import Real
from typing import Literal, TypeAlias

from crackscope.arrays import UInt8Array
from crackscope.errors import BundleError, DataError, ImageError
from crackscope.files.images import Image
from crackscope.geometry.scale import Scale
from crackscope.model.card import Card
from crackscope.model.gate import clarity, gate_crops, patch_clarity, photo_reason
from crackscope.model.preprocessing import MIN_PX, resize_photo
from crackscope.model.sessions import Network
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.prediction import require_large_enough, unit_of

__all__ = [
    "MAX_ENLARGEMENT",
    "SMALL_PX",
    "NetworkScale",
    "PreparedPhoto",
    "auto_scale",
    "map_of",
    "network_scale_of",
    "photo_scale",
    "prepare_photo",
    "require_network_scale",
]

NetworkScale: TypeAlias = float | Literal["auto"]
"""Pixels of the network per pixel of the photo, or ``auto``: chosen by the rule at the top of this module."""

SMALL_PX = 768
"""Shorter side at the network's scale, in pixels; a photo below it counts as one that was shrunk before."""

MAX_ENLARGEMENT = 2.0
"""Greatest network scale that is chosen by the size of the photo."""


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """A photo at the network's scale, with its facts.

    Attributes:
        pixels: Array of shape (H, W, 3), uint8, RGB, at the network's scale.
        photo_hw: Height and width of the upright photo, in pixels.
        network_scale: Pixels of the network per pixel of the photo.
        scale: Millimetres per pixel of the photo; None if they are not known.
        unit: ``photo``, or ``patch`` for an image of patch size whose scale was not given.
        path: Path of the photo.
        taken_at: Time on the camera's clock; None where not noted.
        latitude_deg: Degrees north; None where not noted.
        longitude_deg: Degrees east; None where not noted.
        clarity: Clarity of a patch; 1 for a photo that somebody shrunk before; None for other photos, which are
            measured crop by crop.
        page: Page or frame that was judged of a file with several, such as ``1 of 3``; None for a file with one.
    """

    pixels: UInt8Array
    photo_hw: tuple[int, int]
    network_scale: float
    scale: Scale | None
    unit: str
    path: str
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    clarity: float | None = None
    page: str | None = None


def prepare_photo(
    photo: Image, card: Card, *, network_scale: NetworkScale = "auto", scale: Scale | None = None
) -> PreparedPhoto:
    """Resize a photo to the network's scale; its own pixels are not needed after that.

    Args:
        photo: The photo, or an image of patch size.
        card: Card of the model.
        network_scale: Pixels of the network per pixel of the photo; ``auto`` chooses them.
        scale: Millimetres per pixel of the photo, if they are known.

    Raises:
        BundleError: If `scale` is to choose the network's scale, and the card does not state its own millimetres per
            pixel.
        DataError: If `network_scale` is neither ``auto`` nor a number above 0.
        ImageError: If the photo is too small to show anything, before or after the resize.
    """
    height, width = photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    require_large_enough(photo_hw)
    chosen = network_scale_of(card, photo_hw, network_scale=network_scale, scale=scale)
    resized = resize_photo(photo.pixels, chosen)
    if min(resized.shape[:2]) < MIN_PX:
        raise ImageError(
            f"at scale {chosen:g}, {width}×{height} px become {resized.shape[1]}×{resized.shape[0]}, which is too "
            f"small to show anything (at least {MIN_PX} px a side); scan it at a larger scale"
        )
    given = scale is not None or network_scale != "auto"
    unit = "photo" if given else unit_of(photo_hw, card)
    clear = None
    if unit == "patch":
        clear = patch_clarity(photo.pixels, card, resized=resized) if card.gate else 1.0
    elif chosen > (1 if given else min(1, card.patch_px / card.source_px)):
        clear = 1.0  # it was shrunk before, so its original sharpness is unknown
    facts = photo.taken_at, photo.latitude_deg, photo.longitude_deg
    return PreparedPhoto(resized, photo_hw, chosen, scale, unit, photo.path, *facts, clear, photo.page)


def map_of(prepared: PreparedPhoto, network: Network, card: Card) -> CrackMap:
    """Run the network over a prepared photo.

    Raises:
        BundleError: If the network gives something that is not a number.
    """
    stride, (height, width) = network.field.stride_px, prepared.photo_hw
    logits, reason = network.logit_map(prepared.pixels), _reason_of(prepared, network, card)
    patch = prepared.unit == "patch"  # the whole image is one footprint, as for `predict`
    return CrackMap(
        logits=logits,
        photo_hw=prepared.photo_hw,
        cell_px=(stride * height / prepared.pixels.shape[0], stride * width / prepared.pixels.shape[1]),
        footprint_cells=max(logits.shape) if patch else max(1, round(card.patch_px / stride)),
        calibration=card.patch if patch else card.map_calibration,
        network_scale=prepared.network_scale,
        unit=prepared.unit,
        path=prepared.path,
        pool=card.pool,
        reason=reason,
    )


def _reason_of(prepared: PreparedPhoto, network: Network, card: Card) -> str | None:
    """Decide why an image is rejected, a patch as a whole and a photo by its crops; None if it is not rejected."""
    gate = card.gate
    if gate is None:
        return None
    patch = prepared.unit == "patch"
    crops = [prepared.pixels] if patch else gate_crops(prepared.pixels, prepared.network_scale, card)
    if not crops:
        return None
    novelties = network.novelties(crops)
    clarities = [clarity(crop) if prepared.clarity is None else prepared.clarity for crop in crops]
    return photo_reason([gate.reason(float(one), other) for one, other in zip(novelties, clarities, strict=True)])


def network_scale_of(
    card: Card, photo_hw: tuple[int, int], *, network_scale: NetworkScale = "auto", scale: Scale | None = None
) -> float:
    """Choose the pixels of the network per pixel of a photo.

    Args:
        card: Card of the model.
        photo_hw: Height and width of the photo, in pixels.
        network_scale: The scale itself, or ``auto``.
        scale: Millimetres per pixel of the photo, if they are known; with ``auto``, the scale follows from them.

    Raises:
        BundleError: If the millimetres decide, and the card does not state its own.
        DataError: If `network_scale` is neither ``auto`` nor a number above 0.

    Example:
        >>> from crackscope.model.bundle import read_bundle
        >>> network_scale_of(read_bundle().card, (3000, 4000)), network_scale_of(read_bundle().card, (640, 960))
        (0.625, 1.2)
    """
    require_network_scale(card, network_scale, scale)
    if network_scale != "auto":
        return float(network_scale)
    if scale is None or card.mm_per_px is None:
        return auto_scale(card, photo_hw)
    return scale.mm_per_px / card.mm_per_px


def require_network_scale(card: Card, network_scale: NetworkScale, scale: Scale | None) -> None:
    """Refuse a wrong network scale before any work.

    Raises:
        BundleError: If the millimetres are to decide, and the card does not state its own.
        DataError: If `network_scale` is neither ``auto`` nor a number above 0, or `scale` is no `Scale`.
    """
    if scale is not None and not isinstance(scale, Scale):
        raise DataError(f"scale is {scale!r}; it must be a scale such as crackscope.Scale(0.3), in mm per pixel.")
    if network_scale == "auto":
        if scale is not None and card.mm_per_px is None:
            raise BundleError(
                f"{card.name}: the model does not know at how many mm per pixel it was trained. "
                "Give --scale (in Python network_scale) instead."
            )
    elif not isinstance(network_scale, Real) or isinstance(network_scale, bool) or not 0 < network_scale < math.inf:
        raise DataError(f"network_scale is {network_scale!r}; it must be 'auto' or a number above 0.")


def auto_scale(card: Card, photo_hw: tuple[int, int]) -> float:
    """Choose the network scale of an image by its size alone; see the module's docstring.

    Args:
        card: Card of the model.
        photo_hw: Height and width of the image, in pixels.
    """
    return card.patch_px / min(photo_hw) if unit_of(photo_hw, card) == "patch" else photo_scale(card, photo_hw)


def photo_scale(card: Card, photo_hw: tuple[int, int]) -> float:
    """Network scale as `auto_scale` chooses it, for an image known to be a photo, however small.

    Args:
        card: Card of the model.
        photo_hw: Height and width of the photo, in pixels.

    Example:
        >>> from crackscope.model.bundle import read_bundle
        >>> photo_scale(read_bundle().card, (320, 480))
        2.0
    """
    return max(card.patch_px / card.source_px, min(SMALL_PX / min(photo_hw), MAX_ENLARGEMENT))
