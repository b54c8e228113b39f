"""A row is computed once per file content, is found again, and is never wrong."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import platformdirs
import platformdirs.windows
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from platformdirs.macos import MacOS
from platformdirs.unix import Unix

from crackscope.arrays import UInt8Array
from crackscope.data import cache as cache_module
from crackscope.data.cache import RowCache, RowKind, Rows, cache_folder, compute_rows
from crackscope.data.cache import rows_of as rows_of_kind
from crackscope.data.patches import Patch, PatchIndex, content_digest
from crackscope.errors import DataError, ImageError, OutputError
from crackscope.files.images import decode_image
from shared.memory_files import MemoryFiles

WIDTH = 5


class Compute:
    """A backbone for tests: a row from the pixels alone, and a count of the images it saw."""

    def __init__(self, fail_after: int = 10**9, error: type[BaseException] = RuntimeError) -> None:
        self.n_images, self.fail_after, self.error = 0, fail_after, error
        self.lock = threading.Lock()

    def __call__(self, images: Sequence[UInt8Array]) -> np.ndarray:
        with self.lock:
            self.n_images += len(images)
            if self.n_images > self.fail_after:
                raise self.error("stopped")
        return np.stack([np.arange(WIDTH) + image.astype(np.float32).sum() for image in images]).astype(np.float32)


def rows_of(index: PatchIndex, cache: RowCache, compute: Compute, **options: Any) -> Rows:
    return rows_of_kind(index, RowKind(cache, compute), **options)


def png(number: int) -> bytes:
    pixels = np.full((4, 4, 3), number % 200, np.uint8)
    pixels[0, 0] = number // 200
    return cv2.imencode(".png", pixels)[1].tobytes()


def index_of(contents: dict[str, bytes]) -> PatchIndex:
    return PatchIndex("walls", tuple(Patch(path, "crack") for path in contents), MemoryFiles(contents))


def images(n: int, start: int = 0) -> dict[str, bytes]:
    return {f"{i:05d}.png": png(i) for i in range(start, start + n)}


def opened(key: str = "sum") -> RowCache:
    """A cache that has looked at what is on the disk; it does so when it is first asked."""
    cache = RowCache(key, width=WIDTH)
    len(cache)
    return cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def shards(folder: Path) -> list[Path]:
    return sorted(folder.glob("rows/*/*.npy"))


def test_a_second_call_computes_nothing_whatever_the_order_or_subset() -> None:
    index = index_of(images(30))
    first = rows_of(index, opened(), Compute(), threads=2)
    assert (first.n_computed, first.refused, len(first.digests)) == (30, {}, 30)
    compute = Compute()
    backwards = rows_of(index.select(index.patches[::-1]), opened(), compute, threads=2)
    some = rows_of(index.select(index.patches[3:9]), opened(), compute, threads=2)
    assert (backwards.n_computed, some.n_computed, compute.n_images) == (0, 0, 0)
    np.testing.assert_array_equal(backwards.values, first.values[::-1])
    np.testing.assert_array_equal(some.values, first.values[3:9])
    assert some.digests == first.digests[3:9]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.integers(0, 12), max_size=25), st.lists(st.integers(0, 12), max_size=25), st.integers(1, 3))
def test_what_is_cached_changes_no_row(folder: Path, before: list[int], wanted: list[int], threads: int) -> None:
    contents = {i: png(i) for i in range(13)}
    cache = RowCache(f"{before} {wanted} {threads}", width=WIDTH)
    for numbers in (before, wanted):
        index = index_of({f"{place}.png": contents[i] for place, i in enumerate(numbers)})
        compute = Compute()
        rows = rows_of(index, cache, compute, threads=threads)
        alone = [Compute()([np.asarray(cv2.imdecode(np.frombuffer(contents[i], np.uint8), 1))])[0] for i in numbers]
        np.testing.assert_array_equal(rows.values, np.array(alone).reshape(-1, WIDTH))
        assert rows.n_computed == compute.n_images
    assert rows.n_computed == len(set(wanted) - set(before))  # equal contents are computed once


@pytest.mark.parametrize("threads", [1, 3])
def test_several_kinds_read_and_decode_each_file_once_and_give_what_each_gives_alone(
    folder: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = images(30) | {"again.png": images(1)["00000.png"], "text.jpg": b"no picture"}
    files = MemoryFiles(contents)
    index = replace(index_of(contents), files=files)
    decoded: list[bytes] = []

    def decode(content: bytes) -> object:
        decoded.append(content)
        return decode_image(content)

    monkeypatch.setattr("crackscope.data.cache.decode_image", decode)
    half = index.select(index.patches[:15])
    computes = (Compute(), Compute())
    first, second = (
        RowKind(RowCache(key, width=WIDTH), one) for key, one in zip(("first", "second"), computes, strict=True)
    )
    rows_of_kind(half, first, threads=threads)
    files.read_names.clear()
    decoded.clear()
    together = compute_rows(index, [first, second], threads=threads)
    assert set(Counter(files.read_names).values()) == {1}
    assert len(decoded) <= len(set(contents.values())) + threads  # two threads may meet one content
    assert [rows.n_computed for rows in together] == [15, 30]
    assert [compute.n_images for compute in computes] == [30, 30]
    for kind, rows in zip((first, second), together, strict=True):
        alone = rows_of(index, RowCache("alone", width=WIDTH), Compute())
        assert rows.digests == alone.digests
        assert rows.refused == alone.refused
        np.testing.assert_array_equal(kind.filled(rows).values, alone.values)


def test_what_one_kind_refuses_another_may_take() -> None:
    class Choosy(Compute):
        def __call__(self, images: Sequence[UInt8Array]) -> np.ndarray:
            if any(image.max() < 3 for image in images):
                raise ImageError("too dark")
            return super().__call__(images)

    index = index_of({f"{i}.png": png(i) for i in range(6)})
    choosy, all_rows = compute_rows(
        index, [RowKind(RowCache(key, width=WIDTH), compute) for key, compute in (("a", Choosy()), ("b", Compute()))]
    )
    assert choosy.refused == dict.fromkeys(range(3), "too dark")
    assert not any(choosy.digests[:3])
    assert all(choosy.digests[3:])
    assert not all_rows.refused
    assert all(all_rows.digests)


def test_an_empty_index_has_no_rows() -> None:
    rows = rows_of(index_of({}), opened(), Compute())
    assert (rows.values.shape, rows.digests, rows.refused, rows.n_computed) == ((0, WIDTH), (), {}, 0)


def test_progress_ends_at_the_total() -> None:
    told: list[tuple[int, int]] = []
    rows_of(index_of(images(20)), opened(), Compute(), progress=lambda done, total: told.append((done, total)))
    assert told == [(8, 20), (16, 20), (20, 20)]


def test_refused_files_are_told_and_everything_else_is_done(tmp_path: Path) -> None:
    contents = images(6)
    contents |= {"text.jpg": b"no picture\nat all", "empty.png": b"", "cut.png": contents["00001.png"][:40]}
    index = index_of(contents)
    index = index.select([*index.patches, Patch("gone.png", "crack"), Patch("00002.png", "crack")])
    for n_computed in (6, 0):
        rows = rows_of(index, opened(), Compute(), threads=2)
        assert sorted(rows.refused) == [6, 7, 8, 9]
        assert all(reason and "\n" not in reason for reason in rows.refused.values())
        assert "not an image" in rows.refused[6]
        assert "empty" in rows.refused[7]
        assert rows.n_computed == n_computed
        assert not rows.values[[6, 7, 8, 9]].any()
        assert [digest == b"" for digest in rows.digests] == [False] * 6 + [True] * 4 + [False]
        np.testing.assert_array_equal(rows.values[10], rows.values[2])


def test_a_file_that_cannot_be_opened_has_the_systems_reason(tmp_path: Path) -> None:
    class Locked(MemoryFiles):
        def read(self, name: str) -> bytes:
            if name == "00001.png":
                raise PermissionError(13, "Permission denied", name)
            if name == "00002.png":
                raise ValueError("embedded null byte")
            return super().read(name)

    index = index_of(images(4))
    index = PatchIndex("walls", index.patches, Locked(images(4)))
    rows = rows_of(index, opened(), Compute())
    assert rows.refused == {1: "cannot be read: Permission denied", 2: "embedded null byte"}
    assert rows.n_computed == 2


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_interrupted_run_keeps_what_was_computed(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(cache_module, "_ROWS_A_SHARD", 16)
    index = index_of(images(64))
    with pytest.raises(error):
        rows_of(index, opened(), Compute(40, error), threads=1)
    compute = Compute()
    rows = rows_of(index, opened(), compute, threads=1)
    assert rows.n_computed == compute.n_images == 24


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped bit":
        content[-7] ^= 1
    elif how == "zeros":
        content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    elif how == "foreign":
        content = bytearray(b"PK\x03\x04 something else")
    else:
        del content[{"truncated": len(content) // 2, "header": 20, "empty": 0}[how] :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["flipped bit", "zeros", "foreign", "truncated", "header", "empty"])
def test_a_damaged_shard_is_computed_again(folder: Path, how: str) -> None:
    index = index_of(images(10))
    first = rows_of(index, opened(), Compute())
    (shard,) = shards(folder)
    damage(shard, how)
    again = rows_of(index, opened(), Compute())
    assert again.n_computed == 10
    np.testing.assert_array_equal(again.values, first.values)
    assert rows_of(index, opened(), Compute()).n_computed == 0


def test_a_shard_that_vanishes_after_opening_is_told(folder: Path) -> None:
    index = index_of(images(10))
    rows_of(index, opened(), Compute())
    cache = opened()
    shards(folder)[0].unlink()
    with pytest.raises(DataError, match="gone or was damaged just now"):
        rows_of(index, cache, Compute())


def test_two_caches_may_add_at_once(folder: Path) -> None:
    one, other = opened(), opened()
    first = rows_of(index_of(images(10)), one, Compute())
    second = rows_of(index_of(images(10, start=5)), other, Compute())
    assert (first.n_computed, second.n_computed) == (10, 10)
    rows = rows_of(index_of(images(15)), opened(), Compute())
    assert (rows.n_computed, len(opened())) == (0, 15)
    np.testing.assert_array_equal(rows.values[:10], first.values)
    np.testing.assert_array_equal(rows.values[5:], second.values)


_ADD = """
import sys, numpy as np
from crackscope.data.cache import RowCache
cache = RowCache("sum", width=5)
for i in range(int(sys.argv[1]), int(sys.argv[1]) + 40):
    cache.add([i.to_bytes(32, "big")], np.full((1, 5), i, np.float32))
