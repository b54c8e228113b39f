"""Pooling: the evaluations of several models, each on its own patches, as one evaluation of them all.

So the folds of a cross-validation give one figure with one interval. Each patch keeps the calibrated probability and
the answer that the model of its fold gave it, by the threshold of that model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from crackscope.data.patches import PatchIndex
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions
from crackscope.measuring.metrics import measure

__all__ = ["BY_PROBABILITY", "pool_evaluations"]

BY_PROBABILITY = frozenset({"auroc", "average_precision", "log_loss", "brier", "ece"})
"""Figures that follow from probabilities; all others follow from the answers."""


def pool_evaluations(
    folds: Sequence[Evaluation],
    index: PatchIndex,
    *,
    model: str,
    model_sha256: str = "",
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Pool the evaluations of the folds of a cross-validation.

    Args:
        folds: Evaluation of each fold, by the model that was trained on the others.
        index: Patches in which a report finds pictures.
        model: Name of the model that is kept.
        model_sha256: SHA-256 of its bundle file, in hexadecimal.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.

    Returns:
        The evaluation. Its threshold and unsure band are means over the folds; `predictions` and `unsure` are those of
        each fold.
    """
    labels = np.concatenate([one.labels for one in folds])
    said = np.concatenate([one.predictions for one in folds])
    photos = [name for one in folds for name in one.photos or ()]
    groups = photos if len(photos) == len(labels) else None
    reasons = [reason for one in folds for reason in one.reasons or (None,) * one.n_patches]
    pooled = evaluate_predictions(
        labels,
        np.concatenate([one.probabilities for one in folds]),
        paths=[path for one in folds for path in one.paths],
        photos=groups,
        photo_kind=folds[0].photo_kind,
        threshold=float(np.mean([one.threshold for one in folds])),
        unsure_band=tuple(np.mean([one.unsure_band for one in folds], axis=0).tolist()),
        dataset=folds[0].dataset,
        part="folds",
        model=model,
        model_sha256=model_sha256,
        n_leaks=sum(one.n_leaks for one in folds),
        n_seen=sum(one.n_seen for one in folds),
        n_seen_by_backbone=sum(one.n_seen_by_backbone for one in folds),
        refused=[row for one in folds for row in one.refused],
        reasons=reasons if any(one.reasons is not None for one in folds) else None,
        index=index,
        n_resamples=n_resamples,
        seed=seed,
    )
    answered = measure(
        labels, said.astype(np.float64), threshold=0.5, photos=groups, n_resamples=n_resamples, seed=seed
    )
    metrics = {name: figure if name in BY_PROBABILITY else answered[name] for name, figure in pooled.metrics.items()}
    return replace(pooled, metrics=metrics, said=said, doubted=np.concatenate([one.unsure for one in folds]))
