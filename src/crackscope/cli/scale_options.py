"""Scale options: how a command is told the millimetres per pixel of photos, the same for all commands that measure."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import parsed

if TYPE_CHECKING:
    from crackscope.geometry.scale_sources import ScaleSources

__all__ = ["Marker", "MmPerPx", "ReferencePoints", "ScaleFile", "UncertaintyMmPerPx", "scale_sources"]

ReferencePoints = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="X0,Y0,X1,Y1=MM",
        help="Two points of the photo, in pixels, and their distance in mm; for a single photo.",
    ),
]
Marker = Annotated[
    str | None,
    typer.Option(
        "--marker",
        metavar="DICT:SIDE_MM",
        help="Family and side of the markers on the surface, such as APRILTAG_36h11:50; `crackscope markers` prints "
        "them.",
    ),
]
ScaleFile = Annotated[
    Path | None,
    typer.Option(
        "--scales", help="A CSV with the scale of each photo: path and mm_per_px, or path and x0,y0,x1,y1,mm."
    ),
]
MmPerPx = Annotated[
    float | None, typer.Option("--mm-per-px", help="Millimetres per pixel of all photos, where they are known.")
]
UncertaintyMmPerPx = Annotated[
    float | None,
    typer.Option("--uncertainty-mm-per-px", help="Standard uncertainty of --mm-per-px, where it is known."),
]


def scale_sources(
    reference: str | None,
    marker: str | None,
    table: Path | None,
    mm_per_px: float | None,
    uncertainty_mm_per_px: float | None,
) -> ScaleSources | None:
    """Sources of the scale behind the options; None if none is given.

    Args:
        reference: Two points and their distance, ``X0,Y0,X1,Y1=MM``.
        marker: Family and side of markers, ``DICT:SIDE_MM``.
        table: A CSV with the scales of photos.
        mm_per_px: Millimetres per pixel of all photos.
        uncertainty_mm_per_px: Standard uncertainty of `mm_per_px`.

    Raises:
        BadParameter: If the value of an option is not as it must be.
        DataError: If the table cannot be read.
    """
    if mm_per_px is None and uncertainty_mm_per_px is not None:
        raise typer.BadParameter("it belongs to --mm-per-px; give that too.", param_hint="--uncertainty-mm-per-px")
    if all(option is None for option in (reference, marker, table, mm_per_px)):
        return None
    from crackscope.geometry.markers import MarkerKind
    from crackscope.geometry.references import Reference
    from crackscope.geometry.scale import Scale
    from crackscope.geometry.scale_sources import ScaleSources
    from crackscope.geometry.scale_table import read_scales

    return ScaleSources(
        reference=None if reference is None else parsed("--reference", lambda: Reference.parse(reference)),
        marker=None if marker is None else parsed("--marker", lambda: MarkerKind.parse(marker)),
        table=None if table is None else read_scales(table),
        given=None if mm_per_px is None else parsed("--mm-per-px", lambda: Scale(mm_per_px, uncertainty_mm_per_px)),
    )
