"""Measure how exact widths of cracks are, on drawn profiles and along drawn cracks.

    python benchmarks/crack_widths.py [profiles | estimators | cracks | flags | blur | speed] [--n 1000] [--calibrate]

``profiles`` measures single drawn profiles without telling the blur, and ``estimators`` compares four ways to measure
them. ``cracks`` measures along drawn cracks, each picture with its own texture, light, noise, JPEG quality and look;
the line given is up to about half a pixel beside the crack, and the blur is told with an error of 12 %. ``flags``
prints the share of the length that is told as lit, spalled, wet or filled, by kind of drawn crack. ``blur`` measures
the blur of drawn photos. ``speed`` prints milliseconds per 10 px of line on one thread. All are drawn with
seeds that no constant was found with. With ``--calibrate``, ``profiles`` and ``cracks`` draw with other seeds, find
the constants of `crackscope.geometry.width_intervals`, and print them.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares
from threadpoolctl import threadpool_limits

from crackscope.drawing.crack_paths import fork_from, new_shape
from crackscope.drawing.drawn_profiles import DrawnProfile, draw_profile
from crackscope.drawing.exact_cracks import CrackLook, with_crack, with_shapes
from crackscope.drawing.exact_drawings import CrackLine, bare
from crackscope.drawing.walls import draw_patch
from crackscope.geometry.blurred_box import softened_edge
from crackscope.geometry.crack_summary import crack_width
from crackscope.geometry.crack_width import WidthsAlong, widths_along
from crackscope.geometry.photo_blur import photo_blur
from crackscope.geometry.profile_width import profile_width, profile_widths
from crackscope.geometry.width_intervals import (
    ALONG_CRACKS,
    CRACK_MAXIMA,
    CRACK_MEDIANS,
    CRACK_P90S,
    IntervalScale,
    widened,
)

CLASSES_PX = ((0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, 20.0))
JUDGED, FOUND = 2, 1  # first numbers of the seeds
PLACES_PX = (0.3, 0.6, 1.2, 2.4, 6.0)
UNSCALED = IntervalScale((1.0,), (1.0,), (1.0,), (0.0, 0.0))
SIDE_PX = 256
FIGURES = ("median", "p90", "maximum")
Scales = tuple[IntervalScale, IntervalScale, IntervalScale]
SCALES = (CRACK_MEDIANS, CRACK_P90S, CRACK_MAXIMA)


@dataclass(frozen=True)
class Measured:
    """Truth, estimate and interval of many widths in pixels; all arrays have the same length."""

    truth: np.ndarray
    width: np.ndarray
    low: np.ndarray
    high: np.ndarray
    resolved: np.ndarray
    blur: np.ndarray

    def within(self, low_px: float, high_px: float) -> np.ndarray:
        return (self.truth >= low_px) & (self.truth < high_px)


def measured(rows: Sequence[tuple[float, ...]]) -> Measured:
    return Measured(*np.array(rows, np.float64).reshape(-1, 6).T)


def print_table(title: str, found: Measured) -> None:
    print(f"\n{title}\n\n| true width, px | n | bias | mean error | RMS | in interval | its length | resolved |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for low, high in (*CLASSES_PX, (0.25, 2.0), (1.0, 99.0), (2.0, 99.0)):
        chosen = found.within(low, high)
        if not chosen.any():
            continue
        error = (found.width - found.truth)[chosen]
        inside = ((found.low <= found.truth) & (found.truth <= found.high))[chosen]
        length, resolved = np.median((found.high - found.low)[chosen]), found.resolved[chosen].mean()
        figures = f"{error.mean():+.2f} | {np.abs(error).mean():.2f} | {np.sqrt((error**2).mean()):.2f}"
        name = f"{low:g} to {high:g}" if high < 99 else f"{low:g} and more"
        print(f"| {name} | {chosen.sum()} | {figures} | {inside.mean():.1%} | {length:.2f} | {resolved:.0%} |")
    sharp = (found.truth >= 1.5) & (found.blur <= 1)
    if sharp.any():
        print(
            f"\nResolved of those with a width of 1.5 px and more and a blur of 1 px and less: "
            f"{found.resolved[sharp].mean():.1%} of {sharp.sum()}",
            flush=True,
        )


def even_width(rng: np.random.Generator, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


# Single profiles


def profiles(n: int, first_seed: int, *, plain: bool) -> list[DrawnProfile]:
    drawn = []
    for number, (low, high) in enumerate(CLASSES_PX):
        for i in range(n):
            rng = np.random.default_rng([first_seed, int(plain), number, i])
            drawn.append(draw_profile(rng, even_width(rng, low, high), plain=plain))
    return drawn


def grid(profile: DrawnProfile) -> tuple[float, float, float, float]:
    found = profile_width(profile.values)
    return found.width_px, found.low_px, found.high_px, float(found.resolved)


def unscaled(profile: DrawnProfile) -> tuple[float, ...]:
    """Estimate and posterior interval, as the calibration needs it."""
    found = profile_widths(profile.values[None], scale=UNSCALED)
    return tuple(float(one[0]) for one in (found.width_px, found.low_px, found.high_px, found.resolved))


def measure_profiles(drawn: Sequence[DrawnProfile], measure: Callable[[DrawnProfile], tuple[float, ...]]) -> Measured:
    return measured([(one.width_px, *measure(one), one.blur_px) for one in drawn])


def half_depth(profile: DrawnProfile) -> tuple[float, ...]:
    """Distance of the places where the profile crosses the middle between concrete and darkest sample."""
    values = profile.values
    m = len(values)
    middle = m // 2 - 4 + int(np.argmin(values[m // 2 - 4 : m // 2 + 5]))
    level = 0.5 * (values[middle] + np.median(np.sort(values)[m // 2 :]))
    ends = []
    for step in (-1, 1):
        i = middle
        while 0 < i < m - 1 and values[i] < level:
            i += step
        rise = values[i] - values[i - step]
        ends.append(abs(i - middle) - (max((values[i] - level) / rise, 0.0) if rise > 0 else 0.0))
    return float(sum(ends)), 0.0, 99.0, 1.0


def missing_light(profile: DrawnProfile) -> tuple[float, ...]:
    """Missing light of the profile over the depth of a crack whose floor has a tenth of the concrete's grey."""
    values = profile.values
    m = len(values)
    concrete = float(np.median(np.sort(values)[m // 2 :]))
    middle = m // 2 - 4 + int(np.argmin(values[m // 2 - 4 : m // 2 + 5]))
    area = 0.0
    for step in (-1, 1):
        i = middle if step > 0 else middle - 1
        while 0 <= i < m and values[i] < 0.98 * concrete:
            area += 1 - values[i] / concrete
            i += step
    return max(area / 0.9, 0.0), 0.0, 99.0, 1.0


def best_box(profile: DrawnProfile) -> tuple[float, ...]:
    """Maximum a posteriori: one box by least squares, with priors on floor and blur, from three starting widths."""
    values = profile.values
    m = len(values)
    x = np.arange(m) - (m - 1) / 2
    concrete = float(np.median(np.sort(values)[m // 2 :]))
    shares = values / concrete
    noise = max(1.4826 * float(np.median(np.abs(np.diff(shares)))) / np.sqrt(2), 0.01)
    begin = x[m // 2 - 4 + int(np.argmin(values[m // 2 - 4 : m // 2 + 5]))]

    def left_over(p: np.ndarray) -> np.ndarray:
        width, blur = np.exp(p[0]), np.exp(p[1])
        box = softened_edge(x - p[2] + width / 2, blur) - softened_edge(x - p[2] - width / 2, blur)
        seen = p[4] + p[5] * x / m - (1 - p[3]) * p[4] * box
        return np.concatenate([(shares - seen) / noise, [(p[3] - 0.1) / 0.1, p[1] / 0.4]])

    fits = [least_squares(left_over, [np.log(w), 0.0, begin, 0.1, 1.0, 0.0], max_nfev=60) for w in (0.5, 2.0, 8.0)]
    return float(np.exp(np.clip(min(fits, key=lambda fit: fit.cost).x[0], -4, 4))), 0.0, 99.0, 1.0


def print_estimators(n: int) -> None:
    drawn = profiles(n, JUDGED, plain=False)
    print(
        "\n| true width, px | n | grid | best box | half depth | missing light |\n| --- | --- | --- | --- | --- | --- |"
    )
    found = [measure_profiles(drawn, one) for one in (grid, best_box, half_depth, missing_light)]
    for low, high in CLASSES_PX:
        chosen = found[0].within(low, high)
        errors = [(one.width - one.truth)[chosen] for one in found]
        cells = " | ".join(f"{np.abs(error).mean():.2f} ({error.mean():+.2f})" for error in errors)
        print(f"| {low:g} to {high:g} | {chosen.sum()} | {cells} |", flush=True)


# Along cracks


@dataclass(frozen=True, eq=False)
class Picture:
    """A drawn picture: grey levels of shape (side, side), float32; the lines of its one crack; and its blur."""

    grey: np.ndarray
    lines: tuple[CrackLine, ...]
    blur_px: float

    @property
    def longest(self) -> CrackLine:
        return max(self.lines, key=lambda line: len(line.path_xy))


def picture(rng: np.random.Generator, width_px: float, *, side_px: int = SIDE_PX, branching: bool = False) -> Picture:
    """Draw a picture with one crack; a crack that is not to be branching has a branch now and then."""
    blur_px, hw = float(rng.uniform(0.6, 1.8)), (side_px, side_px)
    if rng.random() < 0.3:
        concrete = draw_patch(int(rng.integers(10_000)), side_px=side_px, crack=False).pixels.astype(np.float32)
        concrete = np.asarray(cv2.GaussianBlur(concrete, (0, 0), blur_px), np.float32)
    else:
        texture = cv2.GaussianBlur(rng.standard_normal(hw).astype(np.float32), (0, 0), blur_px)
        grey = rng.uniform(90, 200) * (1 + rng.uniform(0.003, 0.05) * texture / texture.std())
        concrete = np.repeat(grey[..., None], 3, axis=2)
    across = np.linspace(-1, 1, side_px)
    light = 1 + rng.uniform(-0.15, 0.15) * across + rng.uniform(-0.15, 0.15) * across[:, None]
    wall = bare(np.clip(concrete * light[..., None], 0, 255).astype(np.uint8), blur_px=blur_px)
    dark = rng.random() < 0.5
    contrast = float(np.clip(rng.normal(0.88, 0.05), 0.7, 0.98) if dark else rng.uniform(0.45, 0.9))
    if rng.random() < 0.5:
        kind = "branching" if branching else "plain"
        drawing = with_crack(wall, rng, kind=kind, widths_px=(width_px, width_px), contrast=contrast)
    else:
        look = CrackLook(contrast, unevenness=float(rng.uniform(0, 0.1)))
        shapes = [new_shape(rng, hw, width_px)]
        if branching and (branch := fork_from(rng, shapes[0], hw)) is not None:
            shapes.append(branch)
        drawing = with_shapes(wall, shapes, look, rng)
    grey = cv2.cvtColor(drawing.pixels, cv2.COLOR_RGB2GRAY) + rng.normal(0, rng.uniform(0, 3), hw)
    quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(70, 96))]
    stored = cv2.imencode(".jpg", np.clip(grey + 0.5, 0, 255).astype(np.uint8), quality)[1]
    seen = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.float32)
    return Picture(seen, drawing.cracks, blur_px)


def inner_part(line: CrackLine) -> slice:
    """Longest stretch of a line that lies inside the picture, without its two ends."""
    inside = np.all((line.path_xy > 10) & (line.path_xy < SIDE_PX - 11), axis=1)
    inside[:6] = inside[-6:] = False
    ends = np.flatnonzero(np.diff(np.concatenate([[0], inside, [0]])))
    runs = list(zip(ends[::2], ends[1::2], strict=True))
    return slice(*max(runs, key=lambda run: run[1] - run[0])) if runs else slice(0, 0)


@dataclass(frozen=True)
class DrawnWidths:
    """What was measured along one drawn crack, and its truth."""

    found: WidthsAlong
    places: np.ndarray
    figures: tuple[float, float, float]
    blur_px: float

    def rows(self, scales: Scales) -> dict[str, list[tuple[float, ...]]]:
        """Truth, estimate, interval, whether resolved, and blur of all places and of the crack's figures."""
        one, whole = self.found, crack_width([self.found], scales=scales)
        sure = ~one.doubtful
        columns = (self.places, one.width_px, one.low_px, one.high_px, one.resolved)
        places = [(*row, self.blur_px) for row in zip(*(column[sure] for column in columns), strict=True)]
        found: dict[str, list[tuple[float, ...]]] = {"place": places}
        for name, truth in zip(FIGURES, self.figures, strict=True):
            figure = getattr(whole, name)
            row = (truth, figure.width_px, figure.low_px, figure.high_px, figure.resolved, self.blur_px)
            found[name] = [row]
        return found


def draw_and_measure(n: int, first_seed: int, scale: IntervalScale) -> list[DrawnWidths]:
    """Measure along drawn cracks, n of each class of widths."""
    found = []
    for number, (low, high) in enumerate(CLASSES_PX):
        for i in range(n):
            rng = np.random.default_rng([first_seed, number, i])
            drawn = picture(rng, even_width(rng, low, high))
            grey, line, blur_px = drawn.grey, drawn.longest, drawn.blur_px
            part = inner_part(line)
            if part.stop - part.start < 40:
                continue
            path_xy, widths_px = line.path_xy[part], line.widths_px[part]
            aside = gaussian_filter1d(rng.standard_normal((len(line.path_xy), 2)), 6, axis=0)[part]
            given = path_xy + 0.4 * aside / aside.std()
            along = widths_along(grey, given, blur_px * np.exp(rng.normal(0, 0.12)), scale=scale)
            at = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(given, axis=0).T))])
            places = (np.arange(len(along.width_px)) + 0.5) * at[-1] / len(along.width_px)
            local = gaussian_filter1d(widths_px, 1.5)  # the mean of about 5 px, as it is measured
            lengths = np.hypot(*np.gradient(path_xy, axis=0).T)
            order = np.argsort(local)
            share = np.cumsum(lengths[order]) / lengths.sum()
            half, most = (float(local[order[np.searchsorted(share, part)]]) for part in (0.5, 0.9))
            slow = max(float(np.median(widths_px[max(j - 10, 0) : j + 11])) for j in range(len(widths_px)))
            found.append(DrawnWidths(along, np.interp(places, at, local), (half, most, slow), blur_px))
    return found


