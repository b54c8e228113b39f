"""Plots of an evaluation, a figure each: ROC, precision and recall, reliability, confusion matrix."""

from __future__ import annotations

import textwrap
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import precision_recall_curve, roc_curve

from crackscope.data.patches import LABELS
from crackscope.measuring.evaluation import Evaluation, origin_text
from crackscope.measuring.metrics import N_CALIBRATION_BINS
from crackscope.measuring.wording import LEAKY, interval_text, number_text, percent_text
from crackscope.reports.look import AMBER, BLUE, DASHES, INK, MUTED, VERMILION, blank_sheet, drawable, dress_axes

__all__ = ["PLOTS", "confusion_matrix", "precision_recall", "reliability", "roc"]


_ORIGIN_LETTERS = 84  # that a line under a plot holds


def roc(evaluation: Evaluation) -> Figure:
    """Plot recall against false alarm rate for all thresholds, and mark the threshold in use."""
    figure, axes = _canvas(evaluation, "ROC curve", ("False alarm rate", "Recall of crack"))
    if not 0 < evaluation.n_crack < evaluation.n_patches:
        return _undefined(figure, axes, evaluation, "needs cracked and uncracked patches")
    false_alarm_rates, recalls, _ = roc_curve(evaluation.labels, evaluation.probabilities)
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHES, label="chance: 0.500")
    axes.plot(false_alarm_rates, recalls, color=BLUE, linewidth=2, clip_on=False, label=_area(evaluation, "auroc"))
    point = (evaluation.metrics["false_alarm_rate"].value, evaluation.metrics["recall_crack"].value)
    _mark_threshold(axes, point, evaluation)
    _legend(axes, "lower right")
    return figure


def precision_recall(evaluation: Evaluation) -> Figure:
    """Plot precision against recall for all thresholds, and the precision of calling every patch a crack."""
    figure, axes = _canvas(evaluation, "Precision and recall", ("Recall of crack", "Precision of crack"))
    if evaluation.n_crack == 0:
        return _undefined(figure, axes, evaluation, "needs cracked patches")
    precisions, recalls, _ = precision_recall_curve(evaluation.labels, evaluation.probabilities)
    share = evaluation.n_crack / evaluation.n_patches
    label = f"always crack: {number_text(share)}"
    axes.axhline(share, color=MUTED, linewidth=1, linestyle=DASHES, label=label)
    label = _area(evaluation, "average_precision")
    # Between two thresholds, the precision is that of the one with the higher recall.
    axes.plot(recalls, precisions, drawstyle="steps-post", color=BLUE, linewidth=2, clip_on=False, label=label)
    point = (evaluation.metrics["recall_crack"].value, evaluation.metrics["precision_crack"].value)
    if not np.isnan(point[1]):
        _mark_threshold(axes, point, evaluation)
    _legend(axes, "lower left")
    return figure


def reliability(evaluation: Evaluation) -> Figure:
    """Plot the observed share of crack per bin of probability, and below it the number of patches per bin."""
    figure = blank_sheet()
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.4, 1))
    _dress(figure, axes, evaluation, "Reliability", ("", "Observed share of crack"))
    dress_axes(below, ("Probability of crack", "Patches"))
    edges = np.linspace(0, 1, N_CALIBRATION_BINS + 1)
    bins = np.minimum((evaluation.probabilities * N_CALIBRATION_BINS).astype(int), N_CALIBRATION_BINS - 1)
    counts = np.bincount(bins, minlength=N_CALIBRATION_BINS)
    filled = counts > 0
    said = np.bincount(bins, evaluation.probabilities, N_CALIBRATION_BINS)[filled] / counts[filled]
    seen = np.bincount(bins, evaluation.labels, N_CALIBRATION_BINS)[filled] / counts[filled]
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle=DASHES, label="perfectly calibrated")
    axes.vlines(said, said, seen, color=AMBER, linewidth=2.4, label="gap")
    sizes = 14 + 60 * np.sqrt(counts[filled] / counts.max())
    axes.scatter(said, seen, s=sizes, color=BLUE, zorder=3, clip_on=False, label=_area(evaluation, "ece"))
    text = f"threshold {number_text(evaluation.threshold)}"
    axes.axvline(evaluation.threshold, color=VERMILION, linewidth=1.2, linestyle=":", label=text)
    _legend(axes, "upper left")
    below.bar(edges[:-1], counts, width=1 / N_CALIBRATION_BINS, align="edge", color=BLUE, edgecolor="white")
    below.axvline(evaluation.threshold, color=VERMILION, linewidth=1.2, linestyle=":")
    below.set_ylim(0, counts.max() * 1.12)
    below.yaxis.get_major_locator().set_params(nbins=3, integer=True)
    return figure


