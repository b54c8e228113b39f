"""Similarity: which patches show the same thing, as exact duplicates, near duplicates or neighbours.

A *near duplicate* has the same pixels after re-encoding, resizing, turns by 90° or mirroring. Both patches are shrunk
to 32×32 grey thumbnails; slow shading is taken off and local contrast made even (Gaussians of 4 px), so that one strong
edge decides nothing; the root mean square difference over the best of the eight turns and mirrorings must be at most
`NEAR_DUPLICATE`. Measured on
800 METU and 800 SDNET2018 patches, re-encoded at JPEG quality 50 to 95 or resized by 0.5 to 2: the 99th percentile is
.37, while the nearest different patches of SDNET2018 lie at .69.

A *neighbour* merely looks alike: similar colour, light and texture, as two crops of one photo have.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import cv2
import numpy as np
import numpy.typing as npt
from scipy.fft import dctn
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from crackscope.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows, rows_of
from crackscope.data.patches import PatchIndex
from crackscope.files.streaming import Progress, ordered_map

__all__ = ["NEAR_DUPLICATE", "connected", "duplicate_pairs", "fingerprint_kind", "fingerprints", "look_alike_groups"]


NEAR_DUPLICATE = 0.45
"""Largest aligned difference of a near duplicate, in units of the thumbnails' own contrast."""

_SIDE_PX = 32
_LOOK = 11
_NOISE = 3.0  # grey levels: local contrast below this is re-encoding as much as texture
_BLANK = 0.5  # grey levels: below this contrast a thumbnail shows nothing that could be compared
_COARSE = 12  # coefficients a side in the sieve
_TILE = 512  # thumbnails a side of a tile: its products stay in the processor's cache
_ROUNDING = 1e-3  # the sieve's own, with plenty to spare
_VERSION = "fingerprint-2"


def fingerprints(index: PatchIndex, *, threads: int | None = None, progress: Progress | None = None) -> Rows:
    """A row a patch: 1,024 grey levels of its thumbnail, then 11 numbers on its look. Cached on disk."""
    return rows_of(index, fingerprint_kind(), threads=threads, progress=progress)


def fingerprint_kind() -> RowKind:
    """What `fingerprints` computes, and its cache."""
    return RowKind(RowCache(_VERSION, width=_SIDE_PX**2 + _LOOK, dtype="<f2"), _fingerprint_all)


def _fingerprint_all(images: Sequence[UInt8Array]) -> npt.NDArray[np.float16]:
    return np.stack([_fingerprint(pixels) for pixels in images]).astype(np.float16)


def _fingerprint(pixels: UInt8Array) -> Float32Array:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    thumbnail = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.concatenate([thumbnail.ravel().astype(np.float32), _look(pixels, grey)])


