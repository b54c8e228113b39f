"""Journals: the rows of a long run, kept on disk as they come, so that a killed run goes on where it stopped.

A journal lies beside the output it is for. Its first line says what the run is and when it began; each line after it is
a row, as JSON, with the state of the file that it was made from. A row is not taken over if its file has changed. The
journal is locked while a run writes it, and the operating system takes the lock off a process that dies.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, TypeAlias

from filelock import lock_descriptor

from crackscope.errors import OutputError
from crackscope.files.output import explain

__all__ = ["Journal"]

State: TypeAlias = Mapping[str, Any] | None
Unchanged: TypeAlias = Callable[[int, State], bool]

_STATE = "file"  # key of the state of a row's file


class Journal:
    """Rows of one run, each a dictionary with a ``path``. A context manager; leaving it keeps the file.

    Args:
        out: Output that the journal is for.
        task: What decides the rows besides the paths, for example the model's name; a run with another task begins
            anew.
        paths: Paths of all inputs, in order.
        unchanged: Function from the number of an input and the state that its row was written with to whether its file
            is still the same. Rows without a state are told by the times of their files.

    Attributes:
        n_rows: Rows held.

    Raises:
        OutputError: If another run has the journal open, or the place cannot be written.
    """

    def __init__(self, out: Path, *, task: str, paths: Sequence[str], unchanged: Unchanged | None = None) -> None:
        self._out, self._path = out, out.with_name(f".{out.name}.journal")
        self._first_row = 0  # where it begins, in bytes
        self.n_rows = 0
        try:
            self._file = self._open()
            try:
                self._resume(task, paths, unchanged)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise OutputError(explain(error, out)) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError):  # a full disk has been told of by `append`
            self._file.close()

    def append(self, row: dict[str, Any], *, state: State | Literal["unknown"] = "unknown") -> None:
        """Write a row at once.

        Args:
            row: The row.
            state: State of the row's file, ready for JSON; None where there was no file.

        Raises:
            OutputError: If the disk is full.
        """
        try:
            self._file.write(_line(row if state == "unknown" else {**row, _STATE: state}))
            self._file.flush()
        except OSError as error:
            raise OutputError(explain(error, self._out)) from error
        self.n_rows += 1

    def rows(self) -> Iterator[dict[str, Any]]:
        """All rows, in order, without the states of their files."""
        self._file.seek(self._first_row)
        for line in self._file:
            row = json.loads(line)
            row.pop(_STATE, None)
            yield row

    def remove(self) -> None:
        """Close and delete it: the output is there."""
        with suppress(OSError):  # Windows keeps what another run is just looking at
            self._file.close()
            self._path.unlink()

    def _open(self) -> IO[bytes]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            file = self._path.open("a+b")
            if not _lock(file):
                file.close()
                raise OutputError(f"{self._out}: another run is writing it. Wait for it, or choose another --out.")
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), self._path.stat()):
                    return file
            file.close()  # the run that had it ended, and removed it, in between

    def _resume(self, task: str, paths: Sequence[str], unchanged: Unchanged | None) -> None:
        """Keep the rows that an interrupted run of the same task has done, cut off the rest."""
        self._file.seek(0)
        head = self._file.readline()
        begun = _parsed(head).get("begun") if _parsed(head).get("task") == task else None
        if not isinstance(begun, float):
            self._file.truncate(0)
            head = _line({"task": task, "begun": time.time()})
            self._file.write(head)
        else:
            self.n_rows, size = _rows_to_keep(self._file, paths, begun, unchanged)
            self._file.truncate(len(head) + size)
        self._first_row = len(head)


def _rows_to_keep(
    lines: Iterable[bytes], paths: Sequence[str], begun: float, unchanged: Unchanged | None
) -> tuple[int, int]:
    """Number of rows that are taken over, and their bytes."""
    kept, n_rows, size = (0, 0), 0, 0
    for i, (path, line) in enumerate(zip(paths, lines, strict=False)):
        row = _parsed(line)
        if row.get("path") != path:
            break
        if unchanged is not None and _STATE in row:
            if not unchanged(i, row[_STATE]):
                break
        elif _changed_since(path, begun):
            break
        n_rows, size = n_rows + 1, size + len(line)
        # An outage just before the run was stopped (a share that vanished) is not taken for the files' fault.
        if not str(row.get("error") or "").startswith("cannot be read"):
            kept = n_rows, size
    return kept


def _changed_since(path: str, begun: float) -> bool:
    """Whether a file, or the archive it lies in, was written or put in place after a time."""
    for place in (Path(path), *Path(path).parents):
        with suppress(OSError, ValueError):
            status = place.stat()
            return stat.S_ISREG(status.st_mode) and max(status.st_mtime, status.st_ctime) > begun
    return False


def _line(row: dict[str, Any]) -> bytes:
    return json.dumps(row).encode("ascii") + b"\n"  # so names that are no valid Unicode survive


def _parsed(line: bytes) -> dict[str, Any]:
    """The row, or an empty one where the line is torn or no row."""
    with suppress(ValueError):
        row = json.loads(line)
        if line.endswith(b"\n") and isinstance(row, dict):
            return row
    return {}


def _lock(file: IO[bytes]) -> bool:
    """Lock the file; False where another run holds it."""
    try:
        return lock_descriptor(file.fileno(), blocking=False)
    except OSError:  # this file system has no locks, as on some network drives, and lets everybody in
        return True
