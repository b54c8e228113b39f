"""A folder on a model's robustness: the chart, the table, and what each corruption looks like."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from crackscope.arrays import UInt8Array
from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crackscope.files.output import new_folder, write_text
from crackscope.measuring.robustness import Robustness
from crackscope.reports.contact_sheet import contact_sheet
from crackscope.reports.look import BLUE, DASHES, INK, MUTED, VERMILION, blank_sheet, drawable, dress_axes, png_bytes
from crackscope.reports.page import picture_bytes
from crackscope.reports.wording import LEAKY

__all__ = ["FILES", "draw_robustness", "write_robustness"]


FILES = ("robustness.json", "robustness.csv", "robustness.png", "corruptions.png")
"""What `write_robustness` writes."""

_COLUMNS = 4
_SIZE_INCHES = (9.2, 7.4)
_SIDE_PX = 140


def write_robustness(
    found: Robustness, out: Path, *, sample: UInt8Array | None = None, overwrite: bool = False
) -> Path:
    """Write figures, chart and samples into a folder, which appears whole.

    Args:
        found: From `crackscope.measuring.robustness.measure_robustness`.
        out: The folder.
        sample: A patch to show every corruption on; without it, that picture holds none.
        overwrite: Replace a folder that holds nothing else.

    Raises:
        OutputError: If `out` is taken, or cannot be written.
    """
    out = Path(out)
    with new_folder(out, ours=FILES, overwrite=overwrite) as part:
        write_text(part / "robustness.json", json.dumps(found.document(), indent=2, allow_nan=False) + "\n")
        write_text(part / "robustness.csv", _table(found))
        (part / "robustness.png").write_bytes(png_bytes(draw_robustness(found)))
        (part / "corruptions.png").write_bytes(picture_bytes(_sheet(sample), ".png"))
    return out


def draw_robustness(found: Robustness) -> Figure:
    """Recall and false alarms by strength, a small plot a corruption; strength 0 is the patch as it is.

    A thin grey line is the share of patches that the model's gate rejects, where it has one.
    """
    figure = blank_sheet()
    figure.set_size_inches(*_SIZE_INCHES)
    rows = -(-len(CORRUPTIONS) // _COLUMNS)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True).ravel()
    mark = f" ({LEAKY})" if found.n_seen else ""
    title = f"{found.model} on {found.dataset}{mark}: mean corruption error {found.mean_corruption_error:.3f}"
    figure.suptitle(drawable(title), fontsize=11, weight="bold", color=INK, parse_math=False)
    curves: tuple[tuple[str, str, str, Any], ...] = (
        ("recall_crack", "recall of crack", BLUE, "-"),
        ("false_alarm_rate", "false alarm rate", VERMILION, DASHES),
    )
    for axes, name in zip(grid, CORRUPTIONS, strict=False):
        conditions = (found.clean, *found.of(name))
        strengths = [one.strength for one in conditions]
        for key, label, colour, dashes in curves:
            figures = [one.figures[key] for one in conditions]
            values, lows, highs = ([getattr(one, end) for one in figures] for end in ("value", "low", "high"))
            axes.plot(strengths, values, color=colour, linestyle=dashes, marker="o", markersize=3.5, label=label)
            axes.fill_between(strengths, lows, highs, color=colour, alpha=0.15, linewidth=0)
        away = [one.rejected_share for one in conditions if one.rejected_share is not None]
        if away:
            axes.plot(strengths, away, color=MUTED, linewidth=0.9, label="rejected")
        dress_axes(axes, ("", ""))
        axes.set_title(name.replace("_", " "), fontsize=9.5, color=INK)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks([0, *STRENGTHS])
    for axes in grid[len(CORRUPTIONS) :]:
        axes.set_axis_off()
    figure.supxlabel("strength", fontsize=10, color=MUTED)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=3, fontsize=9, labelcolor=INK, frameon=False)
    return figure


def _table(found: Robustness) -> str:
    stream = io.StringIO()
    names = list(found.clean.figures)
    writer = csv.writer(stream, lineterminator="\n")
    shares = ("unsure_share", "rejected_share", "missed_unrejected")
    writer.writerow(
        ["corruption", "strength", *(f"{name}{end}" for name in names for end in ("", "_low", "_high")), *shares]
    )
    for one in found.conditions:
        numbers = [value for name in names for value in one.figures[name].document().values()]
        numbers += [getattr(one, share) for share in shares]
        writer.writerow([one.corruption, one.strength, *("" if n is None else f"{n:.6g}" for n in numbers)])
    return stream.getvalue()


def _sheet(sample: UInt8Array | None) -> UInt8Array:
    items: list[tuple[UInt8Array, str]] = []
    if sample is not None:
        show: Callable[[str, int], UInt8Array] = lambda name, strength: corrupt(sample, name, strength)  # noqa: E731
        items = [(show(name, s), f"{name.replace('_', ' ')} {s}") for name in CORRUPTIONS for s in STRENGTHS]
    return contact_sheet(items, columns=len(STRENGTHS), side_px=_SIDE_PX, title="Every corruption at every strength")
