"""Findings keep their numbers through new scans, and decisions never move to another crack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.geometry.cracks import Crack
from crackscope.inspection.decisions import Decision
from crackscope.inspection.findings import Findings
from crackscope.inspection.numbering import findings_of
from crackscope.inspection.review import apply_decisions
from crackscope.scanning.results import PhotoResult
from shared.drawn_cracks import crack_along, level_crack, moved, network, photo_of, renamed, without


def scanned(*photos: PhotoResult, previous: Findings | None = None) -> Findings:
    """Findings of photos whose digests are told by their file names."""
    return findings_of(photos, previous, sha256s=[f"sha of {photo.path.rpartition('/')[2]}" for photo in photos])


def levels(findings: Findings) -> dict[int, float]:
    """Where the level crack of each finding lies."""
    return {one.number: float(one.crack.path_xy[0][0, 1]) for one in findings}


def reasons(findings: Findings) -> dict[int, tuple[str, int | None]]:
    return {one.finding.number: (one.reason, one.merged_into) for one in findings.retired}


# The first scan


def test_numbers_follow_the_rank() -> None:
    sure = photo_of("b.jpg", [level_crack(100, right=300), level_crack(200), level_crack(300, joint_like=True)])
    unsure = photo_of("a.jpg", [level_crack(100, right=900)], verdict="unsure", crack_probability=0.5)
    clean = photo_of("c.jpg", [level_crack(500)], verdict="uncracked", crack_probability=0.1)
    found = scanned(unsure, clean, sure)
    assert [(one.number, one.photo, round(one.crack.length_px)) for one in found] == [
        (1, "b.jpg", 400),
        (2, "b.jpg", 200),
        (3, "a.jpg", 800),
    ]
    assert found.highest_number == 3
    assert found[1].photo_sha256 == "sha of b.jpg"
    assert found[1].photo_hw == (1200, 1600)
    assert found == scanned(sure, unsure, clean)


def test_no_crack_gives_no_finding() -> None:
    assert len(findings_of([])) == 0
    assert len(scanned(photo_of("a.jpg", []))) == 0


def test_a_file_that_lies_there_twice_is_one_photo() -> None:
    photo = photo_of("a.jpg", [level_crack(100)])
    found = findings_of([renamed(photo, "copy/b.jpg"), photo], sha256s=["same", "same"])
    assert [one.photo for one in found] == ["a.jpg"]
    assert [one.photo for one in found[1].seen_in] == ["copy/b.jpg"]
    assert found[1].n_photos == 1
    assert [one.text for one in found.notices] == ["copy/b.jpg is the same file as a.jpg; its cracks count once."]
    again = findings_of([photo], found, sha256s=["same"])
    assert levels(again) == levels(found)


def test_wrong_input_is_refused() -> None:
    photo = photo_of("a.jpg", [level_crack(100)])
    with pytest.raises(DataError, match="1 photos have 2 digests"):
        findings_of([photo], sha256s=["one", "two"])
    with pytest.raises(DataError, match=r"a\.jpg: two photos have this path and no digest"):
        findings_of([photo, photo])


def test_a_file_that_could_not_be_read_twice_is_no_fault() -> None:
    broken = PhotoResult("a.jpg", "drawn", error="cannot be read")
    assert len(findings_of([broken, broken])) == 0


# Numbers that last


def test_a_photo_is_known_by_its_digest_and_else_by_its_path() -> None:
    photo = photo_of("old/a.jpg", [level_crack(100)])
    first = findings_of([photo], sha256s=["one"])
    moved_away = findings_of([renamed(photo, "new/b.jpg")], first, sha256s=["one"])
    assert [(one.number, one.photo) for one in moved_away] == [(1, "new/b.jpg")]
    unknown = findings_of([photo], first)
    assert [one.number for one in unknown] == [1]
    other_photo = findings_of([photo], first, sha256s=["two"])  # taken anew under the old name
    assert [one.number for one in other_photo] == [2]
    assert reasons(other_photo) == {1: ("photo gone", None)}


def test_new_cracks_get_new_numbers_and_lost_ones_keep_theirs() -> None:
    first = scanned(photo_of("a.jpg", [level_crack(100), level_crack(200)]))
    second = scanned(photo_of("a.jpg", [level_crack(203, right=480), level_crack(300, right=900)]), previous=first)
    lost, kept = (number for number, y in sorted(levels(first).items(), key=lambda item: item[1]))
    assert levels(second) == {kept: 203, 3: 300}
    assert reasons(second) == {lost: ("not found again", None)}
    third = scanned(photo_of("a.jpg", [level_crack(99), level_crack(400)]), previous=second)
    assert levels(third) == {lost: 99, 4: 400}
    assert [one.text for one in third.notices if one.kind == "came back"] == [f"Finding {lost} is found again."]
    assert third.highest_number == 4


def test_numbers_are_never_used_again() -> None:
    found = scanned(photo_of("a.jpg", [level_crack(100)]))
    for y in (200, 300, 400):
        found = scanned(photo_of("a.jpg", [level_crack(y)]), previous=found)
    assert levels(found) == {4: 400}
    assert sorted(reasons(found)) == [1, 2, 3]


def test_the_longer_piece_of_a_split_crack_keeps_the_number() -> None:
    whole = scanned(photo_of("a.jpg", [level_crack(100, 100, 700)]))
    split = scanned(photo_of("a.jpg", [level_crack(102, 100, 280), level_crack(102, 290, 700)]), previous=whole)
    assert {one.number: round(one.crack.length_px) for one in split} == {1: 410, 2: 180}
    assert split[2].came_from == 1
    assert [one.text for one in split.notices] == ["Finding 2 was a part of finding 1."]
    joined = scanned(photo_of("a.jpg", [level_crack(101, 100, 700)]), previous=split)
    assert [one.number for one in joined] == [1]
    assert reasons(joined) == {2: ("became part of another", 1)}
    again = scanned(photo_of("a.jpg", [level_crack(102, 100, 280), level_crack(102, 290, 700)]), previous=joined)
    assert {one.number: round(one.crack.length_px) for one in again} == {1: 410, 2: 180}


def test_a_short_rest_of_another_line_is_no_reason_to_call_a_crack_joined() -> None:
    first = scanned(photo_of("a.jpg", [level_crack(100, 100, 700), level_crack(200, 100, 160)]))
    bent = crack_along([[100, 200], [160, 200], [160, 140], [200, 104], [260, 104]])
    second = scanned(photo_of("a.jpg", [bent]), previous=first)
    assert reasons(second)[1] == ("not found again", None)


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        ({"verdict": "uncracked"}, "photo not cracked"),
        ({"verdict": "rejected", "reason": "blurred"}, "photo not cracked"),
        ({"error": "cannot be read", "verdict": None, "cracks": ()}, "photo refused"),
        ({"cracks": (level_crack(101, joint_like=True),)}, "looks like a joint"),
        ({"cracks": ()}, "not found again"),
    ],
)
def test_retired_findings_tell_why_and_keep_their_data(now: dict[str, object], reason: str) -> None:
    first = scanned(photo_of("a.jpg", [level_crack(100)]))
    result = PhotoResult(**{**vars(photo_of("a.jpg", [level_crack(100)])), **now})
    second = scanned(result, previous=first)
    assert reasons(second) == {1: (reason, None)}
    assert second[1] == first[1]
    assert 1 not in second


def test_element_and_notes_stay_with_a_finding() -> None:
    first = scanned(photo_of("a.jpg", [level_crack(100)]))
    first = replace(first, findings=(replace(first[1], element="deck 3", notes="wet"),))
    second = scanned(photo_of("a.jpg", [level_crack(103)]), previous=first)
    assert (second[1].element, second[1].notes) == ("deck 3", "wet")


def test_an_accepted_crack_stays_even_if_it_looks_like_a_joint_now() -> None:
    first = apply_decisions(scanned(photo_of("a.jpg", [level_crack(100)])), [Decision(1, "accept")])
    second = scanned(photo_of("a.jpg", [level_crack(102, joint_like=True)]), previous=first)
    assert [(one.number, one.decision.verdict) for one in second if one.decision] == [(1, "accept")]


# Networks of cracks


def numbers_of(
    findings: Findings, photos: Sequence[Sequence[Crack]], names: Sequence[str]
) -> dict[tuple[int, int], int]:
    """Number of each crack of each photo, by the places that it has in the drawing."""
    number_of = {(one.photo, one.crack.id): one.number for one in findings}
    return {
        (i, k): number_of[names[i], crack.id]
        for i, own in enumerate(photos)
        for k, crack in enumerate(own)
        if (names[i], crack.id) in number_of
    }


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_numbers_last_through_what_happens_to_scans(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = [network(rng, int(rng.integers(2, 9))) for _ in range(4)]
    names = [f"span 1/{i}.jpg" for i in range(len(photos))]
    first = scanned(*map(photo_of, names, photos))
    numbers = numbers_of(first, photos, names)
    assert len(numbers) == sum(map(len, photos)) == len(first)

    assert scanned(*map(photo_of, names, photos), previous=first) == first

    more = [photo_of(f"span 2/new {i}.jpg", network(rng, 4)) for i in range(10)]
    more = [renamed(photo, photo.path) for photo in more]
    added = scanned(*more, *map(photo_of, names, photos), previous=first)
    assert numbers_of(added, photos, names) == numbers
    assert min(one.number for one in added if one.photo.startswith("span 2")) > first.highest_number

    elsewhere = [name.replace("span 1", "bridge/north") for name in names]
    assert numbers_of(scanned(*map(photo_of, elsewhere, photos), previous=added), photos, elsewhere) == numbers

    angles = rng.uniform(0, 2 * np.pi, len(photos))
    aside = [[moved(one, (3 * np.cos(a), 3 * np.sin(a))) for one in own] for own, a in zip(photos, angles, strict=True)]
    shifted = numbers_of(scanned(*map(photo_of, names, aside), previous=first), aside, names)
    assert shifted == numbers

    each = [[moved(one, tuple(rng.uniform(-2.1, 2.1, 2))) for one in own] for own in photos]
    dropped = [without(own, int(rng.integers(len(own)))) + network(rng, 2, beside=own) for own in each]
    found = numbers_of(scanned(*map(photo_of, names, dropped), previous=first), each, names)
    assert found.items() <= numbers.items()


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_no_decision_moves_to_another_crack(seed: int) -> None:
    rng = np.random.default_rng(seed)
    photos = [network(rng, 6) for _ in range(3)]
    names = [f"{i}.jpg" for i in range(len(photos))]
    first = scanned(*map(photo_of, names, photos))
    place_of = {number: place for place, number in numbers_of(first, photos, names).items()}
    kinds = {number: str(rng.choice(["accept", "reject", "note", "none"])) for number in place_of}
    decisions = [
        Decision(number, kind if kind != "note" else None, note=f"crack {place_of[number]}")  # type: ignore[arg-type]
        for number, kind in kinds.items()
        if kind != "none"
    ]
    found = apply_decisions(first, decisions)
    for _ in range(3):
        now = [[moved(one, tuple(rng.uniform(-2, 2, 2))) for one in own] for own in photos]
        seen = [[one for one in own if rng.random() < 0.8] + network(rng, 3, beside=own) for own in now]
        found = scanned(*map(photo_of, names, seen), previous=found)
        crack_of = {(names[i], crack.id): (i, k) for i, own in enumerate(now) for k, crack in enumerate(own)}
        for one in (*found, *(gone.finding for gone in found.retired if gone.reason == "rejected")):
            if one.decision is not None:
                assert f"crack {crack_of[one.photo, one.crack.id]}" == one.decision.note == one.notes
        assert len(found.decisions) == len(decisions)
