"""Cracks are drawn where they lie, in the colour of their width; lines that look like joints stay grey."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.arrays import UInt8Array
from crackscope.scanning.crack_drawing import draw_cracks
from crackscope.scanning.crack_lines import COLOURS
from shared.cracks import made_crack


def concrete(hw: tuple[int, int] = (400, 600)) -> UInt8Array:
    return np.full((*hw, 3), 150, np.uint8)


@pytest.mark.parametrize("factor", [0.5, 1, 2])
def test_a_line_lies_on_its_crack_in_the_colour_of_its_width(factor: float) -> None:
    picture = concrete((round(400 * factor), round(600 * factor)))
    draw_cracks(picture, [made_crack([(100, 200), (400, 200)], 3.0)], (400, 600), labels=False)
    row, column = round(200.5 * factor - 0.5), round(250 * factor)
    assert np.abs(picture[row, column].astype(int) - COLOURS[2]).max() < 60
    changed = (picture != 150).any(2)
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - (200.5 * factor - 0.5)) < 1
    assert abs(columns.min() - 100 * factor) < 5
    assert abs(columns.max() - 400 * factor) < 5


def test_lines_that_look_like_joints_are_grey_dashed_and_without_number() -> None:
    picture = concrete()
    draw_cracks(picture, [made_crack([(100, 200), (400, 200)], joint_like=True)], (400, 600))
    changed = (picture != 150).any(2)
    assert 0.3 < changed[200, 100:400].mean() < 0.8
    assert np.ptp(picture[changed].astype(int), axis=1).max() < 15


def test_labels_are_a_number_and_a_legend() -> None:
    plain, labelled = concrete(), concrete()
    cracks = [made_crack([(100, 200), (400, 200)], 3.0)]
    draw_cracks(plain, cracks, (400, 600), labels=False)
    draw_cracks(labelled, cracks, (400, 600))
    different = (plain != labelled).any(2)
    assert different[150:250].any()  # the number
    assert different[300:].any()  # the legend
    ink = (labelled == (27, 39, 51)).all(2)
    assert ink.sum() > 2000


def test_nothing_is_drawn_of_nothing_and_on_a_tiny_picture_nothing_fails() -> None:
    picture = concrete()
    draw_cracks(picture, [], (400, 600))
    assert (picture == 150).all()
    for hw in ((1, 1), (3, 160), (40, 40)):
        draw_cracks(concrete(hw), [made_crack([(0, 0), (599, 399)], 3.0)], (400, 600))