def tables(drawn: Sequence[DrawnWidths], scales: Scales = SCALES) -> dict[str, Measured]:
    rows = [one.rows(scales) for one in drawn]
    return {name: measured([row for one in rows for row in one[name]]) for name in ("place", *FIGURES)}


# Constants


def calibrated(sets: Sequence[Measured], places_px: tuple[float, ...], *, edges: bool) -> IntervalScale:
    """Find factors so that each class of true widths holds 95 %, evenly on both sides, with short intervals."""
    n = len(places_px)

    def scale_of(p: np.ndarray) -> IntervalScale:
        factors = np.exp(p)
        return IntervalScale(
            places_px, tuple(factors[:n]), tuple(factors[n : 2 * n]), tuple(factors[2 * n :]) if edges else (0.0, 0.0)
        )

    def loss(p: np.ndarray) -> float:
        total = 0.7 * float((p[: 2 * n] ** 2).sum())
        total += 4 * float((np.diff(p[:n]) ** 2).sum() + (np.diff(p[n : 2 * n]) ** 2).sum())
        for one, (low_px, high_px) in itertools.product(sets, CLASSES_PX):
            chosen = one.within(low_px, high_px)
            if chosen.sum() < 30:
                continue
            low, high = widened(one.width, np.maximum(one.low, 0.03 * one.width), one.high, scale_of(p))
            truth = one.truth[chosen]
            # Steps are smoothed over half a hundredth of the width, so that small changes count.
            missed = [
                float((1 / (1 + np.exp(np.clip(np.log(one_side) / 0.005, -50, 50)))).mean())
                for one_side in (truth / np.maximum(low[chosen], 1e-3), high[chosen] / truth)
            ]
            held = 1 - sum(missed)
            total += 1e4 * (max(0.0, 0.948 - held) ** 2 + max(0.0, held - 0.96) ** 2)
            total += 3e3 * sum((share - 0.025) ** 2 for share in missed)
            total += float(np.log((high - low)[chosen]).mean())
        return total

    point = np.concatenate([np.zeros(2 * n), np.log([0.4, 0.4])])[: 2 * n + 2 * edges]
    steps, best = np.full(len(point), 0.2), loss(point)
    for _, i in itertools.product(range(14), range(len(point))):
        for sign in (1, -1):
            tried = point.copy()
            tried[i] += sign * steps[i]
            if (value := loss(tried)) < best:
                best, point = value, tried
                break
        else:
            steps[i] *= 0.6
    found = scale_of(point)
    rounded = [tuple(round(float(value), 2) for value in part) for part in (found.below, found.above, found.edges_px)]
    return IntervalScale(places_px, *rounded)  # type: ignore[arg-type]