def confusion_matrix(evaluation: Evaluation) -> Figure:
    """Plot the number of patches by true label and answer; the shade is the share of the true label."""
    figure = blank_sheet()
    axes = figure.subplots()
    _dress(figure, axes, evaluation, "Confusion matrix", ("Model says", "Truth"), intervals=False)
    counts = evaluation.confusion_counts
    rows = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(rows, 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25)
    for (row, column), count in np.ndenumerate(counts):
        colour = "white" if shares[row, column] > 0.75 else INK
        axes.text(column, row, f"{count:,}", ha="center", va="bottom", fontsize=17, color=colour, weight="bold")
        share = f"{percent_text(shares[row, column])} of {LABELS[row]}" if rows[row, 0] else "none in the data"
        axes.text(column, row + 0.06, share, ha="center", va="top", fontsize=9, color=colour)
    axes.set_xticks((0, 1), LABELS)
    axes.set_yticks((0, 1), LABELS, rotation=90, va="center")
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.axhline(0.5, color="white", linewidth=3)
    axes.axvline(0.5, color="white", linewidth=3)
    return figure


PLOTS = {
    "roc": roc,
    "precision_recall": precision_recall,
    "reliability": reliability,
    "confusion_matrix": confusion_matrix,
}
"""Functions that draw the plots, by file name without its suffix."""


def _canvas(evaluation: Evaluation, title: str, names: tuple[str, str]) -> tuple[Figure, Axes]:
    """Make a square plot with two shares as axes, each from 0 to 1."""
    figure = blank_sheet()
    axes = figure.subplots()
    _dress(figure, axes, evaluation, title, names)
    axes.set_aspect("equal")
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)
    return figure, axes


def _dress(
    figure: Figure,
    axes: Axes,
    evaluation: Evaluation,
    title: str,
    names: tuple[str, str],
    *,
    intervals: bool = True,
) -> None:
    """Add the title, marked if figures are leaky, and a line about the data."""
    mark = f"  ({LEAKY})" if evaluation.leaky else ""
    colour = VERMILION if evaluation.leaky else INK
    figure.suptitle(title + mark, fontsize=12, weight="bold", color=colour)
    brackets = f"\nin brackets: 95 % interval over {evaluation.photo_kind}" if intervals else ""
    origin = "\n".join(textwrap.wrap(drawable(origin_text(evaluation)), _ORIGIN_LETTERS)) + brackets
    figure.supxlabel(origin, parse_math=False, fontsize=7.5, color=MUTED, linespacing=1.4)
    dress_axes(axes, names)


def _mark_threshold(axes: Axes, point: tuple[float, float], evaluation: Evaluation) -> None:
    label = f"threshold {number_text(evaluation.threshold)}"
    axes.plot(
        *point,
        "o",
        color=VERMILION,
        markersize=9,
        markeredgecolor="white",
        clip_on=False,
        zorder=4,
        label=label,
    )


def _area(evaluation: Evaluation, name: str) -> str:
    titles = {"auroc": "AUROC", "average_precision": "average precision", "ece": "ECE"}
    estimate = evaluation.metrics[name]
    interval = interval_text(estimate)
    return f"{titles[name]} {number_text(estimate.value)}" + (f" ({interval})" if interval else "")


def _legend(axes: Axes, place: Literal["lower left", "lower right", "upper left"]) -> None:
    axes.legend(loc=place, fontsize=8.5, labelcolor=INK, frameon=True, framealpha=0.92, edgecolor="none")


def _undefined(figure: Figure, axes: Axes, evaluation: Evaluation, reason: str) -> Figure:
    """Write into an empty plot why it is not defined."""
    only = LABELS[1] if evaluation.n_crack else LABELS[0]
    axes.grid(visible=False)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#f3f5f7")
    text = f"Not defined:\nit {reason}.\nEvery patch here is {only}."
    axes.text(0.5, 0.5, text, ha="center", va="center", fontsize=9.5, color=MUTED, linespacing=1.6)
    return figure
