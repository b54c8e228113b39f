"""Tables of edges give the same fits as least squares, written out."""

from __future__ import annotations

import numpy as np
import pytest

from crackscope.geometry.blurred_box import PER_PX, box_products, edge_tables, softened_edge


def test_an_edge_keeps_its_light_and_is_a_ramp_without_blur() -> None:
    x = np.arange(-20, 21.0)
    for blur in (0.3, 1.0, 3.0):
        assert softened_edge(x - 0.3, blur).sum() == pytest.approx(20 + 0.5 - 0.3, abs=1e-6)
    np.testing.assert_allclose(softened_edge(np.array([-1.0, -0.25, 0.0, 0.25, 1.0]), 1e-6), [0, 0.25, 0.5, 0.75, 1])


def test_an_edge_is_the_blurred_step_averaged_over_the_pixel() -> None:
    fine = np.arange(-15, 15, 1 / 64) + 1 / 128
    kernel = np.exp(-0.5 * (fine / 0.8) ** 2)
    blurred = np.convolve((fine > 0.3).astype(float), kernel / kernel.sum(), "same")
    pixels = blurred.reshape(-1, 64).mean(axis=1)
    inner = slice(8, -8)
    np.testing.assert_allclose(pixels[inner], softened_edge(np.arange(-14.5, 15)[inner] - 0.3, 0.8), atol=2e-2)


@pytest.mark.parametrize("repeated", [0.0, 0.6])
def test_products_are_those_of_least_squares(repeated: float) -> None:
    rng, m, blur = np.random.default_rng(1), 30, 0.9
    profile = 1 + 0.05 * rng.standard_normal(m)
    tables = edge_tables(m, (0.6, blur), repeated)
    left, right = -9, 14  # eighths of a pixel from the middle
    place = np.array([[tables.reach + left]]), np.array([[tables.reach + right]])
    found = box_products(
        tables, *tables.with_profiles(profile[None]), np.array([[1]]), *place, np.ones((1, 1), np.float32)
    )
    x = np.arange(m, dtype=np.float64) - (m - 1) / 2
    edges = [softened_edge(x - at / PER_PX, blur) for at in (left, right)]
    box, step = edges[0] - edges[1], (edges[0] + edges[1]) / 2
    whiten = np.eye(m) - repeated * np.eye(m, k=-1)
    whiten[0, 0] = np.sqrt(1 - repeated**2)
    design = np.stack([np.ones(m), x / x[-1], (x / x[-1]) ** 2 - 1 / 3, step, -box], axis=1)
    # Priors of slope, curve and step are further rows of the problem.
    rows = np.concatenate([whiten @ design, np.diag([0, 1 / 7, 1 / 4, 1 / 4, 0])])
    target = np.concatenate([whiten @ profile, np.zeros(5)])
    best, squares, *_ = np.linalg.lstsq(rows, target, rcond=None)
    assert float(found.depth[0, 0, 0]) == pytest.approx(best[4], abs=2e-4)
    assert float(found.least[0, 0, 0]) == pytest.approx(squares[0], rel=2e-3)
