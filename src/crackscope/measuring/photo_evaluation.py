"""Photo evaluation: how well maps find cracks in photos whose tiles are labelled, per tile, per region, per photo.

Tiles are judged as patches are (`crackscope.measuring.evaluation`), by the probability of their box in the photo's map.
Two figures more are of photos:

- *Recall at one false region a photo*: regions (see `crackscope.scanning.crack_map`) are drawn from a threshold at
  which there is on average one a photo that touches no cracked tile; recall is the share of cracked tiles that a region
  touches. (A point of the FROC curve, Bunch et al. 1978, with tiles in place of lesions.)
- *Pointing accuracy*: of the photos with a cracked tile, the share whose peak (the strongest cell of the most probable
  footprint) lies in one (the pointing game of Zhang et al. 2018, section 4.3).

Where photos have masks, traced lines are compared with those of the masks, and so is the line of the fine map, if the
model has one (`crackscope.measuring.line_figures`). Where joints are labelled, it is told how much of them is traced
(`crackscope.measuring.joint_figures`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.arrays import Float64Array, UInt8Array
from crackscope.data.grouping import widest_groups
from crackscope.data.labelled_joints import LabelledJoint
from crackscope.errors import DataError
from crackscope.measuring.estimates import LEAST_CLUSTERS, Estimate
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions, figures_html, metrics_document
from crackscope.measuring.intervals import percentile_interval, share_interval
from crackscope.measuring.joint_figures import JointFigures, compare_joints, joint_rows, measure_joints
from crackscope.measuring.line_figures import LineFigures, line_rows, measure_lines
from crackscope.measuring.lines import PhotoLines
from crackscope.measuring.scanned_photos import ScannedPhoto
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.results import TracedBy

__all__ = ["PhotoEvaluation", "PhotoFigures", "measure_photos", "tile_reader"]


_THRESHOLDS = np.concatenate([[1e-4, 1e-3, 3e-3], np.arange(0.01, 1, 0.01), [0.997, 0.999, 0.9999]])
_FALSE_REGIONS = 1.0  # a photo


@dataclass(frozen=True)
class PhotoFigures:
    """Figures of whole photos.

    Attributes:
        recall_at_one_false_region: Share of the cracked tiles that a region touches, at a threshold with on average one
            false region a photo.
        threshold: Probability from which regions are drawn for that recall.
        pointing_accuracy: Share of the photos with a cracked tile whose peak lies in a cracked tile.
        n_photos: Number of photos.
        n_cracked: Number of photos with a cracked tile.
    """

    recall_at_one_false_region: Estimate
    threshold: float
    pointing_accuracy: Estimate
    n_photos: int
    n_cracked: int

    def document(self) -> dict[str, object]:
        """Figures and counts as ``metrics.json`` holds them, ready for JSON."""
        return {
            "recall_at_one_false_region": self.recall_at_one_false_region.document(),
            "recall_at_one_false_region_threshold": self.threshold,
            "pointing_accuracy": self.pointing_accuracy.document(),
            "n_cracked_photos": self.n_cracked,
        }


@dataclass(frozen=True, eq=False)
class PhotoEvaluation:
    """Figures of tiles and of photos, and the maps they come from.

    Attributes:
        tiles: Evaluation of the tiles, each judged as a patch by its box in the map.
        figures: Figures of whole photos.
        scanned: Photos and their maps.
        calibrated: Whether the model has a calibration for photos; if not, that for patches was used.
        lines: Figures of the lines of fine maps; None if the photos have no masks, or the model has no fine map.
        traced: Figures of traced lines without what looks like joints; None if the photos have no masks.
        traced_by: What guided the tracing, ``fine map`` or ``ridges``; None if nothing was traced.
        joints: Figures of joints; None if none are labelled.
    """

    tiles: Evaluation
    figures: PhotoFigures
    scanned: tuple[ScannedPhoto, ...]
    calibrated: bool
    lines: LineFigures | None = None
    traced: LineFigures | None = None
    traced_by: TracedBy | None = None
    joints: JointFigures | None = None

    def document(self) -> dict[str, object]:
        """All figures as ``metrics.json`` holds them, ready for JSON."""
        kinds = {"lines": self.lines, "traced": self.traced, "joints": self.joints}
        more = {name: one.document() if one else None for name, one in kinds.items()}
        return metrics_document(self.tiles) | self.figures.document() | more | {"traced_by": self.traced_by}

    def _repr_html_(self) -> str:
        recall, pointing = self.figures.recall_at_one_false_region, self.figures.pointing_accuracy
        more = [("Recall at one false region a photo", recall), ("Pointing accuracy", pointing)]
        more += line_rows(self.lines) if self.lines else []
        more += line_rows(self.traced, "Traced line") if self.traced else []
        more += joint_rows(self.joints) if self.joints else []
        return figures_html(self.tiles, more=more)


def measure_photos(
    scanned: Sequence[ScannedPhoto],
    model: Model,
    *,
    dataset: str,
    part: str | None = None,
    split: str | None = None,
    refused: Sequence[tuple[str, str]] = (),
    n_leaks: int = 0,
    joints: Mapping[str, Sequence[LabelledJoint]] | None = None,
    joints_elsewhere: Sequence[str] = (),
    n_resamples: int = 1000,
    seed: int = 0,
) -> PhotoEvaluation:
    """Measure maps against the labels of tiles; intervals by bootstrap over scenes, else over photos.

    Args:
        scanned: Photos and their maps, from `scan_labelled`.
        model: Model that the photos were scanned with.
        dataset: Name of the data.
        part: Name of their part, for the record.
        split: Name of the split file, for the record.
        refused: Name and reason of photos that could not be scanned.
        n_leaks: Number of leaks of the split.
        joints: Joints of photos by the name of the photo, if they are labelled; photos with joints need masks.
        joints_elsewhere: Photos whose joints are labelled, too, and that are none of those that were to be scanned.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.

    Raises:
        DataError: If no photo is left.
    """
    if not scanned:
        raise DataError(f"{dataset}: none of {len(refused)} photos could be scanned; {refused[0][0]}: {refused[0][1]}.")
    calibration = model.card.map_calibration
    groups, kind = widest_groups([one.group for one in scanned for _ in one.photo.tiles])
    tiles = evaluate_predictions(
        np.concatenate([one.photo.labels for one in scanned]),
        np.concatenate([one.probabilities for one in scanned]),
        paths=[tile for one in scanned for tile in one.photo.tiles],
        photos=groups,
        photo_kind=kind,
        threshold=calibration.threshold,
        unsure_band=(calibration.unsure_low, calibration.unsure_high),
        dataset=dataset,
        part=part,
        split=split,
        model=model.name,
        model_sha256=model.sha256,
        n_leaks=n_leaks,
        n_seen=sum(one.n_seen for one in scanned),
        n_seen_by_backbone=sum(one.n_seen_by_backbone for one in scanned),
        refused=tuple(refused),
        n_resamples=n_resamples,
        seed=seed,
    )
    traced = _line_figures([(one, one.traced) for one in scanned], None, n_resamples, seed)
    threshold = model.card.fine_map.threshold if model.card.fine_map else None
    return PhotoEvaluation(
        tiles=tiles,
        figures=_figures(scanned, n_resamples, seed),
        scanned=tuple(scanned),
        calibrated=model.card.photo is not None,
        lines=_line_figures([(one, one.lines) for one in scanned], threshold, n_resamples, seed),
        traced=traced,
        traced_by=None if traced is None else "ridges" if model.card.fine_map is None else "fine map",
        joints=None if joints is None else _joint_figures(scanned, joints, joints_elsewhere),
    )


def tile_reader(evaluation: PhotoEvaluation) -> Callable[[str], UInt8Array]:
    """Reads the pixels of a tile by its name; its photo is read again, and the last one is remembered."""
    places = {
        tile: (one, box)
        for one in evaluation.scanned
        for tile, box in zip(one.photo.tiles, one.photo.boxes, strict=True)
    }
    last: dict[str, UInt8Array] = {}

    def read(tile: str) -> UInt8Array:
        one, (left, top, right, bottom) = places[tile]
        if one.photo.name not in last:
            last.clear()
            last[one.photo.name], _ = one.photo.load()
        pixels = last[one.photo.name]
        (height, width) = pixels.shape[:2]
        return pixels[round(top * height) : round(bottom * height), round(left * width) : round(right * width)]

    return read


def _line_figures(
    lines: Sequence[tuple[ScannedPhoto, PhotoLines | None]], threshold: float | None, n_resamples: int, seed: int
) -> LineFigures | None:
    """Figures of one kind of lines; None if no photo has it."""
    held = [(one, own) for one, own in lines if own is not None]
    if not held:
        return None
    clusters, kind = widest_groups([one.group for one, _ in held])
    return measure_lines(
        [own for _, own in held],
        threshold=threshold,
        clusters=clusters,
        cluster_kind=kind,
        n_resamples=n_resamples,
        seed=seed,
    )


def _joint_figures(
    scanned: Sequence[ScannedPhoto], joints: Mapping[str, Sequence[LabelledJoint]], elsewhere: Sequence[str]
) -> JointFigures:
    held = [one for one in scanned if one.photo.name in joints and one.cracks is not None]
    found = [
        compare_joints(name, [joint.path_xy for joint in joints[name]], one.cracks or (), one.map.photo_hw)
        for name, one in ((one.photo.name, one) for one in held)
    ]
    refused = joints.keys() - {one.photo for one in found}
    not_judged = {*elsewhere, *(joint.photo for name in refused for joint in joints[name])}
    clusters, kind = widest_groups([one.group for one in held]) if held else (None, "photos")
    return measure_joints(found, not_judged=sorted(not_judged), clusters=clusters, cluster_kind=kind)


def _figures(scanned: Sequence[ScannedPhoto], n_resamples: int, seed: int) -> PhotoFigures:
    counts = np.array([_touched(one) for one in scanned], np.float64)  # (photos, thresholds, false regions and found)
    n_crack = np.array([one.photo.labels.sum() for one in scanned], np.float64)
    pointed = np.array([_points_right(one) for one in scanned], np.float64)
    groups, _ = widest_groups([one.group for one in scanned])
    names, group = np.unique(groups or [], return_inverse=True)
    # A scene is drawn whole, so each of its photos as often.
    weights = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), n_resamples)
    weights = weights[:, group]
    recall, threshold = _recall(counts, n_crack, np.ones((1, len(scanned))))
    recalls, _ = _recall(counts, n_crack, weights)
    cracked = n_crack > 0
    pointing = float(pointed[cracked].mean()) if cracked.any() else float("nan")
    return PhotoFigures(
        _recall_estimate(float(recall[0]), recalls, _hits_at(counts, float(threshold[0])), n_crack),
        float(threshold[0]),
        Estimate(pointing, *share_interval(pointed * cracked, cracked.astype(np.float64))),
        len(scanned),
        int(cracked.sum()),
    )


def _recall(
    counts: Float64Array, n_crack: Float64Array, weights: npt.NDArray[Any]
) -> tuple[Float64Array, Float64Array]:
    """Recall and threshold of each resample (k, photos): the lowest threshold with at most one false region a photo."""
    false, found = (np.asarray(weights @ counts[:, :, i], np.float64) for i in (0, 1))
    allowed = false <= _FALSE_REGIONS * weights.sum(1, keepdims=True)
    # Regions grow together as the threshold falls, so the number of false ones is no falling function of it: from the
    # highest threshold downwards, the last before the first that has too many.
    last = len(_THRESHOLDS) - np.argmin(allowed[:, ::-1], axis=1)
    chosen = np.where(allowed.all(1), 0, np.minimum(last, len(_THRESHOLDS) - 1))
    rows = np.arange(len(chosen))
    total = np.maximum(1, weights @ n_crack)
    recall = np.where(allowed[rows, chosen], found[rows, chosen] / total, 0.0)
    return np.asarray(recall, np.float64), _THRESHOLDS[chosen]


def _touched(one: ScannedPhoto) -> list[tuple[int, int]]:
    """For each threshold, regions that touch no cracked tile, and cracked tiles that a region touches."""
    probabilities, labels = one.map.probabilities, one.photo.labels
    tiles = np.full(probabilities.shape, -1, np.int64)  # the tile that each cell's middle lies in
    for number, box in enumerate(one.photo.boxes_xyxy(one.map.photo_hw)):
        tiles[one.map.cells_in(box)] = number
    crack = np.zeros(probabilities.shape, bool)
    crack[tiles >= 0] = labels[tiles[tiles >= 0]] == 1
    unknown = tiles < 0
    found = []
    for threshold in _THRESHOLDS:
        above = probabilities >= threshold
        n, numbers = cv2.connectedComponents(above.astype(np.uint8), connectivity=8)
        excused = np.unique(numbers[above & (crack | unknown)])  # what touches a tile without a label is not counted
        found.append((n - 1 - len(excused), len(np.unique(tiles[above & crack]))))
    return found


def _points_right(one: ScannedPhoto) -> bool:
    """Whether the map's peak lies in a cracked tile."""
    x, y = one.map.peak_xy
    boxes = np.array(one.photo.boxes_xyxy(one.map.photo_hw))
    inside = (boxes[:, 0] <= x) & (x < boxes[:, 2]) & (boxes[:, 1] <= y) & (y < boxes[:, 3])
    return bool(one.photo.labels[inside].any())


def _hits_at(counts: Float64Array, threshold: float) -> Float64Array:
    """(photos,) cracked tiles that a region touches at a threshold."""
    hits: Float64Array = counts[:, int(np.flatnonzero(threshold == _THRESHOLDS)[0]), 1]
    return hits


def _recall_estimate(value: float, resampled: Float64Array, hits: Float64Array, n_crack: Float64Array) -> Estimate:
    """Recall with the interval of a share at the chosen threshold, widened by what choosing it again would change."""
    low, high = share_interval(hits, n_crack)
    if np.isnan(low) or len(hits) < LEAST_CLUSTERS or not len(resampled):
        return Estimate(value, np.nan, np.nan)
    again_low, again_high = percentile_interval(value, resampled)
    return Estimate(value, float(np.nanmin([low, again_low, value])), float(np.nanmax([high, again_high, value])))
