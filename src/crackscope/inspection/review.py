"""Review: decisions are laid over the findings, and can be taken off again.

Decisions never change what was found. `undecided` gives the findings as if nobody had decided anything; `decided` lays
the decisions over them. Each scan does both, so decisions last, and one that fits no more harms nothing.

- ``accept`` and a note or a width stand with the finding.
- ``reject`` takes the finding out of the count; it is listed among the retired ones.
- ``merge`` makes the finding a part of another one, in whose `seen_in` its cracks then stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from crackscope.errors import DataError
from crackscope.inspection.decisions import (
    OF_PRESENT_LINE,
    Decision,
    SetAside,
    SetAsideReason,
    decided_line,
    share_decided,
)
from crackscope.inspection.findings import Finding, Findings, Notice, RetiredFinding, Sighting

__all__ = ["apply_decisions", "decided", "undecided"]

_BY_DECISION = ("rejected", "merged by hand")


def apply_decisions(findings: Findings, decisions: Iterable[Decision]) -> Findings:
    """Take a reviewer's decisions over into the findings.

    A decision replaces an older one on the same finding. One that names no lines is made on the finding's lines of now.
    Decisions that cannot be in force are set aside with the reason, in `Findings.set_aside`.

    Args:
        findings: Findings that were reviewed.
        decisions: Decisions, at most one a finding.

    Raises:
        DataError: If two decisions speak of one finding.
    """
    given: dict[int, Decision] = {}
    plain = undecided(findings)
    live = {one.number: one for one in plain.findings}
    for decision in decisions:
        if decision.number in given:
            raise DataError(f"finding {decision.number} has two decisions. Give one of them.")
        finding = live.get(decision.number)
        if finding and not decision.made_on:
            lines = tuple(decided_line(one, one.crack) for one in finding.sightings)
            decision = replace(decision, made_on=lines)
        given[decision.number] = decision
    kept = [one for one in findings.decisions if one.number not in given]
    return decided(plain, [*kept, *given.values()])


def undecided(findings: Findings) -> Findings:
    """Give the findings without their decisions: what was rejected or merged by hand counts again.

    Args:
        findings: Findings with decisions.
    """
    back = [gone.finding for gone in findings.retired if gone.reason in _BY_DECISION]
    rest = [gone for gone in findings.retired if gone.reason not in _BY_DECISION]
    every = sorted((_plain(one) for one in (*findings.findings, *back)), key=lambda one: one.number)
    retired = tuple(replace(gone, finding=_plain(gone.finding)) for gone in rest)
    return replace(findings, findings=tuple(every), retired=retired, set_aside=())


def decided(plain: Findings, decisions: Iterable[Decision]) -> Findings:
    """Lay decisions over findings that have none.

    Args:
        plain: Findings without decisions, of `undecided`.
        decisions: Decisions with the lines that they were made on, at most one a finding.
    """
    sorting = _Sorting(plain)
    for decision in sorted(decisions, key=lambda one: (one.number in sorting.live, one.number)):
        sorting.take(decision)
    into = sorting.merges()
    live = {number: _with(one, sorting.held.get(number)) for number, one in sorting.live.items()}
    rejected = [number for number, one in sorting.held.items() if one.verdict == "reject"]
    retired = [replace(gone, finding=_with(gone.finding, sorting.waiting.get(gone.finding.number)))
               for gone in plain.retired]  # fmt: skip
    retired += [RetiredFinding(live[number], "rejected") for number in rejected]
    retired += [RetiredFinding(live[number], "merged by hand", root) for number, root in into.items()]
    counted = [
        replace(one, seen_in=(*one.seen_in, *_merged_in(number, into, live)))
        for number, one in live.items()
        if number not in rejected and number not in into
    ]
    waits = [_waits(decision, plain) for decision in sorting.waiting.values()]
    return replace(
        plain,
        findings=tuple(sorted(counted, key=lambda one: one.number)),
        retired=tuple(sorted(retired, key=lambda one: one.finding.number)),
        set_aside=tuple(sorting.aside),
        notices=(*(one for one in plain.notices if one.kind != "decision waits"), *waits),
    )


class _Sorting:
    """Decisions by what becomes of them: held, waiting with a retired finding, or set aside."""

    def __init__(self, plain: Findings) -> None:
        self.live = {one.number: one for one in plain.findings}
        self.retired = {gone.finding.number: gone for gone in plain.retired}
        self.held: dict[int, Decision] = {}
        self.waiting: dict[int, Decision] = {}
        self.aside: list[SetAside] = []

    def take(self, decision: Decision) -> None:
        """Sort a decision in, those on retired findings first."""
        number = decision.number
        finding = self.live.get(number)
        if finding is None and number in self.retired:
            self.waiting[number] = decision
            return
        if finding is None:
            self._set_aside(decision, "no such finding", f"No finding has the number {number}.")
            return
        parts = [
            one
            for part, one in self.waiting.items()
            if self.retired[part].merged_into == number and one.verdict == decision.verdict is not None
        ]
        share = share_decided(decision, [(one, one.crack) for one in finding.sightings], parts)
        if share is None:
            why = f"The photo in which finding {number} was reviewed is gone."
            self._set_aside(decision, "photo gone", why)
        elif share < OF_PRESENT_LINE:
            why = f"Only {share:.0%} of the line of finding {number} runs along the line that was reviewed."
            self._set_aside(decision, "other line", f"{why} Look at it again.")
        else:
            self.held[number] = decision

    def merges(self) -> dict[int, int]:
        """Number of the finding that each merged one ends in; merges that cannot be are set aside."""
        wanted = {number: one.merge_with for number, one in self.held.items() if one.merge_with is not None}
        found: dict[int, int] = {}
        for number in wanted:
            way = [number]
            while way[-1] in wanted and way[-1] not in way[:-1]:
                way.append(wanted[way[-1]])
            root = way[-1]
            if root not in wanted and root in self.live and not self._is_rejected(root):
                found[number] = root
                continue
            rounds = root in wanted
            why = "is to be merged with this one" if rounds else "is rejected" if root in self.live else "is not there"
            text = f"Finding {number} cannot be merged: finding {wanted[number] if rounds else root} {why}."
            self._set_aside(self.held.pop(number), "merge impossible", text)
        return found

    def _is_rejected(self, number: int) -> bool:
        return number in self.held and self.held[number].verdict == "reject"

    def _set_aside(self, decision: Decision, reason: SetAsideReason, text: str) -> None:
        self.aside.append(SetAside(decision, reason, text))


def _merged_in(number: int, into: Mapping[int, int], live: Mapping[int, Finding]) -> list[Sighting]:
    parts = [part for part, root in sorted(into.items()) if root == number]
    return [replace(one, merged_from=part) for part in parts for one in live[part].sightings]


def _waits(decision: Decision, plain: Findings) -> Notice:
    gone = next(one for one in plain.retired if one.finding.number == decision.number)
    why = f"{gone.reason} ({gone.merged_into})" if gone.merged_into else gone.reason
    text = f"The decision on finding {decision.number} waits, since the finding does not count: {why}."
    return Notice("decision waits", text, (decision.number,))


def _plain(finding: Finding) -> Finding:
    """A finding without its decision, and without what was merged into it by hand."""
    noted = finding.decision.note if finding.decision else ""
    own = tuple(one for one in finding.seen_in if one.merged_from is None)
    return replace(finding, decision=None, seen_in=own, notes="" if finding.notes == noted else finding.notes)


def _with(finding: Finding, decision: Decision | None) -> Finding:
    if decision is None:
        return finding
    return replace(finding, decision=decision, notes=decision.note or finding.notes)
