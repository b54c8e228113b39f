"""The programs beside the package start, and say what they are for."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from shared.tools import ASK_ALL

ROOT = Path(__file__).parents[1]
PROGRAMS = sorted(
    file
    for folder in ("benchmarks", "tools")
    for file in (ROOT / folder).glob("*.py")
    if 'if __name__ == "__main__":' in file.read_text(encoding="utf-8")
)


@pytest.mark.slow
def test_every_benchmark_and_tool_starts_and_its_help_opens_with_its_purpose() -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    assert len(PROGRAMS) > 12
    command = [sys.executable, "-c", ASK_ALL, *(file.as_posix() for file in PROGRAMS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    said = json.loads(done.stdout)
    for file in PROGRAMS:
        first = file.read_text(encoding="utf-8").removeprefix('"""').partition("\n")[0]
        assert first in said[file.as_posix()], file
        assert f"python {file.parent.name}/{file.name}" in file.read_text(encoding="utf-8"), file


@pytest.mark.slow
def test_settings_of_the_default_model_are_read_as_those_of_a_recipe() -> None:
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    code = """
from crackscope.errors import RecipeError
from crackscope.training.recipes import changed
from default_training import Settings
found = changed(Settings(), ["steps=2", "cracked=1", "until=none", "precision=fp32"])
assert (found.steps, found.cracked, found.until, found.precision) == (2, 1.0, None, "fp32")
assert found.model_copy(update=Settings().model_dump()) == Settings()
for wrong in ("step=2", "steps=many", "name=other"):
    try:
        changed(Settings(), [wrong])
    except RecipeError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT / "tools")
    unknown, unfit, name = done.stdout.splitlines()
    assert unknown == "--set step=2: a recipe has no setting 'step'. Did you mean 'steps'?"
    assert unfit.startswith("Recipe 'default_model': steps: ")
    assert name.startswith("--set name=other: a recipe has no setting 'name'")


def test_no_package_of_foreign_pictures_is_in_two_parts() -> None:
    with (ROOT / "tools" / "foreign_pictures.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = {(row["package"], row["part"]) for row in rows}
    assert len(dict(parts)) == len(parts)
    assert {package for package, part in parts if part == "last"} == {"nexuiz-textures"}
    assert len({(row["package"], row["file"]) for row in rows}) == len(rows)
