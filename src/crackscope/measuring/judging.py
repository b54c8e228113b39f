"""Judging: run a model over labelled patches or photos, check the split, and count what the model was trained on.

This is `crackscope.evaluate` and `evaluate_photos`; `crackscope.measuring.evaluation` and
`crackscope.measuring.photo_evaluation` hold the figures that come of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from crackscope.data.class_names import ClassNames
from crackscope.data.grouping import widest_groups
from crackscope.data.labelled_joints import LabelledJoint, joints_by_photo, read_joints, require_joints_inside
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.leaks import check_split
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.splits import Split, apply_split, split_of
from crackscope.errors import DataError, SplitError
from crackscope.files.streaming import Progress
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions
from crackscope.measuring.photo_evaluation import PhotoEvaluation, measure_photos
from crackscope.measuring.scanned_photos import scan_labelled
from crackscope.measuring.wording import seen_text
from crackscope.model.provenance import count_seen, find_seen
from crackscope.scanning.loaded_model import AnyModel, Model, load, rows_of
from crackscope.scanning.prediction import Unit, require_unit
from crackscope.scanning.scanner import NetworkScale

__all__ = ["evaluate", "evaluate_photos", "judge", "part_of", "part_to_judge", "require_unseen"]


def evaluate(
    data: str | Path | PatchIndex,
    model: AnyModel = None,
    *,
    split: str | Path | Split | None = None,
    part: str | None = None,
    unit: Unit = "auto",
    allow_leakage: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a model over labelled patches and measure it.

    With a split, or where the data's own folders name parts, one part is judged. A split that leaks, with a scene, a
    photo or a duplicate in two parts, is refused. So are patches that the model was trained on, or whose photo or scene
    was.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        split: A split from `crackscope.split`, or its file; if left out, the parts that the data itself names, if any.
        part: Part to judge: ``train``, ``val`` or ``test``. If left out, ``test`` where there are parts, else all
            patches.
        unit: ``patch`` resizes images that are larger than the model's patches; ``auto`` refuses them.
        allow_leakage: Whether a leaking split, and what the model was trained on, are judged all the same; every figure
            is then marked leaky.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.

    Returns:
        Answers and figures. `crackscope.write_evaluation` writes them into a folder.

    Raises:
        DataError: If the data cannot be read, or none of its patches; or if `unit` is another word.
        SplitError: If the split leaks, does not fit the data, or the model was trained on what is to be judged.
        BundleError: If the model is no bundle of this version.
    """
    require_unit(unit)
    loaded = load(model, threads=threads)
    index = read_patches(data)
    part = part or part_to_judge(index, split)
    n_leaks = 0
    if part is not None:
        index, n_leaks = part_of(index, split, part, allow_leakage, threads, progress)
    return judge(
        index,
        loaded,
        part=part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        n_leaks=n_leaks,
        unit=unit,
        allow_seen=allow_leakage,
        n_resamples=n_resamples,
        seed=seed,
        threads=threads,
        progress=progress,
    )


