"""The picture of measured lines: a row for each line, with its stretch of the photo and its widths."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.files.images import Image
from crackscope.geometry.measured_line import line_of, measured_lines
from crackscope.geometry.scale import Scale
from crackscope.reports.line_picture import line_picture
from crackscope.reports.look import png_bytes


@pytest.mark.parametrize("scale", [None, Scale(0.2, 0.01)])
def test_each_line_has_its_row(scale: Scale | None) -> None:
    wall = np.full((90, 1500, 3), 180, np.uint8)
    wall[38:42] = 40
    lines = [line_of("5,40,1490,40"), line_of("20,70,80,75"), line_of("30,41,41,40")]
    found = measured_lines(Image(wall), lines, scale=scale)
    figure = line_picture(wall, found)
    content = png_bytes(figure)
    assert content.startswith(b"\x89PNG")
    assert content == png_bytes(line_picture(wall, found))
    photos, plots = figure.axes[::2], figure.axes[1::2]
    assert len(photos) == len(plots) == 3
    assert "mm" in plots[0].get_title(loc="left") or scale is None
    shown = photos[0].get_images()[0].get_array()
    assert shown is not None
    assert shown.shape[1] == 1000  # a long stretch is reduced
