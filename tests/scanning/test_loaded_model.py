"""A loaded model gives one answer to one image, in whatever form, process or thread it is asked."""

from __future__ import annotations

import io
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from PIL import Image as pillow

from crackscope.arrays import UInt8Array
from crackscope.drawing.walls import draw_patch, draw_photo
from crackscope.errors import BundleError, DataError
from crackscope.files.images import read_image
from crackscope.model import sessions
from crackscope.model.bundle import default_bundle, read_bundle, require_precision
from crackscope.scanning import loaded_model
from crackscope.scanning.loaded_model import Model, load, predict, scan
from crackscope.scanning.prediction import PredictionRow
from crackscope.scanning.results import PhotoResult

PATCH = draw_patch(1, side_px=128).pixels
PHOTO = draw_photo(1, photo_hw=(600, 800)).pixels


def encoded(pixels: UInt8Array) -> bytes:
    stream = io.BytesIO()
    pillow.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A patch and a photo, by name."""
    for name, pixels in (("a-patch.png", PATCH), ("b-photo.png", PHOTO)):
        (tmp_path / name).write_bytes(encoded(pixels))
    return tmp_path


@pytest.fixture(scope="module")
def model(bundle_file: Path) -> Model:
    return load(bundle_file, threads=2)


def generated(images: list[Any]) -> Iterator[Any]:
    yield from images


SOURCES: dict[str, Callable[[list[Path]], Any]] = {
    "paths": lambda files: files,
    "texts": lambda files: [str(file) for file in files],
    "folder": lambda files: files[0].parent,
    "glob": lambda files: f"{files[0].parent}/*.png",
    "bytes": lambda files: [file.read_bytes() for file in files],
    "images": lambda files: [read_image(file) for file in files],
    "PIL": lambda files: [pillow.open(file) for file in files],
    "arrays": lambda files: [PATCH, PHOTO],
    "generator": lambda files: generated([PATCH, PHOTO]),
    "mixed": lambda files: generated([files[0], PHOTO]),
}


def said(row: PredictionRow) -> tuple[object, ...]:
    return row.unit, row.label, row.crack_probability, row.threshold, row.reason, row.model, row.error


@pytest.mark.parametrize("name", SOURCES)
def test_the_answer_is_the_same_in_whatever_form_images_come(model: Model, folder: Path, name: str) -> None:
    files = sorted(folder.iterdir())
    expected = [*model.predict(files)]
    assert [row.unit for row in expected] == ["patch", "photo"]
    for rows in (model.predict(SOURCES[name](files)), predict(SOURCES[name](files), model)):
        assert [said(row) for row in rows] == [said(row) for row in expected]


@pytest.mark.parametrize("name", SOURCES)
def test_a_scan_is_the_same_in_whatever_form_photos_come(model: Model, folder: Path, name: str) -> None:
    files = sorted(folder.iterdir())
    expected = [model.scan(file) for file in files]
    for found, same in zip(scan(SOURCES[name](files), model), expected, strict=True):
        assert found.to_dict() | {"path": ""} == same.to_dict() | {"path": ""}
        assert found.map is not None
        assert same.map is not None
        np.testing.assert_array_equal(found.map.logits, same.map.logits)


@pytest.mark.parametrize("patch", [PATCH, encoded(PATCH), pillow.fromarray(PATCH)], ids=["array", "bytes", "PIL image"])
def test_a_patch_is_classified_as_its_row_says(model: Model, patch: Any) -> None:
    (row,) = model.predict(patch)
    one = model.classify(patch)
    assert (one.label, one.crack_probability, one.threshold, one.reason) == said(row)[1:5]


@pytest.mark.parametrize("wrong", [None, 7, {"a": 1}, [None], np.zeros((9, 9)), object()], ids=range(6))
def test_what_is_no_image_is_one_line(model: Model, wrong: Any) -> None:
    for ask in (model.predict, model.classify, model.scan, lambda source: list(scan(source, model))):
        with pytest.raises(DataError) as caught:
            ask(wrong)
        assert "\n" not in str(caught.value)


def test_a_list_is_no_single_image(model: Model) -> None:
    asks: tuple[Callable[[Any], object], ...] = (model.classify, model.scan)
    for ask in asks:
        with pytest.raises(DataError, match="cannot be taken from list"):
            ask([PATCH])


def test_what_cannot_be_read_is_a_row_or_a_result_with_its_reason(model: Model, folder: Path) -> None:
    (folder / "c-torn.png").write_bytes(encoded(PATCH)[:100])
    source: list[str | Path | bytes] = [folder, folder / "gone.png", b""]
    rows, results = [*model.predict(source)], [*scan(source, model)]
    for found in (rows, results):
        assert [Path(one.path).name for one in found] == ["a-patch.png", "b-photo.png", "c-torn.png", "gone.png", "#2"]
        assert [one.error is None for one in found] == [True, True, False, False, False]
    assert [row.error for row in rows] == [result.error for result in results]
    assert results[3] == PhotoResult(str(folder / "gone.png"), model.name, error=rows[3].error)


def test_a_row_comes_before_the_next_frame_but_a_few_is_asked_for(model: Model) -> None:
    taken = []

    def frames() -> Iterator[UInt8Array]:
        for i in range(1000):
            taken.append(i)
            yield PATCH

    rows = model.predict(frames())
    assert taken == []
    assert next(rows).path == "#0"
    assert len(taken) <= 2 * model.threads


# One session


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A number for every session that ONNX Runtime opens from now on."""
    found: list[int] = []
    inner = onnxruntime.InferenceSession

    def counted(*arguments: Any, **options: Any) -> Any:
        found.append(len(found))
        return inner(*arguments, **options)

    monkeypatch.setattr(onnxruntime, "InferenceSession", counted)
    return found


