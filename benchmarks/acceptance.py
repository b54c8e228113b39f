"""Simulate sites with known true rates, and check intervals, decisions and advice of the acceptance test.

    python benchmarks/acceptance.py [--sites 500] [--seed 0] [--measured PREDICTIONS.csv --data DATA]

A site has 8 to 60 photos with 5 to 60 patches each. Of its patches, 10 to 60 % are cracked; the share differs from
photo to photo. Its recall is 0.7 to 0.97, and its false alarm rate is 0.01 to 0.2, drawn evenly on a logarithmic scale.
The rates of each photo are drawn from beta distributions about the rates of the site. Each has its own intraclass
correlation (ICC) of 0 to 0.3. The true rate is the share over all patches of all photos that the site could give.

The program prints, each with the 95 % interval (Wilson) that follows from the number of simulated sites:

- the coverage of the 95 % intervals of recall and false alarm rate: over the whole mix, with one property fixed, and
  with photos that break the assumptions of the method. For comparison, it prints the coverage of a bootstrap over
  photos, and of Clopper and Pearson's interval, which takes patches to be independent;
- how often the decision is go or no-go, and how often it is wrong, at requirements of 0.9 and 0.1. This is also printed
  for true rates on the wrong side of the requirement by 0.001, and for a second test after labelling as advised;
- how often the advised number of further photos led to the predicted decision.

With --measured, it simulates nothing, and prints the ICC of recall and false alarm rate in predictions that `crackscope
evaluate` wrote: by photo, and by scene where DATA's scenes are known.

Coverage is a share of all sites. Wrong decisions are a share of the sites where the decision would be wrong. The same
seed gives the same numbers.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import beta

from crackscope.acceptance.decision import decide, n_more_to_know
from crackscope.data.groups import place_of
from crackscope.data.patches import read_patches
from crackscope.measuring.clustered_shares import Share, believe
from crackscope.measuring.estimates import TAIL, Estimate

MIN_RECALL, MAX_FALSE_ALARMS = 0.9, 0.1
BESIDE = 0.001
MOST_MORE = 500
N_RESAMPLES = 1000
Counts = tuple[np.ndarray, np.ndarray]  # for each photo: number of patches called crack, and number of patches
Sample = tuple[Counts, Counts]  # counts of the cracked patches, and of the uncracked patches
Intervals = tuple[np.ndarray, np.ndarray]
DESIGNS: dict[str, dict[str, object]] = {
    "8 photos": {"n_photos": 8},
    "20 photos": {"n_photos": 20},
    "60 photos": {"n_photos": 60},
    "ICC 0": {"icc_recall": 0.0, "icc_false_alarms": 0.0},
    "ICC .1": {"icc_recall": 0.1, "icc_false_alarms": 0.1},
    "ICC .2": {"icc_recall": 0.2, "icc_false_alarms": 0.2},
    "ICC .3": {"icc_recall": 0.3, "icc_false_alarms": 0.3},
    "recall .7, false alarms .2": {"recall": 0.7, "false_alarms": 0.2},
    "recall .9, false alarms .1": {"recall": 0.9, "false_alarms": 0.1},
    "recall .97, false alarms .01": {"recall": 0.97, "false_alarms": 0.01},
    "outside the mix: ICC .5": {"icc_recall": 0.5, "icc_false_alarms": 0.5},
    "outside: rates of photos are logit-normal": {"shape": "logit-normal"},
    "outside: one photo of five is hard": {"shape": "two kinds"},
    "outside: photos with more patches are easier": {"shape": "size"},
}
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(61)


@dataclass(frozen=True)
class Site:
    """True properties of a site."""

    n_photos: int
    patches: tuple[int, int]  # least and greatest number of patches in a photo
    cracked: float
    recall: float
    false_alarms: float
    icc_recall: float
    icc_false_alarms: float
    shape: str = "beta"

    def photos(self, rng: np.random.Generator, n: int) -> Sample:
        """Draw the numbers of cracked and uncracked patches of some photos."""
        total, n_crack = self._patches(rng, n)
        rates = self._rates(rng, total, self.recall, self.icc_recall)
        wrong = self._rates(rng, total, self.false_alarms, self.icc_false_alarms)
        n_uncracked = total - n_crack
        return (rng.binomial(n_crack, rates), n_crack), (rng.binomial(n_uncracked, wrong), n_uncracked)

    def truth(self) -> tuple[float, float]:
        """Recall and false alarm rate over all photos."""
        if self.shape != "size":
            return self.recall, self.false_alarms
        total, n_crack = self._patches(np.random.default_rng(0), 20_000)
        recalls, alarms = self._means(total, self.recall), self._means(total, self.false_alarms)
        return float(np.average(recalls, weights=n_crack)), float(np.average(alarms, weights=total - n_crack))

    def _patches(self, rng: np.random.Generator, n: int) -> Counts:
        total = rng.integers(self.patches[0], self.patches[1] + 1, n)
        return total, rng.binomial(total, beta_rates(rng, self.cracked, 0.2, n))

    def _means(self, total: np.ndarray, rate: float) -> np.ndarray:
        """Errors are rarer in photos with more patches."""
        middle = np.sqrt(self.patches[0] * self.patches[1])
        return np.asarray(expit(logit(rate) + (0.7 if rate > 0.5 else -0.7) * np.log(total / middle)))

    def _rates(self, rng: np.random.Generator, total: np.ndarray, rate: float, icc: float) -> np.ndarray:
        if self.shape == "logit-normal":
            return logit_normal_rates(rng, rate, icc, len(total))
        if self.shape == "two kinds":
            return two_kinds_of_rates(rng, rate, icc, len(total))
        return beta_rates(rng, self._means(total, rate) if self.shape == "size" else rate, icc, len(total))


def beta_rates(rng: np.random.Generator, mean: float | np.ndarray, icc: float, n: int) -> np.ndarray:
    if icc < 1e-9 or np.isin(mean, (0, 1)).all():  # measured rates may be 0 or 1
        return np.full(n, 1.0) * mean
    size = 1 / icc - 1
    return rng.beta(mean * size, (1 - mean) * size, n)


def logit_normal_rates(rng: np.random.Generator, mean: float, icc: float, n: int) -> np.ndarray:
    """Draw the rates of n photos with a given mean and ICC; their logits have a normal distribution."""
    weights = WEIGHTS / WEIGHTS.sum()

    def centre(deviation: float) -> float:
        return float(brentq(lambda at: weights @ expit(at + deviation * NODES) - mean, -60, 60))

    def excess(deviation: float) -> float:
        variance = weights @ expit(centre(deviation) + deviation * NODES) ** 2 - mean**2
        return float(variance / (mean * (1 - mean)) - icc)

    deviation = brentq(excess, 1e-6, 15) if icc > 1e-6 else 0.0
    return np.asarray(expit(centre(deviation) + deviation * rng.normal(size=n)))


def two_kinds_of_rates(rng: np.random.Generator, mean: float, icc: float, n: int) -> np.ndarray:
    """Draw the rates of n photos, one in five of them hard, as far off as the ICC asks for and the scale allows."""
    hard, sign = 0.2, -1 if mean > 0.5 else 1
    room = mean if sign < 0 else 1 - mean
    other = (1 - mean) if sign < 0 else mean
    gap = min(np.sqrt(icc * mean * (1 - mean) / (hard * (1 - hard))), room / (1 - hard), other / hard)
    rates = np.where(rng.random(n) < hard, mean + sign * (1 - hard) * gap, mean - sign * hard * gap)
    return np.asarray(np.clip(rates, 0, 1))  # rounding may leave [0, 1]


def draw_sites(rng: np.random.Generator, n: int, **fixed: object) -> list[Site]:
    sites = []
    for _ in range(n):
        low, high = sorted(rng.integers(5, 61, 2).tolist())
        site = Site(
            n_photos=int(rng.integers(8, 61)),
            patches=(low, high),
            cracked=rng.uniform(0.1, 0.6),
            recall=rng.uniform(0.7, 0.97),
            false_alarms=float(np.exp(rng.uniform(np.log(0.01), np.log(0.2)))),
            icc_recall=rng.uniform(0, 0.3),
            icc_false_alarms=rng.uniform(0, 0.3),
        )
        sites.append(replace(site, **fixed))  # type: ignore[arg-type]
    return sites


def samples_of(sites: Sequence[Site], rng: np.random.Generator) -> list[Sample]:
    """Draw a sample of each site. The test refuses a sample with only one label, so such a sample is drawn again."""
    found = []
    for site in sites:
        sample = site.photos(rng, site.n_photos)
        while not all(counts.sum() for _, counts in sample):
            sample = site.photos(rng, site.n_photos)
        found.append(sample)
    return found


# Intervals of many samples at once, (n,) lower and (n,) upper ends


def ours(samples: Sequence[Counts]) -> Intervals:
    widest = max(len(counts) for _, counts in samples)
    hits, counts = (np.stack([np.pad(sample[i], (0, widest - len(sample[i]))) for sample in samples]) for i in (0, 1))
    belief = believe(hits, counts)
    low, high = belief.quantile(TAIL), belief.quantile(1 - TAIL)
    low, high = np.minimum(low, belief.share), np.maximum(high, belief.share)
    return np.where(belief.share == 0, 0, low), np.where(belief.share == 1, 1, high)


def bootstrap(samples: Sequence[Counts]) -> Intervals:
    rng = np.random.default_rng(0)
    ends = []
    for hits, counts in samples:
        drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), N_RESAMPLES)
        n = drawn @ counts
        ends.append(np.quantile((drawn @ hits)[n > 0] / n[n > 0], [TAIL, 1 - TAIL]))
    low, high = np.array(ends).T
    return low, high


def independent(samples: Sequence[Counts]) -> Intervals:
    k, n = (np.array([sample[i].sum() for sample in samples]) for i in (0, 1))
    low, high = beta.ppf(TAIL, k, n - k + 1), beta.ppf(1 - TAIL, k + 1, n - k)
    return np.where(k == 0, 0, low), np.where(k == n, 1, high)


METHODS: dict[str, Callable[[Sequence[Counts]], Intervals]] = {
    "ours": ours,
    "bootstrap": bootstrap,
    "independent": independent,
}


def decisions(samples: Sequence[Sample], requirements: Sequence[tuple[float, float]]) -> np.ndarray:
    ends = [ours([sample[i] for sample in samples]) for i in (0, 1)]
    found = []
    for i, (min_recall, max_false_alarms) in enumerate(requirements):
        recall, alarms = (Share(0, 1, 1, Estimate(np.nan, low[i], high[i]), 0.0, 1.0) for low, high in ends)
        found.append(decide(recall, alarms, min_recall=min_recall, max_false_alarms=max_false_alarms))
    return np.array(found, dtype="<U9")


def advised(sample: Sample, limit: tuple[float, float]) -> tuple[str, int | None]:
    return n_more_to_know(*sample, min_recall=limit[0], max_false_alarms=limit[1], most=MOST_MORE)


def labelled_more(site: Site, sample: Sample, n: int, rng: np.random.Generator) -> Sample:
    (found, n_crack), (alarms, n_uncracked) = sample
    (more_found, more_crack), (more_alarms, more_uncracked) = site.photos(rng, n)
    return (
        (np.concatenate([found, more_found]), np.concatenate([n_crack, more_crack])),
        (np.concatenate([alarms, more_alarms]), np.concatenate([n_uncracked, more_uncracked])),
    )


def as_measured(sample: Sample, site: Site) -> Site:
    """Make a site whose rates and correlations are those of the sample."""
    (found, n_crack), (alarms, n_uncracked) = sample
    return replace(
        site,
        recall=found.sum() / n_crack.sum(),
        false_alarms=alarms.sum() / n_uncracked.sum(),
        icc_recall=float(believe(found[None], n_crack[None]).icc[0]),
        icc_false_alarms=float(believe(alarms[None], n_uncracked[None]).icc[0]),
    )


# What is printed


def share_text(yes: Sequence[bool] | np.ndarray) -> str:
    """Write a share of simulated sites with the interval of Wilson (1927)."""
    n, k, z = len(yes), int(np.sum(yes)), 1.959964
    if not n:
        return "none"
    middle, reach = (k + z**2 / 2) / (n + z**2), z / (n + z**2) * np.sqrt(k * (n - k) / n + z**2 / 4)
    return f"{k / n:.3f} [{max(0.0, middle - reach):.3f}, {min(1.0, middle + reach):.3f}]"


def coverage_row(name: str, sites: Sequence[Site], rng: np.random.Generator, methods: Sequence[str]) -> None:
    samples, truths = samples_of(sites, rng), np.array([site.truth() for site in sites])
    cells = []
    for method in methods:
        for i, truth in enumerate(truths.T):
            low, high = METHODS[method]([sample[i] for sample in samples])
            cells.append(share_text((low <= truth) & (truth <= high)))
    cells += [""] * (2 * (len(METHODS) - len(methods)))
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def print_measured(predictions: Path, data: str) -> None:
    """Print how alike the answers of a model are within photos and scenes of real patches."""
    rows = {row["path"]: row for row in csv.DictReader(predictions.read_text(encoding="utf-8").splitlines())}
    patches = [patch for patch in read_patches(data).patches if patch.path in rows]
    print("| patches | groups | n patches | n groups | share called crack | ICC |")
    print("| --- | --- | --- | --- | --- | --- |")
    for label in ("crack", "uncracked"):
        mine = [patch for patch in patches if patch.label == label]
        called = np.array([rows[patch.path]["label"] == "crack" for patch in mine])
        for kind, names in (("photo", [patch.photo for patch in mine]), ("scene", [place_of(patch) for patch in mine])):
            numbers = np.unique([str(name) for name in names], return_inverse=True)[1]
            hits, counts = np.bincount(numbers, called).astype(np.int64), np.bincount(numbers)
            icc = float(believe(hits[None], counts[None]).icc[0])
            print(f"| {label} | {kind} | {len(mine):,} | {len(counts)} | {called.mean():.3f} | {icc:.3f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--measured", type=Path, help="predictions.csv of an evaluation")
    parser.add_argument("--data", help="the patches that were judged")
    given = parser.parse_args()
    if given.measured:
        print_measured(given.measured, given.data)
        return
    n, rng = given.sites, np.random.default_rng(given.seed)

    print(f"coverage of 95 % intervals over {n} sites\n")
    print("| sites | " + " | ".join(f"{name}, {of}" for name in METHODS for of in ("recall", "false alarms")) + " |")
    print("| --- " * (1 + 2 * len(METHODS)) + "|")
    coverage_row("**the mix**", draw_sites(rng, n), rng, list(METHODS))
    coverage_row("the mix, ten times as many sites", draw_sites(rng, 10 * n), rng, ["ours"])
    for name, fixed in DESIGNS.items():
        coverage_row(name, draw_sites(rng, n, **fixed), rng, list(METHODS))
    sites = draw_sites(rng, n)
    samples = samples_of(sites, rng)
    print_decisions(sites, samples, rng)
    print_advice(sites, samples, rng)


def print_decisions(sites: Sequence[Site], samples: Sequence[Sample], rng: np.random.Generator) -> None:
    said = decisions(samples, [(MIN_RECALL, MAX_FALSE_ALARMS)] * len(sites))
    good = np.array([one.recall >= MIN_RECALL and one.false_alarms <= MAX_FALSE_ALARMS for one in sites])
    print(f"\nrequired {MIN_RECALL:g} and {MAX_FALSE_ALARMS:g}: {good.sum()} sites meet both, {(~good).sum()} do not")
    for word in ("go", "no-go", "undecided"):
        print(f"  {word}: {(said[good] == word).sum()} of those that do, {(said[~good] == word).sum()} of the others")
    print(f"  wrong go:    {share_text(said[~good] == 'go')}")
    print(f"  wrong no-go: {share_text(said[good] == 'no-go')}")
    hard = {
        "recall fails by .001, false alarms are far from it": [(one.recall + BESIDE, 0.9) for one in sites],
        "false alarms fail by .001, recall is far from it": [(0.1, one.false_alarms - BESIDE) for one in sites],
        "both fail by .001": [(one.recall + BESIDE, one.false_alarms - BESIDE) for one in sites],
    }
    print("the same sites, required what the true rates just miss: wrong go")
    for name, limits in hard.items():
        print(f"  {name}: {share_text(decisions(samples, limits) == 'go')}")
    limits = [(one.recall - BESIDE, one.false_alarms + BESIDE) for one in sites]
    print("the same sites, required what the true rates just meet: wrong no-go")
    print(f"  both met by .001: {share_text(decisions(samples, limits) == 'no-go')}")
    # Half of the sites for each requirement, since the search of every site takes its time.
    limits = [(one.recall + BESIDE, 0.9) if i % 2 else (0.1, one.false_alarms - BESIDE) for i, one in enumerate(sites)]
    ends = decisions(samples, limits)
    advice = {i: advised(samples[i], limits[i])[1] for i in np.flatnonzero(ends == "undecided").tolist()}
    again = {i: n_more for i, n_more in advice.items() if n_more is not None}
    grown = [labelled_more(sites[i], samples[i], n_more, rng) for i, n_more in again.items()]
    ends[list(again)] = decisions(grown, [limits[i] for i in again])
    print("one of the two fails by .001, and as many more are labelled as advised, once: wrong go in the end")
    print(f"  {share_text(ends == 'go')}", flush=True)


def print_advice(sites: Sequence[Site], samples: Sequence[Sample], rng: np.random.Generator) -> None:
    limit = (MIN_RECALL, MAX_FALSE_ALARMS)
    undecided = np.flatnonzero(decisions(samples, [limit] * len(sites)) == "undecided").tolist()
    advice = {i: advised(samples[i], limit) for i in undecided}
    told = {i: (word, n_more) for i, (word, n_more) in advice.items() if n_more is not None}
    low, middle, high = np.quantile([n_more for _, n_more in told.values()], [0.25, 0.5, 0.75])
    print(f"\nof {len(advice)} undecided, {len(advice) - len(told)} hear that no sample of reasonable size would tell;")
    print(f"the others are advised to label {middle:.0f} more photos (median; quartiles {low:.0f} and {high:.0f})")
    foretold = np.array([word for word, _ in told.values()])
    for name, measured in (("if rates stay as measured", True), ("at the site's true rates", False)):
        futures = {i: as_measured(samples[i], sites[i]) if measured else sites[i] for i in told}
        grown = [labelled_more(futures[i], samples[i], n_more, rng) for i, (_, n_more) in told.items()]
        then = decisions(grown, [limit] * len(told))
        print(f"  {name}, it came as foretold: {share_text(then == foretold)}")
        print(f"  {name}, it was decided at all: {share_text(then != 'undecided')}")


if __name__ == "__main__":
    main()
