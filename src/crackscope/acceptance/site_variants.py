"""A model on a site's sample: as it is, with a threshold fitted to the site, and with a head fitted to the site.

A `SiteVariant` holds answers and their figures. A fitted variant is judged on photos that it was not fitted to
(`crackscope.acceptance.site_adaptation`). No bundle is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from scipy.special import expit, logit

from crackscope.acceptance.site_adaptation import deal_photos, head_margins, site_threshold, threshold_margins
from crackscope.arrays import BoolArray, Float32Array, Float64Array, Int64Array
from crackscope.data.patches import PatchIndex
from crackscope.files.streaming import Progress
from crackscope.measuring.clustered_shares import Share, measure_share
from crackscope.measuring.evaluation import Evaluation
from crackscope.measuring.metrics import Estimate, measure
from crackscope.model.bundle import Backbone, Bundle
from crackscope.model.features import extract_features
from crackscope.model.graphs import backbone_graph

__all__ = ["FIGURES", "SiteVariant", "counts_by_photo", "features_of", "try_variants"]


FIGURES = ("precision_crack", "balanced_accuracy", "mcc", "auroc")
"""Further figures beside recall and false alarm rate; `crackscope.measuring.metrics.measure` gives their intervals."""

_LOGIT_EPSILON = 1e-7  # smallest distance from 0 and 1 that float32 probabilities still resolve


@dataclass(frozen=True, eq=False)
class SiteVariant:
    """Answers on a site's sample, given by the model as it is or by a changed model.

    Attributes:
        threshold: Probability from which the variant calls a patch crack; None for an adapted head, which has a
            threshold for each fold.
        recall: Recall of crack.
        false_alarms: False alarm rate.
        figures: Precision of crack, balanced accuracy, MCC and AUROC, by name.
        said: Whether the variant calls each patch crack, shape (n,).
        n_folds: Number of folds. The patches of a fold are judged by a variant that was fitted to the other folds.
            None for the model as it is.
    """

    threshold: float | None
    recall: Share
    false_alarms: Share
    figures: dict[str, Estimate]
    said: BoolArray
    n_folds: int | None = None

    def document(self) -> dict[str, object]:
        """Threshold, rates and figures as ``acceptance.json`` holds them, ready for JSON."""
        return {
            "threshold": self.threshold,
            "n_folds": self.n_folds,
            "recall_crack": self.recall.document(),
            "false_alarm_rate": self.false_alarms.document(),
            **{name: figure.document() for name, figure in self.figures.items()},
        }


def try_variants(
    sample: Evaluation,
    features: Float32Array | str,
    *,
    min_recall: float,
    max_false_alarms: float,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[dict[str, SiteVariant], dict[str, str]]:
    """Measure a model as it is, with a threshold for the site, and with a head for the site.

    Args:
        sample: Answers of the model on patches of the site, with both labels.
        features: Features from `features_of`, shape (n, d); or the reason why there are none.
        min_recall: Least recall that thresholds are chosen for, in (0, 1).
        max_false_alarms: Greatest false alarm rate that thresholds are chosen for, in (0, 1).
        n_resamples: Number of bootstrap resamples behind each interval.
        seed: Seed of the resamples, and of dealing photos to folds.

    Returns:
        Two dictionaries. The first holds the variants by name; ``as_it_is`` is always among them. The second holds the
        reason for each of ``site_threshold`` and ``adapted_head`` that cannot be tried. No variant calls a patch crack
        that the model's gate rejects.
    """
    groups = _groups(sample)
    # No variant calls a patch crack that the gate rejects, whatever its probability.
    answered = np.where(sample.rejected, 0.0, sample.probabilities)
    logits = logit(np.clip(answered, _LOGIT_EPSILON, 1 - _LOGIT_EPSILON))
    own = float(logit(np.clip(sample.threshold, _LOGIT_EPSILON, 1 - _LOGIT_EPSILON)))
    resampling: dict[str, Any] = {"photos": sample.photos, "n_resamples": n_resamples, "seed": seed}
    figures = sample.metrics
    if sample.rejected.any():
        figures = measure(sample.labels, answered, threshold=sample.threshold, **resampling)
    said = (sample.predictions == 1) & ~sample.rejected
    tried = {"as_it_is": _variant(sample, said, figures, sample.threshold)}
    why_not = {}

    def crossed(margins: Float64Array, folds: Int64Array, threshold: float | None) -> SiteVariant:
        margins = np.where(sample.rejected, -np.inf, margins)
        found = measure(sample.labels, expit(margins), threshold=0.5, **resampling)
        return _variant(sample, margins >= 0, found, threshold, n_folds=int(folds.max()) + 1)

    folds = deal_photos(sample.labels, groups, seed=seed)
    if folds is None:
        why_not["site_threshold"] = _too_few(sample, 2)
    else:
        wanted = {"min_recall": min_recall, "max_false_alarms": max_false_alarms, "own": own}
        threshold = float(expit(site_threshold(sample.labels, logits, **wanted)))
        found = crossed(threshold_margins(sample.labels, logits, folds, **wanted), folds, threshold)
        # A threshold does not change the ranking. Margins pooled over folds with different thresholds would change it.
        found.figures["auroc"] = figures["auroc"]
        tried["site_threshold"] = found
    folds = deal_photos(sample.labels, groups, n_left=2, seed=seed)
    if folds is None:
        why_not["adapted_head"] = _too_few(sample, 3)
    elif isinstance(features, str):
        why_not["adapted_head"] = features
    else:
        margins = head_margins(
            sample.labels, logits, features, groups, folds, rejected=sample.rejected, seed=seed, **wanted
        )
        tried["adapted_head"] = crossed(margins, folds, None)
    return tried, why_not


def counts_by_photo(sample: Evaluation, said: BoolArray, label: int) -> tuple[Int64Array, Int64Array]:
    """Count, for each photo, the patches of a label that are called crack, and all patches of that label.

    Args:
        sample: Patches and their photos; without photos, each patch counts as its own.
        said: Whether each patch is called crack, shape (n,).
        label: Label to count, 1 for crack, 0 for uncracked.

    Returns:
        Two arrays of shape (n_photos,), in the order of the photos' names.
    """
    photo = np.unique(np.asarray(_groups(sample)), return_inverse=True)[1]
    mine = sample.labels == label
    n_photos = int(photo.max()) + 1
    return np.bincount(photo[mine & said], minlength=n_photos), np.bincount(photo[mine], minlength=n_photos)


def features_of(
    index: PatchIndex, bundle: Bundle, *, threads: int | None = None, progress: Progress | None = None
) -> Float32Array | str:
    """Compute the bundle's features of each patch, or take them from the cache.

    Args:
        index: The patches.
        bundle: The model.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.

    Returns:
        Features, shape (n, d); or the reason why there are none.
    """
    graph = onnx.load_model_from_string(bundle.content).graph
    backbone = Backbone(backbone_graph(graph, feature_dim=bundle.card.backbone.feature_dim), bundle.card.backbone)
    rows = extract_features(index, backbone, patch_px=bundle.card.patch_px, threads=threads, progress=progress)
    if rows.refused:
        return f"{len(rows.refused)} patches have no features: {next(iter(rows.refused.values()))}"
    return rows.values


def _groups(sample: Evaluation) -> Sequence[str]:
    """List for each patch the name of its photo, or its own path where photos are not known."""
    return sample.photos or sample.paths


def _variant(
    sample: Evaluation,
    said: BoolArray,
    figures: dict[str, Estimate],
    threshold: float | None,
    n_folds: int | None = None,
) -> SiteVariant:
    return SiteVariant(
        threshold=threshold,
        recall=measure_share(*counts_by_photo(sample, said, 1)),
        false_alarms=measure_share(*counts_by_photo(sample, said, 0)),
        figures={name: figures[name] for name in FIGURES},
        said=said,
        n_folds=n_folds,
    )


def _too_few(sample: Evaluation, n_wanted: int) -> str:
    """Say that too few photos hold one of the labels to be dealt to folds."""
    groups = np.asarray(_groups(sample))
    n_crack, n_uncracked = (len(np.unique(groups[sample.labels == label])) for label in (1, 0))
    kind = sample.photo_kind
    return f"{n_crack} {kind} hold a cracked patch and {n_uncracked} an uncracked one; it takes {n_wanted} of each"
