"""Run folders: the files of a training, and what may be written, replaced or taken away there."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from crackscope.data.folds import MOST_FOLDS
from crackscope.errors import OutputError
from crackscope.files.output import require_free_folder

__all__ = ["FILES", "FOLD_FILES", "RECIPE_FILES", "leftovers", "remove", "require_free_run"]

FILES = ("evaluation", "metrics.json", "model.onnx", "run.json", "split.csv")
"""What a run folder of the recipe ``head`` holds; ``evaluation`` where the split has a test part."""

RECIPE_FILES = (
    *FILES,
    *("checkpoint.pt", "history.csv", "history.png", "layers.csv"),
    *("tensorboard", "test_batch.png", "views.png"),
)
"""What a run folder of the other recipes holds."""

FOLD_FILES = (*RECIPE_FILES, *(f"fold-{number}" for number in range(1, MOST_FOLDS + 1)), "final", "folds.json")
"""What a run folder of a cross-validation holds; ``final`` and ``folds.json`` are there only until it ends."""


def require_free_run(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse a place that is taken, unless it holds a run that is to go on or to be replaced."""
    begun, finished = (folder / "checkpoint.pt").is_file(), (folder / "run.json").is_file()
    if resume and begun and not overwrite:
        return
    if begun and not finished and not overwrite:
        raise OutputError(f"{folder} holds a run that is not finished. Say --resume to go on, or --overwrite.")
    ours = (*RECIPE_FILES, *leftovers(folder))
    require_free_folder(folder, ours=ours, overwrite=overwrite or (resume and not finished))


def leftovers(folder: Path) -> list[str]:
    """Names of what a kill left half written in a run folder, see `crackscope.files.output`."""
    stems = "|".join(re.escape(Path(name).stem) for name in RECIPE_FILES)
    form = re.compile(rf"\.({stems})-[0-9a-f]{{12}}\.(part|old)(\..*)?")
    return sorted(place.name for place in folder.glob(".*") if form.fullmatch(place.name))


def remove(folder: Path, names: Sequence[str]) -> None:
    """Take away what an earlier run left, and nothing else."""
    for place in (folder / name for name in names):
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.unlink(missing_ok=True)
