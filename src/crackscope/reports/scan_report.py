"""The page of a scan: photos ranked, each with its map to switch, to zoom and to set a threshold on. One file."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from crackscope.arrays import UInt8Array
from crackscope.errors import CrackscopeError
from crackscope.files.output import write_text
from crackscope.reports.page import data_uri, environment, picture_bytes
from crackscope.scanning.overlay import shrunk
from crackscope.scanning.scanner import Scanner

__all__ = ["write_scan_report"]


_N_SHOWN = 24
_PHOTO_PX = 1280
_JPEG_QUALITY = 80
_N_LISTED = 2000
_N_REFUSED_LISTED = 50


def write_scan_report(
    ranked: Sequence[dict[str, Any]],
    folder: Path,
    scanner: Scanner,
    *,
    read_photo: Callable[[str], UInt8Array],
) -> None:
    """Write ``report.html`` into a folder that holds the maps.

    The first 24 photos are shown with their maps, in a copy of at most 1,280 px; the first 2,000 are listed.

    Args:
        ranked: Rows of `crackscope.reports.scan_run`, in their order.
        folder: With the ``maps``.
        scanner: The model.
        read_photo: From a path to RGB uint8 pixels. A photo that it refuses is listed, but not shown.
    """
    done = [row for row in ranked if not row["error"]]
    refused = [row for row in ranked if row["error"]]
    shown = [view for row in done[:_N_SHOWN] if (view := _view(row, folder, scanner, read_photo)) is not None]
    page = (
        environment()
        .get_template("scan.html")
        .render(
            model=scanner.name,
            card=scanner.card,
            calibration=scanner.calibration,
            verdict_threshold=scanner.threshold,
            counts=Counter(row["verdict"] for row in done),
            photos=done[:_N_LISTED],
            n_photos=len(done),
            shown=shown,
            refused=refused[:_N_REFUSED_LISTED],
            n_refused=len(refused),
        )
    )
    write_text(folder / "report.html", page, overwrite=True)


def _view(
    row: dict[str, Any], folder: Path, scanner: Scanner, read_photo: Callable[[str], UInt8Array]
) -> dict[str, Any] | None:
    """What the page needs of one photo: the picture, the map's levels and how far the map reaches over its edges."""
    try:
        picture = shrunk(read_photo(row["path"]), _PHOTO_PX)
    except (OSError, CrackscopeError):  # it went after it was scanned
        return None
    content = np.frombuffer((folder / row["map"]).read_bytes(), np.uint8)
    levels = np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)
    stride = scanner.field.stride_px
    reach_y, reach_x = (
        100 * n_cells * stride / max(1, round(side * row["scale"]))
        for n_cells, side in zip(levels.shape, (row["height_px"], row["width_px"]), strict=True)
    )
    return {
        **row,
        "picture": data_uri(picture_bytes(picture, ".jpg", quality=_JPEG_QUALITY), "jpeg"),
        "picture_hw": picture.shape[:2],
        "levels": base64.b64encode(levels.tobytes()).decode("ascii"),
        "cells_hw": levels.shape,
        "reach_percent": (reach_y, reach_x),
    }