def evaluate_photos(
    data: str | Path,
    model: AnyModel = None,
    *,
    tiles: str | Path | None = None,
    masks: str | Path | None = None,
    masks_inverted: bool = False,
    joints: str | Path | None = None,
    names: ClassNames | None = None,
    split: str | Path | Split | None = None,
    part: str | None = None,
    network_scale: NetworkScale = "auto",
    allow_leakage: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> PhotoEvaluation:
    """Scan photos whose tiles are labelled, and measure what the maps say of each tile. With masks, measure lines, too.

    Labels come from one of two sources. With `tiles`, a CSV names the label of each tile of a grid; patches that are
    such tiles are laid together again, or whole photos are found by name. With `masks`, a picture of each photo's name
    shows its cracks in white.

    Args:
        data: Path of the photos or their tiles: a folder or an archive.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        tiles: Path of a CSV with the columns ``photo,row,col,label``, and ``surface`` and ``tile`` for tiles as files.
        masks: Path of a folder or an archive of masks; give either `tiles` or `masks`.
        masks_inverted: Whether cracks are black in the masks, and everything else is white.
        joints: Path of a CSV with the columns ``photo,joint,point,x,y``, which says where joints run in photos with
            masks: points in pixels of the photo, joined by straight pieces.
        names: Names of classes, beside the known ones, in the folders of tiles and in `tiles`.
        split: A split of the tiles by scene or by photo, or its file; with `tiles` only.
        part: Part to judge: ``train``, ``val`` or ``test``. If left out, ``test`` where a split is given, else all
            photos.
        network_scale: Pixels of the network per pixel of all photos, a number above 0; ``auto`` chooses, as in
            `crackscope.scan`.
        allow_leakage: Whether a leaking split, and what the model was trained on, are judged all the same; every figure
            is then marked leaky.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as photos are scanned.

    Returns:
        Figures of tiles and of photos, and the maps. `crackscope.write_evaluation` writes them into a folder.

    Raises:
        DataError: If not exactly one of `tiles` and `masks` is given, `masks` comes with a split, `joints` comes
            without `masks` or is damaged, no photo can be read, or the masks seem to be inverted or show no crack.
        SplitError: If the split leaks, does not fit the data, or the model was trained on what is to be judged.
        BundleError: If the model is no bundle of this version.
    """
    if (tiles is None) == (masks is None):
        raise DataError("tiles (a grid) and masks (a folder): give one of them.")
    if masks is not None and (split is not None or part is not None):
        raise DataError("photos with masks have no split. Leave split and part out.")
    if masks_inverted and masks is None:
        raise DataError("masks_inverted says how masks are drawn, but no masks are given. Give masks, or leave it out.")
    if joints is not None and masks is None:
        raise DataError(f"{joints}: joints are compared with traced lines, which need masks. Give masks, too.")
    labelled_joints = None if joints is None else read_joints(joints)
    loaded = load(model, threads=threads)
    name, n_leaks = Path(data).stem if Path(data).is_file() else Path(data).resolve().name, 0
    if masks is not None:
        photos = photos_by_masks(data, masks, tile_px=loaded.card.source_px, inverted=masks_inverted)
    elif split is not None or part is not None:
        index, n_leaks = part_of(read_patches(data, names=names), split, part or "test", allow_leakage, threads)
        photos = photos_by_grid(index, str(tiles), names)
    else:
        photos = photos_by_grid(data, str(tiles), names)
    joints_of, joints_elsewhere = (None, ()) if labelled_joints is None else _placed(labelled_joints, photos, data)
    if not allow_leakage:  # what names tell, before any photo is scanned
        named = PatchIndex(name, tuple(patch for photo in photos for patch in photo.patches), files=None)  # type: ignore[arg-type]
        require_unseen(named, [b""] * len(named), loaded)
    scanned, refused = scan_labelled(
        photos,
        loaded,
        network_scale=network_scale,
        check=None if allow_leakage else lambda own, digests: require_unseen(own, digests, loaded),
        progress=progress,
    )
    return measure_photos(
        scanned,
        loaded,
        dataset=name,
        part=(part or "test") if split is not None else part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        refused=refused,
        n_leaks=n_leaks,
        joints=joints_of,
        joints_elsewhere=joints_elsewhere,
        n_resamples=n_resamples,
        seed=seed,
    )


def require_unseen(index: PatchIndex, digests: Sequence[bytes], model: Model) -> None:
    """Refuse to judge a model on what it, or its backbone, was trained on.

    Args:
        index: Patches to be judged.
        digests: SHA-256 of each patch's file, in the order of the index.
        model: Model that is to be judged.

    Raises:
        SplitError: If it was trained on one of the patches, or on its photo or scene; the message names photos.
    """
    seen = find_seen(index, digests, (*model.card.backbone.trained_on, *model.card.training_data))
    if not seen.n:
        return
    by_backbone = count_seen(index, digests, model.card.backbone.trained_on)
    raise SplitError(
        f"{seen_text(seen.n, by_backbone, len(index))}: {seen.sentence()}. Judge it on photos of other scenes, or say "
        "--allow-leakage to have every figure marked."
    )


def part_of(
    index: PatchIndex,
    split: str | Path | Split | None,
    part: str,
    allow_leakage: bool,
    threads: int | None,
    progress: Progress | None = None,
) -> tuple[PatchIndex, int]:
    """One part of a split, and the number of leaks of the whole.

    Raises:
        SplitError: If the split leaks and leaks are not allowed, does not fit the data, or has no such part.
    """
    known = split_of(index, split)
    leaks = check_split(apply_split(index, split=known), threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage to have all figures marked.")
    return apply_split(index, split=known, part=part), len(leaks)


def judge(
    index: PatchIndex,
    model: Model,
    *,
    part: str | None,
    split: str | None,
    n_leaks: int,
    unit: Unit = "auto",
    allow_seen: bool = True,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a model over patches that were chosen already, and measure it; see `evaluate`.

    Args:
        index: Patches that are all judged.
        model: Model that is judged.
        part: Name of their part, for the record.
        split: Name of the split file, for the record.
        n_leaks: Number of leaks of that split.
        unit: ``patch`` resizes images that are larger than the model's patches; ``auto`` refuses them.
        allow_seen: Whether what the model was trained on is judged all the same; every figure is then marked leaky.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.
        threads: Number of threads for reading; all cores if left out.
        progress: Called with (done, total).

    Raises:
        DataError: If no patch can be read.
        SplitError: If the model was trained on one of the patches, or on its photo or scene, and this is not allowed.
    """
    digests = index.digests(threads=threads, progress=progress)
    if not allow_seen:
        require_unseen(index, digests, model)
    lineage = (*model.card.backbone.trained_on, *model.card.training_data)
    judged, probabilities, reasons, refused = _predictions(index, model, unit, progress)
    groups, kind = widest_groups(judged)
    return evaluate_predictions(
        index.select(judged).labels,
        np.array(probabilities, np.float64),
        paths=[patch.path for patch in judged],
        photos=groups,
        threshold=model.card.patch.threshold,
        unsure_band=(model.card.patch.unsure_low, model.card.patch.unsure_high),
        dataset=index.name,
        model=model.name,
        model_sha256=model.sha256,
        part=part,
        split=split,
        photo_kind=kind,
        n_leaks=n_leaks,
        n_seen=count_seen(index, digests, lineage),
        n_seen_by_backbone=count_seen(index, digests, model.card.backbone.trained_on),
        refused=refused,
        reasons=reasons if model.card.gate or any(reasons) else None,
        index=index,
        n_resamples=n_resamples,
        seed=seed,
    )


def part_to_judge(index: PatchIndex, split: str | Path | Split | None) -> str | None:
    """``test`` where there is a split, or every patch lies in a part and some in test; else None, for all patches."""
    parts = {patch.part for patch in index.patches}
    return "test" if split is not None or (None not in parts and "test" in parts) else None


def _placed(
    joints: Sequence[LabelledJoint], photos: Sequence[LabelledPhoto], data: str | Path
) -> tuple[dict[str, list[LabelledJoint]], tuple[str, ...]]:
    """The joints of each photo, once it is certain that they lie in it; and photos of the table that are not judged."""
    found, elsewhere = joints_by_photo(joints, photos, data)
    sizes_hw: dict[str, tuple[int, int]] = {}
    for photo in photos:
        if photo.name in found:
            with suppress(OSError, DataError):  # it is refused later, with the reason
                sizes_hw[photo.name] = photo.load()[0].shape[:2]
    require_joints_inside(found, sizes_hw)
    return found, elsewhere


def _predictions(
    index: PatchIndex, model: Model, unit: Unit, progress: Progress | None
) -> tuple[list[Patch], list[float], list[str | None], list[tuple[str, str]]]:
    """Patches that could be judged, their probabilities, why any is rejected, and the others with the reason."""
    judged: list[Patch] = []
    probabilities: list[float] = []
    reasons: list[str | None] = []
    refused: list[tuple[str, str]] = []
    for i, row in enumerate(rows_of(index.images(), model, photos=False, unit=unit)):
        if row.error is not None or row.crack_probability is None:
            refused.append((row.path, row.error or "no probability"))
        else:
            judged.append(index.patches[i])
            probabilities.append(row.crack_probability)
            reasons.append(row.reason)
        if progress:
            progress(i + 1, len(index))
    return judged, probabilities, reasons, refused
