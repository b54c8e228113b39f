"""What a training run learned, epoch by epoch, and the file that keeps it."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from crackscope.errors import DataError, reason_of
from crackscope.files.output import write_text

__all__ = ["PHASES", "Epoch", "best_epoch", "read_history", "write_history"]

PHASES = ("frozen", "finetuning")
"""The phases of a run in their order: the backbone held fixed, then trained as well."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training patches, and what it gave.

    Attributes:
        number: From 1, counted over all phases.
        phase: One of `PHASES`.
        train_loss: Mean loss over the patches of ``train``, as they were met during the epoch.
        train_accuracy: Share of them that got the right label, in [0, 1].
        val_loss: Mean loss on ``val`` at the end of the epoch.
        val_accuracy: Share of ``val`` that got the right label, in [0, 1].
        learning_rate: At the end of the epoch.
        seconds: How long it took.
    """

    number: int
    phase: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float


_COLUMNS = tuple(field.name for field in fields(Epoch))


def best_epoch(epochs: Sequence[Epoch]) -> Epoch | None:
    """The epoch of the least loss on ``val``, the first of equals; None if no loss is a number."""
    finite = [epoch for epoch in epochs if math.isfinite(epoch.val_loss)]
    return min(finite, key=lambda epoch: epoch.val_loss, default=None)


def write_history(epochs: Sequence[Epoch], path: Path) -> None:
    """Write one row an epoch as a CSV, floats to six significant digits.

    The file is written beside and renamed, and replaces that of the epoch before.

    Raises:
        OutputError: If it cannot be written.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(_COLUMNS)
    for epoch in epochs:
        writer.writerow([f"{value:.6g}" if isinstance(value, float) else value for value in astuple(epoch)])
    write_text(path, stream.getvalue(), overwrite=True)


def read_history(path: Path) -> list[Epoch]:
    """Read what `write_history` wrote.

    Raises:
        DataError: If the file cannot be read, or is no history.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {reason_of(error)}. Check the path.") from error
    rows = list(csv.reader(text.splitlines()))
    if not rows or tuple(rows[0]) != _COLUMNS:
        found = ", ".join(rows[0]) if rows else "nothing"
        raise DataError(f"{path}: columns are {found}; a history has {', '.join(_COLUMNS)}. Give a run's history.csv.")
    return [_epoch(row, f"{path}, row {number}") for number, row in enumerate(rows[1:], 2)]


def _epoch(row: list[str], place: str) -> Epoch:
    if len(row) != len(_COLUMNS):
        raise DataError(f"{place}: {len(row)} values for {len(_COLUMNS)} columns. Delete the row, or train again.")
    number, phase, *values = row
    if phase not in PHASES:
        raise DataError(f"{place}: phase '{phase}' is none of {', '.join(PHASES)}. Correct it, or train again.")
    try:
        return Epoch(int(number), phase, *map(float, values))
    except ValueError as error:
        raise DataError(f"{place}: not a number ({error}). Correct it, or train again.") from error
