"""Robustness reports: the chart, the table, what each corruption looks like, and a page with all of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from crackscope.arrays import UInt8Array
from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crackscope.errors import CrackscopeError
from crackscope.files.output import json_text, write_folder
from crackscope.files.tables import table_text
from crackscope.measuring.robustness import ALWAYS_CRACK_ERROR, Robustness
from crackscope.measuring.wording import LEAKY, method_text, percent_text, seen_text
from crackscope.reports.contact_sheet import contact_sheet
from crackscope.reports.look import BLUE, DASHES, INK, MUTED, VERMILION, blank_sheet, drawable, dress_axes, png_bytes
from crackscope.reports.page import ReadImage, data_uri, environment, picture_bytes

__all__ = ["FILES", "MEANINGS", "draw_robustness", "write_robustness"]


FILES = ("robustness.json", "robustness.csv", "robustness.png", "corruptions.png", "report.html")
"""What `write_robustness` writes."""

MEANINGS = {
    "motion_blur": "The camera moved while it took the picture.",
    "defocus": "The camera was out of focus.",
    "noise": "Grain, as in the dark or at a high ISO.",
    "jpeg": "The file was saved at a low JPEG quality, as by a messenger.",
    "brightness": "Overexposed or underexposed.",
    "contrast": "Flat light or haze: greys lie closer together.",
    "shadow_edge": "The straight edge of a shadow runs across the picture.",
    "stain": "A dark stain, damp or rusty, with an uneven edge.",
    "smaller": "Taken from farther away: the wall looks smaller.",
    "larger": "Taken from nearer: the wall looks larger.",
    "rotation": "The camera was turned.",
}
"""What each corruption stands for, in the words of somebody who takes photographs."""

_N_REFUSED_LISTED = 50
_COLUMNS = 4
_SIZE_INCHES = (9.2, 7.4)
_SIDE_PX = 140


def write_robustness(
    found: Robustness, out: str | Path, *, read_image: ReadImage | None = None, overwrite: bool = False
) -> Path:
    """Write a model's robustness into a folder: figures, chart, a picture of each corruption. The folder appears whole.

    Args:
        found: Outcome from `crackscope.measure_robustness`.
        out: Path of the folder; missing parent folders are made.
        read_image: Function from a path of the data to RGB pixels, uint8, shape (h, w, 3), for the patch that
            corruptions are shown on; it is read from the data if left out. If the patch cannot be read, the picture
            shows none.
        overwrite: Whether an older report on robustness is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``robustness.json``, ``robustness.csv``, ``robustness.png``, ``corruptions.png``
        and ``report.html``.

    Raises:
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    read_image = read_image or (found.index.read_pixels if found.index else None)
    return write_folder(out, _files(found, read_image), ours=FILES, overwrite=overwrite)


def _files(found: Robustness, read_image: ReadImage | None) -> Iterator[tuple[str, str | bytes]]:
    yield "robustness.json", json_text(found.document())
    yield "robustness.csv", _table(found)
    chart = png_bytes(draw_robustness(found))
    yield "robustness.png", chart
    sample = None
    if found.sample is not None and read_image is not None:
        with suppress(OSError, KeyError, ValueError, CrackscopeError):  # it went after it was judged: the figures stand
            sample = read_image(found.sample)
    sheet = _sheet(sample)
    yield "corruptions.png", picture_bytes(sheet, ".png")
    yield "report.html", _page(found, chart, picture_bytes(sheet, ".jpg") if sample is not None else None)


def draw_robustness(found: Robustness) -> Figure:
    """Recall and false alarms by strength, a small plot a corruption; strength 0 is the patch as it is.

    A thin grey line is the share of patches that the model's gate rejects, where it has one.
    """
    figure = blank_sheet()
    figure.set_size_inches(*_SIZE_INCHES)
    rows = -(-len(CORRUPTIONS) // _COLUMNS)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, sharey=True).ravel()
    mark = f" ({LEAKY})" if found.leaky else ""
    title = f"Mean corruption error {found.mean_corruption_error:.3f}{mark}"
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
        axes.set_title(_title(name), fontsize=9.5, color=INK)
        axes.set_ylim(-0.03, 1.03)
        axes.set_xticks([0, *STRENGTHS])
    for axes in grid[len(CORRUPTIONS) :]:
        axes.set_axis_off()
    figure.supxlabel("strength", fontsize=10, color=MUTED)
    handles, labels = grid[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower right", ncols=3, fontsize=9, labelcolor=INK, frameon=False)
    return figure


def _table(found: Robustness) -> str:
    names = list(found.clean.figures)
    shares = ("unsure_share", "rejected_share", "missed_unrejected")
    figures = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
    rows = []
    for one in found.conditions:
        numbers = [value for name in names for value in one.figures[name].document().values()]
        numbers += [getattr(one, share) for share in shares]
        rows.append([one.corruption, one.strength, *("" if n is None else f"{n:.6g}" for n in numbers)])
    return table_text(["corruption", "strength", *figures, *shares], rows)


def _page(found: Robustness, chart: bytes, sheet: bytes | None) -> str:
    ranked = sorted(CORRUPTIONS, key=found.corruption_error, reverse=True)
    return (
        environment()
        .get_template("robustness.html")
        .render(
            found=found,
            ranked=ranked,
            meanings=MEANINGS,
            strengths=STRENGTHS,
            always_crack_error=ALWAYS_CRACK_ERROR,
            who=seen_text(found.n_seen, found.n_seen_by_backbone, found.n_patches) if found.n_seen else None,
            chart=data_uri(chart, "png"),
            alternative=_chart_words(found),
            sheet=data_uri(sheet, "jpeg") if sheet is not None else None,
            refused=found.refused[:_N_REFUSED_LISTED],
            method=method_text(found.cluster_kind),
        )
    )


def _chart_words(found: Robustness) -> str:
    """The chart in words: what is left of the recall at the greatest strength."""
    clean = percent_text(found.clean.figures["recall_crack"].value)
    left = (f"{_title(name)} {percent_text(found.of(name)[-1].figures['recall_crack'].value)}" for name in CORRUPTIONS)
    return f"Recall and false alarms by corruption and strength. Recall: {clean} as they are; at 5: {', '.join(left)}."


def _title(corruption: str) -> str:
    return corruption.replace("_", " ")


def _sheet(sample: UInt8Array | None) -> UInt8Array:
    items: list[tuple[UInt8Array, str]] = []
    if sample is not None:
        items = [(corrupt(sample, name, s), f"{_title(name)} {s}") for name in CORRUPTIONS for s in STRENGTHS]
    return contact_sheet(items, columns=len(STRENGTHS), side_px=_SIDE_PX, title="Every corruption at every strength")
