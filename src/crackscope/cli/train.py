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
        int | None, typer.Option(min=32, max=4096, help="Side that patches are resized to; the bundle's own, else 160.")
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
    import shlex

    from crackscope.evaluation import metrics_document
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
    val = run.evaluation
    for path, why in val.refused[:5]:
        say(f"{path}: {why}")
    if val.n_seen:
        say(f"The backbone was trained on {val.n_seen} patches of val, or their photos: these figures are leaky.")
    mark = " (leaky)" if val.leaky else ""
    accuracy, auroc = val.metrics["accuracy"], val.metrics["auroc"]
    model = out / "model.onnx"
    following = ["crackscope", "evaluate", str(data), "--model", str(model)]
    following += ["--split", str(split)] if split else ["--part", "test"]
    text = (
        f"val{mark}: accuracy {accuracy.value:.4f} [{accuracy.low:.4f}, {accuracy.high:.4f}], AUROC {auroc.value:.4f}; "
        f"C {run.penalty:g}, {run.n_computed} features computed, the others cached\nwritten to {model}\n"
        f"next: {shlex.join(following)}"
    )
    document = {
        "status": "refused" if val.refused else "done",
        "model": str(model),
        "leaky": val.leaky,
        "val": metrics_document(val),
        "n_refused": len(val.refused),
    }
    emit(document, as_json=as_json, text=text)
    if val.refused:
        raise typer.Exit(3)