"""


def test_two_processes_may_add_at_once(folder: Path) -> None:
    running = [subprocess.Popen([sys.executable, "-c", _ADD, start], env=dict(os.environ)) for start in ("0", "20")]
    assert [process.wait(60) for process in running] == [0, 0]
    digests = [i.to_bytes(32, "big") for i in range(60)]
    np.testing.assert_array_equal(opened().read(digests)[:, 0], np.arange(60))
    assert not list(folder.rglob("*.part"))


def test_many_shards_need_no_open_files() -> None:
    resource = pytest.importorskip("resource")
    cache = opened()
    for i in range(200):
        cache.add([i.to_bytes(32, "big")], np.full((1, WIDTH), i, np.float32))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(128, limits[1]), limits[1]))
    try:
        rows = opened().read([i.to_bytes(32, "big") for i in range(200)])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(rows[:, 0], np.arange(200))


def test_a_full_disk_costs_the_cache_and_not_the_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> int:
        path.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    index = index_of(images(10))
    rows = rows_of(index, opened(), Compute())
    monkeypatch.undo()
    expected = rows_of(index, RowCache("other", width=WIDTH, folder=folder), Compute())
    np.testing.assert_array_equal(rows.values, expected.values)
    assert not list(folder.rglob("*.part"))


def test_a_shard_that_another_process_holds_open_counts_as_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows refuses to replace it; it has the same rows, for its name is that of its content."""
    rows = np.ones((1, 2), np.float32)
    RowCache("k", width=2, folder=folder).add([b"d" * 32], rows)

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(Path, "replace", refuse)
    again = RowCache("k", width=2, folder=folder, required=True)
    again.add([b"d" * 32], rows)
    np.testing.assert_array_equal(again.read([b"d" * 32]), rows)
    with pytest.raises(OutputError):
        again.add([b"e" * 32], rows)


