"""The one resize: shorter side exact, aspect kept, nothing else touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.walls import draw_patch
from crackscope.errors import ImageError
from crackscope.model.preprocessing import RESIZE_RULE, patch_hw, resize_patch, resize_photo

SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(height=SIDES, width=SIDES, patch_px=st.integers(1, 640))
def test_the_shorter_side_is_exact_and_the_aspect_is_kept(height: int, width: int, patch_px: int) -> None:
    if max(height, width) > 64 * min(height, width):
        with pytest.raises(ImageError, match="a strip, not a patch"):
            patch_hw((height, width), patch_px=patch_px)
        return
    found = patch_hw((height, width), patch_px=patch_px)
    assert min(found) == patch_px
    assert abs(max(found) - patch_px * max(height, width) / min(height, width)) <= 0.5 + 1e-6
    assert found == patch_hw((width, height), patch_px=patch_px)[::-1]
    assert patch_hw(found, patch_px=patch_px) == found


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 90), width=st.integers(1, 90), patch_px=st.integers(1, 64))
def test_the_array_has_that_size(height: int, width: int, patch_px: int) -> None:
    pixels = np.full((height, width, 3), (10, 200, 90), np.uint8)
    if max(height, width) > 64 * min(height, width):
        return
    found = resize_patch(pixels, patch_px=patch_px)
    assert found.shape == (*patch_hw((height, width), patch_px=patch_px), 3)
    assert found.dtype == np.uint8
    assert (found == (10, 200, 90)).all()


@pytest.mark.parametrize(
    ("patch_px", "way"), [(227, "LINEAR"), (300, "LINEAR"), (160, "LINEAR"), (114, "LINEAR"), (113, "AREA")]
)
def test_it_is_opencv_s_as_the_rule_says(patch_px: int, way: str) -> None:
    pixels = draw_patch(1).pixels
    assert f"INTER_{way}" in RESIZE_RULE
    expected = cv2.resize(pixels, (patch_px, patch_px), interpolation=getattr(cv2, f"INTER_{way}"))
    assert (resize_patch(pixels, patch_px=patch_px) == expected).all()


@pytest.mark.parametrize("side", [200, 203, 300, 400])
def test_shrinking_averages_over_all_pixels(side: int) -> None:
    """Half of the pixels black, half white, in a chequer: no pixel may be skipped, or the grey would be lost."""
    chequer = np.indices((side, side)).sum(0) % 2 * 255
    found = resize_patch(np.repeat(chequer[:, :, None], 3, 2).astype(np.uint8), patch_px=side // 3)
    assert abs(float(found.mean()) - 127.5) < 3
    assert found.std() < 30


def test_views_turned_and_read_only_arrays_give_the_same() -> None:
    pixels = draw_patch(2, side_px=96).pixels
    for view in (pixels[::-1], pixels[:, ::-1], pixels.transpose(1, 0, 2), pixels[::2, ::3], pixels[:, :, ::-1]):
        assert (resize_patch(view, patch_px=24) == resize_patch(view.copy(), patch_px=24)).all()
    fixed = pixels.copy()
    fixed.flags.writeable = False
    assert (resize_patch(fixed, patch_px=24) == resize_patch(pixels, patch_px=24)).all()


def test_a_patch_of_that_size_is_left_alone() -> None:
    pixels = draw_patch(2, side_px=64).pixels
    before = pixels.copy()
    assert resize_patch(pixels, patch_px=64) is pixels
    resize_patch(pixels, patch_px=30)
    assert (pixels == before).all()


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 120), width=st.integers(1, 120), scale=st.floats(0.001, 3))
def test_a_photo_keeps_its_aspect_to_the_pixel(height: int, width: int, scale: float) -> None:
    pixels = np.full((height, width, 3), (10, 200, 90), np.uint8)
    found = resize_photo(pixels, scale)
    assert found.shape == (max(1, round(height * scale)), max(1, round(width * scale)), 3)
    assert found.dtype == np.uint8
    assert (found == (10, 200, 90)).all()


@pytest.mark.parametrize(("scale", "way"), [(2.0, "LINEAR"), (0.7, "LINEAR"), (0.5, "LINEAR"), (0.49, "AREA")])
def test_a_photo_is_resized_as_the_rule_says(scale: float, way: str) -> None:
    pixels = draw_patch(1, side_px=100).pixels
    size = (round(100 * scale),) * 2
    expected = cv2.resize(pixels, size, interpolation=getattr(cv2, f"INTER_{way}"))
    assert (resize_photo(pixels, scale) == expected).all()


@settings(max_examples=60, deadline=None)
@given(height=st.integers(16, 200), width=st.integers(16, 200), patch_px=st.integers(16, 200))
def test_an_image_of_patch_size_becomes_the_patch(height: int, width: int, patch_px: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = resize_photo(pixels, patch_px / min(height, width))
    assert (found == resize_patch(pixels, patch_px=patch_px)).all()


@pytest.mark.parametrize(("patch_px", "scale"), [(160, 0.625), (256, 1.0), (128, 0.5), (64, 0.25), (512, 2.0)])
def test_a_patch_inside_a_photo_gets_the_pixels_that_it_would_get_alone(patch_px: int, scale: float) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (512, 768, 3), dtype=np.uint8)
    alone = resize_patch(photo[128:384, 256:512], patch_px=patch_px)
    top, left = round(128 * scale), round(256 * scale)
    inside = resize_photo(photo, scale)[top : top + patch_px, left : left + patch_px]
    rim = 1 if scale > 1 else 0  # between its outermost pixels and their neighbours
    middle = slice(rim, patch_px - rim)
    assert (inside[middle, middle] == alone[middle, middle]).all()


def test_a_photo_of_that_size_is_left_alone() -> None:
    pixels = draw_patch(2, side_px=64).pixels
    before = pixels.copy()
    assert resize_photo(pixels, 1.0) is pixels
    assert resize_photo(pixels, 1.001) is pixels
    resize_photo(pixels, 0.3)
    assert (pixels == before).all()


@pytest.mark.parametrize("scale", [500.0, 1e9, 1e308])
def test_a_photo_that_would_fill_the_memory_is_refused(scale: float) -> None:
    with pytest.raises(ImageError, match=r"100×50 px become .*, which is too large; scan it at a smaller scale"):
        resize_photo(np.zeros((50, 100, 3), np.uint8), scale)


def test_a_photo_that_is_large_already_may_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crackscope.model.preprocessing._LARGEST_PHOTO_PX", 1000)
    pixels = np.zeros((50, 100, 3), np.uint8)
    assert resize_photo(pixels, 1.0) is pixels
    assert resize_photo(pixels, 0.9).shape == (45, 90, 3)
    with pytest.raises(ImageError, match="100×50 px become 110×55"):
        resize_photo(pixels, 1.1)


@pytest.mark.parametrize("source_hw", [(0, 5), (5, 0), (1, 60_000), (65, 1)])
def test_a_strip_is_refused_before_it_takes_gigabytes(source_hw: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{source_hw[1]}×{source_hw[0]} px"):
        resize_patch(np.zeros((*source_hw, 3), np.uint8), patch_px=160)
