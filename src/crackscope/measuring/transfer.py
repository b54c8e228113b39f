"""Transfer: how well what is learnt on one set holds on another, a figure for each pair of a training and a test.

A row of the matrix is a training: on one set, or on all but one. A column is the test part of a set.
`crackscope.training.transfer_run` fills it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crackscope.files.html import html_table
from crackscope.measuring.estimates import Estimate, few_text
from crackscope.measuring.evaluation import refused_documents
from crackscope.measuring.wording import LEAKY, number_text

__all__ = ["FIGURES", "KINDS", "Transfer", "TransferTest", "all_but"]

FIGURES = (
    *("auroc", "balanced_accuracy", "mcc", "f1_crack"),
    *("precision_crack", "recall_crack", "false_alarm_rate"),
)
"""What is told of every test, see `crackscope.measuring.metrics.measure`."""

KINDS = ("own set", "another set", "all other sets")
"""Tests by what the model was trained on: unseen photos of the same set, one other set, every set but this one."""

_FACTS = (
    *("seed", "source", "target", "n_train", "n_val", "n_patches", "n_photos", "photo_kind", "threshold"),
    *("n_leaks", "n_seen", "model_sha256"),
)
_CLUSTERS = ("n_clusters_crack", "n_clusters_uncracked")


def all_but(name: str) -> str:
    """What a training on every set but one is called."""
    return f"all but {name}"


@dataclass(frozen=True)
class TransferTest:
    """Figures of one model on the test part of one set.

    Attributes:
        seed: Seed of split, draw, training and bootstrap.
        source: Name of the set that the model was trained on, or ``all but NAME``.
        trained_on: Names of all sets that the model was trained on.
        target: Name of the set that the model was tested on.
        n_train: Number of patches that the model was trained on, half of them cracked.
        n_val: Number of patches that the model was validated and calibrated on.
        n_patches: Number of patches that the model was tested on.
        n_photos: Number of photos, or groups that look alike, that the tested patches come from; None where each stands
            alone.
        photo_kind: What the intervals resample: ``photos``, ``similarity groups`` or ``patches``.
        threshold: Probability from which a patch is called crack; it was chosen on the validation part of the training.
        figures: AUROC, balanced accuracy, MCC, F1, precision and recall of crack, and false alarm rate by name, with 95
            % intervals.
        always_crack_f1: F1 of calling every patch crack.
        n_leaks: Number of photos and duplicates that stand both in the training and in this test part.
        n_seen: Number of patches whose file or photo the model, or its backbone, was trained on.
        model_sha256: SHA-256 of the bundle, in hexadecimal.
        n_clusters_crack: Number of photos, or groups, that hold a tested cracked patch; None where it is not stated.
        n_clusters_uncracked: Number of photos, or groups, that hold a tested uncracked patch; None where it is not
            stated.
    """

    seed: int
    source: str
    trained_on: tuple[str, ...]
    target: str
    n_train: int
    n_val: int
    n_patches: int
    n_photos: int | None
    photo_kind: str
    threshold: float
    figures: dict[str, Estimate]
    always_crack_f1: float
    n_leaks: int
    n_seen: int
    model_sha256: str
    n_clusters_crack: int | None = None
    n_clusters_uncracked: int | None = None

    @property
    def few(self) -> str:
        """What is said beside intervals where a label comes from too few photos or groups; empty where not."""
        return few_text(self.n_clusters_crack, self.n_clusters_uncracked, self.photo_kind)

    @property
    def leaky(self) -> bool:
        """Whether training has seen some of what is judged, so that every figure is too good."""
        return self.n_leaks > 0 or self.n_seen > 0

    @property
    def kind(self) -> str | None:
        """Relation of the tested set to what the model was trained on.

        ``own set``: unseen photos of the only set it was trained on. ``another set``: it was trained on one other set.
        ``all other sets``: it was trained on all sets but this one. None: the set is one of several that it was trained
        on.
        """
        if self.target not in self.trained_on:
            return "another set" if len(self.trained_on) == 1 else "all other sets"
        return "own set" if len(self.trained_on) == 1 else None

    def document(self) -> dict[str, Any]:
        """Figures and counts as ``transfer.json`` holds them, ready for JSON."""
        return {
            **{name: getattr(self, name) for name in _FACTS},
            "trained_on": list(self.trained_on),
            "leaky": self.leaky,
            "always_crack_f1": _number(self.always_crack_f1),
            **{name: figure.document() for name, figure in self.figures.items()},
            **{name: getattr(self, name) for name in _CLUSTERS},
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> TransferTest:
        """Make the test that `document` wrote.

        Args:
            document: The dictionary that `document` gave, or that was read from JSON.
        """
        f1 = document["always_crack_f1"]
        return cls(
            **{name: document[name] for name in _FACTS},
            trained_on=tuple(document["trained_on"]),
            always_crack_f1=math.nan if f1 is None else float(f1),
            figures={name: _estimate(document[name]) for name in FIGURES},
            n_clusters_crack=document.get("n_clusters_crack"),
            n_clusters_uncracked=document.get("n_clusters_uncracked"),
        )


@dataclass(frozen=True, eq=False)
class Transfer:
    """Matrix of a transfer: every model, tested on every set.

    Attributes:
        recipe: Name of the recipe.
        changes: Settings of the recipe that were changed, each ``key=value``.
        backbone: Backbone that was asked for; None for the recipe's own.
        per_label: Number of patches of either label that were asked for from each set.
        seeds: Seeds; each is a split, a draw and a training of its own.
        sets: Facts of each set, by name: its counts, how it was split, its digest.
        tests: All tests, by seed, source and target.
        refused: Path, with the set's name in front, and reason of every file that could not be read.
    """

    recipe: str
    changes: tuple[str, ...]
    backbone: str | None
    per_label: int
    seeds: tuple[int, ...]
    sets: tuple[dict[str, Any], ...]
    tests: tuple[TransferTest, ...]
    refused: tuple[tuple[str, str], ...] = ()
    _places: dict[tuple[str, str], tuple[TransferTest, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        places: dict[tuple[str, str], tuple[TransferTest, ...]] = {}
        for one in self.tests:
            places[one.source, one.target] = (*places.get((one.source, one.target), ()), one)
        object.__setattr__(self, "_places", places)

    def _repr_html_(self) -> str:
        n = len(self.seeds)
        seeds = f"mean of {n} seeds" if n > 1 else f"seed {self.seeds[0]}"
        return html_table(
            f"{self.recipe}, {seeds}: AUROC / F1 of crack",
            ("Trained on", *(f"Tested on {target}" for target in self.targets)),
            [(source, *(self.cell_text(source, target) for target in self.targets)) for source in self.sources],
        )

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of what was trained on: single sets first, then all but one."""
        return tuple(dict.fromkeys(one.source for one in self.tests))

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the sets that were tested on."""
        return tuple(dict.fromkeys(one.target for one in self.tests))

    @property
    def leaky(self) -> bool:
        """Whether training has seen some of what is judged, in any test."""
        return any(one.leaky for one in self.tests)

    def of(self, source: str, target: str) -> tuple[TransferTest, ...]:
        """Give the tests of one pair, one for each seed.

        Args:
            source: Name of what was trained on, one of `sources`.
            target: Name of the set that was tested on, one of `targets`.

        Raises:
            KeyError: If there is no such pair.
        """
        return self._places[source, target]

    def mean(self, source: str, target: str) -> dict[str, Estimate]:
        """Average the figures of one pair over the seeds: their values, and the ends of their intervals.

        So an interval says how sure the test part of one seed is; it does not say how far the seeds lie apart. A figure
        that is undefined with one seed is NaN.

        Args:
            source: Name of what was trained on, one of `sources`.
            target: Name of the set that was tested on, one of `targets`.

        Returns:
            Figures by name.

        Raises:
            KeyError: If there is no such pair.
        """
        tests = self.of(source, target)
        return {name: _mean(one.figures[name] for one in tests) for name in FIGURES}

    def cell_text(self, source: str, target: str) -> str:
        """Write AUROC and F1 of crack of one pair, averaged over the seeds; a mark says that they are leaky.

        Args:
            source: Name of what was trained on, one of `sources`.
            target: Name of the set that was tested on, one of `targets`.

        Raises:
            KeyError: If there is no such pair.
        """
        mean = self.mean(source, target)
        mark = f"{LEAKY} " if any(one.leaky for one in self.of(source, target)) else ""
        return f"{mark}{number_text(mean['auroc'].value)} / {number_text(mean['f1_crack'].value)}"

    def always_crack_f1(self, target: str) -> float:
        """Average, over the seeds, the F1 of calling every patch of a set crack.

        Args:
            target: Name of the set, one of `targets`.
        """
        return float(np.mean([one.always_crack_f1 for one in self.tests if one.target == target]))

    def means_by_kind(self) -> dict[str, dict[str, float]]:
        """Average every figure over the tests of each kind, see `TransferTest.kind`, without intervals."""
        found: dict[str, dict[str, float]] = {}
        for kind in KINDS:
            tests = [one for one in self.tests if one.kind == kind]
            if tests:
                found[kind] = {name: float(np.mean([one.figures[name].value for one in tests])) for name in FIGURES}
        return found

    def n_no_better(self) -> tuple[int, int]:
        """Count the tests on another set whose F1 is no better than calling everything crack, and all of them."""
        away = [one for one in self.tests if one.kind == "another set"]
        return sum(not one.figures["f1_crack"].value > one.always_crack_f1 for one in away), len(away)

    def document(self) -> dict[str, Any]:
        """Matrix and tests as ``transfer.json`` holds them, ready for JSON."""
        n_no_better, n_away = self.n_no_better()
        return {
            "recipe": self.recipe,
            "changes": list(self.changes),
            "backbone": self.backbone,
            "per_label": self.per_label,
            "seeds": list(self.seeds),
            "sets": list(self.sets),
            "leaky": self.leaky,
            "n_refused": len(self.refused),
            "refused": refused_documents(self.refused),
            "by_kind": {
                kind: {name: _number(value) for name, value in means.items()}
                for kind, means in self.means_by_kind().items()
            },
            "another_set_no_better_than_always_crack": {"n": n_no_better, "of": n_away},
            "means": [self._mean_document(source, target) for source, target in self._places],
            "tests": [one.document() for one in self.tests],
        }

    @property
    def few(self) -> tuple[str, ...]:
        """What is said beside intervals: labels from too few photos or groups, and tests by an older version."""
        told: dict[str, str] = {}
        for one in sorted(self.tests, key=lambda one: min(one.n_clusters_crack or 0, one.n_clusters_uncracked or 0)):
            if one.few:
                told.setdefault(one.target, one.few)
        lines = [f"{target}: {told[target]}." for target in self.targets if target in told]
        n_older = sum(one.n_clusters_crack is None for one in self.tests)
        if n_older:
            lines.append(f"{n_older} tests are by an older version, so every interval of theirs is a bootstrap.")
        return tuple(lines)

    def _mean_document(self, source: str, target: str) -> dict[str, Any]:
        tests = self.of(source, target)
        return {
            "source": source,
            "target": target,
            "kind": tests[0].kind,
            "leaky": any(one.leaky for one in tests),
            "n_patches": sum(one.n_patches for one in tests),
            **{name: figure.document() for name, figure in self.mean(source, target).items()},
        }


def _mean(figures: Iterable[Estimate]) -> Estimate:
    ends = np.array([(one.value, one.low, one.high) for one in figures])
    value, low, high = ends.mean(0).tolist()
    return Estimate(value, low, high)


def _estimate(document: Mapping[str, float | None]) -> Estimate:
    ends = (document[end] for end in ("value", "low", "high"))
    value, low, high = (math.nan if number is None else float(number) for number in ends)
    return Estimate(value, low, high)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
