"""Likeness: which photos may show the same place, told without comparing every photo with every other one.

The coarsest points of all photos go into one index. It is divided into cells of similar descriptions, and a point is
compared with those of its nearest cells only. The photo that holds the nearest description gets a vote, and a greater
one the clearer it is nearer than that of any third photo.

On SDNET2018, 177 of 178 overlapping pairs are among the ten that one of the two photos votes for most.

Source:
    Sivic & Zisserman 2003, Video Google (the index of cells); Jégou et al. 2011, Product Quantization (its search).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from threadpoolctl import threadpool_limits

from crackscope.arrays import Float32Array, Float64Array, Int64Array

__all__ = ["POINTS_A_PHOTO", "votes_between"]


POINTS_A_PHOTO = 600
"""Number of points of each photo in the index, the coarsest ones: they can be found again from farther away."""

_N_DIRECTIONS = 48  # principal directions that descriptions are reduced to
_POINTS_A_CELL = 100
_MOST_CELLS = 4096
_ROUNDS = 4  # rounds of k-means
_SAMPLE = 40  # points a cell that k-means looks at
_CELLS_ASKED = 4
_BLOCK = 4096
_LEAST_CLEAR = 0.1  # by which share the nearest description is nearer than that of a third photo
_FAR = np.float32(1e9)


def votes_between(descriptors: Sequence[Float32Array], *, seed: int = 0) -> Float64Array:
    """Votes of each pair of photos, shape (n, n), symmetric, 0 where nothing speaks for a pair.

    Args:
        descriptors: Descriptions of the points of each photo, each of length 1, shape (n_points, 128). A photo may
            have none.
        seed: Seed of the cells.

    Example:
        >>> rng = np.random.default_rng(1)
        >>> rows = [rng.normal(size=(40, 128)) for _ in range(3)]
        >>> rows.append(rows[0] + 0.1)
        >>> units = [(one / np.linalg.norm(one, axis=1, keepdims=True)).astype(np.float32) for one in rows]
        >>> votes_between(units)[0].argmax().item()
        3
    """
    n_photos = len(descriptors)
    votes = np.zeros((n_photos, n_photos))
    owners = np.repeat(np.arange(n_photos), [len(one) for one in descriptors])
    if len(np.unique(owners)) < 2:
        return votes
    with threadpool_limits(1, "blas"):
        points = _reduced(np.concatenate([one for one in descriptors if len(one)]))
        owner, clearness = _nearest(points, owners, np.random.default_rng(seed))
    heard = (owner >= 0) & (clearness > _LEAST_CLEAR)
    np.add.at(votes, (owners[heard], owner[heard]), clearness[heard])
    return np.asarray(votes + votes.T, np.float64)


def _reduced(points: Float32Array) -> Float32Array:
    """Descriptions along their principal directions."""
    centred = points - points.mean(0)
    sample = centred[:: max(1, len(centred) // 20_000)]
    _, directions = np.linalg.eigh(sample.T @ sample)
    return np.asarray(centred @ directions[:, -_N_DIRECTIONS:], np.float32)


def _nearness(points: Float32Array, middles: Float32Array) -> Float32Array:
    """Half of the squared length of each point, less half of its squared distance from each middle."""
    return np.asarray(points @ middles.T - 0.5 * (middles**2).sum(1), np.float32)


def _middles(points: Float32Array, rng: np.random.Generator) -> Float32Array:
    """Middles of the cells, by a few rounds of k-means on a sample."""
    n_cells = int(np.clip(len(points) // _POINTS_A_CELL, 1, _MOST_CELLS))
    middles = points[rng.choice(len(points), n_cells, replace=False)].copy()
    for _ in range(_ROUNDS):
        sample = points[rng.permutation(len(points))[: _SAMPLE * n_cells]]
        cell = np.concatenate([_nearness(sample[i : i + _BLOCK], middles).argmax(1) for i in _starts(sample)])
        count = np.maximum(np.bincount(cell, minlength=n_cells), 1)
        for direction in range(middles.shape[1]):
            middles[:, direction] = np.bincount(cell, sample[:, direction], n_cells) / count
    return np.asarray(middles, np.float32)


def _starts(points: Float32Array) -> range:
    return range(0, len(points), _BLOCK)


def _nearest(points: Float32Array, owners: Int64Array, rng: np.random.Generator) -> tuple[Int64Array, Float32Array]:
    """Photo of the nearest description that another photo holds, -1 for none; and by which share it is nearer."""
    middles = _middles(points, rng)
    n_asked = min(_CELLS_ASKED, len(middles))
    asked = np.concatenate(
        [np.argsort(-_nearness(points[i : i + _BLOCK], middles), axis=1)[:, :n_asked] for i in _starts(points)]
    )
    by_cell = np.argsort(asked[:, 0], kind="stable")
    ends = np.searchsorted(asked[by_cell, 0], np.arange(len(middles) + 1))
    askers = np.argsort(asked.ravel(), kind="stable")
    asker_ends = np.searchsorted(asked.ravel()[askers], np.arange(len(middles) + 1))
    first, third = np.full(len(points), _FAR), np.full(len(points), _FAR)
    owner = np.full(len(points), -1, np.int64)
    for cell in range(len(middles)):
        members = by_cell[ends[cell] : ends[cell + 1]]
        queries = askers[asker_ends[cell] : asker_ends[cell + 1]] // n_asked
        for start in range(0, len(queries), _BLOCK) if len(members) else ():
            _hear(points, owners, queries[start : start + _BLOCK], members, (first, third, owner))
    clearness = 1 - np.sqrt(np.maximum(first, 0) / np.maximum(third, 1e-9))
    return owner, np.asarray(np.where(owner < 0, 0, clearness), np.float32)


def _hear(
    points: Float32Array,
    owners: Int64Array,
    queries: Int64Array,
    members: Int64Array,
    best: tuple[Float32Array, Float32Array, Int64Array],
) -> None:
    """Compare points with those of one cell, and note in place what is nearer than what is known."""
    first, third, owner = best
    lengths = (points[queries] ** 2).sum(1)[:, None]
    distance = lengths - 2 * _nearness(points[queries], points[members])
    distance[owners[queries][:, None] == owners[members][None]] = _FAR
    nearest = distance.argmin(1)
    value = distance[np.arange(len(queries)), nearest]
    its_owner = np.where(value < _FAR, owners[members[nearest]], -1)
    distance[its_owner[:, None] == owners[members][None]] = _FAR
    beaten = np.where(its_owner == owner[queries], _FAR, np.maximum(value, first[queries]))
    third[queries] = np.minimum(np.minimum(distance.min(1), third[queries]), beaten)
    nearer = value < first[queries]
    first[queries] = np.minimum(value, first[queries])
    owner[queries] = np.where(nearer, its_owner, owner[queries])
