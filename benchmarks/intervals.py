"""Simulate patches of photos with known true figures, and count how often 95 % intervals hold them.

    python benchmarks/intervals.py [--samples 2000] [--seed 0] [--processes 2]

A sample has 4 to 200 photos. Each photo has 20, 100 or 300 patches, or a number of its own between 20 and 300, drawn
evenly on a logarithmic scale ("mixed"). The true share of right answers is .5 to .999. The rate of each photo is drawn
from a beta distribution about the true share, with an intraclass correlation (ICC) of 0, .05 or .2. The same seed gives
the same numbers.

The first two tables take every setting. They count how often the interval of the share holds the true one, and give its
mean length. For comparison they do so for the old method, a percentile bootstrap over photos with Clopper and Pearson's
bound where all resamples agree. Settings are grouped by how many photos are expected to hold an error.

The third table shows intervals of one result after another: without an error, with one, with two, and so on.

The fourth table takes scores with a normal distribution that is shifted in each photo, on photos whose share of cracked
patches differs, and counts how often the intervals of the other figures hold the true ones. The old method is a
percentile bootstrap for all of them.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.special import betaln, expit
from scipy.stats import norm

from crackscope.measuring.clustered_shares import believe
from crackscope.measuring.estimates import TAIL
from crackscope.measuring.metrics import _Sample, mcc, measure

N_RESAMPLES = 1000
N_COMPARED = 200  # samples of each setting on which lengths are measured and the old method is tried
PHOTOS = (4, 6, 8, 12, 20, 50, 200)
SIZES = ("20", "100", "300", "mixed")
SHARES = (0.5, 0.8, 0.95, 0.99, 0.999)
ICCS = (0.0, 0.05, 0.2)
GROUPS = ((0, 1), (1, 5), (5, 20), (20, np.inf))
FIGURES = ("balanced_accuracy", "mcc", "f1_crack", "precision_crack", "auroc", "average_precision", "brier")
RANKED_PHOTOS = (6, 10, 20, 60)
SEPARATIONS = (1.5, 3.0, 4.5)  # between the mean scores of both labels, in standard deviations
SHIFTS = (0.0, 0.1, 0.3)  # share of the variance of a score that lies between photos
CRACK_SHARE = 0.3


@dataclass(frozen=True)
class Setting:
    """True properties of a sample."""

    n_photos: int
    sizes: str
    share: float
    icc: float

    def draw(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw hits and counts of n samples, both of shape (n, n_photos)."""
        counts = patches(rng, self.sizes, (n, self.n_photos))
        rates: float | np.ndarray = self.share
        if self.icc:
            size = 1 / self.icc - 1
            rates = rng.beta(self.share * size, (1 - self.share) * size, counts.shape)
        return rng.binomial(counts, rates), counts

    def expected(self) -> float:
        """Number of photos that are expected to hold an error."""
        counts = patches(np.random.default_rng(0), self.sizes, (2000,))
        if not self.icc:
            return float(self.n_photos * np.mean(1 - self.share**counts))
        a, b = self.share * (1 / self.icc - 1), (1 - self.share) * (1 / self.icc - 1)
        return float(self.n_photos * np.mean(1 - np.exp(betaln(a + counts, b) - betaln(a, b))))


def patches(rng: np.random.Generator, sizes: str, shape: tuple[int, ...]) -> np.ndarray:
    if sizes == "mixed":
        return np.asarray(np.exp(rng.uniform(np.log(20), np.log(300), shape)).round().astype(np.int64))
    return np.full(shape, int(sizes))


@dataclass(frozen=True)
class Row:
    """What came out for a setting: coverage, and on fewer samples lengths and the coverage of the old method."""

    setting: Setting
    expected: float
    coverage: float
    length: float
    old_coverage: float
    old_length: float


def simulate(setting: Setting, n: int, seed: int) -> Row:
    place = (setting.n_photos, SIZES.index(setting.sizes), round(1000 * setting.share), round(100 * setting.icc))
    rng = np.random.default_rng([seed, *place])
    hits, counts = setting.draw(rng, n)
    covered = holds(hits, counts, setting.share)
    few = min(n, N_COMPARED)
    low, high = ours(hits[:few], counts[:few])
    old_low, old_high = bootstrap(hits[:few], counts[:few], rng)
    return Row(
        setting,
        setting.expected(),
        float(np.mean(covered)),
        float(np.mean(high - low)),
        float(np.mean((old_low <= setting.share) & (setting.share <= old_high))),
        float(np.mean(old_high - old_low)),
    )


