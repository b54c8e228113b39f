"""Splits: the part of each patch (train, val or test), by scene, by photo, by similarity, or at random.

A split is a file, ``path,label,photo,part``, and then ``scene`` where scenes are known. A photo goes to one part as a
whole; so does a scene, and so does a group that looks alike where photos are not known. What shares a duplicate goes to
the same part. `leaks` checks the result.
Files that are missing or cannot be decoded go to no part.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from crackscope.arrays import Int64Array
from crackscope.data.assignment import assign
from crackscope.data.cache import Rows, compute_rows
from crackscope.data.class_names import LABELS, ClassNames
from crackscope.data.groups import place_of
from crackscope.data.patches import PARTS, Patch, PatchIndex, read_patches
from crackscope.data.scenes import SceneOfPhoto
from crackscope.errors import DataError, SplitError, did_you_mean
from crackscope.files.output import write_text
from crackscope.files.streaming import Progress
from crackscope.files.tables import TableForm, TableRow, read_table, table_text

__all__ = [
    "MOST_SEARCHED",
    "Split",
    "apply_split",
    "divide",
    "group_patches",
    "is_group",
    "read_prints",
    "read_split",
    "split",
    "split_of",
    "widest_groups",
    "write_split",
]

_COLUMNS = ("path", "label", "photo", "part")
_WAYS = ("scene", "photo", "similarity", "random")

MOST_SEARCHED = 10_000
"""Patches up to which `split` looks for copies turned by any angle or zoomed. The work grows with their square."""
_GROUP = re.compile(r"group-\d{3,}")
_REMEDY = "Make it with `crackscope split`."
_FORM = TableForm(
    _COLUMNS,
    ("scene",),
    complete=True,
    remedy=_REMEDY,
    columns_remedy=f"It needs path,label,photo,part. {_REMEDY}",
    error=SplitError,
)


@dataclass(frozen=True)
class Split:
    """Patches divided into parts.

    Attributes:
        patches: Patches, each with a ``part``; ``photo`` is the photo, or the group that looks alike where photos are
            not known.
        grouped_by: What was kept together: ``scene``, ``photo``, ``similarity`` or ``random``; ``given`` where the
            data's own folders name the parts, but no photos. For a split that is read from a file, it is told from the
            rows.
        refused: Path and reason of each patch that is left out, since its file is missing or cannot be read. Empty for
            a split that is read from a file.
    """

    patches: tuple[Patch, ...]
    grouped_by: str = "photo"
    refused: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    def counts(self) -> dict[str, dict[str, int]]:
        """Count, for each part, patches of each label, photos (or groups), and scenes where some are known."""
        found = {}
        for part in PARTS:
            mine = [patch for patch in self.patches if patch.part == part]
            labels = Counter(patch.label for patch in mine)
            photos = {patch.photo for patch in mine if patch.photo}
            found[part] = {**{label: labels[label] for label in LABELS}, "photos": len(photos)}
            if any(patch.scene for patch in self.patches):
                found[part]["scenes"] = len({place_of(patch) for patch in mine} - {None})
        return found

    def sha256(self) -> str:
        """Compute a digest of the rows; it depends neither on their order nor on the file they are in."""
        in_order = sorted(self.patches, key=lambda patch: patch.path)
        return hashlib.sha256(_as_written(_table(in_order)).encode()).hexdigest()


def split(
    data: str | Path | PatchIndex,
    *,
    by: str = "photo",
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Split:
    """Divide labelled patches into train, val and test, so that photos and duplicates stay in one part.

    Copies that were turned by any angle or zoomed are looked for among at most 10,000 patches; `crackscope.audit` looks
    for them in larger sets.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        by: What stays together: ``scene`` (photos that show the same place), where some overlap; ``photo``;
            ``similarity`` (groups that look alike), where photos are not known; or ``random`` (nothing), which usually
            leaks.
        val: Share of the patches for validation, in [0, 1), for each label and data set as nearly as whole groups
            allow.
        test: Share of the patches for the test, in [0, 1).
        seed: Seed of the order in which groups are dealt to the parts.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as images are read.

    Returns:
        The split, its patches in the order of their paths. Files that are missing or cannot be read are left out, and
        named in ``refused``.

    Raises:
        DataError: If the data cannot be read, or one label is missing among the files that can be read.
        SplitError: If the shares or `by` are not as above, photos or scenes are not known, or a part would have no
            patch of a label.
    """
    index = read_patches(data)
    _require_divisible(index, by, val, test)
    rows, turned = read_prints(index, by=by, threads=threads, progress=progress)
    return divide(index, rows, by=by, val=val, test=test, seed=seed, turned=turned, threads=threads)


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


def divide(
    index: PatchIndex,
    rows: Rows,
    *,
    by: str = "photo",
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    turned: Int64Array | None = None,
    threads: int | None = None,
) -> Split:
    """Divide patches whose fingerprints are at hand; see `split`.

    Args:
        index: The patches.
        rows: Fingerprints in the order of the index (`crackscope.data.similarity.fingerprints`).
        by: What stays together: ``scene``, ``photo``, ``similarity`` or ``random``.
        val: Share of the patches for validation, in [0, 1).
        test: Share of the patches for the test, in [0, 1).
        seed: Seed of the order in which groups are dealt to the parts.
        turned: Pairs of places that are copies, besides those that `rows` tell, such as those of
            `crackscope.data.turned_copies.turned_pairs`; shape (n_pairs, 2).
        threads: Thread budget for comparing.

    Returns:
        The split. Patches that have no fingerprint, since their file cannot be read, are left out and named.

    Raises:
        DataError: If one label is missing.
        SplitError: If photos or scenes are not known, or a part would stay without a label.
    """
    _require_divisible(index, by, val, test)
    index, groups, refused = group_patches(index, rows, by=by, turned=turned, seed=seed, threads=threads)
    shares = (1 - val - test, val, test)
    parts = assign(index.patches, groups, shares=shares, seed=seed)
    _require_labels(index.patches, groups, parts, shares)
    patches = tuple(replace(patch, part=part) for patch, part in zip(index.patches, parts, strict=True))
    return Split(patches, by, refused)


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
    _require_divisible(index, by, 0, 0)
    refused = tuple(sorted((index.patches[i].path, why) for i, why in rows.refused.items()))
    index, rows, pairs = _readable_in_order_of_paths(index, rows, turned)
    _require_readable(index, refused)
    return *_grouped(index, rows, pairs, by, seed, threads), refused


def _require_divisible(index: PatchIndex, by: str, val: float, test: float) -> None:
    """Refuse data that cannot be divided as asked."""
    _check_shares(val, test)
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


def _check_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise SplitError(
            f"--val {val:g} and --test {test:g} leave nothing to train on; give shares from 0 whose sum is below 1."
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


def _require_labels(
    patches: Sequence[Patch], groups: Sequence[str], parts: Sequence[str], shares: Sequence[float]
) -> None:
    wanted = [part for part, share in zip(PARTS, shares, strict=True) if share]
    found = {(part, patch.label) for part, patch in zip(parts, patches, strict=True)}
    for part in wanted:
        for label in LABELS:
            if (part, label) not in found:
                n = len({group for group, patch in zip(groups, patches, strict=True) if patch.label == label})
                enlarge = "Lower --val or --test" if part == "train" else f"Enlarge --{part}"
                remedy = f"{enlarge}, try another --seed" if n >= len(wanted) else "Set --val 0 or --test 0"
                raise SplitError(
                    f"part {part} got no '{label}' patch: {n} groups that must stay together hold one, for "
                    f"{len(wanted)} parts. {remedy}, or add photos."
                )


def _table(patches: Sequence[Patch]) -> str:
    rows = ((patch.path, patch.label, patch.photo, patch.part, patch.scene) for patch in patches)
    if any(patch.scene for patch in patches):
        return table_text((*_COLUMNS, "scene"), rows)
    return table_text(_COLUMNS, (row[:-1] for row in rows))


def _as_written(text: str) -> str:
    """Text as UTF-8 can hold it: file names that are not valid Unicode are written with escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def write_split(result: Split, out: str | Path, *, overwrite: bool = False) -> None:
    """Write a split as a CSV with the columns ``path,label,photo,part``; the file appears whole or not at all.

    The column ``scene`` follows where the scene of some patch is known.

    Args:
        result: The split.
        out: Path of the file.
        overwrite: Whether an existing file is replaced.

    Raises:
        OutputError: If the file exists and `overwrite` is false, or it cannot be written.
    """
    write_text(Path(out), _table(result.patches), overwrite=overwrite)


