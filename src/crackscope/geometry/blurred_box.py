"""A crack as a camera sees it: a dark box, blurred by a Gaussian and averaged over each pixel, on uneven concrete.

A profile is modelled as ``concrete - depth * box + step``. The box lies between two edges, and each edge is a unit step
that blur has softened. Everything that a fit of boxes to a profile needs is therefore a sum of a few products with
edges. `EdgeTables` holds these products for all places of an edge, an eighth of a pixel apart, so that thousands of
boxes are compared with a profile by additions alone.

The concrete is a constant, a slope and a slight curve; they are removed from both sides of every product. The step is a
difference of the concrete's grey on the two sides of the crack. Texture is noise that is correlated along the
profile: each sample repeats a share of its neighbour's noise (a first-order autoregression).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from crackscope.arrays import Float32Array, Float64Array, Int64Array

__all__ = ["NARROWEST_BOX_PX", "PER_PX", "REACH_PX", "BoxProducts", "EdgeTables", "edge_tables", "softened_edge"]

PER_PX = 8
"""Places of an edge in a pixel."""

NARROWEST_BOX_PX = 0.5
"""Width of the narrowest box that is drawn as such; a narrower crack is a box of this width, less deep."""

REACH_PX = 19
"""Furthest place of an edge from the middle of a profile, in pixels; nearer in short profiles."""

# Slope, curve and step are expected to be within about seven or four times the noise.
_SLOPE = 1 / 49
_CURVE = 1 / 16
_STEP = 1 / 16


def softened_edge(away_px: Float64Array, blur_px: Float64Array | float) -> Float64Array:
    """Grey of a pixel beside an edge from 0 to 1 that was blurred by a Gaussian, averaged over the pixel.

    Args:
        away_px: Distance of the pixel's middle from the edge, in pixels, positive on the bright side; any shape.
        blur_px: Standard deviation of the blur in pixels, above 0; must broadcast with `away_px`.
    """

    def summed(away: Float64Array) -> Float64Array:
        ratio = away / blur_px
        normal = np.exp(-0.5 * ratio * ratio) / np.sqrt(2 * np.pi)
        return np.asarray(0.5 * away * (1 + erf(ratio / np.sqrt(2))) + blur_px * normal)

    return summed(away_px + 0.5) - summed(away_px - 0.5)


@dataclass(frozen=True)
class EdgeTables:
    """Products of softened edges with each other, for profiles of one length.

    Attributes:
        places_px: Places of the samples from the middle of the profile, shape (m,).
        concrete: Constant, slope and curve, shape (m, 3).
        edges: Edges without what the concrete explains, weighted for the noise, float32, shape (n_blurs * n_places, m).
        products: Products of each two edges of one blur, float32, shape (n_blurs, n_places * n_places).
        weights: Matrix that takes a profile to the noise's weights, without the concrete, shape (m, m).
        reach: Number of places of an edge on each side of the middle.
    """

    places_px: Float64Array
    concrete: Float64Array
    edges: Float32Array
    products: Float32Array
    weights: Float64Array
    reach: int

    @property
    def n_places(self) -> int:
        """Number of places of an edge."""
        return 2 * self.reach + 1

    @property
    def n_blurs(self) -> int:
        """Number of blurs."""
        return len(self.products)

    def with_profiles(self, profiles: Float64Array) -> tuple[Float32Array, Float32Array]:
        """Products of profiles with themselves and with all edges.

        Args:
            profiles: Profiles, shape (n, m).

        Returns:
            Sums of squares without the concrete, float32, shape (n,), and products with the edges, float32, shape (n,
            n_blurs, n_places).
        """
        own = ((profiles @ self.weights) * profiles).sum(axis=1)
        with_edges = profiles.astype(np.float32) @ self.edges.T
        return own.astype(np.float32), with_edges.reshape(len(profiles), self.n_blurs, self.n_places)


@functools.lru_cache(maxsize=32)
def edge_tables(n_samples: int, blurs_px: tuple[float, ...], repeated: float) -> EdgeTables:
    """Compute the tables for profiles of one length.

    Args:
        n_samples: Samples of a profile, at least 5.
        blurs_px: Standard deviations of the blur in pixels, each above 0.
        repeated: Share of its neighbour's noise that a sample repeats, in [0, 1).
    """
    places = np.asarray(np.arange(n_samples) - (n_samples - 1) / 2, np.float64)
    across = places / places[-1]
    concrete = np.stack([np.ones(n_samples), across, across**2 - 1 / 3], axis=1)
    whiten = np.asarray(np.eye(n_samples) - repeated * np.eye(n_samples, k=-1), np.float64)
    whiten[0, 0] = np.sqrt(1 - repeated**2)
    seen = whiten @ concrete
    held = seen.T @ seen + np.diag([0.0, _SLOPE, _CURVE])
    weights = np.asarray(whiten.T @ (np.eye(n_samples) - seen @ np.linalg.solve(held, seen.T)) @ whiten, np.float64)
    reach = min(REACH_PX, n_samples // 2 + 1) * PER_PX
    # Samples and places lie on one grid of eighths of a pixel, so an edge is computed once for each distance.
    samples = np.round(places * PER_PX).astype(np.int64)
    furthest = reach + int(samples[-1])
    distances = np.arange(-furthest, furthest + 1) / PER_PX
    shapes = softened_edge(distances, np.array(blurs_px)[:, None])
    edges = shapes[:, furthest + samples - np.arange(-reach, reach + 1)[:, None]]  # (n_blurs, n_places, m)
    weighted = (edges @ weights).astype(np.float32)
    products = weighted @ edges.astype(np.float32).transpose(0, 2, 1)
    return EdgeTables(
        places,
        concrete,
        weighted.reshape(-1, n_samples),
        products.reshape(len(blurs_px), -1),
        weights,
        reach,
    )


@dataclass(frozen=True)
class BoxProducts:
    """How well boxes of all depths explain profiles: sum of squares = `least` + `stiffness` * (depth - `depth`)².

    All arrays are float32, of shape (n, n_tried, n_boxes); `stiffness` and `volume` may have 1 in place of n.

    Attributes:
        least: Least sum of squared residuals, weighted for the noise, with the best depth.
        depth: Best depth of the box, in grey units of the profile; negative for a bright line.
        stiffness: How strongly the sum of squares grows with the depth's error.
        volume: Logarithm of the factor by which a free step shrinks the likelihood.
    """

    least: Float32Array
    depth: Float32Array
    stiffness: Float32Array
    volume: Float32Array


def box_products(
    tables: EdgeTables,
    own: Float32Array,
    with_edges: Float32Array,
    blurs: Int64Array,
    lefts: Int64Array,
    rights: Int64Array,
    shares: Float32Array,
) -> BoxProducts:
    """Fit boxes to profiles.

    Args:
        tables: Tables for the profiles' length.
        own: Sums of squares of the profiles, shape (n,); see `EdgeTables.with_profiles`.
        with_edges: Their products with the edges, shape (n, n_blurs, n_places).
        blurs: Numbers of the blurs to try, shape (n or 1, n_tried); 1 if they are the same for all profiles.
        lefts: Places of the left edges, shape (n or 1, n_boxes).
        rights: Places of the right edges, of the same shape.
        shares: Factor of the boxes' depth, of the same shape: a box narrower than the least distance of two edges is
            drawn wider and less deep.
    """
    n, n_blurs, n_places = with_edges.shape
    rows = ((np.arange(n) * n_blurs)[:, None] + blurs)[..., None] * n_places
    flat = with_edges.reshape(-1)
    left, right = flat[rows + lefts[:, None]], flat[rows + rights[:, None]]
    products, pages = tables.products.reshape(-1), blurs[..., None] * n_places**2
    left_left, right_right, left_right = (
        products[pages + place[:, None]]
        for place in (lefts * (n_places + 1), rights * (n_places + 1), lefts * n_places + rights)
    )
    box, step = left - right, 0.5 * (left + right)
    box_box = left_left + right_right - 2 * left_right
    box_step = 0.5 * (left_left - right_right)
    step_step = 0.25 * (left_left + right_right + 2 * left_right) + np.float32(_STEP)
    share = box_step / step_step
    stiffness = np.maximum((box_box - box_step * share) * (shares * shares)[:, None], np.float32(1e-9))
    along = (box - step * share) * shares[:, None]
    depth = -along / stiffness
    least = own[:, None, None] - step * step / step_step + along * depth
    return BoxProducts(least, depth, stiffness, np.asarray(-0.5 * np.log(step_step), np.float32))
