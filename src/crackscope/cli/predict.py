"""``crackscope predict``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, ModelFile, Overwrite, Precision, Threads, emit, progress_bar, read_model, say

__all__ = ["predict"]


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders, globs, .csv lists (column path), .tar or .zip archives.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    out: Annotated[Path, typer.Option(help="The table: .csv, .jsonl or .parquet.")] = Path("predictions.csv"),
    max_megapixels: Annotated[float, typer.Option(min=0.001, help="Larger images are refused.")] = 300,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say for every image whether it shows a crack: crack, uncracked or unsure, with a calibrated probability.

    What shows no concrete, or is too blurred to be judged, is rejected: that is an answer too, and the column reason
    says which of the two.

    An image whose longer side is at most twice the model's training patches (512 px for the default model), and at most
    1.5 times the shorter, is a patch. Anything larger is a photo (column unit): it is scanned, never squashed, and its
    probability is the greatest of any place in it as large as a patch (`crackscope scan` says where). Interrupted, the
    same command goes on where it stopped.

    Example: `crackscope predict patches/ --out predictions.csv`
    """
    from crackscope.files.inputs import list_images
    from crackscope.scanning.prediction import load
    from crackscope.scanning.prediction_table import FORMATS, predict_to_file

    if out.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{out} must end in {', '.join(FORMATS)}.", param_hint="--out")
    classifier = load(read_model(model, precision), threads=threads)
    images = list_images(paths)
    with progress_bar("predicting") as progress:
        summary = predict_to_file(
            images, classifier, out, overwrite=overwrite, max_megapixels=max_megapixels, progress=progress
        )
    if summary.n_resumed:
        say(f"{summary.n_resumed} images had been done before")
    if summary.first_error:
        path, why = summary.first_error
        more = f" (and {summary.n_refused - 1} more, see the column error)" if summary.n_refused > 1 else ""
        say(f"{path}: {why}{more}")
    document = {"status": "refused" if summary.n_refused else "done", "out": str(out), "model": classifier.name}
    document |= asdict(summary)
    labels = ", ".join(f"{count} {label}" for label, count in summary.labels.items()) or "nothing predicted"
    refused = f", {summary.n_refused} refused" if summary.n_refused else ""
    emit(document, as_json=as_json, text=f"{summary.n_files} images: {labels}{refused}; written to {out}")
    if summary.n_refused:
        raise typer.Exit(3)
