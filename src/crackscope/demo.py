"""The demo: the story on drawn walls, from labelled patches to a report, for a newcomer to run first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from crackscope.data.patches import read_patches
from crackscope.data.splits import split, write_split
from crackscope.drawing.walls import draw_dataset
from crackscope.files.inputs import list_images
from crackscope.files.output import new_folder
from crackscope.files.streaming import Progress
from crackscope.measuring.judging import evaluate
from crackscope.reports.batch_sheet import write_test_batch
from crackscope.reports.class_samples import write_class_samples
from crackscope.reports.evaluation_report import write_evaluation
from crackscope.scanning.loaded_model import load
from crackscope.scanning.prediction_table import write_predictions
from crackscope.training.runs import train

__all__ = ["run_demo"]

_FILES = ("evaluation", "patches", "predictions.csv", "predictions.png", "run", "samples.png", "split.csv")


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Draw, split, train, evaluate and predict inside one folder.

    Args:
        out: The folder, written beside and renamed.
        seed: Seed of the drawn walls and the split.
        overwrite: Replace the folder.
        tell: Called with a line at each step.
        progress: Called as images are read.

    Returns:
        Where things are (``report``, ``predictions``, ``model``) and the test accuracy.
    """
    with new_folder(out, ours=_FILES, overwrite=overwrite) as part:
        tell("1/5  drawing walls with and without cracks")
        table = draw_dataset(part / "patches", seed=seed)
        index = read_patches(table)
        write_class_samples(index, part / "samples.png")
        tell(f"     {index.counts()['crack']} cracked and {index.counts()['uncracked']} uncracked patches of 24 walls")

        tell("2/5  splitting by photo: all patches of a wall stay on one side")
        assigned = split(index, by="photo", val=0.2, test=0.25, seed=seed, progress=progress)
        write_split(assigned, part / "split.csv")

        tell("3/5  training a head on the default model's features")
        train(table, out=part / "run", split=part / "split.csv", seed=seed, progress=progress)

        tell("4/5  evaluating on walls that were in neither training nor validation")
        model = load(part / "run" / "model.onnx")
        evaluation = evaluate(index, model, split=part / "split.csv", seed=seed, progress=progress)
        write_evaluation(evaluation, part / "evaluation")
        write_test_batch(index, evaluation, part / "predictions.png")
        figure = evaluation.metrics["accuracy"]
        tell(f"     accuracy {figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}] on drawn walls, a toy figure")

        tell("5/5  predicting the folder")
        found = list_images([part / "patches"])
        images = [replace(image, path=Path(image.path).relative_to(part).as_posix()) for image in found]
        write_predictions(images, model, out=part / "predictions.csv", progress=progress)
    return {
        "status": "done",
        "report": str(out / "evaluation" / "report.html"),
        "predictions": str(out / "predictions.csv"),
        "model": str(out / "run" / "model.onnx"),
        "accuracy": figure.document(),
    }
