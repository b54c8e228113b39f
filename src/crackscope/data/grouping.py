"""Grouping: patches that must stay in one part of a split, or in one fold, as groups: by scene, photo or similarity.

What shares a duplicate with a group joins it. Where photos are not known, groups of patches that look alike take their
place; they are named ``group-001`` and so on.
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from dataclasses import replace

import numpy as np

from crackscope.arrays import Int64Array
from crackscope.data.cache import Rows, compute_rows
from crackscope.data.groups import place_of
from crackscope.data.patches import Patch, PatchIndex
from crackscope.errors import DataError, SplitError, did_you_mean
from crackscope.files.streaming import Progress

__all__ = ["MOST_SEARCHED", "group_patches", "is_group", "read_prints", "require_groups", "widest_groups"]

_WAYS = ("scene", "photo", "similarity", "random")

MOST_SEARCHED = 10_000
"""Patches up to which copies turned by any angle or zoomed are looked for. The work grows with their square."""

_GROUP = re.compile(r"group-\d{3,}")


def is_group(photo: str) -> bool:
    """Whether a name stands for a group that looks alike, in place of a photo.

    Example:
        >>> is_group("group-007"), is_group("D-7001")
        (True, False)
    """
    return _GROUP.fullmatch(photo) is not None


def widest_groups(patches: Sequence[Patch]) -> tuple[list[str] | None, str]:
    """The widest group that each patch is known to belong to, of which an interval resamples whole ones.

    Args:
        patches: The patches.

    Returns:
        Name of the group of each patch, and what the groups are: ``scenes``, ``photos`` or ``similarity groups``. None
        and ``patches`` where some patch has no group.

    Example:
        >>> widest_groups([Patch("a", "crack", "D-7001", scene="D001"), Patch("b", "crack", "D-7999")])
        (['D001', 'D-7999'], 'scenes')
    """
    places = [place_of(patch) for patch in patches]
    names = [name for _, name in filter(None, places)]
    if not patches or len(names) < len(patches):
        return None, "patches"
    if any(place is not None and place[0] == "scene" for place in places):
        return names, "scenes"
    return names, "similarity groups" if all(map(is_group, names)) else "photos"


def read_prints(
    index: PatchIndex, *, by: str, threads: int | None = None, progress: Progress | None = None
) -> tuple[Rows, Int64Array | None]:
    """Read what tells copies and what looks alike, as far as a split needs it.

    Args:
        index: The patches.
        by: What stays together, as for `split`.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as images are read.

    Returns:
        Fingerprints of the patches, and pairs of places that are turned copies; None where these were not looked for.
    """
    from crackscope.data.similarity import fingerprint_kind
    from crackscope.data.turned_copies import thumbnail_kind, turned_pairs

    searched = by != "random" and len(index) <= MOST_SEARCHED
    kinds = [fingerprint_kind(), thumbnail_kind()][: 2 if searched else 1]
    rows, *thumbnails = compute_rows(index, kinds, threads=threads, progress=progress)
    rows = kinds[0].filled(rows)
    turned = None
    if thumbnails:
        turned = turned_pairs(kinds[1].filled(thumbnails[0]), threads=threads, progress=progress)
    return rows, turned


def group_patches(
    index: PatchIndex,
    rows: Rows,
    *,
    by: str,
    turned: Int64Array | None = None,
    seed: int = 0,
    threads: int | None = None,
) -> tuple[PatchIndex, list[str], tuple[tuple[str, str], ...]]:
    """Put patches into groups that must stay in one part.

    Args:
        index: The patches.
        rows: Fingerprints in the order of the index.
        by: What stays together, as for `split`.
        turned: Pairs of places that are copies, as for `divide`.
        seed: Seed of the groups that look alike.
        threads: Thread budget for comparing.

    Returns:
        The readable patches in the order of their paths; the name of the group of each; path and reason of the others.

    Raises:
        DataError: If one label is missing among what can be read.
        SplitError: If photos or scenes are not known.
    """
    require_groups(index, by)
    refused = tuple(sorted((index.patches[i].path, why) for i, why in rows.refused.items()))
    index, rows, pairs = _readable_in_order_of_paths(index, rows, turned)
    _require_readable(index, refused)
    return *_grouped(index, rows, pairs, by, seed, threads), refused


def require_groups(index: PatchIndex, by: str) -> None:
    """Refuse data of which it is not known what must stay together.

    Args:
        index: The patches.
        by: What stays together, as for `crackscope.split`.

    Raises:
        DataError: If a label is missing.
        SplitError: If `by` is another word, or scenes or photos are not known.
    """
    if by not in _WAYS:
        raise SplitError(f"--by '{by}' is none of {', '.join(_WAYS)}.{did_you_mean(by, _WAYS)}")
    index.require_both_labels("a split")
    if by == "scene" and not any(patch.scene for patch in index.patches):
        raise SplitError(
            f"{index.name}: no scene is known, that is, which photos show the same place. Find out with "
            "`crackscope scenes` and give its file with --scenes, or split with --by photo."
        )
    if (by == "photo" and not index.knows_photos) or (by == "scene" and not index.knows_scenes):
        photoless = next(patch.path for patch in index.patches if patch.photo is None)
        raise SplitError(
            f"{index.name}: the photo of some patches is not known, such as {photoless}. "
            "Split with --by similarity, or name photos by --photo-from or in a CSV (path,label,photo)."
        )


def _readable_in_order_of_paths(
    index: PatchIndex, rows: Rows, pairs: Int64Array | None
) -> tuple[PatchIndex, Rows, Int64Array]:
    """Patches that have a fingerprint, in the order of their paths, with their fingerprints and pairs of places."""
    order = sorted((i for i in range(len(index)) if i not in rows.refused), key=lambda i: index.patches[i].path)
    place = np.full(len(index), -1, np.int64)
    place[order] = np.arange(len(order))
    moved = place[np.empty((0, 2), np.int64) if pairs is None else pairs]
    moved = moved[(moved >= 0).all(1)]
    if order == list(range(len(index))):
        return index, rows, moved
    rows = replace(rows, values=rows.values[order], digests=tuple(rows.digests[i] for i in order), refused={})
    return index.select([index.patches[i] for i in order]), rows, moved


def _copies(rows: Rows, turned: Int64Array, threads: int | None) -> Int64Array:
    """Pairs of patches that show the same thing, shape (n_pairs, 2)."""
    from crackscope.data.similarity import duplicate_pairs

    return np.concatenate([duplicate_pairs(rows, threads=threads), turned])


def _require_readable(index: PatchIndex, refused: Sequence[tuple[str, str]]) -> None:
    """Refuse data of which no file can be read, or none of one label."""
    if refused and not all(index.counts().values()):
        path, why = refused[0]
        raise DataError(
            f"{index.name}: a split needs both labels, but {len(refused)} files cannot be read and {len(index)} are "
            f"left; {path}: {why}. Check the paths, or mend the files."
        )


def _grouped(
    index: PatchIndex, rows: Rows, turned: Int64Array, by: str, seed: int, threads: int | None
) -> tuple[PatchIndex, list[str]]:
    """The patches, and for each the name of the group that goes to one part as a whole."""
    if by == "random":
        return index, index.paths
    copies = _copies(rows, turned, threads)
    if by == "similarity":
        index = _with_groups(index, rows, copies, seed)
        return index, [patch.photo or "" for patch in index.patches]
    name_of = place_of if by == "scene" else lambda patch: patch.photo
    return index, _with_their_duplicates([name_of(patch) for patch in index.patches], copies)


def _with_groups(index: PatchIndex, rows: Rows, copies: Int64Array, seed: int) -> PatchIndex:
    """The patches, each with a group that looks alike as its photo. A known photo or scene stays in one group."""
    from crackscope.data.similarity import look_alike_groups

    first: dict[Hashable, int] = {}
    same_place = [
        (first.setdefault(place, i), i) for i, patch in enumerate(index.patches) if (place := place_of(patch))
    ]
    together = np.array(same_place, np.int64).reshape(-1, 2)
    groups = look_alike_groups(rows, seed=seed, together=together, pairs=copies)
    return index.select(
        [replace(patch, photo=f"group-{group:03d}") for patch, group in zip(index.patches, groups, strict=True)]
    )


def _with_their_duplicates(names: Sequence[Hashable], copies: Int64Array) -> list[str]:
    """A group for each patch: its photo or scene, joined with every other that holds a duplicate of its patches."""
    from crackscope.data.similarity import connected

    number = {name: i for i, name in enumerate(sorted(set(names), key=repr))}
    places = np.array([number[name] for name in names])
    groups = connected(len(number), places[copies])
    return [f"{groups[place]}" for place in places]
