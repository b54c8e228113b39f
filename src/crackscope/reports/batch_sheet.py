"""Batch sheets: a picture of some test patches with their true labels and the answers of the model.

The patches are chosen at random, so right and wrong answers occur about as often as in the whole data.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from crackscope.arrays import UInt8Array
from crackscope.data.patches import LABELS, PatchIndex
from crackscope.errors import DataError
from crackscope.files.output import new_file
from crackscope.measuring.evaluation import Evaluation
from crackscope.measuring.wording import LEAKY
from crackscope.reports.contact_sheet import ALERT, contact_sheet, fit_square

__all__ = ["draw_test_batch", "write_test_batch"]


_COLUMNS = 4
_SIDE_PX = 256
_FRAME_PX = 6


def write_test_batch(
    index: PatchIndex, evaluation: Evaluation, path: Path, *, n: int = 16, seed: int = 0, overwrite: bool = False
) -> None:
    """Write the picture of `draw_test_batch` as a PNG.

    Raises:
        OutputError: If `path` exists, or cannot be written.
        DataError: If `draw_test_batch` raises it.
    """
    sheet = draw_test_batch(index, evaluation, n=n, seed=seed)
    with new_file(path, overwrite=overwrite) as part:
        Image.fromarray(sheet).save(part, format="PNG")


def draw_test_batch(index: PatchIndex, evaluation: Evaluation, *, n: int = 16, seed: int = 0) -> UInt8Array:
    """Draw a random sample of judged patches, with true label, answer of the model and probability below each.

    A patch with a wrong answer gets a frame, a cross in its corner, and the word WRONG below it.

    Args:
        index: Patches that were judged.
        evaluation: Answers of the model.
        n: Greatest number of patches to draw.
        seed: Seed of the choice of patches.

    Returns:
        The picture, RGB, uint8, shape (height, width, 3).

    Raises:
        DataError: If `n` is less than 1.
        ImageError: If a patch cannot be read any more.
    """
    if n < 1:
        raise DataError(f"A batch of {n} patches shows nothing. Give n of at least 1.")
    n = min(n, evaluation.n_patches)
    chosen = np.random.default_rng(seed).choice(evaluation.n_patches, n, replace=False)
    items, n_right = [], 0
    for row in chosen.tolist():
        pixels = fit_square(index.read_pixels(evaluation.paths[row]), _SIDE_PX)
        truth, said = int(evaluation.labels[row]), int(evaluation.predictions[row])
        caption = f"true {LABELS[truth]} · says {LABELS[said]} {_short(float(evaluation.probabilities[row]))}"
        n_right += truth == said
        items.append((pixels, caption) if truth == said else (_crossed(pixels), f"{caption}\nWRONG"))
    chance = f"{n:,} of {evaluation.n_patches:,} patches, chosen at random"
    title = f"{chance}: {n_right:,} right. The number is the probability of crack"
    if evaluation.leaky:
        title = f"{LEAKY} | {title}"
    return contact_sheet(items, columns=_COLUMNS, side_px=_SIDE_PX, title=title, alert=evaluation.leaky)


def _short(probability: float) -> str:
    """Write a probability in two decimals; only exact values become 0 or 1.

    Example:
        >>> [_short(p) for p in (0.9812, 0.999, 1.0, 0.001, 0.0)]
        ['.98', '>.99', '1', '<.01', '0']
    """
    if probability in (0.0, 1.0):
        return f"{probability:.0f}"
    text = f"{probability:.2f}".removeprefix("0")
    return {"1.00": ">.99", ".00": "<.01"}.get(text, text)


def _crossed(square: UInt8Array) -> UInt8Array:
    """Draw a frame, and a cross on white in the upper left corner."""
    marked = np.ascontiguousarray(square)
    side = _SIDE_PX // 8
    cv2.rectangle(marked, (0, 0), (side, side), (255, 255, 255), thickness=-1)
    for start, end in (((10, 10), (side - 6, side - 6)), ((side - 6, 10), (10, side - 6))):
        cv2.line(marked, start, end, ALERT, thickness=4, lineType=cv2.LINE_AA)
    frame = np.ones(marked.shape[:2], np.bool_)
    frame[_FRAME_PX:-_FRAME_PX, _FRAME_PX:-_FRAME_PX] = False
    marked[frame] = ALERT
    return marked
