"""Comparison reports: training runs side by side as a table, as JSON and as a plot."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from rich.cells import cell_len

from crackscope.files.output import json_text, write_folder
from crackscope.files.tables import table_text
from crackscope.measuring.comparison import SHOWN, Comparison, RunSummary, Speed
from crackscope.measuring.metrics import Estimate
from crackscope.measuring.paired import PairedTest
from crackscope.measuring.wording import FIGURES, LEAKY, interval_text, method_text, number_text
from crackscope.reports.look import BLUE, DASHES, GRID, INK, MUTED, VERMILION, drawable, dress_axes, png_bytes

__all__ = ["FILES", "comparison_document", "comparison_plot", "comparison_text", "write_comparison"]

FILES = ("comparison.csv", "comparison.json", "comparison.png")
"""What `write_comparison` writes."""

_TABLE_LETTERS = 48  # longest name in the printed table; the files hold the whole name
_NAME_LETTERS = 34  # longest line of a name in the plot
_NAME_LINES = 4
_NOTE_LETTERS = 112  # longest line of the notes below the plot
_LINE_INCHES = 0.17
_WIDTH_INCHES = 7.6
_LEAST_SPAN = 0.02  # least range of the axis, so that a difference of one patch does not look large


def write_comparison(found: Comparison, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write a comparison into a folder: the table, the document and the plot. The folder appears whole.

    Args:
        found: Outcome from `crackscope.compare`.
        out: Path of the folder; missing parent folders are made.
        overwrite: Whether an older comparison is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``comparison.csv``, ``comparison.json`` and ``comparison.png``.

    Raises:
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    return write_folder(out, _files(found), ours=FILES, overwrite=overwrite)


def _files(found: Comparison) -> Iterator[tuple[str, str | bytes]]:
    yield "comparison.csv", _csv_text(found)
    yield "comparison.json", json_text(comparison_document(found))
    yield "comparison.png", png_bytes(comparison_plot(found))


def comparison_document(comparison: Comparison) -> dict[str, object]:
    """Make the content of ``comparison.json``: runs, all pairs, and warnings. Unknown values are null."""
    return {
        "reference": comparison.reference.name,
        "runs": [_run_document(run) for run in comparison.runs],
        "pairs": [_pair_document(pair) for pair in comparison.pairs],
        "warnings": list(comparison.warnings),
    }


def comparison_text(comparison: Comparison) -> str:
    """Write two tables for the terminal: the figures of each run, and each run against the first run."""
    tests: list[PairedTest | None] = [None, *comparison.against_reference]
    names = [_short(_marked(run), _TABLE_LETTERS) for run in comparison.runs]
    figures = [_figure_cells(run, test) for run, test in zip(comparison.runs, tests, strict=True)]
    titles = ["run", "recipe", "part", "patches", "accuracy", "95 % interval", "F1 of crack", "log loss", "McNemar p"]
    titles += ["train s", "parameters", "MB", "images/s"]
    lines = _table(titles, [[name, *cells] for name, cells in zip(names, figures, strict=True)], n_left=3)
    reference = _short(comparison.reference.name, 20)
    titles = [f"against {reference}", "common", "only it wrong", f"only {reference} wrong", "p"]
    titles += ["accuracy gain", "95 % interval"]
    rows = [[name, *_test_cells(test)] for name, test in zip(names[1:], comparison.against_reference, strict=True)]
    lines += ["", *_table(titles, rows, n_left=1), "", *_notes(comparison)]
    return "\n".join([*lines, *(f"Look: {warning}" for warning in comparison.warnings)])


def comparison_plot(comparison: Comparison) -> Figure:
    """Plot the accuracy of each run with its 95 % interval, in the given order; a dashed line marks the first run."""
    labels = [_label_lines(run) for run in comparison.runs]
    heights = [max(2.6, len(lines) + 1.2) for lines in labels]  # height of each run, in lines of text
    notes = _plot_notes(comparison)
    inches = _LINE_INCHES * (sum(heights) + notes.count("\n") + 1) + 1.1
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=(_WIDTH_INCHES, inches), facecolor="white", layout=layout)
    FigureCanvasAgg(figure)
    figure.suptitle("Accuracy of the runs, with 95 % intervals", fontsize=12, weight="bold", color=INK)
    figure.supxlabel(notes, parse_math=False, fontsize=7.5, color=MUTED, linespacing=1.4, ha="left", x=0.02)
    axes = figure.subplots()
    dress_axes(axes, ("Accuracy", ""))
    axes.grid(visible=False, axis="y")
    ends = [_ends(run.metrics["accuracy"]) for run in comparison.runs]
    low, high = min(end[0] for end in ends), max(_LEAST_SPAN, *(end[1] for end in ends))
    low = min(low, high - _LEAST_SPAN)
    margin = 0.06 * (high - low)  # less than the distance of two ticks, so that no tick lies beyond 1
    axes.set_xlim(low - margin, high + margin)
    axes.set_ylim(sum(heights), 0)  # the first run on top
    axes.axvline(comparison.reference.metrics["accuracy"].value, color=MUTED, linewidth=1, linestyle=DASHES)
    centres = [sum(heights[:i]) + height / 2 for i, height in enumerate(heights)]
    for run, end, centre in zip(comparison.runs, ends, centres, strict=True):
        _draw_run(axes, run, end, centre)
    axes.set_yticks(centres, ["\n".join(lines) for lines in labels])
    for tick, run in zip(axes.get_yticklabels(), comparison.runs, strict=True):
        tick.set(parse_math=False, fontsize=8.5, linespacing=1.25, color=VERMILION if run.leaky else INK)
    values = axes.secondary_yaxis("right")
    values.set_yticks(centres, [_value_text(run.metrics["accuracy"]) for run in comparison.runs])
    values.tick_params(length=0, labelsize=8.5, labelcolor=INK)
    values.spines[:].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for edge in (sum(heights[:i]) for i in range(1, len(heights))):
        axes.axhline(edge, color=GRID, linewidth=0.8)
    return figure


def _draw_run(axes: Axes, run: RunSummary, ends: tuple[float, float], centre: float) -> None:
    """Draw a dot and its whisker; a leaky run gets a hollow dot and another colour."""
    colour = VERMILION if run.leaky else BLUE
    axes.plot(ends, (centre, centre), color=colour, linewidth=2.2, marker="|", markersize=9, markeredgewidth=2.2)
    value = run.metrics["accuracy"].value
    fill = "white" if run.leaky else colour
    axes.plot(value, centre, "o", color=colour, markerfacecolor=fill, markersize=8, clip_on=False, zorder=4)


# The document and the table as CSV


def _run_document(run: RunSummary) -> dict[str, object]:
    return {
        "name": run.name,
        "folder": run.folder,
        "recipe": run.recipe,
        **{name: figure.document() for name, figure in run.metrics.items()},
        "always_crack": {name: None if math.isnan(value) else value for name, value in run.always_crack.items()},
        "dataset": run.dataset,
        "part": run.part,
        "n_patches": run.n_patches,
        "n_photos": run.n_photos,
        "resampled": run.resampled,
        "leaky": run.leaky,
        "split_sha256": run.split_sha256 or None,
        "train_seconds": run.train_seconds,
        "n_parameters": run.n_parameters,
        "n_trainable": run.n_trainable,
        "model_mb": run.model_mb,
        "images_per_s": None if run.images_per_s is None else asdict(run.images_per_s),
        "n_clusters_crack": run.n_clusters_crack,
        "n_clusters_uncracked": run.n_clusters_uncracked,
    }


def _pair_document(pair: PairedTest) -> dict[str, object]:
    return {
        "first": pair.first,
        "second": pair.second,
        "n_common": pair.n_common,
        "n_photos": pair.n_photos,
        "n_only_first_wrong": pair.n_only_first_wrong,
        "n_only_second_wrong": pair.n_only_second_wrong,
        "mcnemar_p": None if math.isnan(pair.p) else pair.p,
        "accuracy_gain": pair.accuracy_gain.document(),
        "note": pair.note or None,
    }


def _csv_text(comparison: Comparison) -> str:
    """Table with a row per run, as CSV; unknown values are empty."""
    tests: list[PairedTest | None] = [None, *comparison.against_reference]
    rows = [_csv_row(run, test) for run, test in zip(comparison.runs, tests, strict=True)]
    return table_text(list(rows[0]), [list(row.values()) for row in rows])


def _csv_row(run: RunSummary, test: PairedTest | None) -> dict[str, object]:
    document, speed = _run_document(run), run.images_per_s
    row: dict[str, object] = {name: value for name, value in document.items() if name not in (*SHOWN, "always_crack")}
    row["images_per_s"] = None if speed is None else speed.median
    for name in SHOWN:
        row |= {**_flat(name, run.metrics[name]), f"{name}_always_crack": run.always_crack[name]}
    tested = None if test is None or test.note else test
    row |= {
        "n_common": test.n_common if test else None,
        "n_only_reference_wrong": tested.n_only_first_wrong if tested else None,
        "n_only_this_wrong": tested.n_only_second_wrong if tested else None,
        "mcnemar_p": tested.p if tested else None,
    }
    return row | _flat("accuracy_gain", tested.accuracy_gain if tested else Estimate(math.nan, math.nan, math.nan))


def _flat(name: str, estimate: Estimate) -> dict[str, float | None]:
    document = estimate.document()
    return {name: document["value"], f"{name}_low": document["low"], f"{name}_high": document["high"]}


# For people


def _figure_cells(run: RunSummary, test: PairedTest | None) -> list[str]:
    accuracy, f1_crack, log_loss = (run.metrics[name] for name in SHOWN)
    p = "reference" if test is None else _p_text(test)
    return [
        run.recipe,
        run.part or "all",
        f"{run.n_patches:,}",
        number_text(accuracy.value),
        interval_text(accuracy),
        number_text(f1_crack.value),
        number_text(log_loss.value),
        p,
        "n/a" if run.train_seconds is None else f"{run.train_seconds:,.{0 if run.train_seconds >= 100 else 1}f}",
        f"{run.n_parameters:,}",
        f"{run.model_mb:,.{1 if run.model_mb >= 1 else 3}f}",
        "n/a" if run.images_per_s is None else _speed_text(run.images_per_s),
    ]


def _speed_text(speed: Speed) -> str:
    """Write a median and its quartiles.

    Example:
        >>> _speed_text(Speed(median=441.7, low=390.2, high=446.0))
        '442 (390–446)'
    """
    median, low, high = (f"{rate:,.{0 if speed.median >= 10 else 1}f}" for rate in astuple(speed))
    return f"{median} ({low}–{high})"


def _test_cells(test: PairedTest) -> list[str]:
    if test.note:
        return [f"{test.n_common:,}", "", "", test.note, "", ""]
    gain = test.accuracy_gain
    interval = "" if math.isnan(gain.low) else f"{_signed(gain.low)} to {_signed(gain.high)}"
    counts = (test.n_common, test.n_only_second_wrong, test.n_only_first_wrong)
    return [*(f"{count:,}" for count in counts), _p_text(test), _signed(gain.value), interval]


def _p_text(test: PairedTest) -> str:
    return test.note or number_text(test.p)


def _signed(number: float) -> str:
    """Write a difference of shares with its sign.

    Example:
        >>> _signed(0.0125), _signed(-0.004), _signed(0.0)
        ('+0.0125', '-0.0040', '0.0000')
    """
    return f"{number:+.4f}" if number else "0.0000"


def _notes(comparison: Comparison) -> list[str]:
    """List notes that explain the table."""
    resampled = " and ".join(dict.fromkeys(run.resampled for run in comparison.runs))
    notes = [
        *(
            f"Calling everything crack, on {names}: "
            + ", ".join(f"{FIGURES[name].title} {number_text(figures[name])}" for name in SHOWN)
            for names, figures in comparison.baselines
        ),
        f"{method_text(resampled)} Of the gain: bootstrap over photos or groups as both runs know them.",
        *comparison.few,
        "p: McNemar's exact test, one pair at a time. Patches of one photo are not independent, so it is optimistic.",
    ]
    if any(run.images_per_s is not None for run in comparison.runs):
        notes.append("images/s: median (quartiles), measured now on one thread, with resizing and without decoding.")
    return notes


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]], *, n_left: int) -> list[str]:
    """Align cells in columns: the first `n_left` columns to the left, the rest to the right.

    Example:
        >>> print(*_table(["run", "MB"], [["head", "9.3"], ["full fine-tuning", "94.1"]], n_left=1), sep="\\n")
        run                 MB
        head               9.3
        full fine-tuning  94.1
    """
    widths = [max(map(cell_len, column)) for column in zip(titles, *rows, strict=True)]
    lines = []
    for cells in (titles, *rows):
        gaps = [" " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)]
        even = [cell + gap if i < n_left else gap + cell for i, (cell, gap) in enumerate(zip(cells, gaps, strict=True))]
        lines.append("  ".join(even).rstrip())
    return lines


def _marked(run: RunSummary) -> str:
    return f"{run.name} ({LEAKY})" if run.leaky else run.name


def _short(name: str, letters: int) -> str:
    """Shorten a long name by leaving out its middle.

    Example:
        >>> _short("mobilenet_v2-full-seed-0", 15)
        'mobilen…-seed-0'
    """
    return name if len(name) <= letters else f"{name[: letters // 2]}…{name[-((letters - 1) // 2) :]}"


def _label_lines(run: RunSummary) -> list[str]:
    """Lines that label a run in the plot: its name, shortened if it takes too many lines, and its patches."""
    name = textwrap.wrap(drawable(_marked(run)), _NAME_LETTERS) or [""]
    if len(name) > _NAME_LINES:
        name = [*name[: _NAME_LINES - 1], f"…{name[-1]}"]
    return [*name, f"{run.part or 'all'}, {run.n_patches:,} patches"]


def _ends(estimate: Estimate) -> tuple[float, float]:
    """Ends of a whisker; both lie at the dot if there is no interval."""
    if math.isnan(estimate.low) or math.isnan(estimate.high):
        return estimate.value, estimate.value
    return estimate.low, estimate.high


def _value_text(estimate: Estimate) -> str:
    return f"{number_text(estimate.value)}\n{interval_text(estimate) or 'no interval'}"


def _plot_notes(comparison: Comparison) -> str:
    resampled = " and ".join(dict.fromkeys(run.resampled for run in comparison.runs))
    datasets = " and ".join(dict.fromkeys(run.dataset for run in comparison.runs))
    lines = [
        *(
            f"Calling everything crack, on {names}: accuracy {number_text(figures['accuracy'])}."
            for names, figures in comparison.baselines
        ),
        f"Judged on {datasets}. Whiskers: 95 % interval over {resampled}.",
        f"Dashed: {comparison.reference.name}. Whiskers that overlap do not make runs equal: see the paired test.",
        *comparison.few,
        *comparison.warnings,
    ]
    return "\n".join(part for line in lines for part in textwrap.wrap(drawable(line), _NOTE_LETTERS))
