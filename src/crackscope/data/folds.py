"""Folds: labelled patches dealt to k folds of whole groups, each of which is the test part once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from crackscope.data.assignment import deal
from crackscope.data.class_names import LABELS
from crackscope.data.grouping import group_patches, read_prints
from crackscope.data.patches import PARTS, Patch, PatchIndex, read_patches
from crackscope.data.splits import Split
from crackscope.errors import SplitError
from crackscope.files.streaming import Progress

__all__ = ["MOST_FOLDS", "Folds", "split_into_folds"]

MOST_FOLDS = 20
"""Greatest number of folds; each is a training of its own."""

_UNITS = {"scene": "scenes", "photo": "photos", "similarity": "groups that look alike"}


@dataclass(frozen=True)
class Folds:
    """The splits of a cross-validation.

    Attributes:
        splits: One split for each fold: the fold is its test part, and validation patches are dealt from the others.
        whole: Split of everything into train and val, for the model that is kept.
        by: What stays together, as for `crackscope.split`.
        refused: Path and reason of each patch that is left out, since it cannot be read.
    """

    splits: tuple[Split, ...]
    whole: Split
    by: str
    refused: tuple[tuple[str, str], ...] = ()


def split_into_folds(
    data: str | Path | PatchIndex,
    *,
    by: str = "scene",
    n_folds: int = 5,
    val: float = 0.15,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Folds:
    """Deal patches to folds of whole groups; copies stay in one fold.

    Args:
        data: Labelled patches: a path that `crackscope.read_patches` takes, or the index that it returns.
        by: What stays together: ``scene``, ``photo`` or ``similarity``.
        n_folds: Number of folds, 2 to 20.
        val: Share of the patches outside a fold that are for validation, in (0, 1).
        seed: Seed of the order in which groups are dealt.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as images are read.

    Raises:
        DataError: If the data cannot be read, or one label is missing.
        SplitError: If scenes or photos are not known, there are fewer groups than folds, or a training would be without
            a label.
    """
    if by not in _UNITS:
        raise SplitError(f"--cross-validate '{by}' is none of {', '.join(_UNITS)}.")
    if not 2 <= n_folds <= MOST_FOLDS:
        raise SplitError(f"--folds {n_folds} is not between 2 and {MOST_FOLDS}. Five are usual.")
    index = read_patches(data)
    rows, turned = read_prints(index, by=by, threads=threads, progress=progress)
    index, groups, refused = group_patches(index, rows, by=by, turned=turned, seed=seed, threads=threads)
    n_groups = len(set(groups))
    if n_groups < n_folds:
        raise SplitError(
            f"{index.name}: {n_groups} {_UNITS[by]} that must stay together cannot be dealt to {n_folds} folds. "
            "Ask for fewer --folds, or add photos."
        )
    fold_of = deal(index.patches, groups, shares=[1 / n_folds] * n_folds, seed=seed)
    splits = []
    for fold in range(n_folds):
        rest = [i for i, own in enumerate(fold_of) if own != fold]
        parts = dict(zip(rest, _train_and_val(index, groups, rest, val, seed, f"fold {fold + 1}"), strict=True))
        splits.append(Split(_with_parts(index.patches, [parts.get(i, "test") for i in range(len(index))]), by))
    everything = _train_and_val(index, groups, range(len(index)), val, seed, "the model that is kept")
    return Folds(tuple(splits), Split(_with_parts(index.patches, everything), by, refused), by, refused)


def _with_parts(patches: Sequence[Patch], parts: Sequence[str]) -> tuple[Patch, ...]:
    return tuple(replace(patch, part=part) for patch, part in zip(patches, parts, strict=True))


def _train_and_val(
    index: PatchIndex, groups: Sequence[str], places: Sequence[int], val: float, seed: int, what: str
) -> list[str]:
    """Part of each of some patches, ``train`` or ``val``, both with both labels."""
    patches = [index.patches[i] for i in places]
    dealt = deal(patches, [groups[i] for i in places], shares=(1 - val, val), seed=seed)
    for part in (0, 1):
        missing = {*LABELS} - {patch.label for patch, own in zip(patches, dealt, strict=True) if own == part}
        if missing:
            raise SplitError(
                f"{index.name}: {what} would have no '{min(missing)}' patch in {PARTS[part]}, since too few groups "
                "hold one. Ask for another number of --folds, or add photos."
            )
    return [PARTS[own] for own in dealt]
