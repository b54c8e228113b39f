import os
import subprocess
import sys
import tarfile
import threading
import zipfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as pillow

from crackscope import Model
from crackscope.acceptance.decision import accept
from crackscope.arrays import UInt8Array
from crackscope.data.patches import read_patches
from crackscope.drawing.walls import draw_dataset, draw_patch
from crackscope.errors import BundleError, CrackscopeError, DataError, ImageError
from crackscope.files import inputs
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.sources import HeldImage, SourceImage
from crackscope.measuring.judging import evaluate
from crackscope.model.bundle import Head, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import Calibration
from crackscope.scanning import loaded_model, prediction
from crackscope.scanning.loaded_model import load, predict, rows_of
from crackscope.scanning.prediction import PredictionRow, unit_of
from crackscope.scanning.prediction_table import write_predictions
from shared.models import tiny_card
from shared.pictures import noise, save


@pytest.fixture(scope="module")
def model(bundle_file: Path) -> Model:
    return load(bundle_file, threads=2)


@pytest.fixture(scope="module")
def patches() -> list[UInt8Array]:
    sizes = [(96, 96), (64, 64), (100, 81), (128, 96)]
    return [noise(sizes[i % 4], seed=i) for i in range(33)]


def test_the_default_model_loads_in_either_precision(bundle_file: Path) -> None:
    rounded = load(precision="int8")
    assert rounded.name.startswith("default-int8@")
    crack, wall = draw_patch(1, crack=True).pixels, draw_patch(1, crack=False).pixels
    for pixels in (crack, wall):
        exact = load().classify(pixels).crack_probability
        assert rounded.classify(pixels).crack_probability == pytest.approx(exact, abs=0.2)
    with pytest.raises(BundleError, match="it is fp32, and int8 was asked for"):
        load(read_bundle(bundle_file), precision="int8")


def by_hand(bundle_file: Path, pixels: UInt8Array) -> float:
    """What anybody with ONNX Runtime and the card's one resize gets."""
    scale = 64 / min(pixels.shape[:2])
    size = (round(pixels.shape[1] * scale), round(pixels.shape[0] * scale))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR if scale >= 0.5 else cv2.INTER_AREA)
    session = onnxruntime.InferenceSession(bundle_file.read_bytes())
    return float(session.run(["probability"], {"pixels": resized[None]})[0][0, 0])


@pytest.mark.parametrize("hw", [(96, 96), (64, 64), (40, 40), (100, 81), (81, 100), (128, 96), (153, 153)])
def test_every_way_gives_the_same_probability(
    model: Model, bundle_file: Path, patches: list[UInt8Array], tmp_path: Path, hw: tuple[int, int]
) -> None:
    pixels = noise(hw, seed=99)
    save(tmp_path / "p.png", pixels)
    found = [
        model.classify(pixels).crack_probability,
        model.classify(Image(pixels)).crack_probability,
        [model.classify(one) for one in (*patches[:31], pixels)][-1].crack_probability,
        list(model.predict([*patches[:31], pixels]))[-1].crack_probability,
        float(model.probabilities([pixels])[0]),
        float(model.probabilities([*patches[:31], pixels])[-1]),
        next(predict(tmp_path / "p.png", model)).crack_probability,
    ]
    assert found == pytest.approx([by_hand(bundle_file, pixels)] * 7, abs=1e-4)


@settings(deadline=None, max_examples=25)
@given(order=st.permutations(range(12)), threads=st.integers(1, 4))
def test_order_company_and_threads_change_nothing(
    bundle_file: Path, patches: list[UInt8Array], order: list[int], threads: int
) -> None:
    model = load(bundle_file, threads=threads)
    expected = [model.classify(patches[i]).crack_probability for i in order]
    found = model.probabilities([patches[i] for i in order])
    assert found.tolist() == pytest.approx(expected, abs=1e-4)


def test_a_batch_of_nothing_is_nothing(model: Model) -> None:
    assert list(model.predict([])) == []
    assert model.probabilities([]).shape == (0,)
    assert list(rows_of([], model)) == []


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
    expected = model.classify(np.ascontiguousarray(views[view]))
    assert model.classify(views[view]) == expected


