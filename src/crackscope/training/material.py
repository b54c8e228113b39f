"""What a phase learns from: patches as the learning part of the network sees them.

Whatever stands before the first layer that learns runs once per patch and view, by ONNX Runtime, and is kept on disk as
float16 (features of patches as they are: float32, shared with the recipe ``head``). Without a cache, or where nothing
is frozen, patches are read and computed as they are needed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from crackscope.bundle import Backbone, graph_digest
from crackscope.cache import MappedRows, Progress, RowCache, cache_folder, compute_rows, rows_of
from crackscope.errors import ImageError, OutputError, reason_of
from crackscope.features import extract_features
from crackscope.graphs import make_model
from crackscope.images import image_size
from crackscope.patches import PatchIndex
from crackscope.prediction import open_session
from crackscope.preprocessing import RESIZE_RULE, require_patch, resize_patch
from crackscope.similarity import fingerprints
from crackscope.streaming import ordered_map
from crackscope.training.augmentation import Augmentation, square, view_of
from crackscope.training.network import to_planes

__all__ = ["Material", "Reader", "n_batches", "readable"]

UInt8Array = npt.NDArray[np.uint8]
IntArray = npt.NDArray[np.int64]
AnyArray = npt.NDArray[Any]
Batch = tuple[torch.Tensor, torch.Tensor]

_VERSION = "activations-1"
_LARGEST_HALF = 65504.0
_MOST_VIEWS = 1000  # that are looked for on the disk
_SPARE_BYTES = 2**30  # left free on the disk, beside what the cache will take


class Reader:
    """Turns patches into rows: pixels, or what the frozen blocks make of them.

    Args:
        trunk: The frozen blocks, as a backbone file; None where there are none, for raw pixels.
        output: ``feature_map``, or ``features``, its mean.
        patch_px: Side that patches are resized to.
        augmentation: Of views from 1 on; view 0 is the patch as it is.
    """

    def __init__(
        self, trunk: Backbone | None, *, output: str, patch_px: int, augmentation: Augmentation | None = None
    ) -> None:
        self.trunk, self.output = trunk, output
        self.patch_px, self.augmentation = patch_px, augmentation
        self._sessions: list[Any] = []
        self._lock = threading.Lock()

    def rows(self, patches: Sequence[UInt8Array], view: int) -> AnyArray:
        """Rows of a few patches, shape (n, h, w, c) or (n, d): uint8 without a trunk, else float32.

        Raises:
            ImageError: If one is no patch.
        """
        return np.stack([self._row(pixels, view) for pixels in patches])

    def _row(self, pixels: UInt8Array, view: int) -> AnyArray:
        require_patch((pixels.shape[0], pixels.shape[1]))
        pixels = square(pixels)
        if view and self.augmentation is not None:
            pixels = view_of(pixels, self.augmentation, view=view)
        resized = resize_patch(pixels, patch_px=self.patch_px)
        if self.trunk is None:
            return resized
        found: AnyArray = self._session().run([self.output], {"pixels": resized[None]})[0][0]
        return found if found.ndim == 1 else np.ascontiguousarray(found.transpose(1, 2, 0))

    def _session(self) -> Any:
        with self._lock:
            if not self._sessions:
                assert self.trunk is not None
                self._sessions.append(open_session(make_model(self.trunk.graph).SerializeToString()))
            return self._sessions[0]

    @cached_property
    def shape(self) -> tuple[int, ...]:
        """Shape of one row."""
        return self.rows([np.zeros((self.patch_px, self.patch_px, 3), np.uint8)], 0).shape[1:]

    def cache(self, view: int) -> RowCache:
        """Where rows of one view are kept; the same for every run that freezes the same blocks."""
        assert self.trunk is not None
        how = self.augmentation.model_dump_json() if view and self.augmentation else "as it is"
        key = f"{_VERSION} {self._digest} {self.output} {self.patch_px} {RESIZE_RULE} {how} {view}"
        return RowCache(key, width=int(np.prod(self.shape)), dtype="<f2", required=True)

    @cached_property
    def _digest(self) -> str:
        assert self.trunk is not None
        return graph_digest(self.trunk.graph)


def readable(
    index: PatchIndex, *, threads: int | None, progress: Progress | None
) -> tuple[tuple[bytes, ...], dict[int, str]]:
    """SHA-256 of each patch's file, and the reason for each that cannot be read or is no patch, by its place.

    Each is decoded once, for its fingerprint, which the look for leaks has asked for before; its size is in its header.
    """
    rows = fingerprints(index, threads=threads, progress=progress)
    refused = dict(rows.refused)
    for i, patch in enumerate(index.patches):
        if i not in refused:
            try:
                require_patch(image_size(index.files.read(patch.path)))
            except (OSError, KeyError, ValueError, ImageError) as error:
                refused[i] = reason_of(error)
    return rows.digests, dict(sorted(refused.items()))


class Material:
    """The patches of ``train`` and ``val`` for one phase.

    Args:
        index: Readable patches with their parts.
        reader: What turns them into rows.
        on_disk: Whether rows are cached.
        threads: Thread budget.
        progress: Called as rows are computed.
        normalise: Scale and shift of raw pixels, where there is no trunk.
    """

    def __init__(
        self,
        index: PatchIndex,
        reader: Reader,
        *,
        on_disk: bool,
        threads: int | None,
        progress: Progress | None,
        normalise: tuple[torch.Tensor, torch.Tensor],
    ) -> None:
        self.parts = {part: index.select([p for p in index.patches if p.part == part]) for part in ("train", "val")}
        self.labels = {
            part: np.array([patch.label == "crack" for patch in own.patches], np.float32)
            for part, own in self.parts.items()
        }
        self.reader, self.normalise = reader, normalise
        self.on_disk = on_disk and reader.trunk is not None
        self.threads, self.progress = threads, progress
        self._rows: dict[tuple[str, int], AnyArray | MappedRows] = {}

    def train(self, order: IntArray, *, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Batches of training patches in a given order; every epoch (from 1) shows another view, if any."""
        return self._batches("train", order, epoch if self.reader.augmentation else 0, batch_size)

    def val(self, *, batch_size: int) -> Iterator[Batch]:
        """Batches of validation patches, as they are."""
        return self._batches("val", np.arange(len(self.labels["val"])), 0, batch_size)

    def bytes_needed(self, n_views: int) -> int:
        """Bytes that the cache takes at most, for so many views of the training patches."""
        width, views = int(np.prod(self.reader.shape)), n_views if self.reader.augmentation else 1
        plain, viewed = (32 + width * size for size in (4 if self._plain_features(0) else 2, 2))
        return len(self.labels["train"]) * views * (viewed if views > 1 else plain) + len(self.labels["val"]) * plain

    def require_space(self, n_views: int) -> None:
        """Refuse to begin a cache that the disk cannot hold.

        Raises:
            OutputError: With what is needed and what is free.
        """
        if not self.on_disk:
            return
        views = range(min(n_views, _MOST_VIEWS) + 1) if self.reader.augmentation else (0,)
        there = sum(self.reader.cache(view).bytes_on_disk for view in views)
        needed = max(0, self.bytes_needed(n_views) - there)
        folder = next(place for place in (cache_folder(), *cache_folder().parents) if place.exists())
        free = shutil.disk_usage(folder).free
        if needed + _SPARE_BYTES > free:
            raise OutputError(
                f"{cache_folder()}: the cache may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
                "Free some, set CRACKSCOPE_CACHE to another disk, or train with --cache none."
            )

    def _batches(self, part: str, order: IntArray, view: int, batch_size: int) -> Iterator[Batch]:
        if not self.on_disk and not self._plain_features(view):
            yield from self._streamed(part, order, view, batch_size)
            return
        rows, shape = self._known(part, view), self.reader.shape
        for places in _cut(order, batch_size):
            yield self._tensors(np.asarray(rows[places]).reshape(-1, *shape), part, places)

    def _known(self, part: str, view: int) -> AnyArray | MappedRows:
        """Rows of a part, computed unless they are cached. Of training views, the last alone is remembered."""
        if (part, view) not in self._rows:
            for key in [key for key in self._rows if key[0] == part]:
                del self._rows[key]
            self._rows[part, view] = self._computed(self.parts[part], view)
        return self._rows[part, view]

    def _computed(self, index: PatchIndex, view: int) -> AnyArray | MappedRows:
        reader, threads, progress = self.reader, self.threads, self.progress
        if self._plain_features(view):
            assert reader.trunk is not None
            return extract_features(
                index,
                reader.trunk,
                patch_px=reader.patch_px,
                on_disk=self.on_disk,
                threads=threads,
                progress=progress,
            ).values

        def compute(images: Sequence[UInt8Array]) -> AnyArray:
            rows = reader.rows(images, view).reshape(len(images), -1)
            return np.clip(rows, -_LARGEST_HALF, _LARGEST_HALF).astype(np.float16)

        cache = reader.cache(view)
        if reader.output == "features":
            return rows_of(index, cache, compute, threads=threads, progress=progress).values
        return cache.mapped(compute_rows(index, cache, compute, threads=threads, progress=progress).digests)

    def _plain_features(self, view: int) -> bool:
        """Whether rows are features of patches as they are, whose cache every recipe shares."""
        return self.reader.output == "features" and not view

    def _streamed(self, part: str, order: IntArray, view: int, batch_size: int) -> Iterator[Batch]:
        index = self.parts[part]

        def load(places: list[int]) -> tuple[AnyArray, list[int]]:
            images = [index.read_pixels(index.patches[i].path) for i in places]
            return self.reader.rows(images, view), places

        cut = (places.tolist() for places in _cut(order, batch_size))
        for rows, places in ordered_map(load, cut, threads=self.threads):
            yield self._tensors(rows, part, np.array(places))

    def _tensors(self, rows: AnyArray, part: str, places: IntArray) -> Batch:
        values, targets = torch.from_numpy(rows), torch.from_numpy(self.labels[part][places])
        if self.reader.trunk is None:
            return to_planes(values, *self.normalise), targets
        return (values.permute(0, 3, 1, 2).float() if values.ndim == 4 else values.float()), targets


def n_batches(n: int, batch_size: int) -> int:
    """Batches of so many patches; a last one of a single patch joins the one before.

    Example:
        >>> n_batches(16, 8), n_batches(17, 8), n_batches(18, 8), n_batches(1, 8), n_batches(0, 8)
        (2, 2, 3, 1, 0)
    """
    return max(min(n, 1), -(-(n - 1) // batch_size))


def _cut(order: IntArray, batch_size: int) -> Iterator[IntArray]:
    """Batches in order; a last one of a single patch joins the one before, as no deviation can be told of it."""
    n = n_batches(len(order), batch_size)
    yield from (order[i * batch_size : (i + 1) * batch_size if i < n - 1 else None] for i in range(n))
