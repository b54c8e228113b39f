"""Cards of trained models: calibrated on ``val``, with the data that was seen and the figures that were reached."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from crackscope import __version__
from crackscope.data.grouping import widest_groups
from crackscope.data.patches import PatchIndex
from crackscope.data.splits import Split
from crackscope.errors import ImageError
from crackscope.files.images import image_size
from crackscope.measuring.calibration import fit_calibration
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions, metrics_document
from crackscope.model.card import BackboneCard, Card, Pool
from crackscope.model.provenance import count_seen, describe_training_data

__all__ = ["calibrated_card", "shown_figures"]

_SHOWN = {
    *("accuracy", "balanced_accuracy", "f1_crack", "auroc", "average_precision", "mcc"),
    *("n_patches", "n_photos", "n_crack", "resampled", "leaky"),
}


def calibrated_card(
    index: PatchIndex,
    digests: Sequence[bytes],
    val_logits: npt.NDArray[Any],
    *,
    backbone: BackboneCard,
    name: str,
    patch_px: int,
    recipe: dict[str, Any],
    split: Split,
    n_leaks: int,
    refused: Sequence[tuple[str, str]],
    seed: int,
    pool: Pool = "mean",
) -> tuple[Card, Evaluation]:
    """Calibrate a trained model on ``val`` and describe it.

    Args:
        index: The patches of ``train`` and ``val`` that were used.
        digests: SHA-256 of each file, in their order.
        val_logits: Logits of the patches of ``val``, in their order, shape (n,).
        backbone: Card of its backbone.
        name: Name of the model.
        patch_px: Shorter side that patches are resized to.
        recipe: Settings to state, by name.
        split: Split that it was trained on.
        n_leaks: Number of leaks of the split.
        refused: Path and reason of patches that could not be read.
        seed: Seed of the bootstrap over photos.
        pool: How the logits of cells become one.

    Returns:
        The card, without the graph's digest, and the figures on ``val``: optimistic, since the model was chosen and
        calibrated there; leaky where the split is, or where the backbone was trained on these patches.
    """
    places = {part: [i for i, patch in enumerate(index.patches) if patch.part == part] for part in ("train", "val")}
    judged, training = (index.select([index.patches[i] for i in places[part]]) for part in ("val", "train"))
    labels = judged.labels
    logits = np.asarray(val_logits, np.float64)
    calibration = fit_calibration(logits, labels, fitted_on=f"{len(judged)} patches of part val")
    groups, kind = widest_groups(judged.patches)
    n_seen = count_seen(judged, [digests[i] for i in places["val"]], backbone.trained_on)
    evaluation = evaluate_predictions(
        labels,
        expit(logits / calibration.temperature),
        paths=judged.paths,
        photos=groups,
        photo_kind=kind,
        threshold=calibration.threshold,
        unsure_band=(calibration.unsure_low, calibration.unsure_high),
        dataset=index.name,
        part="val",
        model=name,
        model_sha256="",
        n_leaks=n_leaks,
        n_seen=n_seen,
        n_seen_by_backbone=n_seen,
        refused=refused,
        seed=seed,
    )
    card = Card(
        name=name,
        made_with=f"crackscope {__version__}",
        patch_px=patch_px,
        source_px=_longest_side(training),
        pool=pool,
        patch=calibration,
        backbone=backbone,
        training_data=describe_training_data(training, [digests[i] for i in places["train"]]),
        recipe=recipe,
        split={"by": split.grouped_by, "sha256": split.sha256(), "leaky": evaluation.leaky},
        figures={"val": shown_figures(evaluation)},
    )
    return card, evaluation


def shown_figures(evaluation: Evaluation) -> dict[str, Any]:
    """The figures of an evaluation that a card keeps."""
    return {key: value for key, value in metrics_document(evaluation).items() if key in _SHOWN}


def _longest_side(index: PatchIndex) -> int:
    """Longest side of a patch, in pixels, by what the files' headers say."""
    longest = 16  # the least that a card allows; smaller patches are refused anyway
    for patch in index.patches:
        with suppress(OSError, KeyError, ValueError, ImageError):
            longest = max(longest, *image_size(index.files.read(patch.path)))
    return longest
