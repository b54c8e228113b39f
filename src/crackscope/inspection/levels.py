"""Levels: what is known of a finding, as levels from 0 to 1 that rules can weigh, each with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from crackscope.geometry.cracks import Crack
from crackscope.geometry.scale import COVERAGE
from crackscope.geometry.widths import WidthEstimate, WidthMm
from crackscope.inspection.bands import BandAnswer, BandTable
from crackscope.inspection.elements import Element
from crackscope.inspection.rules import PriorityRules, RuleStep, level_at

__all__ = ["Facts", "Levels", "Rankable", "facts_of", "levels_of"]

Basis: TypeAlias = Literal["band", "px", "unknown"]


class Rankable(Protocol):
    """What `crackscope.prioritise` must know of a finding; a numbered finding of an inspection has all of it."""

    @property
    def number(self) -> int:
        """Number of the finding, unique among those that are put in order."""

    @property
    def photo(self) -> str:
        """Path of the photo, as its result states it."""

    @property
    def crack(self) -> Crack:
        """The crack."""

    @property
    def element(self) -> str | None:
        """Name of the element; None if the photo belongs to none."""

    @property
    def photo_hw(self) -> tuple[int, int]:
        """Height and width of the photo in pixels."""


@dataclass(frozen=True)
class Facts:
    """What is known of a finding and counts for its priority.

    Attributes:
        finding: The finding.
        element: Element of its photo; None if the photo belongs to none.
        band: Answer of the table of bands; None if no table is chosen.
        width_mm: Width in mm, of the figure that the rules name; None without a scale, or if it was not measured.
        width_px: Width in pixels, of the same figure; None if it was not measured.
        length_m: Length in m; None without a scale.
        density: Length in m for each m² of the photo; None without a scale.
        sides: Length by the side of a square photo of the same area.
        has_elements: Whether elements of the photos are known at all.
        n_there: Number of findings on the same element, or in the same photo if that belongs to none.
        scale_error: Half of the 95 % interval of the scale, as a share of it; None if it is not known.
    """

    finding: Rankable
    element: Element | None
    band: BandAnswer | None
    width_mm: WidthMm | None
    width_px: WidthEstimate | None
    length_m: float | None
    density: float | None
    sides: float
    has_elements: bool
    n_there: int
    scale_error: float | None

    @property
    def basis(self) -> Basis:
        """What severity follows from: the band, the width in pixels, or nothing as the width is unknown."""
        if self.band is not None and self.band.no_band is None:
            return "band"
        mm_told = self.width_mm is None or self.width_mm.resolved
        return "px" if self.width_px is not None and self.width_px.resolved and mm_told else "unknown"

    @property
    def confidence(self) -> float:
        """Mean confidence along the line, in [0, 1]."""
        return min(max(self.finding.crack.mean_confidence, 0.0), 1.0)


@dataclass(frozen=True)
class Levels:
    """Level of each criterion in [0, 1]: the best estimate, and the ends of its interval.

    Attributes:
        best: Level of the best estimate, by criterion.
        low: Lower end of the interval, by criterion.
        high: Upper end of the interval, by criterion.
    """

    best: Mapping[str, float]
    low: Mapping[str, float]
    high: Mapping[str, float]


def facts_of(
    finding: Rankable,
    rules: PriorityRules,
    *,
    element: Element | None,
    bands: BandTable | None,
    has_elements: bool,
    n_there: int,
) -> Facts:
    """Gather what counts for the priority of a finding.

    Args:
        finding: The finding.
        rules: Rules that name the figure of the width.
        element: Element of its photo; None if the photo belongs to none.
        bands: Table of bands; None if none is chosen.
        has_elements: Whether elements of the photos are known at all.
        n_there: Number of findings on the same element, or in the same photo.

    Raises:
        DataError: If the table does not know the element's exposure.
    """
    crack, mm = finding.crack, finding.crack.mm
    height, width = finding.photo_hw
    width_mm: WidthMm | None = getattr(mm, rules.width) if mm else None
    width_px: WidthEstimate | None = getattr(crack.width, rules.width) if crack.width else None
    length_m = mm.length_mm / 1000 if mm else None
    area_m2 = height * width * (mm.mm_per_px / 1000) ** 2 if mm else None
    error = mm.uncertainty_mm_per_px if mm else None
    return Facts(
        finding,
        element,
        _band_of(bands, width_mm, element, has_scale=mm is not None),
        width_mm,
        width_px,
        length_m,
        length_m / area_m2 if length_m is not None and area_m2 else None,
        crack.length_px / math.sqrt(height * width),
        has_elements,
        n_there,
        COVERAGE * error / mm.mm_per_px if mm and error is not None else None,
    )


def levels_of(facts: Facts, rules: PriorityRules) -> Levels:
    """Give each criterion its level.

    Args:
        facts: What is known of the finding.
        rules: The rules.
    """
    fixed = {
        "exposure": rules.level_of_exposure(facts.element.exposure if facts.element else None),
        "importance": rules.level_of_importance(facts.element.importance if facts.element else None),
        "confidence": facts.confidence,
    }
    severity, extent = _severity(facts, rules), _extent(facts, rules)
    low, best, high = (
        {"severity": severe, "extent": extended, **fixed} for severe, extended in zip(severity, extent, strict=True)
    )
    return Levels(best, low, high)


def _band_of(
    bands: BandTable | None, width: WidthMm | None, element: Element | None, *, has_scale: bool
) -> BandAnswer | None:
    if bands is None:
        return None
    exposure = element.exposure if element else None
    if width is None and has_scale:
        return bands.without_band("not measured", exposure=exposure)
    return bands.band_of(width, exposure, member=element.member if element else "reinforced")


def _severity(facts: Facts, rules: PriorityRules) -> tuple[float, float, float]:
    """Levels of severity: lower end, best estimate and upper end."""
    answer, width = facts.band, facts.width_px
    if answer and answer.case and answer.lowest and answer.likeliest and answer.highest:
        bands = answer.case.bands
        low, best, high = (
            rules.level_of_band(bands.index(one), len(bands))
            for one in (answer.lowest, answer.likeliest, answer.highest)
        )
        return low, best, high
    if facts.basis == "px" and width is not None:
        low, best, high = (level_at(rules.px, one) for one in (width.low_px, width.width_px, width.high_px))
        return min(low, best), best, max(best, high)
    high = _highest_unknown(facts, rules)
    return 0.0, min(rules.severity_without_width, high), high


def _highest_unknown(facts: Facts, rules: PriorityRules) -> float:
    """The greatest level that an unknown width can have: that of its upper end where it is too small to be told."""
    answer = facts.band
    member = facts.element.member if facts.element else "reinforced"
    case = answer.table.case_of(answer.exposure, member=member) if answer else None
    if case is not None and facts.finding.crack.mm is not None:
        highest = case.band_at(facts.width_mm.high_mm) if facts.width_mm else case.bands[-1]
        return rules.level_of_band(case.bands.index(highest), len(case.bands))
    return level_at(rules.px, facts.width_px.high_px) if facts.width_px is not None else 1.0


def _extent(facts: Facts, rules: PriorityRules) -> tuple[float, float, float]:
    """Levels of extent: lower end, best estimate and upper end."""
    if rules.extent_by == "number":
        return _same(rules.number, facts.n_there)
    if facts.density is None:
        return _same(rules.photo_sides, facts.sides)
    # Length grows with the scale, and area with its square.
    share = facts.scale_error or 0.0
    low = level_at(rules.m_per_m2, facts.density / (1 + share))
    high = level_at(rules.m_per_m2, facts.density / (1 - share)) if share < 1 else rules.m_per_m2[-1].level
    return low, level_at(rules.m_per_m2, facts.density), high


def _same(steps: tuple[RuleStep, ...], figure: float) -> tuple[float, float, float]:
    level = level_at(steps, figure)
    return level, level, level
