"""How probable each width of a crack is, given its grey profile: a grid of blurred boxes, weighed by Bayes' rule.

A *box* has a width, a middle and a blur. How deep it is, the concrete's grey, and the noise are summed out in closed
form for each box. What is known beforehand enters as priors: the floor of a crack is mostly nearly black, but light may
reach it; a camera blurs by about a pixel; all widths are equally likely on a logarithmic scale; the crack runs near the
middle of the profile. The edges of wide cracks are softer than the camera's blur, because they are broken.

First, a coarse grid finds the likely boxes. Samples outside the crack that fit badly, such as pores and other cracks,
are pulled towards the fit. Then the correlation of the noise is taken from what the fit leaves, and a fine grid is
laid over the likely widths and middles.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np

from crackscope.arrays import Float32Array, Float64Array, Int64Array
from crackscope.geometry.blurred_box import NARROWEST_BOX_PX, PER_PX, EdgeTables, box_products, edge_tables
from crackscope.geometry.box_fit import LEAST_NOISE, Boxes, BoxFit, concrete_level, fit_boxes, without_other_cracks

__all__ = ["FLOORS", "LARGEST_PX", "FloorPrior", "WidthPosterior", "width_posterior"]

LARGEST_PX = 24.0
"""Largest width that the grid holds, in pixels."""

_BLURS_PX = tuple(np.geomspace(0.3, 3.4, 18).tolist())
_BLUR_SHARES = tuple(np.geomspace(0.75, 2.7, 12).tolist())  # of a blur that is known; edges may be softer
_WIDTHS_PX = (
    *(0.06, 0.1, 0.15, 0.22, 0.3, 0.4, 0.5, 0.75, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10),
    *(11, 12, 13.5, 15, 16.5, 18, 19.5, 21, 22.5, 24),
)
_REPEATED = (0.0, 0.35, 0.6, 0.8)
_USUAL_BLUR = (1.0, 0.38)  # median in pixels and standard deviation of the logarithm, of any photo
_KNOWN = 0.13  # standard deviation of the logarithm of a blur that was measured on the photo
_CHUNK = 32  # profiles at once, so that the arrays fit into the processor's cache


@dataclass(frozen=True)
class FloorPrior:
    """Prior of how dark a crack is inside: a mixture of normal distributions of its depth.

    Depth is the share of the concrete's light that is missing, 1 minus the floor's grey.

    Attributes:
        shares: Share of each part of the mixture; they add up to 1.
        depths: Mean depth of each part.
        spreads: Standard deviation of each part.
    """

    shares: tuple[float, ...]
    depths: tuple[float, ...]
    spreads: tuple[float, ...]


FLOORS = FloorPrior((0.5, 0.42, 0.08), (0.88, 0.66, 0.4), (0.07, 0.16, 0.1))
"""Floor of any crack. Half of the cracks are nearly black. In cracks of 12 to 35 px in public photos of concrete, the
floor's median was 0.15 to 0.5 of the concrete's grey, different in each collection of photos."""


@dataclass(frozen=True)
class WidthPosterior:
    """What profiles tell of the width; all arrays have one entry or row a profile.

    Attributes:
        bounds_px: Bounds of the cells of width in pixels, shape (n, n_cells + 1).
        probabilities: Probability of each cell, shape (n, n_cells).
        centres_px: Middle of the crack, in pixels from the middle of the profile, shape (n,).
        blurs_px: Blur of its edges in pixels, shape (n,).
        floors: Grey of the floor as a share of the concrete's, of the best box, shape (n,).
        floor_spreads: Standard deviation of `floors`, shape (n,).
        noises: Standard deviation of what the best box leaves, as a share of the concrete's grey, shape (n,).
        dips: How far both sides of the crack are brighter than its floor, as a share of the concrete's grey, shape
            (n,); 0 or less if the profile rises or falls throughout.
    """

    bounds_px: Float64Array
    probabilities: Float64Array
    centres_px: Float64Array
    blurs_px: Float64Array
    floors: Float64Array
    floor_spreads: Float64Array
    noises: Float64Array
    dips: Float64Array

    def quantile(self, share: float) -> Float64Array:
        """Width below which a share of the probability lies, in pixels, shape (n,)."""
        below = np.concatenate([np.zeros((len(self.probabilities), 1)), np.cumsum(self.probabilities, axis=1)], axis=1)
        rows = np.arange(len(below))
        cell = np.clip((below <= share).sum(axis=1) - 1, 0, self.probabilities.shape[1] - 1)
        into = (share - below[rows, cell]) / np.maximum(self.probabilities[rows, cell], 1e-12)
        low, high = np.log(self.bounds_px[rows, cell]), np.log(self.bounds_px[rows, cell + 1])
        return np.asarray(np.exp(low + np.clip(into, 0, 1) * (high - low)))


def width_posterior(
    profiles: Float64Array,
    *,
    blur_px: float | None = None,
    floors: FloorPrior = FLOORS,
    middle_px: float = 3.2,
) -> WidthPosterior:
    """Weigh all widths of cracks in profiles of one length.

    Args:
        profiles: Grey profiles, shape (n, m), m from 5 to 72, one sample a pixel, finite.
        blur_px: Standard deviation of the photo's Gaussian blur in pixels, above 0; None if it is not known.
        floors: Prior of the floor's grey.
        middle_px: Distance of the crack from the middle of the profile up to which all places are equally likely.
    """
    grid = _Grid(profiles.shape[1], blur_px, floors, middle_px)
    likely = _joined([grid.likely(profiles[i : i + _CHUNK]) for i in range(0, len(profiles), _CHUNK)])
    order = np.argsort(likely.noise_kinds, kind="stable")
    kinds = likely.noise_kinds[order]
    begins = [i for i in range(len(order)) if i == 0 or kinds[i] != kinds[i - 1]]
    parts = [
        grid.posterior(_rows(likely, order[i : min(i + _CHUNK, end)]))
        for begin, end in zip(begins, [*begins[1:], len(order)], strict=True)
        for i in range(begin, end, _CHUNK)
    ]
    return _rows(_joined(parts), np.argsort(order))


class _Grid:
    """Boxes that profiles of one length are compared with, and their priors."""

    def __init__(self, n_samples: int, blur_px: float | None, floors: FloorPrior, middle_px: float) -> None:
        self.n_samples, self.blur_px, self.floors, self.middle_px = n_samples, blur_px, floors, middle_px
        self.blurs_px = _BLURS_PX if blur_px is None else tuple(blur_px * share for share in _BLUR_SHARES)
        self.blurs = np.array(self.blurs_px)
        # Numbers of the blurs of the coarse grid, and how many a fine grid has.
        self.coarse: Int64Array
        self.coarse, self.n_fine = (np.arange(1, 18, 3), 9) if blur_px is None else (np.array([1, 3, 6, 9]), 6)
        widths = np.array(_WIDTHS_PX)
        self.widths = widths[widths <= max(n_samples - 4, 1)]
        reach = min(middle_px + 1.5, n_samples / 2 - 1.5)
        self.middles = np.arange(-np.floor(2 * reach), 2 * reach + 0.5) / 2
        steps = np.gradient(np.log(self.widths))
        over_widths = (np.log(steps) + self._width_prior(self.widths))[:, None] + self._middle_prior(self.middles)
        over_blurs = self._blur_prior(self.blurs[self.coarse, None], self.widths)
        self.prior = (over_widths + over_blurs[:, :, None]).astype(np.float32)  # (n_coarse, n_widths, n_middles)

    def _width_prior(self, widths_px: Float64Array) -> Float64Array:
        """Logarithm of the prior of the width: even in log width above 0.2 px; concrete is seen on both sides."""
        beyond = np.maximum(widths_px / self.n_samples - 0.6, 0)
        return np.asarray(np.log(np.minimum(widths_px / 0.2, 1)) - 0.5 * (beyond / 0.1) ** 2)

    def _middle_prior(self, middles_px: Float64Array) -> Float64Array:
        beyond = np.maximum(np.abs(middles_px) - self.middle_px, 0)
        return np.asarray(-0.5 * (beyond / 0.6) ** 2)

    def _blur_prior(self, blurs_px: Float64Array, widths_px: Float64Array) -> Float64Array:
        """Logarithm of the blur's prior, log-normal, for arrays that broadcast with each other."""
        usual, spread = _USUAL_BLUR if self.blur_px is None else (self.blur_px, _KNOWN)
        wide = np.maximum(widths_px - 3, 0)
        median = np.hypot(usual, 0.06 * wide)
        spreads = np.hypot(spread, 0.3 * np.minimum(wide / 6, 1))
        away = (np.log(blurs_px) - np.log(median)) / spreads
        return np.asarray(-0.5 * away * away - np.log(spreads))

    def likely(self, profiles: Float64Array) -> _Likely:
        """Find the likely boxes of a few profiles, shape (n, m), on a coarse grid."""
        level = concrete_level(profiles)
        raw = without_other_cracks(profiles / level[:, None] - 1)
        tables = edge_tables(self.n_samples, self.blurs_px, _REPEATED[1])
        values = raw
        for _ in range(2):
            weights, best = self._coarse(values, tables)
            fit = fit_boxes(raw, tables, best)
            values = fit.pulled
        brighter = np.clip(1 + fit.concrete, 0.7, 1.4)[:, None]
        return _Likely((1 + values) / brighter - 1, _noise_kind(fit), *self._fine_grid(weights))

    def _coarse(self, values: Float64Array, tables: EdgeTables) -> tuple[Float64Array, Boxes]:
        """Probability of all boxes of the coarse grid, and the best box of each profile."""
        lefts, rights, shares = _places(self.widths[None], self.middles[None], tables.reach)
        evidence = self._evidence(values, tables, self.coarse[None], lefts, rights, shares, _REPEATED[1])[0]
        shape = (len(values), *self.prior.shape)
        evidence = evidence.reshape(shape) + self.prior
        flat = evidence.reshape(len(values), -1)
        best = flat.argmax(axis=1)
        weights = np.exp(flat - flat[np.arange(len(flat)), best][:, None]).reshape(shape)
        weights /= weights.sum(axis=(1, 2, 3), keepdims=True)
        blur, width, middle = np.unravel_index(best, shape[1:])
        boxes = Boxes(self.widths[width], self.middles[middle], self.blurs[self.coarse[blur]])
        return np.asarray(weights, np.float64), boxes

    def _fine_grid(self, weights: Float64Array) -> tuple[Int64Array, Float64Array, Float64Array]:
        """Numbers of blurs, shape (n, n_fine), widths, shape (n, 24), and middles, shape (n, 9), of the fine grid."""
        over_blurs = weights.sum(axis=(2, 3))
        mean = over_blurs @ self.coarse
        spread = np.sqrt(np.maximum(over_blurs @ self.coarse**2 - mean**2, 0)) + 1
        reach = np.clip(2.5 * spread, (self.n_fine - 1) / 2, len(self.blurs))[:, None] * np.linspace(-1, 1, self.n_fine)
        blurs = np.clip(np.round(mean[:, None] + reach), 0, len(self.blurs) - 1).astype(np.int64)
        below = np.cumsum(weights.sum(axis=(1, 3)), axis=1)
        low = np.maximum((below < 1e-3).sum(axis=1) - 1, 0)
        high = np.minimum((below < 1 - 1e-3).sum(axis=1) + 1, len(self.widths) - 1)
        ends = np.log(self.widths[low]), np.log(self.widths[high])
        widths = np.exp(ends[0][:, None] + (ends[1] - ends[0])[:, None] * np.linspace(0, 1, 24))
        widths = np.where(widths < NARROWEST_BOX_PX, widths, np.round(widths * PER_PX) / PER_PX)
        over_middles = weights.sum(axis=(1, 2))
        mean = over_middles @ self.middles
        spread = np.sqrt(np.maximum(over_middles @ self.middles**2 - mean**2, 0))
        middles = mean[:, None] + np.clip(spread, 0.2, 1.2)[:, None] * np.linspace(-2.4, 2.4, 9)
        return blurs, widths, np.round(middles * PER_PX) / PER_PX

    def posterior(self, likely: _Likely) -> WidthPosterior:
        """Weigh the boxes of the fine grids of a few profiles, all with the same kind of noise."""
        values, blurs, widths, middles = likely.values, likely.blurs, likely.widths, likely.middles
        repeated = _REPEATED[likely.noise_kinds[0]]
        n = len(values)
        tables = edge_tables(self.n_samples, self.blurs_px, repeated)
        lefts, rights, shares = _places(widths, middles, tables.reach)
        evidence, depths, variances = self._evidence(values, tables, blurs, lefts, rights, shares, repeated)
        logs = np.log(widths)
        bounds = np.concatenate([logs[:, :1], (logs[:, 1:] + logs[:, :-1]) / 2, logs[:, -1:]], axis=1)
        cells = np.log(np.maximum(np.diff(bounds, axis=1), 1e-12))
        tried = self.blurs[blurs]
        # A blur at the end of the list may stand there several times; only one of them has a cell.
        blur_cells = np.maximum(np.gradient(np.log(tried), axis=1), 1e-12)
        prior = (
            (cells + self._width_prior(widths))[:, None, :, None]
            + (self._blur_prior(tried[:, :, None], widths[:, None]) + np.log(blur_cells)[:, :, None])[..., None]
            + self._middle_prior(middles)[:, None, None]
        )
        shape = prior.shape  # (n, n_blurs, n_widths, n_middles)
        evidence = evidence.reshape(shape) + prior
        flat = evidence.reshape(n, -1)
        rows, best = np.arange(n), flat.argmax(axis=1)
        depth, spread = self._depth(depths.reshape(n, -1)[rows, best], variances.reshape(n, -1)[rows, best])
        weights = np.exp(flat - flat[rows, best][:, None])
        weights = (weights / weights.sum(axis=1, keepdims=True)).reshape(shape)
        blur, width, middle = np.unravel_index(best, shape[1:])
        fit = fit_boxes(values, tables, Boxes(widths[rows, width], middles[rows, middle], tried[rows, blur]))
        return WidthPosterior(
            bounds_px=np.exp(bounds),
            probabilities=weights.sum(axis=(1, 3)),
            centres_px=(weights.sum(axis=(1, 2)) * middles).sum(axis=1),
            blurs_px=(weights.sum(axis=(2, 3)) * tried).sum(axis=1),
            floors=1 - depth,
            floor_spreads=spread,
            noises=fit.noise,
            dips=fit.dip,
        )

    def _evidence(
        self,
        values: Float64Array,
        tables: EdgeTables,
        blurs: Int64Array,
        lefts: Int64Array,
        rights: Int64Array,
        shares: Float32Array,
        repeated: float,
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Logarithm of each box's likelihood, with depth, concrete and noise summed out.

        The noise's variance has the usual prior, even in its logarithm; the likelihood of a box is then the residual
        sum of squares to the power of minus half the degrees of freedom. The depth is normally distributed for given
        noise, so each part of its prior gives a normal integral.

        Returns:
            Logarithms; the depth that explains the profile best; and its variance, each of shape (n, n_tried, n_boxes).
        """
        found = box_products(tables, *tables.with_profiles(values), blurs, lefts, rights, shares)
        free = max(self.n_samples - 3, 1)
        noise = self.n_samples * LEAST_NOISE**2 * (1 - repeated**2)
        squares = np.maximum(found.least, 0) + np.float32(noise)
        variance = squares / (free * found.stiffness)
        total = np.maximum(sum(self._depth_parts(found.depth, variance)), np.float32(1e-30))
        evidence = found.volume - np.float32(free / 2) * np.log(squares) + np.log(total)
        return evidence, found.depth, variance

    def _depth_parts(self, depth: Float32Array, variance: Float32Array) -> list[Float32Array]:
        """Integral over the depth for each part of its prior."""
        parts = []
        for share, usual, spread in zip(self.floors.shares, self.floors.depths, self.floors.spreads, strict=True):
            whole = variance + np.float32(spread**2)
            away = depth - np.float32(usual)
            parts.append(np.float32(share) * np.sqrt(variance / whole) * np.exp(-0.5 * away * away / whole))
        return parts

    def _depth(self, depth: Float32Array, variance: Float32Array) -> tuple[Float64Array, Float64Array]:
        """Mean and standard deviation of the depth, given what the profile and the prior tell."""
        shares = np.maximum(np.stack(self._depth_parts(depth, variance)), 1e-30)
        shares /= shares.sum(axis=0)
        usual, spread = (np.array(one)[:, None] for one in (self.floors.depths, self.floors.spreads))
        means = (depth * spread**2 + usual * variance) / (variance + spread**2)
        mean = (shares * means).sum(axis=0)
        within = variance * spread**2 / (variance + spread**2)
        return mean, np.sqrt((shares * (within + (means - mean) ** 2)).sum(axis=0))


@dataclass(frozen=True)
class _Likely:
    """Profiles made ready for the fine grid, and that grid; one row a profile."""

    values: Float64Array  # grey as a share of the concrete's, minus 1, shape (n, m)
    noise_kinds: Int64Array  # which of `_REPEATED`, shape (n,)
    blurs: Int64Array  # numbers of the blurs to try, shape (n, n_fine)
    widths: Float64Array  # in pixels, shape (n, 24)
    middles: Float64Array  # in pixels, shape (n, 9)


_Rows = TypeVar("_Rows", WidthPosterior, _Likely)


def _places(
    widths_px: Float64Array, middles_px: Float64Array, reach: int
) -> tuple[Int64Array, Int64Array, Float32Array]:
    """Left and right edges of boxes of all widths and middles, and the share of their depth; each (n, n_boxes)."""
    steps = np.where(widths_px < NARROWEST_BOX_PX, NARROWEST_BOX_PX * PER_PX, np.round(widths_px * PER_PX)).astype(
        np.int64
    )
    middles = np.round(middles_px * PER_PX).astype(np.int64) + reach
    lefts = middles[:, None, :] - (steps // 2)[:, :, None]
    rights = lefts + steps[:, :, None]
    shares = np.minimum(widths_px / NARROWEST_BOX_PX, 1)[:, :, None] + np.zeros(middles.shape[1])
    n, furthest = len(lefts), 2 * reach
    return (
        np.clip(lefts, 0, furthest).reshape(n, -1),
        np.clip(rights, 0, furthest).reshape(n, -1),
        shares.astype(np.float32).reshape(n, -1),
    )


def _noise_kind(fit: BoxFit) -> Int64Array:
    """Which share of its neighbour's noise a sample repeats, as an index of `_REPEATED`, shape (n,)."""
    own = fit.left_over * fit.outside
    together = (own[:, 1:] * own[:, :-1]).sum(axis=1)
    alone = 0.5 * ((own[:, 1:] ** 2).sum(axis=1) + (own[:, :-1] ** 2).sum(axis=1))
    few = 6 * LEAST_NOISE**2  # so that nearly perfect fits count as a little correlated
    # The fit takes some of the slow part of the noise away.
    repeated = (together + 0.4 * few) / (alone + few) + 0.1
    return np.asarray(np.abs(repeated[:, None] - np.array(_REPEATED)).argmin(axis=1), np.int64)


def _joined(parts: list[_Rows]) -> _Rows:
    """Put the rows of several parts of a batch together."""
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _rows(whole: _Rows, rows: Int64Array) -> _Rows:
    """Take some rows of a batch."""
    return type(whole)(*(getattr(whole, field.name)[rows] for field in fields(whole)))
