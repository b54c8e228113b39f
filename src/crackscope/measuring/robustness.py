"""What a model's figures become when photographs go wrong: every corruption at every strength.

Each patch is read once, corrupted in every way (`crackscope.drawing.corruptions`), and classified. The *error* of a set
is one minus balanced accuracy, so that shares of labels do not matter; the *mean corruption error* is its mean over
strengths, then over corruptions, as in ImageNet-C (Hendrycks & Dietterich 2019, section 4.2), without their division by
AlexNet's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split, apply_split, split_of
from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crackscope.errors import DataError, ImageError, reason_of
from crackscope.files.streaming import Progress, ordered_map
from crackscope.measuring.judging import part_to_judge
from crackscope.measuring.metrics import Estimate, measure
from crackscope.model.bundle import Bundle
from crackscope.model.provenance import count_seen
from crackscope.scanning.prediction import Classifier, load

__all__ = ["Condition", "Robustness", "measure_robustness"]


_SHOWN = ("recall_crack", "false_alarm_rate", "balanced_accuracy", "auroc", "ece")


@dataclass(frozen=True)
class Condition:
    """One corruption at one strength; strength 0 of ``clean`` is none.

    Attributes:
        corruption: Its name, or ``clean``.
        strength: 1 to 5, or 0.
        figures: Recall, false alarm rate, balanced accuracy, AUROC, ECE, with intervals over photos.
        unsure_share: Share of patches in the unsure band.
        rejected_share: Share of patches that the gate rejects; they are in the figures all the same. None without one.
        missed_unrejected: Share of cracked patches that are neither found nor rejected, and so are lost; None without
            a gate.
    """

    corruption: str
    strength: int
    figures: dict[str, Estimate]
    unsure_share: float
    rejected_share: float | None = None
    missed_unrejected: float | None = None

    @property
    def error(self) -> float:
        """One minus balanced accuracy."""
        return 1 - self.figures["balanced_accuracy"].value


@dataclass(frozen=True, eq=False)
class Robustness:
    """Every condition of one model on one set of patches.

    Attributes:
        dataset: Name of the data.
        part: ``train``, ``val``, ``test``, or None for all patches.
        split: File name of the split, None without one.
        model: Name of the model.
        model_sha256: Of the bundle file.
        n_patches: Patches that were judged in every condition.
        n_crack: Those labelled crack.
        n_photos: Photos they come from; None where each patch counts for itself.
        n_seen: Patches that the model was trained on, or whose photo was.
        conditions: ``clean`` first, then by corruption and strength.
        refused: (path, reason) of every file that could not be read.
        sample: Path of the first cracked patch that was judged, to show corruptions on.
    """

    dataset: str
    part: str | None
    split: str | None
    model: str
    model_sha256: str
    n_patches: int
    n_crack: int
    n_photos: int | None
    n_seen: int
    conditions: tuple[Condition, ...]
    refused: tuple[tuple[str, str], ...] = ()
    sample: str | None = None

    @property
    def clean(self) -> Condition:
        """The figures without a corruption."""
        return self.conditions[0]

    def of(self, corruption: str) -> tuple[Condition, ...]:
        """All strengths of one corruption."""
        return tuple(one for one in self.conditions if one.corruption == corruption)

    def corruption_error(self, corruption: str) -> float:
        """Mean error over the strengths."""
        return float(np.mean([one.error for one in self.of(corruption)]))

    @property
    def mean_corruption_error(self) -> float:
        """Mean of `corruption_error` over all corruptions."""
        return float(np.mean([self.corruption_error(name) for name in CORRUPTIONS]))

    def document(self) -> dict[str, object]:
        """As it is written in JSON."""
        facts = ("dataset", "part", "split", "model", "model_sha256", "n_patches", "n_crack", "n_photos", "n_seen")
        return {
            **{name: getattr(self, name) for name in facts},
            "leaky": self.n_seen > 0,
            "n_refused": len(self.refused),
            "clean_error": self.clean.error,
            "mean_corruption_error": self.mean_corruption_error,
            "corruption_errors": {name: self.corruption_error(name) for name in CORRUPTIONS},
            "conditions": [
                {
                    "corruption": one.corruption,
                    "strength": one.strength,
                    **{name: figure.document() for name, figure in one.figures.items()},
                    "unsure_share": one.unsure_share,
                    "rejected_share": one.rejected_share,
                    "missed_unrejected": one.missed_unrejected,
                }
                for one in self.conditions
            ],
        }


def measure_robustness(
    data: str | Path | PatchIndex,
    model: Classifier | Bundle | str | Path | None = None,
    *,
    split: str | Path | Split | None = None,
    part: str | None = None,
    max_patches: int = 1000,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Corrupt labelled patches in every way, and measure a model on each.

    Args:
        data: Labelled patches, see `crackscope.data.patches.read_patches`.
        model: From `crackscope.load`, or what it takes; the default bundle where left out.
        split: A split, or its file; left out, the parts that the data itself names, if it does.
        part: ``train``, ``val`` or ``test``; ``test`` where there are parts.
        max_patches: At most so many, half of them cracked where there are enough; drawn by `seed`.
        n_resamples: Bootstrap resamples of each interval.
        seed: Of the draw and of the resampling.
        threads: Thread budget.
        progress: Called with (done, total).

    Raises:
        DataError: If a label is missing, or no patch with one can be read.
        SplitError: If the split does not fit the data.
    """
    classifier = model if isinstance(model, Classifier) else load(model, threads=threads)
    index = data if isinstance(data, PatchIndex) else read_patches(data)
    part = part or part_to_judge(index, split)
    if part is not None:
        index = apply_split(index, split_of(index, split), part=part)
    index.require_both_labels("robustness")
    index = _drawn(index, max_patches, seed)
    judged, probabilities, rejected, refused = _answers(index, classifier, threads, progress)
    if not judged:
        raise DataError(f"{index.name}: none of {len(refused)} patches can be read; {refused[0][0]}: {refused[0][1]}.")
    own = index.select(judged)
    own.require_both_labels("robustness, on what can be read,")
    labels = np.array([patch.label == "crack" for patch in judged], np.int64)
    photos = [patch.photo for patch in judged if patch.photo is not None]
    known = photos if len(photos) == len(judged) else None
    lineage = (*classifier.card.backbone.trained_on, *classifier.card.training_data)
    calibration = classifier.card.patch
    conditions = []
    for (corruption, strength), values, away in zip(_conditions(), probabilities.T, rejected.T, strict=True):
        figures = measure(
            labels, values, threshold=calibration.threshold, photos=known, n_resamples=n_resamples, seed=seed
        )
        unsure = (values >= calibration.unsure_low) & (values < calibration.unsure_high)
        lost = (values < calibration.threshold)[labels == 1] & ~away[labels == 1]
        gated = (float(away.mean()), float(lost.mean())) if classifier.card.gate else (None, None)
        shown = {name: figures[name] for name in _SHOWN}
        conditions.append(Condition(corruption, strength, shown, float(unsure.mean()), *gated))
    return Robustness(
        dataset=index.name,
        part=part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        model=classifier.name,
        model_sha256=classifier.sha256,
        n_patches=len(judged),
        n_crack=int(labels.sum()),
        n_photos=len(set(known)) if known is not None else None,
        n_seen=count_seen(own, fingerprints(own, threads=threads).digests, lineage),
        conditions=tuple(conditions),
        refused=tuple(refused),
        sample=next(patch.path for patch in judged if patch.label == "crack"),
    )


