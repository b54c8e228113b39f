"""Photos are traced at any size, by a trained fine map or by ridges, whatever their verdict is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

import crackscope
from crackscope.drawing.crack_paths import new_shape
from crackscope.drawing.exact_cracks import EVEN, with_shapes
from crackscope.drawing.exact_drawings import bare
from crackscope.errors import DataError, ImageError
from crackscope.files.images import Image
from crackscope.geometry.line_tracing import Guide
from crackscope.geometry.paths import resampled
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.tracing import cracks_in, grey_of
from shared.models import without_fine_map

TRAINED = Path(__file__).parents[1] / "trained" / "lines.onnx"


@pytest.fixture(scope="module")
def trained() -> Model:
    return crackscope.load(TRAINED, threads=1)


def cracked(height: int, width: int, *, seed: int = 3, width_px: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Drawn concrete with one crack, and points along the middle of the crack."""
    rng = np.random.default_rng(seed)
    wall = crackscope.draw_photo(seed, photo_hw=(height, width), n_cracks=0).pixels
    drawing = with_shapes(bare(wall, blur_px=0.9), [new_shape(rng, (height, width), width_px)], EVEN, rng)
    return drawing.pixels, np.concatenate([resampled(line.path_xy) for line in drawing.cracks])


def agreement(tracing: crackscope.Tracing, truth: np.ndarray, near_px: float = 4) -> tuple[float, float]:
    """Share of the traced points that lie near the truth, and of the true points that are found."""
    points = np.concatenate([path for crack in tracing.cracks for path in crack.path_xy] or [np.empty((0, 2))])
    if not len(points):
        return 0.0, 0.0
    right, found = KDTree(truth).query(points)[0], KDTree(points).query(truth)[0]
    return float((right <= near_px).mean()), float((found <= near_px).mean())


@pytest.mark.parametrize("side", [384, 512, 544])
def test_an_image_of_any_size_is_traced_as_a_photo(trained: Model, side: int) -> None:
    pixels, truth = cracked(side, side)
    tracing = trained.trace(pixels)
    assert tracing.traced_by == "fine map"
    assert tracing.network_scale == trained.scan(pixels, unit="photo").network_scale
    assert tracing.network_scale > 0.8  # it is no patch, whose side would become 160 px
    precision, recall = agreement(tracing, truth)  # the wall has dark marks that are no cracks
    assert precision > 0.5
    assert recall > 0.8


def test_the_scale_of_a_photo_and_the_way_of_asking_change_no_line(trained: Model) -> None:
    pixels, truth = cracked(700, 900)
    tracing = trained.trace(pixels)
    assert min(agreement(tracing, truth)) > 0.7
    assert crackscope.trace(pixels, trained).cracks == tracing.cracks
    scaled = trained.trace(pixels, scale=crackscope.Scale(0.3))
    assert scaled.scale == crackscope.Scale(0.3)
    assert tuple(replace(crack, mm=None) for crack in scaled.cracks) == tracing.cracks


def test_lines_have_widths_in_pixels_and_with_a_scale_in_millimetres(trained: Model) -> None:
    pixels, _ = cracked(700, 900)
    tracing = trained.trace(pixels, scale=crackscope.Scale(0.3, 0.01))
    assert tracing.blur_px == pytest.approx(0.9, abs=0.3)
    longest = tracing.cracks[0]
    assert longest.width is not None
    assert longest.width.median.width_px == pytest.approx(3.0, abs=0.6)
    assert longest.mm is not None
    assert longest.mm.median is not None
    assert longest.mm.median.width_mm == pytest.approx(0.3 * longest.width.median.width_px)
    assert longest.mm.length_mm == pytest.approx(0.3 * longest.length_px, rel=1e-6)
    assert all(crack.width is None for crack in tracing.cracks if crack.joint_like)
    assert all(len(crack.widths) == len(crack.path_xy) for crack in tracing.cracks if not crack.joint_like)


