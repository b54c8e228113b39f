"""Sharpness is not texture: blur is told from smooth concrete, and what shows nothing from both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.arrays import UInt8Array
from crackscope.auditing.quality import NUMBERS, Quality, WatchedFiles, find_faults, quality_kind, quality_of
from crackscope.data.cache import Rows, rows_of
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.drawing.walls import draw_patch
from crackscope.model.focus import BLANK

BRIGHTEST, WHITE, CONTRAST, SHARPNESS, EVENNESS = range(len(NUMBERS))


def smooth_concrete(seed: int, side_px: int = 160) -> UInt8Array:
    """Slow clouds and the finest grain, as a camera gives plain concrete."""
    rng = np.random.default_rng(seed)
    clouds = cv2.GaussianBlur(rng.normal(0, 60, (side_px, side_px)), (0, 0), 12)
    grey = np.clip(160 + clouds + rng.normal(0, 2, clouds.shape), 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, axis=2)


def moved(pixels: UInt8Array, length: int) -> UInt8Array:
    return np.asarray(cv2.filter2D(pixels, -1, np.full((1, length), 1 / length, np.float32)), np.uint8)


def blurred(pixels: UInt8Array, sigma: float) -> UInt8Array:
    return np.asarray(cv2.GaussianBlur(pixels, (0, 0), sigma), np.uint8)


def quality(images: list[UInt8Array]) -> Quality:
    values = np.array([quality_of(pixels) for pixels in images], np.float32)
    return Quality(Rows(values, (b"",) * len(images)), (None,) * len(images))


@pytest.fixture(scope="module")
def walls() -> list[UInt8Array]:
    """Concrete with some texture: what has none shows nothing once it is blurred."""
    drawn = (draw_patch(seed, side_px=160, crack=bool(seed % 2)).pixels for seed in range(40))
    return [pixels for pixels in drawn if quality_of(pixels)[CONTRAST] > 8]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.tuples(st.integers(1, 90), st.integers(1, 90)))
def test_flips_and_turns_change_no_number(seed: int, hw: tuple[int, int]) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    expected = quality_of(pixels)
    for view in (pixels[:, ::-1], pixels[::-1], pixels.transpose(1, 0, 2)):
        np.testing.assert_allclose(quality_of(np.ascontiguousarray(view)), expected, rtol=1e-9)
    assert 0 <= expected[WHITE] <= 1
    assert 0 <= expected[EVENNESS] <= 1


def test_a_ramp_and_noise_are_the_ends_of_the_scale() -> None:
    ramp = np.repeat(np.arange(0, 240, 2, dtype=np.uint8)[None, :, None], 120, axis=0).repeat(3, axis=2)
    assert quality_of(ramp)[SHARPNESS] == pytest.approx(0.25)
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 1), dtype=np.uint8).repeat(3, axis=2)
    assert quality_of(noise)[SHARPNESS] == pytest.approx(1, abs=0.02)
    assert quality_of(noise)[EVENNESS] > 0.97


def test_smooth_concrete_is_sharp_and_textured_concrete_blurred_is_not(walls: list[UInt8Array]) -> None:
    smooth = [quality_of(smooth_concrete(seed))[SHARPNESS] for seed in range(8)]
    soft = [quality_of(blurred(pixels, 3))[SHARPNESS] for pixels in walls]
    assert min(smooth) > 0.5 > 0.29 > max(soft)


def test_blur_takes_sharpness_and_movement_takes_evenness(walls: list[UInt8Array]) -> None:
    for pixels in walls:
        left = [quality_of(blurred(pixels, sigma))[SHARPNESS] for sigma in (0.1, 1, 2, 4)]
        assert left == sorted(left, reverse=True)
        assert quality_of(moved(pixels, 27))[SHARPNESS] < quality_of(pixels)[SHARPNESS]
    evenness = [
        np.median([quality_of(view(pixels))[EVENNESS] for pixels in walls])
        for view in (np.copy, lambda p: moved(p, 27))
    ]
    assert evenness[1] < 0.9 * evenness[0]


def test_each_fault_is_found_and_is_of_one_kind(walls: list[UInt8Array]) -> None:
    smooth = [smooth_concrete(seed) for seed in range(20)]
    faulty = [
        np.full((160, 160, 3), 90, np.uint8),
        np.asarray(walls[0] * 0.2, np.uint8),
        np.asarray(np.minimum(walls[1] + 255.0 - np.median(walls[1].min(2)), 255), np.uint8),
        blurred(walls[2], 3),
        moved(walls[3], 33),
    ]
    faults = find_faults(quality([*walls, *smooth, *faulty]))
    n = len(walls) + len(smooth)
    kinds = np.stack([faults.blank, faults.dark, faults.white, faults.blurred]) > 0
    assert not kinds[:, :n].any()
    assert kinds[:, n:].argmax(0).tolist() == [0, 1, 2, 3, 3]
    assert (kinds[:, n:].sum(0) == 1).all()


def test_a_set_that_is_soft_or_dark_as_a_whole_is_not_faulty_wholesale(walls: list[UInt8Array]) -> None:
    soft = find_faults(quality([blurred(pixels, 3) for pixels in walls]))
    assert (soft.blurred > 0).sum() <= 2
    dark = find_faults(quality([np.asarray(pixels * 0.25, np.uint8) for pixels in walls]))
    assert (dark.dark > 0).sum() <= 2


def test_a_photo_is_judged_at_the_size_of_a_patch(walls: list[UInt8Array]) -> None:
    large = np.asarray(cv2.resize(walls[0], None, fx=10, fy=10, interpolation=cv2.INTER_CUBIC), np.uint8)
    assert quality_of(large)[SHARPNESS] == pytest.approx(
        quality_of(np.asarray(cv2.resize(walls[0], (256, 256)), np.uint8))[SHARPNESS], abs=0.05
    )
    tiny = quality_of(np.full((3, 5, 3), 7, np.uint8))
    assert (tiny[CONTRAST] < BLANK, tiny[SHARPNESS], tiny[EVENNESS]) == (True, 1.0, 1.0)


def test_numbers_are_cached_forms_are_read_and_what_cannot_be_read_has_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "crack"
    folder.mkdir()
    cv2.imwrite(str(folder / "a.png"), draw_patch(0, side_px=64).pixels)
    cv2.imwrite(str(folder / "b.jpg"), draw_patch(1, side_px=48).pixels[:, :, 0])
    (folder / "c.jpg").write_bytes(b"no image")
    index = read_patches(tmp_path)

    def measure_quality(index: PatchIndex, threads: int | None = None) -> Quality:
        files = WatchedFiles(index.files)
        rows = rows_of(replace(index, files=files), quality_kind(), threads=threads)
        return Quality(rows, tuple(map(files.forms.get, index.paths)))

    first, second = measure_quality(index), measure_quality(index, threads=2)
    assert (first.rows.n_computed, second.rows.n_computed) == (2, 0)
    np.testing.assert_array_equal(first.rows.values, second.rows.values)
    assert [form and (form.height_px, form.width_px, form.mode) for form in second.forms] == [
        (64, 64, "RGB"),
        (48, 48, "L"),
        None,
    ]
    faults = find_faults(second)
    assert faults.blank[2] == faults.dark[2] == faults.blurred[2] == 0
    nothing = measure_quality(index.select([Patch("crack/c.jpg", "crack")]))
    assert not find_faults(nothing).blank.any()
