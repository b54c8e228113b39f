"""Turned copies: patches that show the same thing turned by any angle, mirrored or zoomed.

Programs that augment data write such copies, and so do overlapping crops. `crackscope.data.similarity` finds copies by
their pixels in place, under turns by 90° and mirroring. This module finds the rest, on grey thumbnails of 64×64 px:

1. *Signature.* The thumbnail, with its local contrast made even, is sampled on rings around its middle. A turn shifts
   each ring by the same angle, so products of two rings' Fourier coefficients do not depend on it; their real parts do
   not depend on mirroring either. A zoom moves the rings. Each patch is compared with all others for zooms up to 1.33.
2. *Alignment.* The nearest few of each patch are laid over it: turn, mirror and zoom by the rings, then an affine
   transform by enhanced correlation.
3. *Check.* Two patches are copies if their fine detail correlates by at least `TURNED_COPY` once aligned. Fine
   detail is what is left after a blur of 2 px is taken off. So two cracks of the same course on different concrete are
   no copies.

Copies that were shifted by a few pixels as well are mostly found, but the search does not aim at them.

Measured on 250 METU and 250 SDNET2018 patches, turned by 5 to 15°, zoomed by 1.05 to 1.3, with and without 90° turns
and mirroring, and saved as JPEG of quality 85: the 5th percentile of the correlation is .94 and .83. The greatest among
patches of SDNET2018 that are no copies is .78.

Source:
    Evangelidis & Psarakis 2008, Parametric Image Alignment using Enhanced Correlation Coefficient Maximization.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from crackscope.arrays import Float32Array, Float64Array, Int64Array, UInt8Array
from crackscope.data.cache import RowCache, RowKind, Rows
from crackscope.files.streaming import Progress, ordered_map

__all__ = ["TURNED_COPY", "thumbnail_kind", "turned_pairs"]


TURNED_COPY = 0.82
"""Least correlation of the fine detail of two aligned patches that are copies."""

_SIDE_PX = 64
_VERSION = "thumbnail-1"
_NOISE = 3.0  # grey levels: local contrast below this is re-encoding as much as texture
_BLANK = 0.5  # grey levels: below this contrast a thumbnail shows nothing that could be compared

_FLAT = 2  # grey levels
_LEAST_CORNER_PX, _CORNER_PX = 12, 500  # pixels of a flat corner that a turn by 3 to 20° leaves

_ZOOM = 1.1  # ratio of a ring's radius to that of the next
_N_ZOOMS = 3
_N_RINGS = 6
_OUTERMOST_PX = 13.0  # radius on a thumbnail of half the side: turned corners stay outside
_N_ANGLES = 48
_N_HARMONICS = 9  # from 0 on: finer detail than this depends on the exact middle
_FIRST_ANGLES = 96

_NEAREST = 5  # candidates of each patch
_LEAST_RINGS = 0.55  # least correlation of the rings of two candidates
_LEAST_ROUGH = 0.4  # least correlation of fine detail after the rough alignment
_BLOCK = 512
_MIDDLE = (_SIDE_PX - 1) / 2

Complex64Array = npt.NDArray[np.complex64]


def thumbnail_kind() -> RowKind:
    """What `turned_pairs` compares: 4,096 grey levels of each patch. Cached on disk."""
    return RowKind(RowCache(_VERSION, width=_SIDE_PX**2, dtype="|u1"), _thumbnails)


def _thumbnails(images: Sequence[UInt8Array]) -> UInt8Array:
    size = _SIDE_PX, _SIDE_PX
    greys = (cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY) for pixels in images)
    return np.stack(
        [np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.uint8).ravel() for grey in greys]
    )


def turned_pairs(rows: Rows, *, threads: int | None = None, progress: Progress | None = None) -> Int64Array:
    """Pairs of patches that show the same thing turned, mirrored, zoomed or shifted a little.

    Args:
        rows: Rows of `thumbnail_kind`, with their values.
        threads: Thread budget; all cores where left out.
        progress: Called with (done, total) as blocks of patches are searched, and again as pairs are compared.

    Returns:
        Array of shape (n_pairs, 2): places in the index, first < second, in order. Of equal files only the first is
        compared. A patch is compared with its nearest few, so of many copies not every pair is told.
    """
    first: dict[bytes, int] = {}
    for i, digest in enumerate(rows.digests):
        if digest:
            first.setdefault(digest, i)
    places = np.array(sorted(first.values()), np.int64)
    greys = [_without_corners(rows.values[i].reshape(_SIDE_PX, _SIDE_PX)) for i in places.tolist()]
    clear = [i for i, grey in enumerate(greys) if _contrast(grey) > _BLANK]
    if len(clear) < 2:
        return np.empty((0, 2), np.int64)
    compared = _Compared.of([greys[i] for i in clear])
    with threadpool_limits(1, "blas"):
        candidates = _candidates(compared, threads, progress)
        blocks = [candidates[start : start + _BLOCK] for start in range(0, len(candidates), _BLOCK)]
        compared_blocks = _told(ordered_map(compared.copies_among, blocks, threads=threads), len(blocks), progress)
        found = np.concatenate([*compared_blocks, np.empty((0, 2), np.int64)])
    pairs = places[np.array(clear, np.int64)][found]
    return np.asarray(pairs[np.lexsort(pairs.T[::-1])], np.int64)


def _without_corners(grey: UInt8Array) -> UInt8Array:
    """Fill corners of one flat colour, as a turn leaves them, from their surroundings."""
    filled = np.zeros((_SIDE_PX + 2, _SIDE_PX + 2), np.uint8)
    n_filled = []
    for corner in ((0, 0), (_SIDE_PX - 1, 0), (0, _SIDE_PX - 1), (_SIDE_PX - 1, _SIDE_PX - 1)):
        flags = 4 | cv2.FLOODFILL_MASK_ONLY | cv2.FLOODFILL_FIXED_RANGE | (1 << 8)
        n_filled.append(cv2.floodFill(grey, filled, corner, 0, _FLAT, _FLAT, flags)[0])
    if sum(_LEAST_CORNER_PX <= n <= _CORNER_PX for n in n_filled) < 3:
        return grey
    mask = filled[1:-1, 1:-1]
    grown = np.asarray(cv2.dilate(mask, np.ones((3, 3), np.uint8)), np.uint8)
    return np.asarray(cv2.inpaint(grey, grown, 3, cv2.INPAINT_TELEA), np.uint8)


def _blurred(image: Float32Array, sigma_px: float) -> Float32Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT), np.float32)


def _contrast(grey: UInt8Array) -> float:
    levels = grey.astype(np.float32)
    return float(np.sqrt(((levels - _blurred(levels, 8)) ** 2).mean()))


def _evened(grey: UInt8Array) -> Float32Array:
    levels = grey.astype(np.float32)
    detail = levels - _blurred(levels, 8)
    return np.asarray(detail / np.sqrt(_blurred(detail**2, 8) + _NOISE**2), np.float32)


def _fine(grey: UInt8Array) -> Float32Array:
    levels = grey.astype(np.float32)
    return levels - _blurred(levels, 2)


# Signatures


def _rings(halves: Sequence[Float32Array]) -> list[Complex64Array]:
    """Fourier coefficients of rings, for each zoom; shape (n, `_N_RINGS`, `_N_HARMONICS`), of length 1 a patch."""
    radii = _OUTERMOST_PX / _ZOOM ** np.arange(_N_RINGS + _N_ZOOMS)
    angles = np.arange(_N_ANGLES) * 2 * np.pi / _N_ANGLES
    middle = (_SIDE_PX // 2 - 1) / 2
    x, y = ((middle + radii[:, None] * wave(angles)).astype(np.float32) for wave in (np.cos, np.sin))
    weights = np.sqrt(radii)[:, None] * np.where(np.arange(_N_HARMONICS) == 0, 1, np.sqrt(2))
    all_rings = np.empty((len(halves), len(radii), _N_HARMONICS), np.complex64)
    for i, image in enumerate(halves):
        sampled = np.fft.rfft(cv2.remap(image, x, y, cv2.INTER_LINEAR), axis=1)
        all_rings[i] = sampled[:, :_N_HARMONICS] * weights
    found = []
    for zoom in range(_N_ZOOMS + 1):
        rings = all_rings[:, zoom : zoom + _N_RINGS]
        length = np.sqrt((np.abs(rings) ** 2).sum((1, 2), keepdims=True))
        found.append((rings / np.maximum(length, 1e-6)).astype(np.complex64))
    return found


def _signatures(rings: Complex64Array) -> Float32Array:
    """Products of rings that neither a turn nor mirroring changes, shape (n, d), of length 1."""
    one, other = np.triu_indices(_N_RINGS)
    products = np.real(rings[:, one] * np.conj(rings[:, other])) * np.where(one == other, 1, np.sqrt(2))[:, None]
    flat = products.reshape(len(rings), -1).astype(np.float32)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), np.float32)


def _told(found: Iterator[Int64Array], total: int, progress: Progress | None) -> Iterator[Int64Array]:
    for done, one in enumerate(found, start=1):
        yield one
        if progress:
            progress(done, total)


def _candidates(compared: _Compared, threads: int | None, progress: Progress | None) -> Int64Array:
    """Pairs of each patch and the nearest few by their signatures, shape (n, 2), first < second, in order."""
    signatures = [_signatures(rings) for rings in compared.rings]
    n, plain = len(signatures[0]), signatures[0]

    def block(start: int) -> Int64Array:
        rows = slice(start, start + _BLOCK)
        likeness = plain[rows] @ plain.T
        for zoomed in signatures[1:]:
            np.maximum(likeness, plain[rows] @ zoomed.T, out=likeness)
            np.maximum(likeness, zoomed[rows] @ plain.T, out=likeness)
        own = np.arange(len(likeness))
        likeness[own, own + start] = -2
        n_near = min(_NEAREST, n - 1)
        near = np.argpartition(-likeness, n_near - 1, axis=1)[:, :n_near]
        pairs = np.stack([np.repeat(own + start, n_near), near.ravel()], 1)
        return np.sort(pairs, axis=1).astype(np.int64)

    starts = range(0, n, _BLOCK)
    blocks = _told(ordered_map(block, starts, threads=threads), len(starts), progress)
    return np.unique(np.concatenate([*blocks]), axis=0)


# Alignment


@dataclass(frozen=True, eq=False)
class _Compared:
    """What is compared of patches.

    Attributes:
        evened: Thumbnails of even local contrast.
        fine: Fine detail of the thumbnails.
        rings: See `_rings`.
        halves: Thumbnails of even local contrast, shrunk to half the side.
    """

    evened: tuple[Float32Array, ...]
    fine: tuple[Float32Array, ...]
    rings: tuple[Complex64Array, ...]
    halves: tuple[Float32Array, ...]

    @classmethod
    def of(cls, greys: Sequence[UInt8Array]) -> _Compared:
        """Prepare thumbnails."""
        evened = tuple(map(_evened, greys))
        half = _SIDE_PX // 2, _SIDE_PX // 2
        halves = tuple(np.asarray(cv2.resize(one, half, interpolation=cv2.INTER_AREA), np.float32) for one in evened)
        return cls(evened, tuple(map(_fine, greys)), tuple(_rings(halves)), halves)

    def copies_among(self, pairs: Int64Array) -> Int64Array:
        """Choose the pairs that are copies."""
        likeness, turns = _turns(self.rings, pairs)
        kept = [
            i
            for i in np.flatnonzero(likeness >= _LEAST_RINGS).tolist()
            if self._correlation(int(pairs[i, 0]), int(pairs[i, 1]), turns[i]) >= TURNED_COPY
        ]
        return pairs[kept]

    def _correlation(self, one: int, other: int, turn: Float64Array) -> float:
        """Correlation of the fine detail of two patches, once the other lies over the one."""
        rough = _doubled(_refined(self.halves[one], self.halves[other], _halved(turn), n_steps=12))
        found = self._of_fine_detail(one, other, rough)
        if found < _LEAST_ROUGH or found >= TURNED_COPY:
            return found
        return self._of_fine_detail(one, other, _refined(self.evened[one], self.evened[other], rough, n_steps=25))

    def _of_fine_detail(self, one: int, other: int, transform: Float64Array) -> float:
        laid = _warped(self.fine[other], transform)
        both = (_warped(np.ones_like(laid), transform) > 0.99) & _DISC
        if both.sum() < _DISC.sum() / 2:
            return -1.0
        found = float(np.corrcoef(self.fine[one][both], laid[both])[0, 1])
        return found if np.isfinite(found) else -1.0


def _turns(rings: Sequence[Complex64Array], pairs: Int64Array) -> tuple[Float64Array, Float64Array]:
    """Greatest correlation of the rings of each pair, and the transform it takes, shape (n, 2, 3).

    The transform maps places in the thumbnail of the first patch to places in that of the second.
    """
    best = np.full(len(pairs), -2.0)
    angles, mirrored, zooms = np.zeros(len(pairs)), np.zeros(len(pairs), bool), np.ones(len(pairs))
    ways = [(zoom, 0) for zoom in range(_N_ZOOMS + 1)] + [(0, zoom) for zoom in range(1, _N_ZOOMS + 1)]
    for own, others in ways:
        one, other = rings[own][pairs[:, 0]], rings[others][pairs[:, 1]]
        for mirror, across in ((False, np.conj(other)), (True, other)):
            waves = np.zeros((len(pairs), _FIRST_ANGLES // 2 + 1), np.complex128)
            waves[:, :_N_HARMONICS] = (one * across).sum(1) / 2
            waves[:, 0] *= 2
            correlation = np.fft.irfft(waves, axis=1) * _FIRST_ANGLES
            at = correlation.argmax(1)
            value = correlation[np.arange(len(pairs)), at]
            better = value > best
            best[better], mirrored[better], zooms[better] = value[better], mirror, _ZOOM ** (own - others)
            angles[better] = at[better] * 2 * np.pi / _FIRST_ANGLES
    cos, sin = np.cos(angles) * zooms, np.sin(angles) * zooms
    sign = np.where(mirrored, -1, 1)
    turned = np.stack([np.stack([cos, sin], 1), np.stack([-sign * sin, sign * cos], 1)], 1)
    shift = _MIDDLE - turned.sum(2) * _MIDDLE
    return best, np.concatenate([turned, shift[..., None]], 2)


def _refined(one: Float32Array, other: Float32Array, transform: Float64Array, *, n_steps: int) -> Float64Array:
    """Refine a transform; it is returned as it is where the two do not come together."""
    stop = cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, n_steps, 1e-3
    disc = _DISC if len(one) == _SIDE_PX else _DISC[::2, ::2]
    start = transform.astype(np.float32)
    try:
        _, found = cv2.findTransformECC(one, other, start, cv2.MOTION_AFFINE, stop, disc.astype(np.uint8), 3)
    except cv2.error:  # no correlation to follow
        return transform
    return np.asarray(found, np.float64)


def _doubled(transform: Float64Array) -> Float64Array:
    """The same transform between pictures of twice the side; pixels count from the middle of the first."""
    turned = transform[:, :2]
    return np.column_stack([turned, 2 * transform[:, 2] + 0.5 - turned.sum(1) / 2])


def _halved(transform: Float64Array) -> Float64Array:
    turned = transform[:, :2]
    return np.column_stack([turned, (transform[:, 2] - 0.5 + turned.sum(1) / 2) / 2])


def _warped(image: Float32Array, transform: Float64Array) -> Float32Array:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(image, transform.astype(np.float32), (_SIDE_PX, _SIDE_PX), flags=flags), np.float32
    )


def _disc() -> npt.NDArray[np.bool_]:
    """Places that a turn by any angle leaves inside the patch, with some room."""
    y, x = np.mgrid[:_SIDE_PX, :_SIDE_PX] - _MIDDLE
    return np.asarray(np.hypot(x, y) < 0.4 * _SIDE_PX, np.bool_)


_DISC = _disc()