def test_a_model_opens_one_session_for_patches_and_photos(bundle_file: Path, folder: Path, opened: list[int]) -> None:
    model = load(bundle_file, threads=2)
    list(model.predict(folder))
    list(scan(folder, model))
    model.classify(PATCH)
    with ThreadPoolExecutor(4) as pool:
        results = [*pool.map(model.scan, [PHOTO] * 4)]
    assert all(result == results[0] for result in results)
    assert load(model) is model
    assert opened == [0]


def test_a_model_that_is_handed_over_opens_one_session(bundle_file: Path, opened: list[int]) -> None:
    model = load(bundle_file, threads=3)
    kept = pickle.dumps(model)
    assert len(kept) < 1000  # as path and digest
    with ThreadPoolExecutor(4) as pool:
        again = [*pool.map(pickle.loads, [kept] * 8)]
    assert all(one is model for one in again)
    assert len(opened) == 1
    expected, name = model.classify(PATCH), model.name
    loaded_model._LIVE.clear()  # as in another process
    with ThreadPoolExecutor(4) as pool:
        again = [*pool.map(pickle.loads, [kept] * 8)]
    assert len({id(one) for one in again}) == 1
    assert len(opened) == 2
    assert (again[0].name, again[0].threads) == (name, 3)
    assert again[0].classify(PATCH) == expected


def test_a_model_of_a_bundle_in_memory_is_handed_over_whole(bundle_file: Path) -> None:
    bundle = read_bundle(bundle_file)
    model = Model(type(bundle)(bundle.content, bundle.card, "memory.onnx"), threads=1)
    assert pickle.loads(pickle.dumps(model)).classify(PATCH) == model.classify(PATCH)


def test_a_bundle_that_changed_meanwhile_is_not_taken_for_the_one_that_was_loaded(
    bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "model.onnx"
    place.write_bytes(bundle_file.read_bytes())
    kept = pickle.dumps(load(place))
    monkeypatch.setattr(loaded_model, "_LIVE", {})  # as in another process
    place.write_bytes(default_bundle().read_bytes())
    with pytest.raises(BundleError, match=r"model\.onnx: not the bundle that was loaded"):
        pickle.loads(kept)
    place.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        pickle.loads(kept)


def test_the_default_model_is_handed_over_by_its_name() -> None:
    """Another machine, or another environment, has it elsewhere."""
    for precision in ("fp32", "int8"):
        model = load(precision=precision)
        kept = pickle.dumps(model)
        assert b"assets" not in kept
        assert pickle.loads(kept) is model


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_answers_though_the_fork_came_while_a_session_was_opened(bundle_file: Path) -> None:
    model = load(bundle_file, threads=1)
    expected = model.classify(PATCH)
    with sessions._opening, loaded_model._reopening:
        child = os.fork()
        if child == 0:
            os._exit(0 if pickle.loads(pickle.dumps(model)).classify(PATCH) == expected else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def classified(model: Model) -> tuple[int, str]:
    return os.getpid(), repr(model.classify(PATCH)) + repr(model.scan(PHOTO))


@pytest.mark.slow
def test_processes_answer_alike(bundle_file: Path) -> None:
    model = load(bundle_file, threads=1)
    own = classified(model)
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = [*pool.map(classified, [model] * 4)]
    assert {answer for _, answer in found} == {own[1]}
    assert os.getpid() not in {process for process, _ in found}


def test_a_session_from_before_a_fork_is_not_used_after_it(
    bundle_file: Path, monkeypatch: pytest.MonkeyPatch, opened: list[int]
) -> None:
    model = load(bundle_file, threads=2)
    expected = model.scan(PHOTO)
    monkeypatch.setattr(os, "getpid", lambda: -2)
    assert model.scan(PHOTO) == expected
    assert len(opened) == 2


# What a model says of itself


def test_a_model_tells_its_name_labels_patch_size_and_threshold(model: Model) -> None:
    text = repr(model)
    for told in (model.name, "labels crack", "patches of 64 px", "0.500"):
        assert told in text
    assert "\n" not in text


def test_a_precision_that_is_not_the_model_s_is_refused(model: Model) -> None:
    with pytest.raises(BundleError, match="it is fp32, and int8 was asked for"):
        load(model, precision="int8")
    require_precision(model.card, "fp32", "tiny")


def test_loading_a_model_asks_no_other_package_for_anything() -> None:
    code = (
        "import sys, crackscope; crackscope.load(); "
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'jinja2') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