def _look(pixels: UInt8Array, grey: npt.NDArray[np.generic]) -> Float32Array:
    """Colour, light and texture of the ground. Flips change none of them, and a crack hardly any.

    Medians and quartiles, not means: a crack covers few pixels, and crops of one photo with and without a crack
    must look alike.
    """
    small = cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA)
    lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)
    low, middle, high = np.array([_quantiles(lab[..., channel], (0.25, 0.5, 0.75)) for channel in range(3)]).T
    light = lab[..., 0].astype(np.float32)
    bands = []
    for _ in range(3):
        blurred = np.asarray(cv2.GaussianBlur(light, (0, 0), 1.5), np.float32)
        bands.append(_typical(light - blurred))
        light = np.asarray(cv2.resize(blurred, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.float32)
    edges = cv2.convertScaleAbs(cv2.Laplacian(np.asarray(grey, np.uint8), cv2.CV_16S))
    grain = np.log1p(_quantiles(np.asarray(edges, np.uint8), (0.5,))[0])
    return np.array([*middle, *(high - low), high[0], *bands, grain], np.float32)


def _quantiles(levels: UInt8Array, shares: Sequence[float]) -> Float64Array:
    """Quantiles of grey levels, as `numpy.quantile` gives them. Counting levels is several times as fast as sorting.

    Example:
        >>> _quantiles(np.array([[3, 1], [2, 9]], np.uint8), (0.5, 1)).tolist()
        [2.5, 9.0]
    """
    counts = cv2.calcHist([np.ascontiguousarray(levels)], [0], None, [256], [0, 256])
    up_to = np.cumsum(counts.ravel().astype(np.int64))
    places = (levels.size - 1) * np.asarray(shares, np.float64)
    before = np.floor(places)
    low, high = np.searchsorted(up_to, [before, np.minimum(before + 1, levels.size - 1)], side="right")
    found: Float64Array = low + (places - before) * (high - low)
    return found


def _typical(detail: Float32Array) -> float:
    """Logarithm of the median deviation."""
    deviations = np.abs(detail).ravel()
    middle = deviations.size // 2  # of an even number of values, as all maps here have
    low, high = np.partition(deviations, (middle - 1, middle))[middle - 1 : middle + 1]
    return float(np.log1p((low + high) / 2))


def duplicate_pairs(rows: Rows, *, threads: int | None = None) -> Int64Array:
    """Pairs of patches with the same pixels: byte for byte, or near duplicates.

    Args:
        rows: What `fingerprints` returned.
        threads: Thread budget; all cores where left out.

    Returns:
        Array of shape (n_pairs, 2): places in the index, first < second, in order. Of three equal files two pairs
        are told, each with the first; so the pairs connect everything that belongs together.
    """
    first: dict[bytes, int] = {}
    pairs: list[tuple[int, int]] = []
    for i, digest in enumerate(rows.digests):
        if digest and first.setdefault(digest, i) != i:
            pairs.append((first[digest], i))
    unique = np.array(sorted(first.values()), dtype=np.int64)
    thumbnails, contrast = _standardised(rows.values, unique)
    clear = contrast > _BLANK
    near = _near_pairs(thumbnails if clear.all() else thumbnails[clear], threads)
    found = np.concatenate([np.array(pairs, np.int64).reshape(-1, 2), unique[clear][near]])
    return found[np.lexsort(found.T[::-1])]


def _standardised(values: npt.NDArray[np.generic], places: Int64Array) -> tuple[Float32Array, Float32Array]:
    """Thumbnails (n, 32, 32) of even local contrast, mean 0 and RMS 1, and the contrast they had in grey levels."""
    thumbnails = np.empty((len(places), _SIDE_PX, _SIDE_PX), np.float32)
    contrast = np.empty(len(places), np.float32)
    for start in range(0, len(places), _TILE):
        chunk = slice(start, start + _TILE)
        grey = values[places[chunk], : _SIDE_PX**2].astype(np.float32).reshape(-1, _SIDE_PX, _SIDE_PX)
        detail = grey - _blurred(grey)
        contrast[chunk] = np.sqrt((detail**2).mean((1, 2)))
        even = detail / np.sqrt(_blurred(detail**2) + _NOISE**2)
        even -= even.mean((1, 2), keepdims=True)
        rms = np.sqrt((even**2).mean((1, 2), keepdims=True))
        thumbnails[chunk] = even / np.maximum(rms, 1e-6)
    return thumbnails, contrast


def _blurred(thumbnails: Float32Array) -> Float32Array:
    smooth = _smoothing()
    return np.asarray(smooth @ thumbnails @ smooth.T, np.float32)


@lru_cache(maxsize=1)
def _smoothing() -> Float32Array:
    """A Gaussian of 4 px as a matrix on 32 samples; `blurred = S @ image @ S.T`."""
    identity = np.eye(_SIDE_PX, dtype=np.float32)
    return np.asarray(cv2.GaussianBlur(identity, (1, 25), 0, sigmaY=4, borderType=cv2.BORDER_REFLECT), np.float32)


def _near_pairs(thumbnails: Float32Array, threads: int | None) -> Int64Array:
    """Near duplicates among standardised thumbnails, (n_pairs, 2), first < second."""
    if not len(thumbnails):
        return np.empty((0, 2), np.int64)
    left, right, turned = _sieve_vectors(thumbnails)

    def block(start: int) -> list[Int64Array]:
        tiles = range(start, len(thumbnails), _TILE)
        return [_near_in_tile(thumbnails, left, (right, turned), start, other) for other in tiles]

    # One thread each in BLAS: its own threads wait for each other in a loop, which beside a busy process takes long.
    with threadpool_limits(1, "blas"):
        blocks = ordered_map(block, range(0, len(thumbnails), _TILE), threads=threads)
        found = [pairs for tiles in blocks for pairs in tiles]
    return np.concatenate(found)


def _sieve_vectors(thumbnails: Float32Array) -> tuple[list[Float32Array], list[Float32Array], list[Float32Array]]:
    """Four vectors a thumbnail, for the left and the right of a pair, whose products bound how near the two can be.

    The third list is for the right of a pair, turned: a quarter turn is a transposition and a flip, and transposing a
    picture transposes its coefficients.

    Flipping changes only the signs of cosine coefficients: of those odd in x, odd in y, or both. So four products,
    one for each parity, hold the products under all four flips. The 12 × 12 coarsest coefficients leave hardly more
    candidates than all 32 × 32 (SDNET2018: one pair in 10,000), and leaving some out only brings two vectors nearer.
    """
    coefficients = np.empty((len(thumbnails), _COARSE, _COARSE), np.float32)
    for start in range(0, len(thumbnails), _TILE):
        chunk = slice(start, start + _TILE)
        coefficients[chunk] = dctn(thumbnails[chunk], axes=(1, 2), norm="ortho")[:, :_COARSE, :_COARSE] / _SIDE_PX
    vectors, turned = (
        [np.ascontiguousarray(of[:, y::2, x::2].reshape(len(thumbnails), -1)) for y in (0, 1) for x in (0, 1)]
        for of in (coefficients, coefficients.transpose(0, 2, 1))
    )
    # Half the squared lengths come in as two more numbers: the first product is then less by both.
    halves = 0.5 * (coefficients**2).sum((1, 2))[:, None]
    ones = np.ones_like(halves)
    left, right = np.hstack([vectors[0], -halves, ones]), np.hstack([vectors[0], ones, -halves])
    return [left, *vectors[1:]], [right, *vectors[1:]], [np.hstack([turned[0], ones, -halves]), *turned[1:]]


def _near_in_tile(
    thumbnails: Float32Array, left: list[Float32Array], rights: Sequence[list[Float32Array]], start: int, other: int
) -> Int64Array:
    """Near duplicates with the first in the tile of `start` and the second in that of `other`."""
    likeness = [_half_distances(left, right, start, other) for right in rights]
    first, second = np.nonzero(np.maximum(*likeness) >= -0.5 * (NEAR_DUPLICATE + _ROUNDING) ** 2)
    pairs = np.stack([first + start, second + other], 1)
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    return pairs[_aligned_difference(thumbnails, pairs) <= NEAR_DUPLICATE]


def _half_distances(left: list[Float32Array], right: list[Float32Array], start: int, other: int) -> Float32Array:
    """Minus half the squared distance of each pair, over the best of the four flips."""
    rows, columns = slice(start, start + _TILE), slice(other, other + _TILE)
    even, odd_x, odd_y, odd_xy = (a[rows] @ b[columns].T for a, b in zip(left, right, strict=True))
    # The best of the four flips, even ± odd_x ± odd_y ± odd_xy with the third sign the product of the others.
    same = odd_x + odd_y
    np.abs(same, out=same)
    same += odd_xy
    odd_x -= odd_y
    np.abs(odd_x, out=odd_x)
    odd_x -= odd_xy
    np.maximum(same, odd_x, out=same)
    same += even
    found: Float32Array = same
    return found


def _aligned_difference(thumbnails: Float32Array, pairs: Int64Array) -> Float32Array:
    """Root mean square difference of each pair over the best of the eight turns and mirrorings."""
    best = np.full(len(pairs), np.inf, np.float32)
    for start in range(0, len(pairs), 4096):
        chunk = slice(start, start + 4096)
        left, right = thumbnails[pairs[chunk, 0]], thumbnails[pairs[chunk, 1]]
        turned = right.transpose(0, 2, 1)
        views = [(of, of[:, ::-1], of[:, :, ::-1], of[:, ::-1, ::-1]) for of in (right, turned)]
        for flipped in chain.from_iterable(views):
            best[chunk] = np.minimum(best[chunk], np.sqrt(((left - flipped) ** 2).mean((1, 2))))
    return best


def look_alike_groups(
    rows: Rows,
    *,
    seed: int = 0,
    together: Int64Array | None = None,
    pairs: Int64Array | None = None,
    threads: int | None = None,
) -> Int64Array:
    """Put duplicates and neighbours into one group, for sets that do not tell their photos.

    Duplicates count as one thing with their mean look (colour, light, texture). These are clustered by k-means into
    groups of about 250 patches, at least 12 and at most 160 groups.

    Args:
        rows: What `fingerprints` returned.
        seed: Seed of the clustering.
        together: More pairs that are one thing, such as patches of one photo; shape (n_pairs, 2). A pair with a
            refused patch links nothing, so name readable ones.
        pairs: What `duplicate_pairs` returned, where it is already at hand.
        threads: Thread budget for finding duplicates. It changes no group.

    Returns:
        Group of each patch, shape (n,), numbered from 0 in the order of first appearance; -1 for refused patches.
    """
    groups = np.full(len(rows.values), -1, np.int64)
    readable = np.array([i for i in range(len(groups)) if i not in rows.refused], np.int64)
    if not len(readable):
        return groups
    look = np.asarray(rows.values[readable, _SIDE_PX**2 :], np.float64)
    pairs = duplicate_pairs(rows, threads=threads) if pairs is None else pairs
    if together is not None:
        pairs = np.concatenate([pairs, together])
    pairs = np.searchsorted(readable, pairs[np.isin(pairs, readable).all(1)])
    things = connected(len(readable), pairs)
    n_groups = int(np.clip(len(readable) // 250, 12, 160))
    groups[readable] = _renumbered(_clusters(look, things, n_groups, seed)[things])
    return groups


def _clusters(look: Float64Array, things: Int64Array, n_clusters: int, seed: int) -> Int64Array:
    """Cluster of each thing by the mean look of its patches, shape (n_things,)."""
    from sklearn.cluster import MiniBatchKMeans

    spread = look.std(0)
    standard = (look - look.mean(0)) / np.where(spread > 1e-9, spread, 1.0)
    sizes = np.bincount(things)
    means = np.stack([np.bincount(things, column) / sizes for column in standard.T], 1)
    clustering = MiniBatchKMeans(min(n_clusters, len(means)), random_state=seed, n_init=3, batch_size=4096)
    with threadpool_limits(1):  # sums in another order could move a border
        return np.asarray(clustering.fit_predict(means), np.int64)


def connected(n: int, pairs: Int64Array) -> Int64Array:
    """Number of the connected component of each of n things, shape (n,)."""
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def _renumbered(groups: npt.NDArray[np.generic]) -> Int64Array:
    _, first, group = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(np.argsort(np.argsort(first))[group], np.int64)
