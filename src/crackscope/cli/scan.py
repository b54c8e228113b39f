"""``crackscope scan``: look for cracks in whole photos."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    ModelFile,
    Overwrite,
    Precision,
    TakenAs,
    Threads,
    emit_batch,
    network_scale,
    progress_bar,
    read_model,
    say,
)
from crackscope.cli.scale_options import (
    Marker,
    MmPerPx,
    ReferencePoints,
    ScaleFile,
    UncertaintyMmPerPx,
    scale_sources,
)

if TYPE_CHECKING:
    from crackscope.scanning.summary import BatchSummary

__all__ = ["scan"]


class Maps(str, Enum):
    """Forms of the maps, as an option."""

    png = "png"
    npz = "npz"


class Traced(str, Enum):
    """Photos in which lines are traced, as an option."""

    found = "found"
    all = "all"


def scan(
    paths: Annotated[
        list[str], typer.Argument(help="Photos, folders, globs, .csv lists (column path), .tar or .zip archives.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    out: Annotated[Path, typer.Option(help="Folder for maps, overlays, tables and report.html.")] = Path("scan"),
    reference: ReferencePoints = None,
    marker: Marker = None,
    scale_table: ScaleFile = None,
    mm_per_px: MmPerPx = None,
    uncertainty_mm_per_px: UncertaintyMmPerPx = None,
    scale: Annotated[
        str, typer.Option(help="Pixels of the network per pixel of a photo, such as 1.0 or 0.5; auto chooses by size.")
    ] = "auto",
    taken_as: Annotated[
        TakenAs, typer.Option("--as", help="Take all images for photos, or for patches; auto: by their size.")
    ] = TakenAs.auto,
    trace: Annotated[
        Traced | None,
        typer.Option(
            help="Photos in which the lines of cracks are traced and measured: those that are crack or unsure, or all.",
            show_default="found",
        ),
    ] = None,
    maps_only: Annotated[
        bool,
        typer.Option("--maps-only", help="Trace no lines, which is faster; photos are ranked by the area of regions."),
    ] = False,
    fine_map: Annotated[
        bool,
        typer.Option("--fine-map", help="Draw the lines of the fine map in the overlays; the model must have one."),
    ] = False,
    maps: Annotated[
        Maps,
        typer.Option(help="Form of the maps: png pictures; npz also the numbers themselves, for CrackMap.load."),
    ] = Maps.png,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Limit in megapixels; larger photos are refused.")
    ] = 300,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Look for cracks in whole photos: where they are, and which photos to look at first.

    Each photo is scanned at full resolution and gets a map of probabilities and an overlay. photos.csv ranks the
    photos. regions.json lists every region found. report.html shows them on one page that can be sent to somebody; the
    24 photos shown there are read a second time.

    Cracks: in photos that are crack or unsure, the lines of cracks are traced, and their lengths and widths are
    measured. --trace all traces the other photos as well; their lines do not count. --maps-only traces none.

    Verdict: the greatest probability in a photo decides whether it is called crack, unsure or uncracked; the report
    says how often that is wrong. A region that shows something else than concrete is listed with the reason, and does
    not decide. A photo without concrete, or one that is too blurred or too small, is rejected, with the reason.

    Millimetres: --reference, --marker, --scales, --mm-per-px and what the camera noted may tell how many millimetres a
    pixel shows. The most trusted one is taken, in this order; the others are compared with it. Each photo is told its
    millimetres per pixel, their source and their uncertainty, or why it has none. They do not change what the network
    sees.

    Network scale: with --scale auto, a camera's photo is shrunk as the model's training patches were (0.625 for the
    default model), yet not below a shorter side of 768 px; a smaller one is scanned at its own size. An image as small
    as a patch is judged as `predict` does, unless --as photo is given.

    After an interruption, the same command goes on where it stopped. Where there is no image behind any of the inputs,
    nothing is written.

    Example: `crackscope scan bridge/ --out bridge-scan`
    """
    from crackscope.reports.scan_folder import write_scan
    from crackscope.scanning.loaded_model import load

    if maps_only and trace is not None:
        raise typer.BadParameter("it traces no lines; leave out --trace, or --maps-only.", param_hint="--maps-only")
    chosen_scale = network_scale(scale)
    known = scale_sources(reference, marker, scale_table, mm_per_px, uncertainty_mm_per_px)
    loaded = load(read_model(model, precision), threads=threads)
    with progress_bar("scanning") as progress:
        summary = write_scan(
            paths,
            loaded,
            out=out,
            network_scale=chosen_scale,
            scale=known,
            unit=taken_as.value,
            fine=fine_map,
            trace=None if maps_only else "all" if trace is Traced.all else "found",
            maps=maps.value,
            threads=threads,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            progress=progress,
        )
    noun = "photo" if summary.n_images == 1 else "photos"
    told = _tell_cracks(summary) + _tell_scales(summary, asked=known is not None)
    emit_batch(
        summary,
        model=loaded.name,
        out=out,
        noun="photos",
        verb="scanned",
        keys=("n_photos", "verdicts"),
        where="photos.csv",
        text=lambda counts: f"{summary.n_images} {noun}: {counts}\n{told}report: {out / 'report.html'}",
        as_json=as_json,
        more={
            "n_cracks": summary.n_cracks,
            "crack_length_px": summary.crack_length_px,
            "crack_length_mm": summary.crack_length_mm,
            "scales": summary.scales,
            "n_scale_warnings": summary.n_scale_warnings,
            "first_scale_warning": dict(zip(("path", "note"), summary.first_scale_warning, strict=True))
            if summary.first_scale_warning
            else None,
        },
    )


def _tell_cracks(summary: BatchSummary) -> str:
    """Line on the cracks that count; empty if no lines were traced."""
    if summary.n_cracks is None or summary.crack_length_px is None:
        return ""
    noun = "crack" if summary.n_cracks == 1 else "cracks"
    length = f", {summary.crack_length_px:,.0f} px long in all" if summary.n_cracks else ""
    if summary.n_cracks and summary.crack_length_mm is not None:
        length += f" ({summary.crack_length_mm:,.0f} mm)"
    return f"{summary.n_cracks:,} {noun} traced{length}\n"


def _tell_scales(summary: BatchSummary, *, asked: bool) -> str:
    """Line on the photos' scales; empty if none was asked for and none was found. A warning goes to stderr."""
    if summary.first_scale_warning:
        path, note = summary.first_scale_warning
        others = summary.n_scale_warnings - 1
        say(f"{path}: scale: {note}" + (f" (and {others} more, see photos.csv)" if others else ""))
    known = {source: n for source, n in summary.scales.items() if source != "none"}
    if not known and not asked:
        return ""
    words = {"given": "as given", "table": "by the table", "camera": "by camera (approximate)"}
    counts = [f"{n} {words.get(source, f'by {source}')}" for source, n in known.items()]
    counts += [f"{summary.scales['none']} without"] if "none" in summary.scales else []
    return f"scale: {', '.join(counts) or 'none'}\n"
