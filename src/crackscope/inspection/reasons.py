"""Reasons: one sentence that says why a finding has its class, built from the finding's own numbers."""

from __future__ import annotations

from crackscope.inspection.bands import Band, BandAnswer, interval_text
from crackscope.inspection.levels import Facts
from crackscope.inspection.rules import PriorityClass, PriorityRules
from crackscope.inspection.texts import Texts

__all__ = ["reason_of"]


def reason_of(
    facts: Facts,
    rules: PriorityRules,
    texts: Texts,
    *,
    own: PriorityClass | None,
    most_urgent: PriorityClass,
    least_urgent: PriorityClass,
) -> str:
    """Say in one sentence why a finding has its class.

    Args:
        facts: What is known of the finding.
        rules: The rules.
        texts: Texts of the language.
        own: Class of the finding; None if it has none.
        most_urgent: Class at the upper end of its score.
        least_urgent: Class at the lower end of its score.
    """
    return texts.say(
        "reason",
        **{"class": _class_text(texts, own, most_urgent, least_urgent)},
        width=_width_text(facts, rules, texts),
        length=_length_text(facts, rules, texts),
        element=_element_text(facts, texts),
        notes="".join(_notes(facts, rules, texts)),
    )


# Class


def _class_text(texts: Texts, own: PriorityClass | None, first: PriorityClass, last: PriorityClass) -> str:
    numbers = [str(number) for number in range(first.number, last.number + 1)]
    if own is None:
        return texts.say("class_not_sure", others=_alternatives(texts, numbers))
    values = {"number": str(own.number), "name": texts.word(own.name)}
    others = [number for number in numbers if number != str(own.number)]
    if not others:
        return texts.say("class_sure", **values)
    return texts.say("class_perhaps", **values, others=_alternatives(texts, others if len(others) < 3 else numbers))


def _alternatives(texts: Texts, numbers: list[str]) -> str:
    if len(numbers) == 1:
        return numbers[0]
    return texts.say("class_or" if len(numbers) == 2 else "class_range", first=numbers[0], last=numbers[-1])


# Width


def _width_text(facts: Facts, rules: PriorityRules, texts: Texts) -> str:
    answer = facts.band
    if facts.basis == "unknown":
        return _unknown_width(facts, texts)
    if facts.basis == "band" and answer is not None and answer.case is not None and facts.width_mm is not None:
        values = _mm_values(facts, rules, texts, answer.case.limits_mm)
        return _related(texts.say("width_mm", **values), answer, texts)
    return texts.say("relation_none", width=_px_text(facts, rules, texts), why=_why_px(facts, texts))


def _unknown_width(facts: Facts, texts: Texts) -> str:
    if facts.width_mm is not None and not facts.width_mm.resolved:
        return texts.say("width_unresolved_mm", high=texts.width(facts.width_mm.high_mm))
    if facts.width_px is not None:
        return texts.say("width_unresolved_px", high=texts.number(facts.width_px.high_px, 1))
    return texts.say("width_unmeasured")


def _mm_values(facts: Facts, rules: PriorityRules, texts: Texts, limits: tuple[float, ...] = ()) -> dict[str, str]:
    width = facts.width_mm
    assert width is not None
    return {
        "figure": texts.say(f"figure_{rules.width}"),
        "width": texts.width(width.width_mm, limits),
        "interval": interval_text(width.low_mm, width.high_mm, limits, texts),
    }


def _px_text(facts: Facts, rules: PriorityRules, texts: Texts) -> str:
    width = facts.width_px
    assert width is not None
    steps = tuple(step.below for step in rules.px if step.below is not None)
    shown = texts.width(width.width_px, steps, decimals=1)
    interval = interval_text(width.low_px, width.high_px, steps, texts, decimals=1)
    figure = texts.say(f"figure_{rules.width}")
    if facts.width_mm is None:
        return texts.say("width_px", figure=figure, width=shown, interval=interval)
    mm = _mm_values(facts, rules, texts)
    return texts.say(
        "width_both", figure=figure, mm=mm["width"], interval_mm=mm["interval"], px=shown, interval_px=interval
    )


