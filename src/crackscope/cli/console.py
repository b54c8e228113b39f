"""The console: what all commands share, results on stdout, progress and errors on stderr, and common options."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from crackscope.data.class_names import CRACK_NAMES, UNCRACKED_NAMES, ClassNames
from crackscope.errors import DataError

if TYPE_CHECKING:
    from crackscope.data.patches import PatchIndex
    from crackscope.files.streaming import Progress
    from crackscope.model.bundle import Bundle
    from crackscope.scanning.scanner import NetworkScale
    from crackscope.scanning.summary import BatchSummary

__all__ = [
    "AsJson",
    "CrackNames",
    "ModelFile",
    "Overwrite",
    "Part",
    "PhotoFrom",
    "Precision",
    "Threads",
    "UncrackedNames",
    "class_names",
    "class_words",
    "emit",
    "emit_batch",
    "fail",
    "in_plain_words",
    "network_scale",
    "parsed",
    "progress_bar",
    "read_labelled",
    "read_model",
    "say",
]

Value = TypeVar("Value")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout at the end.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what --out names.")]
ModelFile = Annotated[Path | None, typer.Option("--model", help="A model file (bundle); the default one if left out.")]
Threads = Annotated[int | None, typer.Option("--threads", min=1, help="Number of threads; all cores if left out.")]

CrackNames = Annotated[
    list[str] | None,
    typer.Option(
        "--crack",
        metavar="NAME",
        help=f"Another name for crack in class folders and labels; repeatable. Known: {', '.join(CRACK_NAMES)} "
        "(in any case; also cracks, cracked).",
    ),
]
UncrackedNames = Annotated[
    list[str] | None,
    typer.Option(
        "--uncracked",
        metavar="NAME",
        help="Another name for uncracked in class folders and labels; repeatable. Known: "
        f"{', '.join(UNCRACKED_NAMES)}.",
    ),
]


PhotoFrom = Annotated[
    str | None,
    typer.Option(
        "--photo-from",
        metavar="REGEX",
        help="Regular expression with one group, which takes the photo from each path, such as '(IMG_[0-9]+)'. If left "
        "out: the layout, a column photo, or the names of augmented exports.",
    ),
]


class _Precision(str, Enum):
    """Precision of the default bundle, as an option."""

    fp32 = "fp32"
    int8 = "int8"


Precision = Annotated[
    _Precision | None,
    typer.Option(
        "--precision",
        help="Precision of the default model file; fp32 if left out. int8 has 47 % of the size and is 1.55 to 1.75 "
        "times as fast.",
    ),
]


class TakenAs(str, Enum):
    """What images are taken for, as an option."""

    auto = "auto"
    patch = "patch"
    photo = "photo"


class TakenAsPatch(str, Enum):
    """What labelled patches are taken for, as an option."""

    auto = "auto"
    patch = "patch"


AsPatch = Annotated[
    TakenAsPatch,
    typer.Option("--as", help="patch: resize images that are larger than the model's patches; auto refuses them."),
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


_PLAIN = (
    (r"Input should be a valid number.*", "it must be a number, written with a point, such as 0.3"),
    (r"Input should be a valid integer.*", "it must be a whole number"),
    (r"Input should be greater than or equal to (.+)", r"it must be at least \1"),
    (r"Input should be less than or equal to (.+)", r"it must be at most \1"),
    (r"Input should be greater than (.+)", r"it must be above \1"),
    (r"Input should be less than (.+)", r"it must be below \1"),
    (r"Value error, (.+)", r"\1"),
)
"""Words of typer's own checks of numbers and choices, and ours."""


def in_plain_words(message: str) -> str:
    """Say what is wrong with the value of an option in words of our own.

    Example:
        >>> in_plain_words("Input should be less than or equal to 1")
        'it must be at most 1'
    """
    for pattern, words in _PLAIN:
        message = re.sub(pattern, words, message)
    return message


def emit(document: Mapping[str, Any], *, as_json: bool, text: str = "") -> None:
    """Print the result: the document as JSON, or the text for people."""
    print(json.dumps(document, indent=2) if as_json else text)


