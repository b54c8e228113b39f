"""How well what is learnt on one set holds on another: a figure for each pair of a training and a test.

A row of the matrix is a training: on one set, or on all but one. A column is the test part of a set.
`crackscope.training.transfer_run` fills it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crackscope.measuring.metrics import Estimate

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


def all_but(name: str) -> str:
    """What a training on every set but one is called."""
    return f"all but {name}"


@dataclass(frozen=True)
class TransferTest:
    """One model on the test part of one set.

    Attributes:
        seed: Of split, draw, training and bootstrap.
        source: Name of the set it was trained on, or ``all but NAME``.
        trained_on: Names of all these sets.
        target: Name of the set it was tested on.
        n_train: Patches it was trained on, half of them cracked.
        n_val: Patches it was validated and calibrated on.
        n_patches: Patches it was tested on.
        n_photos: Photos, or groups that look alike, that they come from; None where each stands alone.
        photo_kind: What the intervals resample, see `crackscope.measuring.evaluation.PHOTO_KINDS`.
        threshold: A patch is called crack from this probability on; from the validation part of the training.
        figures: The `FIGURES`, with 95 % intervals.
        always_crack_f1: F1 of calling every patch crack.
        n_leaks: Photos and duplicates that stand both in its training and in this test part.
        n_seen: Patches whose file or photo it, or its backbone, was trained on.
        model_sha256: Of the bundle.
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

    @property
    def leaky(self) -> bool:
        """Whether training has seen some of what is judged, so that every figure flatters."""
        return self.n_leaks > 0 or self.n_seen > 0

    @property
    def kind(self) -> str | None:
        """One of `KINDS`; None for a set among several that were trained on."""
        if self.target not in self.trained_on:
            return "another set" if len(self.trained_on) == 1 else "all other sets"
        return "own set" if len(self.trained_on) == 1 else None

    def document(self) -> dict[str, Any]:
        """As it is written in JSON."""
        return {
            **{name: getattr(self, name) for name in _FACTS},
            "trained_on": list(self.trained_on),
            "leaky": self.leaky,
            "always_crack_f1": _number(self.always_crack_f1),
            **{name: figure.document() for name, figure in self.figures.items()},
        }

    @classmethod
    def of_document(cls, document: Mapping[str, Any]) -> TransferTest:
        """The test that `document` wrote."""
        f1 = document["always_crack_f1"]
        return cls(
            **{name: document[name] for name in _FACTS},
            trained_on=tuple(document["trained_on"]),
            always_crack_f1=math.nan if f1 is None else float(f1),
            figures={name: _estimate(document[name]) for name in FIGURES},
        )


@dataclass(frozen=True, eq=False)
class Transfer:
    """The whole matrix.

    Attributes:
        recipe: Name of the recipe.
        changes: Settings of it that were changed, ``key=value``.
        backbone: As it was asked for; None is the recipe's own.
        per_label: Patches of either label that were asked for, a set.
        seeds: Each is a split, a draw and a training of its own.
        sets: What `crackscope.measuring.transfer_sets.TransferSet.document` tells of each.
        tests: By seed, source and target.
        refused: Path, the set's name in front, and reason of every file that could not be read.
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

    @property
    def sources(self) -> tuple[str, ...]:
        """What was trained on: single sets first, then all but one."""
        return tuple(dict.fromkeys(one.source for one in self.tests))

    @property
    def targets(self) -> tuple[str, ...]:
        """What was tested on."""
        return tuple(dict.fromkeys(one.target for one in self.tests))

    @property
    def leaky(self) -> bool:
        """Whether any test is."""
        return any(one.leaky for one in self.tests)

    def of(self, source: str, target: str) -> tuple[TransferTest, ...]:
        """One test a seed."""
        return self._places[source, target]

    def mean(self, source: str, target: str) -> dict[str, Estimate]:
        """Figures of one pair: means over the seeds of the values, and of the ends of their intervals.

        So an interval says how sure one seed's test part is, not how far seeds lie apart. A figure that is undefined
        with one seed is NaN.
        """
        tests = self.of(source, target)
        return {name: _mean(one.figures[name] for one in tests) for name in FIGURES}

    def always_crack_f1(self, target: str) -> float:
        """F1 of calling every patch of a set crack, mean over the seeds."""
        return float(np.mean([one.always_crack_f1 for one in self.tests if one.target == target]))

    def means_by_kind(self) -> dict[str, dict[str, float]]:
        """For each of the `KINDS` that there are, the mean of every figure over its tests, without intervals."""
        found: dict[str, dict[str, float]] = {}
        for kind in KINDS:
            tests = [one for one in self.tests if one.kind == kind]
            if tests:
                found[kind] = {name: float(np.mean([one.figures[name].value for one in tests])) for name in FIGURES}
        return found

    def n_no_better(self) -> tuple[int, int]:
        """Tests on another set whose F1 is no better than always saying crack, and all tests on another set."""
        away = [one for one in self.tests if one.kind == "another set"]
        return sum(not one.figures["f1_crack"].value > one.always_crack_f1 for one in away), len(away)

    def document(self) -> dict[str, Any]:
        """As it is written in JSON."""
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
            "refused": [{"path": path, "reason": reason} for path, reason in self.refused],
            "by_kind": {
                kind: {name: _number(value) for name, value in means.items()}
                for kind, means in self.means_by_kind().items()
            },
            "another_set_no_better_than_always_crack": {"n": n_no_better, "of": n_away},
            "means": [self._mean_document(source, target) for source, target in self._places],
            "tests": [one.document() for one in self.tests],
        }

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
