"""Tell which widths can be measured, by blur and by millimetres per pixel, and check it on drawn cracks.

    python benchmarks/measurable_widths.py [table | shares | by-hand] [--n 400] [--picture FILE]

``table`` prints the smallest measurable width in mm. ``shares`` draws N cracks of 0.4 to 5 px, each in a picture with
its own texture, light, blur of 0.6 to 1.8 px, noise and JPEG quality, and prints the share of medians that are
resolved, by their true width as a multiple of the smallest one. ``by-hand`` draws N / 8 cracks of 0.7 to 8 px, draws
lines beside them as a person does, and prints how well `crackscope.measure` finds and measures them. With
``--picture``, a photo that can be measured and three that cannot are drawn, each with what crackscope says of it. Seeds
are fixed.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import cv2
import numpy as np
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits

from crack_widths import even_width, inner_part, picture
from crackscope.arrays import UInt8Array
from crackscope.drawing.crack_paths import new_shape
from crackscope.drawing.exact_cracks import CrackLook, with_shapes
from crackscope.drawing.exact_drawings import bare
from crackscope.drawing.walls import draw_photo
from crackscope.files.images import Image
from crackscope.files.pictures import picture_bytes
from crackscope.geometry.crack_summary import crack_width
from crackscope.geometry.crack_width import widths_along
from crackscope.geometry.measured_line import measured_lines
from crackscope.geometry.scale import Scale
from crackscope.geometry.width_intervals import resolution_limit, smallest_width
from crackscope.reports.contact_sheet import contact_sheet

MM_PER_PX = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
BLURS_PX = (0.5, 0.7, 1.0, 1.5, 2.0, 3.0)
MULTIPLES = (0.5, 0.75, 1.0, 1.25, 1.5, 2.0, 3.0)
SEED = 9
FINE_MM_PER_PX, CRACK_MM, SHOWN_PX = 0.1, 0.3, 300


def smallest_px(blur_px: float) -> float:
    return float(smallest_width(resolution_limit(blur_px)))


def print_table() -> None:
    print("\n| blur, px | smallest, px | " + " | ".join(f"{one:g} mm per px" for one in MM_PER_PX) + " |")
    print("| --- " * (2 + len(MM_PER_PX)) + "|")
    for blur_px in BLURS_PX:
        cells = " | ".join(f"{one * smallest_px(blur_px):.2f}" for one in MM_PER_PX)
        print(f"| {blur_px:g} | {smallest_px(blur_px):.1f} | {cells} |")


def print_shares(n: int) -> None:
    rows = []
    for i in range(n):
        rng = np.random.default_rng([SEED, i])
        drawn = picture(rng, even_width(rng, 0.4, 5.0))
        grey, line, blur_px = drawn.grey, drawn.longest, drawn.blur_px
        part = inner_part(line)
        if part.stop - part.start < 60:
            continue
        found = crack_width([widths_along(grey, line.path_xy[part], blur_px * np.exp(rng.normal(0, 0.12)))]).median
        true_px = float(np.median(line.widths_px[part]))
        error = found.width_px / true_px - 1
        rows.append((true_px / smallest_px(blur_px), found.resolved, error, found.low_px <= true_px <= found.high_px))
    ratio, resolved, error, held = np.array(rows, np.float64).T
    print("\n| true width ÷ smallest | n | resolved | median error of the resolved, % | their intervals that hold |")
    print("| --- | --- | --- | --- | --- |")
    ends = [*itertools.pairwise(MULTIPLES), (1.0, np.inf), (1.5, np.inf)]
    for low, high in ends:
        here = (ratio >= low) & (ratio < high)
        told = here & (resolved > 0)
        name = f"{low:g} to {high:g}" if np.isfinite(high) else f"**{low:g} and more**"
        figures = f"{100 * np.median(np.abs(error[told])):.0f} | {held[told].mean():.0%}" if told.any() else "|"
        print(f"| {name} | {here.sum()} | {resolved[here].mean():.0%} | {figures} |", flush=True)


def print_by_hand(n: int) -> None:
    rows = []
    for i in range(n):
        rng = np.random.default_rng([SEED, 1, i])
        seen = picture(rng, even_width(rng, 0.7, 8.0))
        grey, line = seen.grey, seen.longest
        part = inner_part(line)
        if part.stop - part.start < 60:
            continue
        path, true_px = line.path_xy[part], float(np.median(line.widths_px[part]))
        photo = Image(np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2))
        for error_px in (1.0, 3.0, 5.0):
            at = np.linspace(0, len(path) - 1, max(len(path) // 25, 2) + 1).astype(int)
            drawn = np.clip(path[at] + rng.normal(0, error_px, (len(at), 2)), 0, np.array(grey.shape[::-1]) - 1)
            for as_drawn in (False, True):
                crack = measured_lines(photo, [drawn], as_drawn=as_drawn).lines[0].crack
                assert crack.width is not None
                median = crack.width.median
                off_px = float(np.median(KDTree(path).query(crack.path_xy[0])[0]))
                holds = median.low_px <= true_px <= median.high_px
                rows.append((error_px, as_drawn, off_px, abs(median.width_px - true_px), holds))
    found = np.array(rows, np.float64)
    print(
        "\n| error of the points, px | measured | n | off the middle, px | error of width, px | intervals that hold |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for error_px in (1.0, 3.0, 5.0):
        for as_drawn in (False, True):
            _, _, off, error, held = found[(found[:, 0] == error_px) & (found[:, 1] == as_drawn)].T
            figures = f"{len(off)} | {np.median(off):.1f} | {np.median(error):.2f} | {held.mean():.0%}"
            print(f"| {error_px:g} | {'as drawn' if as_drawn else 'moved'} | {figures} |", flush=True)


def draw_hopeless(file: Path) -> None:
    """Draw one crack in a photo that can be measured, and in three that cannot."""
    wall = draw_photo(4, photo_hw=(1200, 1200), n_cracks=0).pixels
    shape = new_shape(np.random.default_rng(2), (1200, 1200), CRACK_MM / FINE_MM_PER_PX)
    drawing = with_shapes(bare(wall, blur_px=0.8), [shape], CrackLook(0.85), np.random.default_rng(0))
    (line,) = drawing.cracks
    inside = np.all((line.path_xy > 40) & (line.path_xy < 1160), axis=1)
    path, near = line.path_xy[inside][::10], drawing.pixels
    far = _resized(near, 1 / 8)
    photos = (
        ("Near and in focus", near, 1.0),
        ("Out of focus", np.asarray(cv2.GaussianBlur(near, (0, 0), 5.0), np.uint8), 1.0),
        ("Taken from too far away", far, 1 / 8),
        ("Reduced and enlarged again", _resized(far, 8.0), 1.0),
    )
    middle = path[len(path) // 2]
    items = []
    for name, photo, share in photos:
        noisy = np.clip(photo + np.random.default_rng(1).normal(0, 1.5, photo.shape), 0, 255).astype(np.uint8)
        scale = Scale(FINE_MM_PER_PX / share, 0.02 * FINE_MM_PER_PX / share)
        found = measured_lines(Image(noisy), [(path + 0.5) * share - 0.5], scale=scale, as_drawn=True)
        crack = found.lines[0].crack
        assert crack.mm is not None
        told = f"median {crack.mm.text('median')} mm, smallest {crack.mm.smallest_mm:.2f} mm"
        print(f"{name}: {scale.mm_per_px:g} mm per px, blur {found.blur.blur_px:.1f} px: {told}")
        side = SHOWN_PX if share == 1 else SHOWN_PX // 2
        left, top = np.clip(np.round(middle * share).astype(int) - side // 2, 0, len(noisy) - side)
        shown = noisy[top : top + side, left : left + side].repeat(SHOWN_PX // side, 0).repeat(SHOWN_PX // side, 1)
        items.append((shown, f"{name}: {scale.mm_per_px:g} mm per px\n{told}"))
    true_mm = FINE_MM_PER_PX * float(np.median(line.widths_px[inside]))
    title = f"One crack with a median width of {true_mm:.2f} mm, and what crackscope says of it"
    print(title)
    sheet = contact_sheet(items, columns=4, side_px=SHOWN_PX, title=title)
    file.write_bytes(picture_bytes(sheet, ".jpg", quality=88))


def _resized(pixels: UInt8Array, share: float) -> UInt8Array:
    how = cv2.INTER_AREA if share < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, None, fx=share, fy=share, interpolation=how), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="parts to run; all if left out")
    parser.add_argument("--n", type=int, default=400)
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        if given.picture:
            draw_hopeless(given.picture)
            return
        what = given.what or ["table", "shares", "by-hand"]
        if "table" in what:
            print_table()
        if "shares" in what:
            print_shares(given.n)
        if "by-hand" in what:
            print_by_hand(given.n // 8)


if __name__ == "__main__":
    main()