def read_split(path: str | Path) -> Split:
    """Read a split file: a CSV with the columns ``path,label,photo,part``, and perhaps ``scene``.

    Further columns are ignored.

    Args:
        path: Path of the file.

    Raises:
        SplitError: If the file cannot be read, a column is missing, a row holds an unknown label or part, a path is
            listed twice, or a photo is in two scenes.
    """
    patches: dict[str, Patch] = {}
    scenes = SceneOfPhoto(SplitError)
    for row in read_table(Path(path), _FORM):
        patch = _from_row(row)
        if patch.path in patches:
            raise SplitError(f"{row.where}: '{patch.path}' is listed twice. Keep one row a patch.")
        scenes.require_same(patch.photo, patch.scene, row.where)
        patches[patch.path] = patch
    if not patches:
        raise SplitError(f"{path}: no rows. {_REMEDY}")
    in_order = tuple(patches.values())
    return Split(in_order, _kept_together(in_order))


def _from_row(row: TableRow) -> Patch:
    part, names = row["part"].strip(), ClassNames()
    label = names.label_of(row["label"])
    if part not in PARTS:
        raise SplitError(f"{row.where}: '{part}' is none of {', '.join(PARTS)}.{did_you_mean(part, PARTS)}")
    if label is None:
        found = row["label"].strip()
        raise SplitError(f"{row.where}: '{found}' is none of {', '.join(LABELS)}.{names.suggestion(found)}")
    if not row["path"]:
        raise SplitError(f"{row.where}: the path is empty. {_REMEDY}")
    return Patch(row["path"], label, row["photo"] or None, part, scene=row["scene"] or None)


