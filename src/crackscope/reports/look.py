"""The look of all plots: colours, sizes, axes. Figures are made without pyplot, so there is no global state.

Colours are from the palette of Okabe & Ito (2008), which readers with any colour vision can tell apart. No plot shows
anything by colour alone.
"""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.layout_engine import ConstrainedLayoutEngine

__all__ = [
    "AMBER",
    "BLUE",
    "DASHES",
    "GRID",
    "INK",
    "MUTED",
    "VERMILION",
    "blank_sheet",
    "drawable",
    "dress_axes",
    "png_bytes",
]

INK, MUTED, GRID = "#1b2733", "#5b6773", "#e3e7eb"
BLUE, AMBER, VERMILION = "#0072b2", "#e69f00", "#d55e00"
DASHES = (0, (4, 3))
_SIZE_INCHES = (4.4, 4.6)
_DPI = 180
"""Resolution: a plot is 792 pixels wide. It is sharp at half that width on a page, and legible in a paper's column."""


def png_bytes(figure: Figure) -> bytes:
    """Render a figure as PNG. The same figure gives the same bytes: they hold neither a time nor a version."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=_DPI, metadata={"Software": None})
    return stream.getvalue()


def blank_sheet() -> Figure:
    """Make a figure of the usual size, without axes."""
    figure = Figure(figsize=_SIZE_INCHES, facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
    FigureCanvasAgg(figure)
    return figure


def drawable(text: str) -> str:
    """Replace each letter that the font lacks with a box; matplotlib would only warn."""
    font = get_font(findfont("DejaVu Sans"))
    return "".join(letter if font.get_char_index(ord(letter)) else "□" for letter in text)


def dress_axes(axes: Axes, names: tuple[str, str]) -> None:
    """Give axes a grid and names, the x axis first."""
    axes.set_facecolor("white")
    axes.set_xlabel(names[0], fontsize=10, color=INK)
    axes.set_ylabel(names[1], fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=MUTED, color=GRID)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
