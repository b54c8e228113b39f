"""What a phase learns from is the same from the cache, from memory and from the files."""

from __future__ import annotations

import errno
import os
import shutil
import time
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch

from crackscope.data import cache as cache_module
from crackscope.data.patches import Patch, PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.errors import DataError, ImageError, OutputError
from crackscope.files.archives import Files
from crackscope.files.images import decode_image
from crackscope.model.bundle import Backbone, read_backbone
from crackscope.model.features import extract_features
from crackscope.model.preprocessing import resize_patch
from crackscope.model.sessions import open_session
from crackscope.training.augmentation import Augmentation, square, view_of
from crackscope.training.torch import material as material_module
from crackscope.training.torch.material import Material, Reader, n_batches, readable
from shared.memory_files import MemoryFiles

PATCH_PX = 64
TURN = Augmentation(rotation_degrees=40, flip_horizontal=True)
NORMALISE = (torch.full((1, 3, 1, 1), 2 / 255), torch.full((1, 3, 1, 1), -1.0))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def parts(drawn: Path) -> PatchIndex:
    index = read_patches(drawn)
    return apply_split(index, split=split(index, by="photo", val=0.25, test=0.25))


@pytest.fixture(scope="module")
def trunk(backbone_file: Path) -> Backbone:
    return read_backbone(backbone_file)


