"""``crackscope markers``: print markers that give photos their scale."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, emit, parsed

__all__ = ["markers"]


class Paper(str, Enum):
    """Paper, as an option."""

    a4 = "a4"
    letter = "letter"


def markers(
    out: Annotated[Path, typer.Option(help="PDF to write.")] = Path("markers.pdf"),
    marker: Annotated[
        str, typer.Option(metavar="DICT:SIDE_MM", help="Family and side of the markers.")
    ] = "APRILTAG_36h11:50",
    paper: Annotated[Paper, typer.Option(help="Paper that is printed on.")] = Paper.a4,
    sheets: Annotated[int, typer.Option(min=1, help="Number of sheets, each of as many markers as fit.")] = 1,
    first: Annotated[int, typer.Option(min=0, help="Number of the first marker in its family.")] = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Write sheets of markers to print, true to scale, which give photos their millimetres per pixel.

    Print the sheets at 100 % (actual size), never fitted to the page, on matt paper. Then check both rulers on the
    sheet: 150 mm must measure 150 mm. If a ruler measures L mm instead, the side of a marker of 50 mm is 50 × L / 150.

    Lay a marker on the surface, flat, beside the crack, with its white border. Take the photo so that the marker is 100
    pixels wide or more. Scan it with the kind and the side that stand below the marker, as in `crackscope scan wall.jpg
    --marker APRILTAG_36h11:50`.

    Example: `crackscope markers --out markers.pdf`
    """
    from crackscope.geometry.markers import MarkerKind
    from crackscope.reports.marker_sheets import write_markers

    kind = parsed("--marker", lambda: MarkerKind.parse(marker))
    numbers = write_markers(out, marker=kind, paper=paper.value, sheets=sheets, first=first, overwrite=overwrite)
    document = {
        "status": "done",
        "out": str(out),
        "dictionary": kind.dictionary,
        "side_mm": kind.side_mm,
        "paper": paper.value,
        "n_sheets": sheets,
        "ids": numbers,
    }
    count = f"{len(numbers)} marker{'s' if len(numbers) > 1 else ''} on {sheets} sheet{'s' if sheets > 1 else ''}"
    text = (
        f"{out}: {count}\nPrint at 100 %. Check that 150 mm on the rulers measure 150 mm.\nscan with: --marker {kind}"
    )
    emit(document, as_json=as_json, text=text)
