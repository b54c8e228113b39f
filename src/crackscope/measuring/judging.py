"""Judge a model on labelled patches, or photos: the split is checked, what was trained on is not taken for new.

This is `crackscope.evaluate` and `evaluate_photos`; `crackscope.measuring.evaluation` and
`crackscope.measuring.photo_evaluation` hold the figures that come of it.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from crackscope.data.labelled_photos import photos_by_grid, photos_by_masks
from crackscope.data.leaks import check_split
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split, apply_split, is_group, split_of
from crackscope.errors import DataError, SplitError
from crackscope.files.streaming import Progress
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions
from crackscope.measuring.photo_evaluation import PhotoEvaluation, measure_photos, scan_labelled
from crackscope.model.bundle import Bundle
from crackscope.model.provenance import count_seen
from crackscope.scanning.prediction import Classifier, load
from crackscope.scanning.scanner import Scanner, scanner_of

__all__ = ["evaluate", "evaluate_photos", "judge", "part_to_judge"]


def evaluate(
    data: str | Path | PatchIndex,
    model: Classifier | Bundle | str | Path | None = None,
    *,
    split: str | Path | Split | None = None,
    part: str | None = None,
    allow_leakage: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a model over labelled patches and measure it.

    With a split, or where the data's own folders name parts, one part is judged, and a leaking split is refused.
    Patches that the model was trained on (or whose photo was) are judged too, but then every figure is marked leaky.

    Args:
        data: Labelled patches, see `crackscope.data.patches.read_patches`.
        model: From `crackscope.load`, or what it takes; the default bundle where left out.
        split: A split, or its file; left out, the parts that the data itself names, if it does.
        part: ``train``, ``val`` or ``test``; ``test`` where there are parts.
        allow_leakage: Judge on a leaking split; every figure is marked.
        n_resamples: Bootstrap resamples of each interval.
        seed: Of the resampling.
        threads: Thread budget for reading.
        progress: Called with (done, total).

    Raises:
        DataError: If no patch can be read.
        SplitError: If the split leaks, or does not fit the data.
    """
    model = model if isinstance(model, Classifier) else load(model, threads=threads)
    index = data if isinstance(data, PatchIndex) else read_patches(data)
    part = part or part_to_judge(index, split)
    n_leaks = 0
    if part is not None:
        index, n_leaks = _part_of(index, split, part, allow_leakage, threads, progress)
    return judge(
        index,
        model,
        part=part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        n_leaks=n_leaks,
        n_resamples=n_resamples,
        seed=seed,
        threads=threads,
        progress=progress,
    )


