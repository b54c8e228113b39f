"""``crackscope measure``: measure lines that a person drew in a photo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, emit, parsed, say
from crackscope.cli.scale_options import (
    Marker,
    MmPerPx,
    ReferencePoints,
    ScaleFile,
    UncertaintyMmPerPx,
    scale_sources,
)
from crackscope.errors import DataError

if TYPE_CHECKING:
    from crackscope.geometry.cracks import Crack
    from crackscope.geometry.measured_line import LineMeasurement, MeasuredLine
    from crackscope.geometry.scale import Scale
    from crackscope.geometry.widths import Figure

__all__ = ["measure"]

_TITLES: dict[Figure, str] = {"median": "median", "p90": "90th percentile", "maximum": "maximum"}
_FLAGS = {
    "filled_share": "lighter than the concrete, so it may be filled",
    "lit_share": "light on one wall or edge",
    "spalled_share": "a darker or brighter strip beside it",
    "wet_share": "darker concrete beside it, as by damp",
}
_LEAST_FLAG = 0.1  # share of the length from which a flag is told
_NEAR_REACH = 0.95  # share of the reach from which a user is told that a line may lie too far away


def measure(
    photo: Annotated[Path, typer.Argument(help="A photo.")],
    line: Annotated[
        list[str],
        typer.Option(
            metavar="X,Y,X,Y[,…]",
            help="Points along a crack, in pixels of the upright photo; repeat the option for another crack.",
        ),
    ],
    as_drawn: Annotated[
        bool, typer.Option("--as-drawn", help="Measure exactly where the line is drawn, on the middle of the crack.")
    ] = False,
    reach: Annotated[
        float, typer.Option(min=1, max=50, help="Pixels by which a line may be moved onto the dark line beneath it.")
    ] = 10.0,
    reference: ReferencePoints = None,
    marker: Marker = None,
    scale_table: ScaleFile = None,
    mm_per_px: MmPerPx = None,
    uncertainty_mm_per_px: UncertaintyMmPerPx = None,
    out: Annotated[
        Path | None, typer.Option(help="PNG to write: each line on its stretch of the photo, and its width along it.")
    ] = None,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Limit in megapixels; a larger photo is refused.")
    ] = 300,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Measure lines that were drawn by hand: length, direction, and the widths of the crack beneath.

    Each line is moved onto the dark line beneath it, by at most --reach pixels, and it is told by how much. Then it is
    measured as a traced crack is, without a model. A few points along the crack are enough. On the page of a scan, the
    pixel under the pointer is shown.

    Each width is told with its 95 % interval. If blur and noise hide a width, it is written as "<" and the width that
    the crack is narrower than. Without a scale, nothing is given in millimetres.

    Example: `crackscope measure bridge/a.jpg --line 120,80,210,95,300,88 --mm-per-px 0.25`
    """
    from crackscope.files.images import read_image
    from crackscope.files.output import new_file, require_free
    from crackscope.geometry.measured_line import line_of, measured_lines

    if out is not None and out.suffix.lower() != ".png":
        raise typer.BadParameter(f"'{out}' is no name of a PNG; let it end in .png.", param_hint="--out")
    lines = [parsed("--line", lambda text=text: line_of(text)) for text in line]  # type: ignore[misc]
    known = scale_sources(reference, marker, scale_table, mm_per_px, uncertainty_mm_per_px)
    if out is not None:
        require_free(out, overwrite=overwrite)
    try:
        read = read_image(photo, max_megapixels=max_megapixels)
        found = measured_lines(read, lines, scale=known, as_drawn=as_drawn, reach_px=reach)
    except DataError as error:
        raise DataError(f"{photo}: {error}") from error
    if out is not None:
        from crackscope.reports.line_picture import line_picture
        from crackscope.reports.look import png_bytes

        content = png_bytes(line_picture(read.pixels, found))
        with new_file(out, overwrite=overwrite) as part:
            part.write_bytes(content)
    for note in found.scale.notes:
        if note.is_warning:
            say(f"{photo}: scale: {note.text}")
    moved = None if as_drawn else reach
    emit(_document(photo, found, moved, out), as_json=as_json, text=_text(photo, found, moved, out))


