"""Measure how exact drawn cracks are, and how long one takes to draw.

    python benchmarks/drawn_cracks.py [--n 200]

Cracks of random lines and evenly dark openings are drawn on flat grey, blurred by 0.6 to 1.8 px. For each class of
widths, the program prints two things. The first is the missing light of the whole picture, divided by what the truth
says: the sum of width, contrast and length. The second is the distance of the told line from the middle of the dark
line, across the crack. Then it prints the time for a picture of 256 px on one thread, in milliseconds of processor
time: one crack of each kind, one hard negative of each kind, and one crack of `crack_over` to compare with.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from scipy.ndimage import map_coordinates
from threadpoolctl import threadpool_limits

from crackscope.drawing.crack_paths import new_shape
from crackscope.drawing.drawn_lines import crack_over
from crackscope.drawing.exact_cracks import CRACK_KINDS, EVEN, with_crack, with_shapes
from crackscope.drawing.exact_drawings import ExactDrawing, bare
from crackscope.drawing.hard_negatives import NEGATIVE_KINDS, with_negative

WIDTHS_PX = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
SIDE_PX, GREY = 256, 200


def flat(rng: np.random.Generator) -> ExactDrawing:
    return bare(np.full((SIDE_PX, SIDE_PX, 3), GREY, np.uint8), blur_px=float(rng.uniform(0.6, 1.8)))


def one_crack(rng: np.random.Generator, width_px: float) -> tuple[float, np.ndarray]:
    """Share of the told light that is missing, and distances of the told line from the middle of the dark one."""
    shape = new_shape(rng, (SIDE_PX, SIDE_PX), width_px)
    drawing = with_shapes(flat(rng), [shape], EVEN, rng)
    missing = 1 - drawing.pixels.mean(axis=2) / GREY
    steps = np.hypot(*np.diff(shape.path_xy, axis=0).T)
    widths = (shape.widths_px[1:] + shape.widths_px[:-1]) / 2
    middles = (shape.path_xy[1:] + shape.path_xy[:-1]) / 2
    inside = np.all((middles > -0.5) & (middles < SIDE_PX - 0.5), axis=1)
    told = EVEN.contrast * float((steps * widths)[inside].sum())
    along = np.gradient(shape.path_xy, axis=0)
    along /= np.hypot(*along.T)[:, None]
    reach = np.arange(-width_px / 2 - 3, width_px / 2 + 3.1, 0.25)
    far = reach[-1] + 2
    clear = np.all((shape.path_xy > far) & (shape.path_xy < SIDE_PX - far), axis=1) & (shape.widths_px > 0.5 * width_px)
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)[clear, None] * reach[:, None]
    x, y = (shape.path_xy[clear, None] + across).transpose(2, 0, 1)
    profiles = map_coordinates(missing, [y, x], order=1)
    return float(missing.sum()) / told, np.abs((profiles * reach).sum(axis=1) / profiles.sum(axis=1))


def print_exactness(n: int) -> None:
    print("| width, px | n | missing light ÷ told | its standard deviation | line off by, RMS, px | 95 % within, px |")
    print("| --- | --- | --- | --- | --- | --- |")
    for low, high in itertools.pairwise(WIDTHS_PX):
        shares, away = [], []
        for seed in range(n):
            rng = np.random.default_rng([seed, round(100 * low)])
            share, offsets = one_crack(rng, float(np.exp(rng.uniform(np.log(low), np.log(high)))))
            shares.append(share)
            away.append(offsets)
        off = np.concatenate(away)
        figures = f"{np.mean(shares):.4f} | {np.std(shares):.4f} | {np.sqrt((off**2).mean()):.2f}"
        print(f"| {low:g} to {high:g} | {n} | {figures} | {np.percentile(off, 95):.2f} |", flush=True)


def print_times(n: int) -> None:
    print("\n| drawn | n | median, ms | 95 % within, ms |\n| --- | --- | --- | --- |")
    draws: list[tuple[str, Callable[[ExactDrawing, np.random.Generator], ExactDrawing]]] = [
        *((f"crack, {kind}", lambda wall, rng, kind=kind: with_crack(wall, rng, kind=kind)) for kind in CRACK_KINDS),
        ("crack_over", lambda wall, rng: replace(wall, pixels=crack_over(wall.pixels, rng, widths_px=(0.25, 40))[0])),
        *((kind, lambda wall, rng, kind=kind: with_negative(wall, rng, kind=kind)) for kind in NEGATIVE_KINDS),
    ]
    for name, draw in draws:
        times = []
        for seed in range(n):
            rng = np.random.default_rng(seed)
            wall, begin = flat(rng), time.process_time()
            draw(wall, rng)
            times.append(1000 * (time.process_time() - begin))
        print(f"| {name} | {n} | {np.median(times):.1f} | {np.percentile(times, 95):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=200)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        print_exactness(given.n)
        print_times(given.n)


if __name__ == "__main__":
    main()
