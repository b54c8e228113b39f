"""Crops for the training of lines: the truth of a crop lies where its pixels show the line."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from line_material import (
    IGNORED,
    LINE,
    OTHER,
    STRIDE,
    TracedPhoto,
    read_traced,
    segments_of,
    sources_kept_back,
    traced_crop,
    truth_of,
    view_at,
)

HW = 150, 230


def photo_of_a_line() -> tuple[np.ndarray, np.ndarray]:
    """A white photo with a bent dark line of 5 px, and the pixels of its centre."""
    photo, centre = np.full((*HW, 3), 255, np.uint8), np.zeros(HW, np.uint8)
    points = np.array([[20, 130], [90, 60], [150, 100], [215, 30]], np.int32)
    cv2.polylines(photo, [points], False, (0, 0, 0), 5)
    cv2.polylines(centre, [points], False, 1, 1)
    return photo, centre


@given(st.integers(0, 2**31), st.floats(0.5, 2.2))
def test_the_line_lies_on_the_dark_pixels_of_any_view(seed: int, scale: float) -> None:
    photo, centre = photo_of_a_line()
    view = view_at(HW, np.random.default_rng(seed), scale=scale, side=128)
    seen, line = view.pixels(photo), view.line(segments_of(centre > 0), HW)
    darkest = seen[..., 0].reshape(64, STRIDE, 64, STRIDE).min((1, 3))
    assert not line.any() or (darkest[line] < 160).mean() > 0.97
    dark = cv2.erode((seen[..., 0] < 60).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    dark[:16], dark[-16:], dark[:, :16], dark[:, -16:] = False, False, False, False  # their line may lie outside
    near = cv2.dilate(line.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert near[np.nonzero(dark)[0] // STRIDE, np.nonzero(dark)[1] // STRIDE].all()


def test_neighbours_of_a_line_count_as_line_and_a_ring_around_them_is_ignored() -> None:
    line = np.zeros((11, 11), bool)
    line[5] = True
    truth = truth_of(line)
    assert truth[:, 0].tolist() == [OTHER, OTHER, IGNORED, IGNORED, LINE, LINE, LINE, IGNORED, IGNORED, OTHER, OTHER]


def test_what_a_coarse_mask_covers_is_ignored_off_its_line() -> None:
    line, area = np.zeros((9, 9), bool), np.zeros((9, 9), bool)
    area[1:3, 1:3] = True
    assert (truth_of(line, area)[1:3, 1:3] == IGNORED).all()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photo, centre = photo_of_a_line()
    for kind in ("real", "drawn"):
        for part in ("images", "masks"):
            (tmp_path / kind / part).mkdir(parents=True)
        for name in ("a", "b", "c"):
            cv2.imwrite(str(tmp_path / kind / "images" / f"{name}.jpg"), photo)
            cv2.imwrite(str(tmp_path / kind / "masks" / f"{name}.png"), cv2.dilate(centre, np.ones((5, 5))) * 255)
    rows = "traced/real,a.jpg,s1,train\ntraced/real,b.jpg,s2,train\ntraced/real,c.jpg,s3,test\n"
    (tmp_path / "parts.csv").write_text("set,file,source,part\n" + rows)
    return tmp_path


def test_photos_of_other_parts_and_sources_kept_back_are_not_read(folder: Path) -> None:
    parts = folder / "parts.csv"
    assert sources_kept_back(parts) == {"s1"}
    found = read_traced(folder, ["real", "drawn"], parts, part="train", without=sources_kept_back(parts))
    assert [(photo.kind, photo.image.stem) for photo in found] == [
        ("real", "b"), ("drawn", "a"), ("drawn", "b"), ("drawn", "c"),
    ]  # fmt: skip


def test_a_photo_that_the_list_does_not_name_is_refused(folder: Path) -> None:
    (folder / "parts.csv").write_text("set,file,source,part\ntraced/real,a.jpg,s1,train\n")
    with pytest.raises(SystemExit, match=r"b\.jpg"):
        read_traced(folder, ["real"], folder / "parts.csv", part="train")


def test_a_crop_shows_the_line_that_its_truth_tells(folder: Path) -> None:
    photo = TracedPhoto("real", folder / "real/images/a.jpg", folder / "real/masks/a.png", "s1")
    pixels, truth = traced_crop(photo, np.random.default_rng(3), scales=(1, 1.5), side=96)
    assert pixels.shape == (96, 96, 3)
    assert truth.shape == (48, 48)
    dark = pixels[..., 0].reshape(48, STRIDE, 48, STRIDE).mean((1, 3))
    assert dark[truth == LINE].mean() < 100 < 240 < dark[truth == OTHER].mean()