def calibrate_profiles(n: int) -> None:
    sets = [measure_profiles(profiles(n, FOUND, plain=plain), unscaled) for plain in (False, True)]
    print("SINGLE_PROFILES =", calibrated(sets, PLACES_PX, edges=True))


def calibrate_cracks(n: int) -> None:
    drawn = draw_and_measure(n, FOUND, UNSCALED)
    scale = calibrated([tables(drawn)["place"]], PLACES_PX, edges=True)
    print("ALONG_CRACKS =", scale)
    scaled = []
    for one in drawn:
        low, high = widened(one.found.width_px, np.maximum(one.found.low_px, 0.03), one.found.high_px, scale)
        low = np.where(one.found.doubtful, 0.0, low)
        scaled.append(replace(one, found=replace(one.found, low_px=low, high_px=high)))
    for name, found in tables(scaled, (UNSCALED, UNSCALED, UNSCALED)).items():
        if name != "place":
            print(name, "=", calibrated([found], PLACES_PX, edges=True), flush=True)


# Flags, blur and speed


def print_flags(n: int) -> None:
    print("\n| drawn | n | lit | spalled | wet | filled |\n| --- | --- | --- | --- | --- | --- |")
    even = CrackLook(0.8)
    looks = {"even": even, "one wall lit": replace(even, lit_wall=0.5), "rims": replace(even, rim=0.25)}
    for kind in (*looks, "plain", "spalled", "wet", "filled"):
        rows = []
        for i in range(n):
            rng = np.random.default_rng([JUDGED, i])
            blur_px, width_px = float(rng.uniform(0.6, 1.4)), even_width(rng, 4 if kind == "one wall lit" else 1, 14)
            texture = cv2.GaussianBlur(rng.standard_normal((SIDE_PX, SIDE_PX)), (0, 0), blur_px)
            grey = rng.uniform(100, 200) * (1 + rng.uniform(0.005, 0.04) * texture / texture.std())
            wall = bare(np.clip(grey, 0, 255).astype(np.uint8)[..., None].repeat(3, axis=2), blur_px=blur_px)
            if kind in looks:
                look = replace(looks[kind], light=float(rng.uniform(0, 2 * np.pi)))
                drawing = with_shapes(wall, [new_shape(rng, (SIDE_PX, SIDE_PX), width_px)], look, rng)
            else:
                drawing = with_crack(wall, rng, kind=kind, widths_px=(width_px, width_px))
            line = max(drawing.cracks, key=lambda line: len(line.path_xy))
            part = inner_part(line)
            if part.stop - part.start < 40:
                continue
            seen = np.asarray(cv2.cvtColor(drawing.pixels, cv2.COLOR_RGB2GRAY), np.float32)
            found = widths_along(seen, line.path_xy[part], blur_px)
            rows.append([one.mean() for one in (found.lit, found.spalled, found.wet, found.filled)])
        print(
            f"| {kind} | {len(rows)} | " + " | ".join(f"{share:.0%}" for share in np.mean(rows, axis=0)) + " |",
            flush=True,
        )


