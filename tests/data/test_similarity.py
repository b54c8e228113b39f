"""The same pixels are found in any disguise, and nothing else is."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.arrays import UInt8Array
from crackscope.data import similarity
from crackscope.data.cache import Rows
from crackscope.data.patches import Patch, PatchIndex, content_digest
from crackscope.data.similarity import (
    NEAR_DUPLICATE,
    _aligned_difference,
    _near_pairs,
    _standardised,
    connected,
    duplicate_pairs,
    fingerprints,
    look_alike_groups,
)
from crackscope.drawing.walls import draw_patch, draw_photo
from shared.memory_files import MemoryFiles
from shared.pictures import jpeg, png

N_WALLS = 16


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))


@functools.lru_cache(maxsize=1)
def walls() -> tuple[UInt8Array, ...]:
    return tuple(draw_patch(seed, crack=seed % 2 == 0).pixels for seed in range(N_WALLS))


def rows_for(contents: Iterable[bytes]) -> Rows:
    files = {f"{i:04d}": content for i, content in enumerate(contents)}
    return fingerprints(
        PatchIndex("walls", tuple(Patch(path, "crack") for path in files), MemoryFiles(files)), threads=2
    )


def rearranged(rows: Rows, order: Iterable[int]) -> Rows:
    places = list(order)
    return Rows(rows.values[places], tuple(rows.digests[i] for i in places))


def resized(pixels: UInt8Array, factor: float) -> UInt8Array:
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=way).astype(np.uint8, copy=False)


def png_resized(pixels: UInt8Array, factor: float) -> bytes:
    return png(resized(pixels, factor))


DISGUISES: dict[str, Callable[[UInt8Array], bytes]] = {
    **{f"jpeg {quality}": functools.partial(jpeg, quality=quality) for quality in (50, 75, 95)},
    **{f"resized {factor}": functools.partial(png_resized, factor=factor) for factor in (0.5, 0.7, 1.4, 2)},
    "flipped left to right": lambda pixels: png(pixels[:, ::-1]),
    "flipped upside down": lambda pixels: png(pixels[::-1]),
    "turned by a half": lambda pixels: png(pixels[::-1, ::-1]),
    "turned by a quarter": lambda pixels: png(np.rot90(pixels)),
    "turned by three quarters": lambda pixels: png(np.rot90(pixels, 3)),
    "transposed": lambda pixels: png(pixels.transpose(1, 0, 2)),
    "turned by a quarter and flipped": lambda pixels: png(np.rot90(pixels, 3)[:, ::-1]),
    "halved, turned by a quarter, jpeg 50": lambda pixels: jpeg(
        np.ascontiguousarray(np.rot90(resized(pixels, 0.5))), 50
    ),
    "halved, turned, jpeg 50": lambda pixels: jpeg(np.ascontiguousarray(resized(pixels, 0.5)[::-1, ::-1]), 50),
    "doubled, flipped, jpeg 50": lambda pixels: jpeg(np.ascontiguousarray(resized(pixels, 2)[:, ::-1]), 50),
}


@pytest.mark.parametrize("disguise", DISGUISES)
def test_the_same_pixels_are_found_and_nothing_else(disguise: str) -> None:
    copies = [DISGUISES[disguise](pixels) for pixels in walls()]
    pairs = duplicate_pairs(rows_for([*(png(pixels) for pixels in walls()), *copies]))
    assert pairs.tolist() == [[i, i + N_WALLS] for i in range(N_WALLS)]


def test_equal_files_are_told_once_each_with_the_first() -> None:
    a, b = png(walls()[0]), png(walls()[1])
    pairs = duplicate_pairs(rows_for([b, a, a, b, a]))
    assert pairs.tolist() == [[0, 3], [1, 2], [1, 4]]
    assert pairs.dtype == np.int64


def test_crops_of_one_photo_are_no_duplicates() -> None:
    photo = draw_photo(3, photo_hw=(512, 512)).pixels
    places = itertools.product(range(0, 449, 64), repeat=2)  # each crop is shifted by half a side
    crops = [png(photo[y : y + 128, x : x + 128]) for y, x in places]
    assert len(duplicate_pairs(rows_for(crops))) == 0


def test_blank_pictures_are_not_all_pairs() -> None:
    rng = np.random.default_rng(0)
    levels = [np.full((64, 64, 3), level, np.uint8) for level in range(60)]
    noisy = [np.clip(rng.normal(120, 2, (227, 227, 3)), 0, 255).astype(np.uint8) for _ in range(20)]
    contents = [*map(png, levels), *(jpeg(pixels, 60) for pixels in noisy)]
    assert len(duplicate_pairs(rows_for(contents))) == 0
    assert duplicate_pairs(rows_for([png(levels[0])] * 4)).tolist() == [[0, 1], [0, 2], [0, 3]]


def test_refused_patches_are_in_no_pair() -> None:
    good = png(walls()[0])
    rows = rows_for([b"", good, b"", b"text", good])
    assert sorted(rows.refused) == [0, 2, 3]
    assert duplicate_pairs(rows).tolist() == [[1, 4]]
    assert look_alike_groups(rows).tolist() == [-1, 0, -1, -1, 0]
    nothing = rows_for([b"", b""])
    assert duplicate_pairs(nothing).shape == (0, 2)
    assert look_alike_groups(nothing).tolist() == [-1, -1]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_patches(n: int) -> None:
    rows = rows_for(png(pixels) for pixels in walls()[:n])
    assert duplicate_pairs(rows).shape == (0, 2)
    assert look_alike_groups(rows).tolist() == list(range(n))


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (2, 3), (1000, 20)])
def test_any_size_has_a_fingerprint(shape: tuple[int, int]) -> None:
    rows = rows_for([png(np.random.default_rng(0).integers(0, 256, (*shape, 3)).astype(np.uint8))])
    assert not rows.refused
    assert np.isfinite(rows.values).all()


@functools.lru_cache(maxsize=1)
def mixed_rows() -> Rows:
    """24 drawn walls, some twice, some in disguise."""
    walls = [draw_patch(seed, side_px=96).pixels for seed in range(24)]
    contents = [png(pixels) for pixels in walls]
    contents += [*contents[:5], *(jpeg(pixels[:, ::-1], 80) for pixels in walls[3:9])]
    return rows_for(contents)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(35)), st.integers(1, 3))
def test_order_and_threads_change_nothing_of_what_belongs_together(order: list[int], threads: int) -> None:
    rows = mixed_rows()
    expected = connected(35, duplicate_pairs(rows))
    found = connected(35, duplicate_pairs(rearranged(rows, order), threads=threads))
    together = expected[order][:, None] == expected[order][None]
    np.testing.assert_array_equal(found[:, None] == found[None], together)


def noisy_thumbnails(n: int) -> np.ndarray:
    """Thumbnails in families around the limit between near duplicates and others."""
    rng = np.random.default_rng(1)
    parents = rng.normal(120, 25, (n // 10, 32, 32))
    children = parents[rng.integers(0, len(parents), n)] + rng.uniform(0, 16, (n, 1, 1)) * rng.normal(size=(n, 32, 32))
    turned = rng.random(n) < 0.5
    children[turned] = children[turned].transpose(0, 2, 1)
    flips = rng.integers(0, 4, n)
    children[flips % 2 == 1] = children[flips % 2 == 1][:, ::-1]
    children[flips >= 2] = children[flips >= 2][:, :, ::-1]
    return _standardised(children.reshape(n, -1), np.arange(n))[0]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_sieve_loses_no_pair(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    monkeypatch.setattr(similarity, "_TILE", 64)
    thumbnails = noisy_thumbnails(300)
    all_pairs = np.array(list(itertools.combinations(range(300), 2)))
    near = all_pairs[_aligned_difference(thumbnails, all_pairs) <= NEAR_DUPLICATE]
    assert 500 < len(near) < 0.1 * len(all_pairs)
    found = _near_pairs(thumbnails, threads)
    assert sorted(found.tolist()) == near.tolist()


def synthetic_rows(n: int, seed: int = 0) -> Rows:
    """Rows of random pictures with three kinds of looks."""
    rng = np.random.default_rng(seed)
    looks = 3.0 * rng.integers(0, 3, (n, 1)) + rng.normal(0, 0.3, (n, 11))
    values = np.concatenate([rng.uniform(0, 255, (n, 1024)), looks], 1).astype(np.float16)
    return Rows(values, tuple(content_digest(bytes([i % 256, i // 256])) for i in range(n)))


def test_groups_depend_on_the_seed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = synthetic_rows(700)
    first = look_alike_groups(rows, seed=1, threads=1)
    assert len(set(first.tolist())) == 12
    for threads in (2, 4):
        np.testing.assert_array_equal(look_alike_groups(rows, seed=1, threads=threads), first)
    assert (look_alike_groups(rows, seed=2) != first).any()
    assert sorted(set(first.tolist())) == list(range(12))
    firsts = [first.tolist().index(group) for group in range(12)]
    assert firsts == sorted(firsts)  # numbered as they appear


def test_groups_gather_what_looks_alike() -> None:
    rows = synthetic_rows(600)
    kind = np.round(np.asarray(rows.values[:, 1024:], float).mean(1) / 3)
    groups = look_alike_groups(rows)
    assert all(len(set(kind[groups == group])) == 1 for group in set(groups.tolist()))


def test_duplicates_and_patches_that_belong_together_share_a_group() -> None:
    rows = synthetic_rows(300)
    twice = rearranged(rows, [*range(300), *range(50)])
    groups = look_alike_groups(twice)
    np.testing.assert_array_equal(groups[300:], groups[:50])
    together = np.stack([np.arange(0, 299, 2), np.arange(1, 300, 2)], 1)
    groups = look_alike_groups(rows, together=together)
    np.testing.assert_array_equal(groups[::2], groups[1::2])
    at_hand = look_alike_groups(rows, together=together, pairs=duplicate_pairs(rows))
    np.testing.assert_array_equal(at_hand, groups)


def test_equal_looks_are_one_group_without_a_warning() -> None:
    values = np.zeros((40, 1035), np.float16)
    values[:, :1024] = np.random.default_rng(0).uniform(0, 255, (40, 1024))
    groups = look_alike_groups(Rows(values, tuple(content_digest(bytes([i])) for i in range(40))))
    assert groups.shape == (40,)
    assert groups.min() == 0
