"""The page of a search for scenes shows each pair, the weakest first, and loads nothing."""

from __future__ import annotations

import re

import pytest

from crackscope.data.scene_search import PhotoPair, SceneSearch
from crackscope.reports import scenes_report
from crackscope.reports.scenes_report import PAIR_COLUMNS, _page, _pairs_table

SQUARE = (1.0, 0.0, 5.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


def pair(photo_a: str, photo_b: str, n_inliers: int) -> PhotoPair:
    return PhotoPair(photo_a, photo_b, n_inliers, 0.5, 0.9, 0.25, 0.3, 1.25, SQUARE, b"\xff\xd8picture")


FOUND = SceneSearch(
    ("<a>", "b", "c", "d"), (("torn", "no image"),), (pair("<a>", "b", 900), pair("b", "c", 20)), n_compared=6
)


def test_the_weakest_pair_comes_first_and_names_are_escaped() -> None:
    page = _page(FOUND)
    assert page.index("b and c") < page.index("&lt;a&gt; and b")
    assert "<a>" not in page
    assert "4 photos in 2 scenes" in page
    assert "torn" in page


def test_many_pairs_are_listed_but_not_all_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes_report, "_N_PICTURES", 1)
    page = _page(FOUND)
    assert page.count("<img") == 1
    assert "pairs.csv lists all" in page


def test_no_pairs() -> None:
    page = _page(SceneSearch(("a",), (), (), n_compared=0))
    assert "1 photo in 1 scene<" in page
    assert "No two photos were found" in page


def test_the_table_of_pairs() -> None:
    header, first, _ = _pairs_table(FOUND).splitlines()
    assert header.split(",") == list(PAIR_COLUMNS)
    assert first == "<a>,b,S001,900,0.5000,0.9000,0.2500,0.3000,1.250,1,0,5,0,1,0,0,0,1"


def test_the_page_loads_nothing() -> None:
    sources = re.findall(r'(?:src|href)="([^"]*)"', _page(FOUND))
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
