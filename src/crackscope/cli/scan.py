"""``crackscope scan``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    ModelFile,
    Overwrite,
    Precision,
    Threads,
    emit,
    progress_bar,
    read_model,
    say,
    scale_number,
)

__all__ = ["scan"]


def scan(
    paths: Annotated[
        list[str], typer.Argument(help="Photos, folders, globs, .csv lists (column path), .tar or .zip archives.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    out: Annotated[Path, typer.Option(help="Folder for maps, overlays, tables and report.html.")] = Path("scan"),
    mm_per_px: Annotated[
        float | None, typer.Option("--mm-per-px", help="Millimetres per pixel of all photos, where they are known.")
    ] = None,
    scale: Annotated[
        str, typer.Option(help="Pixels of the network per pixel of a photo, such as 1.0 or 0.5; auto chooses by size.")
    ] = "auto",
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Larger photos are refused.")] = 300,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Look for cracks in whole photos: where they are, and which photos to look at first.

    Each photo is read once, at full resolution, and gets a map of probabilities and an overlay. photos.csv ranks them,
    regions.json lists every place found, report.html shows them on one page that can be sent to somebody. A photo is
    called crack, unsure or uncracked by the greatest probability in it; the report says how often that errs. One that
    shows no concrete, or is too blurred, is rejected, with the reason, and comes last.

    Scale: with --mm-per-px, photos are brought to the scale that the model was trained at. With --scale auto, a
    camera's photo is shrunk as the model's training patches were (0.625 for the default model), yet not below a shorter
    side of 768 px; a smaller one is enlarged to that, at most twice. What is as small as a patch is judged as by
    `predict`.

    Interrupted, the same command goes on where it stopped.

    Example: `crackscope scan bridge/ --out bridge-scan`
    """
    from crackscope.files.inputs import list_images
    from crackscope.reports.scan_run import scan_to_folder
    from crackscope.scanning.scanner import Scanner

    chosen = scale_number(scale, mm_per_px)
    scanner = Scanner(read_model(model, precision), threads=threads)
    images = list_images(paths)
    with progress_bar("scanning") as progress:
        summary = scan_to_folder(
            images,
            scanner,
            out,
            scale=chosen,
            mm_per_px=mm_per_px,
            threads=threads,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            progress=progress,
        )
    if summary.n_resumed:
        say(f"{summary.n_resumed} photos had been done before")
    if summary.first_error:
        path, why = summary.first_error
        more = f" (and {summary.n_refused - 1} more, see photos.csv)" if summary.n_refused > 1 else ""
        say(f"{path}: {why}{more}")
    document = {"status": "refused" if summary.n_refused else "done", "out": str(out), "model": scanner.name}
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in summary.verdicts.items()) or "nothing scanned"
    refused = f", {summary.n_refused} refused" if summary.n_refused else ""
    noun = "photo" if summary.n_photos == 1 else "photos"
    emit(
        document | asdict(summary),
        as_json=as_json,
        text=f"{summary.n_photos} {noun}: {verdicts}{refused}\nreport: {out / 'report.html'}",
    )
    if summary.n_refused:
        raise typer.Exit(3)
