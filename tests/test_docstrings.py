"""Docstrings: every entry is a phrase that stands alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import crackscope

SOURCE = Path(crackscope.__file__).parent
CLIPPED = re.compile(r"(?:\w+: )?(?:Of|The others?|Theirs|As above)\b")
"""Beginnings that lean on what stands before them."""


@pytest.mark.parametrize("file", sorted(SOURCE.rglob("*.py")), ids=lambda file: file.relative_to(SOURCE).as_posix())
def test_no_docstring_and_no_entry_begins_clipped(file: Path) -> None:
    nodes = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, nodes)]
    entries = [line.strip() for text in texts for line in re.findall(r"^.*$", text, re.MULTILINE)]
    starts = [text.splitlines()[0] for text in texts if text]
    named = [line for line in entries if re.match(r"\w+: ", line)]
    assert [line for line in (*starts, *named) if CLIPPED.match(line)] == []
