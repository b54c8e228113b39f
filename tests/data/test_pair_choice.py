"""Cameras tell which photos were taken near each other; no photo is compared with more than a stated number."""

from __future__ import annotations

from datetime import datetime

from crackscope.data.pair_choice import MOST_PAIRS, near_by_camera, within_limit


def test_time_and_place_bring_photos_together() -> None:
    noon = datetime(2026, 5, 1, 12)
    rows: list[dict[str, object]] = [
        {"taken_at": noon.replace(second=s).isoformat(), "place": None} for s in (0, 50, 10)
    ]
    rows += [{"taken_at": None, "place": [52.0, 13.0 + d]} for d in (0, 0.0001, 0.001)]
    assert near_by_camera(rows) == [[2, 1], [2, 0], [0, 1], [4], [3], []]


def test_no_photo_has_more_pairs_than_stated() -> None:
    star = [(0, j) for j in range(1, 100)]
    assert len(within_limit(star, {})) == MOST_PAIRS
    assert within_limit([(0, 1)], {1: MOST_PAIRS}) == []
