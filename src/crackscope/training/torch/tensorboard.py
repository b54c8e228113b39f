"""TensorBoard logs of a training run: curves, pictures and the recipe, written without TensorFlow.

Figures of ``train`` and of ``val`` are two of TensorBoard's runs with the same tags, so each chart shows both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from torch.utils.tensorboard import SummaryWriter

from crackscope.arrays import UInt8Array
from crackscope.errors import DataError
from crackscope.measuring.history import Epoch
from crackscope.reports.augmented_views import draw_augmented_views
from crackscope.reports.contact_sheet import contact_sheet

__all__ = ["RunLog"]


_PARTS = ("train", "val")
"""Curves of each chart; each is a folder of event files, beside those of pictures and text."""

_RESTART = 1  # SessionLog.START of TensorBoard's event.proto: what was logged from its step on no longer counts


class RunLog:
    """A folder of event files; use it as a context manager, or close it.

    Its folders ``train`` and ``val`` hold the curves, and the folder itself pictures and text; each gets an event file
    in every session. A run that goes on after a kill gives the step it goes on from: what was logged from there on is
    hidden. What stands already is not logged again, so no step stands twice. All is on the disk when a method returns.

    Args:
        folder: Folder of the event files; made as needed. Point ``tensorboard --logdir`` at it.
        resume_from_step: Number of the first epoch that this session will run; None in a new run.
    """

    def __init__(self, folder: Path, *, resume_from_step: int | None = None) -> None:
        folders = {"": folder, **{part: folder / part for part in _PARTS}}
        self._logged: dict[str, set[tuple[str, int]]] = {
            name: set() if resume_from_step is None else _logged_before(place, resume_from_step)
            for name, place in folders.items()
        }
        self._writers: dict[str, Any] = {
            name: SummaryWriter(str(place), purge_step=resume_from_step) for name, place in folders.items()
        }

    def __enter__(self) -> RunLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Finish the event file; nothing can be logged afterwards."""
        for writer in self._writers.values():
            writer.close()

    def epoch(self, epoch: Epoch) -> None:
        """Log the figures of an epoch at the step of its number; those that are not known are left out."""
        for part in _PARTS:
            scalars = {
                "loss": getattr(epoch, f"{part}_loss"),
                "accuracy": getattr(epoch, f"{part}_accuracy"),
                "recall_crack": getattr(epoch, f"{part}_recall_crack"),
                "f1_crack": getattr(epoch, f"{part}_f1_crack"),
            }
            if part == "train":
                scalars["learning_rate"] = epoch.learning_rate
            for tag, value in scalars.items():
                if math.isfinite(value) and self._is_new(tag, epoch.number, part):
                    self._writers[part].add_scalar(tag, value, epoch.number)
            self._writers[part].flush()

    def recipe(self, text: str) -> None:
        """Log the resolved recipe as it stands, at step 0."""
        if self._is_new("run/recipe/text_summary", 0):
            markdown = "\n".join(f"    {line}" for line in text.splitlines())  # four blanks: shown as code
            self._writers[""].add_text("run/recipe", markdown, 0)
            self._writers[""].flush()

    def sample_patches(self, pixels: Sequence[UInt8Array], labels: Sequence[str], *, step: int = 0) -> None:
        """Log some training patches, each over its label.

        Args:
            pixels: Patches, RGB uint8 (h, w, 3) each.
            labels: Label of each patch.
            step: Step that it is logged at.

        Raises:
            DataError: If the lengths differ, or a patch is not RGB uint8.
        """
        if len(pixels) != len(labels):
            raise DataError(f"{len(pixels)} patches and {len(labels)} labels. Give the label of every patch.")
        sheet = contact_sheet(list(zip(pixels, labels, strict=True)), title="Training patches")
        self._picture("patches/samples", sheet, step)

    def augmented_views(self, original: UInt8Array, views: Sequence[UInt8Array], *, step: int = 0) -> None:
        """Log a patch beside other views of itself.

        Args:
            original: The patch as it is, RGB uint8 (h, w, 3).
            views: Its views, RGB uint8 (h, w, 3) each.
            step: Step that it is logged at.

        Raises:
            DataError: If a picture is not RGB uint8.
        """
        self._picture("patches/augmented_views", draw_augmented_views([original], [views]), step)

    def predictions(self, sheet: UInt8Array, *, step: int) -> None:
        """Log a sheet of test patches with true and predicted label.

        Args:
            sheet: The sheet, RGB uint8 (h, w, 3), for example of `crackscope.reports.batch_sheet.draw_test_batch`.
            step: Number of the epoch whose weights answered.

        Raises:
            DataError: If the sheet is not RGB uint8.
        """
        self._picture("test/predictions", sheet, step)

    def confusion_matrix(self, picture: Figure | UInt8Array, *, step: int) -> None:
        """Log a confusion matrix.

        Args:
            picture: The matrix as a figure, for example of `crackscope.reports.plots.confusion_matrix`, or as RGB
                uint8 (h, w, 3).
            step: Number of the epoch whose weights answered.

        Raises:
            DataError: If an array is not RGB uint8.
        """
        self._picture("test/confusion_matrix", _rendered(picture) if isinstance(picture, Figure) else picture, step)

    def _picture(self, tag: str, pixels: UInt8Array, step: int) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise DataError(f"{tag}: shape {pixels.shape}, type {pixels.dtype} is not RGB uint8 (h, w, 3). Convert it.")
        if self._is_new(tag, step):
            self._writers[""].add_image(tag, pixels, step, dataformats="HWC")
            self._writers[""].flush()

    def _is_new(self, tag: str, step: int, part: str = "") -> bool:
        """Whether nothing stands there yet; from now on something does."""
        logged = self._logged[part]
        new = (tag, step) not in logged
        logged.add((tag, step))
        return new


def _logged_before(folder: Path, step: int) -> set[tuple[str, int]]:
    """Tag and step of all that earlier sessions logged before a step and did not take back.

    An event file that was cut off in the middle counts as far as it goes.
    """
    logged: set[tuple[str, int]] = set()
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for event in LegacyEventFileLoader(str(file)).Load():
            if event.session_log.status == _RESTART:
                logged = {(tag, at) for tag, at in logged if at < event.step}
            logged |= {(value.tag, event.step) for value in event.summary.value}
    return {(tag, at) for tag, at in logged if at < step}


def _rendered(figure: Figure) -> UInt8Array:
    """A figure as RGB uint8 (h, w, 3) at its own resolution."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.uint8)[..., :3]