class Counting:
    """Sessions of ONNX Runtime, and how many images they saw."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.n_images = 0

        def counted(*args: Any, **kwargs: Any) -> Any:
            opened = open_session(*args, **kwargs)
            outer = self

            class Session:
                def run(self, outputs: Any, inputs: dict[str, np.ndarray]) -> Any:
                    outer.n_images += len(inputs["pixels"])
                    return opened.run(outputs, inputs)

            return Session()

        monkeypatch.setattr(material_module, "open_session", counted)


def made(
    index: PatchIndex,
    trunk: Backbone | None,
    *,
    output: str = "feature_map",
    augmentation: Augmentation | None = None,
    on_disk: bool = True,
    **changes: Any,
) -> Material:
    reader = Reader(trunk, output=output, patch_px=PATCH_PX, augmentation=augmentation)
    settings = {"threads": 1, "progress": None, "normalise": NORMALISE} | changes
    return Material(index, reader, on_disk=on_disk, **settings)


def collected(batches: Any) -> tuple[np.ndarray, np.ndarray]:
    inputs, targets = zip(*batches, strict=True)
    return torch.cat(inputs).numpy(), torch.cat(targets).numpy()


def shuffled(material: Material, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(material.labels["train"]))


def by_hand(index: PatchIndex, trunk: Backbone | None, output: str, view: int) -> np.ndarray:
    """Rows of patches one by one: read, square, view, resize, run."""
    reader = Reader(trunk, output=output, patch_px=PATCH_PX, augmentation=TURN)
    pixels = [decode_image(index.files.read(path)).pixels for path in index.paths]
    return reader.rows(pixels, [view] * len(pixels), cracked=[False] * len(pixels))[0]


def shards(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.npy"))


# The same rows, whichever way


@pytest.mark.parametrize("output", ["feature_map", "features"])
@pytest.mark.parametrize("augmentation", [None, TURN])
def test_cached_and_streamed_are_the_same(
    parts: PatchIndex, trunk: Backbone, output: str, augmentation: Augmentation | None
) -> None:
    cached = made(parts, trunk, output=output, augmentation=augmentation)
    streamed = made(parts, trunk, output=output, augmentation=augmentation, on_disk=False)
    order = shuffled(cached)
    for epoch in (1, 2):
        pairs = zip(
            (cached.train(order, epoch=epoch, batch_size=7), cached.val(batch_size=7)),
            (streamed.train(order, epoch=epoch, batch_size=7), streamed.val(batch_size=7)),
            strict=True,
        )
        for one, other in pairs:
            (found, labels), (expected, expected_labels) = collected(one), collected(other)
            assert found.dtype == expected.dtype == np.float32
            assert found.shape == expected.shape
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)  # float16 has 11 bits
            assert np.array_equal(labels, expected_labels)


def test_batches_are_in_the_order_asked_for_with_the_labels_of_their_patches(
    parts: PatchIndex, trunk: Backbone
) -> None:
    training = parts.select([patch for patch in parts.patches if patch.part == "train"])
    for on_disk in (True, False):
        material = made(parts, trunk, augmentation=TURN, on_disk=on_disk)
        order = shuffled(material, seed=3)[:20]
        batches = list(material.train(order, epoch=4, batch_size=8))
        assert [len(targets) for _, targets in batches] == [8, 8, 4]
        assert [inputs.shape for inputs, _ in batches] == [(n, 16, 2, 2) for n in (8, 8, 4)]
        found, labels = collected(batches)
        chosen = training.select([training.patches[i] for i in order])
        expected = by_hand(chosen, trunk, "feature_map", 4).transpose(0, 3, 1, 2)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        assert labels.tolist() == [patch.label == "crack" for patch in chosen.patches]
        assert labels.dtype == np.float32


def test_raw_pixels_are_normalised_and_never_cached(parts: PatchIndex, cache: Path) -> None:
    material = made(parts, None, augmentation=TURN)
    assert not material.on_disk
    inputs, _ = next(iter(material.train(shuffled(material), epoch=1, batch_size=5)))
    assert inputs.shape == (5, 3, 64, 64)
    assert inputs.dtype == torch.float32
    assert -1 <= inputs.min() < -0.2
    assert inputs.max() <= 1
    first = material.parts["train"].patches[shuffled(material)[0]]
    pixels = square(decode_image(parts.files.read(first.path)).pixels)
    resized = resize_patch(view_of(pixels, TURN, view=1)[0], patch_px=PATCH_PX)
    np.testing.assert_allclose(inputs[0].permute(1, 2, 0), resized * np.float32(2 / 255) - 1, atol=1e-6)
    assert not shards(cache)


def test_validation_never_sees_an_augmented_view(parts: PatchIndex, trunk: Backbone) -> None:
    plain, turning = made(parts, trunk), made(parts, trunk, augmentation=TURN)
    list(turning.train(shuffled(turning), epoch=3, batch_size=50))
    one, other = collected(plain.val(batch_size=9)), collected(turning.val(batch_size=9))
    assert np.array_equal(one[0], other[0])
    assert np.array_equal(one[1], other[1])


@pytest.mark.parametrize("on_disk", [True, False])
@pytest.mark.parametrize("output", ["feature_map", "features"])
def test_an_epoch_of_which_nothing_is_left_has_no_batches(
    parts: PatchIndex, trunk: Backbone, output: str, on_disk: bool
) -> None:
    """A checkpoint may fall after the last step of an epoch."""
    material = made(parts, trunk, output=output, on_disk=on_disk)
    assert list(material.train(np.array([], np.int64), epoch=1, batch_size=4)) == []


@pytest.mark.parametrize("output", ["feature_map", "features"])
def test_the_rest_of_an_epoch_is_what_the_whole_would_have_shown(
    parts: PatchIndex, trunk: Backbone, output: str
) -> None:
    material = made(parts, trunk, output=output, augmentation=TURN)
    for n in (16, 17, 18):  # patches, in batches of eight
        order = shuffled(material)[:n]
        whole = list(material.train(order, epoch=2, batch_size=8))
        assert len(whole) == n_batches(n, 8)
        for done in range(len(whole)):
            rest = list(material.train(order[done * 8 :], epoch=2, batch_size=8))
            for (one, _), (other, _) in zip(whole[done:], rest, strict=True):
                assert torch.equal(one, other)


@pytest.mark.parametrize("on_disk", [True, False])
def test_a_last_batch_of_a_single_patch_joins_the_one_before(parts: PatchIndex, trunk: Backbone, on_disk: bool) -> None:
    """Batch normalisation can tell no deviation of one map of one cell."""
    material = made(parts, trunk, on_disk=on_disk)
    for n, batch_size, expected in (
        *((17, 8, [8, 9]), (16, 8, [8, 8]), (18, 8, [8, 8, 2]), (9, 8, [9]), (8, 8, [8]), (1, 8, [1]), (2, 1, [2])),
        *((3, 1, [1, 2]), (0, 8, [])),
    ):
        order = shuffled(material)[:n]
        batches = list(material.train(order, epoch=1, batch_size=batch_size))
        assert [len(targets) for _, targets in batches] == expected
        assert n_batches(n, batch_size) == len(expected)


def test_threads_change_nothing(parts: PatchIndex, trunk: Backbone) -> None:
    for on_disk in (True, False):
        one = made(parts, trunk, augmentation=TURN, on_disk=on_disk, threads=1)
        three = made(parts, trunk, augmentation=TURN, on_disk=on_disk, threads=3)
        order = shuffled(one)
        found: list[np.ndarray] = []
        for material in (one, three):
            shutil.rmtree(os.environ["CRACKSCOPE_CACHE"], ignore_errors=True)
            found.append(collected(material.train(order, epoch=1, batch_size=8))[0])
        assert np.array_equal(found[0], found[1])


# The cache


def test_a_second_material_computes_nothing(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    first = made(parts, trunk, augmentation=TURN)
    for epoch in (1, 2):
        list(first.train(shuffled(first), epoch=epoch, batch_size=8))
        list(first.val(batch_size=8))
    n_train, n_val = len(first.labels["train"]), len(first.labels["val"])
    assert counting.n_images >= 2 * n_train + n_val
    counting.n_images = 0
    again = made(parts, trunk, augmentation=TURN)
    for epoch in (2, 1):
        list(again.train(shuffled(again), epoch=epoch, batch_size=8))
        list(again.val(batch_size=8))
    assert counting.n_images <= 10  # a black patch each time the shape is asked for, no patch of the walls


def test_a_second_material_computes_nothing_on_several_threads(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = Counting(monkeypatch)
    list(made(parts, trunk).val(batch_size=8))
    counting.n_images = 0
    real = cache_module._load

    def slow(path: Path) -> Any:
        time.sleep(0.5)
        return real(path)

    monkeypatch.setattr(cache_module, "_load", slow)
    list(made(parts, trunk, threads=4).val(batch_size=8))
    assert counting.n_images <= 5


def test_within_one_material_validation_is_read_once(parts: PatchIndex, trunk: Backbone) -> None:
    told: list[tuple[int, int]] = []
    material = made(parts, trunk, progress=lambda done, total: told.append((done, total)))
    list(material.val(batch_size=8))
    n_told = len(told)
    assert n_told > 0
    list(material.val(batch_size=8))
    assert len(told) == n_told


def test_plain_features_are_those_of_the_recipe_head(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = parts.select([patch for patch in parts.patches if patch.part == "val"])
    rows = extract_features(wanted, trunk, patch_px=PATCH_PX, threads=1)
    assert rows.n_computed == len(wanted)
    material = made(parts, trunk, output="features")
    computed = []
    monkeypatch.setattr("crackscope.model.features.run_patches", lambda *args, **kwargs: computed.append(args))
    np.testing.assert_array_equal(collected(material.val(batch_size=8))[0], rows.values)
    assert computed == []


def test_every_view_trunk_size_and_augmentation_has_rows_of_its_own(trunk: Backbone, backbone_file: Path) -> None:
    other = Backbone(trunk.graph.__class__(), trunk.card)
    other.graph.CopyFrom(trunk.graph)
    other.graph.initializer[-1].raw_data = b"\0" * len(other.graph.initializer[-1].raw_data)
    readers = [
        Reader(trunk, output="feature_map", patch_px=64, augmentation=TURN),
        Reader(trunk, output="features", patch_px=64, augmentation=TURN),
        Reader(trunk, output="feature_map", patch_px=96, augmentation=TURN),
        Reader(other, output="feature_map", patch_px=64, augmentation=TURN),
        Reader(trunk, output="feature_map", patch_px=64, augmentation=Augmentation(rotation_degrees=41)),
    ]
    folders = [reader.cache(view).folder for reader in readers for view in (1, 2)]
    assert len(set(folders)) == len(folders)
    plain = Reader(trunk, output="feature_map", patch_px=64)
    assert readers[0].cache(0).folder == plain.cache(0).folder  # as they are: for every augmentation
    assert readers[0].cache(0).folder not in folders


def test_without_a_cache_nothing_is_written(parts: PatchIndex, trunk: Backbone, cache: Path) -> None:
    for output in ("feature_map", "features"):
        material = made(parts, trunk, output=output, augmentation=TURN, on_disk=False)
        list(material.train(shuffled(material), epoch=1, batch_size=16))
        list(material.val(batch_size=16))
        material.require_space(10**9)
    assert not cache.exists()


def test_bytes_needed_is_no_less_than_what_is_written(parts: PatchIndex, trunk: Backbone, cache: Path) -> None:
    for output in ("feature_map", "features"):
        for augmentation, n_views in ((None, 5), (TURN, 3)):
            shutil.rmtree(cache, ignore_errors=True)
            material = made(parts, trunk, output=output, augmentation=augmentation)
            for epoch in range(1, n_views + 1):
                list(material.train(shuffled(material), epoch=epoch, batch_size=16))
                list(material.val(batch_size=16))
            written = sum(path.stat().st_size for path in shards(cache))
            headers = 200 * len(shards(cache))
            features_of_val = 64 * len(material.labels["val"])  # plain: float32, though views are float16
            assert written - headers - features_of_val <= material.bytes_needed(n_views) <= 1.3 * written


def test_values_beyond_half_precision_are_clipped_not_infinite(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = made(parts, trunk)
    monkeypatch.setattr(
        Reader,
        "rows",
        lambda self, patches, views, cracked: (
            np.full((len(patches), 2, 2, 16), 1e6, np.float32),
            np.array(cracked, np.float32),
        ),
    )
    found = collected(material.val(batch_size=8))[0]
    assert np.isfinite(found).all()
    assert found.max() == 65504


# A full disk

Usage = namedtuple("Usage", "total used free")


def test_a_disk_that_cannot_hold_the_cache_is_refused_before_anything_is_computed(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    material = made(parts, trunk, augmentation=TURN)
    needed = material.bytes_needed(4)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, needed + 2**30 - 1))
    with pytest.raises(
        OutputError, match=r"cache may take .* GB, and 1.1 GB are free. Free some, set CRACKSCOPE_CACHE"
    ):
        material.require_space(4)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, needed + 2**30))
    material.require_space(4)


def test_what_is_cached_already_needs_no_room(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that filled the disk with its own cache, and was killed, can go on."""
    material = made(parts, trunk, augmentation=TURN)
    for epoch in (1, 2):
        list(material.train(shuffled(material), epoch=epoch, batch_size=16))
    list(material.val(batch_size=16))
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(0, 0, 2**30 + 4000))
    made(parts, trunk, augmentation=TURN).require_space(2)


