"""A picture of ordinary patches with truth and answer, spread over the photos: what a model does on a usual day."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from crackscope.evaluation import Evaluation
from crackscope.output import new_file
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["write_prediction_sheet"]

UInt8Array = npt.NDArray[np.uint8]


def write_prediction_sheet(
    evaluation: Evaluation,
    out: Path,
    *,
    read_image: Callable[[str], UInt8Array],
    n_patches: int = 18,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a random choice of judged patches, neither the best nor the worst, as a PNG.

    Args:
        evaluation: What was judged.
        out: The picture.
        read_image: From a path of the evaluation to RGB uint8 pixels (h, w, 3).
        n_patches: How many are shown, at most.
        seed: Of the choice.
        overwrite: Replace an existing picture.

    Raises:
        OutputError: If `out` exists, or cannot be written.
    """
    count = min(n_patches, evaluation.n_patches)
    chosen = sorted(np.random.default_rng(seed).choice(evaluation.n_patches, count, replace=False).tolist())
    items = []
    for i in chosen:
        truth = "crack" if evaluation.labels[i] else "uncracked"
        mark = "" if evaluation.predictions[i] == evaluation.labels[i] else "  WRONG"
        items.append((read_image(evaluation.paths[i]), f"is {truth}\np {evaluation.probabilities[i]:.3f}{mark}"))
    sheet = contact_sheet(items, title=f"{count} of {evaluation.n_patches} patches, chosen at random")
    with new_file(out, overwrite=overwrite) as part:
        part.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
