"""Predictions into a file: CSV, JSON lines or Parquet, a row an image, in the order of the inputs.

Rows are appended to a journal beside the output as they come. When the last is there, the output is written from it
and renamed. A run that was killed is taken up where its journal ends: only images that were under way, eight a thread
and as many waiting, are done again, and the file is the same, byte for byte, as that of a run without a break.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO, Any

from crackscope.errors import MissingExtraError, OutputError
from crackscope.files.images import MAX_MEGAPIXELS
from crackscope.files.inputs import ImageFile
from crackscope.files.journal import Journal
from crackscope.files.output import new_file, require_free
from crackscope.files.streaming import Progress
from crackscope.scanning.prediction import Classifier, PredictionRow
from crackscope.scanning.rows import photo_reader

__all__ = ["COLUMNS", "FORMATS", "PredictionSummary", "predict_to_file"]

COLUMNS = tuple(field.name for field in fields(PredictionRow))
FORMATS = (".csv", ".jsonl", ".parquet")
"""Endings of a table's name."""


@dataclass(frozen=True)
class PredictionSummary:
    """What a run did.

    Attributes:
        n_files: Rows written.
        n_refused: Rows with an error.
        n_resumed: Rows taken over from an interrupted run.
        labels: Number of rows of each label.
        first_error: Path and reason of the first refused file; None where there is none.
    """

    n_files: int
    n_refused: int
    n_resumed: int
    labels: dict[str, int]
    first_error: tuple[str, str] | None


def predict_to_file(
    images: Sequence[ImageFile],
    model: Classifier,
    out: str | Path,
    *,
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    progress: Progress | None = None,
) -> PredictionSummary:
    """Predict images and write a table.

    Args:
        images: From `crackscope.files.inputs.list_images`.
        model: The classifier.
        out: Ends in ``.csv``, ``.jsonl`` or ``.parquet`` (extra ``parquet``).
        overwrite: Replace an existing file.
        max_megapixels: A larger image is refused.
        progress: Called with (done, total).

    Raises:
        OutputError: If `out` exists, ends otherwise, or cannot be written.
        MissingExtraError: If Parquet is asked for and pyarrow is not installed.
    """
    place = Path(out)
    _require_format(place)
    require_free(place, overwrite=overwrite)
    if place.is_dir():
        raise OutputError(f"{place} is a folder; a file is to be written there. Choose another --out.")
    # The columns are named too: rows of another version of crackscope would not fit.
    task = json.dumps([model.name, max_megapixels, *COLUMNS])
    with Journal(place, task=task, paths=[path for path, _ in images]) as journal:
        n_resumed = journal.n_rows
        for row in _rows(images[n_resumed:], model, max_megapixels):
            journal.append(asdict(row))
            if progress:
                progress(journal.n_rows, len(images))
        with new_file(place, overwrite=overwrite) as part:
            _write(part, journal.rows(), place.suffix.lower())
        summary = _summarise(journal.rows(), n_resumed)
        journal.remove()
    return summary


def _rows(images: Sequence[ImageFile], model: Classifier, max_megapixels: float) -> Iterator[PredictionRow]:
    return model.predict_files(images, max_megapixels=max_megapixels, on_photo=photo_reader(model))


def _require_format(place: Path) -> None:
    if place.suffix.lower() not in FORMATS:
        raise OutputError(f"{place}: a table ends in {', '.join(FORMATS)}; found '{place.suffix}'. Rename --out.")
    if place.suffix.lower() == ".parquet":
        _pyarrow()


def _pyarrow() -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("A Parquet table", package="pyarrow", extra="parquet") from error
    return pyarrow


def _write(part: Path, rows: Iterable[dict[str, Any]], suffix: str) -> None:
    if suffix == ".parquet":
        _write_parquet(part, rows)
        return
    with part.open("w", encoding="utf-8", errors="backslashreplace", newline="") as file:
        if suffix == ".jsonl":
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            return
        writer = csv.DictWriter(_UnixLines(file), COLUMNS, lineterminator="\r\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({name: _cell(value) for name, value in row.items()})


class _UnixLines:
    """Ends lines in a line feed alone. Told so itself, `csv` before Python 3.13 leaves a carriage return unquoted."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, line: str) -> int:
        return self._file.write(line.removesuffix("\r\n") + "\n")


def _cell(value: Any) -> Any:
    return f"{value:.6f}" if isinstance(value, float) else value


def _write_parquet(part: Path, rows: Iterable[dict[str, Any]]) -> None:
    arrow = _pyarrow()
    numbers = ("crack_probability", "threshold")
    schema = arrow.schema([(name, arrow.float64() if name in numbers else arrow.string()) for name in COLUMNS])
    with arrow.parquet.ParquetWriter(part, schema) as writer:
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append({name: _unicode(value) for name, value in row.items()})
            if len(batch) == 10_000:
                writer.write_batch(arrow.RecordBatch.from_pylist(batch, schema))
                batch = []
        writer.write_batch(arrow.RecordBatch.from_pylist(batch, schema))


def _unicode(value: Any) -> Any:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _summarise(rows: Iterable[dict[str, Any]], n_resumed: int) -> PredictionSummary:
    labels: Counter[str] = Counter()
    n_files, n_refused, first_error = 0, 0, None
    for row in rows:
        n_files += 1
        if row["error"]:
            n_refused += 1
            first_error = first_error or (row["path"], row["error"])
        else:
            labels[row["label"]] += 1
    return PredictionSummary(n_files, n_refused, n_resumed, dict(sorted(labels.items())), first_error)
