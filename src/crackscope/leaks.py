"""Leaks: what stands on two sides of a split, so that a figure would measure memory.

A *leak* is a photo, an exact duplicate or a near duplicate with patches in several parts. Training and evaluation
refuse a split that has any.
"""

from __future__ import annotations

from dataclasses import dataclass

from crackscope.cache import Progress, Rows
from crackscope.errors import SplitError
from crackscope.patches import PARTS, PatchIndex
from crackscope.similarity import duplicate_pairs, fingerprints
from crackscope.splits import is_group

__all__ = ["Leaks", "check_split", "find_leaks"]


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
    exact: list[str] = []
    near: list[str] = []
    for a, b in duplicate_pairs(rows, threads=threads).tolist():
        one, other = index.patches[a], index.patches[b]
        if one.part and other.part and one.part != other.part:
            same = rows.digests[a] == rows.digests[b]
            pair = f"{one.path} ({one.part}) and {other.path} ({other.part}) "
            (exact if same else near).append(pair + ("are the same file." if same else "have the same pixels."))
    return Leaks(_photos_on_two_sides(index), tuple(exact), tuple(near))


def _photos_on_two_sides(index: PatchIndex) -> tuple[str, ...]:
    sides: dict[str, set[str]] = {}
    for patch in index.patches:
        if patch.photo and patch.part:
            sides.setdefault(patch.photo, set()).add(patch.part)
    return tuple(_sentence(photo, parts) for photo, parts in sorted(sides.items()) if len(parts) > 1)


def _sentence(photo: str, parts: set[str]) -> str:
    *some, last = (part for part in PARTS if part in parts)
    where = f"both {some[0]} and {last}" if len(some) == 1 else f"{', '.join(some)} and {last}"
    what, by = ("Group", "similarity") if is_group(photo) else ("Photo", "photo")
    return f"{what} {photo} has patches in {where}. Rebuild the split with `crackscope split --by {by}`."
