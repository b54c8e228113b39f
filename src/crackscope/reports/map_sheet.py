"""Map sheets: the worst and the best crack maps of an evaluation on photos, with the labels drawn over them."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError
from crackscope.measuring.photo_evaluation import PhotoEvaluation
from crackscope.measuring.scanned_photos import ScannedPhoto
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["map_sheet"]


_N_OF_EACH = 6
_SIDE_PX = 400
_LABELLED = (0, 114, 178)  # blue; readers with any colour vision can tell it from the map's amber and vermilion


def map_sheet(evaluation: PhotoEvaluation) -> UInt8Array:
    """Draw up to six maps of the photos with the least AUROC, then up to six with the greatest.

    The model calls the tinted cells crack. Blue frames are tiles labelled crack. Photos whose tiles all have one label
    rank last, since they have no AUROC. Photos are read again, and one that is gone is left out.

    Returns:
        The sheet, RGB, uint8, shape (height, width, 3).
    """
    ranked = sorted(evaluation.scanned, key=_score)
    chosen = ranked if len(ranked) <= 2 * _N_OF_EACH else ranked[:_N_OF_EACH] + ranked[-_N_OF_EACH:]
    items = []
    for one in chosen:
        try:
            picture = _framed(one)
        except (OSError, DataError):
            continue
        score = _score(one)
        told = "one label only" if score > 1 else f"AUROC {score:.3f}"
        items.append((picture, f"{one.photo.name}\n{told}"))
    title = f"The worst and the best of {len(ranked)} maps; blue: labelled crack; tinted: found"
    return contact_sheet(items, columns=4, side_px=_SIDE_PX, title=title, alert=evaluation.tiles.leaky)


def _score(one: ScannedPhoto) -> float:
    """Compute the AUROC of a photo's tiles; 1.5 if all tiles have one label."""
    labels = one.photo.labels
    return 1.5 if len(np.unique(labels)) < 2 else float(roc_auc_score(labels, one.logits))


def _framed(one: ScannedPhoto) -> UInt8Array:
    pixels, _ = one.photo.load()
    picture: UInt8Array = one.map.overlay(pixels, longest_px=_SIDE_PX)
    boxes = one.photo.boxes_xyxy((picture.shape[0], picture.shape[1]))
    for (left, top, right, bottom), label in zip(boxes, one.photo.labels, strict=True):
        if label:
            corners = (round(left), round(top)), (round(right) - 1, round(bottom) - 1)
            cv2.rectangle(picture, *corners, _LABELLED, 1)
    return picture