def test_a_cache_that_cannot_be_a_folder_costs_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "file"))
    assert rows_of(index_of(images(3)), opened(), Compute()).n_computed == 3


def test_other_keys_widths_and_types_have_other_folders() -> None:
    caches = [
        RowCache(key, width=width, dtype=dtype) for key, width, dtype in itertools.product("ab", (1, 2), ("<f2", "<f4"))
    ]
    assert len({cache.folder for cache in caches}) == 8
    assert content_digest(b"") not in caches[0]


def test_a_digest_may_end_in_zeros() -> None:
    digest = b"\x01" + bytes(31)
    opened().add([digest], np.ones((1, WIDTH), np.float32))
    assert digest in opened()
    assert opened().read([digest, b""]).tolist() == [[1] * WIDTH, [0] * WIDTH]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
def test_where_caches_live(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("CRACKSCOPE_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    monkeypatch.setattr(platformdirs, "PlatformDirs", Unix)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "crackscope"
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    assert cache_folder() == tmp_path / "me" / ".cache" / "crackscope"
    monkeypatch.setattr(platformdirs, "PlatformDirs", MacOS)
    assert cache_folder() == tmp_path / "me" / "Library" / "Caches" / "crackscope"
    monkeypatch.setattr(platformdirs, "PlatformDirs", platformdirs.windows.Windows)
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", {"CSIDL_LOCAL_APPDATA": str(tmp_path)}.__getitem__)
    assert cache_folder() == tmp_path / "crackscope" / "Cache"


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX")
@pytest.mark.parametrize("place", ["~/.cache/crackscope", None])
def test_a_user_without_a_home_has_a_cache_too(monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    def unknown(uid: int) -> object:
        raise KeyError(uid)

    for name in ("CRACKSCOPE_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    if place:  # as some versions of platformdirs answer
        monkeypatch.setattr("crackscope.data.cache.user_cache_path", lambda *_, **__: Path(place))
    assert cache_folder() == Path(tempfile.gettempdir()) / "crackscope"
