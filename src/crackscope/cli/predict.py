"""``crackscope predict``: say for every image whether it shows a crack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import (
    AsJson,
    ModelFile,
    Overwrite,
    Precision,
    TakenAs,
    Threads,
    emit_batch,
    progress_bar,
    read_model,
)

__all__ = ["predict"]


def predict(
    paths: Annotated[
        list[str], typer.Argument(help="Images, folders, globs, .csv lists (column path), .tar or .zip archives.")
    ],
    model: ModelFile = None,
    precision: Precision = None,
    out: Annotated[Path, typer.Option(help="The table: .csv, .jsonl or .parquet.")] = Path("predictions.csv"),
    taken_as: Annotated[
        TakenAs, typer.Option("--as", help="Take all images for patches, or for photos; auto: by their size.")
    ] = TakenAs.auto,
    max_megapixels: Annotated[
        float, typer.Option(min=0.001, help="Limit in megapixels; larger images are refused.")
    ] = 300,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Say for every image whether it shows a crack: crack, uncracked or unsure, with a calibrated probability.

    An image that shows no concrete, is too blurred or too small to be judged, is rejected; the column reason says why.

    An image whose longer side is at most 1.2 times that of the model's training patches (307 px for the default model),
    and at most 1.5 times the shorter, is a patch. Anything larger is a photo (column unit): it is scanned, never
    squashed, and its probability is the greatest of any patch-sized piece of it that shows concrete (`crackscope scan`
    says where). --as patch or --as photo decides for all images instead.

    After an interruption, the same command goes on where it stopped. Where there is no image behind any of the inputs,
    nothing is written.

    Example: `crackscope predict patches/ --out predictions.csv`
    """
    from crackscope.scanning.loaded_model import load
    from crackscope.scanning.prediction_table import FORMATS, write_predictions

    if out.suffix.lower() not in FORMATS:
        raise typer.BadParameter(f"{out} must end in {', '.join(FORMATS)}.", param_hint="--out")
    loaded = load(read_model(model, precision), threads=threads)
    with progress_bar("predicting") as progress:
        summary = write_predictions(
            paths,
            loaded,
            out=out,
            unit=taken_as.value,
            overwrite=overwrite,
            max_megapixels=max_megapixels,
            progress=progress,
        )
    noun = "image" if summary.n_images == 1 else "images"
    emit_batch(
        summary,
        model=loaded.name,
        out=out,
        noun="images",
        verb="predicted",
        keys=("n_images", "labels"),
        where="the column error",
        text=lambda counts: f"{summary.n_images} {noun}: {counts}; written to {out}",
        as_json=as_json,
    )
