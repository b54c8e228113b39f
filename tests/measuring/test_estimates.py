"""A label from few photos is told, whatever stays together."""

from __future__ import annotations

import pytest

from crackscope.measuring.estimates import FEW_CLUSTERS, few_text


@pytest.mark.parametrize(
    ("n_crack", "n_uncracked", "kind", "text"),
    [
        (4, 4, "photos", "4 photos of each label: read this as an anecdote"),
        (4, 40, "scenes", "crack in 4 scenes: read this as an anecdote"),
        (3, 7, "photos", "crack in 3 photos and uncracked in 7 photos: read this as an anecdote"),
        (40, 1, "photos", "uncracked in 1 photo: read this as an anecdote, without intervals"),
        (2, 5, "similarity groups", "crack in 2 similarity groups and uncracked in 5 similarity groups: read this as"),
        (FEW_CLUSTERS, 40, "photos", ""),
        (0, 40, "photos", ""),
        (None, None, "photos", ""),
    ],
)
def test_a_label_from_few_photos_is_told(n_crack: int | None, n_uncracked: int | None, kind: str, text: str) -> None:
    found = few_text(n_crack, n_uncracked, kind)
    assert found.startswith(text)
    assert bool(found) == bool(text)
