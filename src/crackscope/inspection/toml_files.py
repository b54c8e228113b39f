"""TOML files of this chapter, in the package or of the user: found by name or path, and checked against a form."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel

from crackscope.errors import DataError, did_you_mean
from crackscope.files.forms import Fault, SettingsForm

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["FileForm", "checked", "names_in", "read_toml"]


class FileForm(SettingsForm):
    """Part of a TOML file that people write; each fault names the key, and an unknown key the nearest known one."""

    @classmethod
    def fault_text(cls, fault: Fault, given: Any) -> str:
        """Say what is wrong with which key; places in a list are counted from 1."""
        key = re.sub(r"\.(\d+)", lambda found: f" {int(found[1]) + 1}", fault.key)
        if fault.kind == "missing":
            return f"'{key}' is missing."
        if fault.kind == "extra_forbidden":
            return f"there is no key '{key}'.{did_you_mean(key.rpartition('.')[2], {*_keys_of(cls)})}"
        found = f", not {fault.found}" if fault.found else ""
        return f"{key}: {fault.words}{found}." if key else f"{fault.words}."


Form = TypeVar("Form", bound=FileForm)


def names_in(folder: str) -> tuple[str, ...]:
    """List the names of the TOML files in a folder of this chapter, sorted.

    Args:
        folder: Name of the folder.
    """
    return tuple(sorted(file.name[:-5] for file in _folder(folder).iterdir() if file.name.endswith(".toml")))


def read_toml(name_or_path: str | Path, folder: str, *, kind: str) -> tuple[str, dict[str, Any]]:
    """Read a TOML file of the package by its name, or one of the user by its path.

    Args:
        name_or_path: Name of a file in the folder, without its ending; or a path that ends in ``.toml``.
        folder: Folder of this chapter with the package's own files.
        kind: What such a file is, for messages.

    Returns:
        Name of the file, or its path, and what it holds.

    Raises:
        DataError: If there is no such file, or it is no TOML in UTF-8.
    """
    given = str(name_or_path)
    if given in names_in(folder):
        return given, tomllib.loads((_folder(folder) / f"{given}.toml").read_text(encoding="utf-8"))
    if not given.lower().endswith(".toml"):
        raise DataError(
            f"There is no {kind} '{given}'.{did_you_mean(given, names_in(folder))} "
            f"Take one of {', '.join(names_in(folder))}, or the path of a file that ends in .toml."
        )
    try:
        return given, tomllib.loads(Path(given).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"{given}: cannot be read ({error.strerror or error}). Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{given}: not UTF-8 text (byte {error.start}). Save it in UTF-8.") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise DataError(f"{given}: not a TOML file ({error}). Mend it there.") from error


def checked(form: type[Form], document: Mapping[str, Any], *, place: str, remedy: str) -> Form:
    """Check what a file holds against its form.

    Args:
        form: Form of the file.
        document: What the file holds.
        place: Name or path of the file, to begin a message with.
        remedy: What to do about a file that does not fit.

    Raises:
        DataError: If a key is missing or unknown, or a value does not fit.
    """
    try:
        return form.model_validate(document)
    except DataError as error:
        raise DataError(f"{place}: {error} {remedy}") from error


def _folder(name: str) -> Any:
    return resources.files("crackscope") / "inspection" / name


def _keys_of(form: type[BaseModel]) -> Iterator[str]:
    """Keys of a form and of all forms inside it, as they stand in files."""
    for name, field in form.model_fields.items():
        yield field.alias or name
        for inner in _forms_in(field.annotation):
            yield from _keys_of(inner)


def _forms_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _forms_in(inner)