def _conditions() -> list[tuple[str, int]]:
    return [("clean", 0), *((name, strength) for name in CORRUPTIONS for strength in STRENGTHS)]


def _drawn(index: PatchIndex, n: int, seed: int) -> PatchIndex:
    """At most `n` patches in the order of the index, half of them cracked where there are enough of both."""
    if len(index) <= n:
        return index
    rng = np.random.default_rng(seed)
    crack, other = (
        rng.permutation([i for i, patch in enumerate(index.patches) if patch.label == label])
        for label in ("crack", "uncracked")
    )
    n_crack = min(len(crack), max(n // 2, n - len(other)))
    chosen = sorted(int(i) for i in (*crack[:n_crack], *other[: n - n_crack]))
    return index.select([index.patches[i] for i in chosen])


def _answers(
    index: PatchIndex, classifier: Classifier, threads: int | None, progress: Progress | None
) -> tuple[list[Patch], Float64Array, BoolArray, list[tuple[str, str]]]:
    """Patches that could be judged, of each in every condition probability and rejection, and why others could not."""

    def work(patch: Patch) -> list[tuple[float, bool]] | str:
        try:
            said = [classifier.classify(view) for view in _views(index.read_pixels(patch.path))]
            return [(one.crack_probability, one.reason is not None) for one in said]
        except (OSError, KeyError, ValueError, ImageError) as error:
            return reason_of(error)

    judged: list[Patch] = []
    rows: list[list[tuple[float, bool]]] = []
    refused: list[tuple[str, str]] = []
    for i, (patch, found) in enumerate(
        zip(index.patches, ordered_map(work, index.patches, threads=threads), strict=True)
    ):
        if isinstance(found, str):
            refused.append((patch.path, found))
        else:
            judged.append(patch)
            rows.append(found)
        if progress:
            progress(i + 1, len(index))
    table = np.array(rows, np.float64).reshape(len(rows), -1, 2)  # (n, conditions, 2)
    return judged, table[:, :, 0], table[:, :, 1] > 0, refused


def _views(pixels: UInt8Array) -> Sequence[UInt8Array]:
    return [pixels if not strength else corrupt(pixels, name, strength) for name, strength in _conditions()]
