"""Priority: findings get a class and a rank by rules, and each says why in one sentence.

The score is the weighted mean of levels from 0 to 1: severity, extent, exposure, importance and confidence. Severity
and extent have intervals, so the score has one too, and the classes at its two ends are told. By the rules of the
package, a finding whose width is unknown has no class: it is *not sure*. A probability alone makes no priority.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from crackscope.errors import DataError
from crackscope.inspection.bands import BandAnswer, BandTable
from crackscope.inspection.elements import Element, Elements
from crackscope.inspection.levels import Facts, Levels, Rankable, facts_of, levels_of
from crackscope.inspection.reasons import reason_of
from crackscope.inspection.rules import PriorityClass, PriorityRules, read_rules
from crackscope.inspection.texts import Texts

__all__ = ["Priority", "Rankable", "prioritise"]


@dataclass(frozen=True)
class Priority:
    """Class and rank of a finding, with the reason.

    Attributes:
        number: Number of the finding.
        photo: Path of its photo.
        element: Name of its element; None if its photo belongs to none.
        rank: Place in the order; 1 is to be looked at first.
        score: Weighted mean of the levels times 100, in [0, 100].
        score_low: Lower end of the score's interval, from those of the width and the scale.
        score_high: Upper end of the score's interval.
        priority_class: Class of the finding; None if it is not sure.
        most_urgent: Class at the upper end of the score.
        least_urgent: Class at the lower end of the score.
        levels: Level of each criterion, in [0, 1].
        levels_low: Lower ends of the levels.
        levels_high: Upper ends of the levels.
        band: Bands that the width may lie in; None if no table is chosen.
        reason: One sentence that says why.
    """

    number: int
    photo: str
    element: str | None
    rank: int
    score: float
    score_low: float
    score_high: float
    priority_class: PriorityClass | None
    most_urgent: PriorityClass
    least_urgent: PriorityClass
    levels: Mapping[str, float]
    levels_low: Mapping[str, float]
    levels_high: Mapping[str, float]
    band: BandAnswer | None
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Give all values by name, ready for JSON; the class and the bands by their numbers."""
        band = self.band if self.band and self.band.no_band is None else None
        return {
            "number": self.number,
            "photo": self.photo,
            "element": self.element,
            "rank": self.rank,
            "score": self.score,
            "score_low": self.score_low,
            "score_high": self.score_high,
            "class": self.priority_class.number if self.priority_class else None,
            "class_name": self.priority_class.name if self.priority_class else None,
            "most_urgent_class": self.most_urgent.number,
            "least_urgent_class": self.least_urgent.number,
            "levels": dict(self.levels),
            "band_table": self.band.table.name if self.band else None,
            "band_low": band.lowest.number if band and band.lowest else None,
            "band_high": band.highest.number if band and band.highest else None,
            "no_band": self.band.no_band if self.band else None,
            "reason": self.reason,
        }


def prioritise(
    findings: Iterable[Rankable],
    rules: PriorityRules | None = None,
    *,
    bands: BandTable | None = None,
    elements: Elements | None = None,
    texts: Texts | None = None,
) -> list[Priority]:
    """Put findings in order by rules, and say of each why.

    Args:
        findings: The findings, in any order; the result does not depend on it.
        rules: Rules to follow; those of the package where left out.
        bands: Table of bands. Without one, severity follows from the width in pixels.
        elements: Elements of the photos, with exposure and importance.
        texts: Texts of the language of the reasons; English where left out.

    Returns:
        Priorities by rank.

    Raises:
        DataError: If two findings have the same number, a photo belongs to two elements, or the rules or the table do
            not know an exposure or importance.
    """
    given = [*findings]
    rules, texts = rules or read_rules(), texts or Texts.read()
    _require_single(given)
    if elements is not None:
        _require_known(elements, rules, bands)
    shown = [elements.of(one.photo) if elements else None for one in given]
    places = [_place_of(one, element) for one, element in zip(given, shown, strict=True)]
    there = Counter(places)
    judged = [
        facts_of(one, rules, element=element, bands=bands, has_elements=elements is not None, n_there=there[place])
        for one, element, place in zip(given, shown, places, strict=True)
    ]
    unranked = [_priority_of(facts, levels_of(facts, rules), rules, texts) for facts in judged]
    return ranked(unranked)


def ranked(priorities: Iterable[Priority]) -> list[Priority]:
    """Put priorities in order and number them; equal scores are put in order by their upper ends, then by number.

    Args:
        priorities: Priorities of different findings.
    """
    ordered = sorted(priorities, key=lambda one: (-one.score, -one.score_high, one.number))
    return [replace(one, rank=rank) for rank, one in enumerate(ordered, 1)]


def _priority_of(facts: Facts, levels: Levels, rules: PriorityRules, texts: Texts) -> Priority:
    score, low, high = (rules.score_of(one) for one in (levels.best, levels.low, levels.high))
    most, least = rules.class_at(high), rules.class_at(low)
    own = None if _is_unsure(facts, rules, is_open=most != least) else rules.class_at(score)
    finding = facts.finding
    return Priority(
        number=finding.number,
        photo=finding.photo,
        element=finding.element or (facts.element.name if facts.element else None),
        rank=0,
        score=score,
        score_low=low,
        score_high=high,
        priority_class=own,
        most_urgent=most,
        least_urgent=least,
        levels=levels.best,
        levels_low=levels.low,
        levels_high=levels.high,
        band=facts.band,
        reason=reason_of(facts, rules, texts, own=own, most_urgent=most, least_urgent=least),
    )


def _is_unsure(facts: Facts, rules: PriorityRules, *, is_open: bool) -> bool:
    by_width = {"always": True, "if classes differ": is_open, "never": False}[rules.unsure_without_width]
    return (
        (by_width and facts.basis == "unknown")
        or (rules.unsure_if_joint_like and facts.finding.crack.joint_like)
        or facts.confidence < rules.unsure_below
    )


def _place_of(finding: Rankable, element: Element | None) -> tuple[str, str]:
    """What findings are counted by: the element, or the photo where there is none."""
    name = finding.element or (element.name if element else None)
    return ("element", name) if name is not None else ("photo", finding.photo)


def _require_single(findings: Iterable[Rankable]) -> None:
    for number, times in Counter(one.number for one in findings).items():
        if times > 1:
            raise DataError(f"{times} findings have the number {number}. Give each finding its own number.")


def _require_known(elements: Elements, rules: PriorityRules, bands: BandTable | None) -> None:
    if bands is not None:
        elements.require_exposures(bands.exposures, name=bands.short)
    elements.require_exposures([*rules.exposures], name=f"the rules '{rules.title}'")
    elements.require_importances([*rules.importances], name=f"the rules '{rules.title}'")
