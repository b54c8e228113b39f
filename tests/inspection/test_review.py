"""Decisions of reviewers: taken over, kept through scans, set aside where they fit no more."""

from __future__ import annotations

from typing import Any

import pytest

from crackscope.errors import DataError
from crackscope.inspection.decisions import Decision
from crackscope.inspection.findings import Findings
from crackscope.inspection.numbering import findings_of
from crackscope.inspection.review import apply_decisions, undecided
from shared.drawn_cracks import level_crack, photo_of


def scan_of(*ys: float, previous: Findings | None = None, left: float = 100, right: float = 500) -> Findings:
    """Findings of one photo with level cracks."""
    photo = photo_of("a.jpg", [level_crack(y, left, right + 10 * k) for k, y in enumerate(ys[::-1])])
    return findings_of([photo], previous, sha256s=["a"])


@pytest.fixture
def three() -> Findings:
    """Finding 1 at 100 px, 2 at 200 px, 3 at 300 px."""
    found = scan_of(100, 200, 300)
    assert [one.crack.path_xy[0][0, 1] for one in found] == [100, 200, 300]
    return found


def test_decisions_stand_with_their_findings_and_keep_the_line(three: Findings) -> None:
    found = apply_decisions(three, [Decision(1, "accept", note="wet"), Decision(2, width_mm=0.4)])
    assert found[1].decision is not None
    assert (found[1].decision.verdict, found[1].notes) == ("accept", "wet")
    assert [line.photo_sha256 for line in found[1].decision.made_on] == ["a"]
    assert found[2].decision is not None
    assert found[2].decision.width_mm == 0.4
    assert found[3].decision is None
    assert undecided(found) == three


def test_a_rejected_finding_leaves_the_count_and_stays_rejected(three: Findings) -> None:
    found = apply_decisions(three, [Decision(2, "reject")])
    assert [one.number for one in found] == [1, 3]
    assert [(one.finding.number, one.reason) for one in found.retired] == [(2, "rejected")]
    again = scan_of(103, 203, 303, previous=found)
    assert [one.number for one in again] == [1, 3]
    assert [(one.finding.number, one.reason) for one in again.retired] == [(2, "rejected")]
    assert again[2].crack.path_xy[0][0, 1] == 203
    gone = scan_of(100, 300, previous=again)
    assert [(one.finding.number, one.reason) for one in gone.retired] == [(2, "not found again")]
    assert [one.kind for one in gone.notices] == ["decision waits"]
    back = scan_of(100, 200, 300, previous=gone)
    assert [(one.finding.number, one.reason) for one in back.retired] == [(2, "rejected")]


def test_a_decision_may_be_taken_back_by_another(three: Findings) -> None:
    found = apply_decisions(apply_decisions(three, [Decision(2, "reject")]), [Decision(2, "accept")])
    assert [one.number for one in found] == [1, 2, 3]
    assert [one.verdict for one in found.decisions] == ["accept"]


def test_merged_findings_are_one_and_stay_one(three: Findings) -> None:
    found = apply_decisions(three, [Decision(3, "merge", merge_with=2), Decision(2, "merge", merge_with=1)])
    assert [one.number for one in found] == [1]
    assert [(one.finding.number, one.reason, one.merged_into) for one in found.retired] == [
        (2, "merged by hand", 1),
        (3, "merged by hand", 1),
    ]
    assert [one.merged_from for one in found[1].seen_in] == [2, 3]
    again = scan_of(102, 202, 302, previous=found)
    assert [one.merged_from for one in again[1].seen_in] == [2, 3]
    assert [one.crack.path_xy[0][0, 1] for one in again[1].sightings] == [102, 202, 302]
    assert undecided(again).findings == scan_of(102, 202, 302, previous=three).findings


@pytest.mark.parametrize(
    ("decisions", "why"),
    [
        ([Decision(1, "merge", merge_with=9)], "finding 9 is not there"),
        ([Decision(1, "merge", merge_with=2), Decision(2, "reject")], "finding 2 is rejected"),
        ([Decision(1, "merge", merge_with=2), Decision(2, "merge", merge_with=1)], "is to be merged with this one"),
    ],
)
def test_a_merge_that_cannot_be_is_set_aside(three: Findings, decisions: list[Decision], why: str) -> None:
    found = apply_decisions(three, decisions)
    assert 1 in found
    assert {one.reason for one in found.set_aside} == {"merge impossible"}
    assert why in found.set_aside[0].text


def test_a_decision_on_no_finding_is_set_aside_and_kept(three: Findings) -> None:
    found = apply_decisions(three, [Decision(7, "reject")])
    assert [(one.decision.number, one.reason) for one in found.set_aside] == [(7, "no such finding")]
    assert len(found) == 3


def test_two_decisions_on_one_finding_are_refused(three: Findings) -> None:
    with pytest.raises(DataError, match="finding 1 has two decisions"):
        apply_decisions(three, [Decision(1, "accept"), Decision(1, "reject")])


def test_a_line_that_has_grown_far_beyond_the_reviewed_one_loses_the_decision() -> None:
    short = apply_decisions(scan_of(100, right=300), [Decision(1, "reject", note="a cable")])
    longer = scan_of(100, right=900, previous=short)
    assert [(one.number, one.decision, one.notes) for one in longer] == [(1, None, "")]
    assert [(one.decision.number, one.reason) for one in longer.set_aside] == [(1, "other line")]
    assert "26% of the line" in longer.set_aside[0].text
    again = scan_of(102, right=310, previous=longer)
    assert [(one.finding.number, one.reason) for one in again.retired] == [(1, "rejected")]
    assert again.set_aside == ()


@pytest.mark.parametrize("verdicts", [("accept", "accept"), ("accept", None), ("accept", "reject")])
def test_a_line_that_took_in_a_reviewed_one_keeps_what_both_were_said_to_be(verdicts: tuple[Any, Any]) -> None:
    apart = findings_of([photo_of("a.jpg", [level_crack(100, 100, 450), level_crack(100, 460, 780)])], sha256s=["a"])
    decisions = [Decision(number, verdict, note="dry") for number, verdict in enumerate(verdicts, start=1)]
    joined = scan_of(101, left=100, right=780, previous=apply_decisions(apart, decisions))
    assert [one.number for one in joined] == [1]
    assert [(one.finding.number, one.merged_into) for one in joined.retired] == [(2, 1)]
    both = verdicts[0] == verdicts[1]
    assert (joined[1].decision is not None) == both
    assert [one.reason for one in joined.set_aside] == ([] if both else ["other line"])


def test_lines_that_creep_away_scan_by_scan_lose_the_decision() -> None:
    found = apply_decisions(scan_of(100), [Decision(1, "accept")])
    for y in (104, 108, 112):
        found = scan_of(y, previous=found)
        assert [one.number for one in found] == [1]
    assert found[1].decision is None
    assert [one.reason for one in found.set_aside] == ["other line"]


def test_decisions_wait_while_the_photo_is_gone() -> None:
    found = apply_decisions(scan_of(100), [Decision(1, "reject")])
    gone = findings_of([], found)
    assert [(one.finding.number, one.reason) for one in gone.retired] == [(1, "photo gone")]
    back = scan_of(100, previous=gone)
    assert [(one.finding.number, one.reason) for one in back.retired] == [(1, "rejected")]