@pytest.mark.parametrize(
    ("wrong", "found"),
    [
        (np.zeros((64, 64)), "float64 (64, 64)"),
        (np.zeros((64, 64, 1), np.uint8), "uint8 (64, 64, 1)"),
        (np.zeros((64, 64, 4), np.uint8), "uint8 (64, 64, 4)"),
        (np.zeros((3, 64, 64), np.uint8), "uint8 (3, 64, 64)"),
        (np.zeros((2, 64, 64, 3), np.uint8), "uint8 (2, 64, 64, 3)"),
        (np.zeros((64, 64, 3), np.float32), "float32 (64, 64, 3)"),
        (np.zeros((64, 64, 3), np.int8), "int8 (64, 64, 3)"),
        (np.zeros((64, 64, 3), bool), "bool (64, 64, 3)"),
        (np.zeros(64, np.uint8), "uint8 (64,)"),
        (None, "cannot be taken from NoneType"),
        ([[[1, 2, 3]]], "cannot be taken from list"),
    ],
)
def test_what_is_no_rgb_array_is_named(model: Model, wrong: Any, found: str) -> None:
    for ask in (model.classify, lambda image: model.probabilities([image])):
        with pytest.raises(DataError) as caught:
            ask(wrong)
        assert found in str(caught.value)


def test_a_grey_array_is_one_of_three_equal_channels(model: Model) -> None:
    grey = noise((64, 96))[:, :, 0]
    assert model.classify(grey) == model.classify(np.stack([grey] * 3, axis=2))


def test_a_text_is_the_path_of_a_patch(model: Model, tmp_path: Path) -> None:
    save(tmp_path / "p.png", noise((96, 96)))
    assert model.classify(str(tmp_path / "p.png")) == model.classify(noise((96, 96)))
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        model.classify(str(tmp_path / "patch.png"))


@pytest.mark.parametrize(
    ("hw", "unit"),
    [
        ((153, 153), "patch"),  # 1.2 times source_px 128
        ((154, 154), "photo"),
        ((154, 140), "photo"),
        ((153, 102), "patch"),
        ((153, 101), "photo"),  # more than 1.5 to 1
        ((60, 90), "patch"),
        ((90, 60), "patch"),
        ((60, 91), "photo"),
        ((1, 1), "patch"),
    ],
)
def test_the_unit_follows_from_size_and_shape(hw: tuple[int, int], unit: str) -> None:
    assert unit_of(hw, tiny_card()) == unit


@settings(deadline=None)
@given(height=st.integers(1, 600), width=st.integers(1, 600))
def test_turning_a_picture_does_not_change_its_unit(height: int, width: int) -> None:
    assert unit_of((height, width), tiny_card()) == unit_of((width, height), tiny_card())


@pytest.mark.parametrize(
    ("hw", "message"),
    [
        ((300, 300), r"300×300 px is a photo, not a patch \(at most 154 px a side, one side at most 1.5 times"),
        ((100, 200), "200×100 px is a photo"),
        ((15, 15), r"15×15 px is too small to show anything \(at least 16 px a side\)"),
        ((15, 200), "200×15 px is too small"),
        ((0, 0), "too small"),
        ((0, 40), "too small"),
    ],
)
def test_what_is_no_patch_is_refused_with_its_size(model: Model, hw: tuple[int, int], message: str) -> None:
    with pytest.raises(ImageError, match=message):
        model.classify(noise(hw))
    with pytest.raises(ImageError, match=message):
        model.probabilities([noise((64, 64)), noise(hw)])


@pytest.mark.parametrize(
    ("probability", "band", "label"),
    [
        (0.0, (0.4, 0.6), "uncracked"),
        (0.3999, (0.4, 0.6), "uncracked"),
        (0.4, (0.4, 0.6), "unsure"),
        (0.5, (0.4, 0.6), "unsure"),
        (0.6, (0.4, 0.6), "crack"),
        (1.0, (0.4, 0.6), "crack"),
        (0.5, (0.5, 0.5), "crack"),
        (0.4999, (0.5, 0.5), "uncracked"),
        (0.45, (0.6, 0.7), "uncracked"),
        (0.55, (0.6, 0.7), "crack"),
    ],
)
def test_the_label_at_every_border(probability: float, band: tuple[float, float], label: str) -> None:
    calibration = Calibration(temperature=1, threshold=0.5, unsure_low=band[0], unsure_high=band[1])
    assert calibration.label(probability) == label


