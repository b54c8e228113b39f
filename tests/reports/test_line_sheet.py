"""Sheets and tables of lines, from lines that were set by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.errors import ImageError
from crackscope.measuring.lines import PhotoLines, compare_lines
from crackscope.reports.line_sheet import line_sheet, line_table

SKY, ORANGE, YELLOW, BLACK = (86, 180, 233), (213, 94, 0), (240, 228, 66), (0, 0, 0)
HW = (200, 300)


def lines_at(found: list[int], true: list[int]) -> PhotoLines:
    """Lines across the photo, at these rows."""
    pictures = []
    for rows in (found, true):
        picture = np.zeros(HW, np.uint8)
        for row in rows:
            cv2.line(picture, (20, row), (279, row), 1)
        pictures.append(picture > 0)
    return compare_lines(*pictures)


def evaluation_of(lines: dict[str, PhotoLines], *, gone: str = "") -> Any:
    def load(name: str) -> tuple[UInt8Array, list[bytes]]:
        if name == gone:
            raise ImageError("it is gone")
        return np.full((*HW, 3), 128, np.uint8), [b""]

    def photo(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, load=lambda: load(name))

    scanned = tuple(SimpleNamespace(photo=photo(name), lines=one) for name, one in lines.items())
    return SimpleNamespace(scanned=scanned, tiles=SimpleNamespace(leaky=False))


LINES = {
    "right.png": lines_at([100], [100]),
    "nothing.png": lines_at([], []),
    "missed.png": lines_at([], [60, 140]),
    "half.png": lines_at([50, 100], [100, 150]),
}


def n_of(sheet: UInt8Array, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def test_the_table_lists_the_worst_photo_first_and_one_without_lines_last() -> None:
    head, *rows = line_table(evaluation_of(LINES)).splitlines()
    assert head == (
        "photo,found_px,true_px,tolerance_factor,precision_2px,recall_2px,f1_2px,precision_4px,recall_4px,f1_4px"
    )
    assert rows == [
        "missed.png,0,520,1.0,0.0,0.0,0.0,0.0,0.0,0.0",
        "half.png,520,520,1.0,0.5,0.5,0.5,0.5,0.5,0.5",
        "right.png,260,260,1.0,1.0,1.0,1.0,1.0,1.0,1.0",
        "nothing.png,0,0,1.0,,,,,,",
    ]


@pytest.mark.parametrize(
    ("name", "colours"),
    [
        ("right.png", {SKY, BLACK}),
        ("missed.png", {ORANGE}),
        ("half.png", {SKY, ORANGE, YELLOW, BLACK}),
        ("nothing.png", set()),
    ],
)
def test_each_kind_of_line_has_its_colour(name: str, colours: set[tuple[int, int, int]]) -> None:
    sheet = line_sheet(evaluation_of({name: LINES[name]}))
    assert {colour for colour in (SKY, ORANGE, YELLOW, BLACK) if n_of(sheet, colour) > 200} == colours


def test_a_photo_that_is_gone_is_left_out_of_the_sheet() -> None:
    whole, without = line_sheet(evaluation_of(LINES)), line_sheet(evaluation_of(LINES, gone="missed.png"))
    assert n_of(without, ORANGE) < n_of(whole, ORANGE)
    assert len(line_table(evaluation_of(LINES, gone="missed.png")).splitlines()) == 5


def test_the_sheet_shows_as_many_photos_as_are_asked_for() -> None:
    many = {f"{i}.png": LINES["half.png"] for i in range(5)}
    tall, short = line_sheet(evaluation_of(many)), line_sheet(evaluation_of(many), limit=2)
    assert tall.shape[0] > 2 * short.shape[0]
    assert line_sheet(evaluation_of({})).shape[2] == 3


def test_lines_of_a_large_photo_stay_visible() -> None:
    picture = np.zeros((1200, 1600), bool)
    picture[600, 200:1400] = True
    nothing = np.zeros_like(picture)
    evaluation = evaluation_of({"large.png": compare_lines(nothing, picture)})
    evaluation.scanned[0].photo.load = lambda: (np.full((1200, 1600, 3), 128, np.uint8), [b""])
    assert n_of(line_sheet(evaluation), ORANGE) >= 3 * 300
