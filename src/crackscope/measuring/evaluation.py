"""Evaluations: from probabilities and truth to what was measured, on what, and how sure we are of it.

Nothing here reads an image or runs a model: `crackscope.measuring.judging` does, and hands over arrays. What comes back
is written and drawn by `crackscope.reports`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array
from crackscope.data.patches import LABELS, PatchIndex
from crackscope.errors import DataError
from crackscope.files.html import html_table
from crackscope.measuring.estimates import Estimate, few_text
from crackscope.measuring.metrics import always_crack, measure
from crackscope.measuring.wording import FIGURES, HEADLINES, LEAKY, interval_text, number_text
from crackscope.model.card import REASONS

__all__ = [
    "PHOTO_KINDS",
    "Evaluation",
    "evaluate_predictions",
    "figures_html",
    "least_certain",
    "metrics_document",
    "origin_text",
    "refused_documents",
    "resampling_text",
    "worst_mistakes",
]


PHOTO_KINDS = ("scenes", "photos", "similarity groups", "patches")
"""What an interval resamples: the widest group known, that is, scenes, else photos, else groups that look alike, else
patches."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Answers of a model on labelled patches, and the figures that follow from them.

    Attributes:
        dataset: Name of the data.
        part: Part that was judged, ``train``, ``val`` or ``test``; ``folds`` for the pooled folds of a
            cross-validation; None for all patches.
        split: Name of the split file; None without one.
        model: Name of the model and the beginning of its SHA-256.
        model_sha256: SHA-256 of the bundle file, in hexadecimal.
        paths: Path of each patch, relative to the data, n paths.
        photos: Name of the scene, photo or group that each patch was resampled with, n names; None where each stands
            alone.
        photo_kind: What the intervals resample: ``scenes``, ``photos``, ``similarity groups`` or ``patches``.
        labels: Label of each patch, shape (n,): 1 for crack, 0 for uncracked.
        probabilities: Calibrated probability of crack of each patch, shape (n,), in [0, 1].
        threshold: Probability from which a patch is called crack, in [0, 1].
        unsure_band: Low and high probability; a patch with low <= probability < high is unsure, none if they are equal.
        metrics: Figures by name, such as ``accuracy``, ``recall_crack`` and ``auroc``, with 95 % intervals.
        baseline: The same figures for calling everything crack.
        n_leaks: Number of scenes, photos and duplicates on two sides of the split; 0 is clean.
        n_seen: Number of patches that the model or its backbone was trained on, or whose photo or scene was; 0 is
            clean.
        n_seen_by_backbone: Number of those patches that the backbone was trained on.
        refused: Path and reason of every file that could not be read, and so is in no figure.
        reasons: Why each patch is rejected, None where it is not, n reasons; None where no gate was asked. Rejected
            patches are in every figure, by their probability.
        index: Patches in which a report finds their pictures; None where they are not at hand.
        said: Answer for each patch, shape (n,), where models with thresholds of their own gave them
            (`crackscope.measuring.pooling`); None where `threshold` decides.
        doubted: Whether each patch lies in the unsure band of its model, shape (n,); None where `unsure_band` decides.
    """

    dataset: str
    part: str | None
    split: str | None
    model: str
    model_sha256: str
    paths: tuple[str, ...]
    photos: tuple[str, ...] | None
    photo_kind: str
    labels: Int64Array
    probabilities: Float64Array
    threshold: float
    unsure_band: tuple[float, float]
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    n_leaks: int = 0
    n_seen: int = 0
    n_seen_by_backbone: int = 0
    refused: tuple[tuple[str, str], ...] = ()
    reasons: tuple[str | None, ...] | None = None
    index: PatchIndex | None = field(default=None, repr=False)
    said: Int64Array | None = field(default=None, repr=False)
    doubted: BoolArray | None = field(default=None, repr=False)

    def _repr_html_(self) -> str:
        return figures_html(self)

    @property
    def n_patches(self) -> int:
        """Number of patches that were judged."""
        return len(self.paths)

    @property
    def n_photos(self) -> int | None:
        """Number of scenes, photos or groups that are resampled; None where each patch stands alone."""
        return None if self.photos is None else len(set(self.photos))

    @property
    def n_crack(self) -> int:
        """Number of patches whose label is crack."""
        return int(self.labels.sum())

    def n_clusters(self, label: int) -> int:
        """Count the photos or groups that hold a patch of a label; its patches, where each stands alone.

        Args:
            label: Label, 1 for crack, 0 for uncracked.
        """
        mine = np.flatnonzero(self.labels == label)
        return len(mine) if self.photos is None else len({self.photos[i] for i in mine.tolist()})

    @property
    def few(self) -> str:
        """What is said beside intervals where a label comes from too few photos or groups; empty where not."""
        return few_text(self.n_clusters(1), self.n_clusters(0), self.photo_kind)

    @property
    def leaky(self) -> bool:
        """Whether training has seen some of what is judged here, so that every figure is too good."""
        return self.n_leaks > 0 or self.n_seen > 0

    @property
    def predictions(self) -> Int64Array:
        """Answer for each patch, shape (n,): 1 where the model says crack, by the threshold alone, else 0."""
        return (self.probabilities >= self.threshold).astype(np.int64) if self.said is None else self.said

    @property
    def unsure(self) -> BoolArray:
        """Whether the probability of each patch lies in the unsure band, shape (n,)."""
        if self.doubted is not None:
            return self.doubted
        low, high = self.unsure_band
        return (self.probabilities >= low) & (self.probabilities < high)

    @property
    def unsure_share(self) -> float:
        """Share of patches in the unsure band."""
        return float(self.unsure.mean())

    @property
    def accuracy_decided(self) -> float:
        """Accuracy on the patches outside the unsure band; NaN where there are none."""
        right = (self.predictions == self.labels)[~self.unsure]
        return float(right.mean()) if right.size else float("nan")

    @property
    def rejected(self) -> BoolArray:
        """Whether each patch is rejected by the model's gate, shape (n,); none is without a gate."""
        return np.array([reason is not None for reason in self.reasons or [None] * self.n_patches], np.bool_)

    def rejected_share(self, label: int) -> float:
        """Tell the share of the patches of a label that are rejected.

        Args:
            label: Label, 1 for crack, 0 for uncracked.

        Returns:
            The share, in [0, 1]; NaN where no patch has the label.
        """
        found = self.rejected[self.labels == label]
        return float(found.mean()) if found.size else float("nan")

    @property
    def confusion_counts(self) -> Int64Array:
        """Number of patches by truth (rows) and answer (columns), uncracked first, shape (2, 2)."""
        counts = np.bincount(2 * self.labels + self.predictions, minlength=4)
        return counts.reshape(2, 2).astype(np.int64)


