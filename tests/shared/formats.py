"""The page on formats, read as forms that a document or a table must have."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

__all__ = [
    *("FAILED", "PRINTED", "Form", "FormatsPage", "compare_file", "compare_folder"),
    *("differences", "table_differences", "unwritten"),
]

PRINTED = "--json"
"""Stands in a heading of the page for the document that a command prints."""

FAILED = "Every command that fails"
"""Who prints the document that tells what went wrong."""

_HEADING = re.compile(r"^#{2,} +(.*?) *$")
_TOLD = re.compile(r"^(.*): (`.*)$")  # who writes it: which files
_CODE = re.compile(r"`([^`]+)`")
_OBJECT = re.compile(r"\]\(#([^)]+)\)")
_ALL_FIELDS = re.compile(r"all fields of (?:an? |the )?\[[^\]]*\]\(#([^)]+)\)", re.IGNORECASE)
_OPTIONAL = re.compile(r"\bonly with\b", re.IGNORECASE)
_TABLES = (".csv", ".parquet")
_KINDS = (*_TABLES, ".json", ".jsonl")
_STEP = re.compile(r"\[\]|[^.\[\]]+")


@dataclass(eq=False)
class Form:
    """What the page says of a value.

    Attributes:
        optional: Whether it may be missing.
        inner: Forms of the values inside by key; `[]` stands for each item of a list, `*` for any key, and `**` for
            anything at all.
        written: Whether a value was met.
    """

    optional: bool = False
    inner: dict[str, Form] = field(default_factory=dict)
    written: bool = False

    def at(self, path: str) -> Form:
        """The form of a value inside, made if it is not there."""
        form = self
        for step in _STEP.findall(path):
            form = form.inner.setdefault(step, Form())
        return form


@dataclass(eq=False)
class _Section:
    title: str
    rows: list[tuple[list[str], str]] = field(default_factory=list)
    prose: str = ""
    form: Form = field(default_factory=Form)


class FormatsPage:
    """The page.

    A heading such as `` `scan`: `photos.csv` `` begins the table of a file; any other heading that has a table begins
    an object that files share. A meaning that links to such a heading of the page says that the field is this object,
    and a sentence with "all fields of" and such a link that the file has them too. A field whose meaning says "only
    with" may be missing.
    """

    def __init__(self, text: str) -> None:
        self._sections = {_anchor(one.title): one for one in _sections(text)}
        for section in self._sections.values():
            self._fill(section)

    def form(self, command: str, file: str) -> Form | None:
        """What the page says of a file, or of what a command prints; None if it says nothing.

        Args:
            command: Name of the command.
            file: Path of the file in the folder of the command, with forward slashes, or `PRINTED`.
        """
        for section in self._sections.values():
            told = _TOLD.match(section.title)
            if told and command in _commands(told[1]) and any(_fits(file, name) for name in _CODE.findall(told[2])):
                return section.form
        return None

    def unwritten(self) -> list[str]:
        """Fields of files that were never met, with the title of their section."""
        found = []
        for section in self._sections.values():
            if section.rows:
                found += [f"{section.title}: {path}" for path in unwritten(section.form)]
        return found

    def _fill(self, section: _Section) -> None:
        for names, meaning in section.rows:
            shared = [self._object(anchor, section) for anchor in _OBJECT.findall(meaning)]
            for name in names:
                form = section.form.at(name)
                form.optional = bool(_OPTIONAL.search(meaning))
                for other in shared:
                    form.inner |= other.inner
        for anchor in _ALL_FIELDS.findall(" ".join(section.prose.split())):
            section.form.inner |= self._object(anchor, section).inner

    def _object(self, anchor: str, section: _Section) -> Form:
        """The form of an object; it is filled before whatever names it, so it stands above on the page."""
        assert anchor in self._sections, f"{section.title}: no heading is named #{anchor}"
        found = self._sections[anchor].form
        assert found.inner, f"{section.title}: #{anchor} must stand above it, with a table"
        return found


def differences(value: Any, form: Form, path: str = "") -> Iterator[str]:
    """Fields of a document that its form lacks, and fields that the document lacks; notes which were met."""
    form.written = True
    if "**" in form.inner:
        form.inner["**"].written = True
    elif isinstance(value, dict):
        for key, item in value.items():
            place = f"{path}.{key}" if path else key
            inner = form.inner.get(key) or form.inner.get("*")
            if inner is None:
                yield f"{place} is written, and not told"
            else:
                yield from differences(item, inner, place)
        for key, inner in form.inner.items():
            if key not in ("*", "[]") and not inner.optional and key not in value:
                yield f"{path}.{key} is told, and not written".lstrip(".")
    elif isinstance(value, list):
        for item in value:
            if "[]" in form.inner:
                yield from differences(item, form.inner["[]"], f"{path}[]")
            elif isinstance(item, dict):
                yield f"{path}[] is an object, and not told"
    elif value is not None and form.inner:
        yield f"{path} is told as an object or a list, and is {value!r}"


def table_differences(columns: list[str], form: Form) -> Iterator[str]:
    """Columns of a table that its form lacks, or that it lacks; notes which were met."""
    form.written = True
    found = {column: next((name for name in form.inner if fnmatch(column, name)), None) for column in columns}
    for column, name in found.items():
        if name is None:
            yield f"{column} is written, and not told"
        else:
            form.inner[name].written = True
    told = [name for name, inner in form.inner.items() if name in found.values() or not inner.optional]
    yield from (f"{name} is told, and not written" for name in told if name not in found.values())
    if list(dict.fromkeys(filter(None, found.values()))) != [name for name in told if name in found.values()]:
        yield f"the order of the columns is told otherwise than {', '.join(columns)}"


def unwritten(form: Form, path: str = "") -> Iterator[str]:
    """Fields inside a form that were never met; of a field that was not met itself, only that one."""
    for key, inner in form.inner.items():
        place = f"{path}[]" if key == "[]" else f"{path}.{key}".lstrip(".")
        if inner.written:
            yield from unwritten(inner, place)
        else:
            yield place


def documents_in(path: Path) -> Iterator[Any]:
    """The documents of a file: one of a JSON file, one a line of JSON lines."""
    text = path.read_text(encoding="utf-8")
    yield from map(json.loads, text.splitlines() if path.suffix == ".jsonl" else [text])


def columns_of(path: Path) -> list[str]:
    """Names of the columns of a table."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        return [str(name) for name in pyarrow.parquet.read_schema(path).names]
    with path.open(encoding="utf-8", newline="") as file:
        return next(csv.reader(file))


