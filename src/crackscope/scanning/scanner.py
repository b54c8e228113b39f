"""The scanner: it turns a photo into a `CrackMap`, window by window, at the scale of the model.

The map is the same as if the whole photo were given at once, whatever the size of the windows. Their halo covers the
receptive field, and they start at multiples of the stride. So memory depends on the window, not on the photo.

**Network scale.** The pixels of the network per pixel of the photo. A number may be given. Otherwise ``auto`` chooses
by the size of the image alone, without a step. The photo's millimetres per pixel never change what the network sees.

- An image of patch size is a patch. Its shorter side is resized to ``patch_px``, and it gets the calibration and the
  label of a patch. A photo that is hardly larger is resized in the same way.
- From there on the scale rises to 1, which it reaches at a longer side of `FULL_SIZE` times ``source_px``. So a photo
  that somebody shrunk before is not shrunk again.
- From a shorter side of `SMALL_PX` on, photos are shrunk, so that the shorter side stays at `SMALL_PX`, until the scale
  is that of training patches (``patch_px / source_px``). Larger photos are taken for photos like those that training
  patches were cut from, and are shrunk in the same way.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from numbers import Real
from typing import Literal, TypeAlias

import numpy as np

from crackscope.arrays import BoolArray, Float32Array, UInt8Array
from crackscope.errors import DataError, ImageError
from crackscope.files.images import Image
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import AnyScale, PhotoScale, ScaleNote, photo_scale_of, sources_of
from crackscope.model.card import Card
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.gate import patch_clarity
from crackscope.model.preprocessing import MIN_PX, resize_patch, resize_photo
from crackscope.model.sessions import Network
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.fine_map import FineMap
from crackscope.scanning.prediction import (
    MAX_PATCH,
    Unit,
    require_large_enough,
    require_unit,
    size_reason,
    unit_of,
)
from crackscope.scanning.rejection import judged_map

__all__ = [
    "FULL_SIZE",
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

FULL_SIZE = 1.6
"""Longer side of a photo, in multiples of ``source_px``, from which it is scanned at its full size."""

SMALL_PX = 768
"""Shorter side of a photo, in pixels, from which it is shrunk for the network."""

MAX_ENLARGEMENT = 2.0
"""Greatest network scale of a narrow photo, which is enlarged until it is as wide as a patch."""


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """A photo at the network's scale, with its facts.

    Attributes:
        pixels: Array of shape (H, W, 3), uint8, RGB, at the network's scale.
        photo_hw: Height and width of the upright photo, in pixels.
        network_scale: Pixels of the network per pixel of the photo.
        scale: Millimetres per pixel of the photo; None if they are not known.
        scale_notes: What the sources of a scale say that were not taken.
        unit: ``photo``, or ``patch`` for an image that is judged as a patch.
        path: Path of the photo.
        taken_at: Time on the camera's clock; None where not noted.
        latitude_deg: Degrees north; None where not noted.
        longitude_deg: Degrees east; None where not noted.
        clarity: Clarity of a patch; 1 for a photo that somebody shrunk before; None for other photos, which are
            measured crop by crop.
        reason: Reason why the image is rejected whatever it shows, ``too small to judge``; None if there is none.
        page: Page or frame that was judged of a file with several, such as ``1 of 3``; None for a file with one.
        grey: Grey levels of the upright photo, shape (H, W), uint8, to be traced in; None if it is not to be traced.
    """

    pixels: UInt8Array
    photo_hw: tuple[int, int]
    network_scale: float
    scale: Scale | None
    scale_notes: tuple[ScaleNote, ...]
    unit: str
    path: str
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    clarity: float | None = None
    page: str | None = None
    reason: str | None = None
    grey: UInt8Array | None = None


def prepare_photo(
    photo: Image,
    card: Card,
    *,
    network_scale: NetworkScale = "auto",
    scale: AnyScale = None,
    unit: Unit = "auto",
) -> PreparedPhoto:
    """Resize a photo to the network's scale, and find its millimetres per pixel; its own pixels are not needed after.

    Args:
        photo: The photo, or an image of patch size.
        card: Card of the model.
        network_scale: Pixels of the network per pixel of the photo; ``auto`` chooses them.
        scale: Millimetres per pixel of the photo, or sources that may tell them; they do not change what the network
            sees.
        unit: What the image is taken for: ``patch``, ``photo``, or ``auto`` for what its size says. Where a network
            scale is given, ``auto`` means ``photo``.

    Raises:
        DataError: If `network_scale` is neither ``auto`` nor a number above 0, `scale` is no scale and no sources,
            `unit` is another word, or a patch gets a network scale.
        ImageError: If the photo is too small to show anything, before or after the resize; or an image that is taken
            for a patch is a strip.
    """
    height, width = photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    require_large_enough(photo_hw)
    require_network_scale(network_scale, unit)
    sources = sources_of(scale)
    given = network_scale != "auto"
    taken_for = unit if unit != "auto" else "photo" if given else unit_of(photo_hw, card)
    if taken_for == "patch":
        return _prepared_patch(photo, card, photo_scale_of(photo, sources))
    chosen = network_scale_of(card, photo_hw, network_scale=network_scale)
    resized = resize_photo(photo.pixels, chosen)
    if min(resized.shape[:2]) < MIN_PX:
        raise ImageError(
            f"at scale {chosen:g}, {width}×{height} px become {resized.shape[1]}×{resized.shape[0]}, which is too "
            f"small to show anything (at least {MIN_PX} px a side); scan it at a larger scale"
        )
    shrunk_before = chosen > (1 if given else min(1, card.patch_px / card.source_px))  # its sharpness is unknown
    reason = None if given else size_reason(photo_hw, card)
    known = photo_scale_of(photo, sources)
    return _prepared(photo, resized, chosen, known, "photo", 1.0 if shrunk_before else None, reason)


def _prepared_patch(photo: Image, card: Card, known: PhotoScale) -> PreparedPhoto:
    resized = resize_patch(photo.pixels, patch_px=card.patch_px)
    clear = patch_clarity(photo.pixels, card, resized=resized) if card.gate else 1.0
    photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    chosen = card.patch_px / min(photo_hw)
    return _prepared(photo, resized, chosen, known, "patch", clear, size_reason(photo_hw, card))


def _prepared(
    photo: Image,
    resized: UInt8Array,
    network_scale: float,
    known: PhotoScale,
    unit: str,
    clear: float | None,
    reason: str | None,
) -> PreparedPhoto:
    photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    return PreparedPhoto(
        resized,
        photo_hw,
        network_scale,
        known.scale,
        known.notes,
        unit,
        photo.path,
        taken_at=photo.taken_at,
        latitude_deg=photo.latitude_deg,
        longitude_deg=photo.longitude_deg,
        clarity=clear,
        page=photo.page,
        reason=reason,
    )


def map_of(
    prepared: PreparedPhoto,
    network: Network,
    card: Card,
    fine: FineNetwork | None = None,
    *,
    everywhere: bool = False,
    where: Callable[[CrackMap], BoolArray] | None = None,
) -> CrackMap:
    """Run the network over a prepared photo.

    Args:
        prepared: The photo.
        network: Network of the model.
        card: Card of the model.
        fine: Network of the model's fine map; without it, the crack map has no fine map.
        everywhere: Whether the fine map is computed in the whole photo, and not only in the regions of the crack map.
        where: Function that chooses the cells of the crack map in which the fine map is computed; those of its regions
            if left out.

    Raises:
        BundleError: If the network gives something that is not a number.
    """
    if fine is None:
        return _judged(_map_from(network.logit_map(prepared.pixels), prepared, network, card), prepared, network, card)
    # A footprint reaches the threshold only if one of its cells does: neither pool is above the greatest of its values.
    calibration = card.patch if prepared.unit == "patch" else card.map_calibration
    likely = calibration.logit(calibration.threshold)
    logits, cells = fine.maps(
        prepared.pixels,
        likely_from=-math.inf if everywhere else likely,
        reach_cells=round(card.patch_px / network.field.stride_px) // 2,
    )
    found = _map_from(logits, prepared, network, card)
    chosen = np.ones_like(found.fires) if everywhere else where(found) if where else found.fires
    values = fine.completed(cells, prepared.pixels, chosen)
    return replace(_judged(found, prepared, network, card), fine=_fine_map(values, found, card, everywhere=everywhere))


def _fine_map(values: Float32Array, found: CrackMap, card: Card, *, everywhere: bool) -> FineMap:
    assert card.fine_map is not None  # the network of a fine map was made from this card
    ratio = values.shape[0] // found.logits.shape[0]
    cell_px = found.cell_px[0] / ratio, found.cell_px[1] / ratio
    return FineMap(values, cell_px, card.fine_map.threshold, everywhere)


def _map_from(logits: Float32Array, prepared: PreparedPhoto, network: Network, card: Card) -> CrackMap:
    """The map of a photo before it was judged by the gate."""
    stride, (height, width) = network.field.stride_px, prepared.photo_hw
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
        reason=prepared.reason,
    )


def _judged(found: CrackMap, prepared: PreparedPhoto, network: Network, card: Card) -> CrackMap:
    """The map after it was judged by the gate."""
    if prepared.reason is not None or card.gate is None:
        return found
    if prepared.unit == "patch":
        signs = network.signs(prepared.pixels)
        clear = 1.0 if prepared.clarity is None else prepared.clarity
        return replace(found, reason=card.gate.reason(signs.novelty, clear, signs.concrete))
    return judged_map(found, prepared.pixels, network, card, known_clarity=prepared.clarity)


def network_scale_of(card: Card, photo_hw: tuple[int, int], *, network_scale: NetworkScale = "auto") -> float:
    """Choose the pixels of the network per pixel of a photo.

    Args:
        card: Card of the model.
        photo_hw: Height and width of the photo, in pixels.
        network_scale: The scale itself, or ``auto``.

    Raises:
        DataError: If `network_scale` is neither ``auto`` nor a number above 0.

    Example:
        >>> from crackscope.model.bundle import read_bundle
        >>> network_scale_of(read_bundle().card, (3000, 4000)), network_scale_of(read_bundle().card, (960, 1280))
        (0.625, 0.8)
    """
    require_network_scale(network_scale)
    return auto_scale(card, photo_hw) if network_scale == "auto" else float(network_scale)


def require_network_scale(network_scale: NetworkScale, unit: Unit = "auto") -> None:
    """Refuse a wrong network scale before any work.

    Raises:
        DataError: If `network_scale` is neither ``auto`` nor a number above 0, `unit` is another word than ``auto``,
            ``patch`` or ``photo``, or patches get a network scale.
    """
    require_unit(unit)
    if network_scale == "auto":
        return
    if unit == "patch":
        raise DataError(
            "a patch has no network scale of its own: it is resized to the size of the model's patches. Leave out the "
            "network scale (--scale), or take the images as photos."
        )
    if not isinstance(network_scale, Real) or isinstance(network_scale, bool) or not 0 < network_scale < math.inf:
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
        >>> [photo_scale(read_bundle().card, (n, n)) for n in (320, 480, 768, 1024, 1600)]
        [0.5625, 1.0, 1.0, 0.75, 0.625]
    """
    shorter, longer = sorted(photo_hw)
    of_patches = card.patch_px / card.source_px
    full = max(1.0, of_patches)
    as_patch = min(card.patch_px / shorter, MAX_ENLARGEMENT * full)
    as_photo = max(of_patches, full * min(1.0, SMALL_PX / shorter))
    risen = (longer / card.source_px - MAX_PATCH) / (FULL_SIZE - MAX_PATCH)
    return max(as_patch, as_patch + (as_photo - as_patch) * min(1.0, max(0.0, risen)))
