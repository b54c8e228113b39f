"""Views for training: seeded, square, and still the same wall."""

from __future__ import annotations

import subprocess
import sys
import zlib
from itertools import product

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crackscope.drawing.walls import draw_patch
from crackscope.errors import RecipeError
from crackscope.training.augmentation import Augmentation, square
from crackscope.training.augmentation import view_of as labelled_view_of

ALL = Augmentation(flip_horizontal=True, flip_vertical=True, rotation_degrees=30, shift=0.2, shear_degrees=10, zoom=0.2)
VIEWS = range(1, 40)


def view_of(pixels: np.ndarray, augmentation: Augmentation, *, view: int) -> np.ndarray:
    return labelled_view_of(pixels, augmentation, view=view)[0]


def noise(side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def dot(side: int, x: int, y: int, radius: int = 3, *, salt: int = 0) -> np.ndarray:
    """A white disc on black; the salt in a corner changes the pixels, and so the views, but not the disc."""
    pixels = np.zeros((side, side, 3), np.uint8)
    cv2.circle(pixels, (x, y), radius, (255, 255, 255), -1)
    pixels[0, 0, 0] = salt
    return pixels


def centres(pixels: np.ndarray) -> np.ndarray:
    """Middle (x, y) of every bright spot, shape (n, 2)."""
    n, _, _, middles = cv2.connectedComponentsWithStats((pixels[..., 1] > 100).astype(np.uint8))
    return middles[1:n]


@pytest.mark.parametrize("side", [16, 63, 96, 227])
def test_a_view_follows_from_pixels_and_number_alone(side: int) -> None:
    pixels = noise(side)
    before = pixels.copy()
    for view in (1, 2, 10_000):
        first, again = view_of(pixels, ALL, view=view), view_of(pixels.copy(), ALL, view=view)
        assert np.array_equal(first, again)
        assert first.shape == (side, side, 3)
        assert first.dtype == np.uint8
    assert np.array_equal(pixels, before)
    read_only = pixels.copy()
    read_only.flags.writeable = False
    assert np.array_equal(view_of(read_only, ALL, view=1), view_of(pixels, ALL, view=1))
    turned = np.ascontiguousarray(np.rot90(pixels))
    assert np.array_equal(view_of(np.rot90(pixels), ALL, view=1), view_of(turned, ALL, view=1))  # strides do not count


def test_other_views_and_other_pixels_look_otherwise() -> None:
    pixels = noise(64)
    views = [view_of(pixels, ALL, view=view) for view in VIEWS]
    assert len({view.tobytes() for view in views}) == len(views)
    salted = pixels.copy()
    salted[0, 0, 0] ^= 1
    assert np.abs(view_of(salted, ALL, view=1).astype(int) - views[0]).max() > 2


def test_a_view_is_the_same_in_another_process() -> None:
    code = (
        "import sys, zlib, numpy as np; from crackscope.training.augmentation import Augmentation, view_of\n"
        "pixels = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)\n"
        f"print(zlib.crc32(view_of(pixels, Augmentation.model_validate_json('{ALL.model_dump_json()}'), view=7)[0]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    pixels = np.arange(48 * 48 * 3, dtype=np.uint8).reshape(48, 48, 3)
    assert int(found.stdout) == zlib.crc32(view_of(pixels, ALL, view=7).tobytes())


@pytest.mark.parametrize("side", [16, 63, 96, 227])
def test_without_augmentation_a_view_is_the_patch_itself(side: int) -> None:
    pixels = noise(side)
    for view in VIEWS:
        assert np.array_equal(view_of(pixels, Augmentation(), view=view), pixels)


@pytest.mark.parametrize("side", [16, 63, 96, 227])
def test_flips_alone_are_exact_and_each_comes_in_half_of_the_views(side: int) -> None:
    pixels = noise(side)
    wanted = {
        (False, False): pixels,
        (True, False): pixels[:, ::-1],
        (False, True): pixels[::-1],
        (True, True): pixels[::-1, ::-1],
    }
    for horizontal, vertical in product((False, True), repeat=2):
        augmentation = Augmentation(flip_horizontal=horizontal, flip_vertical=vertical)
        seen = []
        for view in range(1, 101):
            found = view_of(pixels, augmentation, view=view)
            seen += [kind for kind, expected in wanted.items() if np.array_equal(found, expected)]
        assert len(seen) == 100  # each is one of the four, to the last pixel
        allowed = {kind for kind in wanted if kind[0] <= horizontal and kind[1] <= vertical}
        assert set(seen) == allowed
        assert min(seen.count(kind) for kind in allowed) > 100 / len(allowed) / 2


@given(st.integers(1, 10**6), st.floats(0, 180))
def test_turning_leaves_the_middle_where_it_is(view: int, degrees: float) -> None:
    for side in (64, 65):
        pixels = np.zeros((side, side, 3), np.uint8)
        cv2.circle(pixels, (side // 2, side // 2), side // 4, (255, 255, 255), -1)
        pixels |= pixels[::-1, ::-1]  # the same after half a turn, at even sides too
        found = view_of(pixels, Augmentation(rotation_degrees=degrees), view=view)
        inside = (np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2)) < side / 4 - 2)[..., None]
        assert found[np.broadcast_to(inside, found.shape)].min() == 255
        np.testing.assert_allclose(centres(found)[0], (side - 1) / 2, atol=0.3)


def test_a_turn_goes_both_ways_and_at_most_as_far_as_allowed() -> None:
    side, angles = 101, []
    for salt, degrees in product(range(100), (20,)):
        pixels = dot(side, 80, 50, salt=salt)  # 30 px to the right of the middle
        (found,) = centres(view_of(pixels, Augmentation(rotation_degrees=degrees), view=1))
        assert np.hypot(*(found - 50)) == pytest.approx(30, abs=0.7)
        angles.append(np.degrees(np.arctan2(found[1] - 50, found[0] - 50)))
    assert max(np.abs(angles)) <= 20.7
    assert min(angles) < -15
    assert max(angles) > 15


def test_a_shift_goes_both_ways_along_each_axis_by_at_most_its_share_of_the_side() -> None:
    side, moves = 120, []
    for salt in range(150):
        (found,) = centres(view_of(dot(side, 60, 60, salt=salt), Augmentation(shift=0.25), view=1))
        moves.append(found - 60)
    moves_xy = np.array(moves)
    assert np.abs(moves_xy).max() <= 30.5
    for axis in range(2):
        assert moves_xy[:, axis].min() < -24
        assert moves_xy[:, axis].max() > 24
    assert abs(np.corrcoef(moves_xy.T)[0, 1]) < 0.3


def test_a_zoom_grows_and_shrinks_each_axis_by_at_most_its_share() -> None:
    factors = []
    for salt in range(150):
        pixels = dot(161, 110, 80, salt=salt) | dot(161, 50, 80) | dot(161, 80, 110) | dot(161, 80, 50)
        found = centres(view_of(pixels, Augmentation(zoom=0.2), view=1))
        factors.append(np.ptp(found, axis=0) / 60)
    assert np.min(factors) >= 0.79
    assert np.max(factors) <= 1.21
    assert np.min(factors) < 0.85
    assert np.max(factors) > 1.15
    assert not np.allclose(np.array(factors)[:, 0], np.array(factors)[:, 1], atol=0.02)


def test_a_shear_slides_rows_and_leaves_columns_at_their_height() -> None:
    slides = []
    for salt in range(100):
        found = centres(view_of(dot(161, 80, 40, salt=salt), Augmentation(shear_degrees=20), view=1))[0]
        assert found[1] == pytest.approx(40, abs=0.5)
        slides.append((found[0] - 80) / 40)
    assert np.abs(slides).max() <= np.tan(np.radians(20)) + 0.02
    assert min(slides) < -0.25
    assert max(slides) > 0.25


def test_what_comes_in_from_outside_is_the_mirrored_patch() -> None:
    """No black corners: a plain wall stays plain, whatever is done to it."""
    pixels = np.full((96, 96, 3), (90, 140, 200), np.uint8)
    wild = Augmentation(rotation_degrees=180, shift=0.9, shear_degrees=60, zoom=0.9, flip_horizontal=True)
    for view in VIEWS:
        assert np.array_equal(view_of(pixels, wild, view=view), pixels)


@given(
    st.integers(16, 70),
    st.integers(0, 2**40),
    st.builds(
        Augmentation,
        flip_horizontal=st.booleans(),
        flip_vertical=st.booleans(),
        rotation_degrees=st.floats(0, 180),
        shift=st.floats(0, 1, exclude_max=True),
        shear_degrees=st.floats(0, 80, exclude_max=True),
        zoom=st.floats(0, 1, exclude_max=True),
    ),
)
def test_any_view_has_the_shape_and_type_of_the_patch(side: int, view: int, augmentation: Augmentation) -> None:
    found = view_of(noise(side), augmentation, view=view)
    assert found.shape == (side, side, 3)
    assert found.dtype == np.uint8


def test_settings_that_are_no_augmentation_are_refused() -> None:
    for name, value in {
        **{"rotation_degrees": 181, "shift": 1, "shear_degrees": 80, "zoom": 1, "flip": True},
        **{"rotation_degrees ": 1, "shear": 2},
    }.items():
        with pytest.raises(RecipeError):
            Augmentation.model_validate({name: value})
    with pytest.raises(RecipeError):
        Augmentation(shift=float("nan"))


def test_a_square_is_the_middle_as_wide_as_the_shorter_side() -> None:
    pixels = np.arange(40 * 61 * 3, dtype=np.uint8).reshape(40, 61, 3)
    assert np.array_equal(square(pixels), pixels[:, 10:50])
    assert np.array_equal(square(pixels.transpose(1, 0, 2)), pixels.transpose(1, 0, 2)[10:50])
    assert np.array_equal(square(pixels[:, :40]), pixels[:, :40])


# Nearer, farther, with a crack drawn on it

ELSEWHERE = Augmentation(quarter_turns=True, zoom_out=3, zoom_in=2.5, drawn_cracks=0.5, light=1, blur_px=1.5)


def test_a_crack_is_drawn_on_uncracked_patches_alone_and_makes_them_cracked() -> None:
    pixels = draw_patch(3, side_px=96, crack=False).pixels
    drawing = Augmentation(drawn_cracks=0.5)
    n_drawn = 0
    for view in range(1, 101):
        seen, cracked = labelled_view_of(pixels, drawing, view=view)
        assert cracked == bool((seen < pixels).any())
        assert (seen <= pixels).all()  # a crack swallows light
        n_drawn += cracked
        assert labelled_view_of(pixels, drawing, view=view, cracked=True)[1]
        assert np.array_equal(labelled_view_of(pixels, drawing, view=view, cracked=True)[0], pixels)
    assert 35 <= n_drawn <= 65


def test_a_cracked_patch_is_never_seen_from_nearer_by() -> None:
    """It could lose its crack: from afar all of it is there, mirrored around."""
    side = 60
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[28:32] = 255  # all rows hold as much white, wherever it is seen from but from nearer by
    near = Augmentation(zoom_in=4)
    shares: dict[bool, list[float]] = {cracked: [] for cracked in (False, True)}
    for cracked in shares:
        for view in VIEWS:
            shares[cracked].append(float(labelled_view_of(pixels, near, view=view, cracked=cracked)[0].mean()))
    assert len(set(shares[True])) == 1
    assert len(set(shares[False])) > 5
    far = [labelled_view_of(pixels, Augmentation(zoom_out=4), view=view, cracked=True)[0] for view in VIEWS]
    assert all(seen.max() > 100 for seen in far)  # the line is there in every one
    assert len({seen.tobytes() for seen in far}) == len(far)


@pytest.mark.parametrize("side", [16, 63, 227])
def test_a_view_from_elsewhere_keeps_size_and_is_the_same_again(side: int) -> None:
    pixels = noise(side)
    for view in (1, 2, 3, 4, 5, 6):
        for cracked in (False, True):
            seen, label = labelled_view_of(pixels, ELSEWHERE, view=view, cracked=cracked)
            again, same = labelled_view_of(pixels.copy(), ELSEWHERE, view=view, cracked=cracked)
            assert seen.shape == pixels.shape
            assert seen.dtype == np.uint8
            assert np.array_equal(seen, again)
            assert label == same
            assert label or not cracked


def test_quarter_turns_alone_are_exact() -> None:
    pixels = noise(48)
    wanted = {np.rot90(pixels, k).tobytes() for k in range(4)}
    seen = {view_of(pixels, Augmentation(quarter_turns=True), view=view).tobytes() for view in VIEWS}
    assert seen == wanted


def test_only_settings_that_heed_labels_make_a_view_depend_on_one() -> None:
    pixels = draw_patch(3, side_px=64, crack=False).pixels
    augmentation = Augmentation(light=1, blur_px=1.5, quarter_turns=True, zoom_out=2)
    assert not augmentation.heeds_labels
    for view in range(1, 6):
        seen, other = (labelled_view_of(pixels, augmentation, view=view, cracked=one)[0] for one in (False, True))
        np.testing.assert_array_equal(seen, other)


def test_a_few_views_come_by_turns_with_the_patch_itself() -> None:
    places = np.arange(6)
    shown = np.stack([Augmentation(views=2).views_in(epoch, places) for epoch in range(1, 8)])
    assert shown[0].tolist() == [1, 2, 0, 1, 2, 0]
    for patch in shown.T:  # every patch in every view, before one comes again
        assert sorted(patch[:3]) == sorted(patch[3:6]) == [0, 1, 2]
    assert [Augmentation().views_in(epoch, places).tolist() for epoch in (1, 2)] == [[1] * 6, [2] * 6]
    assert not Augmentation(rotation_degrees=20).heeds_labels
    assert Augmentation(zoom_in=2).heeds_labels
    assert Augmentation(drawn_cracks=0.1).heeds_labels


def test_other_light_changes_no_shape_and_dims_or_brightens() -> None:
    pixels = draw_patch(5, side_px=64, crack=False).pixels
    means = [float(view_of(pixels, Augmentation(light=1), view=view).mean()) for view in VIEWS]
    assert min(means) < 0.9 * pixels.mean() < 1.05 * pixels.mean() < max(means)
    sharp = float(np.abs(np.diff(pixels.astype(int), axis=0)).mean())
    blurred = [
        float(np.abs(np.diff(view_of(pixels, Augmentation(blur_px=3), view=view).astype(int), axis=0)).mean())
        for view in VIEWS
    ]
    assert min(blurred) < 0.6 * sharp
    assert max(blurred) == sharp


@pytest.mark.parametrize("widths", [(5, 1), (0, 5), (-3, 4), (1, 5000)])
def test_widths_of_drawn_cracks_are_checked(widths: tuple[float, float]) -> None:
    with pytest.raises(RecipeError, match="two widths above 0, the smaller one first"):
        Augmentation(drawn_cracks=0.5, drawn_widths_px=widths)


# Worse photographs, and what is no crack


@pytest.mark.parametrize(
    "augmentation",
    [
        Augmentation(noise=20),
        Augmentation(jpeg=0.9),
        Augmentation(motion=0.2),
        Augmentation(marks=0.9),
        Augmentation(clutter=0.9),
    ],
)
def test_what_a_camera_or_a_pen_does_changes_some_views_and_no_label(augmentation: Augmentation) -> None:
    pixels = draw_patch(3, side_px=96, crack=False).pixels
    changed = 0
    for view in range(1, 81):
        seen, cracked = labelled_view_of(pixels, augmentation, view=view)
        assert not cracked
        assert seen.shape == pixels.shape
        assert seen.dtype == np.uint8
        assert np.array_equal(seen, labelled_view_of(pixels, augmentation, view=view)[0])
        assert labelled_view_of(pixels, augmentation, view=view, cracked=True)[1]
        changed += not np.array_equal(seen, pixels)
    assert changed >= 2
    assert (changed <= 20) == bool(augmentation.motion)


def test_noise_is_no_greater_than_said_and_motion_blurs() -> None:
    pixels = np.full((64, 64, 3), 128, np.uint8)
    spreads = [labelled_view_of(pixels, Augmentation(noise=10), view=view)[0].std() for view in VIEWS]
    assert 5 < max(spreads) < 10.5
    sharp = noise(64)
    shaken = [labelled_view_of(sharp, Augmentation(motion=0.3), view=view)[0].std() for view in VIEWS]
    assert max(shaken) == pytest.approx(sharp.std())
    assert min(shaken) < 0.6 * sharp.std()