def emit_batch(
    summary: BatchSummary,
    *,
    model: str,
    out: Path,
    noun: str,
    verb: str,
    keys: tuple[str, str],
    where: str,
    text: Callable[[str], str],
    as_json: bool,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Print what a run over many images did, and end with exit code 3 if it refused any.

    Args:
        summary: What it did.
        model: Name of the model.
        out: What was written.
        noun: What the images are, in the plural.
        verb: What was done to them.
        keys: Names of the number of images and of their answers in the JSON document.
        where: Where the reasons of refused images stand.
        text: Function from the counts, in words, to the text that people read.
        as_json: Whether the document is printed in place of the text.
        more: Other fields of the document.
    """
    if summary.n_resumed:
        say(f"{summary.n_resumed} {noun} had been done before")
    if summary.first_error:
        path, why = summary.first_error
        say(f"{path}: {why}" + (f" (and {summary.n_refused - 1} more, see {where})" if summary.n_refused > 1 else ""))
    counts = ", ".join(f"{n} {answer}" for answer, n in summary.answers.items()) or f"nothing {verb}"
    refused = f", {summary.n_refused} refused" if summary.n_refused else ""
    document = {
        "status": "refused" if summary.n_refused else "done",
        "out": str(out),
        "model": model,
        keys[0]: summary.n_images,
        "n_refused": summary.n_refused,
        "n_resumed": summary.n_resumed,
        keys[1]: summary.answers,
        "first_error": dict(zip(("path", "reason"), summary.first_error, strict=True)) if summary.first_error else None,
    }
    emit(document | dict(more or {}), as_json=as_json, text=text(counts + refused))
    if summary.n_refused:
        raise typer.Exit(3)


def class_names(crack: list[str] | None, uncracked: list[str] | None) -> ClassNames:
    """The names of classes behind ``--crack`` and ``--uncracked``."""
    return ClassNames(tuple(crack or ()), tuple(uncracked or ()))


def class_words(crack: list[str] | None, uncracked: list[str] | None, photo_from: str | None = None) -> list[str]:
    """The words of ``--crack``, ``--uncracked`` and ``--photo-from``, to repeat them in a command that is shown."""
    words = [word for name in crack or () for word in ("--crack", name)]
    words += [word for name in uncracked or () for word in ("--uncracked", name)]
    return words + (["--photo-from", photo_from] if photo_from is not None else [])


def read_labelled(
    data: Path, crack: list[str] | None, uncracked: list[str] | None, photo_from: str | None = None
) -> PatchIndex:
    """The labelled patches of DATA, by the known class names and those of the options; what is left out is told."""
    from crackscope.data.patches import read_patches

    index = read_patches(data, names=class_names(crack, uncracked), photo_from=photo_from)
    if index.ignored:
        say(f"{index.name}: {index.what_is_ignored()}")
    return index


def read_model(model: Path | None, precision: _Precision | None) -> Bundle:
    """The bundle behind ``--model`` and ``--precision``."""
    from crackscope.model.bundle import read_bundle

    return read_bundle(model, precision=precision.value if precision else None)


@contextmanager
def progress_bar(task: str) -> Iterator[Progress]:
    """A bar with count and time left on stderr; where stderr is no terminal, nothing is drawn.

    When the count starts anew, as it does with every epoch, so does the estimate. A first epoch that fills a cache does
    not slow the estimate of the next.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Bar(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        bar_task = bar.add_task(task, total=None)

        before: tuple[int, int] = (0, 0)

        def update(done: int, total: int) -> None:
            nonlocal before
            if done < before[0] or total != before[1]:
                bar.reset(bar_task, total=total)
            before = done, total
            bar.update(bar_task, completed=done)

        yield update


def parsed(option: str, parse: Callable[[], Value]) -> Value:
    """The value of an option; one that is not as it must be is wrong usage."""
    try:
        return parse()
    except DataError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error


def network_scale(scale: str) -> NetworkScale:
    """The network scale behind ``--scale``."""
    if scale == "auto":
        return "auto"
    try:
        value = float(scale)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise typer.BadParameter(f"'{scale}' is neither auto nor a number above 0.", param_hint="--scale")
    return value
