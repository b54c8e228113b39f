"""Scale sources: everything that may tell the scale of a photo, in the order of trust.

1. A reference: two points whose distance was measured.
2. Markers of known size.
3. A number that was stated: in a table for this photo, then for all photos.
4. What the camera noted, which is approximate.

The first source that gives a scale is taken. All others are compared with it where they hold, and what they say is
kept. If the markers or the points speak against themselves, no less trusted source takes their place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeAlias

from crackscope.errors import DataError
from crackscope.files.images import Image
from crackscope.geometry.camera_scale import camera_scale
from crackscope.geometry.markers import MarkerKind, marker_scale
from crackscope.geometry.references import Reference, reference_scale
from crackscope.geometry.scale import COVERAGE, NoScale, Scale
from crackscope.geometry.scale_table import ScaleTable

__all__ = ["AnyScale", "PhotoScale", "ScaleNote", "ScaleSources", "photo_scale_of", "sources_of"]

UNSTATED_SHARE = 0.05
"""Relative uncertainty with which a number of unknown uncertainty is compared with other sources."""


@dataclass(frozen=True)
class ScaleSources:
    """Sources that may tell the scale of photos, beside what their cameras noted.

    Attributes:
        reference: Two points of the photo and their distance; for a single photo, or for frames of a camera that does
            not move.
        marker: Kind of the markers that lie on the surface.
        table: Scales of photos by a table, from `crackscope.read_scales`.
        given: Scale of all photos.

    Example:
        >>> ScaleSources(marker=MarkerKind("APRILTAG_36h11", 50)).to_dict()["marker"]
        'APRILTAG_36h11:50'
    """

    reference: Reference | None = None
    marker: MarkerKind | None = None
    table: ScaleTable | None = None
    given: Scale | None = None

    def to_dict(self) -> dict[str, Any]:
        """Settings by name, ready for JSON."""
        return {
            "reference": str(self.reference) if self.reference else None,
            "marker": str(self.marker) if self.marker else None,
            "table": {path: asdict(row) for path, row in self.table.rows.items()} if self.table else None,
            "given": self.given.to_dict() if self.given else None,
        }

    def require_fit(self, paths: Iterable[str]) -> None:
        """Refuse sources that do not fit the photos.

        Args:
            paths: Paths of all photos, as their results state them.

        Raises:
            DataError: If a reference is given for several photos, or the table names a photo that is not there.
        """
        given = [*paths]
        if self.reference is not None and len(given) != 1:
            raise DataError(
                f"the reference {self.reference} names two points of one photo, and {len(given):,} are to be scanned. "
                "Give a table of scales with a row for each photo (--scales)."
            )
        if self.table is not None:
            self.table.require_known(given)


AnyScale: TypeAlias = Scale | ScaleSources | None
"""A scale for all photos, sources of scales, or None for what each camera noted alone."""


@dataclass(frozen=True)
class ScaleNote:
    """What a source says of a photo's scale, where it is not the one that is taken.

    Attributes:
        source: Source: ``reference``, ``marker``, ``table``, ``given`` or ``camera``.
        mm_per_px: Millimetres per pixel by this source; None if it gives none.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px`; None if it is not known.
        difference: Difference from the scale that is taken, as a share of that, where this source holds; None if there
            is nothing to compare.
        agrees: Whether the difference lies within the 95 % uncertainty of the two; None if there is nothing to compare.
        reason: Reason why this source gives no scale; None if it gives one.
    """

    source: str
    mm_per_px: float | None = None
    uncertainty_mm_per_px: float | None = None
    difference: float | None = None
    agrees: bool | None = None
    reason: str | None = None

    @property
    def is_warning(self) -> bool:
        """Whether a user should look: a source that was asked for gives no scale, or this one disagrees."""
        return self.agrees is False or (self.reason is not None and self.source != "camera")

    @property
    def text(self) -> str:
        """Words of the note, for tables and pages."""
        if self.reason is not None:
            return f"{self.source}: {self.reason}"
        told = f"{self.source}: {self.mm_per_px:.4g} mm per px"
        if self.difference is None:
            return told
        share = f"{abs(100 * self.difference):.2g} % {'more' if self.difference > 0 else 'less'} than the scale used"
        return f"{told}, {share}; {'the two agree' if self.agrees else 'the two disagree'}"

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ScaleNote:
        """Make a note from a dictionary of `dataclasses.asdict`, also after it was JSON.

        Args:
            found: The dictionary; unknown keys are ignored.
        """
        return cls(**{one.name: found[one.name] for one in fields(cls) if one.name in found})


@dataclass(frozen=True)
class PhotoScale:
    """Scale of a photo, and what the sources say that were not taken.

    Attributes:
        scale: The scale; None if no source gives one.
        notes: What the others say, in the order of trust.
    """

    scale: Scale | None = None
    notes: tuple[ScaleNote, ...] = ()


def sources_of(scale: AnyScale) -> ScaleSources:
    """Sources behind what a user gave.

    Raises:
        DataError: If it is neither a scale nor sources.
    """
    if scale is None or isinstance(scale, Scale):
        return ScaleSources(given=scale)
    if isinstance(scale, ScaleSources):
        return scale
    raise DataError(
        f"scale is {scale!r}; it must be a scale such as crackscope.Scale(0.3), in mm per pixel, or a "
        "crackscope.ScaleSources."
    )


def photo_scale_of(photo: Image, sources: ScaleSources) -> PhotoScale:
    """Find the scale of a photo.

    Args:
        photo: The photo, upright, at its full size.
        sources: Sources beside what its camera noted.
    """
    photo_hw = photo.pixels.shape[0], photo.pixels.shape[1]
    used: Scale | None = None
    is_final = False
    others: list[tuple[str, Scale | NoScale]] = []
    for source, found in _found(photo, sources, photo_hw):
        if isinstance(found, Scale) and used is None and not is_final:
            used = found
        else:
            others.append((source, found))
        is_final |= isinstance(found, NoScale) and found.is_final
    return PhotoScale(used, tuple(_note(source, found, used, photo_hw) for source, found in others))


def _found(photo: Image, sources: ScaleSources, photo_hw: tuple[int, int]) -> Iterator[tuple[str, Scale | NoScale]]:
    """What each source says, the most trusted one first."""
    row = sources.table.row_of(photo.path) if sources.table else None
    for reference in (sources.reference, row):
        if isinstance(reference, Reference):
            yield "reference", reference_scale(reference, photo_hw)
    if sources.marker is not None:
        yield "marker", marker_scale(photo.pixels, sources.marker)
    if isinstance(row, Scale):
        yield "table", row
    if sources.given is not None:
        yield sources.given.source, sources.given
    noted = camera_scale(photo.lens, photo_hw)
    if noted is not None:
        yield "camera", noted


def _note(source: str, found: Scale | NoScale, used: Scale | None, photo_hw: tuple[int, int]) -> ScaleNote:
    if isinstance(found, NoScale):
        return ScaleNote(source, reason=found.reason)
    own = ScaleNote(source, found.mm_per_px, found.uncertainty_mm_per_px)
    if used is None:
        return own
    (theirs, their_share), (mine, my_share) = (_where_both_hold(one, found, used, photo_hw) for one in (found, used))
    if not (math.isfinite(theirs) and math.isfinite(mine)):
        return own
    difference = theirs / mine - 1
    agrees = abs(difference) <= COVERAGE * math.hypot(their_share, my_share)
    return ScaleNote(source, found.mm_per_px, found.uncertainty_mm_per_px, difference, agrees)


def _where_both_hold(scale: Scale, found: Scale, used: Scale, photo_hw: tuple[int, int]) -> tuple[float, float]:
    """Millimetres per pixel and relative uncertainty where two scales are compared.

    That is along a reference if one of them is one, else at the markers, else in the middle of the photo.
    """
    local = next((one for one in (found, used) if len(one.points_xy_px) == 2), None)
    place = local or next((one for one in (found, used) if one.place_xy_px is not None), None)
    x, y = (place.place_xy_px if place else None) or ((photo_hw[1] - 1) / 2, (photo_hw[0] - 1) / 2)
    direction = None
    if local is not None:
        (x0, y0), (x1, y1) = local.points_xy_px
        direction = (x1 - x0, y1 - y0)
    there = scale.at(x, y, direction_xy=direction)
    mm_per_px = float(there.mm_per_px)
    unknown = there.uncertainty_mm_per_px is None
    return mm_per_px, UNSTATED_SHARE if unknown else float(there.uncertainty_mm_per_px) / mm_per_px  # type: ignore[arg-type]
