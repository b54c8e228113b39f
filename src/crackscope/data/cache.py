"""The cache: rows computed once per image content and kept on disk, such as features and fingerprints.

A cache is a folder of shards. A shard is one ``.npy`` of (SHA-256 of the image file, row), written beside and renamed
to the digest of what it holds; so it is there wholly or not at all, a damaged one is noticed, and several processes may
add shards at the same time. The key of the folder names what computed the rows (a backbone's digest and preprocessing),
so a stale row cannot be found.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import numpy.typing as npt
from platformdirs import user_cache_path

from crackscope.arrays import Int64Array, UInt8Array
from crackscope.data.patches import PatchIndex, content_digest
from crackscope.errors import DataError, ImageError, OutputError, reason_of
from crackscope.files.images import decode_image
from crackscope.files.streaming import Progress, chunked, ordered_map

__all__ = ["MappedRows", "RowCache", "RowKind", "Rows", "cache_folder", "compute_rows", "rows_of"]

Compute = Callable[[Sequence[UInt8Array]], npt.NDArray[Any]]
Results = list[tuple[bytes, Any]]
"""For each of a few files its digest, empty if the file is refused; then its row if it was computed just now, or the
reason why it is refused, or None."""

_ROWS_A_SHARD = 1024
_IMAGES_A_CHUNK = 8


def cache_folder() -> Path:
    """Where caches live: ``CRACKSCOPE_CACHE``, or the usual place of the operating system."""
    if setting := os.environ.get("CRACKSCOPE_CACHE"):
        return Path(setting)
    with suppress(RuntimeError):  # of a container's user without a home; some versions give a relative path instead
        folder = user_cache_path("crackscope", appauthor=False)
        if folder.is_absolute():
            return folder
    return Path(tempfile.gettempdir()) / "crackscope"  # a cache may be lost


class RowCache:
    """Rows of one kind, found by the SHA-256 of the image file they came from.

    Args:
        key: What computes the rows, for example a backbone's digest and patch size; hashed into a folder name.
        width: Numbers in a row.
        dtype: Type of a number.
        folder: Parent folder; `cache_folder` where left out.
        on_disk: Whether rows are read from and written to disk, or live in memory and end with this object.
        required: Whether a row that cannot be written is an error, because memory could not hold all rows.
    """

    def __init__(
        self,
        key: str,
        *,
        width: int,
        dtype: str = "<f4",
        folder: Path | None = None,
        on_disk: bool = True,
        required: bool = False,
    ) -> None:
        name = hashlib.sha256(f"{key} {width} {dtype}".encode()).hexdigest()[:24]
        self.folder = (folder or cache_folder()) / "rows" / name
        self.width, self.dtype = width, np.dtype(dtype)
        self.on_disk, self.required = on_disk, required
        self._record = np.dtype([("digest", "V32"), ("row", self.dtype, (width,))])
        # Shards are named, not held open: an operating system allows a process some hundred open files.
        self._shards: list[Path | npt.NDArray[Any]] = []
        self._known: dict[bytes, tuple[int, int]] | None = None

    @property
    def _places(self) -> dict[bytes, tuple[int, int]]:
        """Shard and row of every digest; the shards on disk are read when it is first asked for."""
        if self._known is None:
            self._known = {}
            for path in sorted(self.folder.glob("*.npy")) if self.on_disk else ():
                shard = _load(path)
                if shard is not None:
                    self._note(path, [bytes(digest) for digest in shard["digest"]])
        return self._known

    @property
    def bytes_on_disk(self) -> int:
        """Size of the shards on disk, in bytes."""
        return sum(path.stat().st_size for path in self.folder.glob("*.npy")) if self.on_disk else 0

    def __contains__(self, digest: bytes) -> bool:
        return digest in self._places

    def __len__(self) -> int:
        return len(self._places)

    def read(self, digests: Sequence[bytes]) -> npt.NDArray[Any]:
        """Rows of known digests, in their order: shape (n, width). An empty digest gives a row of zeros.

        Raises:
            DataError: If the cache was emptied since it was opened.
        """
        rows = np.zeros((len(digests), self.width), self.dtype)
        wanted: dict[int, list[tuple[int, int]]] = {}
        for i, digest in enumerate(digests):
            if digest:
                number, row = self._places[digest]
                wanted.setdefault(number, []).append((i, row))
        for number, pairs in wanted.items():
            place = self._shards[number]
            shard = _load(place) if isinstance(place, Path) else place
            if shard is None:
                raise DataError(f"{place}: this part of the cache is gone or was damaged just now. Run it again.")
            at, source = np.array(pairs).T
            rows[at] = shard["row"][source]
        return rows

    def mapped(self, digests: Sequence[bytes]) -> MappedRows:
        """Rows of known digests, in their order, left on disk until they are asked for.

        Raises:
            DataError: If the cache was emptied since it was opened.
        """
        places = np.array([self._places[digest] for digest in digests], np.int64).reshape(-1, 2)
        try:
            shards = {int(i): self._opened(self._shards[i]) for i in np.unique(places[:, 0])}
        except OSError as error:
            raise DataError(
                f"{error.filename}: this part of the cache cannot be opened ({error.strerror}). Run it again."
            ) from error
        return MappedRows(shards, places)

    def _opened(self, shard: Path | npt.NDArray[Any]) -> npt.NDArray[Any]:
        rows: npt.NDArray[Any] = np.load(shard, mmap_mode="r") if isinstance(shard, Path) else shard
        return rows["row"]

    def add(self, digests: Sequence[bytes], rows: npt.NDArray[Any]) -> None:
        """Write one shard. A full disk costs the cache, not the run: rows are then kept in memory alone.

        Raises:
            OutputError: If it cannot be written, and the rows are too many for memory.
        """
        assert rows.shape == (len(digests), self.width)
        shard = np.empty(len(digests), self._record)
        shard["digest"] = [np.void(digest) for digest in digests]
        shard["row"] = rows
        buffer = io.BytesIO()
        np.save(buffer, shard)
        path = self.folder / f"{_name(buffer.getvalue())}.npy"
        on_disk = self.on_disk and _written(path, buffer.getvalue())
        if self.required and not on_disk:
            raise OutputError(
                f"{self.folder}: the cache cannot be written. Free some space, or train with --cache none."
            )
        self._note(path if on_disk else shard, digests)

    def _note(self, shard: Path | npt.NDArray[Any], digests: Sequence[bytes]) -> None:
        self._shards.append(shard)
        for row, digest in enumerate(digests):
            self._places.setdefault(digest, (len(self._shards) - 1, row))


class MappedRows:
    """Rows on disk, read as they are asked for; the system keeps in memory what there is room for.

    Args:
        shards: Array of shape (n, width) by number.
        places: Shape (n, 2): shard and row of each.
    """

    def __init__(self, shards: dict[int, npt.NDArray[Any]], places: Int64Array) -> None:
        self._shards, self._places = shards, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, wanted: Int64Array) -> npt.NDArray[Any]:
        """Rows of several places, shape (n_wanted, width), in memory."""
        return np.stack([self._shards[shard][row] for shard, row in self._places[wanted].tolist()])


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]


def _load(path: Path) -> npt.NDArray[Any] | None:
    """A shard, or None if it was removed meanwhile or is damaged: its rows are computed again."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    shard: npt.NDArray[Any] | None = np.load(io.BytesIO(content)) if _name(content) == path.stem else None
    return shard