@pytest.mark.parametrize("side", [200, 384, 544])
def test_scan_and_trace_give_the_same_lines(trained: Model, side: int) -> None:
    pixels, _ = cracked(side, side)
    result = trained.scan(pixels)
    assert result.verdict == "crack"
    assert result.cracks == trained.trace(pixels).cracks
    assert result.traced_by == "fine map"
    assert result.map is not None
    assert result.map.fine is None  # nobody asked for it
    assert trained.scan(pixels, trace=None).cracks == ()
    for fine in (True, "everywhere"):
        both = trained.scan(pixels, fine=fine)
        assert both.cracks == result.cracks
        assert both.map is not None
        assert both.map.fine is not None


def test_photos_that_show_no_crack_are_traced_only_if_all_are(trained: Model) -> None:
    wall = crackscope.draw_photo(5, photo_hw=(480, 640), n_cracks=0).pixels
    found = trained.scan(wall)
    assert found.verdict == "uncracked"
    assert (found.cracks, found.traced_by, found.blur_px) == ((), None, None)
    every = trained.scan(wall, trace="all")
    assert every.traced_by == "fine map"
    assert every.cracks == trained.trace(wall).cracks
    assert every.counted_cracks == ()
    assert every.crack_area_px2 == 0


def test_a_wrong_word_for_what_to_trace_is_refused(trained: Model) -> None:
    with pytest.raises(DataError, match="trace is 'some'; it must be 'found', 'all' or None"):
        trained.scan(np.zeros((200, 200, 3), np.uint8), trace="some")  # type: ignore[arg-type]


def test_a_photo_without_a_region_is_looked_at_everywhere(trained: Model) -> None:
    wall = crackscope.draw_photo(5, photo_hw=(480, 640), n_cracks=0).pixels
    assert trained.scan(wall).regions == ()
    fine = trained.scan(wall, unit="photo", fine="everywhere").map
    assert fine is not None
    assert fine.fine is not None
    guide = Guide(fine.fine.probability, fine.fine.cell_px, fine.fine.threshold)
    lines = cracks_in(grey_of(Image(wall)), guide)
    assert [crack.id for crack in trained.trace(wall).cracks] == [crack.id for crack in lines]


def test_a_model_without_a_fine_map_is_guided_by_ridges() -> None:
    pixels, truth = cracked(480, 640)
    tracing = Model(without_fine_map(crackscope.read_bundle()), threads=1).trace(pixels)
    assert tracing.traced_by == "ridges"
    assert agreement(tracing, truth)[1] > 0.7


@pytest.mark.parametrize("hw", [(64, 64), (64, 1500), (128, 3000)])
def test_cracks_in_narrow_photos_are_traced(trained: Model, hw: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    wall = np.repeat(np.clip(rng.normal(150, 4, (*hw, 1)), 0, 255).astype(np.uint8), 3, axis=2)
    x = np.arange(0, hw[1], 3)
    path = np.column_stack([x, hw[0] / 2 + 10 * np.sin(x / 40)])
    cv2.polylines(wall, [np.round(path).astype(np.int32).reshape(-1, 1, 2)], False, (60, 60, 60), 2)
    tracing = trained.trace(wall)
    assert tracing.photo_hw == hw
    precision, recall = agreement(tracing, path)
    assert precision > 0.9
    assert recall > 0.6


@pytest.mark.parametrize("kind", ["noise", "black", "white"])
def test_photos_that_show_nothing_have_no_crack(trained: Model, kind: str) -> None:
    rng = np.random.default_rng(0)
    pixels = {
        "noise": rng.integers(0, 256, (300, 400, 3), dtype=np.uint8),
        "black": np.zeros((300, 400, 3), np.uint8),
        "white": np.full((300, 400, 3), 255, np.uint8),
    }[kind]
    assert trained.trace(pixels).cracks == ()


def test_a_crack_is_traced_in_a_strongly_compressed_photo(trained: Model) -> None:
    pixels, truth = cracked(300, 400)
    stored = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 10])[1]
    assert agreement(trained.trace(stored.tobytes()), truth)[1] > 0.7


def test_too_small_photos_and_wrong_scales_are_refused(trained: Model) -> None:
    with pytest.raises(ImageError, match="63×100 px are too few"):
        trained.trace(np.zeros((100, 63, 3), np.uint8))
    with pytest.raises(DataError, match="network_scale"):
        trained.trace(np.zeros((100, 100, 3), np.uint8), network_scale=-1.0)
