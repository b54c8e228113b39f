"""Leaks: what stands on two sides of a split, so that a figure would measure memory.

A *leak* is a photo, an exact duplicate or a near duplicate with patches in several parts. Training and evaluation
refuse a split that has any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crackscope.cache import Progress, Rows
from crackscope.errors import SplitError
from crackscope.patches import PARTS, PatchIndex
from crackscope.similarity import duplicate_pairs, fingerprints
from crackscope.splits import is_group

__all__ = ["Leak", "Leaks", "check_split", "find_leaks", "leaks_in"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Leak:
    """One thing that stands on two sides of a split.

    Attributes:
        kind: ``photo`` (or a group that looks alike), ``exact`` or ``near``.
        places: In the index: of a pair both; of a photo one patch in each of its parts.
        sentence: What it is, with the parts, and what to do.
    """

    kind: str
    places: tuple[int, ...]
    sentence: str


@dataclass(frozen=True)
class Leaks:
    """What stands on two sides of a split; each entry is a sentence. Its length is the number of leaks.

    Attributes:
        photos: Photos (or groups that look alike) with patches in several parts.
        exact: Pairs of byte-identical files in two parts.
        near: Pairs of near duplicates in two parts.
    """

    photos: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    near: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.photos) + len(self.exact) + len(self.near)

    def summary(self) -> str:
        """One line: how many of each kind, and the first.

        Example:
            >>> Leaks(exact=("a.jpg (train) and b.jpg (test) are the same file.",)).summary()
            '0 photos, 1 exact and 0 near duplicates on two sides. a.jpg (train) and b.jpg (test) are the same file.'
            >>> Leaks().summary()
            'No leaks.'
        """
        if not len(self):
            return "No leaks."
        first = (*self.photos, *self.exact, *self.near)[0]
        photos = f"{len(self.photos)} photo{'' if len(self.photos) == 1 else 's'}"
        return f"{photos}, {len(self.exact)} exact and {len(self.near)} near duplicates on two sides. {first}"


def check_split(index: PatchIndex, *, threads: int | None = None, progress: Progress | None = None) -> Leaks:
    """Look for leaks in an index whose patches have their parts. Fingerprints are cached.

    Raises:
        SplitError: If no patch has a part.
    """
    return find_leaks(index, fingerprints(index, threads=threads, progress=progress), threads=threads)


def find_leaks(index: PatchIndex, rows: Rows, *, threads: int | None = None) -> Leaks:
    """Look for leaks, with the index's fingerprints at hand. Patches without a part are on no side.

    Raises:
        SplitError: If no patch has a part.
    """
    if not any(patch.part for patch in index.patches):
        raise SplitError(f"{index.name}: no patch has a part. Make a split with `crackscope split`.")
    found = leaks_in(index, rows.digests, duplicate_pairs(rows, threads=threads))
    photos, exact, near = (
        tuple(leak.sentence for leak in found if leak.kind == kind) for kind in ("photo", "exact", "near")
    )
    return Leaks(photos, exact, near)


def leaks_in(index: PatchIndex, digests: Sequence[bytes], pairs: IntArray) -> list[Leak]:
    """Every leak: photos first, then pairs in their order.

    Args:
        index: Patches with their parts.
        digests: SHA-256 of each file.
        pairs: From `crackscope.similarity.duplicate_pairs`.
    """
    found = _photos_on_two_sides(index)
    for a, b in pairs.tolist():
        one, other = index.patches[a], index.patches[b]
        if one.part and other.part and one.part != other.part:
            same = digests[a] == digests[b]
            sentence = f"{one.path} ({one.part}) and {other.path} ({other.part}) "
            sentence += "are the same file." if same else "have the same pixels."
            found.append(Leak("exact" if same else "near", (a, b), sentence))
    return found


def _photos_on_two_sides(index: PatchIndex) -> list[Leak]:
    sides: dict[str, dict[str, int]] = {}
    for i, patch in enumerate(index.patches):
        if patch.photo and patch.part:
            sides.setdefault(patch.photo, {}).setdefault(patch.part, i)
    return [
        Leak("photo", tuple(parts.values()), _sentence(photo, set(parts)))
        for photo, parts in sorted(sides.items())
        if len(parts) > 1
    ]


def _sentence(photo: str, parts: set[str]) -> str:
    *some, last = (part for part in PARTS if part in parts)
    where = f"both {some[0]} and {last}" if len(some) == 1 else f"{', '.join(some)} and {last}"
    what, by = ("Group", "similarity") if is_group(photo) else ("Photo", "photo")
    return f"{what} {photo} has patches in {where}. Rebuild the split with `crackscope split --by {by}`."
