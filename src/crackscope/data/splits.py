"""Splits: the part of each patch (train, val or test), by scene, by photo, by similarity, or at random.

A split is a file, ``path,label,photo,part``, and then ``scene`` where scenes are known. A photo goes to one part as a
whole; so does a scene, and so does a group that looks alike where photos are not known. What shares a duplicate goes to
the same part (`grouping`). `leaks` checks the result. Files that are missing or cannot be decoded go to no part.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from crackscope.arrays import Int64Array
from crackscope.data.assignment import assign
from crackscope.data.cache import Rows
from crackscope.data.class_names import LABELS, ClassNames
from crackscope.data.grouping import group_patches, is_group, read_prints, require_groups
from crackscope.data.groups import place_of
from crackscope.data.patches import PARTS, Patch, PatchIndex, read_patches
from crackscope.data.scenes import SceneOfPhoto
from crackscope.errors import SplitError, did_you_mean
from crackscope.files.output import write_text
from crackscope.files.streaming import Progress
from crackscope.files.tables import TableForm, TableRow, read_table, table_text

__all__ = [
    "Split",
    "apply_split",
    "divide",
    "read_split",
    "split",
    "split_of",
    "write_split",
]

_COLUMNS = ("path", "label", "photo", "part")
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
    _check_shares(val, test)
    require_groups(index, by)
    rows, turned = read_prints(index, by=by, threads=threads, progress=progress)
    return divide(index, rows, by=by, val=val, test=test, seed=seed, turned=turned, threads=threads)


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
    _check_shares(val, test)
    require_groups(index, by)
    index, groups, refused = group_patches(index, rows, by=by, turned=turned, seed=seed, threads=threads)
    shares = (1 - val - test, val, test)
    parts = assign(index.patches, groups, shares=shares, seed=seed)
    _require_labels(index.patches, groups, parts, shares)
    patches = tuple(replace(patch, part=part) for patch, part in zip(index.patches, parts, strict=True))
    return Split(patches, by, refused)


def _check_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise SplitError(
            f"--val {val:g} and --test {test:g} leave nothing to train on; give shares from 0 whose sum is below 1."
        )


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
