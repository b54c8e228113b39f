"""Robustness: what a model's figures become on corrupted photographs, for every corruption at every strength.

Each patch is read once, corrupted in every way (`crackscope.drawing.corruptions`), and classified. The *error* of a set
is one minus balanced accuracy, so that shares of labels do not matter; the *mean corruption error* is its mean over
strengths, then over corruptions, as in ImageNet-C (Hendrycks & Dietterich 2019, section 4.2), without their division by
AlexNet's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.data.grouping import widest_groups
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.splits import Split
from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crackscope.errors import DataError, ImageError, reason_of
from crackscope.files.html import html_table
from crackscope.files.streaming import Progress, ordered_map
from crackscope.measuring.estimates import Estimate, few_text
from crackscope.measuring.judging import part_of, part_to_judge, require_unseen
from crackscope.measuring.metrics import measure
from crackscope.measuring.wording import LEAKY, number_text
from crackscope.model.provenance import count_seen
from crackscope.scanning.loaded_model import AnyModel, Model, load
from crackscope.scanning.prediction import Unit, require_patch_size, require_unit

__all__ = ["ALWAYS_CRACK_ERROR", "Robustness", "RobustnessCondition", "measure_robustness"]


ALWAYS_CRACK_ERROR = 0.5
"""Error of calling everything crack, whatever the picture: its recall is 1, and so is its false alarm rate."""

_SHOWN = ("recall_crack", "false_alarm_rate", "balanced_accuracy", "auroc", "ece")


@dataclass(frozen=True)
class RobustnessCondition:
    """Figures of a model under one corruption at one strength.

    Attributes:
        corruption: Name of the corruption, such as ``motion_blur``; ``clean`` for the patches as they are.
        strength: Strength of the corruption, 1 to 5; 0 for ``clean``.
        figures: Recall of crack, false alarm rate, balanced accuracy, AUROC and calibration error (ECE) by name, with
            95 % intervals.
        unsure_share: Share of the patches in the unsure band, in [0, 1].
        rejected_share: Share of the patches that the gate rejects, in [0, 1]; they are in the figures all the same.
            None for a model without a gate.
        missed_unrejected: Share of the cracked patches that are neither found nor rejected, and so are lost, in [0, 1];
            None for a model without a gate.
    """

    corruption: str
    strength: int
    figures: dict[str, Estimate]
    unsure_share: float
    rejected_share: float | None = None
    missed_unrejected: float | None = None

    @property
    def error(self) -> float:
        """Error of the model: one minus balanced accuracy."""
        return 1 - self.figures["balanced_accuracy"].value


@dataclass(frozen=True, eq=False)
class Robustness:
    """Figures of one model on one set of patches, as they are and under every corruption.

    Attributes:
        dataset: Name of the data.
        part: Part that was judged, ``train``, ``val`` or ``test``; None for all patches.
        split: Name of the split file; None without one.
        model: Name of the model and the beginning of its SHA-256.
        model_sha256: SHA-256 of the bundle file, in hexadecimal.
        n_patches: Number of patches that were judged in every condition.
        n_crack: Number of patches labelled crack.
        n_photos: Number of scenes, photos or groups that are resampled; None where each patch counts for itself.
        n_seen: Number of patches that the model or its backbone was trained on, or whose photo or scene was.
        conditions: Figures of each condition: ``clean`` first, then by corruption and strength.
        refused: Path and reason of every file that could not be read.
        sample: Path of the first cracked patch that was judged, for a report to show corruptions on; None where none
            was.
        index: Patches that were judged, in which a report finds the sample; None where they are not at hand.
        n_seen_by_backbone: Number of the patches in `n_seen` that the backbone was trained on.
        n_leaks: Number of photos and duplicates on two sides of the split; 0 is clean.
        n_clusters_crack: Number of photos that hold a cracked patch; of such patches where photos are not known.
        n_clusters_uncracked: Number of photos that hold an uncracked patch; of such patches where photos are not known.
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
    conditions: tuple[RobustnessCondition, ...]
    refused: tuple[tuple[str, str], ...] = ()
    sample: str | None = None
    index: PatchIndex | None = field(default=None, repr=False)
    n_seen_by_backbone: int = 0
    n_leaks: int = 0
    n_clusters_crack: int | None = None
    n_clusters_uncracked: int | None = None

    def _repr_html_(self) -> str:
        mark = f" ({LEAKY})" if self.leaky else ""
        patches = f"{self.model} on {self.dataset}, {self.n_patches:,} patches"
        return html_table(
            f"{patches}: recall / false alarms; without a corruption {_rates_text(self.clean)}; always crack 1 / 1, "
            f"mean error {ALWAYS_CRACK_ERROR}{mark}",
            ("Corruption", *(f"Strength {strength}" for strength in STRENGTHS), "Mean error"),
            [
                (
                    name.replace("_", " "),
                    *(_rates_text(one) for one in self.of(name)),
                    number_text(self.corruption_error(name)),
                )
                for name in CORRUPTIONS
            ],
        )

    @property
    def leaky(self) -> bool:
        """Whether training has seen some of what is judged here, so that every figure is too good."""
        return self.n_leaks > 0 or self.n_seen > 0

    @property
    def cluster_kind(self) -> str:
        """What stays together in an interval: ``photos``, or ``patches`` where photos are not known."""
        return "patches" if self.n_photos is None else "photos"

    @property
    def few(self) -> str:
        """What is said beside intervals where a label comes from too few photos; empty where not."""
        return few_text(self.n_clusters_crack, self.n_clusters_uncracked, self.cluster_kind)

    @property
    def clean(self) -> RobustnessCondition:
        """Figures of the patches as they are."""
        return self.conditions[0]

    def of(self, corruption: str) -> tuple[RobustnessCondition, ...]:
        """Give the figures of all strengths of one corruption.

        Args:
            corruption: Name of the corruption, such as ``motion_blur``.

        Returns:
            Conditions by rising strength; empty where the corruption is not known.
        """
        return tuple(one for one in self.conditions if one.corruption == corruption)

    def corruption_error(self, corruption: str) -> float:
        """Average the error over the strengths of one corruption.

        Args:
            corruption: Name of the corruption, such as ``motion_blur``.
        """
        return float(np.mean([one.error for one in self.of(corruption)]))

    @property
    def mean_corruption_error(self) -> float:
        """Mean of `corruption_error` over all corruptions."""
        return float(np.mean([self.corruption_error(name) for name in CORRUPTIONS]))

    def document(self) -> dict[str, object]:
        """Figures of every condition as ``robustness.json`` holds them, ready for JSON."""
        facts = ("dataset", "part", "split", "model", "model_sha256", "n_patches", "n_crack", "n_photos")
        seen = ("n_seen", "n_seen_by_backbone", "n_leaks")
        return {
            **{name: getattr(self, name) for name in (*facts, *seen)},
            "leaky": self.leaky,
            "n_refused": len(self.refused),
            "clean_error": self.clean.error,
            "always_crack_error": ALWAYS_CRACK_ERROR,
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
            "n_clusters_crack": self.n_clusters_crack,
            "n_clusters_uncracked": self.n_clusters_uncracked,
        }


