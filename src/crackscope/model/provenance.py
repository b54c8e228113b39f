"""Provenance: which data a model was trained on, as its card states it, and which patches it has seen."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence

from crackscope.data.patches import Patch, PatchIndex
from crackscope.data.splits import is_group
from crackscope.model.card import TrainingData

__all__ = ["count_seen", "describe_training_data"]

_PUBLISHED = {
    "metu": (
        "METU",
        "CC BY 4.0",
        "Ç. F. Özgenel, Concrete Crack Images for Classification, Mendeley Data V2, doi 10.17632/5y9wdsg2zt.2",
    ),
    "sdnet2018": (
        "SDNET2018",
        "CC BY 4.0",
        "M. Maguire, S. Dorafshan, R. J. Thomas, SDNET2018, Utah State University, doi 10.15142/T3TD19",
    ),
}
_MARK_BYTES = 6  # with 100,000 training files, one foreign file in three thousand million is taken for a known one


def describe_training_data(index: PatchIndex, digests: Sequence[bytes]) -> tuple[TrainingData, ...]:
    """Describe the training patches, one entry per data set.

    Args:
        index: Training patches.
        digests: SHA-256 of each patch's file, in the order of the index.
    """
    members: dict[str, list[tuple[Patch, bytes]]] = {}
    for patch, digest in zip(index.patches, digests, strict=True):
        members.setdefault(_set_of(patch), []).append((patch, digest))
    return tuple(_describe(dataset, pairs) for dataset, pairs in sorted(members.items()))


def count_seen(index: PatchIndex, digests: Sequence[bytes], training_data: Sequence[TrainingData]) -> int:
    """Count the patches that a model was trained on, or whose photo it was trained on.

    Photos are recognised only in published data sets, where their names are known.

    Args:
        index: Patches to be judged.
        digests: SHA-256 of each patch's file, in the order of the index.
        training_data: Training data from the card of the model, including that of its backbone.
    """
    seen: set[bytes] = set()
    for data in training_data:
        marks = base64.b64decode(data.seen)
        seen.update(marks[i : i + _MARK_BYTES] for i in range(0, len(marks), _MARK_BYTES))
    return sum(not seen.isdisjoint(_marks(patch, digest)) for patch, digest in zip(index.patches, digests, strict=True))


def _set_of(patch: Patch) -> str:
    return patch.dataset.split("-")[0]


def _marks(patch: Patch, digest: bytes) -> Iterator[bytes]:
    """Marks that a patch leaves in a card: one for its file, and one for its photo if the data set is published."""
    if digest:
        yield digest[:_MARK_BYTES]
    if _set_of(patch) in _PUBLISHED and patch.photo and not is_group(patch.photo):
        yield hashlib.sha256(f"{patch.dataset}/{patch.photo}".encode()).digest()[:_MARK_BYTES]


def _describe(dataset: str, pairs: Sequence[tuple[Patch, bytes]]) -> TrainingData:
    name, licence, attribution = _PUBLISHED.get(dataset, ("own patches", "not stated", ""))
    n_crack = sum(patch.label == "crack" for patch, _ in pairs)
    # Groups of patches that look alike are not photos, so no number of photos is given for them.
    photos = {None if is_group(patch.photo or "") else patch.photo for patch, _ in pairs}
    content = hashlib.sha256()
    for row in sorted(digest + patch.label.encode() for patch, digest in pairs):
        content.update(row)
    marks = sorted({mark for patch, digest in pairs for mark in _marks(patch, digest)})
    return TrainingData(
        name=name,
        n_crack=n_crack,
        n_uncracked=len(pairs) - n_crack,
        n_photos=None if None in photos else len(photos),
        licence=licence,
        attribution=attribution,
        sha256=content.hexdigest(),
        seen=base64.b64encode(b"".join(marks)).decode(),
    )