def test_a_row_says_what_the_model_says(model: Model, tmp_path: Path) -> None:
    pixels = draw_patch(0, side_px=96, crack=True).pixels
    save(tmp_path / "p.png", pixels)
    said = model.classify(pixels)
    assert said.threshold == 0.5
    assert said.label in ("crack", "uncracked", "unsure")
    expected = PredictionRow(
        str(tmp_path / "p.png"), "patch", said.label, said.crack_probability, said.threshold, None, model.name
    )
    assert list(predict(tmp_path / "p.png", model)) == [expected]
    assert model.name.startswith("tiny@")


def test_a_row_says_which_page_of_several_was_judged(model: Model, tmp_path: Path) -> None:
    for name, sides_px in (("patches", (96, 96)), ("photos", (96, 1500)), ("one", (96,))):
        pages = [pillow.fromarray(noise((side, side))) for side in sides_px]
        pages[0].save(tmp_path / f"{name}.tif", save_all=True, append_images=pages[1:])
    rows = {Path(row.path).stem: (row.unit, row.page) for row in predict(tmp_path, model)}
    assert rows == {"one": ("patch", None), "patches": ("patch", "1 of 2"), "photos": ("photo", "2 of 2")}


def test_what_cannot_be_read_is_one_row_each(model: Model, tmp_path: Path) -> None:
    for i in range(20):
        save(tmp_path / f"{i:02}.png", noise((96, 96), seed=i))
    (tmp_path / "03.png").write_bytes(b"")
    (tmp_path / "05.png").write_bytes(b"%PDF-1.7")
    (tmp_path / "07.png").write_bytes((tmp_path / "08.png").read_bytes()[:-40])
    save(tmp_path / "09.png", noise((300, 400)))
    save(tmp_path / "11.png", noise((8, 8)))
    rows = list(predict(tmp_path, model))
    refused = {i: row for i, row in enumerate(rows) if row.error}
    assert [os.path.basename(row.path) for row in rows] == [f"{i:02}.png" for i in range(20)]  # noqa: PTH119
    assert list(refused) == [3, 5, 7, 11]
    assert [row.unit for row in refused.values()] == [None, None, None, "patch"]
    assert all((row.label, row.crack_probability, row.threshold) == (None,) * 3 for row in refused.values())
    assert "empty" in str(refused[3].error)
    assert "PDF" in str(refused[5].error)
    assert rows[9].unit == "photo"
    assert rows[9].crack_probability == model.scan(noise((300, 400))).crack_probability
    assert "too small" in str(refused[11].error)
    for i in (0, 4, 19):
        assert rows[i].crack_probability == pytest.approx(
            model.classify(noise((96, 96), i)).crack_probability, abs=1e-4
        )


