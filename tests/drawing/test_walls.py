from __future__ import annotations

import csv
from collections import defaultdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.drawn_lines import DrawnCrack, crack_coverage
from crackscope.drawing.walls import Drawing, draw_dataset, draw_patch, draw_photo
from crackscope.errors import DataError, OutputError
from shared.pictures import read_pixels

seeds = st.integers(0, 10_000)
few = settings(max_examples=15, deadline=None)


def distance_and_half_width(crack: DrawnCrack, hw: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The definition, by brute force: every pixel against every segment, in float64."""
    ys, xs = np.mgrid[: hw[0], : hw[1]]
    pixels = np.stack([xs, ys], axis=-1).reshape(-1, 1, 2).astype(float)  # (p, 1, 2)
    starts, steps = crack.path_xy[:-1], np.diff(crack.path_xy, axis=0)  # (s, 2)
    along = np.clip(((pixels - starts) * steps).sum(-1) / (steps**2).sum(-1), 0, 1)  # (p, s)
    distances = np.linalg.norm(pixels - starts - along[..., None] * steps, axis=-1)
    nearest = distances.argmin(axis=1)
    rows = np.arange(len(nearest))
    widths = crack.widths_px[nearest] + along[rows, nearest] * np.diff(crack.widths_px)[nearest]
    return distances[rows, nearest].reshape(hw), (widths / 2).reshape(hw)


def ring(mask: np.ndarray) -> np.ndarray:
    """Pixels 3 to 6 px outside the mask."""
    near, far = (cv2.dilate(mask.astype(np.uint8), np.ones((n, n), np.uint8)) for n in (5, 13))
    return np.asarray((far > 0) & (near == 0))


# Drawings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("crack", [True, False])
def test_same_seed_same_bytes_and_another_seed_another_drawing(crack: bool) -> None:
    one, same, other = (draw_patch(seed, side_px=80, crack=crack) for seed in (5, 5, 6))
    assert one.pixels.tobytes() == same.pixels.tobytes()
    assert one.mask.tobytes() == same.mask.tobytes()
    assert [c.path_xy.tobytes() for c in one.cracks] == [c.path_xy.tobytes() for c in same.cracks]
    assert one.pixels.tobytes() != other.pixels.tobytes()


def test_drawing_does_not_touch_global_randomness() -> None:
    np.random.seed(3)
    before: Any = np.random.get_state()
    draw_photo(1, photo_hw=(60, 80))
    after: Any = np.random.get_state()
    assert after[1].tobytes() == before[1].tobytes()


def test_shapes_and_types() -> None:
    drawing = draw_photo(2, photo_hw=(90, 140), n_cracks=3)
    assert drawing.pixels.shape == (90, 140, 3)
    assert drawing.pixels.dtype == np.uint8
    assert drawing.mask.shape == (90, 140)
    assert drawing.mask.dtype == np.bool_
    assert len(drawing.cracks) >= 3
    for crack in drawing.cracks:
        assert crack.path_xy.shape == (len(crack.widths_px), 2)
        assert crack.path_xy.dtype == crack.widths_px.dtype == np.float64
        assert crack.widths_px.min() > 0
        assert 0 < crack.darkness <= 1


@few
@given(seeds)
def test_uncracked_is_empty_and_is_the_same_wall_without_its_crack(seed: int) -> None:
    bare, cracked = draw_patch(seed, side_px=96, crack=False), draw_patch(seed, side_px=96, width_px=3)
    assert bare.cracks == ()
    assert not bare.mask.any()
    far = np.ones_like(cracked.mask)
    for crack in cracked.cracks:
        around = DrawnCrack(crack.path_xy, np.full_like(crack.widths_px, 40.0), darkness=1.0)
        far &= crack_coverage(around, photo_hw=(96, 96)) == 0
    np.testing.assert_array_equal(bare.pixels[far], cracked.pixels[far])


@few
@given(seeds, st.sampled_from([1.5, 3.0, 6.0, 12.0]))
def test_crack_is_darker_than_its_surroundings(seed: int, width_px: float) -> None:
    drawing = draw_patch(seed, side_px=128, width_px=width_px)
    grey = drawing.pixels.mean(axis=2)
    assert drawing.mask.sum() > 16
    assert grey[drawing.mask].mean() < 0.85 * grey[ring(drawing.mask)].mean()


def test_typical_width_is_the_width_asked_for() -> None:
    medians = [np.median(draw_patch(seed, width_px=6).cracks[0].widths_px) for seed in range(9)]
    assert 4.5 < np.median(medians) < 7.5


# Mask and coverage ------------------------------------------------------------------------------------------


@few
@given(seeds, st.floats(0.5, 14))
def test_mask_is_where_the_path_is_nearer_than_half_the_width(seed: int, width_px: float) -> None:
    drawing = draw_patch(seed, side_px=48, width_px=width_px)
    expected = np.zeros_like(drawing.mask)
    on_the_edge = np.zeros_like(drawing.mask)
    for crack in drawing.cracks:
        distance, half_width = distance_and_half_width(crack, drawing.mask.shape)
        expected |= distance < half_width
        on_the_edge |= np.abs(distance - half_width) < 1e-4  # where float32 may decide otherwise
    np.testing.assert_array_equal(drawing.mask | on_the_edge, expected | on_the_edge)


@few
@given(seeds)
def test_nothing_is_masked_far_from_every_path(seed: int) -> None:
    drawing = draw_photo(seed, photo_hw=(60, 80), n_cracks=2)
    far = np.ones_like(drawing.mask)
    for crack in drawing.cracks:
        distance, _ = distance_and_half_width(crack, drawing.mask.shape)
        far &= distance > crack.widths_px.max() / 2 + 1
    assert not drawing.mask[far].any()


def test_darkness_in_the_pixels_grows_with_the_width() -> None:
    darkness = []
    for width_px in (2.0, 4.0, 8.0):
        lost = 0.0
        for seed in range(6):
            bare = draw_patch(seed, side_px=128, crack=False).pixels.mean(axis=2)
            drawing = draw_patch(seed, side_px=128, width_px=width_px)
            area = sum(crack_coverage(crack, photo_hw=(128, 128)).sum() for crack in drawing.cracks)
            lost += float(((bare - drawing.pixels.mean(axis=2)) / np.maximum(bare, 1)).sum() / area)
        darkness.append(lost / 6)
    # Light lost per area of opening: a deep opening loses nearly all, whatever its width.
    assert max(darkness) < 1.1
    assert min(darkness) > 0.55
    assert max(darkness) / min(darkness) < 1.35


# Data sets --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def labels_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn") / "walls"
    return draw_dataset(folder, n_photos=8, patches_per_photo=12, side_px=64, seed=4)


def test_table_agrees_with_the_folders_and_every_file_is_readable(labels_csv: Path) -> None:
    folder = labels_csv.parent
    with labels_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "photo"]
    on_disk = {path.relative_to(folder).as_posix() for path in folder.glob("*/*.jpg")}
    assert {row["path"] for row in rows} == on_disk
    assert len(rows) == len(on_disk)
    for row in rows:
        assert row["path"].startswith(f"{row['label']}/{row['photo']}-")
        assert read_pixels(folder / row["path"]).shape == (64, 64, 3)


def test_both_labels_on_several_photos_and_in_balance(labels_csv: Path) -> None:
    labels_of: dict[str, set[str]] = defaultdict(set)
    with labels_csv.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        labels_of[row["photo"]].add(row["label"])
    assert set(labels_of) == {f"photo-{number:02d}" for number in range(8)}
    assert sum(labels == {"crack", "uncracked"} for labels in labels_of.values()) >= 4
    assert 0.35 < np.mean([row["label"] == "crack" for row in rows]) < 0.65


def test_dataset_repeats_itself_to_the_byte_and_differs_by_seed(tmp_path: Path) -> None:
    def contents(name: str, seed: int) -> dict[str, bytes]:
        folder = draw_dataset(tmp_path / name, n_photos=2, patches_per_photo=4, side_px=48, seed=seed).parent
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    assert contents("one", 1) == contents("again", 1)
    assert contents("other", 2) != contents("one-more", 1)


def test_dataset_is_not_mixed_with_an_older_one(labels_csv: Path) -> None:
    with pytest.raises(OutputError, match="already holds crack"):
        draw_dataset(labels_csv.parent, n_photos=1)


# Refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda _: draw_patch(-1), "seed is -1; it must be an integer from 0."),
        (lambda _: draw_patch(0, side_px=15), "side_px is 15; it must be at least 16."),
        (lambda _: draw_patch(0, width_px=0), "width_px is 0; it must be above 0."),
        (lambda _: draw_patch(0, width_px=float("nan")), "width_px is nan; it must be above 0."),
        (lambda _: draw_photo(0, n_cracks=-2), "n_cracks is -2; it must be 0 or more."),
        (lambda _: draw_photo(0, photo_hw=(8, 90)), "photo_hw is (8, 90); it must be sides of at least 16."),
        (
            lambda _: draw_photo(0, widths_px=(4, 2)),
            "widths_px is (4, 2); it must be (low, high), 0 < low <= high.",
        ),
        (lambda folder: draw_dataset(folder, n_photos=0), "n_photos is 0; it must be at least 1."),
        (
            lambda folder: draw_dataset(folder, patches_per_photo=0),
            "patches_per_photo is 0; it must be at least 1.",
        ),
        (lambda folder: draw_dataset(folder, side_px=3), "side_px is 3; it must be at least 16."),
    ],
)
def test_bad_arguments_are_refused_with_value_and_remedy(call: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        call(tmp_path)
    assert str(caught.value) == message
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("photo_hw", [(16, 16), (16, 300), (301, 17)])
def test_small_and_narrow_photos_can_be_drawn(photo_hw: tuple[int, int]) -> None:
    for seed in range(6):
        drawing: Drawing = draw_photo(seed, photo_hw=photo_hw, n_cracks=2)
        assert drawing.pixels.shape == (*photo_hw, 3)
