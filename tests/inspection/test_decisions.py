"""What a decision may say."""

from __future__ import annotations

from typing import Any

import pytest

from crackscope.errors import DataError
from crackscope.inspection.decisions import Decision, SetAside, decided_line, same_photo, share_decided
from crackscope.inspection.findings import Sighting
from shared.drawn_cracks import PHOTO_HW, level_crack


def sighting(y: float, photo: str = "a.jpg", digest: str | None = "a", **course: Any) -> Sighting:
    return Sighting(photo, digest, PHOTO_HW, level_crack(y, **course))


def made_on(*places: Sighting) -> Decision:
    return Decision(1, "accept", made_on=tuple(decided_line(one, one.crack) for one in places))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"number": 0}, "has the number 0"),
        ({"number": "3"}, "has the number '3'"),
        ({"verdict": "acept"}, "'acept' is not accept, reject or merge. Did you mean 'accept'?"),
        ({"verdict": "merge"}, "'merge' and the number of the other finding go together"),
        ({"verdict": "accept", "merge_with": 2}, "go together"),
        ({"verdict": "merge", "merge_with": 1}, "cannot be merged with 1"),
        ({"verdict": "merge", "merge_with": True}, "cannot be merged with True"),
        ({"width_mm": 0.0}, "the width 0.0 mm must be a number above 0"),
        ({"width_mm": float("nan")}, "the width nan mm"),
    ],
)
def test_wrong_values_are_refused(values: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError) as refused:
        Decision(**{"number": 1, **values})
    assert why in str(refused.value)


def test_decisions_go_through_json() -> None:
    one = Decision(3, "merge", 2, "same line", 0.35, made_on(sighting(100)).made_on)
    assert Decision.from_dict(one.to_dict()) == one
    aside = SetAside(one, "other line", "Why.")
    assert SetAside.from_dict(aside.to_dict()) == aside


@pytest.mark.parametrize(
    ("now", "share"),
    [
        ([sighting(103)], 1.0),
        ([sighting(110)], 0.0),
        ([sighting(100, right=900)], 0.5),
        ([sighting(100, left=300)], 1.0),
        ([sighting(100, digest="b")], None),
        ([sighting(900, digest="b"), sighting(101, photo="renamed.jpg")], 1.0),
        ([], None),
    ],
)
def test_the_present_line_is_compared_with_the_reviewed_one(now: list[Sighting], share: float | None) -> None:
    found = share_decided(made_on(sighting(100)), [(one, one.crack) for one in now])
    assert found is None if share is None else found == pytest.approx(share, abs=0.02)


def test_photos_are_the_same_by_digest_and_else_by_path() -> None:
    assert same_photo(sighting(1, "a.jpg", "x"), sighting(1, "b.jpg", "x"))
    assert not same_photo(sighting(1, "a.jpg", "x"), sighting(1, "a.jpg", "y"))
    assert same_photo(sighting(1, "a.jpg", None), sighting(1, "a.jpg", "y"))
    assert not same_photo(sighting(1, "a.jpg", None), sighting(1, "b.jpg", "y"))
