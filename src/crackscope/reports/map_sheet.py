"""Map sheets: the best and the worst maps of an evaluation on photos, what was found beside what is labelled."""

from __future__ import annotations

import cv2
import numpy as np
from sklearn.metrics import roc_auc_score

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError
from crackscope.measuring.photo_evaluation import PhotoEvaluation, ScannedPhoto
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["map_sheet"]


_N_OF_EACH = 6
_SIDE_PX = 400
_LABELLED = (0, 114, 178)  # blue, told from the map's amber and vermilion by readers of any colour vision


def map_sheet(evaluation: PhotoEvaluation) -> UInt8Array:
    """Up to six maps of the least AUROC per photo, then up to six of the greatest.

    Tinted is what the model calls crack; blue frames are tiles labelled so. Photos whose tiles have one label only come
    in where there are too few others. Photos are read again; one that went is left out.

    Returns:
        RGB uint8 (height, width, 3).
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
    """AUROC of a photo's tiles; above 1 where they have one label only."""
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
