"""Two photos of one place are laid over each other, and photos of different places are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import crackscope
from crackscope.arrays import Float64Array, UInt8Array
from crackscope.data.pair_geometry import homography_fault
from crackscope.data.photo_features import features_of, grey_of, in_working_px, shrunk
from crackscope.data.refinement import fit_field, mapped
from crackscope.data.registration import register, register_features
from crackscope.drawing.repeated import draw_bricks, draw_planks
from crackscope.drawing.walls import draw_photo
from crackscope.errors import DataError

HW = 400, 600


@pytest.fixture(scope="module")
def wall() -> UInt8Array:
    return draw_photo(1, photo_hw=HW).pixels


def turned(degrees: float, zoom: float) -> Float64Array:
    middle = np.array([HW[1] - 1, HW[0] - 1]) / 2
    angle = np.radians(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = zoom * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    matrix[:2, 2] = middle - matrix[:2, :2] @ middle
    return matrix


def copy_of(pixels: UInt8Array, matrix: Float64Array, *, light: float = 1.0, blur_px: float = 0.5) -> UInt8Array:
    laid = cv2.warpPerspective(pixels, matrix, (HW[1], HW[0]), flags=cv2.INTER_AREA)
    changed = np.clip(cv2.GaussianBlur(laid, (0, 0), blur_px).astype(np.float32) * light, 0, 255).astype(np.uint8)
    encoded = cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, 70])[1]
    return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR), np.uint8)


def squares(pixels: UInt8Array, seed: int) -> UInt8Array:
    """The photo with a logo in it: a block of strong marks, the same in every photo."""
    marks = np.random.default_rng(7).integers(0, 2, size=(9, 9)).astype(np.uint8) * 255
    top, left = 40 + 30 * seed, 60 + 40 * seed
    found = pixels.copy()
    block = np.kron(marks, np.ones((10, 10), np.uint8))
    found[top : top + 90, left : left + 90] = block[..., None]
    return np.asarray(found, np.uint8)


@pytest.mark.parametrize(
    ("degrees", "zoom", "light", "blur_px"),
    [(0, 1.0, 1.35, 0.5), (15, 0.67, 0.65, 0.5), (-15, 1.5, 1.35, 1.0), (90, 1.0, 0.8, 1.0), (180, 0.5, 1.0, 0.5)],
)
def test_a_changed_copy_is_laid_where_it_belongs(
    wall: UInt8Array, degrees: float, zoom: float, light: float, blur_px: float
) -> None:
    matrix = turned(degrees, zoom)
    found = register(wall, copy_of(wall, matrix, light=light, blur_px=blur_px))
    assert found.matches, found.reason
    points = np.random.default_rng(0).uniform((150, 100), (450, 300), (100, 2))
    missed = np.hypot(*(found.map_points(points) - mapped(matrix, points)).T)
    assert np.median(missed) < 0.5
    assert found.residual_px is not None
    assert found.residual_px < 1


def test_the_same_photo_twice_is_the_identity(wall: UInt8Array) -> None:
    found = register(wall, wall)
    assert found.matches
    assert found.homography is not None
    assert np.allclose(found.homography, np.eye(3), atol=1e-3)
    assert found.overlap_share_a == found.overlap_share_b == 1


def test_a_photo_inside_another(wall: UInt8Array) -> None:
    inside = np.ascontiguousarray(wall[100:300, 150:450])
    found = register(wall, cv2.resize(inside, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_CUBIC).astype(np.uint8))
    assert found.matches, found.reason
    assert found.overlap_share_b > 0.98
    assert 0.22 < found.overlap_share_a < 0.27
    assert np.allclose(
        found.map_points(np.array([[300.0, 200.0]])), [[(150.5 * 1.6) - 0.5, (100.5 * 1.6) - 0.5]], atol=0.5
    )


NOTHING = {
    "plain": (np.full((*HW, 3), 128, np.uint8), "shows too little"),
    "thin": (np.zeros((1, 30_000, 3), np.uint8), "shows too little"),
    "tall": (np.zeros((30_000, 1, 3), np.uint8), "shows too little"),
    "another wall": (draw_photo(2, photo_hw=HW).pixels, "points agree"),
}


@pytest.mark.parametrize("name", NOTHING)
def test_nothing_to_match_is_said(wall: UInt8Array, name: str) -> None:
    other, reason = NOTHING[name]
    for pair in ((wall, other), (other, wall)):
        found = register(*pair)
        assert not found.matches
        assert found.reason is not None
        assert reason in found.reason
    with pytest.raises(DataError, match="do not match"):
        found.map_points(np.zeros((1, 2)))


def test_a_mirrored_photo_does_not_match(wall: UInt8Array) -> None:
    for mirrored in (wall[:, ::-1], wall[::-1]):
        assert not register(wall, np.ascontiguousarray(mirrored)).matches


def test_a_homography_that_mirrors_is_refused(wall: UInt8Array) -> None:
    a = features_of(grey_of(wall))
    mirrored = np.array([[-1.0, 0, HW[1] - 1], [0, 1, 0], [0, 0, 1]])
    points = mapped(mirrored, a.points_xy.astype(np.float64)).astype(np.float32)
    b = type(a)(a.photo_hw, a.scale, a.grey, points, a.sizes_px, a.descriptors)
    found = register_features(a, b, matches=np.stack([np.arange(len(a))] * 2, 1))
    assert not found.matches  # MAGSAC may refuse it before we do
    assert "mirror" in str(homography_fault(mirrored, HW, HW))


def test_two_places_with_the_same_logo_do_not_match() -> None:
    walls = [squares(draw_photo(seed, photo_hw=HW).pixels, seed) for seed in range(2)]
    found = register(*walls)
    assert not found.matches


@pytest.mark.parametrize("draw", [draw_bricks, draw_planks])
@pytest.mark.parametrize("variation", [0.0, 10.0])
def test_a_repeated_pattern_does_not_match_itself_elsewhere(draw: object, variation: float) -> None:
    assert callable(draw)
    features = [features_of(grey_of(draw(seed, photo_hw=(240, 360), variation=variation))) for seed in range(4)]
    found = [register_features(features[i], features[j]).matches for i in range(4) for j in range(i)]
    assert not any(found)


def test_bricks_match_the_same_bricks() -> None:
    whole = draw_bricks(3, photo_hw=(400, 800))
    found = register(whole[:, :600], whole[:, 200:])
    assert found.matches, found.reason
    assert np.allclose(found.map_points(np.array([[400.0, 100.0]])), [[200.0, 100.0]], atol=0.3)


def test_warp_and_overlay_show_the_overlap(wall: UInt8Array) -> None:
    left, right = np.ascontiguousarray(wall[:, :450]), np.ascontiguousarray(wall[:, 150:])
    found = register(left, right)
    laid = found.warp(right)
    assert laid.shape == left.shape
    assert not laid[:, :140].any()
    assert np.abs(laid[10:-10, 160:440].astype(int) - left[10:-10, 160:440]).mean() < 1.5
    small = found.overlay(shrunk(left, 0.5), shrunk(right, 0.5), side_px=200)
    assert max(small.shape[:2]) == 200
    assert found.overlap_xy[:, 0].min() == pytest.approx(150, abs=1)
    for shape, which in (((100, 40, 3), "second"), ((450, 400, 3), "second")):
        with pytest.raises(DataError, match=which):
            found.warp(np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match=which):
            found.overlay(left, np.zeros(shape, np.uint8))
    with pytest.raises(DataError, match=r"\(n, 2\)"):
        found.map_points(np.zeros(2))


def test_a_bent_photo_is_followed(wall: UInt8Array) -> None:
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float32)
    bend = 3 * np.sin(x / HW[1] * np.pi * 2).astype(np.float32)
    bent = cv2.remap(wall, x, y + bend, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
    found = register(wall, bent)
    assert found.homography is not None
    points = np.random.default_rng(0).uniform((40, 40), (560, 360), (200, 2))
    truth = points - np.stack([np.zeros(200), 3 * np.sin(points[:, 0] / HW[1] * np.pi * 2)], 1)
    alone = np.median(np.hypot(*(mapped(found.homography, points) - truth).T))
    refined = np.median(np.hypot(*(found.map_points(points) - truth).T))
    assert refined < 0.3 < alone


def test_the_field_leaves_out_what_its_neighbours_contradict() -> None:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 500, (200, 2))
    shifts = np.stack([places[:, 0] / 100, np.sin(places[:, 1] / 200)], 1)
    wrong = np.arange(200) % 10 == 0
    shifts[wrong] += rng.uniform(4, 8, (20, 2))
    field, taken = fit_field(places, shifts, far=1.5, most=20)
    assert field is not None
    assert not taken[wrong].any()
    assert np.abs(field.at(places[~wrong]) - shifts[~wrong]).max() < 0.3
    assert fit_field(places[:5], shifts[:5], far=1.5, most=20)[0] is None


def test_shrinking_keeps_the_middles_of_pixels() -> None:
    matrix = in_working_px((400, 800), (100, 200))
    assert mapped(matrix, np.array([[1.5, 1.5], [-0.5, -0.5]])).tolist() == [[0, 0], [-0.5, -0.5]]


def test_a_large_photo_is_worked_on_at_a_bounded_size() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (1500, 3000), dtype=np.uint8)
    features = features_of(grey)
    assert features.grey.size <= 1.41e6
    assert len(features) <= 4100


def test_it_is_public(wall: UInt8Array) -> None:
    found = crackscope.register(wall, wall[:, :, 0])
    assert isinstance(found, crackscope.Registration)
    assert set(found.document()) >= {"matches", "reason", "n_inliers", "homography", "overlap_xy"}
    assert crackscope.register(wall, wall).document()["residual_px"] < 0.1
