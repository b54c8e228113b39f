"""README, docs and notebooks use the public names alone: whoever copies a line needs no other module of the package."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import crackscope

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NOTEBOOKS = sorted((ROOT / "examples").rglob("*.ipynb"))
NAMES = {*crackscope.__all__, "__version__"}

FENCE = re.compile(r"^ *```(?:python|py|pycon)\b[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def code_of(file: Path) -> list[str]:
    """Python code of a page's fenced blocks, or of a notebook's cells."""
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return [without_magics("".join(cell["source"])) for cell in cells if cell["cell_type"] == "code"]
    return [typed(block) for block in FENCE.findall(text)]


def without_magics(source: str) -> str:
    """A cell without IPython's own lines, such as ``%matplotlib inline``."""
    return "\n".join("" if line.lstrip().startswith(("%", "!")) else line for line in source.splitlines())


def typed(block: str) -> str:
    """What is typed in a block: all of it, or behind the prompts of a console what follows them."""
    lines = block.splitlines()
    margin = min((len(line) - len(line.lstrip()) for line in lines if line.strip()), default=0)
    lines = [line[margin:] for line in lines]
    if any(line.startswith(">>>") for line in lines):
        lines = [line[4:] for line in lines if line.startswith((">>>", "..."))]
    return "\n".join(lines)


def private_names(source: str) -> Iterator[str]:
    """Names of the package in some code that are not public."""
    nodes = list(ast.walk(ast.parse(source)))
    imported = [alias for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    yield from (alias.name for alias in imported if alias.name.startswith("crackscope."))
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            if node.module.startswith("crackscope."):
                yield node.module
            elif node.module == "crackscope":
                yield from (f"crackscope.{alias.name}" for alias in node.names if alias.name not in NAMES)
    known_as = {"crackscope", *(alias.asname for alias in imported if alias.name == "crackscope")}
    used = [(ast.unparse(node.value), node.attr) for node in nodes if isinstance(node, ast.Attribute)]
    yield from (f"crackscope.{name}" for owner, name in used if owner in known_as and name not in NAMES)


@pytest.mark.parametrize("file", [*PAGES, *NOTEBOOKS], ids=lambda file: str(file.relative_to(ROOT)))
def test_a_document_uses_public_names_alone(file: Path) -> None:
    assert [name for source in code_of(file) for name in private_names(source)] == []


def test_readme_and_notebooks_have_code() -> None:
    """So that a change of their form cannot make the test above look at nothing."""
    used = [file for file in (ROOT / "README.md", *NOTEBOOKS) if "crackscope" in "\n".join(code_of(file))]
    assert used == [ROOT / "README.md", *NOTEBOOKS]
    assert len(NOTEBOOKS) >= 2


@pytest.mark.parametrize(
    ("source", "private"),
    [
        ("import crackscope\ncrackscope.load().scan(photo)", []),
        ("from crackscope import Model, load", []),
        ("import crackscope as cs\ncs.predict(cs.__version__)", []),
        ("import numpy.linalg, crackscopes.other", []),
        ("import crackscope.data.patches", ["crackscope.data.patches"]),
        ("from crackscope.errors import DataError", ["crackscope.errors"]),
        ("from crackscope import DataError, demo", ["crackscope.demo"]),
        ("import crackscope as cs\ncs.reports.plots.roc(found)", ["crackscope.reports"]),
        ("def late():\n    from crackscope.cli import main", ["crackscope.cli"]),
    ],
)
def test_private_names_are_found(source: str, private: list[str]) -> None:
    assert list(private_names(source)) == private


def test_code_is_found_in_pages_and_cells(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n\n```python\nimport a\n```\n\n- item\n  ```py title\n  import b\n  ```\n\n```\nno code\n```\n"
        "```pycon\n>>> for i in c:\n...     print(i)\n1\n```\n",
        encoding="utf-8",
    )
    assert code_of(page) == ["import a", "import b", "for i in c:\n    print(i)"]
    assert without_magics("%matplotlib inline\nimport d\n!ls") == "\nimport d\n"
