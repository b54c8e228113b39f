"""Acceptance reports: a page with the decision and its reasons, the figures, and a table of all answers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from crackscope.acceptance.decision import LIKELY, Acceptance
from crackscope.acceptance.site_variants import FIGURES as MORE_FIGURES
from crackscope.data.patches import LABELS
from crackscope.files.output import json_text, write_folder
from crackscope.files.tables import table_text
from crackscope.measuring.clustered_shares import Share
from crackscope.measuring.evaluation import resampling_text
from crackscope.measuring.wording import FIGURES, method_text, percent_text, seen_text
from crackscope.model.card import BLURRED, NOT_CONCRETE, TOO_SMALL
from crackscope.reports.page import environment

__all__ = ["FILES", "TITLES", "advice", "headline", "verdicts", "write_acceptance"]

FILES = ("acceptance.json", "predictions.csv", "report.html")
"""What `write_acceptance` writes."""

TITLES = {
    "as_it_is": "As it is",
    "site_threshold": "With a threshold for this site",
    "adapted_head": "With a head adapted to this site",
}
"""Name of each `SiteVariant` on the page."""

_N_REFUSED_LISTED = 20
_WORTH_IT = 0.9  # a changed model is offered only if it uses up less than this share of what the others use up


@dataclass(frozen=True)
class _Bar:
    """A share on a scale, in per cent of the scale's length."""

    title: str
    share: Share
    left: float
    width: float
    dot: float


@dataclass(frozen=True)
class _Scale:
    """A requirement, and a bar for each variant."""

    title: str
    sense: str
    required: float
    ends: tuple[float, float]
    line: float
    bars: tuple[_Bar, ...]


def write_acceptance(found: Acceptance, out: str | Path, *, command: str = "", overwrite: bool = False) -> Path:
    """Write an acceptance test into a folder: the page, the figures and the answers. The folder appears whole.

    Args:
        found: Outcome from `crackscope.accept`.
        out: Path of the folder; missing parent folders are made.
        command: Command that repeats the test, for the page to show.
        overwrite: Whether an older acceptance test is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``acceptance.json``, ``predictions.csv`` and ``report.html``.

    Raises:
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    return write_folder(out, _files(found, command), ours=FILES, overwrite=overwrite)


def _files(found: Acceptance, command: str) -> Iterator[tuple[str, str | bytes]]:
    yield "acceptance.json", json_text(found.document())
    yield "predictions.csv", _table(found)
    yield "report.html", _page(found, command)


def headline(found: Acceptance) -> str:
    """The decision in a few words."""
    if found.leaky:
        return "Undecided: the model was trained on this sample"
    if found.decision == "go":
        return "Go: this model may be used on this site"
    if found.decision == "no-go":
        return "No-go: do not use this model on this site"
    if found.n_more is None:
        return "Undecided: no sample of reasonable size would tell"
    return f"Undecided: label {_count(found.n_more, found.unit, more=True)} to know"


def verdicts(found: Acceptance) -> tuple[str, str]:
    """Tell whether recall and false alarm rate are shown to meet their requirements.

    Returns:
        For either requirement ``met``, ``failed`` or ``not shown``.
    """
    recall, alarms = found.as_it_is.recall.estimate, found.as_it_is.false_alarms.estimate
    ends = (
        (recall.low >= found.min_recall, recall.high < found.min_recall),
        (alarms.high <= found.max_false_alarms, alarms.low > found.max_false_alarms),
    )
    recall_is, alarms_are = ("met" if met else "failed" if failed else "not shown" for met, failed in ends)
    return ("not shown", "not shown") if found.leaky else (recall_is, alarms_are)


def advice(found: Acceptance) -> list[str]:
    """List what to do now, each item a few sentences. A leak comes first, as the page's banner shows it."""
    items = [_leak(found)] if found.leaky else []
    items += _rejections(found)
    if not found.leaky:
        items.append(_next_step(found))
    if found.unit == "patch":
        items.append(
            "It is not known which photos the patches come from, so each patch counts as one photo. If a photo has "
            "several patches, all intervals are too narrow. Name the photos in a CSV (path,label,photo)."
        )
    if not found.leaky and found.decision != "go":
        items += _remedies(found)
    return items


def _leak(found: Acceptance) -> str:
    judged = found.evaluation
    who = seen_text(judged.n_seen, judged.n_seen_by_backbone, judged.n_patches)
    return (
        f"{who}. So these figures say how well it remembers. Label photos of this site that it has not seen, and test "
        "again."
    )


_ADVICE = {
    BLURRED: "Sharp photos taken again may be all that is needed for the blurred ones.",
    TOO_SMALL: "Patches that are too small to judge are previews, or were cut too small: give larger ones.",
    NOT_CONCRETE: "If patches rejected as not concrete do show concrete, the model has not seen its kind: "
    "label some, and train.",
}


def _rejections(found: Acceptance) -> list[str]:
    """Tell how many patches the model rejects and why; no item where it rejects none."""
    rejected = found.evaluation.rejected
    if not rejected.any():
        return []
    n_crack = int(rejected[found.evaluation.labels == 1].sum())
    why = Counter(reason for reason in found.evaluation.reasons or () if reason is not None)
    told = " and ".join(f"{n:,} as {reason}" for reason, n in why.most_common())
    return [
        f"The model rejects {_count(int(rejected.sum()), 'patch')}, {told}. {n_crack:,} of them "
        f"{'shows' if n_crack == 1 else 'show'} a crack; rejected cracks count as not found. "
        "Look at them first: predictions.csv names the reason of each. " + " ".join(_ADVICE[reason] for reason in why)
    ]


