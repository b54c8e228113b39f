"""Leaks: patches on two sides of a split that show the same thing, so that a figure would measure memory.

A *leak* is a scene, a photo, an exact duplicate or a near duplicate with patches in several parts. Training and
evaluation refuse a split that has any.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, combinations
from pathlib import Path
from typing import TypeVar

import numpy as np

from crackscope.arrays import Int64Array
from crackscope.data.cache import Rows
from crackscope.data.grouping import is_group
from crackscope.data.patches import PARTS, PatchIndex, read_patches
from crackscope.data.similarity import connected, duplicate_pairs, fingerprints
from crackscope.errors import SplitError
from crackscope.files.streaming import Progress

__all__ = ["Leak", "Leaks", "check_split", "find_leaks", "leaks_in"]

Name = TypeVar("Name", bytes, int)

_SHOWN = 3  # photos of a scene that a sentence names in each part


@dataclass(frozen=True)
class Leak:
    """One thing that stands on two sides of a split.

    Attributes:
        kind: ``scene``, ``photo`` (or a group that looks alike), ``exact`` or ``near``.
        places: Positions of the patches in the index. For copies, all patches in the two parts, first the two that the
            sentence names; for a scene or a photo, one patch in each of its parts.
        sentence: Description of the leak with its parts, and what to do.
    """

    kind: str
    places: tuple[int, ...]
    sentence: str


@dataclass(frozen=True)
class Leaks:
    """What stands on two sides of a split, so that a figure would measure memory. Its length is the number of leaks.

    Attributes:
        photos: One sentence for each photo, or group that looks alike, with patches in several parts.
        exact: One sentence for each set of identical files that stands in two parts.
        near: One sentence for each set of near duplicates (re-encoded, resized, turned by 90° or mirrored) that stands
            in two parts.
        scenes: One sentence for each scene with photos in several parts; it names the photos.
    """

    photos: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    near: tuple[str, ...] = ()
    scenes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.scenes) + len(self.photos) + len(self.exact) + len(self.near)

    def summary(self) -> str:
        """Say in one line how many leaks of each kind there are, and name the first.

        Example:
            >>> Leaks(exact=("a.jpg (train) and b.jpg (test) are the same file.",)).summary()
            '0 photos, 1 exact and 0 near duplicates on two sides. a.jpg (train) and b.jpg (test) are the same file.'
            >>> Leaks().summary()
            'No leaks.'
        """
        if not len(self):
            return "No leaks."
        first = (*self.scenes, *self.photos, *self.exact, *self.near)[0]
        scenes = f"{len(self.scenes)} scene{'' if len(self.scenes) == 1 else 's'}, " if self.scenes else ""
        photos = f"{len(self.photos)} photo{'' if len(self.photos) == 1 else 's'}"
        return f"{scenes}{photos}, {len(self.exact)} exact and {len(self.near)} near duplicates on two sides. {first}"


def check_split(
    data: str | Path | PatchIndex, *, threads: int | None = None, progress: Progress | None = None
) -> Leaks:
    """Look for leaks among patches that have their parts: scenes, photos, copies and near copies in two parts.

    What is computed for each image is cached, so a second look is quick.

    Args:
        data: Labelled patches with their parts: what `crackscope.apply_split` returns, or data whose own folders or
            table name the parts.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as images are read.

    Returns:
        The leaks; ``len()`` of them is 0 for a clean split.

    Raises:
        DataError: If the data cannot be read.
        SplitError: If no patch has a part.
    """
    index = read_patches(data)
    return find_leaks(index, fingerprints(index, threads=threads, progress=progress), threads=threads)


def find_leaks(index: PatchIndex, rows: Rows, *, threads: int | None = None) -> Leaks:
    """Look for leaks, with the index's fingerprints at hand. Patches without a part are on no side.

    Raises:
        SplitError: If no patch has a part.
    """
    if not any(patch.part for patch in index.patches):
        raise SplitError(f"{index.name}: no patch has a part. Make a split with `crackscope split`.")
    found = leaks_in(index, rows.digests, duplicate_pairs(rows, threads=threads))
    kinds = ("photo", "exact", "near", "scene")
    return Leaks(*(tuple(leak.sentence for leak in found if leak.kind == kind) for kind in kinds))


def leaks_in(index: PatchIndex, digests: Sequence[bytes], pairs: Int64Array) -> list[Leak]:
    """Every leak: scenes and photos first, then copies in the order of their patches.

    Patches that copies connect, directly or through other patches, count as one thing. It leaks once between any two
    parts. Patches in no part connect as well.

    Args:
        index: Patches with their parts.
        digests: SHA-256 of each file.
        pairs: Pairs of places, from `crackscope.data.similarity.duplicate_pairs`.
    """
    return [*_scenes_on_two_sides(index), *_photos_on_two_sides(index), *_copies_on_two_sides(index, digests, pairs)]


def _scenes_on_two_sides(index: PatchIndex) -> list[Leak]:
    """Scenes of which one photo is in one part and another photo in another; a photo alone is a leak of photos."""
    sides: dict[str, dict[str, dict[str, int]]] = {}  # of each scene and part, the first patch of each photo
    for i, patch in enumerate(index.patches):
        if patch.scene is not None and patch.part:
            parts = sides.setdefault(patch.scene, {})
            parts.setdefault(patch.part, {}).setdefault(patch.photo or patch.path, i)
    found = []
    for scene, parts in sorted(sides.items()):
        if len(parts) > 1 and len(set(chain(*parts.values()))) > 1:
            places = tuple(min(photos.values()) for photos in parts.values())
            photos = {part: sorted(parts[part]) for part in PARTS if part in parts}
            found.append(Leak("scene", places, _scene_sentence(scene, photos)))
    return found


def _photos_on_two_sides(index: PatchIndex) -> list[Leak]:
    sides: dict[str, dict[str, int]] = {}
    for i, patch in enumerate(index.patches):
        if patch.photo and patch.part:
            sides.setdefault(patch.photo, {}).setdefault(patch.part, i)
    return [
        Leak("photo", tuple(parts.values()), _sentence(photo, set(parts), knows_scenes=index.knows_scenes))
        for photo, parts in sorted(sides.items())
        if len(parts) > 1
    ]


def _copies_on_two_sides(index: PatchIndex, digests: Sequence[bytes], pairs: Int64Array) -> list[Leak]:
    linked, things = np.unique(pairs).tolist(), connected(len(index), pairs).tolist()
    of_thing = _by_part(index, linked, things)
    # Named are two of the same file if there are any, else two that were found alike, else two linked by others.
    candidates = chain(_across(_by_part(index, linked, digests)), pairs.tolist(), _across(of_thing))
    named: dict[tuple[int, str, str], tuple[int, int]] = {}
    for places in candidates:
        a, b = sorted(places)
        one, other = index.patches[a].part, index.patches[b].part
        if one and other and one != other:
            named.setdefault((things[a], *sorted((one, other))), (a, b))
    found = []
    for (thing, *parts), (a, b) in sorted(named.items(), key=lambda item: item[1]):
        rest = sorted({place for part in parts for place in of_thing[thing][part]} - {a, b})
        found.append(_leak_of_copies(index, digests, (a, b, *rest)))
    return found


def _by_part(index: PatchIndex, places: Sequence[int], names: Sequence[Name]) -> dict[Name, dict[str, list[int]]]:
    """Places that bear each name, by part."""
    found: dict[Name, dict[str, list[int]]] = {}
    for place in places:
        if part := index.patches[place].part:
            found.setdefault(names[place], {}).setdefault(part, []).append(place)
    return found


def _across(sides: Mapping[Name, Mapping[str, Sequence[int]]]) -> Iterator[list[int]]:
    """First places in any two parts, for each name."""
    for parts in sides.values():
        for one, other in combinations(parts.values(), 2):
            yield [one[0], other[0]]


def _leak_of_copies(index: PatchIndex, digests: Sequence[bytes], places: tuple[int, ...]) -> Leak:
    one, other = index.patches[places[0]], index.patches[places[1]]
    same = digests[places[0]] == digests[places[1]]
    what = "are the same file." if same else "show the same picture."
    sentence = f"{one.path} ({one.part}) and {other.path} ({other.part}) {what}"
    return Leak("exact" if same else "near", places, sentence)


def _scene_sentence(scene: str, photos: Mapping[str, Sequence[str]]) -> str:
    """Sentence about a scene that names its photos in each part."""
    told = []
    for part, names in photos.items():
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        told.append(f"{', '.join(names[:_SHOWN])}{more} ({part})")
    return (
        f"Scene {scene} has photos in {_where(set(photos))}: {'; '.join(told)} show the same place. "
        "Rebuild the split with `crackscope split --by scene`."
    )


def _sentence(photo: str, parts: set[str], *, knows_scenes: bool) -> str:
    what, by = ("Group", "similarity") if is_group(photo) else ("Photo", "scene" if knows_scenes else "photo")
    return f"{what} {photo} has patches in {_where(parts)}. Rebuild the split with `crackscope split --by {by}`."


def _where(parts: set[str]) -> str:
    *some, last = (part for part in PARTS if part in parts)
    return f"both {some[0]} and {last}" if len(some) == 1 else f"{', '.join(some)} and {last}"
