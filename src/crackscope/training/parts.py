"""Parts: the patches of a training, divided into train, val and test, and looked through for leaks.

Where no split is given and the data names no parts, a split is made here, always in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from crackscope.data.leaks import check_split
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.similarity import fingerprints
from crackscope.data.splits import Split, apply_split, read_split, split_of
from crackscope.data.splits import split as make_split
from crackscope.errors import SplitError
from crackscope.files.streaming import Progress

__all__ = ["TrainingParts", "divide_for_training", "to_judge", "widest_way"]

_HOW = {
    "scene": "all photos of a place in one part",
    "photo": "all patches of a photo in one part",
    "similarity": "patches that look alike in one part",
}


@dataclass(frozen=True, eq=False)
class TrainingParts:
    """Patches of a training with their parts.

    Attributes:
        index: All patches of the data.
        parts: Patches that the split names, each with its part.
        split: The split.
        n_leaks: Number of scenes, photos and sets of duplicates that stand in two parts.
        made: Whether the split was made for this training.
        refused: Path and reason of patches that the made split leaves out, since they cannot be read.
    """

    index: PatchIndex
    parts: PatchIndex
    split: Split
    n_leaks: int
    made: bool = False
    refused: tuple[tuple[str, str], ...] = ()


def divide_for_training(
    data: str | Path | PatchIndex,
    split: str | Path | Split | None,
    *,
    kept: Path,
    resume: bool,
    allow_leakage: bool,
    threads: int | None,
    progress: Progress | None,
    say: Callable[[str], None],
) -> TrainingParts:
    """Give patches their parts, and refuse a split that leaks.

    Args:
        data: Labelled patches, or their path.
        split: The split that was asked for; None for the parts that the data names, or a split of our own.
        kept: Path of the split file in the run folder.
        resume: Whether a split of our own is read from `kept`, so that a stopped run goes on with it.
        allow_leakage: Whether a split that leaks is taken all the same.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as images are read.
        say: Called with a line of text where a split is made.

    Raises:
        DataError: If the data cannot be read, or one label is missing.
        SplitError: If the split leaks or does not fit the data, or the data is too small to be split.
    """
    index = read_patches(data)
    made = split is None and all(patch.part is None for patch in index.patches)
    if made and resume:
        assigned = read_split(kept)
    elif made:
        assigned = _own_split(index, threads=threads, progress=progress)
        say(
            f"{index.name} names no parts: split 70 : 15 : 15 into train, val and test, {_HOW[assigned.grouped_by]}; "
            f"kept in {kept}"
        )
    else:
        assigned = split_of(index, split)
    parts = apply_split(index, split=assigned)
    leaks = check_split(parts, threads=threads, progress=progress)
    if len(leaks) and not allow_leakage:
        raise SplitError(f"{leaks.summary()} Rebuild the split, or say --allow-leakage and have every figure marked.")
    refused = assigned.refused or (_left_out(index, parts, threads) if made else ())
    return TrainingParts(index, parts, assigned, len(leaks), made, refused)


def widest_way(index: PatchIndex) -> str:
    """How to split so that the widest groups known stay together: by ``scene``, ``photo`` or ``similarity``."""
    if index.knows_scenes:
        return "scene"
    return "photo" if index.knows_photos else "similarity"


def to_judge(parts: PatchIndex) -> PatchIndex:
    """The test part, or val where there is none."""
    test = parts.part("test")
    return test if len(test) else parts.part("val")


def _own_split(index: PatchIndex, *, threads: int | None, progress: Progress | None) -> Split:
    """A split with the shares of `crackscope split`, by the widest group known: scene, photo, or what looks alike."""
    way = widest_way(index)
    try:
        return make_split(index, by=way, threads=threads, progress=progress)
    except SplitError as error:
        raise SplitError(
            f"{index.name} names no parts, and cannot be split 70 : 15 : 15 by {way}: {error} These are options of "
            "`crackscope split`; give the file it writes with --split."
        ) from error


def _left_out(index: PatchIndex, parts: PatchIndex, threads: int | None) -> tuple[tuple[str, str], ...]:
    """Path and reason of patches that are in no part since they cannot be read."""
    named = set(parts.paths)
    others = index.select([patch for patch in index.patches if patch.path not in named])
    refused = fingerprints(others, threads=threads).refused if len(others) else {}
    return tuple((others.patches[i].path, why) for i, why in sorted(refused.items()))
