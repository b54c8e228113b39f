"""The sets of a transfer: what counts as one set, what takes no part, how each is split, how many patches are drawn.

Every set is split 70:15:15, by scene where scenes are known, else by photo, else into groups that look alike. Then as
many patches of either label are drawn from each part: with one half cracked, always saying crack has an F1 of 2/3 on
every set, and figures of different sets can be held against each other.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from crackscope.data.cache import Rows
from crackscope.data.groups import place_of
from crackscope.data.patches import LABELS, PARTS, PatchIndex, read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split, divide
from crackscope.errors import DataError
from crackscope.files.streaming import Progress
from crackscope.files.tables import TableForm, read_table

__all__ = ["TransferSet", "draw", "n_to_draw", "read_photo_list", "read_sets", "without_photos"]

SHARES = {"train": 0.7, "val": 0.15, "test": 0.15}
_READABLE = {"metu": "metu", "sdnet2018-D": "decks", "sdnet2018-P": "pavements", "sdnet2018-W": "walls"}
_LIST = TableForm(("photo",), ("surface",), remedy="Give a CSV whose first line names photo, or surface,photo.")


@dataclass(frozen=True, eq=False)
class TransferSet:
    """One set, read once.

    Attributes:
        name: Short name, unique among the sets.
        index: Patches of the set that can be read and take part.
        rows: Fingerprints of the patches.
        without: Names of photos of the set that take no part.
        refused: Path and reason of those that cannot be read.
        widest: Widest group to keep together, ``scene`` or ``photo``.
    """

    name: str
    index: PatchIndex
    rows: Rows
    without: frozenset[str] = frozenset()
    refused: tuple[tuple[str, str], ...] = ()
    widest: str = "scene"

    @property
    def split_by(self) -> str:
        """What stays together: ``scene`` where scenes are known, else ``photo``, else ``similarity``."""
        if self.index.knows_scenes and self.widest == "scene":
            return "scene"
        return "photo" if self.index.knows_photos else "similarity"

    def parts(self, seed: int, *, threads: int | None = None) -> Split:
        """The whole set, split.

        Raises:
            SplitError: If a part would stay without a label.
        """
        by, val, test = self.split_by, SHARES["val"], SHARES["test"]
        return divide(self.index, self.rows, by=by, val=val, test=test, seed=seed, threads=threads)

    def sha256(self) -> str:
        """Digest of what is in it: paths, labels, photos and the bytes of every file."""
        content = hashlib.sha256()
        for patch, digest in zip(self.index.patches, self.rows.digests, strict=True):
            scene = (patch.scene,) if patch.scene and self.widest == "scene" else ()
            fields = "\0".join((patch.path, patch.label, patch.photo or "", *scene))
            content.update(fields.encode("utf-8", "surrogateescape") + b"\0" + digest)
        return content.hexdigest()

    def document(self) -> dict[str, object]:
        """What is told of it in JSON."""
        counts = self.index.counts()
        photos = {patch.photo for patch in self.index.patches}
        return {
            "name": self.name,
            "n_patches": len(self.index),
            "n_crack": counts["crack"],
            "n_photos": len(photos) if self.index.knows_photos else None,
            "n_scenes": len({place_of(patch) for patch in self.index.patches}) if self.index.knows_scenes else None,
            "split_by": self.split_by,
            "n_photos_without": len(self.without),
            "n_refused": len(self.refused),
            "sha256": self.sha256(),
        }


def read_sets(
    data: Sequence[str | Path | PatchIndex],
    *,
    without: Collection[str] = (),
    widest: str = "scene",
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[TransferSet, ...]:
    """Read data and divide what holds several published sets, such as the three surfaces of SDNET2018.

    Args:
        data: Sets of labelled patches, see `crackscope.data.patches.read_patches`.
        without: Names of photos whose patches take no part.
        widest: Widest group to keep together, ``scene`` or ``photo``.
        threads: Thread budget for reading.
        progress: Called as images are read.

    Raises:
        DataError: If there are fewer than two sets, or one lacks a label.
    """
    named: dict[str, PatchIndex] = {}
    for place in data:
        index = place if isinstance(place, PatchIndex) else read_patches(place)
        for dataset in dict.fromkeys(patch.dataset for patch in index.patches):
            name = _unique(_READABLE.get(dataset) or _plain(index.name), named)
            mine = [patch for patch in index.patches if patch.dataset == dataset]
            named[name] = replace(index, name=name, patches=tuple(mine), ignored=())
    if len(named) < 2:
        raise DataError(
            f"a transfer needs two sets; found {', '.join(named) or 'none'}. Name another one, or one with several "
            "published sets in it, such as SDNET2018."
        )
    for index in named.values():  # before any image is read
        index.require_both_labels("a transfer")
    return tuple(_read(name, index, without, widest, threads, progress) for name, index in named.items())


def _read(
    name: str,
    index: PatchIndex,
    without: Collection[str],
    widest: str,
    threads: int | None,
    progress: Progress | None,
) -> TransferSet:
    left_out = frozenset(patch.photo for patch in index.patches if patch.photo is not None and patch.photo in without)
    taken = without_photos(index, left_out)
    rows = fingerprints(taken, threads=threads, progress=progress)
    kept = [i for i in range(len(taken)) if i not in rows.refused]
    readable = taken.select([taken.patches[i] for i in kept])
    readable.require_both_labels("a transfer")
    refused = tuple((f"{name}/{taken.patches[i].path}", why) for i, why in rows.refused.items())
    own = Rows(rows.values[kept], tuple(rows.digests[i] for i in kept))
    return TransferSet(name, readable, own, left_out, refused, widest)


def _plain(name: str) -> str:
    """A name that is also one for a file, on any disk, and not that of a training on all sets but one."""
    plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "set"
    return f"set-{plain}" if plain.casefold().startswith("all-but-") else plain


def _unique(name: str, taken: Collection[str]) -> str:
    """The name, numbered where another set has it, whatever the case."""
    others = {one.casefold() for one in taken}
    names = (name if i == 1 else f"{name}-{i}" for i in range(1, len(others) + 2))
    return next(one for one in names if one.casefold() not in others)


def read_photo_list(path: str | Path) -> frozenset[str]:
    """Names of photos as a `Patch` has them: a CSV with ``photo``, or with ``surface,photo`` as SDNET2018 counts them.

    Raises:
        DataError: If it cannot be read, a column is missing, or a row is empty.
    """
    place = Path(path)
    photos = set()
    for row in read_table(place, _LIST):
        surface, photo = row["surface"].strip(), row["photo"].strip()
        if not photo:
            raise DataError(f"{row.where}: the photo is empty. Name it, or delete the row.")
        photos.add(f"{surface}-{photo}" if surface else photo)
    if not photos:
        raise DataError(f"{place}: no photo is listed. {_LIST.remedy}")
    return frozenset(photos)


def without_photos(index: PatchIndex, photos: Collection[str]) -> PatchIndex:
    """The same data without the patches of some photos, such as those of `read_photo_list`."""
    return index.select([patch for patch in index.patches if patch.photo not in photos])


def n_to_draw(assigned: Split, per_label: int) -> dict[str, int]:
    """How many patches of either label are drawn in each part: the share of what is asked, or all of the rarer label.

    Args:
        assigned: Split of a whole set.
        per_label: Patches of either label over all parts.
    """
    counts = assigned.counts()
    return {
        part: min(round(share * per_label), *(int(counts[part][label]) for label in LABELS))
        for part, share in SHARES.items()
    }


def draw(assigned: Split, n_per_label: Mapping[str, int], *, seed: int) -> Split:
    """So many patches of either label from each part; a smaller number gives some of the same patches.

    Args:
        assigned: Split of a whole set.
        n_per_label: Number of patches of each label to draw, by part; none is drawn from a part that is not named.
        seed: Seed of the draw.
    """
    drawn = []
    for (i, part), (j, label) in ((part, label) for part in enumerate(PARTS) for label in enumerate(LABELS)):
        members = [patch for patch in assigned.patches if patch.part == part and patch.label == label]
        members.sort(key=lambda patch: patch.path)
        order = np.random.default_rng([seed, i, j]).permutation(len(members))
        drawn += [members[k] for k in order[: n_per_label.get(part, 0)]]
    return Split(tuple(sorted(drawn, key=lambda patch: patch.path)), assigned.grouped_by)
