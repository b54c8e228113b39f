"""A scale is millimetres a pixel, with what is known of it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.errors import DataError
from crackscope.geometry.scale import Scale


@given(st.floats(1e-6, 1e6), st.none() | st.floats(0, 1e6), st.text(max_size=20))
def test_a_scale_survives_json(mm_per_px: float, uncertainty: float | None, source: str) -> None:
    scale = Scale(mm_per_px, uncertainty, source)
    assert Scale(**json.loads(json.dumps(scale.to_dict()))) == scale


def test_a_number_of_numpy_is_kept_as_a_number_of_python() -> None:
    scale = Scale(np.float32(0.25), np.float64(0.5))
    assert [type(value) for value in (scale.mm_per_px, scale.uncertainty_mm_per_px)] == [float, float]
    assert scale == Scale(0.25, 0.5)


@pytest.mark.parametrize("value", [0.0, -1.0, math.nan, math.inf])
def test_what_is_no_scale_is_told(value: float) -> None:
    with pytest.raises(DataError, match=rf"^mm per pixel is {value:g}; it must lie above 0\.$"):
        Scale(value)


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_what_is_no_uncertainty_is_told(value: float) -> None:
    with pytest.raises(DataError, match=r"^the uncertainty of mm per pixel is"):
        Scale(1.0, value)
