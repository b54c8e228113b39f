"""Output: files and folders that appear whole or not at all, written beside and then renamed."""

from __future__ import annotations

import errno
import json
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crackscope.errors import OutputError

__all__ = [
    "explain",
    "json_text",
    "new_file",
    "new_folder",
    "require_free",
    "require_free_folder",
    "resumable_folder",
    "write_files",
    "write_folder",
    "write_text",
]


def require_free(out: Path, *, overwrite: bool) -> None:
    """Refuse a place that is taken, or whose name the disk does not take.

    Raises:
        OutputError: If `out` exists and `overwrite` is not said, or it cannot be looked at.
    """
    if _exists(out) and not overwrite:
        raise OutputError(f"{out} exists. Choose another --out, or say --overwrite.")


def require_free_folder(out: Path, *, ours: Collection[str], overwrite: bool) -> None:
    """Refuse a place that is taken, or that `--overwrite` must not replace.

    Raises:
        OutputError: If `out` exists and `overwrite` is not said, is no folder, holds the current folder, or holds
            anything but `ours`.
    """
    if not _exists(out):
        return
    with _explained(out):
        if not out.is_dir():
            raise OutputError(f"{out} is not a folder; one is to be written there. Choose another --out.")
        if out.resolve() in (Path.cwd(), *Path.cwd().parents):
            raise OutputError(f"{out} holds the current folder, which is not overwritten. Choose another --out.")
        foreign = sorted(entry.name for entry in out.iterdir() if entry.name not in ours)
        if not foreign:
            require_free(out, overwrite=overwrite)
    if foreign:
        raise OutputError(
            f"{out} holds '{foreign[0]}', which was not written by this command, so --overwrite does not replace it. "
            "Choose another --out."
        )


@contextmanager
def new_file(out: Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a path beside `out` to write to; it becomes `out` if the block ends well, and vanishes otherwise.

    Raises:
        OutputError: If `out` exists, or is no file, or the disk is full or read-only.
    """
    with _explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        if _exists(out) and not out.is_file():  # replacing a device such as /dev/null would break the system
            kind = "a folder" if out.is_dir() else "not an ordinary file"
            raise OutputError(f"{out} is {kind}; a file is to be written there. Choose another --out.")
        require_free(out, overwrite=overwrite)
        part = _beside(out, f"part{out.suffix[:20]}")
        part.touch(exist_ok=False)
    try:
        with _explained(out):
            yield part
            part.replace(out)
    finally:
        with suppress(OSError):  # on Windows, a file that the block left open stays
            part.unlink(missing_ok=True)


@contextmanager
def new_folder(out: Path, *, ours: Collection[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a folder beside `out` to fill; it becomes `out` when the block ends well, and vanishes otherwise.

    Args:
        out: The folder.
        ours: Names that we write there; overwriting never costs anybody a folder that holds another.
        overwrite: Replace an existing folder that holds nothing else.

    Raises:
        OutputError: If `require_free_folder` raises it, or the disk is full or read-only.
    """
    require_free_folder(out, ours=ours, overwrite=overwrite)
    with _explained(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        part = _beside(out, "part")
        part.mkdir()
    try:
        with _explained(out):
            yield part
            _exchange(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def resumable_folder(out: Path, *, ours: Collection[str], overwrite: bool = False) -> Iterator[Path]:
    """Give a folder as `new_folder` does; after an interruption it stays beside `out` for the next run.

    The folder always has the same name, so the next run finds it; what must not be taken over, the caller removes.

    Raises:
        OutputError: If `new_folder` raises it.
    """
    require_free_folder(out, ours=ours, overwrite=overwrite)
    part = out.absolute().parent / f".{out.name}.part"
    with _explained(out):
        part.mkdir(parents=True, exist_ok=True)
        yield part
        require_free_folder(out, ours=ours, overwrite=overwrite)  # another run may have ended meanwhile
        _exchange(part, out)


def write_text(out: Path, text: str, *, overwrite: bool = False) -> None:
    """Write a UTF-8 file; names that are not valid Unicode are kept as escapes.

    Raises:
        OutputError: If `out` exists, or the disk is full or read-only.
    """
    with new_file(out, overwrite=overwrite) as part:
        part.write_bytes(text.encode("utf-8", "backslashreplace"))


def write_files(folder: Path, files: Iterable[tuple[str, str | bytes]]) -> None:
    """Write files into a folder that is there.

    Args:
        folder: The folder.
        files: Name and content of each, text as `write_text` writes it; taken one at a time.

    Raises:
        OutputError: If one of them exists, or the disk is full or read-only.
    """
    for name, content in files:
        if isinstance(content, str):
            write_text(folder / name, content)
        else:
            with new_file(folder / name) as part:
                part.write_bytes(content)


def write_folder(
    out: str | Path, files: Iterable[tuple[str, str | bytes]], *, ours: Collection[str], overwrite: bool = False
) -> Path:
    """Write files into a new folder, which appears whole; the first is asked for once it is known to be free.

    Args:
        out: The folder; its parents are made as needed.
        files: Name and content of each file, as for `write_files`.
        ours: Names that we write there, as for `new_folder`.
        overwrite: Replace an existing folder that holds nothing else, as for `new_folder`.

    Returns:
        ``out`` as a path.

    Raises:
        OutputError: If `new_folder` raises it.
    """
    out = Path(out)
    with new_folder(out, ours=ours, overwrite=overwrite) as part:
        write_files(part, files)
    return out


def json_text(document: object) -> str:
    """A document as every JSON file of ours holds it; a NaN in it is an error, since JSON knows none."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _exists(out: Path) -> bool:
    """Whether anything is there, a broken link included."""
    with _explained(out):
        try:
            out.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True


def _beside(out: Path, ending: str) -> Path:
    """A new hidden name in the same folder, which a listing of images or data leaves out."""
    return out.parent / f".{out.stem[:40]}-{uuid.uuid4().hex[:12]}.{ending}"


def _exchange(new: Path, out: Path) -> None:
    """Put a new folder in the place of an old one.

    The old one is moved aside first and deleted last: whenever a kill comes, one of the two is whole.
    """
    if not _exists(out):
        new.replace(out)
        return
    if out.is_symlink():  # the link is replaced, what it leads to is left alone
        out.unlink()
        new.replace(out)
        return
    old = _beside(out, "old")
    try:
        out.replace(old)
        new.replace(out)
    except BaseException:
        if old.exists() and not out.exists():
            old.replace(out)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _explained(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(explain(error, out)) from error


def explain(error: OSError, out: Path | str) -> str:
    """Say in one line why a place cannot be written, and what to do."""
    if _is_elsewhere(error.filename, Path(out)):
        return f"{error.filename}: {error.strerror}, while {out} was being written. Check the first of the two."
    if error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"{out}: no space left on the disk. Free some, or choose another --out; nothing was left half written."
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{out}: not allowed to write there. Choose another --out, or change the permissions."
    if error.errno == errno.ENAMETOOLONG:
        return f"{out}: the name is too long for this disk. Choose a shorter --out."
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return f"{out}: cannot be written (a file lies where a folder is needed). Choose another --out."
    return f"{out}: cannot be written ({error.strerror or error}). Choose another --out."


def _is_elsewhere(filename: object, out: Path) -> bool:
    """Whether an error is about another file, for example one that was being copied."""
    if not isinstance(filename, str):
        return False
    place, out = Path(filename).absolute(), out.absolute()
    return not place.is_relative_to(out.parent) and not out.is_relative_to(place)
