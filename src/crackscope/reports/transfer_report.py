"""Transfer reports: a picture of the matrix, a table of all tests, and a page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from crackscope.files.output import json_text, write_files, write_folder
from crackscope.files.tables import table_text
from crackscope.measuring.transfer import FIGURES, KINDS, Transfer, all_but
from crackscope.measuring.wording import FIGURES as TITLES
from crackscope.measuring.wording import LEAKY, method_text, number_text
from crackscope.reports.look import BLUE, GRID, INK, MUTED, VERMILION, blank_sheet, drawable, png_bytes
from crackscope.reports.page import data_uri, environment

__all__ = ["REPORT_FILES", "draw_transfer", "write_transfer", "write_transfer_report"]


REPORT_FILES = ("report.html", "transfer.csv", "transfer.json", "transfer.png")
"""What `write_transfer` writes."""

KIND_WORDS = {
    "own set": "On new photos of its own training set",
    "another set": "On another set, after training on one set",
    "all other sets": "On another set, after training on all other sets",
}
"""Names of the `crackscope.measuring.transfer.KINDS` on the page."""

_GAP = 0.35  # height of the gap, in cells, between trainings on one set and trainings on all but one
_N_REFUSED_LISTED = 20


@dataclass(frozen=True)
class _SetRow:
    """A set, and how many of its patches were used; ranges over the seeds."""

    document: dict[str, object]
    trained: str
    tested: str
    photos: str


def write_transfer(found: Transfer, out: str | Path, *, overwrite: bool = False) -> Path:
    """Write a transfer into a folder: figures, table, picture and page. The folder appears whole.

    `crackscope.measure_transfer` has written them already, beside its models.

    Args:
        found: Outcome from `crackscope.measure_transfer`.
        out: Path of the folder; missing parent folders are made.
        overwrite: Whether an older report of a transfer is replaced; a folder that holds anything else never is.

    Returns:
        The path of the folder, with ``report.html``, ``transfer.csv``, ``transfer.json`` and ``transfer.png``.

    Raises:
        OutputError: If `out` is taken, holds anything else, or cannot be written.
    """
    return write_folder(out, _files(found, models=False), ours=REPORT_FILES, overwrite=overwrite)


def write_transfer_report(found: Transfer, folder: Path) -> None:
    """Write figures, table, picture and page into an existing folder that holds the models.

    Raises:
        OutputError: If one of them is taken, or cannot be written.
    """
    write_files(folder, _files(found, models=True))


def _files(found: Transfer, *, models: bool) -> Iterator[tuple[str, str | bytes]]:
    picture = png_bytes(draw_transfer(found))
    yield "transfer.json", json_text(found.document())
    yield "transfer.csv", _table(found)
    yield "transfer.png", picture
    yield "report.html", _page(found, picture, models=models)


def draw_transfer(found: Transfer) -> Figure:
    """Draw AUROC and F1 as two matrices: a row per training, a column per tested set, means over the seeds.

    A blue cell is better than chance (AUROC), or than calling every patch crack (F1); an orange cell is worse. A frame
    marks a test on new photos of a training set.
    """
    figure = blank_sheet()
    n_rows, n_columns = len(found.sources), len(found.targets)
    longest = max(map(len, (*found.sources, *found.targets)))
    figure.set_size_inches(2.2 + 0.075 * longest + 2 * n_columns * max(0.82, 0.062 * longest), 2.3 + 0.46 * n_rows)
    mark = f" (some {LEAKY})" if found.leaky else ""
    title = f"Recipe {found.recipe}: trained on one set, tested on another{mark}"
    figure.suptitle(drawable(title), fontsize=12, weight="bold", color=INK, parse_math=False)
    base = float(np.mean([found.always_crack_f1(target) for target in found.targets]))
    panels = (("auroc", 0.5, "AUROC; 0.5 is chance"), ("f1_crack", base, f"F1 of crack; always “crack”: {base:.3f}"))
    for axes, (name, worthless, words) in zip(figure.subplots(1, 2, sharey=True).ravel(), panels, strict=True):
        _draw_matrix(axes, found, name, worthless)
        axes.set_title(words, fontsize=10, color=INK, pad=8)
    n = len(found.seeds)
    seeds = f"mean of {n} seeds" if n > 1 else f"seed {found.seeds[0]}"
    note = f"{seeds}; framed cells: tested on new photos of a training set\n"
    note += "blue: better than chance, or than always “crack”; orange: worse"
    figure.supxlabel(note, fontsize=8.5, color=MUTED, parse_math=False)
    return figure


def _draw_matrix(axes: Axes, found: Transfer, name: str, worthless: float) -> None:
    heights = [row + (_GAP if len(found.of(source, found.targets[0])[0].trained_on) > 1 else 0)
               for row, source in enumerate(found.sources)]  # fmt: skip
    for y, source in zip(heights, found.sources, strict=True):
        for x, target in enumerate(found.targets):
            value = found.mean(source, target)[name].value
            tests = found.of(source, target)
            colour = _colour(value, worthless)
            axes.add_patch(Rectangle((x, y), 1, 1, facecolor=colour, edgecolor=GRID, linewidth=0.8))
            text = f"{number_text(value)}\n{LEAKY}" if any(one.leaky for one in tests) else number_text(value)
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=10, color=INK, linespacing=1.1)
            if target in tests[0].trained_on:
                axes.add_patch(Rectangle((x + 0.06, y + 0.08), 0.88, 0.84, fill=False, edgecolor=INK, linewidth=1.3))
    axes.set_xlim(0, len(found.targets))
    axes.set_ylim(heights[-1] + 1, 0)
    axes.set_xticks(np.arange(len(found.targets)) + 0.5, [drawable(target) for target in found.targets])
    axes.set_yticks(np.array(heights) + 0.5, [drawable(source) for source in found.sources])
    for tick in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        tick.set(parse_math=False, fontsize=9.5, color=INK)
    axes.tick_params(length=0)
    axes.set_facecolor("white")
    axes.spines[:].set_visible(False)


def _colour(value: float, worthless: float) -> tuple[float, float, float]:
    """Give the colour of a cell: white at `worthless`, bluer above it, more orange below; grey if undefined."""
    if not np.isfinite(value):
        return to_rgb("#cccccc")
    above = value >= worthless
    share = (value - worthless) / (1 - worthless) if above else (worthless - value) / worthless
    red, green, blue = (1 - 0.7 * share * (1 - part) for part in to_rgb(BLUE if above else VERMILION))
    return red, green, blue


def _table(found: Transfer) -> str:
    """Table with a row per test, as CSV."""
    facts = ("seed", "source", "target", "kind", "n_train", "n_val", "n_patches", "n_photos", "photo_kind", "threshold")
    figures = [f"{name}{end}" for name in FIGURES for end in ("", "_low", "_high")]
    rows = []
    for one in found.tests:
        numbers = [number for name in FIGURES for number in one.figures[name].document().values()]
        told = [_cell(number) for number in (*numbers, one.always_crack_f1)]
        leaky, kind = str(one.leaky).lower(), one.kind or "one of the sets"
        values = (kind if name == "kind" else getattr(one, name) for name in facts)
        rows.append([*values, *told, leaky, one.model_sha256])
    return table_text([*facts, *figures, "always_crack_f1", "leaky", "model_sha256"], rows)


def _cell(number: float | None) -> str:
    return "" if number is None or not np.isfinite(number) else f"{number:.6g}"


def _page(found: Transfer, picture: bytes, *, models: bool) -> str:
    n_no_better, n_away = found.n_no_better()
    return (
        environment()
        .get_template("transfer.html")
        .render(
            found=found,
            picture=data_uri(picture, "png"),
            alternative=_picture_words(found),
            means=found.means_by_kind(),
            kinds={kind: KIND_WORDS[kind] for kind in KINDS},
            n_no_better=n_no_better,
            n_away=n_away,
            titles=TITLES,
            figures=FIGURES,
            sets=[_set_row(found, document) for document in found.sets],
            pairs=[(source, target) for source in found.sources for target in found.targets],
            leave_one_out={all_but(target): target for target in found.targets},
            refused=found.refused[:_N_REFUSED_LISTED],
            method=method_text(" or ".join(dict.fromkeys(one.photo_kind for one in found.tests))),
            models=models,
        )
    )


def _picture_words(found: Transfer) -> str:
    """Describe the picture in words: the AUROC of each training on each set."""
    rows = []
    for source in found.sources:
        cells = (f"{target} {number_text(found.mean(source, target)['auroc'].value)}" for target in found.targets)
        rows.append(f"trained on {source}: {', '.join(cells)}")
    return f"AUROC and F1 of every training on every set. AUROC {'; '.join(rows)}."


def _set_row(found: Transfer, document: dict[str, object]) -> _SetRow:
    name = str(document["name"])
    own = found.of(name, name)
    return _SetRow(
        document,
        trained=f"{_span(one.n_train for one in own)} + {_span(one.n_val for one in own)}",
        tested=_span(one.n_patches for one in own),
        photos=f"{_span(one.n_photos or 0 for one in own)} {own[0].photo_kind}",
    )


def _span(numbers: Iterable[int]) -> str:
    """Write one number, or the least and the greatest of several.

    Example:
        >>> _span([600, 600]), _span([1180, 1200])
        ('600', '1,180–1,200')
    """
    found = sorted(numbers)
    low, high = found[0], found[-1]
    return f"{low:,}" if low == high else f"{low:,}–{high:,}"
