"""Figures of a bundle on METU and SDNET2018, for patches alone and for tiles read from the maps of their photos."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import crackscope
from crackscope.data.joined import join_indexes
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid
from crackscope.data.patches import PatchIndex
from crackscope.measuring.evaluation import metrics_document
from crackscope.measuring.metrics import METRICS
from crackscope.measuring.photo_evaluation import measure_photos
from crackscope.measuring.scanned_photos import ScannedPhoto, scan_labelled
from crackscope.model.bundle import Bundle
from crackscope.scanning.loaded_model import Model
from default_sets import METU, part_of

KEPT = (*METRICS, "n_patches", "n_photos", "n_crack", "leaky")
OF_PHOTOS = ("recall_at_one_false_region", "pointing_accuracy")
SHOWN = {  # figures by the titles of their columns
    "accuracy": "accuracy",
    "recall": "recall_crack",
    "precision": "precision_crack",
    "F1": "f1_crack",
    "AUROC": "auroc",
    "average precision": "average_precision",
    "ECE": "ece",
}
SHOWN_OF_PHOTOS = {"recall at 1 false region": OF_PHOTOS[0], "pointing": OF_PHOTOS[1]}
Figures = dict[str, dict[str, Any]]


def patch_figures(bundle: Bundle, sets: Mapping[str, PatchIndex], part: str | None) -> Figures:
    """Measure figures of patches, for each set alone and for the surfaces together."""
    model, found = crackscope.load(bundle), {}
    surfaces = {name: index for name, index in sets.items() if name != METU}
    if len(surfaces) > 1:
        sets = {**sets, "sdnet2018": join_indexes(surfaces)}
    for name, index in sets.items():
        document = metrics_document(crackscope.evaluate(index, model, part=part, allow_leakage=True))
        found[f"{name}, {part or 'all'}"] = {key: document[key] for key in KEPT}
    return found


def photo_figures(
    bundle: Bundle, sets: Mapping[str, list[LabelledPhoto]], part: str
) -> tuple[Figures, list[ScannedPhoto]]:
    """Measure figures of tiles in the maps of photos, for each set and for all together; give the maps, too."""
    model = Model(bundle)
    every: list[ScannedPhoto] = []
    found: Figures = {}
    for name, photos in sets.items():
        scanned, _ = scan_labelled(photos, model)
        every += scanned
        found |= _of_maps(scanned, model, f"{name}, photos, {part}")
    return found | (_of_maps(every, model, f"sdnet2018, photos, {part}") if len(sets) > 1 else {}), every


def _of_maps(scanned: list[ScannedPhoto], model: Model, name: str) -> Figures:
    found = measure_photos(scanned, model, dataset=name)
    document = metrics_document(found.tiles) | found.figures.document()
    return {name: {key: document[key] for key in (*KEPT, *OF_PHOTOS)}}


def photos_of(sets: Mapping[str, PatchIndex], grid: str, part: str | None) -> dict[str, list[LabelledPhoto]]:
    """Put the photos of the surfaces together from their tiles."""
    parts = {name: index if part is None else part_of(index, part) for name, index in sets.items() if name != METU}
    return {name: photos_by_grid(index, grid) for name, index in parts.items()}


def print_figures(figures: Figures, title: str) -> None:
    """Write a table of patches judged alone, and a table of tiles read from maps."""
    of_photos = {name: found for name, found in figures.items() if OF_PHOTOS[0] in found}
    alone = {name: found for name, found in figures.items() if name not in of_photos}
    for rows, columns in ((alone, SHOWN), (of_photos, SHOWN | SHOWN_OF_PHOTOS)):
        print(f"\n| {title} | patches (cracked) | " + " | ".join(columns) + " |")
        print("| --- " * (2 + len(columns)) + "|")
        for name, found in rows.items():
            cells = [shown(found[key]) for key in columns.values()]
            mark = " (leaky)" if found["leaky"] else ""
            print(
                f"| {name}{mark} | {found['n_patches']:,} ({found['n_crack']:,}) | " + " | ".join(cells) + " |",
                flush=True,
            )


def shown(figure: dict[str, float | None]) -> str:
    """Write a figure with its interval; some figures are undefined if there is only one label."""
    value, low, high = ("n/a" if figure[end] is None else f"{figure[end]:.4f}" for end in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"
