"""Training material: patches as the learning part of the network sees them, in each phase.

Whatever stands before the first layer that learns runs once per patch and view, by ONNX Runtime, and is kept on disk as
float16 (features of patches as they are: float32, shared with the recipe ``head``). Without a cache, or where nothing
is frozen, patches are read and computed as they are needed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from crackscope.arrays import Float32Array, Int64Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows, cache_folder, compute_rows
from crackscope.data.patches import PatchIndex
from crackscope.data.similarity import fingerprints
from crackscope.errors import DataError, ImageError, OutputError, reason_of
from crackscope.files.images import image_size
from crackscope.files.streaming import Progress, ordered_map
from crackscope.model.bundle import Backbone, graph_digest
from crackscope.model.features import extract_features
from crackscope.model.graphs import make_model
from crackscope.model.preprocessing import RESIZE_RULE, require_patch, resize_patch
from crackscope.model.sessions import open_session
from crackscope.training.augmentation import Augmentation, square, view_of
from crackscope.training.torch.network import to_planes

__all__ = ["Material", "Reader", "n_batches", "readable"]

AnyArray = npt.NDArray[Any]
Batch = tuple[torch.Tensor, torch.Tensor]


class AnyRows(Protocol):
    """Rows by place: an array, or rows on disk."""

    def __getitem__(self, wanted: Int64Array, /) -> AnyArray:
        """Rows of several places."""


_VERSION = "activations-2"
_LARGEST_HALF = 65504.0
_MOST_VIEWS = 1000  # that are looked for on the disk
_SPARE_BYTES = 2**30  # left free on the disk, beside what the cache will take


class Reader:
    """Turns patches into rows: pixels, or what the frozen blocks make of them.

    Args:
        trunk: The frozen blocks, as a backbone file; None where there are none, for raw pixels.
        output: Output of the trunk: ``feature_map``, or ``features``, its mean.
        patch_px: Side that patches are resized to.
        augmentation: Augmentation of views from 1 on; view 0 is the patch as it is.
    """

    def __init__(
        self, trunk: Backbone | None, *, output: str, patch_px: int, augmentation: Augmentation | None = None
    ) -> None:
        self.trunk, self.output = trunk, output
        self.patch_px, self.augmentation = patch_px, augmentation
        self._sessions: list[Any] = []
        self._lock = threading.Lock()

    def rows(
        self, patches: Sequence[UInt8Array], views: Sequence[int], *, cracked: Sequence[bool]
    ) -> tuple[AnyArray, Float32Array]:
        """Rows of a few patches, shape (n, h, w, c) or (n, d): uint8 without a trunk, else float32.

        Args:
            patches: RGB pixels.
            views: Number of each one's view; 0 is the patch as it is.
            cracked: The label of each patch.

        Returns:
            The rows, and the label of each view, 1 for crack, shape (n,).

        Raises:
            ImageError: If one is no patch.
        """
        seen = [self._seen(*one) for one in zip(patches, views, cracked, strict=True)]
        return np.stack([self._row(pixels) for pixels, _ in seen]), np.array([label for _, label in seen], np.float32)

    def _seen(self, pixels: UInt8Array, view: int, cracked: bool) -> tuple[UInt8Array, bool]:
        require_patch((pixels.shape[0], pixels.shape[1]))
        pixels = square(pixels)
        if view and self.augmentation is not None:
            return view_of(pixels, self.augmentation, view=view, cracked=cracked)
        return pixels, cracked

    def _row(self, pixels: UInt8Array) -> AnyArray:
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
        return self._row(np.zeros((self.patch_px, self.patch_px, 3), np.uint8)).shape

    def heeds_labels(self, view: int) -> bool:
        """Whether a view depends on its patch's label, or has another one."""
        return bool(view) and self.augmentation is not None and self.augmentation.heeds_labels

    def cache(self, view: int, *, cracked: bool = False) -> RowCache:
        """Where rows of one view are kept; the same for every run that freezes the same blocks.

        Args:
            view: Number of the view.
            cracked: Label of the patches. Where a view heeds it, a row ends with the label of the view.
        """
        assert self.trunk is not None
        how = self.augmentation.model_dump_json(exclude={"views"}) if view and self.augmentation else "as it is"
        label = f" cracked {cracked}" if self.heeds_labels(view) else ""
        key = f"{_VERSION} {self._digest} {self.output} {self.patch_px} {RESIZE_RULE} {how} {view}{label}"
        width = int(np.prod(self.shape)) + self.heeds_labels(view)
        return RowCache(key, width=width, dtype="<f2", required=True)

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
        reader: Reader that turns patches into rows.
        on_disk: Whether rows are cached.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as rows are computed.
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
        self.parts = {part: index.part(part) for part in ("train", "val")}
        self.labels = {part: own.labels.astype(np.float32) for part, own in self.parts.items()}
        self.reader, self.normalise = reader, normalise
        self.on_disk = on_disk and reader.trunk is not None
        self.threads, self.progress = threads, progress
        self._rows: dict[tuple[str, int], AnyRows] = {}

    def train(self, order: Int64Array, *, epoch: int, batch_size: int) -> Iterator[Batch]:
        """Batches of training patches in a given order; every epoch (from 1) shows another view, if any."""
        augmentation = self.reader.augmentation
        views = augmentation.views_in(epoch, order) if augmentation else np.zeros(len(order), np.int64)
        return self._batches("train", order, views, batch_size)

    def val(self, *, batch_size: int) -> Iterator[Batch]:
        """Batches of validation patches, as they are."""
        order = np.arange(len(self.labels["val"]))
        return self._batches("val", order, np.zeros_like(order), batch_size)

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
        labels = {view: (False, True) if self.reader.heeds_labels(view) else (False,) for view in views}
        there = sum(self.reader.cache(view, cracked=label).bytes_on_disk for view in views for label in labels[view])
        needed = max(0, self.bytes_needed(n_views) - there)
        folder = next(place for place in (cache_folder(), *cache_folder().parents) if place.exists())
        free = shutil.disk_usage(folder).free
        if needed + _SPARE_BYTES > free:
            raise OutputError(
                f"{cache_folder()}: the cache may take {needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free. "
                "Free some, set CRACKSCOPE_CACHE to another disk, or train with --cache none."
            )

    def _batches(self, part: str, order: Int64Array, views: Int64Array, batch_size: int) -> Iterator[Batch]:
        if not self.on_disk and not self._plain_features(bool(views.any())):
            yield from self._streamed(part, order, views, batch_size)
            return
        for chosen in _cut(np.arange(len(order)), batch_size):
            yield self._tensors(*self._kept(part, order[chosen], views[chosen]))

    def _kept(self, part: str, places: Int64Array, views: Int64Array) -> tuple[AnyArray, Float32Array]:
        """Rows of some places, each in its view, and the labels of the views."""
        shown = np.unique(views)
        if len(shown) == 1:
            return self._kept_of_view(part, places, int(shown[0]))
        own = [np.flatnonzero(views == view) for view in shown]
        found = [self._kept_of_view(part, places[at], int(views[at[0]])) for at in own]
        back = np.argsort(np.concatenate(own))
        values, labels = (np.concatenate([one[i] for one in found])[back] for i in (0, 1))
        return values, labels

    def _kept_of_view(self, part: str, places: Int64Array, view: int) -> tuple[AnyArray, Float32Array]:
        values = np.asarray(self._known(part, view)[places])
        labels = self.labels[part][places]
        if self.reader.heeds_labels(view):
            values, labels = values[:, :-1], values[:, -1].astype(np.float32)
        return values.reshape(-1, *self.reader.shape), labels

    def _known(self, part: str, view: int) -> AnyRows:
        """Rows of a part, computed unless they are cached. A view that is shown once is kept until the next."""
        if (part, view) not in self._rows:
            again = self.reader.augmentation is not None and self.reader.augmentation.views
            for key in [key for key in self._rows if key[0] == part and not again]:
                del self._rows[key]
            self._rows[part, view] = self._computed(self.parts[part], view)
        return self._rows[part, view]

    def _computed(self, index: PatchIndex, view: int) -> AnyRows:
        if not self.reader.heeds_labels(view):
            return self._computed_of(index, view, cracked=False)
        labels = index.labels
        parts = [index.select([index.patches[i] for i in np.flatnonzero(labels == label)]) for label in (0, 1)]
        return _RowsByLabel([self._computed_of(own, view, cracked=bool(i)) for i, own in enumerate(parts)], labels)

    def _computed_of(self, index: PatchIndex, view: int, *, cracked: bool) -> AnyRows:
        """Rows of patches that, where the view heeds labels, all have the same one."""
        reader, threads, progress = self.reader, self.threads, self.progress
        if self._plain_features(view):
            assert reader.trunk is not None
            rows = extract_features(
                index,
                reader.trunk,
                patch_px=reader.patch_px,
                on_disk=self.on_disk,
                threads=threads,
                progress=progress,
            )
            return _require_all(rows, index).values

        def compute(images: Sequence[UInt8Array]) -> AnyArray:
            rows, labels = reader.rows(images, [view] * len(images), cracked=[cracked] * len(images))
            rows = np.clip(rows.reshape(len(images), -1), -_LARGEST_HALF, _LARGEST_HALF)
            return (np.column_stack([rows, labels]) if reader.heeds_labels(view) else rows).astype(np.float16)

        kind = RowKind(reader.cache(view, cracked=cracked), compute)
        (rows,) = compute_rows(index, [kind], threads=threads, progress=progress)
        _require_all(rows, index)
        return kind.filled(rows).values if reader.output == "features" else kind.cache.mapped(rows.digests)

    def _plain_features(self, view: int) -> bool:
        """Whether rows are features of patches as they are, whose cache every recipe shares."""
        return self.reader.output == "features" and not view

    def _streamed(self, part: str, order: Int64Array, views: Int64Array, batch_size: int) -> Iterator[Batch]:
        index = self.parts[part]

        def load(chosen: Int64Array) -> tuple[AnyArray, Float32Array]:
            patches = [index.patches[i] for i in order[chosen].tolist()]
            images = [index.read_pixels(patch.path) for patch in patches]
            return self.reader.rows(images, views[chosen].tolist(), cracked=[one.label == "crack" for one in patches])

        cut = _cut(np.arange(len(order)), batch_size)
        for rows, labels in ordered_map(load, cut, threads=self.threads):
            yield self._tensors(rows, labels)

    def _tensors(self, rows: AnyArray, labels: Float32Array) -> Batch:
        values, targets = torch.from_numpy(rows), torch.from_numpy(labels)
        if self.reader.trunk is None:
            return to_planes(values, *self.normalise), targets
        return (values.permute(0, 3, 1, 2).float() if values.ndim == 4 else values.float()), targets


