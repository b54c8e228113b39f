"""Prediction tables: predictions as CSV, JSON lines or Parquet, one row for each image, in the order of the inputs.

Rows are appended to a journal beside the output as they come. When the last is there, the output is written from it and
renamed. A run that was killed goes on where its journal ends. Only images that were under way are done again: eight a
thread, and as many waiting. The file is the same, byte for byte, as that of a run without a break.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from crackscope.errors import MissingExtraError, OutputError
from crackscope.files.images import MAX_MEGAPIXELS
from crackscope.files.journal import Journal
from crackscope.files.output import new_file, require_free
from crackscope.files.sources import Source, all_images_of, run_mark
from crackscope.files.streaming import Progress
from crackscope.files.tables import table_lines
from crackscope.files.watched import WatchedImage
from crackscope.scanning.loaded_model import AnyModel, load, rows_of
from crackscope.scanning.prediction import PredictionRow, Unit, require_unit
from crackscope.scanning.summary import BatchSummary, summarise

__all__ = ["COLUMNS", "FORMATS", "write_predictions"]

COLUMNS = tuple(field.name for field in fields(PredictionRow))
FORMATS = (".csv", ".jsonl", ".parquet")
"""Endings that the name of a table may have."""


def write_predictions(
    source: Source,
    model: AnyModel = None,
    *,
    out: str | Path,
    unit: Unit = "auto",
    overwrite: bool = False,
    max_megapixels: float = MAX_MEGAPIXELS,
    progress: Progress | None = None,
) -> BatchSummary:
    """Predict images and write a table, one row for each. A run that was stopped goes on when it is called again.

    Args:
        source: Images in any of the forms that `Model.predict` takes; all are listed before the first is read.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        out: Path of the table. Its name ends in ``.csv``, ``.jsonl`` or ``.parquet`` (extra ``parquet``).
        unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says.
        overwrite: Whether an existing file is replaced.
        max_megapixels: Limit in megapixels; a larger image is refused.
        progress: Called with (done, total) as images are read.

    Returns:
        Numbers of images, refused images, and images of each label.

    Raises:
        DataError: If something in the source is no image, there is no image behind any path of it, or `unit` is another
            word.
        BundleError: If the model is no bundle of this version.
        OutputError: If `out` exists and `overwrite` is false, its name ends otherwise, or it cannot be written.
        MissingExtraError: If Parquet is asked for and pyarrow is not installed.
    """
    require_unit(unit)
    place = Path(out)
    _require_format(place)
    require_free(place, overwrite=overwrite)
    if place.is_dir():
        raise OutputError(f"{place} is a folder; a file is to be written there. Choose another --out.")
    # The columns are named too: rows of another version of crackscope would not fit.
    images, loaded = all_images_of(source, require_one=True), load(model)
    task = json.dumps([loaded.name, unit, max_megapixels, run_mark(images), *COLUMNS])
    watched = [WatchedImage(image) for image in images]
    paths = [image.path for image in images]
    with Journal(place, task=task, paths=paths, unchanged=lambda i, noted: watched[i].is_unchanged(noted)) as journal:
        n_resumed = journal.n_rows
        left = watched[n_resumed:]
        for row, image in zip(rows_of(left, loaded, max_megapixels=max_megapixels, unit=unit), left, strict=True):
            journal.append(asdict(row), state=image.state.to_dict() if image.state else None)
            if progress:
                progress(journal.n_rows, len(images))
        with new_file(place, overwrite=overwrite) as part:
            _write(part, journal.rows(), place.suffix.lower())
        summary = summarise(((row["path"], row["label"], row["error"]) for row in journal.rows()), n_resumed)
        journal.remove()
    return summary


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
        file.writelines(table_lines(COLUMNS, ([_cell(row[name]) for name in COLUMNS] for row in rows)))


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