def _rates_text(one: RobustnessCondition) -> str:
    return " / ".join(number_text(one.figures[name].value) for name in ("recall_crack", "false_alarm_rate"))


def measure_robustness(
    data: str | Path | PatchIndex,
    model: AnyModel = None,
    *,
    split: str | Path | Split | None = None,
    part: str | None = None,
    max_patches: int = 1000,
    unit: Unit = "auto",
    allow_leakage: bool = False,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Robustness:
    """Corrupt labelled patches in eleven ways at five strengths, and measure a model on each.

    The corruptions are motion blur, defocus, noise, JPEG encoding, brightness, contrast, a shadow's edge, stains,
    smaller and larger pictures, and rotation.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        split: A split from `crackscope.split`, or its file; if left out, the parts that the data itself names, if any.
        part: Part to judge: ``train``, ``val`` or ``test``. If left out, ``test`` where there are parts, else all
            patches.
        max_patches: Greatest number of patches that are judged, half of them cracked where there are enough; `seed`
            draws them.
        unit: ``patch`` resizes images that are larger than the model's patches; ``auto`` refuses them.
        allow_leakage: Whether a leaking split, and what the model was trained on, are judged all the same; every figure
            is then marked leaky.
        n_resamples: Number of bootstrap resamples behind each 95 % interval.
        seed: Seed of the choice of patches, and of the bootstrap resamples.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.

    Returns:
        Figures of every condition. `crackscope.write_robustness` writes them into a folder.

    Raises:
        DataError: If the data or all patches of a label cannot be read, a label is missing, or `unit` is another word.
        SplitError: If the split leaks, does not fit the data, or the model was trained on what is to be judged.
        BundleError: If the model is no bundle of this version.
    """
    require_unit(unit)
    loaded = load(model, threads=threads)
    index = read_patches(data)
    part, n_leaks = part or part_to_judge(index, split), 0
    if part is not None:
        index, n_leaks = part_of(index, split, part, allow_leakage, threads, progress)
    index.require_both_labels("robustness")
    index = _drawn(index, max_patches, seed)
    if not allow_leakage:
        require_unseen(index, index.digests(threads=threads), loaded)
    judged, probabilities, rejected, refused = _answers(index, loaded, unit, threads, progress)
    if not judged:
        raise DataError(f"{index.name}: none of {len(refused)} patches can be read; {refused[0][0]}: {refused[0][1]}.")
    own = index.select(judged)
    own.require_both_labels("robustness, on what can be read,")
    labels = own.labels
    known, _ = widest_groups(judged)
    learnt = loaded.card.backbone.trained_on
    digests = own.digests(threads=threads)
    calibration = loaded.card.patch
    conditions = []
    for (corruption, strength), values, away in zip(_conditions(), probabilities.T, rejected.T, strict=True):
        figures = measure(
            labels, values, threshold=calibration.threshold, photos=known, n_resamples=n_resamples, seed=seed
        )
        unsure = (values >= calibration.unsure_low) & (values < calibration.unsure_high)
        lost = (values < calibration.threshold)[labels == 1] & ~away[labels == 1]
        gated = (float(away.mean()), float(lost.mean())) if loaded.card.gate else (None, None)
        shown = {name: figures[name] for name in _SHOWN}
        conditions.append(RobustnessCondition(corruption, strength, shown, float(unsure.mean()), *gated))
    return Robustness(
        dataset=index.name,
        part=part,
        split=Path(split).name if isinstance(split, (str, Path)) else None,
        model=loaded.name,
        model_sha256=loaded.sha256,
        n_patches=len(judged),
        n_crack=int(labels.sum()),
        n_photos=len(set(known)) if known is not None else None,
        n_seen=count_seen(own, digests, (*learnt, *loaded.card.training_data)),
        conditions=tuple(conditions),
        refused=tuple(refused),
        sample=next(patch.path for patch in judged if patch.label == "crack"),
        index=own,
        n_seen_by_backbone=count_seen(own, digests, learnt),
        n_leaks=n_leaks,
        n_clusters_crack=_n_clusters(judged, "crack"),
        n_clusters_uncracked=_n_clusters(judged, "uncracked"),
    )


def _n_clusters(judged: Sequence[Patch], label: str) -> int:
    """How many photos hold a patch of a label; how many patches do where a photo is not known."""
    photos = [patch.photo for patch in judged if patch.label == label]
    return len(set(photos)) if all(patch.photo is not None for patch in judged) else len(photos)


def _conditions() -> list[tuple[str, int]]:
    return [("clean", 0), *((name, strength) for name in CORRUPTIONS for strength in STRENGTHS)]


def _drawn(index: PatchIndex, n: int, seed: int) -> PatchIndex:
    """At most `n` patches in the order of the index, half of them cracked where there are enough of both."""
    if len(index) <= n:
        return index
    rng = np.random.default_rng(seed)
    crack, other = (rng.permutation(np.flatnonzero(index.labels == label)) for label in (1, 0))
    n_crack = min(len(crack), max(n // 2, n - len(other)))
    chosen = sorted(int(i) for i in (*crack[:n_crack], *other[: n - n_crack]))
    return index.select([index.patches[i] for i in chosen])


def _answers(
    index: PatchIndex, model: Model, unit: Unit, threads: int | None, progress: Progress | None
) -> tuple[list[Patch], Float64Array, BoolArray, list[tuple[str, str]]]:
    """Patches that could be judged, of each in every condition probability and rejection, and why others could not."""

    def work(patch: Patch) -> list[tuple[float, bool]] | str:
        try:
            pixels = index.read_pixels(patch.path)
            require_patch_size((pixels.shape[0], pixels.shape[1]), model.card, unit)
            said = [model.classify(view, unit="patch") for view in _views(pixels)]  # a view may be larger
            return [(one.crack_probability, one.reason is not None) for one in said]
        except (OSError, KeyError, ValueError, ImageError) as error:
            return reason_of(error)

    judged: list[Patch] = []
    rows: list[list[tuple[float, bool]]] = []
    refused: list[tuple[str, str]] = []
    for i, (patch, found) in enumerate(
        zip(index.patches, ordered_map(work, index.patches, threads=threads or model.threads), strict=True)
    ):
        if isinstance(found, str):
            refused.append((patch.path, found))
        else:
            judged.append(patch)
            rows.append(found)
        if progress:
            progress(i + 1, len(index))
    table = np.array(rows, np.float64).reshape(
        len(rows), 1 + len(CORRUPTIONS) * len(STRENGTHS), 2
    )  # (n, conditions, 2)
    return judged, table[:, :, 0], table[:, :, 1] > 0, refused


def _views(pixels: UInt8Array) -> Sequence[UInt8Array]:
    return [pixels if not strength else corrupt(pixels, name, strength) for name, strength in _conditions()]