def _kept_together(patches: Sequence[Patch]) -> str:
    """What a split was grouped by, as far as its rows tell."""
    if all(is_group(patch.photo or "") for patch in patches):
        return "similarity"
    if any(patch.scene for patch in patches) and _is_whole(patches, [place_of(patch) for patch in patches]):
        return "scene"
    whole = _is_whole(patches, [patch.photo for patch in patches])
    return "photo" if whole else "random"


def _is_whole(patches: Sequence[Patch], groups: Sequence[Hashable]) -> bool:
    """Whether every group is known and lies in one part."""
    parts: dict[Hashable, str | None] = {}
    return all(
        group is not None and parts.setdefault(group, patch.part) == patch.part
        for patch, group in zip(patches, groups, strict=True)
    )


def split_of(index: PatchIndex, split: str | Path | Split | None) -> Split:
    """The split of a file, or the one that the data's own folders or table tell; a `Split` is taken as it is.

    Raises:
        SplitError: If neither tells the part of every patch.
    """
    if isinstance(split, Split):
        return split
    if split is not None:
        return read_split(split)
    partless = [patch.path for patch in index.patches if patch.part is None]
    if partless:
        raise SplitError(
            f"{index.name}: {partless[0]} is in no part. Make a split with `crackscope split` and give it with --split."
        )
    return Split(index.patches, "photo" if index.knows_photos else "given")


def apply_split(
    data: str | Path | PatchIndex, *, split: str | Path | Split | None = None, part: str | None = None
) -> PatchIndex:
    """Give patches the parts that a split names; patches that it does not name are left out.

    Where the data knows the photo of a patch, it is kept; else the patch gets the photo, or group, that the split
    names. Scenes are those of the split, or those that the data knows where the split names none.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns. Its order is
            kept.
        split: A split of the same data, from `crackscope.split`, or its file; if left out, the parts that the data
            itself names.
        part: Name of the only part to keep, ``train``, ``val`` or ``test``; all are kept if left out.

    Returns:
        The index of the patches with their parts.

    Raises:
        DataError: If the data cannot be read.
        SplitError: If the split names files that the data lacks, or gives one another label, or the part is empty; or
            if the split is left out and the data does not name the part of every patch.
    """
    index = read_patches(data)
    assigned = split_of(index, split)
    mine = {_as_written(patch.path) for patch in index.patches}
    named = {_as_written(patch.path): patch for patch in assigned.patches}
    unknown = [path for path in named if path not in mine]
    if unknown:
        raise SplitError(
            f"the split names {len(unknown)} files that {index.name} lacks, such as '{unknown[0]}': it belongs to "
            f"other data. Make one with `crackscope split`."
        )
    names_scenes = any(patch.scene for patch in assigned.patches)
    chosen = []
    for own in index.patches:
        patch = named.get(_as_written(own.path))
        if patch is None:
            continue
        if own.label != patch.label:
            raise SplitError(
                f"'{patch.path}' is {patch.label} in the split and {own.label} in {index.name}. "
                "Make the split anew with `crackscope split`."
            )
        scene = patch.scene if names_scenes else own.scene
        chosen.append(replace(own, photo=own.photo or patch.photo, part=patch.part, scene=scene))
    found = index.select(chosen) if part is None else index.select(chosen).part(part)
    if part and not len(found):
        raise SplitError(f"the split has no patch in '{part}'. Make it anew with `crackscope split --{part} 0.15`.")
    return found
