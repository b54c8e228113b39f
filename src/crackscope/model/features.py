"""Backbone features of patches, computed once by ONNX Runtime and cached on disk."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows, rows_of
from crackscope.data.patches import PatchIndex
from crackscope.files.streaming import Progress
from crackscope.model.bundle import Backbone
from crackscope.model.graphs import graph_digest, make_model
from crackscope.model.preprocessing import RESIZE_RULE, require_patch
from crackscope.model.sessions import open_session, run_patches

__all__ = ["extract_features", "feature_kind"]


def extract_features(
    index: PatchIndex,
    backbone: Backbone,
    *,
    patch_px: int,
    on_disk: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Rows:
    """Compute the features of each patch, shape (n, d), float32.

    Args:
        index: The patches.
        backbone: Backbone, from `crackscope.model.bundle.read_backbone`.
        patch_px: Shorter side that patches are resized to.
        on_disk: Whether to use the cache.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.

    Returns:
        Rows in the order of the index; rows found in the cache are not computed again.
    """
    kind = feature_kind(backbone, patch_px=patch_px, on_disk=on_disk)
    return rows_of(index, kind, threads=threads, progress=progress)


def feature_kind(backbone: Backbone, *, patch_px: int, on_disk: bool = True) -> RowKind:
    """Kind of row that holds the features of a patch, with its cache.

    Args:
        backbone: Backbone, from `crackscope.model.bundle.read_backbone`.
        patch_px: Shorter side that patches are resized to.
        on_disk: Whether to use the cache.
    """
    # The digest is computed from the graph itself, since a card may have been copied from another bundle.
    key = f"features-1 {graph_digest(backbone.graph)} {patch_px} {RESIZE_RULE}"
    cache = RowCache(key, width=backbone.card.feature_dim, on_disk=on_disk)
    sessions: list[Any] = []  # opened at the first image that is not in the cache
    lock = threading.Lock()

    def compute(images: Sequence[UInt8Array]) -> Float32Array:
        for pixels in images:
            require_patch((pixels.shape[0], pixels.shape[1]))
        with lock:
            if not sessions:
                sessions.append(open_session(make_model(backbone.graph).SerializeToString()))
        return run_patches(sessions[0], images, "features", patch_px=patch_px)

    return RowKind(cache, compute)