def _document(photo: Path, found: LineMeasurement, reach_px: float | None, out: Path | None) -> dict[str, object]:
    scale = found.scale.scale
    return {
        "status": "done",
        "photo": str(photo),
        "photo_hw": list(found.photo_hw),
        "blur_px": round(found.blur.blur_px, 3),
        "blur_edges": found.blur.n_edges,
        "scale": scale.to_dict() if scale else None,
        "scale_notes": [note.text for note in found.scale.notes],
        "reach_px": reach_px,
        "lines": [
            {
                "drawn_xy": one.drawn_xy.tolist(),
                "moved_px": round(one.moved_px, 2),
                "most_moved_px": round(one.most_moved_px, 2),
                "crack": one.crack.to_dict(),
            }
            for one in found.lines
        ],
        "out": str(out) if out else None,
    }


def _text(photo: Path, found: LineMeasurement, reach_px: float | None, out: Path | None) -> str:
    height, width = found.photo_hw
    assumed = "" if found.blur.n_edges else " (assumed; too few sharp edges to measure it)"
    told = [f"{photo}: {width}×{height} px, blur {found.blur.blur_px:.1f} px{assumed}", _scale_text(found.scale.scale)]
    if found.blur.soft:
        told += [
            "the photo is out of focus or was enlarged: cracks that are not much wider than its blur read too wide"
        ]
    for number, one in enumerate(found.lines, 1):
        told += ["", *_line_text(number, one, reach_px)]
    return "\n".join([*told, *([f"\npicture: {out}"] if out else [])])


def _scale_text(scale: Scale | None) -> str:
    if scale is None:
        return "scale: none, so nothing is given in millimetres (--mm-per-px, --reference, --marker or --scales)"
    from crackscope.geometry.scale import COVERAGE

    share = scale.relative_uncertainty
    sure = "uncertainty not stated, so intervals hold that of the pixels alone"
    if share is not None:
        sure = f"± {100 * COVERAGE * share:.2g} %"
    source = f"{scale.source}, approximate" if scale.is_approximate else scale.source
    return f"scale: {scale.mm_per_px:.4g} mm per px ({source}; {sure})"


def _line_text(number: int, one: MeasuredLine, reach_px: float | None) -> list[str]:
    crack, mm = one.crack, one.crack.mm
    assert crack.width is not None
    length = f"{crack.length_px:.0f} px" + (f", {mm.length_mm:.4g} mm" if mm else "")
    told = [f"line {number}: length {length}; direction {crack.direction_deg:.0f}°"]
    if reach_px is None:
        told += ["  measured as drawn"]
    else:
        told += [
            f"  moved by {one.moved_px:.1f} px on average, at most {one.most_moved_px:.1f} px (reach {reach_px:g} px)"
        ]
        if one.most_moved_px >= _NEAR_REACH * reach_px:
            told[-1] += "; draw it nearer to the crack if that is too far"
    rows = [("width", "px", "mm" if mm else "")]
    rows += [(title, _cell(crack, name, "px"), _cell(crack, name, "mm")) for name, title in _TITLES.items()]
    smallest = f"{mm.smallest_mm:.2f}" if mm and mm.smallest_mm is not None else ""
    rows.append(("smallest measurable", f"{crack.width.smallest_px:.1f}", smallest))
    told += [f"  {first:<20} {second:<22} {third}".rstrip() for first, second, third in rows]
    x, y = crack.width.maximum_xy
    told += [f"  maximum at {x:.0f},{y:.0f}; resolved on {crack.width.resolved_share:.0%} of the length"]
    told += [
        f"  on {share:.0%} of the length: {words}"
        for flag, words in _FLAGS.items()
        if (share := getattr(crack.width, flag)) >= _LEAST_FLAG
    ]
    return told


def _cell(crack: Crack, name: Figure, unit: str) -> str:
    """A width with its interval; where it is not resolved, only what it is below."""
    whole = crack.width if unit == "px" else crack.mm
    if whole is None or getattr(whole, name) is None:
        return ""
    one, digits = getattr(whole, name), 1 if unit == "px" else 2
    text: str = whole.text(name)
    if not one.resolved:
        return text
    low, high = getattr(one, f"low_{unit}"), getattr(one, f"high_{unit}")
    return f"{text} ({low:.{digits}f} to {high:.{digits}f})"