def _require_all(rows: Rows, index: PatchIndex) -> Rows:
    """The rows, unless a patch that could be read when the run began cannot be read any more."""
    for i, reason in rows.refused.items():
        raise DataError(f"{index.patches[i].path}: {reason}, though it could be read before. Go on with --resume.")
    return rows


class _RowsByLabel:
    """Rows that are kept by label, in the order of the patches.

    Args:
        rows: Rows of uncracked patches, and rows of cracked ones.
        labels: Labels of all patches, shape (n,), 1 for crack.
    """

    def __init__(self, rows: Sequence[AnyRows], labels: Int64Array) -> None:
        self._rows, self._labels = rows, labels
        self._places = np.where(labels == 1, np.cumsum(labels), np.cumsum(1 - labels)) - 1

    def __getitem__(self, wanted: Int64Array) -> AnyArray:
        """Rows of several places, in memory."""
        own = [np.flatnonzero(self._labels[wanted] == label) for label in (0, 1)]
        found = [np.asarray(self._rows[i][self._places[wanted[at]]]) for i, at in enumerate(own) if len(at)]
        together: AnyArray = np.concatenate(found)
        return together[np.argsort(np.concatenate(own), kind="stable")]


def n_batches(n: int, batch_size: int) -> int:
    """Batches of so many patches; a last one of a single patch joins the one before.

    Example:
        >>> n_batches(16, 8), n_batches(17, 8), n_batches(18, 8), n_batches(1, 8), n_batches(0, 8)
        (2, 2, 3, 1, 0)
    """
    return max(min(n, 1), -(-(n - 1) // batch_size))


def _cut(order: Int64Array, batch_size: int) -> Iterator[Int64Array]:
    """Batches in order; a last one of a single patch joins the one before, as no deviation can be told of it."""
    n = n_batches(len(order), batch_size)
    yield from (order[i * batch_size : (i + 1) * batch_size if i < n - 1 else None] for i in range(n))
