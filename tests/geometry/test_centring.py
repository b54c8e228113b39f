"""A path that lies beside a dark line is moved onto its middle."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from crackscope.geometry.centring import centred
from crackscope.geometry.paths import length_of

SIDE = 160


def waving(x: np.ndarray, *, aside_px: float = 0.0) -> np.ndarray:
    return np.column_stack([x, 80 + aside_px + 6 * np.sin(x / 15)])


def picture(width_px: float, *, contrast: float = 0.7) -> np.ndarray:
    """A dark wavy line of some width on rough concrete, blurred by a pixel."""
    light = np.ones((8 * SIDE, 8 * SIDE), np.float32)
    points = np.round((waving(np.linspace(0, SIDE, 500)) + 0.5) * 8 * 16 - 8).astype(np.int32).reshape(-1, 1, 2)
    cv2.polylines(light, [points], isClosed=False, color=1 - contrast, thickness=round(8 * width_px), shift=4)
    seen = cv2.GaussianBlur(cv2.resize(light, (SIDE, SIDE), interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 6, (SIDE, SIDE)), (0, 0), 0.7)
    return np.asarray(150 * seen + noise, np.float32)


def off_px(path: np.ndarray) -> np.ndarray:
    fine = waving(np.linspace(0, SIDE, 2000))
    return np.asarray(np.hypot(*(path[:, None] - fine[None]).transpose(2, 0, 1)).min(1))


@pytest.mark.parametrize(("width_px", "most_px"), [(0.5, 0.35), (2.0, 0.2), (10.0, 0.3)])
@pytest.mark.parametrize("aside_px", [0.0, 2.0, -2.5])
def test_a_path_is_moved_onto_the_middle(width_px: float, most_px: float, aside_px: float) -> None:
    given = waving(np.arange(20, 140.0), aside_px=aside_px)
    found = centred(picture(width_px), given, 3.0)
    assert np.sqrt((off_px(found)[5:-5] ** 2).mean()) < most_px
    steps = np.hypot(*np.diff(found, axis=0).T)
    assert np.all((steps > 0.4) & (steps < 2))
    true = length_of(waving(np.linspace(found[0, 0], found[-1, 0], 500)))
    assert abs(length_of(found) / true - 1) < 0.02


def test_a_dark_line_farther_away_than_the_reach_is_left_alone() -> None:
    given = waving(np.arange(20, 140.0), aside_px=20)
    assert np.hypot(*(centred(picture(2.0), given, 3.0)[[0, -1]] - given[[0, -1]]).T).max() < 6


def test_plain_pictures_and_short_paths_keep_their_course() -> None:
    given = waving(np.arange(20, 140.0))
    plain = np.full((SIDE, SIDE), 150, np.uint8)
    assert off_px(centred(plain, given, 3.0)).max() < 0.3
    assert centred(plain, given[:2], 3.0).tolist() == given[:2].tolist()
    ring = np.array([[5.0, 5], [5.2, 5], [5, 5.2]])
    assert np.isfinite(centred(plain, ring, 0.2)).all()
