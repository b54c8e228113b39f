"""Wording: how figures are named, explained and written, so that every plot, table and page says it alike."""

from __future__ import annotations

import math
from dataclasses import dataclass

from crackscope.measuring.estimates import Estimate
from crackscope.measuring.metrics import LOWER_IS_BETTER

__all__ = [
    "FIGURES",
    "HEADLINES",
    "JOINT_FIGURES",
    "LEAKY",
    "LINE_FIGURES",
    "Figure",
    "figure_text",
    "interval_text",
    "method_text",
    "number_text",
    "percent_text",
    "seen_text",
]

LEAKY = "leaky"
"""The mark that every figure carries when training has seen what is judged."""

HEADLINES = ("recall_crack", "precision_crack", "false_alarm_rate", "accuracy", "auroc", "mcc")
"""The figures that are read first, named as in `crackscope.measuring.metrics`."""


@dataclass(frozen=True)
class Figure:
    """A metric as a reader meets it.

    Attributes:
        name: Key in ``metrics.json``.
        title: Short name of the figure.
        meaning: Meaning in one plain sentence.
        upper: Upper end of its scale; None where it has none.
    """

    name: str
    title: str
    meaning: str
    upper: float | None = 1.0

    @property
    def better(self) -> str:
        """``higher`` or ``lower``."""
        return "lower" if self.name in LOWER_IS_BETTER else "higher"


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("accuracy", "Accuracy", "Share of all patches that get the right label."),
        Figure("balanced_accuracy", "Balanced accuracy", "Mean of the two recalls: each label counts half."),
        Figure("precision_crack", "Precision of crack", "Share of the patches called crack that are cracked."),
        Figure("recall_crack", "Recall of crack", "Share of the cracked patches that are called crack."),
        Figure("f1_crack", "F1 of crack", "Precision and recall of crack in one number (harmonic mean)."),
        Figure(
            "precision_uncracked", "Precision of uncracked", "Share of the patches called uncracked that are uncracked."
        ),
        Figure(
            "recall_uncracked",
            "Recall of uncracked",
            "Share of the uncracked patches that are called uncracked.",
        ),
        Figure("f1_uncracked", "F1 of uncracked", "Precision and recall of uncracked in one number."),
        Figure("false_alarm_rate", "False alarm rate", "Share of the uncracked patches that are called crack."),
        Figure(
            "auroc",
            "AUROC",
            "Chance that a cracked patch gets a higher probability than an uncracked one, both drawn at random.",
        ),
        Figure("average_precision", "Average precision", "Precision, averaged over every recall."),
        Figure("mcc", "MCC", "Correlation of answers and true labels: 1 is perfect, 0 is no better than chance."),
        Figure("log_loss", "Log loss", "Mean penalty of the probabilities; confident mistakes cost most.", None),
        Figure("brier", "Brier score", "Mean squared difference between the probability and the true label (1 or 0)."),
        Figure("ece", "Calibration error", "Average gap between probability and observed frequency (ECE)."),
    )
}

LINE_FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("precision", "Precision", "Share of the found line that lies within the tolerance of the true line."),
        Figure("recall", "Recall", "Share of the true line that lies within the tolerance of the found line."),
        Figure("f1", "F1", "Precision and recall in one number (harmonic mean)."),
        Figure(
            "cl_iou",
            "clIoU",
            "The part of the true line that is found, divided by the whole true line and the wrong part of the found "
            "line together (centre-line IoU).",
        ),
    )
}
"""Figures of lines within a tolerance, named as in `crackscope.measuring.line_figures`."""

JOINT_FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure("in_cracks", "Joints traced as cracks", "Share of the joints near a line traced as a crack."),
        Figure("in_joint_like", "Joints traced as joint-like", "Share of the joints near a joint-like line."),
        Figure("cracks_at_joints", "Traced cracks at joints", "Share near a joint of the lines traced as cracks."),
    )
}
"""Figures of joints, named as in `crackscope.measuring.joint_figures`."""


def number_text(number: float) -> str:
    """A figure in three decimals, with more where they would round it to a 0 or 1 that it is not.

    Example:
        >>> [number_text(number) for number in (0.97312, 0.99996, 1.0, 0.0, 1e-9, float("nan"))]
        ['0.973', '0.99996', '1.000', '0.000', '<0.00001', 'n/a']
    """
    if math.isnan(number):
        return "n/a"
    for decimals in (3, 4, 5):
        text = f"{number:.{decimals}f}"
        if float(text) not in (0.0, 1.0) or number in (0.0, 1.0):
            return text
    if abs(number) < 0.5:
        return "<0.00001" if number > 0 else ">-0.00001"
    return ">0.99999" if number < 1 else "1.000"


def percent_text(share: float) -> str:
    """A share in per cent with one decimal, never rounded to all or none; the space does not break.

    Example:
        >>> print(*[percent_text(share) for share in (0.986, 1.0, 0.9999, 0.0, 0.0001)], sep=", ")
        98.6 %, 100 %, >99.9 %, 0 %, <0.1 %
    """
    if share in (0.0, 1.0):
        return f"{share:.0%}".replace("%", "\N{NO-BREAK SPACE}%")
    text = f"{100 * share:.1f}"
    text = {"0.0": "<0.1", "100.0": ">99.9"}.get(text, text)
    return f"{text}\N{NO-BREAK SPACE}%"


def seen_text(n_seen: int, n_by_backbone: int, n_judged: int) -> str:
    """Who was trained on how many of the judged patches: the model, or the backbone that it was built on.

    Args:
        n_seen: Number of judged patches that the model or its backbone was trained on, or whose photo or scene was.
        n_by_backbone: Number of those that the backbone was trained on.
        n_judged: Number of judged patches.

    Example:
        >>> seen_text(15, 0, 20)
        'The model was trained on 15 of these 20 patches, or on photos they come from or overlap with'
        >>> seen_text(15, 15, 20)
        "The model's backbone was trained on 15 of these 20 patches, or on photos they come from or overlap with"
        >>> seen_text(5, 4, 9)
        'The model was trained on 5 of these 9 patches, or on photos they come from or overlap with (its backbone on 4)'
    """
    who = "The model's backbone" if n_by_backbone == n_seen else "The model"
    text = f"{who} was trained on {n_seen:,} of these {n_judged:,} patches, or on photos they come from or overlap with"
    return f"{text} (its backbone on {n_by_backbone:,})" if 0 < n_by_backbone < n_seen else text


def figure_text(estimate: Estimate) -> str:
    """A figure, and its interval in brackets where there is one.

    Example:
        >>> figure_text(Estimate(0.9, 0.85, 0.95)), figure_text(Estimate(0.9, float("nan"), float("nan")))
        ('0.900 (0.850–0.950)', '0.900')
    """
    interval = interval_text(estimate)
    return f"{number_text(estimate.value)} ({interval})" if interval else number_text(estimate.value)


def interval_text(estimate: Estimate) -> str:
    """An interval as low–high, empty where there is none.

    Example:
        >>> interval_text(Estimate(0.9, 0.85, 0.95))
        '0.850–0.950'
    """
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return ""
    return f"{number_text(estimate.low)}–{number_text(estimate.high)}"


def method_text(kind: str) -> str:
    """How intervals are found, in one sentence for the foot of a table.

    Args:
        kind: What stays together, in the plural, such as ``photos``, ``similarity groups`` or ``patches``.

    Example:
        >>> method_text("photos").split(": ")[0]
        'Intervals over photos'
    """
    return (
        f"Intervals over {kind}: beta-binomial for shares, balanced accuracy and MCC; Newcombe's for AUROC; "
        "else bootstrap."
    )
