"""Median, 90th percentile and maximum of a crack, over all its branches."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crackscope.errors import DataError
from crackscope.geometry.crack_summary import crack_width
from crackscope.geometry.crack_width import WidthsAlong
from crackscope.geometry.widths import CrackMillimetres, WidthMm


def along(widths: list[float], *, first_x: float = 0.0) -> WidthsAlong:
    width, n = np.array(widths), len(widths)
    none = np.zeros(n, np.bool_)
    return WidthsAlong(
        points_xy=np.stack([first_x + 4.0 * np.arange(n), np.full(n, 7.0)], axis=1),
        lengths_px=np.full(n, 4.0),
        width_px=width,
        low_px=0.8 * width,
        high_px=1.3 * width,
        resolved=width > 1,
        limit_px=np.full(n, 0.5),
        off_px=np.zeros(n),
        floor=np.full(n, 0.1),
        filled=none,
        lit=none,
        spalled=none,
        wet=none,
        doubtful=none,
    )


def test_figures_of_a_tapering_crack() -> None:
    found = crack_width([along(list(np.linspace(1, 6, 101)))])
    assert found.median.width_px == pytest.approx(3.5, abs=0.06)
    assert found.p90.width_px == pytest.approx(5.5, abs=0.06)
    assert found.maximum.width_px == pytest.approx(6, abs=0.1)
    assert found.maximum_xy[0] > 390
    assert found.measured_px == pytest.approx(404)
    for one in (found.median, found.p90, found.maximum):
        assert one.low_px < one.width_px < one.high_px
        assert one.resolved


def test_branches_count_by_their_length() -> None:
    found = crack_width([along([2.0] * 30), along([8.0] * 10, first_x=500.0)])
    assert found.median.width_px == 2.0
    assert found.p90.width_px == 8.0
    assert 500 <= found.maximum_xy[0] <= 540


def test_a_single_odd_place_is_no_maximum() -> None:
    assert crack_width([along([2.0] * 20 + [9.0] + [2.0] * 20)]).maximum.width_px == 2.0


def test_doubtful_places_do_not_count_unless_all_are() -> None:
    one = along([2.0] * 20 + [7.0] * 20)
    doubtful = replace(one, doubtful=np.arange(40) >= 20)
    assert crack_width([doubtful]).p90.width_px == 2.0
    assert crack_width([doubtful]).measured_px == 80
    assert crack_width([replace(one, doubtful=np.ones(40, np.bool_))]).maximum.width_px == 7.0


def test_below_the_limit_nothing_is_resolved() -> None:
    thin = replace(along([0.4] * 30), low_px=np.zeros(30))
    found = crack_width([thin])
    assert not any(one.resolved for one in (found.median, found.p90, found.maximum))
    assert found.resolved_share == 0


def test_shares_of_flags_are_told() -> None:
    half = np.arange(30) < 15
    found = crack_width([replace(along([3.0] * 30), filled=half, wet=half, lit=~half)])
    assert (found.filled_share, found.wet_share, found.lit_share, found.spalled_share) == (0.5, 0.5, 0.5, 0.0)


def test_a_crack_without_branches_is_told() -> None:
    with pytest.raises(DataError, match="no branches"):
        crack_width([])


@pytest.mark.parametrize("seed", range(20))
def test_the_figures_of_a_short_crack_are_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = crack_width([along(list(rng.uniform(0.5, 8, int(rng.integers(1, 25)))))])
    assert found.median.width_px <= found.p90.width_px <= found.maximum.width_px


def test_no_number_below_the_smallest_width_is_printed() -> None:
    blurred = along([0.2] * 40)
    found = crack_width([replace(blurred, high_px=np.full(40, 0.3))])
    assert found.smallest_px == 1.0
    assert found.text("median") == "< 1.0"
    assert CrackMillimetres(0.1, None, 16.0, None, maximum=WidthMm(0.02, 0, 0.03, False), smallest_mm=0.1).text(
        "maximum"
    ) == ("< 0.10")
    sharp_at_its_end = along([0.9] * 40)
    limits = np.where(np.arange(40) < 4, 0.2, 0.5)
    found = crack_width([replace(sharp_at_its_end, limit_px=limits, width_px=np.where(limits < 0.3, 0.95, 0.9))])
    assert not found.maximum.resolved
