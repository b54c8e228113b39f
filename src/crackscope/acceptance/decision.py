"""May this model be used on this site? The acceptance test, on a small labelled sample of the site's own patches.

Two requirements are stated before: the recall of crack, at least, and the false alarm rate, at most. The sample
*shows* that one is met, or failed, where the 95 % interval of the figure (`crackscope.measuring.clustered_shares`) lies
wholly on one side of it. Both met is ``go``, one failed is ``no-go``; else more photos are needed, and how many is
computed. A cracked patch that the model's gate rejects is not found, and an uncracked one is no false alarm.

An end of an interval is wrong in some 2.5 % of sites. So of the sites where ``go`` would be wrong, it is said in some
2.5 %; and in 5 % at most where one does as is advised, labels more and tests a second time.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crackscope.acceptance.site_variants import FIGURES, Variant, counts_by_photo, features_of, try_variants
from crackscope.arrays import Float64Array, Int64Array
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.errors import DataError
from crackscope.files.streaming import Progress
from crackscope.measuring.clustered_shares import Share, chance_to_show
from crackscope.measuring.evaluation import Evaluation
from crackscope.measuring.judging import judge
from crackscope.model.bundle import Bundle
from crackscope.scanning.prediction import Classifier, load

__all__ = ["Acceptance", "accept", "decide", "n_more_to_know"]


LIKELY = 0.8
"""With this probability, as many photos as advised lead to the decision, if the rates stay as measured."""

_UNITS = {"photos": "photo", "similarity groups": "similarity group", "patches": "patch"}
_MOST_MORE = {"photo": 500, "similarity group": 500, "patch": 5000}
_N_TRIED = 24  # numbers of photos that are looked at together


@dataclass(frozen=True, eq=False)
class Acceptance:
    """What a sample says of a model on its site.

    Attributes:
        evaluation: The sample as it was judged: patches, answers, all figures, the baseline.
        min_recall: Required of the recall of crack.
        max_false_alarms: Allowed of the false alarm rate.
        decision: ``go``, ``no-go`` or ``undecided``; about the model as it is, at its own threshold.
        leads_to: Where undecided, what more photos would lead to if the rates stay as measured.
        n_more: So many more are needed for that; None where decided, or where no sample of reasonable size would tell.
        variants: The model ``as_it_is``, with a ``site_threshold``, with an ``adapted_head``; the last two if possible.
        why_not: Of each that is missing, the reason.
    """

    evaluation: Evaluation
    min_recall: float
    max_false_alarms: float
    decision: str
    leads_to: str | None
    n_more: int | None
    variants: dict[str, Variant]
    why_not: dict[str, str]

    @property
    def as_it_is(self) -> Variant:
        """The model at its own threshold."""
        return self.variants["as_it_is"]

    @property
    def leaky(self) -> bool:
        """Whether the model was trained on some of the sample, so that it says nothing of new photos."""
        return self.evaluation.leaky

    @property
    def unit(self) -> str:
        """What is sampled: ``photo``, ``similarity group``, or ``patch`` where photos are not known."""
        return _UNITS[self.evaluation.photo_kind]

    @property
    def most_more(self) -> int:
        """More than so many are no sample of reasonable size."""
        return _MOST_MORE[self.unit]

    def document(self) -> dict[str, object]:
        """As it is written in JSON."""
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
            "refused": [list(row) for row in sample.refused],
        }


def accept(
    data: str | Path | PatchIndex,
    model: Classifier | Bundle | str | Path | None = None,
    *,
    min_recall: float = 0.9,
    max_false_alarms: float = 0.1,
    n_resamples: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Acceptance:
    """Decide from a labelled sample whether a model may be used on the site that the sample comes from.

    The sample must be taken as the model will be used: photos of this site, not chosen by what they show. Where the
    photo of some patch is not known, patches count for themselves, and intervals are too narrow if a photo has several.

    Args:
        data: Labelled patches, see `crackscope.data.patches.read_patches`; all of them are judged.
        model: From `crackscope.load`, or what it takes; the default bundle where left out.
        min_recall: Required of the recall of crack, in (0, 1).
        max_false_alarms: Allowed of the false alarm rate, in (0, 1).
        n_resamples: Bootstrap resamples for the intervals of the other figures.
        seed: Of the resampling and of dealing photos to folds.
        threads: Thread budget.
        progress: Called with (done, total).

    Returns:
        The decision and what it rests on. It is ``undecided`` where the model was trained on some of the sample.

    Raises:
        DataError: If a requirement is no share, a label is missing, there is one photo alone, or no patch can be read.
    """
    _check_requirements(min_recall, max_false_alarms)
    classifier = model if isinstance(model, Classifier) else load(model, threads=threads)
    index = data if isinstance(data, PatchIndex) else read_patches(data)
    index.require_both_labels("an acceptance test")
    sample = judge(
        index,
        classifier,
        part=None,
        split=None,
        n_leaks=0,
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
            f"{index.name}: all patches are of one photo, which says nothing about the next. Label other photos, too."
        )
    variants, why_not = try_variants(
        sample,
        features_of(judged, classifier.bundle, threads=threads, progress=progress),
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
    """``go``, ``no-go`` or ``undecided``, by where the two 95 % intervals lie; see the top of this module.

    Args:
        recall: Of crack.
        false_alarms: False alarm rate.
        min_recall: Required.
        max_false_alarms: Allowed.
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
    """How many more photos like these would probably lead to a decision, and to which.

    The rates are taken to stay as measured. The answer is about the least number for which the decision then comes
    with a probability of `LIKELY`. As the true rates are others, so may the decision be.

    Args:
        cracked: Of each photo, the patches called crack among the cracked ones, and the cracked ones.
        uncracked: The same among the uncracked.
        min_recall: Required.
        max_false_alarms: Allowed.
        most: The greatest number to look at.

    Returns:
        ``go`` or ``no-go``, and the number; None where more than `most` were needed.
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
    for spaced in (np.geomspace, np.linspace):  # roughly first, then between two neighbours
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
