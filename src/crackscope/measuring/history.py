"""Histories: what a training run learned, epoch by epoch, and the file that keeps it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path

from crackscope.errors import DataError
from crackscope.files.output import write_text
from crackscope.files.tables import TableForm, TableRow, read_table, table_text

__all__ = ["PHASES", "Epoch", "best_epoch", "read_history", "write_history"]

PHASES = ("frozen", "finetuning")
"""The phases of a run in their order: the backbone held fixed, then trained as well."""


@dataclass(frozen=True)
class Epoch:
    """One pass over the training patches, and the figures it ended with.

    A patch is called crack where its probability is above 0.5, before any calibration.

    Attributes:
        number: Number of the epoch, from 1, counted over all phases.
        phase: Name of its phase, one of `PHASES`.
        train_loss: Mean loss over the patches of ``train``, as they were met during the epoch.
        train_accuracy: Share of these patches that got the right label, in [0, 1].
        val_loss: Mean loss on ``val`` at the end of the epoch.
        val_accuracy: Share of ``val`` that got the right label, in [0, 1].
        learning_rate: Learning rate of the epoch.
        seconds: Wall-clock time of the epoch, in seconds.
        train_recall_crack: Share of the cracked patches of ``train`` that were called crack; NaN where it is not known.
        train_f1_crack: F1 of crack on ``train``; NaN where it is not known.
        val_recall_crack: Share of the cracked patches of ``val`` that were called crack; NaN where it is not known.
        val_f1_crack: F1 of crack on ``val``; NaN where it is not known.
    """

    number: int
    phase: str
    train_loss: float
    train_accuracy: float
    val_loss: float
    val_accuracy: float
    learning_rate: float
    seconds: float
    train_recall_crack: float = math.nan
    train_f1_crack: float = math.nan
    val_recall_crack: float = math.nan
    val_f1_crack: float = math.nan


_COLUMNS = tuple(field.name for field in fields(Epoch))
_OPTIONAL = tuple(field.name for field in fields(Epoch) if field.default is not MISSING)
_REQUIRED = tuple(name for name in _COLUMNS if name not in _OPTIONAL)
_FORM = TableForm(_REQUIRED, optional=_OPTIONAL, complete=True, remedy="Give a run's history.csv.")


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
    rows = ([_cell(name, getattr(epoch, name)) for name in _COLUMNS] for epoch in epochs)
    write_text(path, table_text(_COLUMNS, rows), overwrite=True)


def read_history(path: Path) -> list[Epoch]:
    """Read what `write_history` wrote.

    Raises:
        DataError: If the file cannot be read, or is no history.
    """
    return [_epoch(row) for row in read_table(path, _FORM)]


def _cell(name: str, value: object) -> object:
    if isinstance(value, float):
        return "" if name in _OPTIONAL and math.isnan(value) else f"{value:.6g}"
    return value


def _epoch(row: TableRow) -> Epoch:
    number, phase, *values = (row[column] for column in _REQUIRED)
    if phase not in PHASES:
        raise DataError(f"{row.where}: phase '{phase}' is none of {', '.join(PHASES)}. Correct it, or train again.")
    try:
        known = {name: float(row[name]) for name in _OPTIONAL if row[name]}
        return Epoch(int(number), phase, *map(float, values), **known)
    except ValueError as error:
        raise DataError(f"{row.where}: not a number ({error}). Correct it, or train again.") from error
