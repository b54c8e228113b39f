"""The scan of one photo: from its pixels to its `PhotoResult`, with the lines of its cracks.

A photo is prepared first, so that its own pixels need not be held while the network runs. Of them, only the grey levels
are kept, in which lines are traced and widths are measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from crackscope.errors import DataError
from crackscope.files.images import Image
from crackscope.geometry.scale_sources import AnyScale
from crackscope.model.card import Card
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.sessions import Network
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.fine_map import Fine, require_fine
from crackscope.scanning.prediction import Unit
from crackscope.scanning.results import ALARMING, PhotoResult, result_of
from crackscope.scanning.scanner import NetworkScale, PreparedPhoto, map_of, prepare_photo, require_network_scale
from crackscope.scanning.tracing import (
    LEAST_PX,
    Tracing,
    blur_of,
    cells_to_trace,
    cracks_in,
    grey_of,
    guide_of,
    measured_in,
    prepare_to_trace,
)

__all__ = ["Parts", "PhotoToScan", "ScanSettings", "Trace", "prepare", "scanned", "traced"]

Trace: TypeAlias = Literal["found", "all"] | None
"""Photos whose lines are traced: ``found``, those that are ``crack`` or ``unsure``; ``all``; or None."""


@dataclass(frozen=True)
class ScanSettings:
    """Settings of a scan.

    Attributes:
        network_scale: Pixels of the network per pixel of a photo, or ``auto``.
        scale: Millimetres per pixel of the photos, or sources that may tell them.
        unit: What images are taken for: ``patch``, ``photo`` or ``auto``.
        fine: Whether maps get a fine map, and where.
        trace: Photos whose lines are traced.
    """

    network_scale: NetworkScale = "auto"
    scale: AnyScale = None
    unit: Unit = "auto"
    fine: Fine = False
    trace: Trace = "found"

    def require(self, card: Card) -> None:
        """Refuse wrong settings before any work.

        Args:
            card: Card of the model.

        Raises:
            BundleError: If a fine map is wanted and the model has none.
            DataError: If a setting is not as above.
        """
        require_network_scale(self.network_scale, self.unit)
        require_fine(card, self.fine)
        if self.trace not in ("found", "all", None):
            raise DataError(f"trace is {self.trace!r}; it must be 'found', 'all' or None.")


@dataclass(frozen=True, eq=False)
class Parts:
    """What a scan needs of a loaded model.

    Attributes:
        name: Name of the model.
        card: Card of the model.
        network: Network of the model.
        fine_network: Function that gives the network of the fine map, if the card has one.
    """

    name: str
    card: Card
    network: Network
    fine_network: Callable[[], FineNetwork]


@dataclass(frozen=True, eq=False)
class PhotoToScan:
    """A photo that is ready to be scanned.

    Attributes:
        prepared: The photo as the network sees it.
        to_trace: The photo as it is traced, with its grey levels: that of an image of patch size is larger. None if it
            is not to be traced.
    """

    prepared: PreparedPhoto
    to_trace: PreparedPhoto | None


def prepare(photo: Image, card: Card, settings: ScanSettings) -> PhotoToScan:
    """Prepare a photo for a scan; its own pixels are not needed after.

    Args:
        photo: The photo.
        card: Card of the model.
        settings: Settings of the scan.

    Raises:
        DataError: If a setting is wrong.
        ImageError: If the photo is too small to show anything.
    """
    prepared = prepare_photo(
        photo, card, network_scale=settings.network_scale, scale=settings.scale, unit=settings.unit
    )
    if settings.trace is None or min(photo.pixels.shape[:2]) < LEAST_PX:
        return PhotoToScan(prepared, None)
    if prepared.unit == "photo":
        prepared = replace(prepared, grey=grey_of(photo))
        return PhotoToScan(prepared, prepared)
    return PhotoToScan(prepared, replace(prepare_to_trace(photo, card, None, settings.scale), grey=grey_of(photo)))


def scanned(photo: PhotoToScan, parts: Parts, settings: ScanSettings) -> PhotoResult:
    """Scan a prepared photo.

    Args:
        photo: The photo, from `prepare` with the same settings.
        parts: Parts of the model.
        settings: Settings of the scan.

    Raises:
        BundleError: If the network gives something that is not a number.
    """
    card, prepared = parts.card, photo.prepared
    everywhere = settings.trace == "all"
    if photo.to_trace is prepared and card.fine_map is not None and not settings.fine:
        found = _map_to_trace(prepared, parts, everywhere=everywhere)  # one run gives both maps
    else:
        network = parts.fine_network() if settings.fine else None
        found = map_of(prepared, parts.network, card, network, everywhere=settings.fine == "everywhere")
    result = result_of(prepared, found if settings.fine else replace(found, fine=None), card, parts.name)
    if photo.to_trace is None:
        return result
    if not (everywhere or result.verdict in ALARMING):
        blur_px = blur_of(photo.to_trace.grey) if result.scale and photo.to_trace.grey is not None else None
        return replace(result, blur_px=blur_px)
    if photo.to_trace is not prepared or (settings.fine is True and not found.fires.any()):
        found = _map_to_trace(photo.to_trace, parts, everywhere=everywhere)
    tracing = _traced(photo.to_trace, found, parts, everywhere=everywhere)
    return replace(result, cracks=tracing.cracks, traced_by=tracing.traced_by, blur_px=tracing.blur_px)


def traced(photo: PreparedPhoto, parts: Parts) -> Tracing:
    """Trace a prepared photo, whatever its verdict is.

    Args:
        photo: The photo, from `prepare_to_trace`, with its grey levels.
        parts: Parts of the model.

    Raises:
        BundleError: If the network gives something that is not a number.
    """
    return _traced(photo, _map_to_trace(photo, parts, everywhere=True), parts, everywhere=True)


def _map_to_trace(photo: PreparedPhoto, parts: Parts, *, everywhere: bool) -> CrackMap:
    """Map of a photo, with a fine map in the cells in which lines are looked for, if the model has one."""
    card = parts.card
    if card.fine_map is None:
        return map_of(photo, parts.network, card)
    return map_of(
        photo,
        parts.network,
        card,
        parts.fine_network(),
        where=lambda found: cells_to_trace(found, everywhere=everywhere),
    )


def _traced(photo: PreparedPhoto, found: CrackMap, parts: Parts, *, everywhere: bool) -> Tracing:
    """Trace and measure the lines of a photo from its map."""
    assert photo.grey is not None  # it was prepared to be traced
    cells = cells_to_trace(found, everywhere=everywhere)
    guide, traced_by = guide_of(found, photo, parts.card, cells)
    cracks, blur_px = measured_in(photo.grey, cracks_in(photo.grey, guide), photo.scale)
    return Tracing(photo.path, parts.name, traced_by, cracks, photo.photo_hw, photo.network_scale, photo.scale, blur_px)