def evaluate_predictions(
    labels: Int64Array,
    probabilities: Float64Array,
    *,
    paths: Sequence[str],
    photos: Sequence[str] | None,
    threshold: float,
    unsure_band: tuple[float, float],
    dataset: str,
    model: str,
    model_sha256: str,
    part: str | None = None,
    split: str | None = None,
    photo_kind: str = "photos",
    n_leaks: int = 0,
    n_seen: int = 0,
    n_seen_by_backbone: int = 0,
    refused: Sequence[tuple[str, str]] = (),
    reasons: Sequence[str | None] | None = None,
    index: PatchIndex | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Compute every figure and the baseline's from the answers of a model.

    Args:
        labels: Label of each patch, shape (n,): 1 for crack, 0 for uncracked.
        probabilities: Calibrated probability of crack of each patch, shape (n,), in [0, 1].
        paths: Path of each patch, relative to the data, with forward slashes, n paths.
        photos: Name of what each patch stays together with when resampling, n names; None resamples patches.
        threshold: Probability from which a patch is called crack.
        unsure_band: Low and high probability with low <= high, around the threshold.
        dataset: Name of the data.
        model: Name of the model and the beginning of its SHA-256.
        model_sha256: SHA-256 of the bundle file, in hexadecimal.
        part: Part of the split; None for all patches.
        split: Name of the split file.
        photo_kind: What ``photos`` are: ``scenes``, ``photos`` or ``similarity groups``; ``patches`` without them.
        n_leaks: Number of scenes, photos and duplicates on two sides of the split.
        n_seen: Number of patches that the model or its backbone was trained on, or whose photo or scene was.
        n_seen_by_backbone: Number of those patches that the backbone was trained on.
        refused: Path and reason of files that could not be read.
        reasons: Why each patch is rejected, None where it is not, n reasons; left out for a model without a gate.
        index: Patches for a report to show; left out where there are none.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the bootstrap resamples.

    Returns:
        The evaluation, its patches in the order given.

    Source: see `crackscope.measuring.metrics.measure`, which also says which direction of a figure is better.

    Empty or one class: no patches are an error; with one class the figures that need two are NaN.

    Raises:
        DataError: If nothing is left to judge, or the arrays do not fit together.
    """
    labels = np.array(labels, dtype=np.int64)
    probabilities = np.array(probabilities, dtype=np.float64)
    if labels.size == 0:
        raise DataError(_nothing_to_judge(dataset, part, refused))
    if len(paths) != labels.size:
        raise DataError(f"{dataset}: {len(paths)} paths for {labels.size} patches. Give the path of every patch.")
    if photo_kind not in PHOTO_KINDS:
        raise DataError(f"photo_kind '{photo_kind}' is none of {', '.join(PHOTO_KINDS)}. Name what was resampled.")
    return Evaluation(
        dataset=dataset,
        part=part,
        split=split,
        model=model,
        model_sha256=model_sha256,
        paths=tuple(paths),
        photos=None if photos is None else tuple(photos),
        photo_kind="patches" if photos is None else photo_kind,
        labels=labels,
        probabilities=probabilities,
        threshold=float(threshold),
        unsure_band=(float(unsure_band[0]), float(unsure_band[1])),
        metrics=measure(labels, probabilities, threshold=threshold, photos=photos, n_resamples=n_resamples, seed=seed),
        baseline=always_crack(labels, photos=photos, n_resamples=n_resamples, seed=seed),
        n_leaks=int(n_leaks),
        n_seen=int(n_seen),
        n_seen_by_backbone=int(n_seen_by_backbone),
        refused=tuple(refused),
        reasons=None if reasons is None else tuple(reasons),
        index=index,
    )


def refused_documents(refused: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Give each refused file as a dictionary for JSON, from its path and the reason."""
    return [{"path": path, "reason": reason} for path, reason in refused]


def metrics_document(evaluation: Evaluation) -> dict[str, object]:
    """What ``metrics.json`` holds: every figure at the top, then all that a figure needs beside it."""
    band = list(evaluation.unsure_band)
    decided = evaluation.accuracy_decided
    return {
        **{name: estimate.document() for name, estimate in evaluation.metrics.items()},
        "confusion_matrix": {"labels": list(LABELS), "counts": evaluation.confusion_counts.tolist()},
        "n_patches": evaluation.n_patches,
        "n_photos": evaluation.n_photos,
        "n_crack": evaluation.n_crack,
        "threshold": evaluation.threshold,
        "unsure": {
            "band": band,
            "share": evaluation.unsure_share,
            "accuracy_decided": None if np.isnan(decided) else decided,
        },
        "rejected": _rejected_document(evaluation),
        "baseline_always_crack": {name: figure.document() for name, figure in evaluation.baseline.items()},
        "dataset": evaluation.dataset,
        "part": evaluation.part,
        "split": evaluation.split,
        "model": evaluation.model,
        "model_sha256": evaluation.model_sha256,
        "resampled": evaluation.photo_kind,
        "n_refused": len(evaluation.refused),
        "refused": refused_documents(evaluation.refused),
        "leaky": evaluation.leaky,
        "n_leaks": evaluation.n_leaks,
        "n_seen": evaluation.n_seen,
        "n_seen_by_backbone": evaluation.n_seen_by_backbone,
        "n_clusters_crack": evaluation.n_clusters(1),
        "n_clusters_uncracked": evaluation.n_clusters(0),
    }


def _rejected_document(evaluation: Evaluation) -> dict[str, object] | None:
    """How many patches the model's gate rejects; None where it has none."""
    if evaluation.reasons is None:
        return None
    crack, uncracked = (evaluation.rejected_share(label) for label in (1, 0))
    return {
        "n": int(evaluation.rejected.sum()),
        "share_crack": None if np.isnan(crack) else crack,
        "share_uncracked": None if np.isnan(uncracked) else uncracked,
        **{reason.replace(" ", "_"): evaluation.reasons.count(reason) for reason in REASONS},
    }


def origin_text(evaluation: Evaluation) -> str:
    """Data, split, part and counts in one line, to stand under every plot."""
    names = filter(None, (evaluation.dataset, evaluation.split, evaluation.part))
    short = [name if len(name) <= 30 else f"{name[:14]}…{name[-15:]}" for name in names]
    return " · ".join([*short, resampling_text(evaluation)])


def resampling_text(evaluation: Evaluation) -> str:
    """How many patches, from how many photos or groups, and whether these are too few for the intervals."""
    counts = f"{evaluation.n_patches:,} patches"
    if evaluation.n_photos is not None:
        kind = evaluation.photo_kind if evaluation.n_photos != 1 else evaluation.photo_kind.removesuffix("s")
        counts += f" from {evaluation.n_photos:,} {kind}"
    return f"{counts} ({evaluation.few})" if evaluation.few else counts


def figures_html(evaluation: Evaluation, *, more: Sequence[tuple[str, Estimate]] = ()) -> str:
    """The `HEADLINES` as a table for a notebook, with intervals, beside calling everything crack; leaky ones marked.

    Args:
        evaluation: Evaluation that is shown.
        more: Title and figure of further rows, which have no baseline.
    """
    mark = f" ({LEAKY})" if evaluation.leaky else ""
    shown = [(FIGURES[name].title, evaluation.metrics[name], evaluation.baseline[name]) for name in HEADLINES]
    rows = [(title, figure, number_text(baseline.value)) for title, figure, baseline in shown]
    rows += [(title, figure, "") for title, figure in more]
    return html_table(
        f"{evaluation.model} on {origin_text(evaluation)}{mark}",
        ("Figure", "Value", "95 % interval", "Always “crack”"),
        [(f"{title}{mark}", number_text(figure.value), interval_text(figure), base) for title, figure, base in rows],
    )


def worst_mistakes(evaluation: Evaluation, *, limit: int = 24) -> Int64Array:
    """Positions of the wrong answers, the most confident first: the least probability for the truth.

    Ties go by path, so the order of the patches does not matter.
    """
    wrong = np.flatnonzero(evaluation.predictions != evaluation.labels)
    return _ranked(evaluation, wrong, _truth_probability(evaluation))[:limit]


def least_certain(evaluation: Evaluation, *, limit: int = 24) -> Int64Array:
    """Positions of the patches nearest to the threshold, the nearest first."""
    distance = np.abs(evaluation.probabilities - evaluation.threshold)
    return _ranked(evaluation, np.arange(evaluation.n_patches), distance)[:limit]


def _truth_probability(evaluation: Evaluation) -> Float64Array:
    """(n,) the probability that the model gave to the truth."""
    return np.where(evaluation.labels == 1, evaluation.probabilities, 1 - evaluation.probabilities)


def _ranked(evaluation: Evaluation, positions: Int64Array, keys: Float64Array) -> Int64Array:
    ranked = sorted(positions.tolist(), key=lambda i: (keys[i], evaluation.paths[i]))
    return np.array(ranked, dtype=np.int64)


def _nothing_to_judge(dataset: str, part: str | None, refused: Sequence[tuple[str, str]]) -> str:
    where = f"{dataset}, part {part}" if part else dataset
    if refused:
        path, reason = refused[0]
        return f"{where}: none of {len(refused)} images can be read; {path}: {reason}. Mend the images."
    return f"{where}: no labelled patch to judge. Name another part, or check the folder."
