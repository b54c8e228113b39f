"""What all commands say, and where: results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from crackscope.files.streaming import Progress
    from crackscope.model.bundle import Bundle

__all__ = [
    "AsJson",
    "ModelFile",
    "Overwrite",
    "Part",
    "Precision",
    "Threads",
    "emit",
    "fail",
    "progress_bar",
    "read_model",
    "say",
    "scale_number",
]

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout at the end.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing --out.")]
ModelFile = Annotated[Path | None, typer.Option("--model", help="A bundle; the default one if left out.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Thread budget; all cores if left out.")]


class _Precision(str, Enum):
    """Of the default bundle, as an option."""

    fp32 = "fp32"
    int8 = "int8"


Precision = Annotated[
    _Precision | None,
    typer.Option("--precision", help="Of the default bundle: fp32 if left out; int8 is faster, and a third as large."),
]


class Part(str, Enum):
    """A part of a split, as an option."""

    train = "train"
    val = "val"
    test = "test"


def say(text: str) -> None:
    """Tell the user something that is not the result: stderr."""
    print(text, file=sys.stderr)


def fail(text: str, *, code: int = 1) -> int:
    """Print one line on stderr, and with --json a document on stdout; return the exit code."""
    line = " ".join(text.split("\n"))
    say(f"crackscope: {line}")
    if "--json" in sys.argv:
        emit({"status": "interrupted" if code == 130 else "error", "error": line}, as_json=True)
    return code


def emit(document: Mapping[str, Any], *, as_json: bool, text: str = "") -> None:
    """Print the result: the document as JSON, or the text for people."""
    print(json.dumps(document, indent=2) if as_json else text)


def read_model(model: Path | None, precision: _Precision | None) -> Bundle:
    """The bundle behind ``--model`` and ``--precision``."""
    from crackscope.model.bundle import read_bundle

    return read_bundle(model, precision=precision.value if precision else None)


@contextmanager
def progress_bar(task: str) -> Iterator[Progress]:
    """A bar with count and time left on stderr; where stderr is no terminal, nothing is drawn."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar_task = bar.add_task(task, total=None)

        def update(done: int, total: int) -> None:
            bar.update(bar_task, completed=done, total=total)

        yield update


def scale_number(scale: str, mm_per_px: float | None) -> float | None:
    """The number behind ``--scale``; None is ``auto``."""
    if mm_per_px is not None and mm_per_px <= 0:
        raise typer.BadParameter(f"{mm_per_px:g} must lie above 0.", param_hint="--mm-per-px")
    if scale == "auto":
        return None
    try:
        value = float(scale)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"'{scale}' is neither auto nor a number above 0.", param_hint="--scale")
    if mm_per_px is not None:
        raise typer.BadParameter("give --scale or --mm-per-px, not both.", param_hint="--scale")
    return value