def compare_folder(page: FormatsPage, command: str, folder: Path) -> list[str]:
    """What differs between the page and the tables and documents that a command wrote into a folder."""
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")) if path.suffix in _KINDS]
    return [one for name in names for one in compare_file(page, command, folder, name)]


def compare_file(page: FormatsPage, command: str, folder: Path, name: str) -> list[str]:
    """What differs between the page and a table or document of a command."""
    form, path = page.form(command, name), folder / name
    if form is None:
        return [f"{command}: the page does not tell of {name}"]
    if path.suffix in _TABLES:
        found = list(table_differences(columns_of(path), form))
    else:
        found = [one for document in documents_in(path) for one in differences(document, form)]
    return [f"{command}, {name}: {one}" for one in dict.fromkeys(found)]


def _sections(text: str) -> Iterator[_Section]:
    section, is_of_fields = _Section(""), False
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            yield section
            section = _Section(heading[1])
        elif line.startswith("| field |"):
            is_of_fields = True
        elif line.startswith("|"):
            first, meaning = line.strip().strip("|").split("|", 1)
            if is_of_fields and (names := _CODE.findall(first)):
                section.rows.append((names, meaning))
        else:
            is_of_fields = False
            section.prose += f"{line}\n"
    yield section


def _anchor(title: str) -> str:
    """Name of a heading, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _commands(text: str) -> list[str]:
    return _CODE.findall(text) or [text]


def _fits(file: str, name: str) -> bool:
    """Whether a file is the one that a heading names, by as many parts of its path as the heading gives."""
    n = len(PurePosixPath(name).parts)
    return fnmatch("/".join(PurePosixPath(file).parts[-n:]), name)
