"""Labelled photos that are scanned and, where they have a mask, traced."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest

import crackscope
from crackscope.data.labelled_photos import photos_by_grid, photos_by_masks
from crackscope.files.images import read_image
from crackscope.geometry.cracks import Crack
from crackscope.measuring.lines import line_of_paths
from crackscope.measuring.scanned_photos import ScannedPhoto, scan_labelled
from crackscope.scanning.loaded_model import AnyModel, load
from crackscope.scanning.tracing import cracks_in
from shared.models import without_fine_map


def draw(folder: Path, *, photo_hw: tuple[int, int] = (240, 320), n: int = 1) -> tuple[Path, Path]:
    """Cracked walls and their masks."""
    photos, masks = folder / "photos", folder / "masks"
    for place in (photos, masks):
        place.mkdir()
    for seed in range(n):
        wall = crackscope.draw_photo(seed, photo_hw=photo_hw, n_cracks=1, widths_px=(3, 5))
        cv2.imwrite(str(photos / f"{seed}.png"), wall.pixels[..., ::-1])
        cv2.imwrite(str(masks / f"{seed}.png"), 255 * wall.mask.astype(np.uint8))
    return photos, masks


def scanned(folders: tuple[Path, Path], model: AnyModel) -> list[ScannedPhoto]:
    found, refused = scan_labelled(photos_by_masks(*folders, tile_px=64), load(model, threads=1))
    assert not refused
    return found


def test_a_model_without_a_fine_map_traces_cracks_by_ridges(tmp_path: Path) -> None:
    folders = draw(tmp_path)
    model = without_fine_map(crackscope.read_bundle())
    (one,) = scanned(folders, model)
    assert one.lines is None
    assert one.traced is not None
    assert one.traced.counts(4).f1 > 0.8
    tracing = crackscope.trace(read_image(folders[0] / "0.png").pixels, model)
    assert tracing.traced_by == "ridges"
    assert one.cracks is not None
    assert [crack.id for crack in one.cracks] == [crack.id for crack in tracing.cracks]


def test_lines_that_look_like_joints_are_kept_and_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def with_a_joint(*given: Any) -> tuple[Crack, ...]:
        cracks = cracks_in(*given)
        across = np.array([[0.0, 20.0], [319.0, 20.0]])
        return (*cracks, replace(cracks[0], path_xy=(across,), joint_like=True))

    monkeypatch.setattr("crackscope.measuring.scanned_photos.cracks_in", with_a_joint)
    (one,) = scanned(draw(tmp_path), None)
    assert one.cracks is not None
    assert one.traced is not None
    assert [crack.joint_like for crack in one.cracks].count(True) == 1
    paths = [path for crack in one.cracks if not crack.joint_like for path in crack.path_xy]
    assert paths
    drawn = line_of_paths(paths, (240, 320))
    assert one.traced.found_xy.tolist() == np.argwhere(drawn)[:, ::-1].tolist()


def test_a_fine_map_guides_the_tracing_and_is_compared_too(tmp_path: Path, fine_file: Path) -> None:
    first, second = scanned(draw(tmp_path, n=2), fine_file)
    for one in (first, second):
        assert one.lines is not None
        assert one.traced is not None
        assert one.traced.bins is None
        assert one.lines.bins is not None
        assert one.map.fine is None
        assert one.traced.true_xy.tolist() == one.lines.true_xy.tolist()
        assert one.traced.factor == one.lines.factor


def test_a_photo_smaller_than_tracing_asks_for_is_judged(tmp_path: Path, bundle_file: Path, fine_file: Path) -> None:
    folders = draw(tmp_path, photo_hw=(40, 52))
    for model in (bundle_file, fine_file):
        assert scanned(folders, model)[0].traced is not None


def test_photos_without_masks_are_not_traced(
    tmp_path: Path, bundle_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> NoReturn:
        raise AssertionError("traced")

    photos, masks = draw(tmp_path)
    (tmp_path / "grid.csv").write_text("photo,row,col,label,rows,cols\n0,0,0,crack,3,4\n0,0,1,uncracked,3,4\n")
    model = load(bundle_file, threads=1)
    monkeypatch.setattr("crackscope.measuring.scanned_photos.cracks_in", never)
    monkeypatch.setattr("crackscope.measuring.scanned_photos.guide_of", never)
    ((one,), _) = scan_labelled(photos_by_grid(photos, tmp_path / "grid.csv"), model)
    assert (one.lines, one.traced, one.cracks) == (None, None, None)
    with pytest.raises(AssertionError, match="traced"):
        scan_labelled(photos_by_masks(photos, masks, tile_px=64), model)