def test_paths_may_be_one_or_several(model: Model, tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.png", noise((64, 64))) for name in "ab"]
    for paths in (tmp_path, str(tmp_path), [str(file) for file in files], tuple(files), f"{tmp_path}/*.png"):
        assert [row.path for row in predict(paths, model)] == [str(file) for file in files]


def test_a_wrong_path_is_told_at_once(model: Model, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no images found"):
        predict(tmp_path, model)


def test_a_file_that_vanishes_is_a_row(model: Model, tmp_path: Path) -> None:
    files = [save(tmp_path / f"{name}.png", noise((64, 64))) for name in "abc"]
    images = list_images([tmp_path])
    files[1].unlink()
    rows = list(rows_of(images, model))
    assert [row.error for row in rows] == [None, "cannot be read: No such file or directory", None]


def test_a_member_that_vanishes_from_its_archive_is_a_row(model: Model, tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise((64, 64)))
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        tar.add(tmp_path / "a.png", "a.png")
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(tmp_path / "a.png", "a.png")
    for kind in ("tar", "zip"):
        image, *_ = list_images([tmp_path / f"x.{kind}"])
        rows = list(rows_of([image, replace(image, path=f"x.{kind}/gone.png", member="gone.png")], model))
        assert rows[0].error is None
        assert str(rows[1].error).startswith("cannot be read: ")


@pytest.mark.parametrize(
    "error", [KeyError("x"), ValueError("embedded null byte"), RuntimeError("no\nluck"), EOFError()]
)
def test_whatever_a_file_raises_is_a_reason_in_one_line(
    model: Model, error: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(inputs, "_read", fail)
    monkeypatch.setattr(inputs, "_opened", fail)
    rows = list(rows_of([ImageFile("x.png", "x.png"), ImageFile("x.zip/x.png", "x.zip", "x.png")], model))
    assert len(rows) == 2
    for row in rows:
        assert row.error
        assert "\n" not in row.error
        assert row.label is None


def test_a_damaged_zip_member_is_a_row(model: Model, tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.zeros((64, 64, 3), np.uint8))
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "a.png", "a.png")
    content = bytearray((tmp_path / "x.zip").read_bytes())
    content[40:60] = b"\xff" * 20
    (tmp_path / "x.zip").write_bytes(content)
    (row,) = predict(tmp_path / "x.zip", model)
    assert str(row.error).startswith("cannot be read: ")


@dataclass(frozen=True)
class CountedImage:
    """An image that notes when it is read."""

    path: str
    content: bytes
    noted: list[str]

    def load(self, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
        self.noted.append(self.path)
        return decode_image(self.content, path=self.path, max_megapixels=max_megapixels)


def test_stopping_early_leaves_no_thread_and_reads_little(model: Model, tmp_path: Path) -> None:
    content = save(tmp_path / "a.png", noise((64, 64))).read_bytes()
    noted: list[str] = []
    before = set(threading.enumerate())
    rows = rows_of((CountedImage(f"{i}.png", content, noted) for i in range(10**6)), model)
    assert next(rows).path == "0.png"
    assert isinstance(rows, Generator)
    rows.close()
    assert set(threading.enumerate()) <= before
    assert len(noted) <= 8 * 5


def test_an_interrupt_in_the_stream_comes_through(model: Model) -> None:
    def images() -> Iterator[SourceImage]:
        yield HeldImage("a.png", b"")
        raise KeyboardInterrupt

    before = set(threading.enumerate())
    with pytest.raises(KeyboardInterrupt):
        list(rows_of(images(), model))
    assert set(threading.enumerate()) <= before


def test_a_large_image_is_refused_by_the_limit(model: Model, tmp_path: Path) -> None:
    save(tmp_path / "a.png", noise((96, 96)))
    (row,) = predict(tmp_path / "a.png", model, max_megapixels=0.001)
    assert "above the limit of 0.001" in str(row.error)


def test_the_crack_label_is_found_wherever_it_stands(backbone_file: Path, tmp_path: Path) -> None:
    weight = np.random.default_rng(0).normal(0, 1, (2, 16)).astype(np.float32)
    card = tiny_card(labels=("spalling", "crack"))
    head = Head(weight, np.zeros(2, np.float32), temperature=2.0)
    write_model(compose(read_backbone(backbone_file), head, card), tmp_path / "two.onnx")
    model = load(tmp_path / "two.onnx")
    pixels = noise((64, 64))
    expected = onnxruntime.InferenceSession(str(tmp_path / "two.onnx")).run(["probability"], {"pixels": pixels[None]})
    assert model.classify(pixels).crack_probability == pytest.approx(expected[0][0, 1], abs=1e-6)
    assert [row.error for row in rows_of([HeldImage("a.png", b"")], model)] == ["the file is empty"]


def test_a_network_that_gives_no_number_never_says_uncracked(backbone_file: Path, tmp_path: Path) -> None:
    head = Head(np.full((1, 16), 3e38, np.float32), np.zeros(1, np.float32), temperature=2.0)
    half = head.weight.copy()
    half[0, ::2] *= -1
    write_model(
        compose(read_backbone(backbone_file), Head(half, head.bias, temperature=2.0), tiny_card()), tmp_path / "m.onnx"
    )
    model, images = load(tmp_path / "m.onnx"), [noise((64, 64), seed) for seed in range(8)]
    for ask in (lambda: [model.classify(one) for one in images], lambda: list(model.predict(images))):
        with pytest.raises(BundleError, match="not a number"):
            ask()
    with pytest.raises(BundleError, match="not a number"):
        model.probabilities(images)


def test_a_bundle_in_memory_can_be_loaded(bundle_file: Path, model: Model) -> None:
    assert load(read_bundle(bundle_file)).name == model.name


def test_threads_come_from_the_environment(bundle_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_THREADS", "3")
    assert load(bundle_file).threads == 3
    monkeypatch.setenv("CRACKSCOPE_THREADS", "many")
    with pytest.raises(CrackscopeError, match="CRACKSCOPE_THREADS is 'many'"):
        load(bundle_file)


def test_predicting_needs_neither_scipy_nor_scikit_learn_nor_torch(bundle_file: Path) -> None:
    heavy = ("scipy", "sklearn", "skimage", "matplotlib", "torch", "transformers")
    script = (
        "import sys, numpy\n"
        "from crackscope.scanning import loaded_model, prediction_table\n"
        f"loaded_model.load({str(bundle_file)!r}).classify(numpy.zeros((64, 64, 3), numpy.uint8))\n"
        f"print([name for name in {heavy} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_documented() -> None:
    for module in (prediction, loaded_model):
        documented = [name for name in module.__all__ if name != "Unit"]  # the name of a type has no docstring
        assert [name for name in documented if not getattr(module, name).__doc__] == []


# What an image is taken for


@pytest.mark.parametrize(
    ("hw", "unit", "expected", "reason"),
    [
        ((96, 96), "auto", "patch", None),
        ((96, 96), "photo", "photo", None),
        ((200, 200), "auto", "photo", None),
        ((200, 200), "patch", "patch", None),
        ((51, 40), "auto", "patch", "too small to judge"),  # below 0.4 times 128 px
        ((52, 40), "auto", "patch", None),
        ((51, 40), "photo", "photo", "too small to judge"),
        ((20, 200), "auto", "photo", None),  # narrow, but long
    ],
)
def test_an_image_is_taken_for_what_is_said_in_every_way(
    model: Model, hw: tuple[int, int], unit: Any, expected: str, reason: str | None
) -> None:
    pixels = noise(hw)
    (row,) = model.predict([pixels], unit=unit)
    result = model.scan(pixels, unit=unit)
    assert (row.unit, row.reason) == (result.unit, result.reason) == (expected, reason)
    assert row.crack_probability == pytest.approx(result.crack_probability, abs=1e-5)
    assert row.label == result.verdict
    assert (row.label == "rejected") == (reason is not None)
    if expected == "patch":
        said = model.classify(pixels, unit=unit)
        assert (said.label, said.reason) == (row.label, row.reason)
        assert said.crack_probability == pytest.approx(row.crack_probability, abs=1e-6)


def test_another_word_and_a_scale_for_a_patch_are_refused(model: Model, tmp_path: Path) -> None:
    wall: Any = "wall"
    for ask in (
        lambda: model.predict([noise((96, 96))], unit=wall),
        lambda: model.scan(noise((96, 96)), unit=wall),
        lambda: write_predictions([noise((96, 96))], model, out=tmp_path / "p.csv", unit=wall),
    ):
        with pytest.raises(DataError, match="images cannot be taken as 'wall'; choose auto, patch, photo"):
            ask()
    with pytest.raises(DataError, match="a patch has no network scale of its own"):
        model.scan(noise((96, 96)), unit="patch", network_scale=1.0)


def test_predict_evaluate_and_accept_judge_a_patch_alike(model: Model, tmp_path: Path) -> None:
    """Larger patches are refused by default, and resized where that is asked for, by each of them."""
    draw_dataset(tmp_path / "large", n_photos=6, patches_per_photo=4, side_px=200, seed=3)
    index = read_patches(tmp_path / "large")
    said = {row.path: row for row in model.predict(tmp_path / "large", unit="patch")}
    judged = evaluate(index, model, unit="patch")
    site = accept(index, model, unit="patch").evaluation
    assert list(judged.probabilities) == list(site.probabilities)
    assert judged.n_patches == len(index) == len(said) > 10
    assert judged.reasons is None  # the model has no gate, and nothing is too small
    for path, probability in zip(judged.paths, judged.probabilities, strict=True):
        (row,) = [one for place, one in said.items() if place.endswith(path)]
        assert row.crack_probability == pytest.approx(float(probability), abs=1e-6)
        assert row.unit == "patch"
    with pytest.raises(DataError, match="--as patch"):
        evaluate(index, model)
