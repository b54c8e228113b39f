"""What is known of a photo's millimetres is told, and changes nothing that the network sees."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

import crackscope
from crackscope.arrays import UInt8Array
from crackscope.drawing.walls import draw_photo
from crackscope.geometry.markers import MarkerKind
from crackscope.geometry.references import Reference
from crackscope.geometry.scale import Scale
from crackscope.geometry.scale_sources import ScaleSources
from crackscope.scanning.loaded_model import Model, load, scan
from crackscope.scanning.results import PhotoResult
from shared.headers import rational, with_facts
from shared.marked import FAMILY, SIDE_MM, Laid, marked_photo, view_of

HW = (480, 700)
KIND = MarkerKind(FAMILY, SIDE_MM)


def wall_with_a_marker() -> UInt8Array:
    photo: UInt8Array = draw_photo(1, photo_hw=HW, n_cracks=1).pixels.copy()
    photo[20:180, 20:180] = marked_photo(view_of((160, 160)), (160, 160), [Laid()])
    return photo


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo without camera data, the same with them, one of patch size, and a table of scales."""
    folder = tmp_path_factory.mktemp("scales")
    buffer = io.BytesIO()
    pillow.fromarray(wall_with_a_marker()).save(buffer, "JPEG", quality=95)
    (folder / "plain.jpg").write_bytes(buffer.getvalue())
    noted = {
        "FocalLength": rational(5, 1),
        "DigitalZoomRatio": rational(1, 1),
        "ExifImageWidth": HW[1],
        "ExifImageHeight": HW[0],
        "SubjectDistance": rational(1, 1),
    }
    calibration = {"drone-dji:CalibratedFocalLength": "2000"}
    (folder / "noted.jpg").write_bytes(with_facts(buffer.getvalue(), noted, calibration))
    pillow.fromarray(wall_with_a_marker()[:, 200:400][:200]).save(folder / "patch.png")
    (folder / "scales.csv").write_text("path,mm_per_px\nplain.jpg,0.45\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def model() -> Model:
    """The default model."""
    return load(threads=1)


@pytest.fixture(scope="module")
def without(folder: Path, model: Model) -> PhotoResult:
    result = model.scan(folder / "plain.jpg")
    assert result.scale is None
    assert result.regions
    assert result.cracks
    return result


def assert_same(found: PhotoResult, wanted: PhotoResult) -> None:
    assert found.map is not None
    assert wanted.map is not None
    np.testing.assert_array_equal(found.map.logits, wanted.map.logits)
    assert (found.network_scale, found.unit, found.verdict) == (wanted.network_scale, wanted.unit, wanted.verdict)
    assert (found.regions, found.crack_probability) == (wanted.regions, wanted.crack_probability)
    assert tuple(replace(crack, mm=None) for crack in found.cracks) == wanted.cracks
    assert all(crack.mm is not None for crack in found.cracks)


@pytest.mark.parametrize(
    ("scale", "source"),
    [
        (Scale(0.3), "given"),
        (Scale(0.01), "given"),
        (ScaleSources(reference=Reference(40, 300, 640, 310, 310)), "reference"),
        (ScaleSources(marker=KIND), "marker"),
        (ScaleSources(marker=KIND, given=Scale(3.0)), "marker"),
        ("table", "table"),
        ("camera", "camera"),
    ],
)
def test_no_source_of_a_scale_changes_what_is_found(
    folder: Path, model: Model, without: PhotoResult, scale: Any, source: str
) -> None:
    path = folder / ("noted.jpg" if scale == "camera" else "plain.jpg")
    if scale == "table":
        scale = ScaleSources(table=crackscope.read_scales(folder / "scales.csv"))
    result = model.scan(path, scale=None if scale == "camera" else scale)
    assert result.scale is not None
    assert result.scale.source == source
    assert_same(result, without)


def test_a_scale_does_not_make_a_patch_a_photo(folder: Path, model: Model) -> None:
    plain, known = (model.scan(folder / "patch.png", scale=scale) for scale in (None, Scale(0.3, 0.01)))
    assert known.scale == Scale(0.3, 0.01)
    assert (plain.unit, known.unit) == ("patch", "patch")
    assert_same(known, plain)


def test_the_marker_of_a_photo_is_told_with_its_uncertainty(folder: Path, model: Model) -> None:
    result = model.scan(folder / "noted.jpg", scale=ScaleSources(marker=KIND))
    scale = result.scale
    assert scale is not None
    assert scale.mm_per_px == pytest.approx(0.5, rel=0.003)
    assert scale.relative_uncertainty is not None
    assert scale.relative_uncertainty < 0.003
    (note,) = result.scale_notes
    assert (note.source, note.agrees) == ("camera", True)
    assert PhotoResult.from_dict(result.to_dict()) == result


def test_several_photos_have_scales_of_their_own(folder: Path, bundle_file: Path) -> None:
    small = load(bundle_file)
    sources = ScaleSources(table=crackscope.read_scales(folder / "scales.csv"))
    paths = [folder / "plain.jpg", folder / "noted.jpg"]
    first, second = (result.scale for result in scan(paths, small, scale=sources))
    assert first == Scale(0.45, None, "table")
    assert second is not None
    assert second.source == "camera"
    with pytest.raises(crackscope.DataError, match="none of the 1 photos"):
        list(scan([folder / "noted.jpg"], small, scale=sources))
    with pytest.raises(crackscope.DataError, match="names two points of one photo, and 2 are to be scanned"):
        list(scan(paths, small, scale=ScaleSources(reference=Reference(0, 0, 100, 0, 50))))


def test_frames_of_a_camera_that_does_not_move_share_a_reference(bundle_file: Path) -> None:
    frames = (wall_with_a_marker() for _ in range(2))
    found = list(scan(frames, load(bundle_file), scale=ScaleSources(reference=Reference(0, 0, 100, 0, 50))))
    assert [result.scale.mm_per_px for result in found if result.scale] == [0.5, 0.5]


def test_each_photo_with_a_scale_tells_the_smallest_width_that_can_be_measured(model: Model) -> None:
    plain, cracked = (draw_photo(1, photo_hw=HW, n_cracks=n).pixels for n in (0, 1))
    for pixels in (plain, cracked):
        found = model.scan(pixels, scale=Scale(0.3))
        assert found.blur_px is not None
        spread_px = np.hypot(found.blur_px, np.sqrt(1 / 12))
        assert found.smallest_width_mm == pytest.approx(0.3 * spread_px)
        assert model.scan(pixels).smallest_width_mm is None
        assert model.scan(pixels, scale=Scale(0.3), trace=None).smallest_width_mm is None
    assert model.scan(plain).blur_px is None