def holds(hits: np.ndarray, counts: np.ndarray, truth: float) -> np.ndarray:
    """Whether the interval of each sample holds the truth, without finding its ends."""
    belief = believe(hits, counts)
    below, share = belief.below(truth), belief.share
    above_low = (below >= TAIL) | (truth >= share) | (share == 0)
    return np.asarray(above_low & ((below <= 1 - TAIL) | (truth <= share) | (share == 1)))


def ours(hits: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    belief = believe(hits, counts)
    low, high = belief.quantile(TAIL), belief.quantile(1 - TAIL)
    low, high = np.minimum(low, belief.share), np.maximum(high, belief.share)
    return np.where(belief.share == 0, 0, low), np.where(belief.share == 1, 1, high)


def bootstrap(hits: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The old method: percentiles of resampled photos; where all agree on 0 or 1, Clopper and Pearson's bound."""
    n_photos = hits.shape[1]
    ends = []
    for k, m in zip(hits, counts, strict=True):
        weights = rng.multinomial(n_photos, np.full(n_photos, 1 / n_photos), N_RESAMPLES)
        low, high = np.quantile((weights @ k) / (weights @ m), [TAIL, 1 - TAIL])
        if high - low < 1e-9 and low in (0.0, 1.0):
            bound = TAIL ** (1 / n_photos)
            low, high = (bound, 1.0) if low == 1.0 else (0.0, 1 - bound)
        ends.append((low, high))
    low, high = np.array(ends).T
    return low, high


# Other figures


@dataclass(frozen=True)
class RankedSetting:
    """True properties of a sample with scores."""

    n_photos: int
    separation: float
    shift: float

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, list[str]]:
        counts = patches(rng, "mixed", (self.n_photos,))
        photos = np.repeat(np.arange(self.n_photos), counts)
        crack = rng.beta(2 * CRACK_SHARE, 2 * (1 - CRACK_SHARE), self.n_photos)
        labels = (rng.random(len(photos)) < crack[photos]).astype(np.int64)
        shifts = rng.normal(0, np.sqrt(self.shift), (2, self.n_photos))
        scores = self.separation * labels + shifts[labels, photos]
        scores += rng.normal(0, np.sqrt(1 - self.shift), len(photos))
        return labels, expit(scores - self.separation / 2), [f"{photo:04d}" for photo in photos]

    def truth(self) -> dict[str, float]:
        rng = np.random.default_rng(0)
        n = 400_000
        labels = (np.arange(n) < CRACK_SHARE * n).astype(np.int64)
        probabilities = expit(self.separation * (labels - 0.5) + rng.normal(size=n))
        found = measure(labels, probabilities, threshold=0.5, n_resamples=0)
        recall = norm.cdf(self.separation / 2)
        of_crack, of_other = CRACK_SHARE, 1 - CRACK_SHARE
        cells = (of_crack * recall, of_other * (1 - recall), of_other * recall, of_crack * (1 - recall))
        return {
            **{name: found[name].value for name in ("average_precision", "brier")},
            "balanced_accuracy": recall,
            "auroc": float(norm.cdf(self.separation / np.sqrt(2))),
            "mcc": float(mcc(*(np.array([cell]) for cell in cells))[0]),
            "f1_crack": 2 * cells[0] / (2 * cells[0] + cells[1] + cells[3]),
            "precision_crack": cells[0] / (cells[0] + cells[1]),
        }


def simulate_ranked(setting: RankedSetting, n: int, seed: int) -> dict[str, np.ndarray]:
    """For each figure (n, 4): whether our interval holds the truth, its length, and both of the old method."""
    rng = np.random.default_rng([seed, setting.n_photos, int(10 * setting.separation), int(10 * setting.shift)])
    truth = setting.truth()
    rows: dict[str, list[tuple[float, ...]]] = {name: [] for name in FIGURES}
    for _ in range(n):
        labels, probabilities, photos = setting.draw(rng)
        figures = measure(labels, probabilities, threshold=0.5, photos=photos, n_resamples=200)
        sample = _Sample.of(labels, probabilities, threshold=0.5, photos=photos)
        drawn = [sample.figures(block) for block in sample.resamples(200, seed=0)]
        for name in FIGURES:
            one = figures[name]
            low, high = np.nanquantile(np.concatenate([block[name] for block in drawn]), [TAIL, 1 - TAIL])
            if np.isfinite(one.low):
                held, old_held = one.low <= truth[name] <= one.high, low <= truth[name] <= high
                rows[name].append((held, one.high - one.low, old_held, high - low))
    return {name: np.array(found, np.float64).reshape(-1, 4) for name, found in rows.items()}


# What is printed


def print_groups(rows: list[Row]) -> None:
    titles = ("settings", "coverage: least", "mean", "greatest", "length", "old: least", "mean", "length to old")
    print("| photos expected to hold an error | " + " | ".join(titles) + " |")
    print("| --- " * 9 + "|")
    for low, high in GROUPS:
        mine = [row for row in rows if low <= row.expected < high]
        name = f"{low} to {high:g}" if high < np.inf else f"{low} or more"
        covered, old = [row.coverage for row in mine], [row.old_coverage for row in mine]
        length = np.mean([row.length for row in mine])
        ratio = np.exp(np.mean([np.log(row.length / row.old_length) for row in mine]))
        print(
            f"| {name} | {len(mine)} | {min(covered):.3f} | {np.mean(covered):.3f} | {max(covered):.3f} | {length:.3f} "
            f"| {min(old):.3f} | {np.mean(old):.3f} | {ratio:.2f} |"
        )


def print_settings(rows: list[Row]) -> None:
    """Coverage and mean length by number of photos and share; the least and greatest over sizes and ICCs."""
    print("| photos | " + " | ".join(f"share {share:g}" for share in SHARES) + " |")
    print("| --- " * (1 + len(SHARES)) + "|")
    for n_photos in PHOTOS:
        cells = []
        for share in SHARES:
            mine = [row for row in rows if (row.setting.n_photos, row.setting.share) == (n_photos, share)]
            low, high = min(row.coverage for row in mine), max(row.coverage for row in mine)
            cells.append(f"{low:.3f}–{high:.3f} ({np.mean([row.length for row in mine]):.3f})")
        print(f"| {n_photos} | " + " | ".join(cells) + " |")


def print_steps() -> None:
    numbers = (0, 1, 2, 3, 5, 8)
    rng = np.random.default_rng(0)
    print("| photos of 100 patches | method | " + " | ".join(f"{n} errors" for n in numbers) + " |")
    print("| --- " * (2 + len(numbers)) + "|")
    for n_photos in (4, 10, 40):
        hits = np.full((len(numbers), n_photos), 100)
        for row, n in zip(hits, numbers, strict=True):
            row -= np.bincount(np.arange(n) % n_photos, minlength=n_photos)
        counts = np.full(hits.shape, 100)
        for name, (low, high) in {"ours": ours(hits, counts), "old": bootstrap(hits, counts, rng)}.items():
            cells = (f"{a:.3f}–{b:.4f}" for a, b in zip(low, high, strict=True))
            print(f"| {n_photos} | {name} | " + " | ".join(cells) + " |")


def print_ranked(found: list[tuple[RankedSetting, dict[str, np.ndarray]]]) -> None:
    print("| figure | " + " | ".join(f"{n} photos | old" for n in RANKED_PHOTOS) + " | length to old |")
    print("| --- " * (2 + 2 * len(RANKED_PHOTOS)) + "|")
    for name in FIGURES:
        cells = []
        for n_photos in RANKED_PHOTOS:
            mine = np.concatenate([rows[name] for setting, rows in found if setting.n_photos == n_photos])
            cells += [f"{mine[:, 0].mean():.3f}", f"{mine[:, 2].mean():.3f}"]
        every = np.concatenate([rows[name] for _, rows in found])
        print(f"| {name} | " + " | ".join(cells) + f" | {every[:, 1].mean() / every[:, 3].mean():.2f} |")


def settings() -> Iterator[Setting]:
    for n_photos, sizes, share, icc in itertools.product(PHOTOS, SIZES, SHARES, ICCS):
        yield Setting(n_photos, sizes, share, icc)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    every = list(settings())
    ranked = [RankedSetting(*one) for one in itertools.product(RANKED_PHOTOS, SEPARATIONS, SHIFTS)]
    n_ranked = max(1, given.samples // 40)
    with ProcessPoolExecutor(given.processes) as pool:
        again = itertools.repeat
        rows = list(pool.map(simulate, every, again(given.samples), again(given.seed), chunksize=8))
        others = list(pool.map(simulate_ranked, ranked, again(n_ranked), again(given.seed)))
    print(
        f"shares: {len(every)} settings of {given.samples} samples each; lengths and the old method on {N_COMPARED}\n"
    )
    print_groups(rows)
    print("\ncoverage over all sizes and ICCs, least to greatest, and mean length in brackets\n")
    print_settings(rows)
    print("\nintervals of one result after another, errors in different photos\n")
    print_steps()
    print(f"\nother figures: coverage over {len(SEPARATIONS) * len(SHIFTS)} settings of {n_ranked} samples each\n")
    print_ranked(list(zip(ranked, others, strict=True)))


if __name__ == "__main__":
    main()
