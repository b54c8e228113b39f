"""History plots: loss and accuracy over the epochs of a training run, with its phases and its best epoch.

The axis of accuracy is stretched towards 1: each step to a tenth of the errors takes the same room, so that 0.99 and
0.999 stand as far apart as 0.9 and 0.99.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from crackscope.arrays import Float64Array
from crackscope.errors import DataError
from crackscope.measuring.history import Epoch, best_epoch
from crackscope.reports.look import AMBER, BLUE, DASHES, INK, MUTED, VERMILION, blank_sheet, drawable, dress_axes

__all__ = ["draw_history"]


_SIZE_INCHES = (4.4, 6.0)
_PHASE_NAMES = {"frozen": "frozen", "finetuning": "fine-tuning"}
_LEAST_ERROR = 1e-3
"""Errors well below this share are no longer told apart on the axis of accuracy; it ends at 1 all the same."""
_TICKS = (
    (0.0, 1.0, 0.5, 0.9, 0.99, 0.999, 0.8, 0.95, 0.98, 0.995, 0.998),
    (*(i / 10 for i in range(10)), *(i / 20 for i in range(20)), *(i / 100 for i in range(80, 100))),
    (*(i / 100 for i in range(100)), *(i / 1000 for i in range(990, 1000))),
    (*(i / 1000 for i in range(1000)), *(i / 10_000 for i in range(9_900, 10_000))),
)
"""Where the axis of accuracy may be marked; a finer row is asked only if those before leave it too bare."""


def draw_history(epochs: Sequence[Epoch], *, title: str) -> Figure:
    """Draw loss above accuracy, of train and val, over the epochs.

    The best epoch is that of the least loss on ``val``. Losses that span more than a factor of ten stand on a
    logarithmic axis.

    Args:
        epochs: At least one, in their order.
        title: A line above all.

    Returns:
        A figure, for `crackscope.reports.plots.png_bytes`.

    Raises:
        DataError: If there is no epoch.
    """
    if not epochs:
        raise DataError("No epoch to draw. Train for at least one.")
    figure = blank_sheet()
    figure.set_size_inches(*_SIZE_INCHES)
    above, below = figure.subplots(2, 1, sharex=True)
    figure.suptitle(drawable(title), fontsize=12, weight="bold", color=INK, parse_math=False)
    losses = _draw_pair(above, epochs, "loss")
    accuracies = _draw_pair(below, epochs, "accuracy")
    _scale_loss(above, losses)
    _scale_accuracy(below, accuracies)
    _mark_best(above, below, epochs)
    _mark_phases(above, below, epochs)
    _scale_epochs(below, epochs)
    handles, labels = above.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8.5, labelcolor=INK, frameon=False)
    return figure


def _draw_pair(axes: Axes, epochs: Sequence[Epoch], quantity: str) -> Float64Array:
    """Draw the curves of train and val, and return their finite values."""
    numbers = [epoch.number for epoch in epochs]
    marked = len(epochs) <= 15  # a marker an epoch, as long as they do not touch
    drawn = []
    for part, colour, dashes, marker in (("train", AMBER, DASHES, "s"), ("val", BLUE, "-", "o")):
        values = np.array([getattr(epoch, f"{part}_{quantity}") for epoch in epochs], np.float64)
        axes.plot(
            numbers,
            values,
            color=colour,
            linestyle=dashes,
            linewidth=2,
            marker=marker if marked else None,
            markersize=4.5,
            clip_on=False,
            label=part,
        )
        drawn.append(values)
    values = np.concatenate(drawn)
    return values[np.isfinite(values)]


def _scale_loss(axes: Axes, losses: Float64Array) -> None:
    dress_axes(axes, ("", "Loss"))
    if losses.size == 0:
        return
    low, high = float(losses.min()), float(losses.max())
    if low <= 0 or high <= 10 * low:
        axes.set_ylim(min(0.0, 1.05 * low), 1.05 * high if high > 0 else 1)
        return
    axes.set_yscale("log")
    axes.set_ylim(low / 1.2, high * 1.2)
    axes.set_ylabel("Loss (logarithmic)")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda loss, _: f"{loss:g}"))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 100 * low else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())


def _stretch(accuracies: Float64Array) -> Float64Array:
    errors = np.maximum(1 + _LEAST_ERROR - np.asarray(accuracies, np.float64), _LEAST_ERROR / 2)
    return np.asarray(-np.log10(errors), np.float64)


def _unstretch(heights: Float64Array) -> Float64Array:
    return np.asarray(1 + _LEAST_ERROR - 10 ** -np.asarray(heights, np.float64), np.float64)


def _scale_accuracy(axes: Axes, accuracies: Float64Array) -> None:
    dress_axes(axes, ("Epoch", "Accuracy (stretched towards 1)"))
    axes.set_yscale("function", functions=(_stretch, _unstretch))
    if accuracies.size == 0:
        return
    heights = _stretch(accuracies)
    margin = max(0.1, 0.06 * float(np.ptp(heights)))
    low, high = float(heights.min()) - margin, float(heights.max()) + margin
    axes.set_ylim(*_unstretch(np.array([low, high])))
    axes.yaxis.set_major_locator(FixedLocator(_accuracy_ticks(low, high)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda accuracy, _: f"{accuracy:g}"))


def _accuracy_ticks(low: float, high: float) -> list[float]:
    """Round accuracies between two heights of the stretched axis, none too near to another."""
    ticks: dict[float, float] = {}
    for candidates in _TICKS:
        for accuracy in candidates:
            height = float(_stretch(np.array(accuracy)))
            if low <= height <= high and all(abs(height - other) >= 0.09 * (high - low) for other in ticks.values()):
                ticks[accuracy] = height
        if len(ticks) >= 5:
            break
    return sorted(ticks)


def _mark_best(above: Axes, below: Axes, epochs: Sequence[Epoch]) -> None:
    """A ring around the best epoch on both curves of val, and what was reached there above each panel."""
    best = best_epoch(epochs)
    if best is None:
        return
    label = "best epoch: least loss on val"
    for axes, value in ((above, best.val_loss), (below, best.val_accuracy)):
        axes.plot(
            best.number,
            value,
            "o",
            markerfacecolor="none",
            markeredgecolor=VERMILION,
            markeredgewidth=2,
            markersize=11,
            clip_on=False,
            zorder=4,
            label=label,
        )
    for axes, text in ((above, f"{best.val_loss:.3g}"), (below, f"{best.val_accuracy:.4f}")):
        axes.set_title(f"epoch {best.number}: val {text}", loc="right", fontsize=8.5, color=VERMILION, pad=4)


def _mark_phases(above: Axes, below: Axes, epochs: Sequence[Epoch]) -> None:
    """A line between two phases, and the name of each above its epochs."""
    for earlier, later in itertools.pairwise(epochs):
        if earlier.phase != later.phase:
            for axes in (above, below):
                axes.axvline((earlier.number + later.number) / 2, color=MUTED, linewidth=1, linestyle=":")
    names = [_PHASE_NAMES.get(phase, phase) for phase, _ in itertools.groupby(epochs, lambda epoch: epoch.phase)]
    above.set_title(" ┊ ".join(names), loc="left", fontsize=8.5, color=MUTED, pad=4)


def _scale_epochs(axes: Axes, epochs: Sequence[Epoch]) -> None:
    margin = max(0.5, 0.02 * len(epochs))
    axes.set_xlim(epochs[0].number - margin, epochs[-1].number + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=8))
