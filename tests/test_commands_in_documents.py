"""Every command and every piece of Python in README, docs and notebooks runs, on stand-ins, or is listed with a reason.

The lines of a page are run in their order in one folder, in which what they name lies: see `shared.stand_ins`. Code
cells of notebooks are run by `test_examples`.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer

import crackscope
from crackscope.cli import app
from crackscope.training.recipes import SCRATCH_CNN, read_recipe
from shared.command import Run
from shared.stand_ins import MAKERS, StandIns
from shared.tools import ASK_ALL

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.ipynb")])

WHY_NOT_RUN = {
    "it installs; tried by hand in a fresh clone": (
        "python -m venv .venv && . .venv/bin/activate",
        "pip install .",
        "pip install torch==2.13.0",
        "pip install '.[train]'",
        "pip install jupyter",
        "pip install -c constraints.txt .",
        "pip install -c constraints.txt '.[train]'",
        "pip install crackscope-VERSION-py3-none-any.whl",
        "pip install 'crackscope-VERSION-py3-none-any.whl[train]'",
    ),
    "test_demo runs it": ("crackscope demo",),
    "it fetches a backbone from the network": (
        "crackscope train DATA --split split.csv --recipe resnet101 --set backbone=microsoft/resnet-50",
    ),
    "it needs whole data sets, and hours": (
        "python tools/default_model.py --metu METU --sdnet2018 SDNET2018 --grid GRID.csv --reserved RESERVED.csv "
        "--backbone MODEL_FOLDER --masks PHOTOS --work WORK",
        "python benchmarks/transfer.py --metu METU --sdnet2018 SDNET2018 --without RESERVED.csv "
        "--backbone MODEL_FOLDER --work WORK --recipe mobilenetv2-hairline --threads 1 --seeds 0",
    ),
    "it draws and traces 1,500 cracks": ("python benchmarks/drawn_traces.py --model tests/trained/lines.onnx",),
    "it is for a notebook's cell, and opens a page": (
        "%load_ext tensorboard",
        "%tensorboard --logdir runs/metu-notebook",
    ),
}
NOT_RUN = [line for lines in WHY_NOT_RUN.values() for line in lines]
"""Lines that are not run, without comments. Options of crackscope and of programs of ours are parsed all the same."""


# Lines and code of documents


@dataclass(frozen=True)
class Piece:
    """A command line, or a block of Python."""

    text: str
    is_python: bool


FINDING = ("accept", "audit")
"""Commands whose answer on what is drawn may well be no-go, or findings (exit code 3)."""

RUNS = ("runs/frozen", "runs/cnn")
"""Runs that a page names and does not make: copies of another one of the page stand in for them."""

FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def pieces_of(file: Path) -> list[Piece]:
    """Commands and Python of a page in their order; of a notebook, the commands in its text."""
    text = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return list(pieces_in(text, prompt="$ "))
    cells = json.loads(text)["cells"]
    written = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [piece for one in written for piece in pieces_in(one, prompt="")]


def pieces_in(text: str, *, prompt: str) -> Iterator[Piece]:
    """Commands and Python of Markdown; a command begins with the prompt, and goes on behind a backslash."""
    for margin, language, block in FENCE.findall(text):
        block = re.sub(rf"^{margin}", "", block, flags=re.MULTILINE)
        if language in ("python", "py"):
            yield Piece(block, is_python=True)
        elif language == ("console" if prompt else ""):
            for line in re.sub(r" *\\\n *", " ", block).splitlines():
                if line.startswith(prompt):
                    yield Piece(re.sub(r" +# .*", "", line.removeprefix(prompt)), is_python=False)


PIECES = {file: found for file in DOCUMENTS if (found := pieces_of(file))}


def test_a_line_that_is_not_run_is_in_a_document() -> None:
    lines = {piece.text for found in PIECES.values() for piece in found}
    assert [line for line in NOT_RUN if line not in lines] == []


@pytest.mark.parametrize("file", [file for file in DOCUMENTS if file.suffix == ".md"], ids=lambda file: str(file.name))
def test_a_command_stands_in_a_block_of_its_kind(file: Path) -> None:
    """So that none is overlooked."""
    rest = FENCE.sub("", file.read_text(encoding="utf-8"))
    assert re.findall(r"^(?: {4,}|\$ )(?:crackscope|python|pip) .*", rest, re.MULTILINE) == []


def test_commands_and_python_are_found() -> None:
    text = "```console\n$ a b \\\n    c  # why\noutput\n```\n- x\n  ```python\n  import d\n  ```\n```\n$ e\n```\n"
    assert list(pieces_in(text, prompt="$ ")) == [Piece("a b c", False), Piece("import d\n", True)]
    assert list(pieces_in("```\na b\nc\n```\n", prompt="")) == [Piece("a b", False), Piece("c", False)]


# Run


@pytest.fixture(scope="module")
def stand_ins(bundle_file: Path, tmp_path_factory: pytest.TempPathFactory) -> StandIns:
    return StandIns(tmp_path_factory.mktemp("stand-ins"), bundle_file)


@pytest.mark.slow
@pytest.mark.parametrize("file", PIECES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_document_runs(
    file: Path, stand_ins: StandIns, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    monkeypatch.chdir(tmp_path)
    shorter = functools.partial(crackscope.measure_transfer, seeds=[0], per_label=12, overwrite=True)
    monkeypatch.setattr(crackscope, "measure_transfer", shorter)
    names: dict[str, Any] = {}
    for piece in PIECES[file]:
        if piece.text in NOT_RUN:
            continue
        if piece.is_python:
            lay_out(re.findall(r'"([^"]+)"', piece.text), stand_ins, tmp_path)
            exec(compile(piece.text, f"{file.name}, a block", "exec"), names)
            continue
        program, *words = shlex.split(piece.text)
        assert program == "crackscope", f"{piece.text}: neither a command of crackscope, nor listed in NOT_RUN"
        words = cut(words)
        lay_out(words, stand_ins, tmp_path)
        done = run(*words)
        assert done.code == 0 or (done.code == 3 and words[0] in FINDING), f"{piece.text}\n{done.out}\n{done.err}"


def lay_out(words: list[str], stand_ins: StandIns, folder: Path) -> None:
    """Lay what words name into the folder, unless an earlier line has made it."""
    for before, word in itertools.pairwise(["", *words]):
        name = word.rstrip("/")
        if before in ("--out", "--clean", "--copy") or (folder / name).exists():
            continue
        if name in MAKERS:
            stand_ins.put(name, folder)
        elif name in RUNS:
            shutil.copytree(folder / "runs" / "top10", folder / name)


def cut(words: list[str]) -> list[str]:
    """Words of a command, and options that make it short and give it a backbone that lies here."""
    command, *rest = words
    if command == "train" and "--recipe" in rest:
        return words + cut_training(rest)
    more = {
        "transfer": ["--seeds", "0", "--per-label", "12"],
        "compare": ["--skip-speed"],
        "export": ["--allow-loss"],
    }
    return words + more.get(command, [])


def cut_training(words: list[str]) -> list[str]:
    """Options for one epoch a phase, small patches, and a folder that an earlier line may have made."""
    name = words[words.index("--recipe") + 1]
    changes = [value for option, value in itertools.pairwise(words) if option == "--set"]
    recipe = read_recipe(name, changes)
    short = [f"{phase}.epochs=1" for phase in ("frozen", "finetuning") if getattr(recipe, phase)]
    short += [] if any(one.startswith("batch_size") for one in changes) else ["batch_size=16"]
    more = [word for one in short for word in ("--set", one)]
    if "--backbone" not in words and recipe.backbone != SCRATCH_CNN:
        more += ["--backbone", "resnet-50" if "resnet" in recipe.backbone else "mobilenet_v2_1.0_224"]
    more += [] if "--out" in words else ["--overwrite"]
    return [*more, "--patch-px", "32", "--threads", "1"]


# Options of what is not run, and of what prose names

INLINE = re.compile(r"(?<!`)`((?:crackscope|python) [^`]+)`(?!`)")
COMMANDS: Any = typer.main.get_command(app)
"""Commands as typer has made them."""


def options_in(words: list[str]) -> set[str]:
    return {word.partition("=")[0] for word in words if word.startswith("--")}


def named_in_prose(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return [" ".join(found.split()) for found in INLINE.findall(FENCE.sub("", text))]


@pytest.mark.parametrize("line", [line for line in NOT_RUN if line.startswith("crackscope ")])
def test_a_command_that_is_not_run_is_parsed(line: str) -> None:
    _, command, *words = shlex.split(line)
    found = COMMANDS.commands[command]
    context = found.make_context(command, words)
    assert context.params


@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: str(file.relative_to(ROOT)))
def test_prose_names_commands_and_options_that_exist(file: Path) -> None:
    for line in named_in_prose(file):
        program, name, *words = shlex.split(line)
        if program == "crackscope":
            known = {option for one in COMMANDS.commands[name].params for option in (*one.opts, *one.secondary_opts)}
            assert options_in(words) <= {*known, "--help"}, line
        elif name != "-m":
            assert (ROOT / name).is_file(), line


@pytest.mark.slow
def test_programs_know_the_options_that_documents_name() -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    lines = [line for file in DOCUMENTS for line in named_in_prose(file)]
    programs = [line for line in (*lines, *NOT_RUN) if line.startswith("python ") and "python -m" not in line]
    asked = sorted({(ROOT / shlex.split(line)[1]).as_posix() for line in programs})
    done = subprocess.run([sys.executable, "-c", ASK_ALL, *asked], capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    assert len(programs) > 12
    for line in programs:
        _, program, *words = shlex.split(line)
        known = set(re.findall(r"--[\w-]+", said[(ROOT / program).as_posix()]))
        assert options_in(words) <= known, line
