"""How much of joints is traced, from lines that were set by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from crackscope.arrays import Float64Array
from crackscope.errors import DataError
from crackscope.geometry.cracks import Crack
from crackscope.measuring.joint_figures import PhotoJoints, compare_joints, joint_rows, measure_joints

HW = (200, 300)


def across(y: float, *, begin: float = 0.0, end: float = 200.0) -> Float64Array:
    return np.array([[begin, y], [end, y]])


def line(*paths: Float64Array, joint_like: bool = False) -> Crack:
    nothing = np.zeros((2, 2))
    return Crack(
        *("x", paths, (), nothing, nothing.astype(np.int64), joint_like),
        *(1.0, 0.0, 1.0, np.zeros(18), 1.0, "single"),
    )


def compared(*cracks: Crack, joints: list[Float64Array] | None = None, photo_hw: tuple[int, int] = HW) -> PhotoJoints:
    return compare_joints("a.png", joints or [across(50)], cracks, photo_hw)


def test_a_joint_is_traced_as_far_as_a_line_runs_near_it() -> None:
    found = compared(line(across(53, end=100)), line(across(48, begin=150), joint_like=True))
    assert (found.joint_px, found.crack_px) == (200, 100)
    beyond = np.sqrt(4**2 - 3**2)  # a line is near a little beyond its end
    assert found.in_cracks == pytest.approx((100 + beyond) / 200, abs=0.005)
    assert found.in_joint_like == pytest.approx((50 + np.sqrt(4**2 - 2**2)) / 200, abs=0.005)
    assert found.cracks_at_joints == 1


def test_the_distance_is_4_px_and_more_in_a_large_photo() -> None:
    for off_px, photo_hw, near in ((3.9, HW, 1), (4.1, HW, 0), (7.9, (100, 3200), 1), (8.1, (100, 3200), 0)):
        found = compared(line(across(50 + off_px)), photo_hw=photo_hw)
        assert (found.in_cracks, found.cracks_at_joints) == (near, near), off_px


def test_lengths_count_and_not_points() -> None:
    coarse = compared(line(across(50, end=80)), line(across(150, end=120)))
    fine_path = np.column_stack([np.linspace(0, 80, 700), np.full(700, 50.0)])
    fine = compared(line(fine_path), line(across(150, end=120)))
    assert coarse.crack_at_joints_px == pytest.approx(80)
    assert fine.crack_at_joints_px == pytest.approx(80)
    assert coarse.cracks_at_joints == pytest.approx(0.4)
    assert fine.in_cracks == pytest.approx(coarse.in_cracks, abs=0.005)


def test_nothing_traced_gives_shares_of_0_and_no_share_of_what_is_traced() -> None:
    found = compared()
    assert (found.in_cracks, found.in_joint_like, found.crack_px) == (0, 0, 0)
    assert np.isnan(found.cracks_at_joints)
    assert found.document()["cracks_at_joints"] is None
    with pytest.raises(DataError, match="1 joints without a length"):
        compared(joints=[np.zeros((2, 2))])


def test_photos_are_summed_by_length() -> None:
    short, long = PhotoJoints("a", 100, 100, 0, 50, 50), PhotoJoints("b", 300, 0, 150, 150, 0)
    figures = measure_joints([short, long], not_judged=["c"])
    assert (figures.in_cracks.value, figures.in_joint_like.value) == (0.25, 0.375)
    assert figures.cracks_at_joints.value == 0.25
    assert (figures.joint_px, figures.crack_px, figures.not_judged) == (400, 200, ("c",))
    assert np.isnan(figures.in_cracks.low)
    assert figures.few == "joints in 2 photos: read this as an anecdote, without intervals"
    assert joint_rows(figures)[0][0] == "Joints traced as cracks"


def test_intervals_are_over_photos_or_scenes() -> None:
    rng = np.random.default_rng(0)
    photos = [PhotoJoints(str(i), 500, 500 * rng.random(), 0, 300, 300 * rng.random()) for i in range(9)]
    alone = measure_joints(photos)
    assert alone.few == ""
    for figure in (alone.in_cracks, alone.cracks_at_joints):
        assert 0 < figure.low < figure.value < figure.high < 1
    together = measure_joints(photos, clusters=["a", "b", "c"] * 3, cluster_kind="scenes")
    assert together.in_cracks.value == alone.in_cracks.value
    assert (together.n_clusters, together.cluster_kind) == (3, "scenes")
    json.dumps(together.document(), allow_nan=False)


def test_without_a_photo_there_is_no_figure() -> None:
    figures = measure_joints([], not_judged=["a"])
    assert np.isnan([figure.value for _, figure in joint_rows(figures)]).all()
    json.dumps(figures.document(), allow_nan=False)
