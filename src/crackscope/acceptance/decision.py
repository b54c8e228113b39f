"""The acceptance test: a small labelled sample decides whether a model may be used on a site.

Two requirements are stated first: the least recall of crack, and the greatest false alarm rate. The sample *shows* that
a requirement is met, or failed, where the 95 % interval of its figure (`crackscope.measuring.clustered_shares`) lies
wholly on one side of it. If both are met, the decision is ``go``; if one is failed, it is ``no-go``. Otherwise it is
``undecided``, and the number of further photos to label is computed. A cracked patch that the model's gate rejects
counts as missed; an uncracked patch that it rejects is no false alarm.

Each end of an interval is wrong for about 2.5 % of sites. So among the sites where ``go`` would be wrong, it is said
for about 2.5 %. That rises to 5 % at most if one follows the advice, labels more photos and tests a second time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crackscope.acceptance.site_variants import FIGURES, SiteVariant, counts_by_photo, features_of, try_variants
from crackscope.arrays import Float64Array, Int64Array
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.errors import DataError
from crackscope.files.html import html_table
from crackscope.files.streaming import Progress
from crackscope.measuring.clustered_shares import Share, chance_to_show
from crackscope.measuring.evaluation import Evaluation, refused_documents
from crackscope.measuring.judging import judge
from crackscope.measuring.wording import LEAKY, figure_text
from crackscope.scanning.loaded_model import AnyModel, load
from crackscope.scanning.prediction import Unit, require_unit

__all__ = ["Acceptance", "accept", "decide", "n_more_to_know"]


LIKELY = 0.8
"""Probability that the advised number of photos leads to a decision, if the rates stay as measured."""

_UNITS = {"scenes": "scene", "photos": "photo", "similarity groups": "similarity group", "patches": "patch"}
_MOST_MORE = {"scene": 500, "photo": 500, "similarity group": 500, "patch": 5000}
_N_TRIED = 24  # numbers of photos that are tried in one step of the search


@dataclass(frozen=True, eq=False)
class Acceptance:
    """Outcome of an acceptance test: the decision, and all that it rests on.

    Attributes:
        evaluation: Answers and figures of the model on the sample, and the baseline of calling every patch a crack.
        min_recall: Least recall of crack that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        decision: ``go``, ``no-go`` or ``undecided``, for the model as it is, at its own threshold.
        leads_to: Decision that more photos would probably lead to, ``go`` or ``no-go``; None unless `decision` is
            ``undecided`` for want of photos.
        n_more: Number of further photos that would probably decide; None where no more are needed, or more than
            `most_more`.
        variants: Model ``as_it_is``; where possible also with a ``site_threshold`` and with an ``adapted_head``.
        why_not: Reason for each variant that could not be tried, by its name.
    """

    evaluation: Evaluation
    min_recall: float
    max_false_alarms: float
    decision: str
    leads_to: str | None
    n_more: int | None
    variants: dict[str, SiteVariant]
    why_not: dict[str, str]

    def _repr_html_(self) -> str:
        mark = f" ({LEAKY})" if self.leaky else ""
        return html_table(
            f"{self.evaluation.model} on {self.evaluation.dataset}: {self.decision}{mark}",
            (
                "Model",
                f"Recall of crack, at least {self.min_recall:g}",
                f"False alarms, at most {self.max_false_alarms:g}",
            ),
            [
                (name.replace("_", " "), figure_text(one.recall.estimate), figure_text(one.false_alarms.estimate))
                for name, one in self.variants.items()
            ],
        )

    @property
    def as_it_is(self) -> SiteVariant:
        """Answers of the model at its own threshold."""
        return self.variants["as_it_is"]

    @property
    def leaky(self) -> bool:
        """Whether the model was trained on some of the sample, so that the figures say nothing about new photos."""
        return self.evaluation.leaky

    @property
    def unit(self) -> str:
        """Name of what is sampled: ``scene``, ``photo``, ``similarity group``, or ``patch`` where none is known."""
        return _UNITS[self.evaluation.photo_kind]

    @property
    def most_more(self) -> int:
        """Greatest number of further photos that is looked at; a larger sample would not be reasonable."""
        return _MOST_MORE[self.unit]

    def document(self) -> dict[str, object]:
        """Decision, figures and counts as ``acceptance.json`` holds them, ready for JSON."""
        sample = self.evaluation
        facts = ("dataset", "model", "model_sha256", "n_patches", "n_crack", "n_photos", "n_seen", "leaky")
        shown = ("recall_crack", "false_alarm_rate", *FIGURES)
        return {
            "decision": self.decision,
            "leads_to": self.leads_to,
            "n_more": self.n_more,
            "unit": self.unit,
            "min_recall": self.min_recall,
            "max_false_alarms": self.max_false_alarms,
            **{name: getattr(sample, name) for name in facts},
            "variants": {name: one.document() for name, one in self.variants.items()},
            "why_not": self.why_not,
            "rejected": {
                "n": int(sample.rejected.sum()),
                "crack": int(sample.rejected[sample.labels == 1].sum()),
                "reasons": dict(Counter(reason for reason in sample.reasons or () if reason is not None)),
            },
            "always_crack": {name: sample.baseline[name].document() for name in shown},
            "refused": refused_documents(sample.refused),
        }


def accept(
    data: str | Path | PatchIndex,
    model: AnyModel = None,
    *,
    min_recall: float = 0.9,
    max_false_alarms: float = 0.1,
    unit: Unit = "auto",
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Acceptance:
    """Decide from a labelled sample whether a model may be used on the site that the sample comes from.

    The sample must be photos as the model will see them: photos of this site, not chosen by what they show. Where
    photos are not known, each patch counts as one photo. The intervals are then too narrow if a photo has several
    patches.

    Args:
        data: Labelled patches of the site, all of which are judged: a path that `crackscope.read_patches` takes, or the
            index that it returns.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        min_recall: Least recall of crack that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        unit: ``patch`` resizes images that are larger than the model's patches; ``auto`` refuses them.
        n_resamples: Number of bootstrap resamples behind each interval, for figures other than recall and false alarm
            rate.
        seed: Seed of the resamples, and of dealing photos to folds.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.

    Returns:
        The decision and what it rests on. It is ``undecided`` where the model was trained on some of the sample.

    Raises:
        DataError: If a requirement is not in (0, 1), `unit` is another word, a label is missing, all patches are from
            one photo, or none can be read.
        BundleError: If the model is no bundle of this version.
    """
    _check_requirements(min_recall, max_false_alarms)
    require_unit(unit)
    loaded = load(model, threads=threads)
    index = read_patches(data)
    index.require_both_labels("an acceptance test")
    sample = judge(
        index,
        loaded,
        part=None,
        split=None,
        n_leaks=0,
        unit=unit,
        n_resamples=n_resamples,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    read = set(sample.paths)
    judged = index.select([patch for patch in index.patches if patch.path in read])
    judged.require_both_labels("an acceptance test, on what can be read,")
    if sample.n_photos == 1:
        raise DataError(
            f"{index.name}: all patches are from one photo, which tells nothing of other photos. Label several photos."
        )
    variants, why_not = try_variants(
        sample,
        features_of(judged, loaded.bundle, threads=threads, progress=progress),
        min_recall=min_recall,
        max_false_alarms=max_false_alarms,
        n_resamples=n_resamples,
        seed=seed,
    )
    own = variants["as_it_is"]
    decision, leads_to, n_more = "undecided", None, None
    if not sample.leaky:
        decision = decide(own.recall, own.false_alarms, min_recall=min_recall, max_false_alarms=max_false_alarms)
        if decision == "undecided":
            leads_to, n_more = n_more_to_know(
                counts_by_photo(sample, own.said, 1),
                counts_by_photo(sample, own.said, 0),
                min_recall=min_recall,
                max_false_alarms=max_false_alarms,
                most=_MOST_MORE[_UNITS[sample.photo_kind]],
            )
    return Acceptance(sample, min_recall, max_false_alarms, decision, leads_to, n_more, variants, why_not)


def decide(recall: Share, false_alarms: Share, *, min_recall: float, max_false_alarms: float) -> str:
    """Decide by the 95 % intervals of two measured rates; the rule stands at the top of this module.

    Args:
        recall: Recall of crack.
        false_alarms: False alarm rate.
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).

    Returns:
        ``go``, ``no-go`` or ``undecided``.
    """
    found, alarms = recall.estimate, false_alarms.estimate
    if found.low >= min_recall and alarms.high <= max_false_alarms:
        return "go"
    return "no-go" if found.high < min_recall or alarms.low > max_false_alarms else "undecided"


def n_more_to_know(
    cracked: tuple[Int64Array, Int64Array],
    uncracked: tuple[Int64Array, Int64Array],
    *,
    min_recall: float,
    max_false_alarms: float,
    most: int,
) -> tuple[str, int | None]:
    """Estimate how many more photos like these would probably lead to a decision, and to which one.

    The estimate assumes that the rates stay as measured. It is about the least number of photos that leads to a
    decision with a probability of `LIKELY`. The true rates may differ, and so may the decision.

    Args:
        cracked: Two arrays of shape (n_photos,): cracked patches that are called crack, and all cracked patches, by
            photo.
        uncracked: Two arrays of shape (n_photos,): uncracked patches that are called crack, and all uncracked ones, by
            photo.
        min_recall: Least recall that is required, in (0, 1).
        max_false_alarms: Greatest false alarm rate that is allowed, in (0, 1).
        most: Greatest number of photos to look at.

    Returns:
        ``go`` or ``no-go``, and the number of photos; None as the number where more than `most` would be needed.
    """
    (found, n_crack), (alarms, n_uncracked) = cracked, uncracked
    met = bool(found.sum() >= min_recall * n_crack.sum() and alarms.sum() <= max_false_alarms * n_uncracked.sum())

    def chance(n_more: Int64Array) -> Float64Array:
        if met:
            all_found = chance_to_show(found, n_crack, min_recall, n_more)
            return all_found * chance_to_show(n_uncracked - alarms, n_uncracked, 1 - max_false_alarms, n_more)
        missed = chance_to_show(n_crack - found, n_crack, 1 - min_recall, n_more)
        return 1 - (1 - missed) * (1 - chance_to_show(alarms, n_uncracked, max_false_alarms, n_more))

    low, high = 1, most
    for spaced in (np.geomspace, np.linspace):  # first a coarse search, then a fine one between two neighbours
        tried = np.unique(np.round(spaced(low, high, _N_TRIED)).astype(np.int64))
        likely = np.flatnonzero(chance(tried) >= LIKELY)
        if not len(likely):
            return "go" if met else "no-go", None
        low, high = int(tried[max(0, likely[0] - 1)]), int(tried[likely[0]])
    return "go" if met else "no-go", high


def _check_requirements(min_recall: float, max_false_alarms: float) -> None:
    for name, value, usual in (("min_recall", min_recall, 0.9), ("max_false_alarms", max_false_alarms, 0.1)):
        if not 0 < value < 1:
            raise DataError(f"{name} {value:g} is not between 0 and 1. Give a share that a sample can show: {usual}.")
