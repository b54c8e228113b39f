"""Assignment: which part each group of patches goes to, so that every part gets its share of every label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crackscope.arrays import BoolArray, Float64Array, Int64Array
from crackscope.data.patches import LABELS, PARTS, Patch

__all__ = ["assign", "deal"]


_TRIALS = 64


def assign(
    patches: Sequence[Patch], groups: Sequence[str], *, shares: tuple[float, float, float], seed: int
) -> list[str]:
    """Give every group to a part, so that each label of each data set is shared out as asked; see `deal`."""
    return [PARTS[place] for place in deal(patches, groups, shares=shares, seed=seed)]


def deal(patches: Sequence[Patch], groups: Sequence[str], *, shares: Sequence[float], seed: int) -> list[int]:
    """Deal every group to one of several parts or folds, and give the place of each patch's part among the shares.

    Groups are taken large ones first, in 64 random orders of nearly equal ones; each goes to the part that lacks most
    of what it holds. The order whose counts come nearest to the shares is kept. Where it leaves a part without a
    label, groups are moved as long as that helps.
    """
    names = sorted(set(groups))
    number = {name: i for i, name in enumerate(names)}
    kinds = sorted({(patch.dataset, patch.label) for patch in patches})
    kind = {pair: i for i, pair in enumerate(kinds)}
    held = np.zeros((len(names), len(kinds)))
    for patch, group in zip(patches, groups, strict=True):
        held[number[group], kind[patch.dataset, patch.label]] += 1
    wanted = np.outer(shares, held.sum(0))
    labels = np.array([[label == of_kind for label in LABELS] for _, of_kind in kinds], float)  # (n_kinds, 2)
    rng = np.random.default_rng(seed)
    single = len(names) == len(patches)
    tried = [_shuffle(held, wanted, rng)] if single else [_deal(held, wanted, rng) for _ in range(_TRIALS)]
    best = min(tried, key=lambda chosen: _cost(_counts(held, chosen, len(shares)), wanted, labels))
    best = _mended(best, held, wanted, labels)
    return [int(best[number[group]]) for group in groups]


def _counts(held: Float64Array, chosen: Int64Array, n_parts: int) -> Float64Array:
    return np.stack([held[chosen == part].sum(0) for part in range(n_parts)])


def _lacking(counts: Float64Array, wanted: Float64Array, labels: Float64Array) -> BoolArray:
    """Labels that are missing in each part that should have a share, shape (n_parts, n_labels)."""
    return np.asarray((counts @ labels == 0) & (wanted.sum(1) > 0)[:, None], np.bool_)


def _cost(counts: Float64Array, wanted: Float64Array, labels: Float64Array) -> tuple[int, float]:
    """Number of labels that parts lack, then the distance of the counts from what is wanted; less is better."""
    error = float((((counts - wanted) / wanted.sum(0)) ** 2).sum())
    return int(_lacking(counts, wanted, labels).sum()), error


def _mended(chosen: Int64Array, held: Float64Array, wanted: Float64Array, labels: Float64Array) -> Int64Array:
    """Move groups to parts that lack one of their labels, as long as this leaves fewer labels missing."""
    counts = _counts(held, chosen, len(wanted))
    cost = _cost(counts, wanted, labels)
    while cost[0]:
        of_use = (held @ labels) @ _lacking(counts, wanted, labels).T > 0  # (n_groups, n_parts)
        best, move = cost, (0, int(chosen[0]))
        for group, part in np.argwhere(of_use).tolist():
            moved = counts.copy()
            moved[chosen[group]] -= held[group]
            moved[part] += held[group]
            best, move = min((best, move), (_cost(moved, wanted, labels), (group, part)))
        if best[0] == cost[0]:
            break
        chosen[move[0]] = move[1]
        counts, cost = _counts(held, chosen, len(wanted)), best
    return chosen


def _deal(held: Float64Array, wanted: Float64Array, rng: np.random.Generator) -> Int64Array:
    """One greedy assignment: part of each group, shape (n_groups,)."""
    totals = np.maximum(held.sum(0), 1)
    size = held.sum(1) * rng.uniform(0.5, 1.5, len(held))
    chosen = np.zeros(len(held), np.int64)
    lacking = wanted.copy()
    for group in np.argsort(-size, kind="stable"):
        after = lacking - held[group]
        gain = ((lacking / totals) ** 2 - (after / totals) ** 2).sum(1)
        gain[wanted.sum(1) == 0] = -np.inf
        chosen[group] = int(np.argmax(gain))
        lacking[chosen[group]] = after[chosen[group]]
    return chosen


def _shuffle(held: Float64Array, wanted: Float64Array, rng: np.random.Generator) -> Int64Array:
    """Patches on their own: shuffled within each kind and cut at the shares."""
    chosen = np.zeros(len(held), np.int64)
    for kind in range(held.shape[1]):
        members = rng.permutation(np.nonzero(held[:, kind])[0])
        cuts = np.round(np.cumsum(wanted[:, kind])[:-1]).astype(np.int64)
        for part, piece in enumerate(np.split(members, cuts)):
            chosen[piece] = part
    return chosen
