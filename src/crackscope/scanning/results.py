"""Results: the answer for one photo, which tables, pages, JSON and Python share."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import Any, Literal, TypeAlias

from crackscope.errors import DataError
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import ScaleNote
from crackscope.geometry.width_intervals import resolution_limit, smallest_width
from crackscope.model.card import Card
from crackscope.scanning.crack_drawing import draw_cracks
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.overlay import draw_map
from crackscope.scanning.regions import Region
from crackscope.scanning.scanner import PreparedPhoto

__all__ = ["ALARMING", "SCHEMA_VERSION", "PhotoResult", "TracedBy", "refused", "result_of", "verdict_of"]

SCHEMA_VERSION = 1
"""Version of the format of `PhotoResult.to_dict`."""

ALARMING = ("crack", "unsure")
"""Verdicts of photos whose cracks count."""

TracedBy: TypeAlias = Literal["fine map", "ridges"]
"""What guided a tracing: the fine map of the model, or dark ridges inside its crack map."""


@dataclass(frozen=True)
class PhotoResult:
    """Result of a scan for one photo.

    Pixels are those of the upright photo, after its EXIF orientation was applied; (0, 0) is the middle of the first
    pixel.

    Attributes:
        path: Path of the photo; for a photo without a path, ``#`` and its number in the source, or nothing.
        model: Name of the model.
        verdict: ``crack``, ``unsure``, ``uncracked`` or ``rejected``; None if there is an `error`.
        reason: Reason why the photo is rejected, ``not concrete``, ``blurred`` or ``too small to judge``; None if it is
            not.
        crack_probability: Greatest crack probability of any footprint (a square as large as a training patch) that the
            gate lets pass, in [0, 1]; in a rejected photo, of any footprint.
        threshold: Crack probability from which the verdict is ``crack``.
        peak_xy: Pixel (x, y) to look at first: a point of the region that decides, or of the most probable footprint.
        regions: Connected regions of the map above its threshold, the greatest peak first. A region with a `reason` is
            rejected by the gate, and does not decide.
        cracks: Traced lines, the longest first; those that look like joints stand last. Nothing if it was not traced.
        traced_by: What guided the tracing, ``fine map`` or ``ridges``; None if the photo was not traced.
        blur_px: Standard deviation of the photo's blur, in pixels; above 2 the photo was enlarged or is out of focus.
            None if the photo was neither traced nor has a scale, and if it was scanned with maps only.
        unit: ``photo``, or ``patch`` for an image of patch size.
        width_px: Width of the photo, in pixels.
        height_px: Height of the photo, in pixels.
        network_scale: Pixels of the network per pixel of the photo.
        scale: Millimetres per pixel of the photo; None if they are not known.
        scale_notes: What the sources of a scale say that were not taken: scales to compare, or why there is none.
        taken_at: Time on the camera's clock, with its offset from UTC if the file states it; None without a time.
        latitude_deg: Degrees north, -90 to 90; None if the file does not state them.
        longitude_deg: Degrees east, -180 to 180; None if the file does not state them.
        page: Page or frame that was judged of a file with several, such as ``1 of 3``; None for a file with one.
        error: Reason why the photo could not be scanned; None if it was scanned. With an error, all other attributes
            but `path` and `model` are None or empty.
        map: Map of the photo; None if there is none, and after `from_dict`. Comparing two results does not compare
            their maps.
    """

    path: str
    model: str
    verdict: str | None = None
    reason: str | None = None
    crack_probability: float | None = None
    threshold: float | None = None
    peak_xy: tuple[int, int] | None = None
    regions: tuple[Region, ...] = ()
    cracks: tuple[Crack, ...] = ()
    traced_by: TracedBy | None = None
    blur_px: float | None = None
    unit: str | None = None
    width_px: int | None = None
    height_px: int | None = None
    network_scale: float | None = None
    scale: Scale | None = None
    scale_notes: tuple[ScaleNote, ...] = ()
    taken_at: datetime | None = None
    latitude_deg: float | None = None
    longitude_deg: float | None = None
    page: str | None = None
    error: str | None = None
    map: CrackMap | None = field(default=None, repr=False, compare=False)

    @property
    def smallest_width_mm(self) -> float | None:
        """Smallest width of a crack that can be measured in the photo, in mm; None without a scale or a blur.

        On a tilted surface, it holds where `Scale.mm_per_px` does.
        """
        if self.scale is None or self.blur_px is None:
            return None
        return float(smallest_width(resolution_limit(self.blur_px))) * self.scale.mm_per_px

    @property
    def counted_cracks(self) -> tuple[Crack, ...]:
        """Cracks that count: those that do not look like joints, if the photo is ``crack`` or ``unsure``."""
        return tuple(one for one in self.cracks if not one.joint_like) if self.verdict in ALARMING else ()

    @property
    def numbered_cracks(self) -> tuple[Crack, ...]:
        """All cracks in the order of their numbers, which begin at 1.

        Those that count come first, then the others, and last those that look like joints; each time the greatest
        length times median width first.
        """
        return tuple(sorted(self.cracks, key=self._order))

    def _order(self, crack: Crack) -> tuple[bool, float, float, str]:
        return crack.joint_like, -(crack.area_px2 or 0.0), -crack.length_px, crack.id

    @property
    def drawn_cracks(self) -> tuple[Crack, ...]:
        """Cracks that pages and overlays draw: all of a photo that is ``crack`` or ``unsure``, by their numbers."""
        return self.numbered_cracks if self.verdict in ALARMING else ()

    @property
    def crack_area_px2(self) -> float:
        """Sum over the cracks that count of length times median width, in square pixels."""
        return sum(crack.area_px2 or 0.0 for crack in self.counted_cracks)

    @property
    def crack_area_share(self) -> float:
        """Share of the photo's area that is `crack_area_px2`."""
        return self.crack_area_px2 / max(1, (self.width_px or 0) * (self.height_px or 0))

    @property
    def crack_area_mm2(self) -> float | None:
        """Sum over the cracks that count of length times median width, in mm²; None without a scale at all of them."""
        if self.scale is None:
            return None
        areas = [crack.area_mm2 for crack in self.counted_cracks]
        known = [area for area in areas if area is not None]
        return sum(known) if len(known) == len(areas) else None

    def to_dict(self) -> dict[str, Any]:
        """Give the result without its map, ready for JSON; ``schema_version`` is the version of this format.

        Example:
            >>> import crackscope
            >>> found = next(crackscope.scan(crackscope.draw_patch(3).pixels)).to_dict()
            >>> found["schema_version"], found["verdict"], found["unit"], found["width_px"]
            (1, 'crack', 'patch', 227)
        """
        own = {one.name: getattr(self, one.name) for one in fields(self) if one.name != "map"}
        own |= {
            "peak_xy": list(self.peak_xy) if self.peak_xy else None,
            "regions": [_region_dict(region) for region in self.regions],
            "cracks": [crack.to_dict() for crack in self.cracks],
            "scale": self.scale.to_dict() if self.scale else None,
            "scale_notes": [asdict(note) for note in self.scale_notes],
            "taken_at": self.taken_at.isoformat() if self.taken_at else None,
        }
        return {"schema_version": SCHEMA_VERSION} | own

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> PhotoResult:
        """Make a result from a dictionary of `to_dict`; it has no map.

        Args:
            found: The dictionary; unknown keys are ignored.

        Returns:
            A result that equals the original one.

        Raises:
            DataError: If the dictionary is of a newer version.
        """
        if (version := found.get("schema_version", SCHEMA_VERSION)) > SCHEMA_VERSION:
            raise DataError(f"this photo's result has version {version}, not {SCHEMA_VERSION}. Upgrade crackscope.")
        own = {one.name: found[one.name] for one in fields(cls) if one.name in found}
        own |= {
            "peak_xy": tuple(own["peak_xy"]) if own.get("peak_xy") else None,
            "regions": tuple(_region_from(region) for region in own.get("regions", ())),
            "cracks": tuple(Crack.from_dict(crack) for crack in own.get("cracks", ())),
            "scale": Scale.from_dict(own["scale"]) if own.get("scale") else None,
            "scale_notes": tuple(ScaleNote.from_dict(note) for note in own.get("scale_notes", ())),
            "taken_at": datetime.fromisoformat(own["taken_at"]) if own.get("taken_at") else None,
        }
        return cls(**own)

    def _repr_html_(self) -> str:
        """Show verdict, regions, cracks and map in a notebook."""
        told = {
            "photo": self.path,
            "verdict": self.error or " ".join(filter(None, (self.verdict, self.reason))),
            "crack probability": "" if self.crack_probability is None else f"{self.crack_probability:.3f}",
            "regions": len(self.regions),
        }
        if self.traced_by is not None:
            length_px = sum(crack.length_px for crack in self.counted_cracks)
            told["cracks"] = f"{len(self.counted_cracks)}, {length_px:,.0f} px long in all"
        rows = "".join(f"<tr><th>{name}</th><td>{html.escape(str(value))}</td></tr>" for name, value in told.items())
        return f"<table>{rows}</table>{_picture(self.map, self.drawn_cracks)}"


