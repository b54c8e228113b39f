"""Run records: what a run leaves to look at, TensorBoard events, tables and pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from crackscope.data.patches import PatchIndex
from crackscope.files.output import new_file, write_text
from crackscope.measuring.evaluation import Evaluation, metrics_document
from crackscope.measuring.history import Epoch, write_history
from crackscope.reports.augmented_views import write_augmented_views
from crackscope.reports.batch_sheet import draw_test_batch, write_test_batch
from crackscope.reports.evaluation_report import write_evaluation
from crackscope.reports.history_plot import draw_history
from crackscope.reports.look import png_bytes
from crackscope.reports.plots import confusion_matrix
from crackscope.training.augmentation import square, view_of
from crackscope.training.recipes import Recipe
from crackscope.training.torch.layers import Layer, write_layers
from crackscope.training.torch.tensorboard import RunLog

__all__ = ["RunRecord"]

_N_SAMPLES = 16
_N_VIEWED, _N_VIEWS = 4, 6


class RunRecord:
    """The record of one run, in its folder; a context manager.

    Args:
        folder: Path of the run folder.
        recipe: Recipe of the run.
        n_epochs_before: Number of epochs that earlier sessions finished.
        say: Called with a line of text after every epoch.
    """

    def __init__(self, folder: Path, recipe: Recipe, *, n_epochs_before: int, say: Callable[[str], None]) -> None:
        self.folder, self.recipe, self.say = folder, recipe, say
        self._epochs: list[Epoch] = []
        self._n_epochs_before = n_epochs_before
        self._baseline = ""
        events = folder / "tensorboard"  # there already if a session was stopped, be it in its first epoch
        self._log = RunLog(events, resume_from_step=n_epochs_before + 1 if events.is_dir() else None)
        self._log.recipe(json.dumps(recipe.model_dump(mode="json"), indent=2))

    def __enter__(self) -> RunRecord:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._log.close()

    def patches(self, index: PatchIndex) -> None:
        """Show some training patches, and other views of a few; epochs are told beside calling all of ``val`` crack."""
        self._baseline = f" (always crack {float(index.part('val').labels.mean()):.4f})"
        training = index.part("train").patches
        chosen = np.random.default_rng(0).permutation(len(training))[:_N_SAMPLES]
        sample = [training[i] for i in chosen.tolist()]
        pixels = [square(index.read_pixels(patch.path)) for patch in sample]
        self._log.sample_patches(pixels, [patch.label for patch in sample])
        settings = self.recipe.augmentation
        if settings is not None:
            first = pixels[:_N_VIEWED]
            views = [
                [view_of(own, settings, view=i, cracked=patch.label == "crack")[0] for i in range(1, _N_VIEWS + 1)]
                for own, patch in zip(first, sample, strict=False)
            ]
            self._log.augmented_views(first[0], views[0])
            write_augmented_views(first, views, self.folder / "views.png", overwrite=True)

    def epoch(self, epochs: Sequence[Epoch]) -> None:
        """Write the history up to now, the last epoch of which has just ended."""
        done = epochs[-1]
        self._epochs = list(epochs)
        self._log.epoch(done)
        write_history(epochs, self.folder / "history.csv")
        self.say(self._line(done))

    def layers(self, layers: Sequence[Layer]) -> None:
        """Write the layer table."""
        write_layers(layers, self.folder / "layers.csv", overwrite=True)

    def evaluation(self, epochs: Sequence[Epoch], evaluation: Evaluation, index: PatchIndex) -> None:
        """Write curves, figures and pictures of what the model says of the judged patches."""
        title = f"{self.folder.name}: {self.recipe.name}, {evaluation.dataset}"
        _write_bytes(self.folder / "history.png", png_bytes(draw_history(epochs, title=title)))
        write_history(epochs, self.folder / "history.csv")
        write_evaluation(evaluation, self.folder / "evaluation", read_image=index.read_pixels, overwrite=True)
        write_text(
            self.folder / "metrics.json", json.dumps(metrics_document(evaluation), indent=2) + "\n", overwrite=True
        )
        write_test_batch(index, evaluation, self.folder / "test_batch.png", overwrite=True)
        self._log.predictions(draw_test_batch(index, evaluation), step=len(epochs))
        self._log.confusion_matrix(confusion_matrix(evaluation), step=len(epochs))

    def _line(self, done: Epoch) -> str:
        epochs = dict(self.recipe.phases)[done.phase].epochs
        number = sum(epoch.phase == done.phase for epoch in self._epochs)
        line = (
            f"{done.phase} {number}/{epochs}: loss {done.train_loss:.4f}, val loss {done.val_loss:.4f}, "
            f"val accuracy {done.val_accuracy:.4f}{self._baseline}, {done.seconds:.1f} s"
        )
        usual_s = self._usual_seconds(done.phase)
        if usual_s is None or number == epochs:
            return line
        return f"{line}; at most {_duration((epochs - number) * usual_s)} of this phase left"

    def _usual_seconds(self, phase: str) -> float | None:
        """Time of the last epoch that tells how long the next will take, if there is one.

        The first epoch of a phase computes what later ones read from the cache, and so does the first of a session.
        """
        own = [epoch for epoch in self._epochs if epoch.phase == phase][1:]
        usual = [epoch for epoch in own if epoch.number != self._n_epochs_before + 1]
        return usual[-1].seconds if usual else None


def _duration(seconds: float) -> str:
    """A time for people.

    Example:
        >>> _duration(8), _duration(150), _duration(8000)
        ('8 s', '2 min', '2 h 13 min')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = int(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"


def _write_bytes(out: Path, content: bytes) -> None:
    with new_file(out, overwrite=True) as part:
        part.write_bytes(content)
