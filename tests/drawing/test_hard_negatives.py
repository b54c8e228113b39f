"""Hard negatives: they are seen, they are no cracks, and their lines are told."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.drawing.crack_paths import shape_along
from crackscope.drawing.exact_cracks import EVEN, with_crack, with_shapes
from crackscope.drawing.exact_drawings import bare
from crackscope.drawing.hard_negatives import NEGATIVE_KINDS, with_negative
from crackscope.drawing.walls import draw_patch
from crackscope.errors import DataError


@pytest.mark.parametrize("kind", NEGATIVE_KINDS)
def test_every_kind_shows_and_is_no_crack(kind: str) -> None:
    wall = bare(draw_patch(3, side_px=128, crack=False).pixels)
    shown = 0
    for seed in range(8):
        drawing = with_negative(wall, np.random.default_rng(seed), kind=kind)
        again = with_negative(wall, np.random.default_rng(seed), kind=kind)
        assert np.array_equal(drawing.pixels, again.pixels)
        assert drawing.cracks == ()
        assert drawing.gaps == ()
        assert not drawing.coverage.any()
        assert not drawing.crack_cells(4).any()
        assert 0 <= drawing.front.min() <= drawing.front.max() <= 1
        shown += int(not np.array_equal(drawing.pixels, wall.pixels))
        assert all(line.kind == kind for line in drawing.others)
    assert shown >= 6


def test_joints_and_planks_are_straight_parallel_and_where_they_are_told() -> None:
    wall = bare(np.full((160, 160, 3), 160, np.uint8), blur_px=0.7)
    for kind in ("joint", "planking"):
        told = 0
        for seed in range(12):
            drawing = with_negative(wall, np.random.default_rng(seed), kind=kind)
            told += int(drawing.other_cells(4).any())
            for line in drawing.others:
                along = line.path_xy[-1] - line.path_xy[0]
                normal = np.array((-along[1], along[0])) / np.hypot(*along)
                assert np.abs((line.path_xy - line.path_xy[0]) @ normal).max() < 1e-6
                assert line.width_px > 0
        assert told >= 10


def test_planks_are_all_of_one_width() -> None:
    n_walls = 0
    for seed in range(12):
        wall = bare(np.full((200, 200, 3), 160, np.uint8))
        drawing = with_negative(wall, np.random.default_rng(seed), kind="planking")
        if len(drawing.others) < 4:
            continue
        along = drawing.others[0].path_xy[-1] - drawing.others[0].path_xy[0]
        normal = np.array((-along[1], along[0])) / np.hypot(*along)
        # Boards are not quite parallel, so they are compared where they pass the middle of the picture.
        at = np.sort([np.interp(0, (line.path_xy - 99.5) @ along, line.path_xy @ normal) for line in drawing.others])
        board_px = float(np.diff(at).min())
        boards = np.diff(at) / board_px
        assert np.allclose(boards, np.round(boards), atol=0.25)  # now and then a line is missing
        n_walls += 1
    assert n_walls >= 4


@pytest.mark.parametrize("kind", ["cable", "wire"])
@pytest.mark.parametrize("first", ["crack", "line"])
def test_a_crack_runs_behind_a_cable(kind: str, first: str) -> None:
    n_hidden = 0
    for seed in range(10):
        drawing = bare(np.full((128, 128, 3), 160, np.uint8))
        for step in ("crack", "line") if first == "crack" else ("line", "crack"):
            rng = np.random.default_rng(seed)
            if step == "line":
                drawing = with_negative(drawing, rng, kind=kind)
            else:
                path_xy = np.stack([np.arange(-3.0, 131), np.full(134, 64.0)], axis=1)
                drawing = with_shapes(drawing, [shape_along(path_xy, np.full(134, 3.0))], EVEN, rng)
        n_hidden += len(drawing.gaps)
        covered = drawing.front > 0.99
        assert not drawing.coverage[covered].any() or drawing.coverage[covered].max() < 0.02
    assert n_hidden >= 3


def test_a_crack_on_a_joint_is_told_beside_it() -> None:
    drawing = with_negative(bare(np.full((128, 128, 3), 160, np.uint8)), np.random.default_rng(1), kind="joint")
    drawing = with_crack(drawing, np.random.default_rng(2), kind="plain", widths_px=(2, 2))
    assert len(drawing.cracks) >= 1
    assert drawing.others[0].kind == "joint"


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(DataError, match=r"kind is 'moss'.*joint"):
        with_negative(bare(np.zeros((32, 32, 3), np.uint8)), np.random.default_rng(0), kind="moss")