def _written(path: Path, content: bytes) -> bool:
    """Write beside, then rename; return whether the file is there."""
    part = path.with_name(f"{path.stem}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        return _load(path) is not None  # Windows does not replace what another process, with the same rows, has open
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return True


@dataclass(frozen=True, eq=False)
class Rows:
    """What was computed for the patches of an index.

    Attributes:
        values: Array of shape (n, width); rows of refused patches are zero.
        digests: SHA-256 of each file, 32 bytes; empty where it could not be read.
        refused: Reason for each patch that could not be read, by its place in the index.
        n_computed: Rows that were not in the cache.
    """

    values: npt.NDArray[Any]
    digests: tuple[bytes, ...]
    refused: dict[int, str] = field(default_factory=dict)
    n_computed: int = 0


@dataclass(frozen=True, eq=False)
class RowKind:
    """One kind of rows.

    Attributes:
        cache: Where rows are looked up and kept; every 1,024 new rows are safe on disk.
        compute: Turns images (H, W, 3) uint8 RGB into an array of shape (n_images, width). It is called from several
            threads, with up to eight images that the cache lacks; a row must not depend on its company.
    """

    cache: RowCache
    compute: Compute

    def filled(self, rows: Rows) -> Rows:
        """Rows from `compute_rows` with their values, in memory."""
        return replace(rows, values=self.cache.read(rows.digests))


def rows_of(index: PatchIndex, kind: RowKind, *, threads: int | None = None, progress: Progress | None = None) -> Rows:
    """Rows of every patch, of one kind, in memory; see `compute_rows`.

    Returns:
        Rows in the order of the index.
    """
    (rows,) = compute_rows(index, [kind], threads=threads, progress=progress)
    return kind.filled(rows)


def compute_rows(
    index: PatchIndex, kinds: Sequence[RowKind], *, threads: int | None = None, progress: Progress | None = None
) -> list[Rows]:
    """Fill the caches with a row of each kind for every patch that can be read.

    A file is read once for all kinds, and decoded once if any of them lacks its row.

    Args:
        index: The patches.
        kinds: What to compute.
        threads: Thread budget; all cores where left out.
        progress: Called after every few images.

    Returns:
        Rows of each kind in the order of the index, without their values.
    """
    takers = [_Taker(kind) for kind in kinds]

    def work(paths: list[str]) -> list[Results]:
        found: list[Results] = [[] for _ in takers]
        fresh: list[list[tuple[int, UInt8Array]]] = [[] for _ in takers]
        for at, path in enumerate(paths):
            try:
                content = index.files.read(path)
                digest = content_digest(content)
                lacking = [i for i, taker in enumerate(takers) if taker.lacks(digest)]
                if lacking:
                    pixels = decode_image(content).pixels
                    for i in lacking:
                        if takers[i].claims(digest):
                            fresh[i].append((at, pixels))
                for own in found:
                    own.append((digest, None))
            except (OSError, KeyError, ValueError, ImageError) as error:
                for own in found:
                    own.append((b"", reason_of(error)))
        for taker, own, new in zip(takers, found, fresh, strict=True):
            taker.compute(own, new)
        return found

    n_done = 0
    try:
        for results in ordered_map(work, chunked(index.paths, _IMAGES_A_CHUNK), threads=threads):
            for taker, own in zip(takers, results, strict=True):
                taker.take(own)
            n_done += len(results[0])
            if progress:
                progress(n_done, len(index))
    finally:
        for taker in takers:
            taker.save()
    return [taker.rows() for taker in takers]


class _Taker:
    """One kind of rows while the files go by; `lacks`, `claims` and `compute` are called from several threads."""

    def __init__(self, kind: RowKind) -> None:
        self._kind = kind
        self._computing: dict[bytes, object] = {}
        self._reasons: dict[bytes, str] = {}  # of contents that are refused, whichever file had them first
        self._digests: list[bytes] = []
        self._refused: dict[int, str] = {}
        self._unsaved: dict[bytes, Any] = {}
        self._n_computed = 0
        len(kind.cache)  # reads what is on the disk before several threads ask for it

    def lacks(self, digest: bytes) -> bool:
        return digest not in self._kind.cache and digest not in self._computing

    def claims(self, digest: bytes) -> bool:
        """Whether the caller must compute the row, since no other thread is doing so."""
        mine = object()
        return self._computing.setdefault(digest, mine) is mine

    def compute(self, results: Results, fresh: Sequence[tuple[int, UInt8Array]]) -> None:
        """Put rows, or reasons why there are none, in their places."""
        rows = _computed([pixels for _, pixels in fresh], self._kind.compute)
        for (at, _), row in zip(fresh, rows, strict=True):
            if isinstance(row, str):
                self._reasons[results[at][0]] = row
            results[at] = (b"" if isinstance(row, str) else results[at][0], row)

    def take(self, results: Results) -> None:
        for digest, row in results:
            if isinstance(row, str):
                self._refused[len(self._digests)] = row
            elif row is not None:
                self._n_computed += 1
                self._unsaved.setdefault(digest, row)
            self._digests.append(digest)
        if len(self._unsaved) >= _ROWS_A_SHARD:
            self.save()

    def save(self) -> None:
        if self._unsaved:
            self._kind.cache.add(list(self._unsaved), np.stack(list(self._unsaved.values())))
            self._unsaved.clear()

    def rows(self) -> Rows:
        for i, digest in enumerate(self._digests):
            if digest in self._reasons:
                self._digests[i], self._refused[i] = b"", self._reasons[digest]
        cache = self._kind.cache
        none = np.empty((0, cache.width), cache.dtype)
        return Rows(none, tuple(self._digests), self._refused, self._n_computed)


def _computed(images: Sequence[UInt8Array], compute: Compute) -> list[Any]:
    """Compute a row for each image, or the reason why it gets none; a refused image does not affect the rest."""
    try:
        return list(compute(images)) if images else []
    except ImageError as error:
        if len(images) == 1:
            return [reason_of(error)]
        return [row for pixels in images for row in _computed([pixels], compute)]