def _next_step(found: Acceptance) -> str:
    """Tell what to do after the decision."""
    if found.decision == "go":
        return (
            "Use the model at its own threshold, on photos taken like these. Test again when the camera, the "
            "distance, the surface or the model changes."
        )
    if found.decision == "no-go":
        return "Do not use the model here as it is. If you lower the requirements now, test them on a new sample."
    if found.n_more is None:
        return (
            f"A rate lies so near to its requirement that a decision would take more than "
            f"{_count(found.most_more, found.unit)}. Decide without the test, or set new requirements and label a new "
            "sample for them."
        )
    return (
        f"Label {_count(found.n_more, found.unit, more=True)}, chosen in the same way, and test with all of them "
        f"together. If the rates stay as measured, the decision is then {found.leads_to} with a probability of about "
        f"{LIKELY:.0%}. Test only once more: with every further test, a wrong go becomes likelier."
    )


def _remedies(found: Acceptance) -> list[str]:
    """Offer a changed model where its figures are clearly better."""
    items = []
    threshold = found.variants.get("site_threshold")
    if threshold and threshold.threshold is not None and _promises(found, "site_threshold", than=("as_it_is",)):
        items.append(
            f"A threshold of {threshold.threshold:.3g} instead of {found.evaluation.threshold:.3g} suits the two "
            "requirements better. It was chosen on this sample, so test it on newly labelled photos."
        )
    if _promises(found, "adapted_head", than=("as_it_is", "site_threshold")):
        items.append(
            "A head fitted to this site promises more than the model as it is, and more than a new threshold alone. "
            "Train a head on labelled photos of the site, and test it on other photos of the site."
        )
    return items


def _promises(found: Acceptance, name: str, *, than: Sequence[str]) -> bool:
    """Whether a variant uses up clearly less of the allowed errors than others (`site_adaptation.site_threshold`)."""

    def used_up(one: str) -> float:
        variant = found.variants[one]
        missed = (1 - variant.recall.estimate.value) / (1 - found.min_recall)
        return max(missed, variant.false_alarms.estimate.value / found.max_false_alarms)

    than = [one for one in than if one in found.variants]
    return name in found.variants and used_up(name) < _WORTH_IT * min(map(used_up, than))


def _count(n: int, unit: str, *, more: bool = False) -> str:
    plural = "patches" if unit == "patch" else f"{unit}s"
    return f"{n:,} {'more ' if more else ''}{unit if n == 1 else plural}"


def _table(found: Acceptance) -> str:
    """Table of all patches with the answers of all variants; a changed model answers patches it was not fitted to."""
    sample = found.evaluation
    said_by = [f"label_{name}" for name in found.variants]
    photos = sample.photos or ("",) * sample.n_patches
    rows = []
    for i, path in enumerate(sample.paths):
        said = [LABELS[int(one.said[i])] for one in found.variants.values()]
        reason = sample.reasons[i] if sample.reasons else None
        probability = repr(float(sample.probabilities[i]))
        rows.append([path, LABELS[sample.labels[i]], photos[i], probability, reason, *said])
    return table_text(["path", "true_label", "photo", "crack_probability", "reason", *said_by], rows)


def _page(found: Acceptance, command: str) -> str:
    sample = found.evaluation
    return (
        environment()
        .get_template("acceptance.html")
        .render(
            found=found,
            sample=sample,
            counts=resampling_text(sample),
            method=method_text(sample.photo_kind),
            headline=headline(found),
            verdicts=verdicts(found),
            advice=advice(found),
            scales=_scales(found),
            titles=TITLES,
            figures=FIGURES,
            more_figures=MORE_FIGURES,
            refused=sample.refused[:_N_REFUSED_LISTED],
            percent_range=_percent_range,
            command=command,
        )
    )


def _scales(found: Acceptance) -> tuple[_Scale, _Scale]:
    """Make a scale for each requirement, wide enough for all intervals."""
    recalls = {name: one.recall for name, one in found.variants.items()}
    alarms = {name: one.false_alarms for name, one in found.variants.items()}
    lows, highs = [_ends(one)[0] for one in recalls.values()], [_ends(one)[1] for one in alarms.values()]
    lowest = math.floor(10 * min(found.min_recall, *lows) - 0.2) / 10
    highest = math.ceil(10 * max(found.max_false_alarms, *highs) + 0.2) / 10
    return (
        _scale("recall_crack", "at least", found.min_recall, recalls, (lowest, 1.0)),
        _scale("false_alarm_rate", "at most", found.max_false_alarms, alarms, (0.0, highest)),
    )


def _scale(name: str, sense: str, required: float, shares: dict[str, Share], ends: tuple[float, float]) -> _Scale:
    start, end = max(0.0, ends[0]), min(1.0, ends[1])

    def place(value: float) -> float:
        return 100 * (value - start) / (end - start)

    bars = tuple(
        _Bar(
            title=TITLES[variant],
            share=share,
            left=place(_ends(share)[0]),
            width=place(_ends(share)[1]) - place(_ends(share)[0]),
            dot=place(share.estimate.value),
        )
        for variant, share in shares.items()
    )
    return _Scale(FIGURES[name].title, sense, required, (start, end), place(required), bars)


def _ends(share: Share) -> tuple[float, float]:
    """Ends of the band of a share; both lie at the dot if there is no interval."""
    found = share.estimate
    return (found.value, found.value) if math.isnan(found.low) else (found.low, found.high)


def _percent_range(share: Share) -> str:
    """Write an interval in per cent."""
    if math.isnan(share.estimate.low):
        return "no interval"
    low, high = percent_text(share.estimate.low), percent_text(share.estimate.high)
    return f"{low.split(chr(0xA0))[0]}–{high}"
