"""What the page shows of cracks: close-ups at full resolution around the widest place, and honest words."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.reports.crack_views import crack_notes, crack_views
from crackscope.scanning.photo_scan import Trace
from crackscope.scanning.results import PhotoResult
from shared.cracks import made_crack


def photo_of(*widths_px: float, verdict: str = "crack", hw: tuple[int, int] = (900, 1200)) -> PhotoResult:
    cracks = tuple(
        made_crack([(100, 60 + 50 * i), (0.8 * hw[1], 60 + 50 * i)], width, name=f"{i}")
        for i, width in enumerate(widths_px)
    )
    height, width = hw
    told: dict[str, Any] = {"traced_by": "fine map", "blur_px": 0.8, "width_px": width, "height_px": height}
    return PhotoResult("a.png", "m", verdict, cracks=cracks, **told)


def grey(hw: tuple[int, int]) -> UInt8Array:
    return np.full((*hw, 3), 150, np.uint8)


def picture_of(address: str) -> UInt8Array:
    content = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR_RGB), np.uint8)


@pytest.mark.parametrize("hw", [(900, 1200), (200, 260), (400, 150)])
def test_a_crop_is_at_full_resolution_and_leaves_the_crack_itself_free(hw: tuple[int, int]) -> None:
    found = photo_of(6.0, hw=hw)
    views = crack_views(found, grey(hw))
    assert views is not None
    ((address, text, _),) = views.crops
    picture = picture_of(address)
    assert picture.shape[:2] == (min(320, hw[0]), min(320, hw[1]))
    assert text == "1: 6.0 px"
    row = 60  # the crop begins at the photo's upper edge
    drawn = (np.abs(picture.astype(int) - 150).max(2) > 40).any(1)
    assert not drawn[row - 2 : row + 3].any()
    assert drawn[row + 4 : row + 20].any()
    assert drawn[row - 20 : row - 4].any()


def test_twelve_cracks_are_listed_six_shown_closely_and_all_drawn() -> None:
    views = crack_views(photo_of(*np.linspace(9, 2, 15).tolist()), grey((900, 1200)))
    assert views is not None
    assert [len(one) for one in (views.lines, views.numbers, views.rows, views.crops)] == [15, 15, 12, 6]
    assert views.n_left_out == 3
    assert [row[0][0] for row in views.rows] == [str(i) for i in range(1, 13)]
    assert all(0 <= left <= 100 and 0 <= top <= 100 for _, left, top in views.numbers)


@pytest.mark.parametrize("verdict", ["uncracked", "rejected"])
def test_cracks_that_do_not_count_are_not_shown(verdict: str) -> None:
    assert crack_views(photo_of(3.0, verdict=verdict), grey((900, 1200))) is None
    assert crack_views(photo_of(), grey((900, 1200))) is None


@pytest.mark.parametrize(
    ("found", "trace", "words"),
    [
        (photo_of(3.0), "found", []),
        (photo_of(), "found", ["No line was found."]),
        (
            replace(photo_of(), traced_by=None),
            None,
            ["Lines were not traced (--maps-only). Scan without that option to"],
        ),
        (replace(photo_of(), traced_by=None), "found", ["No lines were traced, since the photo is too small."]),
        (
            replace(photo_of(verdict="rejected"), traced_by=None),
            "found",
            ["No lines were traced, since the photo is rejected. --trace all traces every photo."],
        ),
        (
            photo_of(3.0, verdict="uncracked"),
            "all",
            ["1 line was traced; as the photo is uncracked, it is listed in cracks.csv only."],
        ),
        (replace(photo_of(3.0), blur_px=2.5), "found", ["This photo was enlarged or is out of focus; widths below"]),
        (
            replace(photo_of(3.0), traced_by="ridges"),
            "found",
            ["The model has no fine map, so lines follow dark ridges"],
        ),
    ],
)
def test_notes_say_why_there_are_no_lines_and_how_far_they_can_be_trusted(
    found: PhotoResult, trace: Trace, words: list[str]
) -> None:
    notes = crack_notes(found, trace)
    assert len(notes) == len(words)
    for note, begin in zip(notes, words, strict=True):
        assert note.startswith(begin)
