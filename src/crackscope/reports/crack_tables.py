"""Tables of cracks: ``cracks.csv`` with a row a crack, ``cracks.json`` with all that is known, cells of ``photos.csv``.

A width that is not resolved is written as ``< X``. X is the upper end of its interval, but never below the smallest
width that can be measured there. No number below this limit is ever told as a width, not even by rounding.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from crackscope.files.tables import table_lines
from crackscope.geometry.cracks import Crack
from crackscope.geometry.widths import WidthEstimate, WidthMm, width_text
from crackscope.scanning.results import ALARMING, PhotoResult

__all__ = ["CRACKS_VERSION", "CRACK_COLUMNS", "crack_cells", "crack_table", "cracks_document"]

CRACKS_VERSION = 1
"""Version of the form of ``cracks.json``."""

_FIGURES = ("median", "p90", "maximum")
_SHARES = ("resolved_share", "filled_share", "lit_share", "spalled_share", "wet_share")

CRACK_COLUMNS = (
    *("photo_rank", "path", "number", "id", "counted", "joint_like"),
    *("length_px", "length_mm", "length_uncertainty_mm"),
    *(f"{name}_width_{end}{unit}" for unit in ("px", "mm") for name in _FIGURES for end in ("", "low_", "high_")),
    *("maximum_x_px", "maximum_y_px", "smallest_width_px", "smallest_width_mm", "mm_per_px", "uncertainty_mm_per_px"),
    *("direction_deg", "direction_strength", "pattern", "tortuosity", "confidence"),
    *("left_px", "top_px", "right_px", "bottom_px", *_SHARES, "n_branches", "n_ends", "n_junctions", "traced_by"),
)
"""Columns of ``cracks.csv``."""


def crack_cells(found: PhotoResult) -> dict[str, Any]:
    """Cells of ``photos.csv`` that tell of cracks; those of the cracks that count are None if the photo was not traced.

    Args:
        found: Result of the photo.
    """
    names = ("n_cracks", "crack_length_px", "crack_length_mm", "crack_area_px2", "crack_area_mm2")
    widths = ("greatest_median_width_px", "greatest_median_width_mm", "smallest_width_mm")
    cells: dict[str, Any] = dict.fromkeys((*names, *widths))
    cells["smallest_width_mm"] = found.smallest_width_mm
    if found.traced_by is None:
        return cells
    cracks = found.counted_cracks
    measured = [crack.width for crack in cracks if crack.width is not None]
    in_mm = [crack.mm for crack in cracks if crack.mm is not None]
    cells["n_cracks"] = len(cracks)
    cells["crack_length_px"] = float(sum(crack.length_px for crack in cracks))
    if found.scale is not None and len(in_mm) == len(cracks):
        cells["crack_length_mm"] = float(sum(one.length_mm for one in in_mm))
    cells["crack_area_px2"] = float(found.crack_area_px2)
    cells["crack_area_mm2"] = None if found.crack_area_mm2 is None else float(found.crack_area_mm2)
    medians_px = [(one.median.resolved, one.median.width_px, i) for i, one in enumerate(measured)]
    if medians_px:  # a resolved one counts before one that is only known to lie below a limit
        widest = measured[max(medians_px)[-1]]
        cells["greatest_median_width_px"] = width_text(widest.median, widest.smallest_px)
    medians_mm = [(one.median.resolved, one.median.width_mm, i) for i, one in enumerate(in_mm) if one.median]
    if medians_mm:
        widest_mm = in_mm[max(medians_mm)[-1]]
        assert widest_mm.median is not None
        cells["greatest_median_width_mm"] = width_text(widest_mm.median, widest_mm.smallest_mm)
    return cells


def crack_table(ranked: Iterable[PhotoResult]) -> Iterator[str]:
    """Lines of ``cracks.csv``.

    Args:
        ranked: Results in the order of ``photos.csv``.
    """
    rows = (
        [_cell(cells[name]) for name in CRACK_COLUMNS]
        for rank, found in enumerate(ranked, 1)
        for number, crack in enumerate(found.numbered_cracks, 1)
        for cells in [_cells(rank, found, number, crack)]
    )
    return table_lines(CRACK_COLUMNS, rows)


def _cells(rank: int, found: PhotoResult, number: int, crack: Crack) -> dict[str, Any]:
    own = {name: getattr(crack, name) for name in ("id", "length_px", "direction_deg", "direction_strength", "pattern")}
    own |= {"photo_rank": rank, "path": found.path, "number": number, "traced_by": found.traced_by}
    own |= {"counted": _word(_counts(found, crack)), "joint_like": _word(crack.joint_like)}
    own |= {"tortuosity": crack.tortuosity, "confidence": crack.mean_confidence}
    own |= dict(zip(("left_px", "top_px", "right_px", "bottom_px"), crack.box_xyxy, strict=True))
    own |= {"n_branches": len(crack.path_xy), "n_ends": crack.n_ends, "n_junctions": crack.n_junctions}
    return dict.fromkeys(CRACK_COLUMNS) | own | _width_cells(crack) | _mm_cells(crack)


def _width_cells(crack: Crack) -> dict[str, Any]:
    width = crack.width
    if width is None:
        return {}
    cells: dict[str, Any] = {name: getattr(width, name) for name in _SHARES}
    cells |= {"maximum_x_px": width.maximum_xy[0], "maximum_y_px": width.maximum_xy[1]}
    cells["smallest_width_px"] = width.smallest_px
    for name in _FIGURES:
        one: WidthEstimate = getattr(width, name)
        cells[f"{name}_width_px"] = width_text(one, width.smallest_px)
        cells |= {f"{name}_width_low_px": one.low_px, f"{name}_width_high_px": one.high_px}
    return cells


def _mm_cells(crack: Crack) -> dict[str, Any]:
    mm = crack.mm
    if mm is None:
        return {}
    cells: dict[str, Any] = {"length_mm": mm.length_mm, "length_uncertainty_mm": mm.length_uncertainty_mm}
    cells |= {"mm_per_px": mm.mm_per_px, "uncertainty_mm_per_px": mm.uncertainty_mm_per_px}
    cells["smallest_width_mm"] = mm.smallest_mm
    for name in _FIGURES:
        one: WidthMm | None = getattr(mm, name)
        if one is not None:
            cells[f"{name}_width_mm"] = width_text(one, mm.smallest_mm)
            cells |= {f"{name}_width_low_mm": one.low_mm, f"{name}_width_high_mm": one.high_mm}
    return cells


def cracks_document(ranked: Sequence[PhotoResult], model: str) -> Iterator[str]:
    """Pieces of ``cracks.json``: one line a crack, so that it can be searched line by line.

    ``crackscope/assets/cracks.schema.json`` is its JSON Schema.

    Args:
        ranked: Results in the order of ``photos.csv``.
        model: Name of the model.
    """
    units = {
        "px": "pixels of the upright photo; (0, 0) is the middle of the first pixel",
        "mm": "millimetres by the scale of the photo",
        "deg": "degrees from the horizontal; 45 rises to the right",
    }
    head = {"schema_version": CRACKS_VERSION, "model": model, "units": units}
    yield "{\n" + "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items()) + ' "photos": ['
    traced = [(rank, found) for rank, found in enumerate(ranked, 1) if found.traced_by is not None]
    for i, (rank, found) in enumerate(traced):
        photo = {"rank": rank} | {name: getattr(found, name) for name in ("path", "verdict", "width_px", "height_px")}
        photo |= {"traced_by": found.traced_by, "blur_px": found.blur_px}
        photo["scale"] = found.scale.to_dict() if found.scale else None
        yield (",\n  " if i else "\n  ") + json.dumps(photo, allow_nan=False)[:-1] + ', "cracks": ['
        for number, crack in enumerate(found.numbered_cracks, 1):
            own = {"number": number, "counted": _counts(found, crack)} | crack.to_dict()
            yield (",\n   " if number > 1 else "\n   ") + json.dumps(own, allow_nan=False)
        yield "]}"
    yield "]\n}\n"


def _counts(found: PhotoResult, crack: Crack) -> bool:
    return found.verdict in ALARMING and not crack.joint_like


def _word(said: bool) -> str:
    return "yes" if said else "no"


def _cell(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
