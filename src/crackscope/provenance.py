"""Where training data comes from, as a card states it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from crackscope.card import TrainingData
from crackscope.patches import Patch, PatchIndex

__all__ = ["describe_training_data"]

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


def describe_training_data(index: PatchIndex, digests: Sequence[bytes]) -> tuple[TrainingData, ...]:
    """State the patches that weights were fitted to, a line a data set.

    Args:
        index: The training patches.
        digests: SHA-256 of each file, in their order.
    """
    members: dict[str, list[tuple[Patch, bytes]]] = {}
    for patch, digest in zip(index.patches, digests, strict=True):
        members.setdefault(patch.dataset.split("-")[0], []).append((patch, digest))
    return tuple(_describe(dataset, pairs) for dataset, pairs in sorted(members.items()))


def _describe(dataset: str, pairs: Sequence[tuple[Patch, bytes]]) -> TrainingData:
    name, licence, attribution = _PUBLISHED.get(dataset, ("own patches", "not stated", ""))
    n_crack = sum(patch.label == "crack" for patch, _ in pairs)
    # METU's "photos" are groups that look alike, so no number of photos is claimed there.
    photos = {patch.photo for patch, _ in pairs} if dataset != "metu" else {None}
    content = hashlib.sha256()
    for row in sorted(digest + patch.label.encode() for patch, digest in pairs):
        content.update(row)
    return TrainingData(
        name=name,
        n_crack=n_crack,
        n_uncracked=len(pairs) - n_crack,
        n_photos=None if None in photos else len(photos),
        licence=licence,
        attribution=attribution,
        sha256=content.hexdigest(),
    )
