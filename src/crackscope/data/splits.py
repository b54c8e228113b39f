"""Splits: which patches train, which validate, which test; by photo, by similarity, or at random.

A split is a file, ``path,label,photo,part``. What must stay together is assigned as a whole: photos, or for sets that
do not tell their photos, groups that look alike. Duplicates pull their photos or groups together. `leaks` checks it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.data.assignment import assign
from crackscope.data.cache import Rows
from crackscope.data.patches import LABELS, PARTS, Patch, PatchIndex
from crackscope.errors import SplitError, did_you_mean
from crackscope.files.output import write_text
from crackscope.files.streaming import Progress

__all__ = ["Split", "apply_split", "is_group", "read_split", "split", "split_of", "write_split"]

_COLUMNS = ["path", "label", "photo", "part"]
_WAYS = ("photo", "similarity", "random")
_GROUP = re.compile(r"group-\d{3,}")
_REMEDY = "Make it with `crackscope split`."


@dataclass(frozen=True)
class Split:
    """Patches with their parts.

    Attributes:
        patches: Every patch has a ``part``; ``photo`` is the photo, or the group where photos are not known.
        grouped_by: What was kept together: ``photo``, ``similarity`` or ``random``; ``given`` where the data's own
            folders name the parts, but no photos. A file does not say so; it is
            told by the names of the groups, and ``random`` by photos that are not known or stand on two sides.
    """

    patches: tuple[Patch, ...]
    grouped_by: str = "photo"

    def counts(self) -> dict[str, dict[str, int]]:
        """For each part, the number of patches of each label and of photos (or groups)."""
        found = {}
        for part in PARTS:
            mine = [patch for patch in self.patches if patch.part == part]
            labels = Counter(patch.label for patch in mine)
            photos = {patch.photo for patch in mine if patch.photo}
            found[part] = {**{label: labels[label] for label in LABELS}, "photos": len(photos)}
        return found

    def sha256(self) -> str:
        """Digest of the rows, whatever file they are in, and in whatever order."""
        in_order = sorted(self.patches, key=lambda patch: patch.path)
        return hashlib.sha256(_as_written(_table(in_order)).encode()).hexdigest()


def split(
    index: PatchIndex,
    *,
    by: str = "photo",
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
    rows: Rows | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Split:
    """Divide patches into train, val and test.

    Args:
        index: The patches.
        by: ``photo``, ``similarity`` (for sets that do not tell their photos), or ``random`` (leaky as a rule).
        val: Share of the patches for validation, of each label and data set as nearly as whole groups allow.
        test: Share for the test.
        seed: Of the order in which groups are assigned.
        rows: Fingerprints, where they are already at hand; else they are computed (and cached).
        threads: Thread budget for reading images.
        progress: Called while images are read.

    Returns:
        A split, in the order of the paths: the order of the index changes nothing. Unreadable images are left out of
        one by similarity.

    Raises:
        DataError: If one label is missing.
        SplitError: If photos are not known, or a part would stay without a label.
    """
    _check_shares(val, test)
    if by not in _WAYS:
        raise SplitError(f"--by '{by}' is none of {', '.join(_WAYS)}.{did_you_mean(by, _WAYS)}")
    index.require_both_labels("a split")
    if by == "photo" and not index.knows_photos:
        photoless = next(patch.path for patch in index.patches if patch.photo is None)
        raise SplitError(
            f"{index.name}: the photo of some patches is not known, such as {photoless}. "
            "Split with --by similarity, or name photos in a CSV (path,label,photo)."
        )
    index, rows = _in_order_of_paths(index, rows)
    if by != "random" and rows is None:
        from crackscope.data.similarity import fingerprints

        rows = fingerprints(index, threads=threads, progress=progress)
    if by == "similarity" and rows is not None:
        index = _with_groups(index, rows, seed, threads)
        index.require_both_labels("a split")
    groups = [patch.photo or "" for patch in index.patches] if by == "similarity" else index.paths
    if by == "photo" and rows is not None:
        groups = _photos_with_their_duplicates(index, rows, threads)
    shares = (1 - val - test, val, test)
    parts = assign(index.patches, groups, shares=shares, seed=seed)
    _require_labels(index.patches, groups, parts, shares)
    return Split(tuple(replace(patch, part=part) for patch, part in zip(index.patches, parts, strict=True)), by)


def is_group(photo: str) -> bool:
    """Whether a name stands for a group that looks alike, in place of a photo.

    Example:
        >>> is_group("group-007"), is_group("D-7001")
        (True, False)
    """
    return _GROUP.fullmatch(photo) is not None


def _check_shares(val: float, test: float) -> None:
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise SplitError(
            f"--val {val:g} and --test {test:g} leave nothing to train on; give shares from 0 whose sum is below 1."
        )


def _in_order_of_paths(index: PatchIndex, rows: Rows | None) -> tuple[PatchIndex, Rows | None]:
    order = sorted(range(len(index)), key=lambda i: index.patches[i].path)
    if order == list(range(len(index))):
        return index, rows
    if rows is not None:
        refused = {place: rows.refused[i] for place, i in enumerate(order) if i in rows.refused}
        rows = replace(rows, values=rows.values[order], digests=tuple(rows.digests[i] for i in order), refused=refused)
    return index.select([index.patches[i] for i in order]), rows


def _with_groups(index: PatchIndex, rows: Rows, seed: int, threads: int | None) -> PatchIndex:
    """The readable patches, with groups that look alike for photos. Photos that are known stay in one group."""
    from crackscope.data.similarity import look_alike_groups

    first: dict[str, int] = {}  # readable patch of a photo: a refused one would link nothing
    same_photo = [
        (first.setdefault(patch.photo, i), i)
        for i, patch in enumerate(index.patches)
        if patch.photo is not None and i not in rows.refused
    ]
    together = np.array(same_photo, np.int64).reshape(-1, 2)
    groups = look_alike_groups(rows, seed=seed, together=together, threads=threads)
    return index.select(
        [
            replace(patch, photo=f"group-{group:03d}")
            for patch, group in zip(index.patches, groups, strict=True)
            if group >= 0
        ]
    )


def _photos_with_their_duplicates(index: PatchIndex, rows: Rows, threads: int | None) -> list[str]:
    """A group for each patch: its photo, joined with every photo that holds a duplicate of one of its patches."""
    from crackscope.data.similarity import connected, duplicate_pairs

    photos = [patch.photo or "" for patch in index.patches]
    number = {photo: i for i, photo in enumerate(sorted(set(photos)))}
    places = np.array([number[photo] for photo in photos])
    groups = connected(len(number), places[duplicate_pairs(rows, threads=threads)])
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
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows([patch.path, patch.label, patch.photo or "", patch.part] for patch in patches)
    return text.getvalue()


def _as_written(text: str) -> str:
    """Text as UTF-8 can hold it: file names that are not valid Unicode are written with escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def write_split(result: Split, out: str | Path, *, overwrite: bool = False) -> None:
    """Write ``path,label,photo,part``, one row a patch, beside and then renamed.

    Raises:
        OutputError: If the file exists and `overwrite` is not said, or it cannot be written.
    """
    write_text(Path(out), _table(result.patches), overwrite=overwrite)