def result_of(prepared: PreparedPhoto, found: CrackMap, card: Card, model: str) -> PhotoResult:
    """Make the result of a photo from its map.

    Args:
        prepared: The photo.
        found: Map of the photo.
        card: Card of the model.
        model: Name of the model.
    """
    return PhotoResult(
        path=prepared.path,
        model=model,
        verdict=verdict_of(found, card),
        reason=found.reason,
        crack_probability=found.deciding_probability,
        threshold=(card.patch if found.unit == "patch" else card.verdict_rule).threshold,
        peak_xy=(found.accepted.x_px, found.accepted.y_px) if found.accepted else found.peak_xy,
        regions=tuple(found.regions()),
        unit=prepared.unit,
        width_px=prepared.photo_hw[1],
        height_px=prepared.photo_hw[0],
        network_scale=prepared.network_scale,
        scale=prepared.scale,
        scale_notes=prepared.scale_notes,
        taken_at=prepared.taken_at,
        latitude_deg=prepared.latitude_deg,
        longitude_deg=prepared.longitude_deg,
        page=prepared.page,
        map=found,
    )


def refused(path: str, model: str, why: str) -> PhotoResult:
    """Make the result of a photo that could not be scanned."""
    return PhotoResult(path=path, model=model, error=why)


def verdict_of(found: CrackMap, card: Card) -> str:
    """Verdict of a photo: ``rejected``, else ``crack``, ``unsure`` or ``uncracked`` by the probability that decides.

    The card states how often verdicts were wrong (`crackscope.model.card.Verdict`).
    """
    if found.reason is not None:
        return "rejected"
    return (card.patch if found.unit == "patch" else card.verdict_rule).label(found.deciding_probability)


def _region_dict(region: Region) -> dict[str, Any]:
    return asdict(region) | {"box_xyxy": list(region.box_xyxy), "peak_xy": list(region.peak_xy)}


def _region_from(found: Mapping[str, Any]) -> Region:
    pairs = {name: tuple(found[name]) for name in ("box_xyxy", "peak_xy")}
    known = {one.name: found[one.name] for one in fields(Region) if one.name in found}
    return Region(**(known | pairs))


def _picture(found: CrackMap | None, cracks: tuple[Crack, ...]) -> str:
    if found is None:
        return ""
    picture = draw_map(found.probabilities, found.strengths, threshold=found.calibration.threshold)
    if cracks:  # the cells of the map may reach over the photo's right and lower edge
        reach_hw = found.logits.shape[0] * found.cell_px[0], found.logits.shape[1] * found.cell_px[1]
        draw_cracks(picture, cracks, reach_hw)
    content = base64.b64encode(picture_bytes(picture, ".png")).decode("ascii")
    return f'<img alt="crack map" src="data:image/png;base64,{content}">'
