"""Lines of cracks keep their course when they are cut into classes of width, and numbers stand beside them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.geometry.scale import Scale
from crackscope.scanning.crack_lines import COLOURS, WidthClasses, coloured_lines, label_places
from shared.cracks import made_crack

LINE = [(20.0, 30.0), (200.0, 80.0), (380.0, 60.0)]


def test_a_photo_has_classes_in_millimetres_only_if_all_its_cracks_have_them() -> None:
    with_scale, without = made_crack(LINE, scale=Scale(0.2)), made_crack(LINE)
    assert WidthClasses.of([with_scale]).unit == "mm"
    assert WidthClasses.of([with_scale, without]).unit == WidthClasses.of([]).unit == "px"
    assert WidthClasses.of([without]).texts == ("< 1", "1-2", "2-4", "4-8", "> 8")
    assert len(COLOURS) == len(WidthClasses.of([with_scale]).texts)


@pytest.mark.parametrize(("width_px", "scale", "expected"), [(0.5, None, 0), (3, None, 2), (20, None, 4), (3, 0.1, 2)])
def test_a_line_has_the_class_of_its_width(width_px: float, scale: float | None, expected: int) -> None:
    crack = made_crack(LINE, width_px, scale=Scale(scale) if scale else None)
    ((number, points),) = coloured_lines(crack, WidthClasses.of([crack]))
    assert number == expected
    assert len(points) < 8  # it is simplified
    np.testing.assert_allclose(points[[0, -1]], [LINE[0], LINE[-1]], atol=1)


def test_a_line_is_cut_where_its_width_changes_and_doubtful_widths_do_not_count() -> None:
    crack = made_crack(LINE, 1.5)
    (widths,) = crack.widths
    n = len(widths.width_px)
    values = np.where(np.arange(n) < n // 2, 1.5, 6.0)
    doubtful = np.arange(n) > n - 10
    values[doubtful] = 90
    crack = replace(crack, widths=(replace(widths, width_px=values, doubtful=doubtful),))
    lines = [*coloured_lines(crack, WidthClasses.of([crack]))]
    assert [number for number, _ in lines] == [1, 3]
    np.testing.assert_allclose(lines[0][1][-1], lines[1][1][0], atol=3)


def test_a_line_without_widths_has_no_class() -> None:
    ((number, points),) = coloured_lines(made_crack(LINE, joint_like=True), WidthClasses.of([]))
    assert number is None
    assert len(points) >= 2


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 399), st.floats(0, 299)), min_size=1, max_size=6), st.integers(5, 60))
def test_numbers_lie_inside_the_photo_and_beside_their_cracks(starts: list[tuple[float, float]], side: int) -> None:
    cracks = [made_crack([(x, y), (x + 60, y + 20)]) for x, y in starts]
    places = label_places(cracks, (300, 400), (side, side))
    assert len(places) == len(cracks)
    for x, y in places:
        assert side / 2 <= x <= 400 - side / 2
        assert side / 2 <= y <= 300 - side / 2


def test_numbers_do_not_cover_each_other() -> None:
    cracks = [made_crack([(100, 50 + 12 * i), (300, 50 + 12 * i)]) for i in range(4)]
    places = np.array(label_places(cracks, (300, 400), (10, 20)))
    apart = np.abs(places[:, None] - places[None])
    covering = (apart[..., 0] < 20) & (apart[..., 1] < 10)
    assert covering.sum() == len(cracks)  # each with itself
