"""Gates of trained models: from files and a backbone to what `crackscope.model.gate` needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crackscope.arrays import Float32Array, Float64Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows, rows_of
from crackscope.data.patches import LABELS, Patch, PatchIndex
from crackscope.files.streaming import Progress
from crackscope.model.bundle import Backbone, Plane
from crackscope.model.card import Card, Gate
from crackscope.model.features import extract_features
from crackscope.model.gate import LEAST_CRACKED, fit_gate, moved_gate, patch_clarity

__all__ = ["gate_of", "gated", "spread_patches"]


MAX_TRAINING = 4000
"""Patches of ``train`` that the plane is fitted to, half of them cracked where there are enough."""


def gate_of(
    index: PatchIndex,
    backbone: Backbone,
    card: Card,
    *,
    on_disk: bool = True,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[Gate, Plane] | str:
    """Fit a gate to patches of ``train`` and ``val``, or say why there is none.

    A backbone that was read from a bundle with a gate keeps that gate. Its limits are moved where they would reject too
    many cracked patches of ``val``.

    Args:
        index: Patches with their parts; those that cannot be read are left out.
        backbone: Backbone of the model.
        card: Card of the model.
        on_disk: Whether features are read from the cache, and kept there.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.
    """
    kept = backbone.inherited
    training = [] if kept.gate else spread_patches(index.part("train").patches, MAX_TRAINING)
    validation = sorted(index.part("val").patches, key=lambda patch: patch.path)
    n_crack = sum(patch.label == "crack" for patch in validation)
    if n_crack < LEAST_CRACKED and kept.gate is None:
        return f"{n_crack} cracked validation patches; a gate takes {LEAST_CRACKED}"
    used = index.select([*training, *validation])
    rows = extract_features(used, backbone, patch_px=card.patch_px, on_disk=on_disk, threads=threads, progress=progress)
    kind = _clarity_kind(card, on_disk=on_disk)
    clarities = _clarities(rows_of(index.select(validation), kind, threads=threads, progress=progress))
    first = len(training)
    read = [i for i in range(len(used)) if i not in rows.refused]
    fitting, judged = [i for i in read if i < first], [i - first for i in read if i >= first]
    features = rows.values[[first + i for i in judged]]
    labels = np.array([validation[i].label == "crack" for i in judged], np.int64)
    on_val = f"{len(judged):,} of part val"
    if kept.gate is not None and kept.plane is not None:
        given = features, clarities[judged], labels
        return moved_gate(kept.gate, kept.plane, kept.material, *given, fitted_on=on_val), kept.plane
    fitted_on = f"{len(fitting):,} patches of part train, {on_val}"
    return fit_gate(rows.values[fitting], features, clarities[judged], labels, fitted_on=fitted_on)


def gated(card: Card, found: tuple[Gate, Plane] | str) -> tuple[Card, Plane | None, str | None]:
    """The card with what `gate_of` found, the plane, and why there is none."""
    if isinstance(found, str):
        return card, None, found
    gate, plane = found
    return card.model_copy(update={"gate": gate}), plane, None


def _clarities(rows: Rows) -> Float64Array:
    """Clarity of every patch, shape (n,); of one that cannot be read it is not a number."""
    values = np.array(rows.values[:, 0], np.float64)
    values[list(rows.refused)] = np.nan
    return values


def _clarity_kind(card: Card, *, on_disk: bool) -> RowKind:
    """How clear a patch is, as rows that are computed once."""

    def compute(images: Sequence[UInt8Array]) -> Float32Array:
        return np.array([[patch_clarity(pixels, card)] for pixels in images], np.float32)

    return RowKind(RowCache(f"clarity-1 {card.patch_px} {card.source_px}", width=1, on_disk=on_disk), compute)


def spread_patches(patches: Sequence[Patch], n: int) -> list[Patch]:
    """At most so many, spread evenly over the paths of each label, half of them cracked where there are enough."""
    by_label = [sorted((p for p in patches if p.label == label), key=lambda p: p.path) for label in LABELS]
    least = min(len(mine) for mine in by_label)
    found: list[Patch] = []
    for mine in by_label:
        n_mine = min(len(mine), max(n // 2, n - least))
        found += [mine[int(i)] for i in np.linspace(0, len(mine) - 1, n_mine).round()] if n_mine else []
    return found
