"""A photo's map is that of the whole picture at once, however it is cut, and whoever asks for it."""

from __future__ import annotations

import math
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.drawing.walls import draw_photo
from crackscope.errors import BundleError, CrackscopeError, DataError, ImageError
from crackscope.files.images import Image
from crackscope.geometry.scale import Scale
from crackscope.model import sessions
from crackscope.model.bundle import (
    Head,
    compose,
    default_bundle,
    make_backbone,
    read_backbone,
    read_bundle,
    write_model,
)
from crackscope.model.card import Calibration, Card, Verdict
from crackscope.model.graphs import MULTIPLE_PX
from crackscope.model.windows import ReceptiveField
from crackscope.scanning import scanner as scanning
from crackscope.scanning.crack_map import CrackMap, pool_footprints
from crackscope.scanning.loaded_model import Model, load, scan
from crackscope.scanning.results import verdict_of
from crackscope.scanning.scanner import (
    MAX_ENLARGEMENT,
    SMALL_PX,
    auto_scale,
    network_scale_of,
    photo_scale,
    prepare_photo,
)
from shared.models import tiny_backbone_card, tiny_card, wide_trunk
from shared.pictures import noise, save

UInt8Array = np.ndarray[Any, np.dtype[np.uint8]]
FloatArray = np.ndarray[Any, np.dtype[np.float32]]

PHOTO_CALIBRATION = Calibration(temperature=0.7, shift=-0.4, threshold=0.6, unsure_low=0.5, unsure_high=0.65)
VERDICT = Verdict(
    threshold=0.8, unsure_low=0.3, stretch_px=512, n_clean=10, false_alarm_rate=0.1, n_cracked=10, missed_rate=0.2
)


def with_card(bundle_file: Path, backbone_file: Path, folder: Path, **changes: object) -> Path:
    """The tiny bundle with another card."""
    rng = np.random.default_rng(1)
    head = Head(rng.normal(0, 1, (1, 16)).astype(np.float32), np.array([-0.2], np.float32), temperature=2.0)
    path = folder / "model.onnx"
    write_model(compose(read_backbone(backbone_file), head, tiny_card(**changes)), path)
    return path


@pytest.fixture(scope="module")
def model(bundle_file: Path) -> Model:
    return opened(bundle_file)


