"""Rules: how findings are put in order, as a readable TOML file of the package or of the user."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from crackscope.inspection.band_files import plain
from crackscope.inspection.toml_files import FileForm, checked, read_toml

__all__ = ["CRITERIA", "PriorityClass", "PriorityRules", "RuleStep", "read_rules"]

CRITERIA = ("severity", "extent", "exposure", "importance", "confidence")
"""Criteria that have a weight, in the order in which they are told."""

_FOLDER = "rules"
_REMEDY = "docs/inspection.md shows how such a file is written."


@dataclass(frozen=True)
class PriorityClass:
    """A class of findings that are about as urgent.

    Attributes:
        number: Number of the class; 1 is the most urgent one.
        name: Name of the class.
        lowest_score: Score from which a finding is in the class, in [0, 100].
    """

    number: int
    name: str
    lowest_score: float


@dataclass(frozen=True)
class RuleStep:
    """A step of a scale from a figure to a level.

    Attributes:
        below: Figure that the step ends below; None for the last step, which has no end.
        level: Level of the figures on the step, in [0, 1].
    """

    below: float | None
    level: float


@dataclass(frozen=True)
class PriorityRules:
    """How findings are put in order, from `crackscope.read_rules`.

    Attributes:
        name: Name of the rules in the package, or path of the user's file.
        title: Title of the rules.
        source: Where the rules are from.
        edition: Edition of the rules; empty if it is not stated.
        weights: Weight of each criterion.
        width: Figure of a crack's width that counts: ``median``, ``p90`` or ``maximum``.
        bands: Levels of the bands of a table, by the number of its bands; where that is not stated, they rise evenly.
        px: Steps from a width in pixels to its level, for widths without a band.
        extent_by: What the extent is: ``length``, by the area of the photo, or ``number`` of findings on the element.
        m_per_m2: Steps from metres of crack for each square metre of the photo to a level.
        photo_sides: Steps from the length by the side of a square photo of the same area to a level.
        number: Steps from the number of findings to a level.
        exposures: Level of each exposure.
        exposure_not_given: Level where no exposure is given.
        importances: Level of each importance.
        importance_not_given: Level where no importance is given.
        unsure_without_width: Whether a finding whose width is unknown has no class: ``always``, ``if classes differ``
            for the widths that are possible, or ``never``.
        unsure_if_joint_like: Whether a finding that looks like a joint has no class.
        unsure_below: Confidence below which a finding has no class.
        severity_without_width: Level of severity that counts for the rank where the width is unknown.
        classes: Classes from the most urgent one on.
    """

    name: str
    title: str
    source: str
    edition: str
    weights: Mapping[str, float]
    width: Literal["median", "p90", "maximum"]
    bands: Mapping[int, tuple[float, ...]]
    px: tuple[RuleStep, ...]
    extent_by: Literal["length", "number"]
    m_per_m2: tuple[RuleStep, ...]
    photo_sides: tuple[RuleStep, ...]
    number: tuple[RuleStep, ...]
    exposures: Mapping[str, float]
    exposure_not_given: float
    importances: Mapping[str, float]
    importance_not_given: float
    unsure_without_width: Literal["always", "if classes differ", "never"]
    unsure_if_joint_like: bool
    unsure_below: float
    severity_without_width: float
    classes: tuple[PriorityClass, ...]

    def class_at(self, score: float) -> PriorityClass:
        """Find the class of a score.

        Args:
            score: Score of a finding, in [0, 100].
        """
        return next((one for one in self.classes if score >= one.lowest_score), self.classes[-1])

    def level_of_band(self, at: int, n_bands: int) -> float:
        """Find the level of a band.

        Args:
            at: Place of the band in its table, 0 for the lowest one.
            n_bands: Number of bands of the table, 2 or more.
        """
        return self.bands[n_bands][at] if n_bands in self.bands else at / (n_bands - 1)

    def score_of(self, levels: Mapping[str, float]) -> float:
        """Weigh the levels of a finding: their mean by the weights, times 100.

        Args:
            levels: Level of each criterion, in [0, 1].

        Returns:
            The score in [0, 100], rounded to six decimals, so that the order of a sum cannot decide a rank.
        """
        total = sum(self.weights.values())
        return round(100 * sum(self.weights[name] * levels[name] for name in CRITERIA) / total, 6)

    def level_of_exposure(self, exposure: str | None) -> float:
        """Find the level of an exposure.

        Args:
            exposure: Name of the exposure, one of `exposures`; None if it is not given.
        """
        return self.exposure_not_given if exposure is None else _named(self.exposures, exposure)

    def level_of_importance(self, importance: str | None) -> float:
        """Find the level of an importance.

        Args:
            importance: Name of the importance, one of `importances`; None if it is not given.
        """
        return self.importance_not_given if importance is None else _named(self.importances, importance)


def level_at(steps: Iterable[RuleStep], figure: float) -> float:
    """Level of the step that a figure stands on."""
    return next(step.level for step in steps if step.below is None or figure < step.below)


def read_rules(name_or_path: str | Path = "default") -> PriorityRules:
    """Read rules for priorities: those of the package, or a TOML file of the user's own.

    Args:
        name_or_path: ``default``, or the path of a file that ends in ``.toml``.

    Raises:
        DataError: If there are no such rules, a key is missing or unknown, steps or classes are not in order, the
            source is missing, or confidence alone could lift a finding out of the last class.

    Example:
        >>> rules = read_rules()
        >>> [one.name for one in rules.classes]
        ['urgent', 'soon', 'at the next maintenance', 'observe']
    """
    name, document = read_toml(name_or_path, _FOLDER, kind="set of rules")
    found = checked(_RulesForm, document, place=name, remedy=_REMEDY)
    return PriorityRules(
        name,
        found.title,
        found.source,
        found.edition,
        {criterion: float(getattr(found.weights, criterion)) for criterion in CRITERIA},
        found.severity.width,
        {len(levels): levels for levels in found.severity.bands},
        _steps(found.severity.px),
        found.extent.by,
        _steps(found.extent.m_per_m2),
        _steps(found.extent.photo_sides),
        _steps(found.extent.number),
        found.exposure.levels,
        found.exposure.not_given,
        found.importance.levels,
        found.importance.not_given,
        found.not_sure.width_unknown,
        found.not_sure.joint_like,
        found.not_sure.confidence_below,
        found.not_sure.severity,
        tuple(PriorityClass(at, one.name, one.from_) for at, one in enumerate(found.classes, 1)),
    )


def _named(levels: Mapping[str, float], name: str) -> float:
    return next(level for known, level in levels.items() if plain(known) == plain(name))


# What a file must state

Level: TypeAlias = Annotated[float, Field(ge=0, le=1)]
Weight: TypeAlias = Annotated[float, Field(ge=0, le=1000)]


class _WeightsForm(FileForm):
    severity: float = Field(gt=0, le=1000)
    extent: Weight
    exposure: Weight
    importance: Weight
    confidence: Weight


class _StepForm(FileForm):
    below: float | None = Field(default=None, gt=0)
    level: Level


class _SeverityForm(FileForm):
    width: Literal["median", "p90", "maximum"]
    bands: tuple[tuple[Level, ...], ...] = ()
    px: tuple[_StepForm, ...]

    def require_fitting(self) -> None:
        if len({*map(len, self.bands)}) < len(self.bands):
            raise ValueError("bands: two rows for tables with the same number of bands; take one out")
        for levels in self.bands:
            if len(levels) < 2 or any(upper < lower for lower, upper in pairwise(levels)):
                raise ValueError(f"bands: a row has two levels at least, and they rise; not {[*levels]}")
        _require_rising("px", self.px)


class _ExtentForm(FileForm):
    by: Literal["length", "number"]
    m_per_m2: tuple[_StepForm, ...]
    photo_sides: tuple[_StepForm, ...]
    number: tuple[_StepForm, ...]

    def require_fitting(self) -> None:
        for name in ("m_per_m2", "photo_sides", "number"):
            _require_rising(name, getattr(self, name))


class _LevelsForm(FileForm):
    not_given: Level
    levels: dict[str, Level]

    def require_fitting(self) -> None:
        if len({*map(plain, self.levels)}) < len(self.levels):
            raise ValueError("two names differ in capitals or spaces alone; take one out")


class _NotSureForm(FileForm):
    width_unknown: Literal["always", "if classes differ", "never"]
    joint_like: bool
    confidence_below: Level
    severity: Level


class _ClassForm(FileForm):
    name: str
    from_: float = Field(alias="from", ge=0, le=100)


class _RulesForm(FileForm):
    title: str
    source: str
    edition: str = ""
    weights: _WeightsForm
    severity: _SeverityForm
    extent: _ExtentForm
    exposure: _LevelsForm
    importance: _LevelsForm
    not_sure: _NotSureForm
    classes: tuple[_ClassForm, ...]

    def require_fitting(self) -> None:
        if not self.source.strip():
            raise ValueError("source is empty; say who stands behind the rules")
        if len(self.classes) < 2:
            raise ValueError(f"rules need two classes at least, and there are {len(self.classes)}")
        for upper, lower in pairwise(self.classes):
            if lower.from_ >= upper.from_:
                raise ValueError(
                    f"class '{lower.name}' begins at {lower.from_:g}, but '{upper.name}' before it at {upper.from_:g}; "
                    "classes go from the most urgent one down"
                )
        if self.classes[-1].from_ != 0:
            last = self.classes[-1]
            raise ValueError(f"a hole; no class holds scores below {last.from_:g}. Let '{last.name}' begin at 0")
        self._require_more_than_confidence()

    def _require_more_than_confidence(self) -> None:
        """A probability alone makes no priority: it must not lift a finding out of the last class by itself."""
        weights = [float(getattr(self.weights, name)) for name in CRITERIA]
        points = 100 * self.weights.confidence / sum(weights)
        limit = self.classes[-2].from_
        if points >= limit:
            raise ValueError(
                f"weights.confidence {self.weights.confidence:g} alone gives up to {points:.0f} points, and class "
                f"'{self.classes[-2].name}' begins at {limit:g}; a probability alone makes no priority, so lower it"
            )


def _require_rising(name: str, steps: tuple[_StepForm, ...]) -> None:
    """Refuse steps with holes, overlaps or falling levels."""
    if not steps or steps[-1].below is not None:
        raise ValueError(f"{name}: a hole; the last step must have no 'below', so that it holds all greater figures")
    for lower, upper in pairwise(steps):
        if lower.below is None or (upper.below is not None and upper.below <= lower.below):
            raise ValueError(f"{name}: an overlap; each step must end above the one before it")
        if upper.level < lower.level:
            raise ValueError(f"{name}: the level falls from {lower.level:g} to {upper.level:g}; levels must rise")


def _steps(forms: Iterable[_StepForm]) -> tuple[RuleStep, ...]:
    return tuple(RuleStep(one.below, one.level) for one in forms)
