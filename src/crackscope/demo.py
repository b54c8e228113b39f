"""The demo: a drawn photo scanned, then the way from labelled patches to a model of one's own, for newcomers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from crackscope.data.patches import read_patches
from crackscope.data.splits import split, write_split
from crackscope.drawing.walls import draw_dataset, draw_photo
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.output import new_folder
from crackscope.files.pictures import picture_bytes
from crackscope.files.streaming import Progress
from crackscope.measuring.judging import evaluate
from crackscope.measuring.wording import figure_text
from crackscope.reports.batch_sheet import write_test_batch
from crackscope.reports.class_samples import write_class_samples
from crackscope.reports.evaluation_report import write_evaluation
from crackscope.reports.scan_folder import write_scan
from crackscope.scanning.loaded_model import load
from crackscope.scanning.prediction_table import write_predictions
from crackscope.training.runs import train

__all__ = ["run_demo"]

_FILES = (
    *("evaluation", "patches", "photos", "predictions.csv", "predictions.png"),
    *("run", "samples.png", "scan", "split.csv"),
)
_PHOTO_QUALITY = 92


def run_demo(
    out: Path,
    *,
    seed: int = 0,
    overwrite: bool = False,
    tell: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Draw and scan a photo; then draw patches, split, train, evaluate and predict. All is inside one folder.

    Args:
        out: The folder, written beside and renamed.
        seed: Seed of the drawn walls and the split.
        overwrite: Replace the folder.
        tell: Called with a line at each step.
        progress: Called as images are read.

    Returns:
        Where things are (``scan_report``, ``report``, ``predictions``, ``model``), the verdict on the photo and the
        accuracy on the test part.
    """
    with new_folder(out, ours=_FILES, overwrite=overwrite) as part:
        tell("1/6  drawing a photo of a wall, and scanning it with the default model")
        (part / "photos").mkdir()
        photo = ImageFile("photos/wall.jpg", str(part / "photos" / "wall.jpg"))
        Path(photo.place).write_bytes(picture_bytes(draw_photo(seed).pixels, ".jpg", quality=_PHOTO_QUALITY))
        verdicts = write_scan([photo], out=part / "scan", progress=progress).answers
        tell(f"     verdict: {next(iter(verdicts))}")

        tell("2/6  drawing walls with and without cracks, cut into labelled patches")
        table = draw_dataset(part / "patches", seed=seed)
        index = read_patches(table)
        write_class_samples(index, part / "samples.png")
        tell(f"     {index.counts()['crack']} cracked and {index.counts()['uncracked']} uncracked patches of 24 walls")

        tell("3/6  splitting by photo: all patches of a wall stay on one side")
        assigned = split(index, by="photo", val=0.2, test=0.25, seed=seed, progress=progress)
        write_split(assigned, part / "split.csv")

        tell("4/6  training a head on the default model's features")
        train(table, out=part / "run", split=part / "split.csv", seed=seed, progress=progress)

        tell("5/6  evaluating on walls that were in neither training nor validation")
        model = load(part / "run" / "model.onnx")
        evaluation = evaluate(index, model, split=part / "split.csv", seed=seed, progress=progress)
        write_evaluation(evaluation, part / "evaluation")
        write_test_batch(index, evaluation, part / "predictions.png")
        figure = evaluation.metrics["accuracy"]
        few = f" ({evaluation.few})" if evaluation.few else ""
        tell(f"     accuracy {figure_text(figure)} on drawn walls, a toy figure{few}")

        tell("6/6  predicting the folder of patches")
        found = list_images([part / "patches"])
        images = [replace(image, path=Path(image.path).relative_to(part).as_posix()) for image in found]
        write_predictions(images, model, out=part / "predictions.csv", progress=progress)
    return {
        "status": "done",
        "scan_report": str(out / "scan" / "report.html"),
        "verdict": next(iter(verdicts)),
        "report": str(out / "evaluation" / "report.html"),
        "predictions": str(out / "predictions.csv"),
        "model": str(out / "run" / "model.onnx"),
        "accuracy": figure.document(),
    }
