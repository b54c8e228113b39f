"""Errors: every error that crackscope raises on purpose.

The tree::

    CrackscopeError
    ├── DataError          images, labelled folders, tables, archives
    │   └── ImageError     one image cannot be read, or is refused
    ├── SplitError         a split file that leaks, or does not fit its data
    ├── RecipeError        a recipe or setting that does not exist, a run that cannot go on
    ├── BundleError        a model file that is foreign, damaged or of another version
    ├── OutputError        a place that cannot be written
    ├── DownloadError      a host that cannot be reached, a checksum that differs
    └── MissingExtraError  an optional dependency that is not installed

A message says what was asked, what was found and what to do now, in one line. The command line prints it and exits with
1, and so it does with what the system reports, such as a full disk. Any other error is a fault of ours, and ends the
program with its traceback.

Some errors are caught and told elsewhere. An image that cannot be read is a row with its reason, and the other
images are done. What a result can do without, such as the picture of a patch that was deleted meanwhile, is left out or
shown as a grey square.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "BundleError",
    "CrackscopeError",
    "DataError",
    "DownloadError",
    "ImageError",
    "MissingExtraError",
    "OutputError",
    "RecipeError",
    "SplitError",
    "did_you_mean",
    "reason_of",
]


class CrackscopeError(Exception):
    """Root of all errors that crackscope raises on purpose: something that the user can mend."""


class DataError(CrackscopeError):
    """Images, labelled folders, tables or archives that are not what was expected."""


class ImageError(DataError):
    """An image that cannot be read, or is refused; the message is the reason."""


class SplitError(CrackscopeError):
    """A split that leaks, or belongs to other data."""


class RecipeError(CrackscopeError):
    """A recipe or a setting that does not exist, or a training that cannot go on."""


class BundleError(CrackscopeError):
    """A model file that is foreign, damaged or of another version."""


class OutputError(CrackscopeError):
    """A place that cannot be written, or is already taken."""


class DownloadError(CrackscopeError):
    """A file that could not be downloaded whole."""


_INSTALL = {
    "train": "pip install torch==2.13.0 && pip install '.[train]' (on Linux, take torch for CPU from pytorch.org)",
}
"""Commands that install an extra from a clone, where ``pip install '.[EXTRA]'`` alone is not enough. The torch that pip
takes by default on Linux brings CUDA, several GB; the one for the CPU takes 200 MB."""


class MissingExtraError(CrackscopeError):
    """An optional dependency that is not installed.

    Args:
        purpose: What needs the dependency, for example ``"Turning a model folder into ONNX"``.
        package: Distribution that is missing, for example ``"torch"``.
        extra: Extra of crackscope that brings it, for example ``"train"``.
    """

    def __init__(self, purpose: str, *, package: str, extra: str) -> None:
        install = _INSTALL.get(extra, f"pip install '.[{extra}]'")
        super().__init__(f"{purpose} needs {package}, which is not installed. In the repository's folder: {install}")


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a sentence that offers the nearest known word, or an empty string.

    Example:
        >>> did_you_mean("crak", ["crack", "uncracked"])
        " Did you mean 'crack'?"
        >>> did_you_mean("zebra", ["crack", "uncracked"])
        ''
    """
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f" Did you mean '{near[0]}'?" if near else ""


def reason_of(error: Exception) -> str:
    """Why an image could not be read, as one line without its path, for a row of a table.

    Example:
        >>> reason_of(FileNotFoundError(2, "No such file or directory", "a.jpg"))
        'cannot be read: No such file or directory'
    """
    if isinstance(error, KeyError):
        return "no such file in the archive"
    text = f"cannot be read: {error.strerror or error}" if isinstance(error, OSError) else str(error)
    return " ".join(text.split())
