"""``crackscope train``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crackscope.cli.console import AsJson, Overwrite, Threads, emit, progress_bar, say

__all__ = ["train"]


def train(
    data: Annotated[Path, typer.Argument(help="Folder, .tar, .zip or .csv of labelled patches.")],
    split: Annotated[
        Path | None, typer.Option(help="From `crackscope split`; left out, the data's own train/val/test count.")
    ] = None,
    backbone: Annotated[
        str | None,
        typer.Option(help="A bundle (no torch needed), a model folder or a hub id; the default bundle if left out."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The run folder; model.onnx is written there.")] = Path("runs/head"),
    patch_px: Annotated[
        int | None, typer.Option(min=32, help="Side that patches are resized to; the bundle's own, else 160.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the bootstrap.")] = 0,
    allow_leakage: Annotated[
        bool, typer.Option("--allow-leakage", help="Train on a leaking split; every figure is marked leaky.")
    ] = False,
    threads: Threads = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Train a crack classifier by transfer: frozen backbone, features computed once, linear head.

    The head is chosen and calibrated on part val; part test is not touched. Features are cached.

    Example: `crackscope train metu.tar --split split.csv --out runs/metu`
    """
    from crackscope.training.runs import train as run_training

    with progress_bar("reading and computing features") as progress:
        run = run_training(
            data,
            out,
            split=split,
            backbone=backbone,
            patch_px=patch_px,
            seed=seed,
            allow_leakage=allow_leakage,
            threads=threads,
            overwrite=overwrite,
            progress=progress,
        )
    for path, why in run.refused[:5]:
        say(f"{path}: {why}")
    mark = " (leaky)" if run.leaky else ""
    accuracy, auroc = run.metrics["accuracy"], run.metrics["auroc"]
    model = out / "model.onnx"
    text = (
        f"val{mark}: accuracy {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}], AUROC {auroc.value:.4f}; "
        f"C {run.penalty:g}, {run.n_computed} features computed, the others cached\nwritten to {model}\n"
        f"next: crackscope evaluate {data} --model {model}" + (f" --split {split} --part test" if split else "")
    )
    document = {
        "status": "look" if run.refused else "done",
        "model": str(model),
        "leaky": run.leaky,
        "val": {name: figure.document() for name, figure in run.metrics.items()},
        "n_refused": len(run.refused),
        "refused": [{"path": path, "reason": why} for path, why in run.refused],
    }
    emit(document, as_json=as_json, text=text)
    if run.refused:
        raise typer.Exit(3)