def evaluate_photos(
    data: str | Path,
    model: Scanner | Classifier | Bundle | str | Path | None = None,
    *,
    tiles: str | Path | None = None,
    masks: str | Path | None = None,
    split: str | Path | Split | None = None,
    part: str | None = None,
    scale: float | None = None,
    mm_per_px: float | None = None,
    allow_leakage: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PhotoEvaluation:
    """Scan photos whose tiles are labelled, and measure what the maps say of each tile.

    Args:
        data: Tiles that are laid together, or whole photos; see `crackscope.data.labelled_photos`.
        model: As in `crackscope.scan`.
        tiles: The grid, a CSV with ``photo,row,col,label``; or else
        masks: Folder or archive of pixel masks.
        split: Of the tiles, by photo, or its file.
        part: ``train``, ``val`` or ``test``; ``test`` where there is a split.
        scale: Of all photos; see `crackscope.scanning.scanner`.
        mm_per_px: Of all photos, in place of a scale.
        allow_leakage: Judge on a leaking split; every figure is marked.
        n_resamples: Bootstrap resamples of each interval.
        seed: Of the resampling.
        threads: Thread budget.
        progress: Called with (done, total).

    Raises:
        DataError: If not one of tiles and masks is given, masks with a split, or no photo can be read.
        SplitError: If the split leaks, or does not fit the data.
    """
    if (tiles is None) == (masks is None):
        raise DataError("tiles (a grid) and masks (a folder): give one of them.")
    if masks is not None and (split is not None or part is not None):
        raise DataError("photos with masks have no split. Leave split and part out.")
    scanner = model if isinstance(model, Scanner) else scanner_of(model, threads=threads)
    name, n_leaks = Path(data).stem if Path(data).is_file() else Path(data).resolve().name, 0
    if masks is not None:
        photos = photos_by_masks(data, masks, tile_px=scanner.card.source_px)
    elif split is not None or part is not None:
        index, n_leaks = _part_of(read_patches(data), split, part or "test", allow_leakage, threads)
        photos = photos_by_grid(index, str(tiles))
    else:
        photos = photos_by_grid(data, str(tiles))
    scanned, refused = scan_labelled(photos, scanner, scale=scale, mm_per_px=mm_per_px, progress=progress)
    return measure_photos(
        scanned,
        scanner,
        dataset=name,
        part=(part or "test") if split is not None else part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        refused=refused,
        n_leaks=n_leaks,
        n_resamples=n_resamples,
        seed=seed,
    )


def _part_of(
    index: PatchIndex,
    split: str | Path | Split | None,
    part: str,
    allow_leakage: bool,
    threads: int | None,
    progress: Progress | None = None,
) -> tuple[PatchIndex, int]:
    """One part of a split, and the leaks of the whole."""
    known = split_of(index, split)
    leaks = check_split(apply_split(index, known), threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage to have all figures marked.")
    return apply_split(index, known, part=part), len(leaks)


def judge(
    index: PatchIndex,
    model: Classifier,
    *,
    part: str | None,
    split: str | None,
    n_leaks: int,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a model over patches that were chosen already, and measure it; see `evaluate`.

    Args:
        index: The patches to judge, all of them.
        model: The model.
        part: Which part they are, for the record.
        split: Name of the split file, for the record.
        n_leaks: Leaks of that split.
        n_resamples: Bootstrap resamples of each interval.
        seed: Of the resampling.
        threads: Thread budget for reading.
        progress: Called with (done, total).

    Raises:
        DataError: If no patch can be read.
    """
    digests = fingerprints(index, threads=threads, progress=progress).digests
    lineage = (*model.card.backbone.trained_on, *model.card.training_data)
    judged, probabilities, reasons, refused = _predictions(index, model, progress)
    photos = [patch.photo for patch in judged if patch.photo is not None]
    return evaluate_predictions(
        np.array([patch.label == "crack" for patch in judged], np.int64),
        np.array(probabilities, np.float64),
        paths=[patch.path for patch in judged],
        photos=photos if judged and len(photos) == len(judged) else None,
        threshold=model.card.patch.threshold,
        unsure_band=(model.card.patch.unsure_low, model.card.patch.unsure_high),
        dataset=index.name,
        model=model.name,
        model_sha256=model.sha256,
        part=part,
        split=split,
        photo_kind="similarity groups" if photos and all(map(is_group, photos)) else "photos",
        n_leaks=n_leaks,
        n_seen=count_seen(index, digests, lineage),
        refused=refused,
        reasons=reasons if model.card.gate else None,
        n_resamples=n_resamples,
        seed=seed,
    )


def part_to_judge(index: PatchIndex, split: str | Path | Split | None) -> str | None:
    """``test`` where there is a split, or every patch lies in a part and some in test; else None, for all patches."""
    parts = {patch.part for patch in index.patches}
    return "test" if split is not None or (None not in parts and "test" in parts) else None


def _predictions(
    index: PatchIndex, model: Classifier, progress: Progress | None
) -> tuple[list[Patch], list[float], list[str | None], list[tuple[str, str]]]:
    """Patches that could be judged, their probabilities, why any is rejected, and the others with the reason."""
    files = [(path, partial(index.files.read, path)) for path in index.paths]
    judged: list[Patch] = []
    probabilities: list[float] = []
    reasons: list[str | None] = []
    refused: list[tuple[str, str]] = []
    for i, row in enumerate(model.predict_files(files)):
        if row.error is not None or row.crack_probability is None:
            refused.append((row.path, row.error or "no probability"))
        else:
            judged.append(index.patches[i])
            probabilities.append(row.crack_probability)
            reasons.append(row.reason)
        if progress:
            progress(i + 1, len(index))
    return judged, probabilities, reasons, refused
