"""Two points of known distance give a scale along their line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.geometry.references import Reference, reference_scale
from crackscope.geometry.scale import NoScale, Scale

HW = (3000, 4000)


@given(st.floats(0, 3999), st.floats(0, 2999), st.floats(20, 900), st.floats(0, 6.28), st.floats(1, 500))
def test_the_scale_is_the_length_by_the_pixels(x: float, y: float, length_px: float, turn: float, mm: float) -> None:
    x1, y1 = x + length_px * math.cos(turn), y + length_px * math.sin(turn)
    reference = Reference(x, y, x1, y1, mm)
    found = reference_scale(reference, HW)
    if 0 <= x1 <= 3999 and 0 <= y1 <= 2999:
        assert isinstance(found, Scale)
        assert found.mm_per_px == pytest.approx(mm / length_px, rel=1e-6)
        assert (found.source, found.points_xy_px) == ("reference", ((x, y), (x1, y1)))
        assert found.relative_uncertainty == pytest.approx(math.sqrt(2) * 2000 / 1280 / length_px, rel=1e-6)
    assert Reference.parse(str(Reference.parse("1,2,30,40.5=50"))) == Reference(1, 2, 30, 40.5, 50)


def test_a_point_outside_the_photo_gives_no_scale() -> None:
    for reference in (Reference(-10, 5, 100, 5, 50), Reference(0, 0, 4000, 5, 50), Reference(0, 0, 50, 3200, 50)):
        found = reference_scale(reference, HW)
        assert isinstance(found, NoScale)
        assert found.is_final
        assert "lies outside of the photo of 4000×3000 px" in found.reason
    assert isinstance(reference_scale(Reference(0, 0, 3999.4, 2999.4, 50), HW), Scale)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no reference; write X0,Y0,X1,Y1=MM"),
        ("1,2,3,4", "is no reference"),
        ("1,2,3=4", "is no reference"),
        ("1,2,3,4=", "is no reference"),
        ("1,2,3,four=5", "is no reference"),
        ("1,2,3,4,5=6", "is no reference"),
        ("5,5,5,5=10", "the two points are 0 px apart"),
        ("5,5,9,8=10", "the two points are 5 px apart; take points that are at least 10 px apart"),
        ("0,0,nan,10=10", "must be numbers of pixels"),
        ("0,0,inf,10=10", "must be numbers of pixels"),
        ("0,0,100,0=0", "the length is 0 mm; it must lie above 0"),
        ("0,0,100,0=-5", "the length is -5 mm"),
        ("0,0,100,0=nan", "the length is nan mm"),
        ("0,0,100,0=1e9", "mm per pixel is 1e+07; it must lie between 0.001 and 100"),
        ("0,0,1000,0=1e-9", "mm per pixel is 1e-12"),
    ],
)
def test_what_is_no_reference_is_told(text: str, words: str) -> None:
    with pytest.raises(DataError) as error:
        Reference.parse(text)
    assert words in str(error.value)
