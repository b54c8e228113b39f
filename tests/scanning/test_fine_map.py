"""The fine map of a scan: where it is computed, what its cells cover, and how it is drawn, kept and refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crackscope
from crackscope.drawing.walls import draw_photo
from crackscope.errors import BundleError, DataError
from crackscope.model.bundle import read_bundle, write_model
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.fine_map import FineMap
from crackscope.scanning.loaded_model import Model
from shared.models import fine_bundle
from shared.pictures import noise


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle whose crack map has regions in some parts of a drawn photo."""
    path = tmp_path_factory.mktemp("fine") / "wide.onnx"
    write_model(fine_bundle(wide=True, factor=4.0), path)
    return path


@pytest.fixture(scope="module")
def model(place: Path) -> Model:
    return Model(read_bundle(place), threads=1)


@pytest.fixture(scope="module")
def photo() -> Any:
    return draw_photo(2, photo_hw=(330, 500), n_cracks=1).pixels


def fine_of(model: Model, photo: Any, **wishes: Any) -> FineMap:
    found = model.scan(photo, **wishes).map
    assert found is not None
    assert found.fine is not None
    return found.fine


def test_it_is_there_only_if_it_is_asked_for(model: Model, photo: Any) -> None:
    plain, fine = model.scan(photo), model.scan(photo, fine=True)
    assert plain.map is not None
    assert plain.map.fine is None
    assert fine == plain  # comparing results does not compare their maps
    assert fine.map is not None
    np.testing.assert_allclose(fine.map.logits, plain.map.logits, atol=1e-5)


def test_it_is_that_of_the_photo_at_once_in_regions_and_0_elsewhere(model: Model, place: Path, photo: Any) -> None:
    result = model.scan(photo, fine=True, network_scale=1.0)
    assert result.map is not None
    assert result.map.fine is not None
    fires = result.map.fires
    assert 0 < fires.mean() < 1
    expected = onnxruntime.InferenceSession(place.read_bytes()).run(["fine_map"], {"pixels": photo[None]})[0][0, 0]
    np.testing.assert_allclose(result.map.fine.probability, expected * np.kron(fires, np.ones((16, 16))), atol=1e-5)
    everywhere = fine_of(model, photo, fine="everywhere", network_scale=1.0)
    np.testing.assert_allclose(everywhere.probability, expected, atol=1e-5)
    assert everywhere.everywhere
    assert not result.map.fine.everywhere
    assert everywhere.threshold == 0.5


@settings(deadline=None, max_examples=15)
@given(st.integers(1, 3), st.integers(20_000, 200_000))
def test_neither_threads_nor_windows_change_it(
    place: Path, model: Model, photo: Any, threads: int, max_pixels: int
) -> None:
    other = Model(read_bundle(place), threads=threads, max_pixels=max_pixels)
    np.testing.assert_allclose(
        fine_of(other, photo, fine=True).probability, fine_of(model, photo, fine=True).probability, atol=1e-5
    )


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_cells_are_given_in_pixels_of_the_photo(model: Model, photo: Any, scale: float) -> None:
    fine = fine_of(model, photo, fine=True, network_scale=scale)
    seen = round(330 * scale), round(500 * scale)
    assert fine.cell_px == pytest.approx((2 * 330 / seen[0], 2 * 500 / seen[1]))
    height, width = fine.probability.shape
    assert (height - 16) * fine.cell_px[0] < 330 <= height * fine.cell_px[0] + 1e-9
    assert (width - 16) * fine.cell_px[1] < 500 <= width * fine.cell_px[1] + 1e-9
    x, y = fine.origin_xy  # the middle of the first cell, where 0 is the middle of the first pixel
    assert (x + 0.5, y + 0.5) == pytest.approx((fine.cell_px[1] / 2, fine.cell_px[0] / 2))


def test_a_patch_has_one_too(model: Model) -> None:
    patch = noise((96, 96))
    result = model.scan(patch, fine="everywhere")
    assert result.unit == "patch"
    assert result.map is not None
    assert result.map.fine is not None
    assert result.map.fine.probability.shape == (32, 32)


def test_a_wish_that_cannot_be_met_is_refused(model: Model, bundle_file: Path, photo: Any) -> None:
    plain = Model(read_bundle(bundle_file), threads=1)
    with pytest.raises(BundleError, match=r"tiny: the model has no fine map\. Scan without one, or"):
        plain.scan(photo, fine=True)
    with pytest.raises(BundleError, match="no fine map"):
        crackscope.scan([photo], plain, fine="everywhere")
    wrong: Any = "nowhere"
    with pytest.raises(DataError, match="fine is 'nowhere'; it must be True, False or 'everywhere'"):
        model.scan(photo, fine=wrong)


def test_a_stream_of_photos_gets_them(model: Model, photo: Any) -> None:
    (found,) = crackscope.scan([photo], model, fine=True)
    assert found.map is not None
    assert found.map.fine is not None


def test_it_is_kept_in_the_file_of_the_map(model: Model, photo: Any, tmp_path: Path) -> None:
    kept = model.scan(photo, fine=True).map
    assert kept is not None
    kept.save(tmp_path / "map.npz")
    again = CrackMap.load(tmp_path / "map.npz")
    assert kept.fine is not None
    assert again.fine is not None
    np.testing.assert_array_equal(again.fine.probability, kept.fine.probability)
    assert (again.fine.cell_px, again.fine.threshold) == (kept.fine.cell_px, kept.fine.threshold)
    plain = model.scan(photo).map
    assert plain is not None
    plain.save(tmp_path / "plain.npz")
    assert CrackMap.load(tmp_path / "plain.npz").fine is None


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(4, 90), st.integers(4, 90), st.integers(0, 99))
def test_no_cell_of_a_line_is_lost_in_a_picture_of_any_size(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.random((rows, columns)) < 0.1).astype(np.float32)
    fine = FineMap(values, (2.0, 2.0), 0.5)
    drawn = fine.lines_at((height, width), (2 * rows, 2 * columns))
    assert drawn.shape == (height, width)
    assert drawn.any() == values.any()
    for row, column in zip(*np.nonzero(values), strict=True):
        assert drawn[int((row + 0.5) * height / rows), int((column + 0.5) * width / columns)]


def test_an_overlay_shows_lines_in_place_of_strong_cells(model: Model, photo: Any) -> None:
    found, plain = model.scan(photo, fine=True).map, model.scan(photo).map
    assert found is not None
    assert plain is not None
    assert found.fine is not None
    with_lines, without = found.overlay(photo), plain.overlay(photo)
    assert with_lines.shape == without.shape
    assert (with_lines != without).any()
    line = np.array((213, 94, 0), np.uint8)
    assert (with_lines == line).all(2).sum() > 0.5 * found.fine.lines_at((330, 500), (330, 500)).sum()
    assert not (without == line).all(2).any()