def print_blur(n: int) -> None:
    rows = []
    for i in range(n):
        rng = np.random.default_rng([JUDGED, i])
        blur_px = even_width(rng, 0.5, 3.0)
        wall = draw_patch(int(rng.integers(10_000)), side_px=512, crack=False).pixels
        drawing = bare(np.asarray(cv2.GaussianBlur(wall, (0, 0), blur_px), np.uint8), blur_px=blur_px)
        for _ in range(3):
            drawing = with_crack(drawing, rng, kind="plain", widths_px=(2, 16))
        grey = cv2.cvtColor(drawing.pixels, cv2.COLOR_RGB2GRAY) + rng.normal(0, rng.uniform(0, 3), (512, 512))
        quality = [int(cv2.IMWRITE_JPEG_QUALITY), int(rng.integers(70, 96))]
        stored = cv2.imencode(".jpg", np.clip(grey, 0, 255).astype(np.uint8), quality)[1]
        seen = np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.float32)
        large = np.asarray(cv2.resize(seen, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.float32)
        one, enlarged = photo_blur(seen), photo_blur(large)
        rows.append((blur_px, one.blur_px, enlarged.blur_px, enlarged.soft))
    truth, found, enlarged, soft = np.array(rows).T
    print("\n| true blur, px | n | measured ÷ true, median | 10th to 90th percentile | enlarged fourfold ÷ 4 × true |")
    print("| --- | --- | --- | --- | --- |")
    for low, high in ((0.5, 0.8), (0.8, 1.2), (1.2, 2.0), (2.0, 3.0)):
        chosen = (truth >= low) & (truth < high)
        ratio, large = (found / truth)[chosen], (enlarged / truth)[chosen] / 4
        ends = f"{np.percentile(ratio, 10):.2f} to {np.percentile(ratio, 90):.2f}"
        print(f"| {low:g} to {high:g} | {chosen.sum()} | {np.median(ratio):.2f} | {ends} | {np.median(large):.2f} |")
    print(f"\nEnlarged photos told as soft: {int(soft.sum())} of {len(soft)}", flush=True)


def print_speed() -> None:
    rng = np.random.default_rng(5)
    drawn = picture(rng, 1.5)
    photo, blur_px = np.tile(drawn.grey, (16, 16)), drawn.blur_px
    path = drawn.longest.path_xy[inner_part(drawn.longest)]
    paths = [path + SIDE_PX * np.array([i % 16, i // 16]) for i in range(100)]
    length = sum(float(np.hypot(*np.diff(one, axis=0).T).sum()) for one in paths)
    widths_along(photo, path, blur_px)
    begin = time.process_time()
    crack_width([widths_along(photo, one, blur_px) for one in paths])
    spent = 1000 * (time.process_time() - begin)
    print(f"\nLines of {length / 100:.0f} px, {length:.0f} px in all: {10 * spent / length:.2f} ms per 10 px")
    begin = time.process_time()
    photo_blur(photo)
    print(f"Blur of a photo of {photo.size / 1e6:.0f} megapixels: {1000 * (time.process_time() - begin):.0f} ms")
    values = [one.values for one in profiles(40, JUDGED, plain=False)]
    begin = time.process_time()
    for one in values:
        profile_width(one)
    print(
        f"profile_width, one by one: {1000 * (time.process_time() - begin) / len(values):.1f} ms a profile", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", help="parts to run; all if left out")
    parser.add_argument("--n", type=int, default=1000, help="profiles a class; a third as many cracks")
    parser.add_argument("--calibrate", action="store_true")
    given = parser.parse_args()
    what = given.what or ["profiles", "estimators", "cracks", "flags", "blur", "speed"]
    cv2.setNumThreads(1)
    with threadpool_limits(1):
        if given.calibrate:
            for name, calibrate, n in (
                ("profiles", calibrate_profiles, given.n),
                ("cracks", calibrate_cracks, given.n // 3),
            ):
                if name in what:
                    calibrate(n)
            return
        if "profiles" in what:
            for plain in (False, True):
                title = "Profiles of box, blur, slope and noise alone" if plain else "Profiles of all looks"
                print_table(title, measure_profiles(profiles(given.n, JUDGED, plain=plain), grid))
        if "estimators" in what:
            print_estimators(given.n // 5)
        if "cracks" in what:
            for name, found in tables(draw_and_measure(given.n // 3, JUDGED, ALONG_CRACKS)).items():
                print_table(f"Along cracks: {name}", found)
        if "flags" in what:
            print_flags(max(given.n // 20, 20))
        if "blur" in what:
            print_blur(max(given.n // 12, 20))
        if "speed" in what:
            print_speed()


if __name__ == "__main__":
    main()
