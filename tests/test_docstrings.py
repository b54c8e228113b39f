"""Docstrings and help texts of the whole package: each text, and each entry in it, is a phrase that stands alone."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crackscope
from shared.docstrings import begins_well, entries

SOURCE = Path(crackscope.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
SECTIONS = ("Args", "Attributes", "Raises")
BLOCKS = ("Returns", "Yields", "Source")


def docstrings(tree: ast.AST) -> Iterator[str]:
    """Docstrings of a module: of itself, of classes and functions, and of constants, which stand below them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield inspect.cleandoc(node.value.value)


def help_texts(tree: ast.AST) -> Iterator[str]:
    """Texts that a command shows as help: each argument ``help`` of a call that is a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "help":
            constants = (one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant))
            yield from (value for value in constants if isinstance(value, str))


def texts(source: str) -> Iterator[str]:
    """Texts of a module that a reader meets by themselves: beginnings of docstrings, their entries, and help."""
    tree = ast.parse(source)
    for doc in docstrings(tree):
        yield doc.removeprefix('"')
        for section in SECTIONS:
            yield from entries(doc, section).values()
        for block in BLOCKS:
            yield from re.findall(rf"^{block}:\n {{4}}(.*)", doc, re.MULTILINE)
    yield from help_texts(tree)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SOURCE)))
def test_every_text_stands_alone(module: Path) -> None:
    leaning = [text.partition("\n")[0] for text in texts(module.read_text(encoding="utf-8")) if not begins_well(text)]
    assert leaning == []


def test_texts_are_found_wherever_a_reader_meets_them() -> None:
    source = '''
"""Of a module."""
LIMIT = 3
"""Of a constant."""
option = typer.Option(help="Of an option.", name="Of no reader")
class One:
    """A class.

    Attributes:
        size: Of an attribute,
            which goes on.
    """
    def two(self):
        """A function.

        Args:
            seed: Of the bootstrap.

        Returns:
            Of all rows, the first.

        Raises:
            DataError: As the reader.
        """
        return "Of no reader"
'''
    assert [text.split(",")[0] for text in texts(source) if not begins_well(text)] == [
        "Of a module.",
        "Of a constant.",
        "Of an attribute",
        "Of the bootstrap.",
        "As the reader.",
        "Of all rows",
        "Of an option.",
    ]