def read_split(path: str | Path) -> Split:
    """Read a split file. More columns than the four do no harm.

    Raises:
        SplitError: If a column is missing, a row holds an unknown label or part, or a path is listed twice.
    """
    place = Path(path)
    try:
        text = place.read_bytes().decode("utf-8-sig")
        patches = _from_table(csv.reader(io.StringIO(text, newline="")), place)
    except OSError as error:
        raise SplitError(f"{place}: cannot be read ({error.strerror}). {_REMEDY}") from error
    except UnicodeDecodeError as error:
        raise SplitError(f"{place}: not UTF-8 text (byte {error.start}). {_REMEDY}") from error
    except csv.Error as error:
        raise SplitError(f"{place}: not a CSV ({error}). {_REMEDY}") from error
    if not patches:
        raise SplitError(f"{place}: no rows. {_REMEDY}")
    return Split(tuple(patches), _kept_together(patches))


def _from_table(reader: Any, place: Path) -> list[Patch]:
    columns = [column.strip() for column in next(reader, [])]
    missing = [column for column in _COLUMNS if column not in columns]
    if missing:
        found = ", ".join(columns) or "none"
        raise SplitError(f"{place}: no column '{missing[0]}' among {found}. It needs path,label,photo,part. {_REMEDY}")
    patches: dict[str, Patch] = {}
    for values in reader:
        where = f"{place.name}, row {reader.line_num}"
        if not values:
            continue
        if len(values) != len(columns):
            raise SplitError(
                f"{where}: {len(values)} values for {len(columns)} columns. Quote a path that holds a comma."
            )
        patch = _from_row(dict(zip(columns, values, strict=True)), where)
        if patch.path in patches:
            raise SplitError(f"{where}: '{patch.path}' is listed twice. Keep one row a patch.")
        patches[patch.path] = patch
    return list(patches.values())


def _from_row(row: dict[str, str], where: str) -> Patch:
    part, label = row["part"].strip(), row["label"].strip()
    for value, known in ((part, PARTS), (label, LABELS)):
        if value not in known:
            raise SplitError(f"{where}: '{value}' is none of {', '.join(known)}.{did_you_mean(value, known)}")
    if not row["path"]:
        raise SplitError(f"{where}: the path is empty. {_REMEDY}")
    return Patch(row["path"], label, row["photo"] or None, part)


def _kept_together(patches: Sequence[Patch]) -> str:
    """What a split was grouped by, as far as its rows tell."""
    sides: dict[str, str | None] = {}
    whole = all(patch.photo and sides.setdefault(patch.photo, patch.part) == patch.part for patch in patches)
    if all(is_group(patch.photo or "") for patch in patches):
        return "similarity"
    return "photo" if whole else "random"


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


def apply_split(index: PatchIndex, assigned: Split, *, part: str | None = None) -> PatchIndex:
    """Give the patches of an index their parts; those the split does not name are left out.

    A photo that the data knows goes before the photo, or group, that the split names.

    Args:
        index: The data. Its order is kept.
        assigned: The split, made of the same data.
        part: Keep one part alone.

    Raises:
        SplitError: If the split names files that the data lacks, labels one otherwise, or the part is empty.
    """
    if part and part not in PARTS:
        raise SplitError(f"part '{part}' is none of {', '.join(PARTS)}.{did_you_mean(part, PARTS)}")
    mine = {_as_written(patch.path) for patch in index.patches}
    named = {_as_written(patch.path): patch for patch in assigned.patches}
    unknown = [path for path in named if path not in mine]
    if unknown:
        raise SplitError(
            f"the split names {len(unknown)} files that {index.name} lacks, such as '{unknown[0]}': it belongs to "
            f"other data. Make one with `crackscope split`."
        )
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
        chosen.append(replace(own, photo=own.photo or patch.photo, part=patch.part))
    if part and not any(patch.part == part for patch in chosen):
        raise SplitError(f"the split has no patch in '{part}'. Make it anew with `crackscope split --{part} 0.15`.")
    return index.select([patch for patch in chosen if part is None or patch.part == part])
