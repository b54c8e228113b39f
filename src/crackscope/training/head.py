"""The recipe ``head``: a frozen backbone, its features computed once, and a logistic regression on them.

No deep-learning framework is needed: features come from ONNX Runtime, the head from scikit-learn, and the two are
composed into a bundle. The same patches, split and versions give the same bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from crackscope.arrays import Float32Array, Float64Array, Int64Array
from crackscope.data.cache import Rows
from crackscope.data.patches import PatchIndex
from crackscope.data.splits import Split
from crackscope.errors import DataError
from crackscope.files.streaming import Progress
from crackscope.measuring.evaluation import Evaluation
from crackscope.model.bundle import Backbone, Head, compose
from crackscope.model.features import extract_features
from crackscope.training.cards import calibrated_card
from crackscope.training.gates import gate_of, gated

__all__ = ["PENALTIES", "HeadRun", "train_head"]


PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Values of scikit-learn's C that are tried, simple ones first; the log loss on ``val`` decides."""


@dataclass(frozen=True, eq=False)
class HeadRun:
    """A trained head and how it came about.

    Attributes:
        model: The bundle, ready for `crackscope.model.bundle.write_model`.
        penalty: C of the logistic regression that was chosen.
        evaluation: Figures on ``val``, on which the head was chosen and calibrated: optimistic. Leaky where the split
            is, or where the backbone was trained on these patches.
        refused: Path and reason of patches that could not be read.
        n_computed: Number of patches whose features were not in the cache.
        no_gate: Reason why the bundle has no gate; None where it has one.
    """

    model: onnx.ModelProto
    penalty: float
    evaluation: Evaluation
    refused: tuple[tuple[str, str], ...]
    n_computed: int
    no_gate: str | None = None


def train_head(
    index: PatchIndex,
    backbone: Backbone,
    *,
    split: Split,
    patch_px: int = 160,
    seed: int = 0,
    n_leaks: int = 0,
    on_disk: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> HeadRun:
    """Train a linear head on frozen features. A backbone that was read from a bundle keeps its gate and its fine map.

    Args:
        index: Patches with their parts, from `crackscope.data.splits.apply_split`.
        backbone: Backbone, from `crackscope.model.bundle.read_backbone`.
        split: Split of the patches, for the card.
        patch_px: Shorter side that patches are resized to, a multiple of 32 for speed.
        seed: Seed of the bootstrap over photos; fitting itself is deterministic.
        n_leaks: Number of leaks of the split, for the card and the figures.
        on_disk: Whether features are cached.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as features are computed.

    Raises:
        DataError: If ``train`` or ``val`` lacks a label, or lacks it among what can be read.
    """
    for part in ("train", "val"):
        index.part(part).require_both_labels(f"part {part}")
    used = index.part("train", "val")
    common: dict[str, Any] = {"on_disk": on_disk, "threads": threads, "progress": progress}
    rows = extract_features(used, backbone, patch_px=patch_px, **common)
    refused = tuple((used.patches[i].path, why) for i, why in rows.refused.items())
    kept = [i for i in range(len(used)) if i not in rows.refused]
    readable = used.select([used.patches[i] for i in kept])
    _require_readable(readable, rows)
    train, val = _rows_in(used, rows, "train"), _rows_in(used, rows, "val")
    labels = used.labels
    head, penalty = _fit(rows.values[train], labels[train], rows.values[val], labels[val])
    card, evaluation = calibrated_card(
        readable,
        [rows.digests[i] for i in kept],
        rows.values[val] @ head.weight[0] + head.bias[0],
        backbone=backbone.card,
        name=f"{backbone.card.name}-head",
        patch_px=patch_px,
        recipe={"name": "head", "penalty": penalty, "patch_px": patch_px},
        split=split,
        n_leaks=n_leaks,
        refused=refused,
        seed=seed,
    )
    card, plane, no_gate = gated(card, gate_of(readable, backbone, card, **common))
    taken = backbone.inherited
    card = card.model_copy(update={"fine_map": taken.fine_map})
    fitted = Head(head.weight, head.bias, card.patch.temperature)
    model = compose(backbone, fitted, card, plane, taken.material, taken.decoder)
    return HeadRun(model, penalty, evaluation, refused, rows.n_computed, no_gate)


def _rows_in(index: PatchIndex, rows: Rows, part: str) -> Int64Array:
    places = [i for i, patch in enumerate(index.patches) if patch.part == part and i not in rows.refused]
    return np.array(places, np.int64)


def _require_readable(index: PatchIndex, rows: Rows) -> None:
    """Both labels in both parts, of what could be read."""
    for part in ("train", "val"):
        try:
            index.part(part).require_both_labels(f"part {part}")
        except DataError as error:
            reason = next(iter(rows.refused.values()), "the part is empty")
            raise DataError(f"{error} {len(rows.refused)} files were refused, the first because: {reason}.") from error


def _fit(
    train: Float32Array, train_labels: Int64Array, val: Float32Array, val_labels: Int64Array
) -> tuple[Head, float]:
    """Logistic regression on standardised features, the scaling folded into its weights."""
    from sklearn.linear_model import LogisticRegression

    mean, spread = train.mean(0), np.maximum(train.std(0), 1e-6)
    standard, standard_val = (train - mean) / spread, (val - mean) / spread
    fits, losses = [], []
    for penalty in PENALTIES:
        model = LogisticRegression(C=penalty, max_iter=300, tol=1e-3).fit(standard, train_labels)
        weight, bias = np.asarray(model.coef_[0], np.float64), float(model.intercept_[0])
        scores = np.asarray(standard_val, np.float64) @ weight + bias
        fits.append((weight, bias))
        losses.append(np.logaddexp(0, scores) - val_labels * scores)
    chosen = _simplest(np.stack(losses))
    weight, bias = fits[chosen]
    folded = weight / spread
    head = Head(folded[None].astype(np.float32), np.array([bias - folded @ mean], np.float32))
    return head, PENALTIES[chosen]


def _simplest(losses: Float64Array) -> int:
    """The first of several fits, simple ones first, that is not surely worse than the best.

    Source: the one-standard-error rule, on paired differences; Hastie et al. 2009, section 7.10.

    Args:
        losses: Loss of each patch under each fit, shape (n_fits, n_patches).
    """
    excess = losses - losses[np.argmin(losses.mean(1))]
    error = excess.std(1) / np.sqrt(losses.shape[1])
    return int(np.flatnonzero(excess.mean(1) <= error)[0])