@pytest.mark.parametrize("output", ["feature_map", "features"])
def test_a_disk_that_fills_up_is_one_clear_line(
    parts: PatchIndex, trunk: Backbone, monkeypatch: pytest.MonkeyPatch, cache: Path, output: str
) -> None:
    real = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.suffix == ".part":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self))
        return real(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    material = made(parts, trunk, output=output, augmentation=TURN)
    with pytest.raises(OutputError, match=r"the cache cannot be written. Free some space, or train with --cache none"):
        list(material.train(shuffled(material), epoch=1, batch_size=16))
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_shard_that_vanishes_is_computed_again(parts: PatchIndex, trunk: Backbone, cache: Path) -> None:
    material = made(parts, trunk)
    before = collected(material.val(batch_size=8))[0]
    (shard,) = shards(cache)
    damaged = bytearray(shard.read_bytes())
    damaged[-1] ^= 1
    shard.write_bytes(damaged)
    assert np.array_equal(collected(made(parts, trunk).val(batch_size=8))[0], before)
    for path in shards(cache):
        path.unlink()
    assert np.array_equal(collected(made(parts, trunk).val(batch_size=8))[0], before)


# Patches that are none


def index_of(sizes_hw: Sequence[tuple[int, int]]) -> PatchIndex:
    rng = np.random.default_rng(0)
    contents = {
        f"{i}.png": cv2.imencode(".png", rng.integers(0, 256, (*hw, 3), dtype=np.uint8))[1].tobytes()
        for i, hw in enumerate(sizes_hw)
    }
    patches = [
        Patch(path, ("crack", "uncracked")[i % 2], part=("train", "train", "val", "val")[i % 4])
        for i, path in enumerate(contents)
    ]
    return PatchIndex("memory", tuple(patches), MemoryFiles(contents))


def test_what_cannot_be_read_or_is_no_patch_is_told_by_its_place() -> None:
    index = index_of([(40, 40), (8, 8), (40, 80), (64, 64), (2049, 2049), (40, 60), (40, 61), (16, 16)])
    assert isinstance(index.files, MemoryFiles)
    index.files.contents["3.png"] = b"%PDF-1.7"
    index.files.contents["0.png"] = index.files.contents["0.png"][:50]
    for _ in range(2):  # the second time from the cache
        digests, refused = readable(index, threads=2, progress=None)
        assert sorted(refused) == [0, 1, 2, 3, 4, 6]
        assert "too small" in refused[1]
        assert "a photo, not a patch" in refused[4]
        assert "a PDF" in refused[3]
        assert [len(digest) for digest in digests] == [0, 32, 32, 0, 32, 32, 32, 32]


def test_the_second_of_two_equal_files_that_are_no_patch_is_told_too() -> None:
    index = index_of([(8, 8)] * 3 + [(40, 40)] * 2)
    assert isinstance(index.files, MemoryFiles)
    for name in ("1.png", "2.png"):
        index.files.contents[name] = index.files.contents["0.png"]
    for threads in (1, 3):
        assert sorted(readable(index, threads=threads, progress=None)[1]) == [0, 1, 2]


@pytest.mark.parametrize("on_disk", [True, False])
def test_patches_that_are_not_square_show_their_middle(trunk: Backbone, on_disk: bool) -> None:
    index = index_of([(64, 80), (96, 64), (50, 70), (64, 64)] * 2)
    material = made(index, trunk, on_disk=on_disk)
    order = np.arange(len(material.labels["train"]))
    found, _ = collected(material.train(order, epoch=1, batch_size=3))
    expected = by_hand(material.parts["train"], trunk, "feature_map", 0).transpose(0, 3, 1, 2)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
    raw = made(index, None, on_disk=on_disk)
    assert collected(raw.train(order, epoch=1, batch_size=3))[0].shape == (4, 3, 64, 64)


def test_a_patch_that_turned_into_a_photo_meanwhile_is_refused(trunk: Backbone) -> None:
    index = index_of([(64, 64)] * 4)
    assert isinstance(index.files, MemoryFiles)
    material = made(index, trunk, on_disk=False)
    index.files.contents["0.png"] = cv2.imencode(".png", np.zeros((64, 200, 3), np.uint8))[1].tobytes()
    with pytest.raises(ImageError, match="not a patch"):
        list(material.train(np.arange(2), epoch=1, batch_size=2))


# Views with another label

DRAWING = Augmentation(drawn_cracks=0.5, zoom_in=2, views=2)


@pytest.mark.parametrize("output", ["features", "feature_map"])
def test_a_file_that_vanishes_after_the_first_look_stops_the_run(trunk: Backbone, drawn: Path, output: Any) -> None:
    """Its row would be zeros, under a real label."""

    class Vanishing:
        def __init__(self, files: Files, name: str) -> None:
            self.names, self._files, self._name = files.names, files, name

        def read(self, name: str) -> bytes:
            if name == self._name:
                raise FileNotFoundError(2, "No such file or directory", name)
            return self._files.read(name)

    index = read_patches(drawn)
    index = apply_split(index, split=split(index, val=0.25, test=0.25))
    gone = next(patch.path for patch in index.patches if patch.part == "train")
    material = made(replace(index, files=Vanishing(index.files, gone)), trunk, output=output)
    with pytest.raises(DataError, match=rf"{gone}: .*though it could be read before. Go on with --resume"):
        list(material.train(shuffled(material), epoch=1, batch_size=16))


def test_a_view_with_a_crack_drawn_on_it_counts_as_cracked(parts: PatchIndex, trunk: Backbone) -> None:
    cached, streamed = (made(parts, trunk, augmentation=DRAWING, on_disk=on_disk) for on_disk in (True, False))
    order = shuffled(cached)
    own = cached.labels["train"][order]
    plain = collected(made(parts, trunk).train(order, epoch=1, batch_size=8))
    for epoch in (1, 2, 3, 4):
        found, labels = collected(cached.train(order, epoch=epoch, batch_size=8))
        expected, expected_labels = collected(streamed.train(order, epoch=epoch, batch_size=8))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-6)
        assert np.array_equal(labels, expected_labels)
        assert labels.dtype == np.float32
        assert (labels >= own).all()
        assert 0 < (labels > own).sum() < (own == 0).sum()
        as_they_are = (order + epoch) % 3 == 0
        assert np.array_equal(labels[as_they_are], own[as_they_are])
        assert np.array_equal(found[as_they_are], plain[0][as_they_are])
        assert not np.array_equal(found[~as_they_are], plain[0][~as_they_are])
    first, fourth = (collected(cached.train(order, epoch=epoch, batch_size=8))[0] for epoch in (1, 4))
    assert np.array_equal(first, fourth)


def test_rows_that_are_kept_by_label_come_in_any_order(parts: PatchIndex, trunk: Backbone) -> None:
    material = made(parts, trunk, augmentation=DRAWING)
    forth = np.arange(len(material.labels["train"]))
    found, labels = collected(material.train(forth, epoch=1, batch_size=1))
    back = shuffled(material, seed=5)
    turned, turned_labels = collected(material.train(back, epoch=1, batch_size=6))
    assert np.array_equal(turned, found[back])
    assert np.array_equal(turned_labels, labels[back])


def test_views_by_label_are_counted_in_the_cache(parts: PatchIndex, trunk: Backbone, cache: Path) -> None:
    material = made(parts, trunk, augmentation=DRAWING)
    for epoch in (1, 2, 3):
        list(material.train(shuffled(material), epoch=epoch, batch_size=16))
    list(material.val(batch_size=16))
    written = sum(path.stat().st_size for path in shards(cache))
    assert written - 200 * len(shards(cache)) <= material.bytes_needed(3) + 4 * len(parts) <= 1.3 * written
