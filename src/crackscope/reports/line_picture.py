"""Line picture: each measured line on its stretch of the photo, and the width along it as a plot."""

from __future__ import annotations

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.transforms import ScaledTranslation

from crackscope.arrays import BoolArray, Float64Array, UInt8Array
from crackscope.geometry.crack_width import STEP_PX
from crackscope.geometry.measured_line import LineMeasurement, MeasuredLine
from crackscope.geometry.widths import BranchWidths
from crackscope.geometry.widths import Figure as WidthFigure
from crackscope.reports.look import AMBER, BLUE, DASHES, INK, MUTED, VERMILION, dress_axes

__all__ = ["line_picture"]

_MARGIN_PX = 24  # of the photo around a line
_LARGEST_PX = 1000  # longer side of a stretch of photo on the picture
_TITLES: tuple[tuple[str, WidthFigure], ...] = (("median", "median"), ("maximum", "maximum"))
_ROW_INCHES, _WIDTH_INCHES = 3.6, 9.0


def line_picture(pixels: UInt8Array, found: LineMeasurement) -> Figure:
    """Draw each line on its stretch of the photo, and beside it the width along the line.

    The line as it was drawn is dashed, and the line that was measured is solid. In the plot, the band is the 95 %
    interval of each place, the dashed level is the smallest measurable width, and crosses are places that do not count.

    Args:
        pixels: The photo, RGB, uint8, shape (H, W, 3).
        found: Lines that were measured in it.
    """
    n = len(found.lines)
    figure = Figure(
        figsize=(_WIDTH_INCHES, _ROW_INCHES * n),
        facecolor="white",
        layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1),
    )
    FigureCanvasAgg(figure)
    for number, line in enumerate(found.lines, 1):
        _draw_stretch(figure.add_subplot(n, 2, 2 * number - 1), pixels, line, number)
        _draw_widths(figure.add_subplot(n, 2, 2 * number), line)
    return figure


def _draw_stretch(axes: Axes, pixels: UInt8Array, line: MeasuredLine, number: int) -> None:
    path = line.crack.path_xy[0]
    points = np.concatenate([path, line.drawn_xy])
    height, width = pixels.shape[:2]
    left, top = np.clip(np.floor(points.min(0)).astype(int) - _MARGIN_PX, 0, (width - 1, height - 1)).tolist()
    right, bottom = np.clip(np.ceil(points.max(0)).astype(int) + _MARGIN_PX + 1, 1, (width, height)).tolist()
    part = pixels[top:bottom, left:right]
    share = min(1.0, _LARGEST_PX / max(part.shape[:2]))
    if share < 1:
        part = np.asarray(cv2.resize(part, None, fx=share, fy=share, interpolation=cv2.INTER_AREA), np.uint8)
    axes.imshow(part, extent=(left - 0.5, right - 0.5, bottom - 0.5, top - 0.5), interpolation="nearest")
    axes.plot(*line.drawn_xy.T, color=AMBER, linewidth=1, linestyle=DASHES, label="as drawn")
    axes.plot(*path.T, color=BLUE, linewidth=1, label="as measured")
    if line.crack.width is not None:
        x, y = line.crack.width.maximum_xy
        axes.plot([x], [y], marker="o", markersize=9, color=VERMILION, fillstyle="none", label="widest")
    axes.set_title(f"Line {number}", fontsize=11, color=INK, loc="left")
    axes.set_xlabel("x, px", fontsize=10, color=INK)
    axes.set_ylabel("y, px", fontsize=10, color=INK)
    axes.tick_params(labelsize=9, colors=MUTED)
    _put_legend(axes)


def _draw_widths(axes: Axes, line: MeasuredLine) -> None:
    widths: BranchWidths = line.crack.widths[0]
    at = np.cumsum(widths.lengths_px) - widths.lengths_px / 2
    counted = ~widths.doubtful
    dress_axes(axes, ("along the line, px", "width, px"))
    axes.fill_between(at, widths.low_px, widths.high_px, where=counted, color=BLUE, alpha=0.2, linewidth=0)
    axes.plot(at, _gapped(widths.width_px, counted), color=BLUE, linewidth=1.5, marker=".", label="width")
    axes.plot(at[~counted], widths.width_px[~counted], "x", color=MUTED, markersize=4, label="does not count")
    whole = line.crack.width
    assert whole is not None  # it was measured
    axes.axhline(whole.smallest_px, color=VERMILION, linestyle=DASHES, linewidth=1, label="smallest measurable")
    highest = float(widths.high_px[counted].max()) if counted.any() else float(widths.high_px.max())
    axes.set_ylim(0, 1.1 * max(highest, whole.smallest_px))
    axes.set_xlim(0, max(float(widths.lengths_px.sum()), STEP_PX))
    mm = line.crack.mm
    titles = [f"{title} {whole.text(name)} px" + (f" ({mm.text(name)} mm)" if mm else "") for title, name in _TITLES]
    if mm is not None:
        scale = mm.mm_per_px
        second = axes.secondary_yaxis(
            "right", functions=(lambda px: np.multiply(px, scale), lambda found: np.divide(found, scale))
        )
        second.set_ylabel("width, mm", fontsize=10, color=INK)
        second.tick_params(labelsize=9, colors=MUTED)
    axes.set_title("\n".join(titles), fontsize=10, color=INK, loc="left")
    _put_legend(axes)


def _put_legend(axes: Axes) -> None:
    """Put the legend below the name of the x axis, however high the axes are."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    below = axes.transAxes + ScaledTranslation(0, -0.45, figure.dpi_scale_trans)
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncol=3, frameon=False)


def _gapped(values: Float64Array, shown: BoolArray) -> Float64Array:
    return np.where(shown, values, np.nan)
