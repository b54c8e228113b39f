"""Findings as values and as a file."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest

from crackscope.errors import DataError, OutputError
from crackscope.inspection.decisions import Decision
from crackscope.inspection.findings import Finding, Findings, RetiredFinding
from crackscope.inspection.numbering import findings_of
from crackscope.inspection.review import apply_decisions
from shared.drawn_cracks import level_crack, photo_of, width_of


@pytest.fixture
def found() -> Findings:
    """Findings of all kinds: with a decision, rejected, merged, gone, and a decision that was set aside."""
    when = datetime(2026, 5, 4, 10, 30, tzinfo=timezone.utc)
    cracks = [level_crack(100 * k, right=900 - 10 * k, width=width_of(2.0, 1.5, 2.5)) for k in range(1, 7)]
    photo = photo_of("a.jpg", cracks, taken_at=when, latitude_deg=47.5, longitude_deg=-122.25)
    first = findings_of([photo], sha256s=["a"])
    second = findings_of([replace(photo, cracks=tuple(cracks[:5]))], first, sha256s=["a"])
    decisions = [Decision(1, "accept", note="wet", width_mm=0.4), Decision(2, "reject"), Decision(9, "accept")]
    return apply_decisions(second, [*decisions, Decision(4, "merge", merge_with=3)])


def test_findings_go_through_json(found: Findings, tmp_path: Path) -> None:
    assert Findings.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    found.save(tmp_path / "findings.json")
    assert Findings.load(tmp_path / "findings.json") == Findings.load(tmp_path) == found
    with pytest.raises(OutputError):
        found.save(tmp_path / "findings.json")
    assert found.to_dict()["schema_version"] == 1


def test_findings_are_reached_by_number(found: Findings) -> None:
    assert [one.number for one in found] == [1, 3, 5]
    assert len(found) == 3
    assert found[2].number == 2
    assert 2 not in found
    assert (found[1].latitude_deg, found[1].longitude_deg) == (47.5, -122.25)
    assert found[3].n_photos == 1
    assert {gone.finding.number: gone.reason for gone in found.retired} == {
        2: "rejected",
        4: "merged by hand",
        6: "not found again",
    }
    with pytest.raises(DataError, match="there is no finding 9; numbers that were given are 1 to 6"):
        found[9]
    with pytest.raises(DataError, match="none yet"):
        Findings()[1]


def test_numbers_that_cannot_be_are_refused(found: Findings) -> None:
    one = found[1]
    with pytest.raises(DataError, match="finding 1 stands twice"):
        Findings((one,), (RetiredFinding(one, "rejected"),), 3)
    with pytest.raises(DataError, match="from 1 to the highest number, 0"):
        Findings((one,))


def test_an_empty_collection_goes_through_json() -> None:
    assert Findings.from_dict(Findings().to_dict()) == Findings()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "this is no JSON"),
        ("[1, 2]", "schema_version is missing"),
        ("{}", "schema_version is missing"),
        ('{"schema_version": 2}', "version 2, not 1. Upgrade crackscope"),
        ('{"schema_version": 1, "findings": []}', "these findings lack 'retired'"),
        ('{"schema_version": 1, "findings": [3]}', "a wrong value"),
    ],
)
def test_other_files_are_refused(content: str, why: str, tmp_path: Path) -> None:
    place = tmp_path / "other.json"
    place.write_text(content, encoding="utf-8")
    with pytest.raises(DataError) as refused:
        Findings.load(place)
    assert str(refused.value).startswith(f"{place}: ")
    assert why in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        Findings.load(tmp_path)


def test_a_finding_needs_few_values() -> None:
    one = Finding(1, "a.jpg", None, level_crack(100), None, (1200, 1600))
    assert one.sightings[0].crack is one.crack
    assert Finding.from_dict(one.to_dict()) == one
