"""Sensitivity: how the order changes with the weights, and which findings cannot be told apart."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from crackscope.errors import DataError
from crackscope.inspection.priority import Priority, ranked
from crackscope.inspection.rules import CRITERIA, PriorityRules

__all__ = ["RankMoves", "Sensitivity", "sensitivity"]


@dataclass(frozen=True)
class RankMoves:
    """How the rank of a finding moves when one weight changes.

    Attributes:
        number: Number of the finding.
        rank: Rank with the weights as they are.
        first: Smallest rank that any of the changes gives.
        last: Greatest rank that any of the changes gives.
        by_weight: Rank with the lower and with the greater weight, by criterion.
    """

    number: int
    rank: int
    first: int
    last: int
    by_weight: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class Sensitivity:
    """How far an order of findings depends on weights and on the intervals of what was measured.

    Attributes:
        change: Share by which each weight was changed, one at a time, down and up.
        moves: Moves of each finding, by rank.
        intervals: Number of each finding with the lower and upper end of its score, by rank.
    """

    change: float
    moves: tuple[RankMoves, ...]
    intervals: tuple[tuple[int, float, float], ...]

    @property
    def n_alike(self) -> int:
        """Number of pairs of findings that cannot be told apart."""
        highs = sorted(high for _, _, high in self.intervals)
        apart = sum(bisect_left(highs, low) for _, low, _ in self.intervals)
        return len(self.intervals) * (len(self.intervals) - 1) // 2 - apart

    def alike(self) -> Iterator[tuple[int, int]]:
        """Give the pairs of findings whose scores cannot be told apart, as their intervals overlap.

        Yields:
            Numbers of the two findings, the one with the smaller rank first.
        """
        for at, (number, low, high) in enumerate(self.intervals):
            for other, other_low, other_high in self.intervals[at + 1 :]:
                if other_high >= low and high >= other_low:
                    yield number, other


def sensitivity(priorities: Sequence[Priority], rules: PriorityRules, *, change: float = 0.2) -> Sensitivity:
    """Change each weight down and up, and see how the ranks move.

    Args:
        priorities: Priorities that `crackscope.prioritise` gave.
        rules: The rules that it followed.
        change: Share by which each weight is changed, above 0 and below 1.

    Raises:
        DataError: If the change is not above 0 and below 1.
    """
    if not 0 < change < 1:
        raise DataError(
            f"A change of weights by {change} is not possible. Give a share above 0 and below 1, such as 0.2."
        )
    before = ranked(priorities)
    ranks = {
        name: tuple(_ranks_with(before, rules, name, factor) for factor in (1 - change, 1 + change))
        for name in CRITERIA
    }
    moves = []
    for one in before:
        by_weight = {name: (down[one.number], up[one.number]) for name, (down, up) in ranks.items()}
        met = [one.rank, *(rank for pair in by_weight.values() for rank in pair)]
        moves.append(RankMoves(one.number, one.rank, min(met), max(met), by_weight))
    return Sensitivity(change, tuple(moves), tuple((one.number, one.score_low, one.score_high) for one in before))


def _ranks_with(priorities: Sequence[Priority], rules: PriorityRules, name: str, factor: float) -> dict[int, int]:
    """Rank of each finding if one weight is multiplied by a factor."""
    changed = replace(rules, weights={**rules.weights, name: rules.weights[name] * factor})
    scored = [
        replace(one, score=changed.score_of(one.levels), score_high=changed.score_of(one.levels_high))
        for one in priorities
    ]
    return {one.number: one.rank for one in ranked(scored)}
