"""A mask is believed only if it shows few cracks in one clear colour; a folder of others stops the run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as pillow

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_masks
from crackscope.data.masks import read_mask
from crackscope.errors import DataError, ImageError
from crackscope.files.inputs import ImageFile
from shared.pictures import noise, save
from shared.tiffs import tiff

HW = (96, 128)
CRACK = np.zeros(HW, bool)
CRACK[:12, :12] = True
CRACK[40:44] = True
LEVELS = np.where(CRACK, np.uint8(255), np.uint8(0))
INVERTED = 255 - LEVELS
WHITE, BLACK = np.full_like(LEVELS, 255), np.zeros_like(LEVELS)


def rgba(colours: np.ndarray, alpha: np.ndarray) -> pillow.Image:
    return pillow.fromarray(np.dstack([np.broadcast_to(colours, (*HW, 3)).astype(np.uint8), alpha]))


def palette(*colours: tuple[int, int, int]) -> pillow.Image:
    """Palette 0 where there is no crack, and 1 where there is."""
    image = pillow.fromarray(CRACK.astype(np.uint8), "P")
    image.putpalette([level for colour in colours for level in colour])
    return image


READABLE: dict[str, pillow.Image] = {
    "grey": pillow.fromarray(LEVELS),
    "RGB": pillow.fromarray(np.dstack([LEVELS] * 3)),
    "red on black": pillow.fromarray(np.dstack([LEVELS, BLACK, BLACK])),
    "one bit": pillow.fromarray(LEVELS).convert("1"),
    "palette of black and white": palette((0, 0, 0), (255, 255, 255)),
    "palette of black and red": palette((0, 0, 0), (128, 0, 0)),
    "RGBA that is opaque": rgba(LEVELS[:, :, None], WHITE),
    "grey and alpha that is opaque": pillow.merge("LA", [pillow.fromarray(LEVELS), pillow.fromarray(WHITE)]),
    "16 bits": pillow.fromarray(LEVELS.astype(np.uint16) * 257),
}
SEE_THROUGH = "transparent in part"
REFUSED: dict[str, tuple[pillow.Image, str]] = {
    "alpha alone, on black": (rgba(np.zeros(3), LEVELS), SEE_THROUGH),
    "alpha alone, on white": (rgba(np.full(3, 255), LEVELS), SEE_THROUGH),
    "alpha alone, inverted": (rgba(np.zeros(3), INVERTED), SEE_THROUGH),
    "red lines on nothing": (rgba(np.dstack([LEVELS, BLACK, BLACK]), LEVELS), SEE_THROUGH),
    "grey and alpha": (pillow.merge("LA", [pillow.fromarray(BLACK), pillow.fromarray(LEVELS)]), SEE_THROUGH),
    "alpha of nothing": (rgba(LEVELS[:, :, None], BLACK), SEE_THROUGH),
    "half transparent": (rgba(LEVELS[:, :, None], np.full_like(LEVELS, 128)), SEE_THROUGH),
    "values of 0 and 1": (pillow.fromarray(CRACK.astype(np.uint8)), "has no value above 1; cracks must be white"),
    "palette of black and dark": (palette((0, 0, 0), (0, 1, 1)), "has no value above 1"),
    "values of 0 and 100": (pillow.fromarray(LEVELS // 255 * 100), "has no value above 100"),
    "a photo": (pillow.fromarray(noise(HW)), "like a photo"),
}


def written(folder: Path, image: pillow.Image) -> ImageFile:
    image.save(folder / "a.png")
    return ImageFile(str(folder / "a.png"), str(folder / "a.png"))


@pytest.mark.parametrize("name", READABLE)
def test_a_mask_of_any_clear_kind_is_read(name: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(written(tmp_path, READABLE[name]), HW), CRACK)


@pytest.mark.parametrize("name", ["grey", "RGB", "one bit", "palette of black and white", "16 bits"])
def test_an_inverted_mask_is_read_if_that_is_said(name: str, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_mask(written(tmp_path, READABLE[name]), HW, inverted=True), ~CRACK)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("inverted", [False, True])
def test_a_mask_that_is_not_clear_is_refused(name: str, inverted: bool, tmp_path: Path) -> None:
    image, said = REFUSED[name]
    file = written(tmp_path, image)
    with pytest.raises(ImageError) as caught:
        read_mask(file, HW, inverted=inverted)
    assert said in str(caught.value)
    assert file.path in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("planar", [False, True])
def test_a_tiff_with_an_alpha_channel_is_refused(planar: bool, tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff(np.dstack([BLACK, BLACK, BLACK, LEVELS]), planar=planar))
    with pytest.raises(ImageError, match=SEE_THROUGH):
        read_mask(ImageFile("a.tif", str(tmp_path / "a.tif")), HW)


# Folders


def folder_of(place: Path, *masks: np.ndarray) -> tuple[Path, Path]:
    for number, mask in enumerate(masks):
        save(place / "photos" / f"{number}.png", noise(HW, number))
        save(place / "masks" / f"{number}.png", mask)
    return place / "photos", place / "masks"


def labels_of(photos: list[LabelledPhoto]) -> list[list[int]]:
    return [photo.labels.tolist() for photo in photos]


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        ([WHITE], "1 of 1 masks are mostly white"),
        ([WHITE] * 3, "3 of 3 masks are mostly white"),
        ([INVERTED] * 3, "3 of 3 masks are mostly white"),
        ([INVERTED, WHITE, LEVELS], "2 of 3 masks are mostly white"),
        ([INVERTED, INVERTED, BLACK], "2 of 3 masks are mostly white"),
    ],
)
def test_masks_that_are_white_or_inverted_stop_the_run(tmp_path: Path, masks: list[np.ndarray], said: str) -> None:
    photos, place = folder_of(tmp_path, *masks)
    with pytest.raises(DataError) as caught:
        photos_by_masks(photos, place, tile_px=64)
    text = str(caught.value)
    assert text.startswith(f"{place}: {said} ({place}/")
    assert "--masks-inverted (masks_inverted=True in Python)" in text
    assert "\n" not in text


@pytest.mark.parametrize("masks", [[BLACK], [BLACK] * 3])
@pytest.mark.parametrize("inverted", [False, True])
def test_masks_without_any_crack_stop_the_run(tmp_path: Path, masks: list[np.ndarray], inverted: bool) -> None:
    photos, place = folder_of(tmp_path, *(255 - mask if inverted else mask for mask in masks))
    colour = "black" if inverted else "white"
    with pytest.raises(DataError, match=rf"none of the {len(masks)} masks has a {colour} pixel .*0\.png: 0 %"):
        photos_by_masks(photos, place, tile_px=64, inverted=inverted)


def test_inverted_masks_give_the_labels_of_the_right_ones(tmp_path: Path) -> None:
    right = photos_by_masks(*folder_of(tmp_path / "right", LEVELS, BLACK, LEVELS), tile_px=64)
    turned = photos_by_masks(*folder_of(tmp_path / "turned", INVERTED, WHITE, INVERTED), tile_px=64, inverted=True)
    assert labels_of(turned) == labels_of(right)
    assert any(map(any, labels_of(right)))


def test_right_masks_that_are_said_to_be_inverted_stop_the_run(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"mostly black .*Leave --masks-inverted \(masks_inverted in Python\) out"):
        photos_by_masks(*folder_of(tmp_path, LEVELS, BLACK, LEVELS), tile_px=64, inverted=True)


@pytest.mark.parametrize("odd", [WHITE, INVERTED])
def test_one_odd_mask_among_right_ones_refuses_its_photo_alone(tmp_path: Path, odd: np.ndarray) -> None:
    found = photos_by_masks(*folder_of(tmp_path, LEVELS, odd, LEVELS, BLACK), tile_px=64)
    for number, photo in enumerate(found):
        if number == 1:
            with pytest.raises(ImageError, match=r"1\.png is white in \d+ % of its pixels; cracks must be white"):
                photo.load()
        else:
            assert photo.load()[0].shape == (*HW, 3)


@pytest.mark.parametrize(
    ("draw", "said"),
    [
        (lambda: rgba(np.zeros(3), LEVELS), SEE_THROUGH),
        (lambda: pillow.fromarray(CRACK.astype(np.uint8)), "has no value above 1"),
    ],
)
def test_a_folder_of_masks_of_which_none_is_clear_stops_the_evaluation(
    draw: Callable[[], pillow.Image], said: str, tmp_path: Path
) -> None:
    photos, masks = folder_of(tmp_path, LEVELS, LEVELS)
    for file in masks.iterdir():
        draw().save(file)
    with pytest.raises(DataError, match=said):
        crackscope.evaluate_photos(photos, masks=masks)


def test_masks_inverted_needs_masks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no masks are given"):
        crackscope.evaluate_photos(tmp_path, tiles=tmp_path / "grid.csv", masks_inverted=True)


def test_inverted_masks_are_judged_as_right_ones(tmp_path: Path) -> None:
    figures = []
    for turned in (False, True):
        photos, masks = folder_of(tmp_path / str(turned), *(255 - LEVELS if turned else LEVELS for _ in range(2)))
        found = crackscope.evaluate_photos(photos, masks=masks, masks_inverted=turned, n_resamples=20, threads=1)
        figures.append((found.tiles.labels.tolist(), found.tiles.probabilities.tolist()))
    assert figures[0] == figures[1]
