"""Scan reports: the page of a scan, one file, with ranked photos, their cracks, and maps to switch, zoom and filter."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import CrackscopeError
from crackscope.files.output import write_text
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.scale import COVERAGE
from crackscope.reports.crack_tables import crack_cells
from crackscope.reports.crack_views import crack_notes, crack_views
from crackscope.reports.page import data_uri, environment
from crackscope.reports.scanned_rows import ScannedRow, cells_name, thumb_name
from crackscope.scanning.crack_lines import COLOURS
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.overlay import shrunk
from crackscope.scanning.photo_scan import Trace
from crackscope.scanning.results import PhotoResult

__all__ = ["write_scan_report"]


_N_SHOWN = 24
_N_TAKE_AGAIN = 12
_PHOTO_PX = 1280
_JPEG_QUALITY = 80
_N_LISTED = 2000
_N_REFUSED_LISTED = 50
_N_THUMBS = 500  # that the page holds; the list shows the others out of the folder


def write_scan_report(
    ranked: Sequence[ScannedRow],
    folder: Path,
    model: Model,
    *,
    read_photo: Callable[[ScannedRow], UInt8Array],
    trace: Trace = "found",
) -> None:
    """Write ``report.html`` into a folder that holds the maps.

    The first 24 photos are shown with their maps and cracks, in a copy of at most 1,280 px, and so are the first 12
    blurred ones that show a crack. The first 2,000 photos are listed, with thumbnails. A note names photos that are not
    shown since their file was changed or removed after it was scanned.

    Args:
        ranked: Rows in the order in which they are shown.
        folder: Folder with the ``maps``, and perhaps with ``thumbs``.
        model: The model.
        read_photo: Function from a row to RGB pixels, uint8, shape (h, w, 3). A photo that it refuses is listed, but
            not shown.
        trace: Photos whose lines were traced.
    """
    done = [(rank, row) for rank, row in enumerate(ranked, start=1) if not row.result.error]
    refused = [row.result for row in ranked if row.result.error]
    again = [(rank, row) for rank, row in done if row.take_again]
    first = [(rank, row) for rank, row in done if not row.take_again][:_N_SHOWN]
    alarming = [row.result.verdict in ("crack", "unsure") for _, row in first]

    without_picture: list[str] = []

    def views(some: Sequence[tuple[int, ScannedRow]]) -> list[dict[str, Any]]:
        found = [(row, _view(rank, row, folder, model, read_photo, trace)) for rank, row in some]
        without_picture.extend(row.result.path for row, view in found if view is None)
        return [view for _, view in found if view is not None]

    shown, others = (
        views([one for one, is_alarming in zip(first, alarming, strict=True) if is_alarming is wanted])
        for wanted in (True, False)
    )
    take_again = views(again[:_N_TAKE_AGAIN])
    calibration = model.card.map_calibration
    reach = 1.0 if calibration.region_from is None else calibration.threshold
    page = (
        environment()
        .get_template("scan.html")
        .render(
            model=model.name,
            card=model.card,
            calibration=calibration,
            region_from=calibration.threshold if calibration.region_from is None else calibration.region_from,
            reach=reach,
            rule=model.card.verdict_rule,
            counts=Counter(row.result.verdict for _, row in done),
            photos=_listed(
                done[:_N_LISTED],
                folder,
                {view["rank"] for view in (*shown, *take_again, *others)},
                reach,
            ),
            listed_mm=_all_in_mm(done),
            traced=trace is not None,
            colours=[f"rgb({red} {green} {blue})" for red, green, blue in COLOURS],
            n_photos=len(done),
            shown=shown,
            take_again=take_again,
            others=others,
            without_picture=without_picture,
            n_take_again=len(again),
            refused=refused[:_N_REFUSED_LISTED],
            n_refused=len(refused),
        )
    )
    write_text(folder / "report.html", page, overwrite=True)


def _view(
    rank: int,
    row: ScannedRow,
    folder: Path,
    model: Model,
    read_photo: Callable[[ScannedRow], UInt8Array],
    trace: Trace,
) -> dict[str, Any] | None:
    """What the page needs of one photo: its picture, cracks, map and cells, and how far these reach over its edges."""
    found = row.result
    try:
        pixels = read_photo(row)
        picture, cracks = shrunk(pixels, _PHOTO_PX), crack_views(found, pixels)
        del pixels
    except (OSError, CrackscopeError):  # it went, or was changed, after it was scanned
        return None
    levels, strengths = (_levels(folder, name) for name in (row.map, cells_name(str(row.map))))
    stride = model.network.field.stride_px
    reach_y, reach_x = (
        100 * n_cells * stride / max(1, round((side or 0) * (found.network_scale or 0)))
        for n_cells, side in zip(levels.shape, (found.height_px, found.width_px), strict=True)
    )
    return {
        "rank": rank,
        "photo": found,
        "picture": data_uri(picture_bytes(picture, ".jpg", quality=_JPEG_QUALITY), "jpeg"),
        "picture_hw": picture.shape[:2],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
        "strengths": base64.b64encode(strengths.tobytes()).decode("ascii"),
        "cells_hw": levels.shape,
        "reach_percent": (reach_y, reach_x),
        "scale": scale_text(found),
        "cracks": cracks,
        "notes": crack_notes(found, trace),
    }


def _listed(
    done: Sequence[tuple[int, ScannedRow]], folder: Path, shown: set[int], reach: float
) -> list[dict[str, Any]]:
    """What the list of all photos tells of each."""
    return [
        {
            "rank": rank,
            "photo": row.result,
            "regions_at": _regions_at(_levels(folder, row.map), reach),
            "href": f"#photo-{rank}" if rank in shown else quote(row.overlay or ""),
            "thumb": _thumb(folder, row.overlay, embedded=i < _N_THUMBS),
            "cells": crack_cells(row.result),
        }
        for i, (rank, row) in enumerate(done)
    ]


def _thumb(folder: Path, overlay: str | None, *, embedded: bool) -> str | None:
    """Address of the thumbnail of a photo; None if there is none."""
    name = thumb_name(overlay) if overlay else ""
    if not name or not (folder / name).is_file():
        return None
    return data_uri((folder / name).read_bytes(), "jpeg") if embedded else quote(name)


def _all_in_mm(done: Sequence[tuple[int, ScannedRow]]) -> bool:
    """Whether all photos with cracks that count have them in mm."""
    found = [row.result for _, row in done if row.result.counted_cracks]
    return bool(found) and all(crack_cells(one)["crack_length_mm"] is not None for one in found)


def scale_text(found: PhotoResult) -> str:
    """Sentences on the millimetres per pixel of a photo; empty if nothing is known of them."""
    told = [f"{one.text[0].upper()}{one.text[1:]}." for one in found.scale_notes]
    scale = found.scale
    if scale is None:
        return " ".join(["No scale, so nothing is given in millimetres.", *told] if told else [])
    source = {"given": "as given", "table": "by the table of scales"}.get(scale.source, f"by {scale.source}")
    if scale.is_approximate:
        source += ", approximate"
    first = f"{scale.mm_per_px:.4g} mm per px {'at the marker' if scale.plane else source}"
    sentences = [f"{first}{_share(scale.relative_uncertainty)}."]
    if scale.plane is not None and found.peak_xy is not None:
        x, y = found.peak_xy
        there = scale.at(x, y)
        if there.uncertainty_mm_per_px is not None and np.isfinite(there.mm_per_px):
            share = _share(float(there.uncertainty_mm_per_px / there.mm_per_px))
            sentences.append(
                f"At the place to look at first, {scale.sides_away(x, y):.1f} sides of the marker away from it: "
                f"{float(there.mm_per_px):.4g} mm per px{share}, if the surface lies in the marker's plane."
            )
    if found.smallest_width_mm is not None:
        sentences.append(f"Widths from {found.smallest_width_mm:.2g} mm on can be measured in this photo.")
    return " ".join([*sentences, *told])


def _share(relative_uncertainty: float | None) -> str:
    """Half of a 95 % interval in percent, in brackets."""
    if relative_uncertainty is None:
        return " (uncertainty not stated)"
    return f" (± {100 * COVERAGE * relative_uncertainty:.2g} %)"


def _levels(folder: Path, name: str | None) -> UInt8Array:
    content = np.frombuffer((folder / str(name)).read_bytes(), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def _regions_at(levels: UInt8Array, reach: float) -> str:
    """Number of regions that hold a cell of .01, .02, … .99 and more, for the page's slider.

    Args:
        levels: 255 times the probability of each cell, shape (h, w), uint8.
        reach: Probability as far as which a region reaches; 1 if it ends at what the slider says.
    """
    counts = []
    peaks = _peaks(levels, 255 * reach)
    for percent in range(1, 100):
        own = percent / 100 >= reach
        counts.append(int(((peaks if own else _peaks(levels, 2.55 * percent)) >= 2.55 * percent).sum()))
    return " ".join(map(str, counts))


def _peaks(levels: UInt8Array, low: float) -> UInt8Array:
    """Greatest level of each connected stretch of cells that reach a level."""
    n, numbers = cv2.connectedComponents((levels >= low).astype(np.uint8), connectivity=8)
    peaks = np.zeros(n, np.uint8)
    np.maximum.at(peaks, numbers.astype(np.int64).ravel(), levels.ravel())
    return peaks[1:]