@pytest.fixture(scope="module")
def wide_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that sees beyond its cell on either side, with a shortcut; its halo is of two cells."""
    rng = np.random.default_rng(5)
    folder = tmp_path_factory.mktemp("wide")
    write_model(make_backbone(wide_trunk(), tiny_backbone_card()), folder / "backbone.onnx")
    head = Head(rng.normal(0, 1, (1, 16)).astype(np.float32), np.array([0.1], np.float32), temperature=2.0)
    write_model(compose(read_backbone(folder / "backbone.onnx"), head, tiny_card()), folder / "wide.onnx")
    return folder / "wide.onnx"


@pytest.fixture(scope="module")
def wide(wide_file: Path) -> Model:
    return opened(wide_file)


def opened(path: Path, *, threads: int = 1, max_pixels: int | None = None) -> Model:
    return Model(read_bundle(path), threads=threads, max_pixels=max_pixels)


def mapped(model: Model, photo: Any, **scales: Any) -> CrackMap:
    """The map of a photo alone."""
    found = model.scan(photo, **scales).map
    assert found is not None
    return found


def at_once(path: Path, pixels: UInt8Array) -> FloatArray:
    """What anybody with ONNX Runtime gets of the whole picture."""
    session = onnxruntime.InferenceSession(path.read_bytes())
    found: FloatArray = session.run(["logit_map"], {"pixels": pixels[None]})[0][0, 0]
    return found


# The map


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 11))
def test_the_map_is_that_of_the_whole_picture_at_once(
    wide: Model, wide_file: Path, height: int, width: int, cells: int
) -> None:
    pixels = noise((height, width))
    found = wide.network.logit_map(pixels, window_px=32 * cells)
    assert found.shape == (-(-height // 32), -(-width // 32))
    assert found.dtype == np.float32
    assert np.abs(found - at_once(wide_file, pixels)).max() <= 1e-5


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 100_000))
def test_the_size_of_windows_changes_nothing(
    wide_file: Path, wide: Model, height: int, width: int, max_pixels: int
) -> None:
    pixels = noise((height, width))
    tidy = opened(wide_file, max_pixels=max_pixels)
    assert np.abs(tidy.network.logit_map(pixels) - wide.network.logit_map(pixels, window_px=4096)).max() <= 1e-5


@pytest.mark.parametrize("window_px", [32, 64, 96, 4096])
@pytest.mark.parametrize("hw", [(96, 96), (227, 130), (31, 500), (1, 1)])
def test_the_tiny_bundle_gives_one_map_too(
    model: Model, bundle_file: Path, hw: tuple[int, int], window_px: int
) -> None:
    pixels = noise(hw)
    found = model.network.logit_map(pixels, window_px=window_px)
    assert np.abs(found - at_once(bundle_file, pixels)).max() <= 1e-5


@pytest.mark.parametrize("hw", [(400, 424), (395, 500), (384, 416)])
def test_far_sides_look_alike_from_windows_that_are_no_multiple_of_the_padding(hw: tuple[int, int]) -> None:
    model, pixels = load(threads=1), noise(hw)
    assert model.network.field.stride_px < MULTIPLE_PX
    whole = model.network.logit_map(pixels, window_px=512)
    for window_px in (48, 112):
        assert np.abs(model.network.logit_map(pixels, window_px=window_px) - whole).max() <= 1e-3


def test_a_halo_that_is_one_cell_smaller_shows(
    wide: Model, model: Model, wide_file: Path, bundle_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise((300, 300))
    for seeing, path in ((wide, wide_file), (model, bundle_file)):
        whole, halo_px = at_once(path, pixels), seeing.network.field.halo_px
        for smaller in (0, 32):
            with monkeypatch.context() as patch:
                patch.setattr(ReceptiveField, "halo_px", halo_px - smaller)
                difference = np.abs(seeing.network.logit_map(pixels, window_px=64) - whole).max()
            assert difference > 1e-3 if smaller else difference <= 1e-5


class WatchedSession:
    """A session that notes what it is asked, and how many runs are under way at the same time."""

    def __init__(self, inner: Any) -> None:
        self.inner, self.sizes, self.running, self.most, self.lock = inner, [0], 0, 0, threading.Lock()

    def run(self, outputs: list[str], feeds: dict[str, UInt8Array]) -> Any:
        with self.lock:
            self.sizes.append(feeds["pixels"].shape[1] * feeds["pixels"].shape[2])
            self.running += 1
            self.most = max(self.most, self.running)
        found = self.inner.run(outputs, feeds)
        with self.lock:
            self.running -= 1
        return found


def watched(model: Model, monkeypatch: pytest.MonkeyPatch) -> WatchedSession:
    session = WatchedSession(model.network._own_session())
    monkeypatch.setattr(model.network, "_session", session)
    return session


def test_no_window_is_larger_than_it_may_be(wide_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = opened(wide_file, max_pixels=60_000)
    session = watched(model, monkeypatch)
    mapped(model, noise((400, 700)), network_scale=1.0)
    assert len(session.sizes) > 5
    assert max(session.sizes) <= 60_000


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_change_nothing(wide_file: Path, wide: Model, threads: int) -> None:
    pixels = noise((200, 330))
    assert (
        np.abs(opened(wide_file, threads=threads).network.logit_map(pixels) - wide.network.logit_map(pixels)).max()
        <= 1e-5
    )


@pytest.mark.parametrize("threads", [1, 2])
def test_a_model_may_be_asked_from_several_threads(
    wide_file: Path, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    photos = [noise((120 + 40 * i, 300), seed=i) for i in range(6)]
    model = opened(wide_file, threads=threads, max_pixels=40_000)
    expected = [mapped(model, photo, network_scale=1.0).logits for photo in photos]
    session = watched(model, monkeypatch)
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda photo: mapped(model, photo, network_scale=1.0).logits, photos * 3))
    for logits, same in zip(found, expected * 3, strict=True):
        np.testing.assert_array_equal(logits, same)
    assert 1 <= session.most <= threads  # windows at the same time, whoever asks


def test_windows_share_what_memory_there_is(wide_file: Path) -> None:
    one, four = (opened(wide_file, threads=threads) for threads in (1, 4))
    large, small = (5000, 4000), (1500, 1000)
    areas = {
        size_hw: [math.prod(model.network.window_hw(size_hw)) for model in (one, four)] for size_hw in (large, small)
    }
    assert areas[large][1] <= sessions.LEAST_WINDOW_PIXELS_OF_LARGE < areas[large][0] <= sessions.WINDOW_PIXELS_OF_LARGE
    assert areas[small][1] <= sessions.LEAST_WINDOW_PIXELS < areas[small][0] <= sessions.WINDOW_PIXELS


@pytest.mark.parametrize("view", ["flipped", "bgr", "strided", "turned", "read-only"])
def test_an_array_may_lie_in_memory_as_it_likes(model: Model, view: str) -> None:
    pixels = noise((96, 128))
    views = {
        "flipped": pixels[::-1],
        "bgr": pixels[:, :, ::-1],
        "strided": pixels[:, ::2],
        "turned": pixels.transpose(1, 0, 2),
        "read-only": np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape),
    }
    for scale in (1.0, 1.5, 0.4):
        expected = mapped(model, np.ascontiguousarray(views[view]), network_scale=scale)
        np.testing.assert_array_equal(mapped(model, views[view], network_scale=scale).logits, expected.logits)


def test_a_scan_leaves_the_photo_as_it_was(model: Model) -> None:
    pixels = noise((200, 300))
    before = pixels.copy()
    for scale in (1.0, 0.5):
        mapped(model, pixels, network_scale=scale)
    np.testing.assert_array_equal(pixels, before)


# What a scan says


def test_a_map_knows_where_it_lies(model: Model) -> None:
    found = mapped(model, Image(noise((300, 400)), path="wall.jpg"), network_scale=0.5)
    assert found.logits.shape == (5, 7)  # of 150 × 200 px
    assert found.photo_hw == (300, 400)
    assert found.cell_px == (64, 64)
    assert found.footprint_cells == 2  # of patches of 64 px
    assert found.footprint_px == (128, 128)
    assert (found.network_scale, found.path) == (0.5, "wall.jpg")
    assert found.calibration == model.card.patch


@settings(deadline=None, max_examples=40)
@given(st.integers(16, 300), st.integers(16, 300), st.floats(0.05, 2))
def test_cells_cover_the_photo_whatever_its_scale(model: Model, height: int, width: int, scale: float) -> None:
    if round(min(height, width) * scale) < 16:
        with pytest.raises(ImageError, match=r"too small to show anything .*; scan it at a larger scale"):
            mapped(model, noise((height, width)), network_scale=scale)
        return
    found = mapped(model, noise((height, width)), network_scale=scale)
    for side, cell, n, cells_along in zip(
        found.photo_hw, found.cell_px, found.logits.shape, found.probabilities.shape, strict=True
    ):
        assert n == cells_along
        assert (n - 1) * cell < side <= n * cell * (1 + 1e-12)
    last = found.probability_at(width - 0.5 - 1e-9, height - 0.5 - 1e-9)
    assert last == found.probabilities[-1, -1]


@pytest.mark.parametrize("hw", [(96, 96), (64, 64), (60, 60), (128, 128), (153, 153)])
def test_a_patch_scanned_says_what_the_patch_classified_says(
    model: Model, bundle_file: Path, hw: tuple[int, int]
) -> None:
    """Its footprint is the whole of it, and nothing surrounds it."""
    pixels = noise(hw, seed=5)
    expected = load(bundle_file, threads=1).classify(pixels)
    found = mapped(model, pixels)
    assert found.logits.shape == (2, 2)
    assert found.peak_probability == pytest.approx(expected.crack_probability, abs=1e-5)
    assert verdict_of(found, model.card) == expected.label


def test_probabilities_are_those_of_pooled_footprints(model: Model) -> None:
    found = mapped(model, noise((320, 480)), network_scale=1.0)
    pooled = pool_footprints(model.network.logit_map(noise((320, 480))), 2)
    assert found.probabilities[:-1, :-1] == pytest.approx(1 / (1 + np.exp(-pooled / 2)), abs=1e-6)
    assert found.peak_probability == pytest.approx(float(1 / (1 + np.exp(-pooled.max() / 2))), abs=1e-6)


def test_a_photo_smaller_than_a_footprint_is_one_cell(model: Model) -> None:
    found = mapped(model, noise((20, 28)), network_scale=1.0)
    assert found.logits.shape == (1, 1)
    assert found.footprint_cells == 2
    assert found.peak_probability == pytest.approx(1 / (1 + np.exp(-found.logits[0, 0] / 2)), abs=1e-6)
    assert found.probability_in((3, 3, 9, 9)) == pytest.approx(found.peak_probability)


@pytest.mark.parametrize("hw", [(16, 30_000), (30_000, 16)])
def test_a_strip_is_scanned_whole(model: Model, bundle_file: Path, hw: tuple[int, int]) -> None:
    pixels = noise(hw)
    found = mapped(model, pixels)
    assert found.network_scale == MAX_ENLARGEMENT
    assert sorted(found.logits.shape) == [1, 1875]
    assert found.probability_at(hw[1] - 1, hw[0] - 1) == found.probabilities[-1, -1]
    narrow = opened(bundle_file, max_pixels=32 * 500)
    assert np.abs(mapped(narrow, pixels).logits - found.logits).max() <= 1e-5


def test_the_crack_label_is_found_wherever_it_stands(backbone_file: Path, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (2, 16)).astype(np.float32)
    card = tiny_card(labels=("spalling", "crack"))
    head = Head(weight, np.zeros(2, np.float32), temperature=2.0)
    write_model(compose(read_backbone(backbone_file), head, card), tmp_path / "two.onnx")
    pixels = noise((64, 96))
    session = onnxruntime.InferenceSession(str(tmp_path / "two.onnx"))
    expected = session.run(["logit_map"], {"pixels": pixels[None]})[0][0, 1]
    assert mapped(load(tmp_path / "two.onnx"), pixels, network_scale=1.0).logits == pytest.approx(expected, abs=1e-5)


# Labels


def map_with_peak(model: Model, probability: float) -> CrackMap:
    one = model.card.map_calibration
    logit = one.temperature * np.log(probability / (1 - probability)) - one.shift
    return CrackMap(np.full((2, 2), logit, np.float32), (64, 64), (32, 32), 2, one, 1.0)


@pytest.mark.parametrize(
    ("changes", "threshold", "labels"),
    [
        ({}, 0.5, ["uncracked", "uncracked", "unsure", "unsure", "crack", "crack"]),  # the patches' own
        (
            {"photo": PHOTO_CALIBRATION},
            0.6,
            ["uncracked", "uncracked", "uncracked", "unsure", "unsure", "crack"],
        ),
        (
            {"photo": PHOTO_CALIBRATION, "verdict": VERDICT},
            0.8,
            ["uncracked", "unsure", "unsure", "unsure", "unsure", "crack"],
        ),
        ({"verdict": VERDICT}, 0.8, ["uncracked", "unsure", "unsure", "unsure", "unsure", "crack"]),
    ],
)
def test_a_photo_is_called_as_the_card_says(
    bundle_file: Path,
    backbone_file: Path,
    tmp_path: Path,
    changes: dict[str, object],
    threshold: float,
    labels: list[str],
) -> None:
    model = opened(with_card(bundle_file, backbone_file, tmp_path, **changes))
    assert model.card.verdict_rule.threshold == threshold
    assert model.card.map_calibration == changes.get("photo", model.card.patch)
    peaks = (0.2, 0.4, 0.48, 0.52, 0.62, 0.9)
    assert [verdict_of(map_with_peak(model, peak), model.card) for peak in peaks] == labels


def test_a_map_is_calibrated_for_photos_where_the_card_is(
    model: Model, bundle_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    model = opened(with_card(bundle_file, backbone_file, tmp_path, photo=PHOTO_CALIBRATION))
    pixels = noise((130, 130))
    found, other = mapped(model, pixels, network_scale=0.5), mapped(model, pixels, network_scale=0.5)
    np.testing.assert_array_equal(found.logits, other.logits)
    assert found.calibration == PHOTO_CALIBRATION
    pooled = pool_footprints(found.logits, 2).max()
    assert found.peak_probability == pytest.approx(1 / (1 + np.exp(-(pooled - 0.4) / 0.7)), abs=1e-6)


@pytest.mark.parametrize("hw", [(130, 130), (64, 90), (153, 153)])
def test_an_image_of_patch_size_keeps_the_calibration_and_label_of_a_patch(
    bundle_file: Path, backbone_file: Path, tmp_path: Path, hw: tuple[int, int]
) -> None:
    place = with_card(bundle_file, backbone_file, tmp_path, photo=PHOTO_CALIBRATION, verdict=VERDICT)
    model, pixels = opened(place), noise(hw)
    found, said = mapped(model, pixels), load(model, threads=1).classify(pixels)
    assert (found.unit, found.calibration) == ("patch", model.card.patch)
    assert found.peak_probability == pytest.approx(said.crack_probability, abs=1e-5)
    assert verdict_of(found, model.card) == said.label
    assert mapped(model, pixels, network_scale=1.0).unit == "photo"  # whoever gives a scale says what it is


# Whoever asks


def test_photo_and_model_may_be_given_in_any_form(bundle_file: Path, model: Model, tmp_path: Path) -> None:
    pixels = noise((150, 230))
    path = save(tmp_path / "wall.png", pixels)
    bundle = read_bundle(bundle_file)
    expected = mapped(model, pixels)
    for photo, name in ((pixels, "#0"), (Image(pixels, path="p"), "p"), (path, str(path)), (str(path), str(path))):
        for asked in (model, load(bundle, threads=1), bundle, bundle_file, str(bundle_file)):
            (found,) = scan(photo, asked)
            assert found.map is not None
            np.testing.assert_array_equal(found.map.logits, expected.logits)
            assert found.path == name
            assert found.network_scale == expected.network_scale


def test_without_a_model_the_default_one_scans() -> None:
    found = [result.map for result in scan([noise((64, 64)), noise((600, 700))])]
    assert [one.calibration for one in found if one] == [read_bundle().card.patch, read_bundle().card.photo]


def test_a_bundle_is_named_by_its_content(bundle_file: Path, model: Model) -> None:
    bundle = read_bundle(bundle_file)
    assert model.sha256 == bundle.sha256
    assert model.name == f"tiny@{bundle.sha256[:12]}"
    assert model.card == bundle.card


# What is refused


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((64, 64)), "float64 (64, 64)"),
        (np.zeros((64, 64, 4), np.uint8), "uint8 (64, 64, 4)"),
        (np.zeros((3, 64, 64), np.uint8), "uint8 (3, 64, 64)"),
        (np.zeros((64, 64, 3), np.float32), "float32 (64, 64, 3)"),
        (np.zeros((64, 64, 3), bool), "bool (64, 64, 3)"),
        (None, "cannot be taken from NoneType"),
    ],
)
def test_what_is_no_rgb_array_is_named(model: Model, wrong: Any, found: str) -> None:
    with pytest.raises(DataError) as caught:
        scan(wrong, model)
    assert found in str(caught.value)


@pytest.mark.parametrize("hw", [(8, 8), (15, 4000), (4000, 15), (0, 0)])
def test_what_shows_nothing_is_refused_with_its_size(model: Model, hw: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"{hw[1]}×{hw[0]} px is too small to show anything"):
        mapped(model, np.zeros((*hw, 3), np.uint8))


def test_a_wrong_path_is_told(model: Model, bundle_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        model.scan(tmp_path / "gone.jpg")
    with pytest.raises(ImageError, match="not an image that can be read"):
        model.scan(bundle_file)
    with pytest.raises(BundleError, match="cannot be read"):
        scan(noise((64, 64)), tmp_path / "gone.onnx")


def test_a_scale_that_would_fill_the_memory_is_refused(model: Model) -> None:
    with pytest.raises(ImageError, match="64×64 px become 64000×64000, which is too large"):
        mapped(model, noise((64, 64)), network_scale=1000.0)


def test_a_network_that_gives_no_number_never_says_uncracked(backbone_file: Path, tmp_path: Path) -> None:
    weight = np.full((1, 16), 3e38, np.float32)
    weight[0, ::2] *= -1
    head = Head(weight, np.zeros(1, np.float32), temperature=2.0)
    write_model(compose(read_backbone(backbone_file), head, tiny_card()), tmp_path / "m.onnx")
    with pytest.raises(BundleError, match=r"tiny@.* gave something that is not a number"):
        list(scan(noise((200, 200)), tmp_path / "m.onnx", network_scale=1.0))


def test_a_bundle_that_cannot_run_is_refused(bundle_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("no kernel\nfor Conv")

    monkeypatch.setattr(sessions, "open_session", fail)
    with pytest.raises(BundleError, match=r"tiny.onnx: ONNX Runtime cannot run it \(no kernel for Conv\)"):
        load(bundle_file)


def test_threads_come_from_the_environment(bundle_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_THREADS", "3")
    assert load(bundle_file).threads == 3
    assert load(bundle_file, threads=2).threads == 2
    monkeypatch.setenv("CRACKSCOPE_THREADS", "many")
    with pytest.raises(CrackscopeError, match=r"^CRACKSCOPE_THREADS is 'many'"):
        load(bundle_file)


# Scale


def card_of(**changes: object) -> Card:
    """A card with the numbers of the default bundle."""
    return tiny_card(**{"patch_px": 160, "source_px": 256} | changes)


@pytest.mark.parametrize(
    ("photo_hw", "expected"),
    [
        ((256, 256), 160 / 256),  # a patch is brought to the size of a patch
        ((227, 227), 160 / 227),
        ((300, 227), 160 / 227),
        ((40, 40), 4.0),  # however small
        ((307, 307), 160 / 307),
        ((308, 308), 160 / 308),  # no patch any more, and hardly another scale
        ((358, 358), 0.72),  # half the way from a patch to full size
        ((410, 410), 1.0),
        ((512, 512), 1.0),
        ((513, 513), 1.0),
        ((360, 640), 1.0),
        ((600, 800), 1.0),
        ((768, 1024), 1.0),
        ((1000, 1500), SMALL_PX / 1000),
        ((1500, 1000), SMALL_PX / 1000),
        ((1229, 3000), 160 / 256),  # at the scale of training its shorter side is just long enough
        ((3000, 4000), 160 / 256),  # a camera's photo
        ((9000, 12_000), 160 / 256),
        ((16, 30_000), MAX_ENLARGEMENT),
        ((60, 30_000), MAX_ENLARGEMENT),
        ((100, 400), 1.6),  # enlarged until it is as wide as a patch
        ((200, 420), 1.0),  # too long for a patch
    ],
)
def test_the_scale_follows_from_the_size(photo_hw: tuple[int, int], expected: float) -> None:
    assert auto_scale(card_of(), photo_hw) == pytest.approx(expected, rel=0.01)
    assert network_scale_of(card_of(), photo_hw) == auto_scale(card_of(), photo_hw)
    assert auto_scale(card_of(), photo_hw[::-1]) == auto_scale(card_of(), photo_hw)


def test_the_default_card_has_the_numbers_of_these_tests() -> None:
    card = read_bundle().card
    assert (card.patch_px, card.source_px) == (160, 256)


def test_blur_is_measured_where_nobody_shrunk_the_photo_before(bundle_file: Path) -> None:
    model = opened(bundle_file)
    card = model.card
    least = round(SMALL_PX * card.source_px / card.patch_px)
    camera, shrunk = (Image(np.zeros((side, side, 3), np.uint8)) for side in (least, least - 8))
    assert prepare_photo(camera, card).clarity is None
    assert prepare_photo(shrunk, card).clarity == 1
    assert prepare_photo(shrunk, card, network_scale=1.0).clarity is None
    assert prepare_photo(shrunk, card, network_scale=1.1).clarity == 1


@given(st.integers(16, 20_000), st.floats(1, 3))
def test_a_photo_is_never_shrunk_beyond_its_training_nor_enlarged_beyond_the_limit(shorter: int, aspect: float) -> None:
    photo_hw = (shorter, round(shorter * aspect))
    scale = auto_scale(card_of(), photo_hw)
    if max(photo_hw) <= 1.2 * 256 and max(photo_hw) <= 1.5 * shorter:
        assert scale * shorter == pytest.approx(160)
        return
    assert 160 / (1.2 * 256) <= scale <= MAX_ENLARGEMENT
    assert scale * shorter >= min(160, MAX_ENLARGEMENT * shorter) - 1e-9  # as wide as a patch, if it may
    if max(photo_hw) >= 1.6 * 256 and shorter >= 160:
        assert scale == pytest.approx(max(160 / 256, min(1.0, SMALL_PX / shorter)))


@given(st.integers(32, 1500), st.floats(1, 4), st.sampled_from([(160, 256), (224, 224), (64, 640), (160, 1000)]))
def test_the_scale_of_a_photo_has_no_step(shorter: int, aspect: float, sizes: tuple[int, int]) -> None:
    """From 512 to 513 px a patch became a photo, and was seen five times as large."""
    card, longer = card_of(patch_px=sizes[0], source_px=sizes[1]), round(shorter * aspect)
    here = photo_scale(card, (shorter, longer))
    for beside in ((shorter + 1, max(longer, shorter + 1)), (shorter, longer + 1)):
        assert photo_scale(card, beside) == pytest.approx(here, rel=0.05)


def test_a_patch_and_a_photo_of_its_size_have_the_same_scale() -> None:
    for side in (100, 227, 256, 307):
        assert auto_scale(card_of(), (side, side)) == pytest.approx(photo_scale(card_of(), (side, side))) or side < 160


def test_a_model_of_enlarged_patches_enlarges_photos_as_much() -> None:
    assert auto_scale(card_of(patch_px=640), (3000, 4000)) == 2.5


def test_a_given_scale_is_taken_as_it_is() -> None:
    assert type(network_scale_of(card_of(), (3000, 4000), network_scale=np.float32(0.5))) is float
    for photo_hw in ((100, 100), (3000, 4000)):
        assert network_scale_of(card_of(), photo_hw, network_scale=7.5) == 7.5
        assert network_scale_of(card_of(), photo_hw, network_scale=0.01) == 0.01


@pytest.mark.parametrize("card", [card_of(mm_per_px=0.4), card_of()], ids=["a card with mm", "a card without"])
@pytest.mark.parametrize("photo_hw", [(150, 160), (500, 700)], ids=["patch", "photo"])
def test_millimetres_do_not_change_what_the_network_sees(card: Card, photo_hw: tuple[int, int]) -> None:
    photo = Image(noise(photo_hw))
    without = prepare_photo(photo, card)
    for scale in (Scale(0.4), Scale(0.01), Scale(1.2, 0.1)):
        found = prepare_photo(photo, card, scale=scale)
        assert (found.network_scale, found.unit, found.clarity) == (
            without.network_scale,
            without.unit,
            without.clarity,
        )
        assert found.scale == scale
        np.testing.assert_array_equal(found.pixels, without.pixels)
    assert without.scale is None


@pytest.mark.parametrize("value", [0.0, -0.0, -1.0, float("nan"), float("inf"), float("-inf")])
def test_a_scale_that_is_none_is_an_error(model: Model, value: float) -> None:
    for ask in (partial(network_scale_of, card_of(), (3000, 4000)), partial(model.scan, noise((64, 64)))):
        with pytest.raises(DataError, match=rf"^network_scale is {value!r}; it must be 'auto' or a number above 0"):
            ask(network_scale=value)
    with pytest.raises(DataError, match=r"^network_scale is"):
        scan(noise((64, 64)), model, network_scale=value)
    with pytest.raises(DataError, match=rf"^mm per pixel is {value:g}; it must lie between 0.001 and 100"):
        Scale(value)


def test_the_scale_is_kept_in_the_map_and_its_cells(model: Model) -> None:
    found = mapped(model, noise((130, 260)), network_scale=0.7)
    assert found.network_scale == 0.7
    assert found.cell_px == pytest.approx((32 * 130 / 91, 32 * 260 / 182))


# The default bundle


@pytest.fixture(scope="module")
def drawn_photo() -> UInt8Array:
    return draw_photo(1, photo_hw=(1100, 1500)).pixels


@pytest.fixture(scope="module")
def drawn_map(drawn_photo: UInt8Array) -> FloatArray:
    """The default bundle's map of the whole drawn photo at once."""
    rows, columns = (-(-side // 16) for side in drawn_photo.shape[:2])
    return at_once(default_bundle(), drawn_photo)[:rows, :columns]  # what is left over shows padding alone


@pytest.mark.slow
@pytest.mark.parametrize("window_px", [256, 512, 1024, 4096])
def test_the_default_bundle_gives_one_map_whatever_the_windows(
    drawn_photo: UInt8Array, drawn_map: FloatArray, window_px: int
) -> None:
    assert np.abs(load().network.logit_map(drawn_photo, window_px=window_px) - drawn_map).max() <= 1e-3


@pytest.mark.slow
def test_144_px_are_the_smallest_halo_of_the_default_bundle(
    drawn_photo: UInt8Array, drawn_map: FloatArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load()
    assert model.network.field.halo_px == 144
    differences = {}
    for halo_px in (112, 128, 144):
        with monkeypatch.context() as patch:
            patch.setattr(ReceptiveField, "halo_px", halo_px)
            differences[halo_px] = float(np.abs(model.network.logit_map(drawn_photo, window_px=256) - drawn_map).max())
    assert differences[144] < differences[128] < differences[112]
    assert differences[144] <= 1e-4
    assert differences[112] > 1e-3  # what lies at the very edge of a field moves little


@pytest.mark.slow
def test_the_default_bundle_finds_a_drawn_crack_and_its_place() -> None:
    drawing = draw_photo(1, photo_hw=(1536, 2048), n_cracks=1)
    found = mapped(load(), drawing.pixels)
    ys, xs = np.nonzero(drawing.mask)
    on_crack = [found.probability_at(float(x), float(y)) for y, x in zip(ys[::500], xs[::500], strict=True)]
    assert np.mean(on_crack) > found.probabilities.mean()


def test_every_public_name_is_documented() -> None:
    named = {name: getattr(scanning, name) for name in scanning.__all__}
    assert [name for name, one in named.items() if isinstance(one, (type, FunctionType)) and not one.__doc__] == []


@pytest.mark.parametrize("window_px", [0, -32, 100])
def test_a_window_that_does_not_fit_the_stride_is_refused(bundle_file: Path, window_px: int) -> None:
    with pytest.raises(DataError, match="must be a multiple of 32"):
        opened(bundle_file).network.logit_map(np.zeros((64, 64, 3), np.uint8), window_px=window_px)


def test_a_plain_number_is_no_scale_of_a_photo() -> None:
    number: Any = 0.3
    with pytest.raises(DataError, match=r"scale is 0\.3; it must be a scale such as crackscope\.Scale\(0\.3\)"):
        prepare_photo(Image(noise((64, 64))), tiny_card(), scale=number)