def _why_px(facts: Facts, texts: Texts) -> str:
    if facts.finding.crack.mm is None:
        return texts.say("why_no_scale")
    if facts.width_mm is None:
        return texts.say("why_no_mm")
    if facts.band is None:
        return texts.say("why_no_table")
    key = "why_no_exposure" if facts.band.no_band == "no exposure" else "why_no_case"
    return texts.say(key, table=facts.band.table.short)


def _related(width: str, answer: BandAnswer, texts: Texts) -> str:
    """The width and where it lies among the limits of the table."""
    lowest, highest, case = answer.lowest, answer.highest, answer.case
    assert lowest is not None
    assert highest is not None
    assert case is not None
    if lowest == highest:
        key, limits = _place_of(lowest)
    else:
        key = "relation_across"
        limits = [band.high_mm for band in case.bands if lowest.number <= band.number < highest.number if band.high_mm]
    told = texts.listed([texts.limit(limit) for limit in limits])
    values = {"table": answer.table.short, "case": case.text(answer.exposure, texts)}
    return texts.say(key, width=width, limits=told, **values)


def _place_of(band: Band) -> tuple[str, list[float]]:
    """How a band lies to its limits, as the key of a text, and the limits."""
    if band.high_mm is None:
        return ("relation_from" if band.low_included else "relation_above"), [band.low_mm]
    if band.low_mm == 0:
        return ("relation_up_to" if band.high_included else "relation_below"), [band.high_mm]
    return "relation_between", [band.low_mm, band.high_mm]


# Length, element and notes


def _length_text(facts: Facts, rules: PriorityRules, texts: Texts) -> str:
    alone = "_alone" if rules.extent_by == "number" else ""
    if facts.length_m is not None and facts.density is not None:
        values = {"length": texts.rough(facts.length_m), "density": texts.rough(facts.density)}
        return texts.say(f"length_m{alone}", **values)
    values = {"length": texts.number(facts.finding.crack.length_px, 0), "sides": texts.rough(facts.sides)}
    return texts.say(f"length_px{alone}", **values)


def _element_text(facts: Facts, texts: Texts) -> str:
    element = facts.element
    name = facts.finding.element or (element.name if element else None)
    if name is None:
        return texts.say("no_element") if facts.has_elements else ""
    told = [element.side] if element and element.side else []
    if element and element.exposure:
        told.append(texts.say("fact_exposure", exposure=texts.word(element.exposure)))
    if element and element.importance:
        told.append(texts.say("fact_importance", importance=texts.word(element.importance)))
    return (
        texts.say("on_element_known", name=name, facts=", ".join(told)) if told else texts.say("on_element", name=name)
    )


def _notes(facts: Facts, rules: PriorityRules, texts: Texts) -> list[str]:
    notes = []
    if facts.finding.crack.mm is not None:
        error = facts.scale_error
        key = "note_scale" if error is not None else "note_scale_unknown"
        notes.append(texts.say(key, percent=texts.rough(100 * error) if error is not None else ""))
    if rules.extent_by == "number":
        there = "note_number" if facts.finding.element or facts.element else "note_number_photo"
        notes.append(texts.say(there if facts.n_there > 1 else "note_number_one", number=str(facts.n_there)))
    if facts.confidence < rules.unsure_below:
        told = texts.width(facts.confidence, [rules.unsure_below])
        notes.append(texts.say("note_unsure_confidence", confidence=told, limit=texts.limit(rules.unsure_below)))
    else:
        told = texts.width(facts.confidence, [rules.unsure_below])
        notes.append(texts.say("note_confidence", confidence=told))
    if facts.finding.crack.joint_like:
        notes.append(texts.say("note_joint"))
    return notes
