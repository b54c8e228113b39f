"""Rows of a scan: photos with their files, the order in which to look at them, and the table ``photos.csv``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crackscope.files.tables import table_text
from crackscope.reports.crack_tables import crack_cells
from crackscope.scanning.results import ALARMING, PhotoResult

__all__ = ["PHOTO_COLUMNS", "ScannedRow", "cells_name", "photo_table", "rank", "thumb_name"]

PHOTO_COLUMNS = (
    *("rank", "path", "verdict", "reason", "crack_probability", "n_regions"),
    *("n_cracks", "crack_length_px", "crack_length_mm", "crack_area_px2", "crack_area_mm2"),
    *("greatest_median_width_px", "greatest_median_width_mm", "smallest_width_mm", "blur_px", "traced_by"),
    *("width_px", "height_px", "network_scale", "mm_per_px", "uncertainty_mm_per_px", "scale_source", "scale_notes"),
    *("map", "overlay", "taken_at", "latitude_deg", "longitude_deg", "page", "error"),
)
"""Columns of ``photos.csv``."""

_OF_SCALE = ("mm_per_px", "uncertainty_mm_per_px")


@dataclass(frozen=True)
class ScannedRow:
    """A photo of a scan's folder.

    Attributes:
        result: What is known of it.
        map: Name of the picture of its map in the folder; None where it could not be scanned.
        overlay: Name of its overlay in the folder; None where it could not be scanned.
        sha256: SHA-256 of the file that was scanned; None for a photo in memory, or one that could not be scanned.
    """

    result: PhotoResult
    map: str | None = None
    overlay: str | None = None
    sha256: str | None = None

    @property
    def take_again(self) -> bool:
        """Whether the photo is rejected as blurred, and yet shows what would be a crack in a sharp one."""
        found = self.result
        return found.reason == "blurred" and (found.crack_probability or 0.0) >= (found.threshold or 1.0)

    def cell(self, column: str, rank: int) -> Any:
        """Value of a column of ``photos.csv``; `rank` is the place of the row, from 1."""
        found = self.result
        own = {
            "rank": rank,
            "map": self.map,
            "overlay": self.overlay,
            "n_regions": None if found.error else len(found.regions),
            "scale_source": found.scale.source if found.scale else None,
            "scale_notes": " | ".join(note.text for note in found.scale_notes) or None,
            "taken_at": found.taken_at.isoformat() if found.taken_at else None,
            **crack_cells(found),
        }
        if column in own:
            return own[column]
        if column in _OF_SCALE:
            return getattr(found.scale, column) if found.scale else None
        return getattr(found, column)

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON; its path stands at the top, for the journal."""
        return {"path": self.result.path, "error": self.result.error} | {
            "result": self.result.to_dict(),
            "map": self.map,
            "overlay": self.overlay,
            "sha256": self.sha256,
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> ScannedRow:
        """What `to_dict` gave."""
        return cls(PhotoResult.from_dict(found["result"]), found["map"], found["overlay"], found.get("sha256"))


def rank(rows: Sequence[ScannedRow], *, by_regions: bool = False) -> list[ScannedRow]:
    """Rows in the order in which to look at them.

    First come the photos that are ``crack`` or ``unsure``, by what was found in them: the sum of length times median
    width over the cracks that count. It is compared in mm² if all of these photos have it, else as a share of the
    photo's area. Next come the blurred photos that show a crack and are to be taken again, then the ``uncracked`` ones,
    then the other rejected ones, and last those that could not be read. Among equals and in all other groups, the
    greatest crack probability comes first.

    Args:
        rows: The rows, in the order of the source.
        by_regions: Whether no lines were traced. The area of the regions that decide, as a share of the photo's area,
            is then compared instead.
    """
    alarming = [row.result for row in rows if _group(row) == 0]
    in_mm = all(found.crack_area_mm2 is not None for found in alarming)

    def extent(found: PhotoResult) -> float:
        if by_regions:
            return _region_share(found)
        return (found.crack_area_mm2 or 0.0) if in_mm else found.crack_area_share

    def order(row: ScannedRow) -> tuple[int, float, float]:
        found, group = row.result, _group(row)
        return group, -extent(found) if group == 0 else 0.0, -(found.crack_probability or 0.0)

    return sorted(rows, key=order)


def _group(row: ScannedRow) -> int:
    found = row.result
    if found.error is not None:
        return 4
    if row.take_again:
        return 1
    if found.reason is not None:
        return 3
    return 0 if found.verdict in ALARMING else 2


def _region_share(found: PhotoResult) -> float:
    area_px = sum(region.area_px for region in found.regions if region.reason is None)
    return area_px / max(1, (found.width_px or 0) * (found.height_px or 0))


def cells_name(map_name: str) -> str:
    """Name of the picture of the cells that belongs to the picture of a map."""
    return f"cells/{map_name.rpartition('/')[2]}"


def thumb_name(overlay: str) -> str:
    """Name of the thumbnail that belongs to an overlay."""
    return f"thumbs/{overlay.rpartition('/')[2]}"


def photo_table(ranked: Sequence[ScannedRow]) -> str:
    """Text of ``photos.csv``.

    Args:
        ranked: Rows in their order.
    """
    cells = ([_cell(name, row.cell(name, rank)) for name in PHOTO_COLUMNS] for rank, row in enumerate(ranked, 1))
    return table_text(PHOTO_COLUMNS, cells)


def _cell(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return f"{value:.7f}" if name.endswith("_deg") else f"{value:.6g}"
    return value
