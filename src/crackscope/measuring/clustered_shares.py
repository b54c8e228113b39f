"""Clustered shares: a share of patches and how sure we are of it, where the patches of one photo are alike.

Patches of a photo share light, texture and the hand that took it, so 400 patches of ten photos tell less than 400
patches of 400. How much less follows from the *intraclass correlation* (ICC): the share of the variance that lies
between photos. It is not known either, and ten photos tell little of it, least of all where errors are rare. So it is
not estimated and then believed, but averaged over: each ICC counts as far as a beta-binomial likelihood makes it
plausible, beginning from a weak prior. A likelihood that rests on few photos with an error counts less, so a perfect
result and one with a single error have about the same interval.

`crackscope.measuring.metrics` uses this for every share. Drawing photos again (a bootstrap) is simpler, but from few
photos, or with few errors, its intervals are too short. ``benchmarks/intervals.py`` measures both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, betaln, gammaln, xlogy

from crackscope.arrays import Float64Array, Int64Array
from crackscope.errors import DataError
from crackscope.measuring.estimates import LEAST_CLUSTERS, TAIL, Estimate

__all__ = ["Share", "ShareBelief", "believe", "chance_to_show", "measure_share"]


_HALVINGS = 45  # of [0, 1]: an end of an interval is exact to 3e-14
# Prior of the ICC: 0 with probability 1/5, since patches may well be independent, else Beta(1, 3), weak, with its mode
# at 0 and its mean at 1/4. The grid is finer towards 0, where photos with many patches tell small values apart.
# Without the 1/5, intervals of independent patches hold the truth in 99 of 100 cases (benchmarks/intervals.py).
_INDEPENDENT = 0.2
_STEPS = (np.arange(48) + 0.5) / 48
_ICCS: Float64Array = np.append(0.0, 1 - np.cbrt(1 - _STEPS**2))
_PRIOR: Float64Array = np.append(_INDEPENDENT, (1 - _INDEPENDENT) * _STEPS / _STEPS.sum())
# The likelihood has the exponent e / (e + 2), where e photos hold the rarer outcome: one error tells little of whether
# errors come together.
_FEW_ERRORS = 2


@dataclass(frozen=True)
class Share:
    """A share of patches, counted by photo, with an interval that knows that patches of one photo are alike.

    Attributes:
        n_hits: Number of patches that count.
        n: Number of all patches.
        n_photos: Number of photos that hold one of the patches.
        estimate: Share of the patches that count, in [0, 1], with its 95 % interval.
        icc: Intraclass correlation in [0, 1], the share of the variance that lies between photos; the mean over
            plausible values.
        n_effective: Number of independent patches that would tell as much.
    """

    n_hits: int
    n: int
    n_photos: int
    estimate: Estimate
    icc: float
    n_effective: float

    def document(self) -> dict[str, float | int | None]:
        """Share, interval and counts, ready for JSON."""
        counts = {"n_hits": self.n_hits, "n": self.n, "n_photos": self.n_photos}
        return {**self.estimate.document(), **counts, "icc": self.icc, "n_effective": self.n_effective}


def measure_share(hits: Int64Array, counts: Int64Array) -> Share:
    """The share of patches that count, with a 95 % interval for photos like these.

    What is estimated is the share over all photos of the site, each weighing as many patches as it brings. The interval
    holds the equal-tailed 95 % of `believe`, and reaches to 0 or 1 where no patch or every patch counts. With patches
    that stand alone (every count is 1), it is that of Bayes and Laplace, near Wilson's. From fewer than three photos
    there is no interval (NaN).

    Source:
        Effective number of patches: Kish 1965, Survey Sampling, section 8.2; for intervals of shares Korn & Graubard
        1998, Survey Methodology 24, and Saha, Miller & Wang 2016, International Journal of Biostatistics 12.
        Beta-binomial: Skellam 1948, JRSS B 10. Averaged over what one does not know: Gelman et al. 2013, Bayesian
        Data Analysis, sections 2.4 and 3.1.

    Args:
        hits: Number of patches of each photo that count, shape (n_photos,).
        counts: Number of all patches of each photo, shape (n_photos,); 0 is allowed.

    Empty input: an error, since there is no share.

    Raises:
        DataError: If a photo has more hits than patches, or there is no patch.

    Example:
        >>> few = measure_share(np.array([9, 10, 3]), np.array([10, 10, 10]))
        >>> round(few.estimate.value, 2), round(few.estimate.low, 2), round(few.estimate.high, 2)
        (0.73, 0.38, 0.92)
    """
    k, m = np.asarray(hits, np.int64), np.asarray(counts, np.int64)
    if k.ndim != 1 or k.shape != m.shape or not m.sum() or (k < 0).any() or (k > m).any():
        raise DataError(f"{k.shape} hits of {m.shape} counts are no share. Give 0 <= hits <= counts, one photo each.")
    belief = believe(k[None], m[None])
    low, high = (float(belief.quantile(tail)[0]) for tail in (TAIL, 1 - TAIL))
    n_hits, n = int(k.sum()), int(m.sum())
    icc = float(belief.icc[0])
    n_photos = int((m > 0).sum())
    if n_photos < LEAST_CLUSTERS:
        low = high = np.nan
    else:
        low, high = min(low, n_hits / n) if n_hits else 0.0, max(high, n_hits / n) if n_hits < n else 1.0
    return Share(
        n_hits=n_hits,
        n=n,
        n_photos=n_photos,
        estimate=Estimate(n_hits / n, low, high),
        icc=icc,
        n_effective=float(n / (1 + icc * (belief.mates[0] - 1))),
    )


@dataclass(frozen=True, eq=False)
class ShareBelief:
    """What several samples tell of their shares: a mixture of beta distributions, one for each plausible ICC.

    Attributes:
        share: Share of the patches that count, shape (b,).
        n: Number of patches, shape (b,).
        mates: Mean number of patches in the photo of a patch, itself included, shape (b,).
        weights: Plausibility of each ICC, shape (b, n_iccs).
    """

    share: Float64Array
    n: Float64Array
    mates: Float64Array
    weights: Float64Array

    @property
    def icc(self) -> Float64Array:
        """(b,) the mean ICC."""
        return self.weights @ _ICCS

    def below(self, bound: Float64Array | float) -> Float64Array:
        """(b,) probability that the share of all photos lies below a bound."""
        n_effective = self.n[:, None] / (1 + _ICCS * (self.mates[:, None] - 1))
        share, at = self.share[:, None], np.broadcast_to(bound, self.share.shape)[:, None]
        # One patch more that counts and one that does not: the uniform prior of Bayes and Laplace.
        each = betainc(n_effective * share + 1, n_effective * (1 - share) + 1, at)
        found: Float64Array = np.einsum("br,br->b", self.weights, each)
        return found

    def quantile(self, probability: float) -> Float64Array:
        """(b,) the share below which the true one lies with this probability."""
        low, high = np.zeros(self.share.shape), np.ones(self.share.shape)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = self.below(middle) < probability
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        return (low + high) / 2


def believe(hits: Float64Array | Int64Array, counts: Int64Array) -> ShareBelief:
    """Weigh the ICCs of several samples at once.

    The likelihood of an ICC is beta-binomial, at the share that was counted, times the width that the ICC gives the
    share: the *restricted* likelihood, without which few photos look more alike than they are. The share itself then
    gets a beta distribution about the counted one, with the effective number of patches for that ICC. So photos that
    bring many patches weigh as many, whether or not they are like the others, which a beta-binomial fit of the share
    would not grant: it lets photos vote.

    Source: restricted likelihood: Patterson & Thompson 1971, Biometrika 58. A likelihood with an exponent below 1, a
    power prior: Ibrahim & Chen 2000, Statistical Science 15.

    Args:
        hits: Number of patches of each photo that count, shape (b, n_photos); padded with 0.
        counts: Number of all patches of each photo, shape (b, n_photos); padded with 0, no row all 0.
    """
    k, m = np.asarray(hits, np.float64), np.asarray(counts, np.float64)
    n_hits, n = k.sum(1), m.sum(1)
    share, mates = n_hits / n, (m**2).sum(1) / n
    centre = (n_hits + 0.5) / (n + 1)  # inside (0, 1) even where all count or none
    log = np.stack([_log_likelihood(*row) for row in zip(k, m, centre, strict=True)])  # (b, n_iccs)
    n_effective = n[:, None] / (1 + _ICCS * (mates[:, None] - 1))
    yes, no = share[:, None], 1 - share[:, None]
    log += betaln(n_effective * yes + 1, n_effective * no + 1) - n_effective * (xlogy(yes, yes) + xlogy(no, no))
    rarer = np.minimum((k > 0).sum(1), (k < m).sum(1))[:, None]
    log *= rarer / (rarer + _FEW_ERRORS)
    weights = _PRIOR * np.exp(log - log.max(1, keepdims=True))
    return ShareBelief(share, n, mates, weights / weights.sum(1, keepdims=True))


def _log_likelihood(hits: Float64Array, counts: Float64Array, centre: float) -> Float64Array:
    """(n_iccs,) the beta-binomial likelihood of each ICC; photos with the same numbers are reckoned once."""
    found = np.empty(_ICCS.shape)
    found[0] = hits.sum() * np.log(centre) + (counts - hits).sum() * np.log1p(-centre)  # independent
    size = 1 / _ICCS[1:] - 1  # sum of a beta distribution's two parameters
    found[1:] = (
        _log_rising(centre * size, hits) + _log_rising((1 - centre) * size, counts - hits) - _log_rising(size, counts)
    )
    return found


def _log_rising(start: Float64Array, steps: Float64Array) -> Float64Array:
    """Logarithm of the product of rising factorials, start (start + 1) ..., one for each number of steps."""
    lengths, times = np.unique(steps, return_counts=True)
    found: Float64Array = times @ (gammaln(start + lengths[:, None]) - gammaln(start))
    return found


def chance_to_show(hits: Int64Array, counts: Int64Array, bound: float, n_more: Int64Array) -> Float64Array:
    """How likely more photos like these would show that a share is at least as great as a bound.

    It is shown where the interval of all photos, old and new, lies above the bound. The share and the ICC of new photos
    are taken to be as measured; the old photos stay, so chance is only in the new ones.

    Args:
        hits: Number of patches of each photo that count, shape (n_photos,).
        counts: Number of all patches of each photo, shape (n_photos,).
        bound: Share that the interval is compared with, in (0, 1).
        n_more: Numbers of photos to add, from 0, shape (k,).

    Returns:
        (k,) probabilities.
    """
    grown = 1 + np.asarray(n_more, np.float64) / len(counts)
    now = believe(np.asarray(hits)[None], np.asarray(counts)[None])
    share, n, mates = float(now.share[0]), float(now.n[0]), float(now.mates[0])
    low, high = np.zeros(grown.shape), np.ones(grown.shape)  # of the share in all photos that just suffices
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        then = ShareBelief(middle, n * grown, np.full(grown.shape, mates), now.weights.repeat(len(grown), 0))
        short = then.below(bound) > TAIL
        low, high = np.where(short, middle, low), np.where(short, high, middle)
    # Nothing is left to chance with as many photos as now, or where hits throughout would not be enough.
    found = np.where((grown == 1) & (share >= high), 1.0, 0.0)
    open_to_chance = (grown > 1) & (high < 1)
    grown, high = grown[open_to_chance], high[open_to_chance]
    wanted = np.clip((grown * high - share) / (grown - 1), 0, 1)  # of the new photos
    n_new = n * (grown - 1) / (1 + float(now.icc[0]) * (mates - 1))
    tiny = 1e-9  # a beta distribution at 0 or 1 alone has no parameters
    yes, no = np.maximum(n_new * share, tiny), np.maximum(n_new * (1 - share), tiny)
    found[open_to_chance] = 1 - betainc(yes, no, wanted)
    return found
