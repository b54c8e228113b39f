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


def evaluation_of(traced: dict[str, PhotoLines], of_map: dict[str, PhotoLines] | None = None, *, gone: str = "") -> Any:
    def load(name: str) -> tuple[UInt8Array, list[bytes]]:
        if name == gone:
            raise ImageError("it is gone")
        return np.full((*HW, 3), 128, np.uint8), [b""]

    def photo(name: str) -> SimpleNamespace:
        return SimpleNamespace(name=name, load=lambda: load(name))

    lines = of_map or {}
    scanned = tuple(
        SimpleNamespace(photo=photo(name), traced=one, lines=lines.get(name)) for name, one in traced.items()
    )
    return SimpleNamespace(scanned=scanned, tiles=SimpleNamespace(leaky=False))


LINES = {
    "right.png": lines_at([100], [100]),
    "nothing.png": lines_at([], []),
    "missed.png": lines_at([], [60, 140]),
    "half.png": lines_at([50, 100], [100, 150]),
}


def n_of(sheet: UInt8Array, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


FIGURES = ("precision", "recall", "f1", "cl_iou")
WITHIN = [f"{name}_{px}px" for px in (2, 4) for name in FIGURES]


def test_the_table_lists_the_worst_photo_first_and_one_without_lines_last() -> None:
    head, *rows = line_table(evaluation_of(LINES)).splitlines()
    traced = [f"traced_{name}" for name in WITHIN]
    assert head == ",".join(["photo", "found_px", "true_px", "tolerance_factor", *WITHIN, "traced_px", *traced])
    third = repr(1 / 3)  # of 2 lines, one is found, and another line is false
    assert rows == [
        f"missed.png,,520,1.0{',' * 8},0,0.0,0.0,0.0,0.0,0.0,0.0,0.0,0.0",
        f"half.png,,520,1.0{',' * 8},520,0.5,0.5,0.5,{third},0.5,0.5,0.5,{third}",
        f"right.png,,260,1.0{',' * 8},260,1.0,1.0,1.0,1.0,1.0,1.0,1.0,1.0",
        f"nothing.png,,0,1.0{',' * 8},0,,,,,,,,",
    ]


def test_the_table_has_the_line_of_the_fine_map_beside_the_traced_one() -> None:
    of_map = {"right.png": LINES["half.png"], "half.png": LINES["right.png"]}
    traced = {name: LINES[name] for name in of_map}
    head, *rows = line_table(evaluation_of(traced, of_map)).splitlines()
    cells = [dict(zip(head.split(","), row.split(","), strict=True)) for row in rows]
    assert [one["photo"] for one in cells] == ["half.png", "right.png"]  # by the traced lines
    assert [(one["f1_4px"], one["traced_f1_4px"]) for one in cells] == [("1.0", "0.5"), ("0.5", "1.0")]
    assert [(one["found_px"], one["traced_px"]) for one in cells] == [("260", "520"), ("520", "260")]


def test_the_sheet_shows_the_line_of_the_fine_map_beside_the_traced_one() -> None:
    traced = {f"{i}.png": LINES["right.png"] for i in range(3)}
    alone = line_sheet(evaluation_of(traced))
    both = line_sheet(evaluation_of(traced, dict.fromkeys(traced, LINES["missed.png"])))
    assert (n_of(alone, ORANGE), n_of(both, ORANGE) > 600) == (0, True)
    assert n_of(both, SKY) == n_of(alone, SKY)
    assert both.shape[0] > 1.4 * alone.shape[0]  # a row for each photo, in place of one for two
    assert both.shape[1] < alone.shape[1]


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
