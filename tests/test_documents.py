"""README, docs and notebooks: the code in them uses public names alone, links lead somewhere, sentences are short."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


# Words


def plain_words() -> Any:
    """The program that counts long sentences."""
    spec = importlib.util.spec_from_file_location("plain_words", ROOT / "tools" / "plain_words.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PLAIN_WORDS = plain_words()
PROSE = [*PAGES, ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"]


@pytest.mark.parametrize("files", [PAGES, PROSE[-2:]], ids=["README and docs", "ARCHITECTURE and CONTRIBUTING"])
def test_few_sentences_are_long(files: list[Path]) -> None:
    every = PLAIN_WORDS.sentences_of(files)
    long = [sentence for _, sentence in every if PLAIN_WORDS.n_words(sentence) > PLAIN_WORDS.WORDS]
    assert len(every) > 100
    assert len(long) <= PLAIN_WORDS.SHARE * len(every), "\n".join(long)


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ("A line\nthat goes on. And\nanother.", ["A line that goes on.", "And another."]),
        (
            "Small, e.g. 0.5 mm, i.e. thin. crackscope finds it.",
            ["Small, e.g. 0.5 mm, i.e. thin.", "crackscope finds it."],
        ),
        ("See README.md and photos.csv. It is .95.", ["See README.md and photos.csv.", "It is .95."]),
        ("By Ç. F. Özgenel (and others). Next.", ["By Ç. F. Özgenel (and others).", "Next."]),
        ("Run `a b. c` now. Read [the page](a.md).", ["Run Code now.", "Read the page."]),
        ("**Bold.** And *so on*.", ["Bold.", "And so on."]),
        ("1, 2, ... and so on. End.", ["1, 2, ... and so on.", "End."]),
        (
            "A list:\n- one thing\n  goes on\n- another. And more",
            ["A list:", "one thing goes on", "another.", "And more"],
        ),
        ("1. First.\n2. Second.", ["First.", "Second."]),
        ("# Title. Left out\n\nKept.", ["Kept."]),
        ("| a | b. c |\n| --- | --- |\n| 1 | 2 |\n\nKept.", ["Kept."]),
        ("Kept.\n\n```python\nx = 1. Left out\n```\nToo.", ["Kept.", "Too."]),
        ("Kept:\n\n    $ code. Left out\n\n    more\n\nToo.", ["Kept:", "Too."]),
        ("- Item\n\n  | a |\n  | - |\n\n- Too", ["Item", "Too"]),
        ("<img src='x.png'>\n\n![A picture. Left out](x.png)\n\nKept – so.", ["Kept – so."]),
    ],
)
def test_sentences_are_told_apart(text: str, sentences: list[str]) -> None:
    found = [sentence for block in PLAIN_WORDS.blocks(text) for sentence in PLAIN_WORDS.sentences(block)]
    assert found == sentences


def test_words_are_counted_and_signs_are_not() -> None:
    assert PLAIN_WORDS.n_words("Recall – of 1,014 cracks – is 0.9 [0.8, 1.0] × 2.") == 9


@pytest.mark.parametrize("file", PROSE, ids=lambda file: str(file.relative_to(ROOT)))
def test_ids_of_commits_stand_in_pages_on_development_alone(file: Path) -> None:
    text = re.sub(r"\]\([^)]*\)", "]", file.read_text(encoding="utf-8"))
    found = re.findall(r"\b(?=[0-9a-f]*[a-f])(?=[0-9a-f]*\d)[0-9a-f]{7,40}\b", text)
    assert file.parent.name == "development" or found == []


# Links

LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """Names of the headings of a page, as GitHub makes them."""
    titles = HEADING.findall(page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def prose_of(file: Path) -> str:
    """Text of a page, or of the Markdown cells of a notebook."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return text
    cells = json.loads(text)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


@pytest.mark.parametrize(
    "file", [*PROSE, ROOT / "tools" / "README.md", *NOTEBOOKS], ids=lambda file: str(file.relative_to(ROOT))
)
def test_every_link_leads_to_a_file_and_a_heading(file: Path) -> None:
    for link in LINK.findall(prose_of(file)):
        place, _, heading = link.partition("#")
        if "://" in place:
            continue
        target = (file.parent / place).resolve() if place else file
        assert target.exists(), link
        assert not heading or heading in anchors(target), link
