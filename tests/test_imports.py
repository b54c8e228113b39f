"""What the package promises about its own imports and names."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import crackscope

SOURCE = Path(crackscope.__file__).parent
NEEDS_TORCH = {
    f"training/torch/{name}.py"
    for name in (
        *("averaging", "backbones", "convolution", "export", "fine_head", "finetuning", "layers", "material"),
        *("network", "process", "recipe_run", "scratch_cnn", "tensorboard", "translation"),
    )
}
"""What only the extra `train` can run; `run_log` needs them too, through `tensorboard` and `layers`."""


ROOT_MODULES = {"__init__", "__main__", "arrays", "demo", "errors"}
FLOORS = (
    *("errors", "arrays", "files", "data", "drawing", "model", "geometry", "scanning", "inspection", "measuring"),
    *("acceptance", "auditing", "reports", "training", "demo", "cli", "__main__", "__init__"),
)
"""Chapters from the ground up: each may import those before it. `__init__` names what is public, lazily."""


def modules_imported_by(file: Path) -> set[str]:
    """Modules of this package that a module imports anywhere: in functions and for type checkers too.

    The version is no module.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and [alias.name for alias in node.names] != ["__version__"]:
            found |= {f"{node.module}", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in found if name in MODULES}


def floor_of(module: str) -> str:
    """The chapter that a module belongs to, or itself where it lies at the root."""
    return module.split(".")[1] if module != "crackscope" else "__init__"


def name_of(file: Path) -> str:
    """A module's name as it is imported."""
    return ".".join(("crackscope", *file.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")


MODULES = {name_of(file): file for file in SOURCE.rglob("*.py")}
IMPORTS = {module: modules_imported_by(file) - {module} for module, file in MODULES.items()}


def imported_by(file: Path) -> set[str]:
    """Top-level packages that a module imports anywhere, inside functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_the_core_never_imports_torch() -> None:
    for file in SOURCE.rglob("*.py"):
        needs = imported_by(file) & {"torch", "transformers", "safetensors", "tensorboard"}
        assert bool(needs) == (file.relative_to(SOURCE).as_posix() in NEEDS_TORCH), file


def test_one_module_knows_how_tables_are_written() -> None:
    """A carriage return in the name of a file breaks a table that is written with Python's `csv` as it comes."""
    assert [module for module, file in MODULES.items() if "csv" in imported_by(file)] == ["crackscope.files.tables"]


@pytest.mark.parametrize(
    "code",
    [
        "import crackscope; crackscope.load, crackscope.train, crackscope.split",
        "import crackscope.training.runs, crackscope.training.conversion, crackscope.training.head",
        "import crackscope.training.recipes, crackscope.training.augmentation, crackscope.measuring.history",
        "from crackscope.training.recipes import read_recipe; read_recipe('mobilenetv2-top10', ['batch_size=2'])",
        "import crackscope.cli, crackscope.cli.train, crackscope.cli.recipes, crackscope.cli.compare",
    ],
)
def test_prediction_training_a_head_and_reading_recipes_load_no_torch(code: str) -> None:
    code += "; import sys; print([m for m in ('torch', 'transformers', 'tensorboard') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_importing_the_package_and_asking_for_help_load_nothing_heavy() -> None:
    code = (
        "import sys, crackscope.cli; "
        "print([m for m in ('numpy', 'cv2', 'onnx', 'onnxruntime', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", crackscope.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(crackscope, name) is not None  # `test_public_api` reads what is said of it
    assert name in dir(crackscope)


def test_public_names_are_sorted_and_an_unknown_one_is_an_error() -> None:
    assert crackscope.__all__ == sorted(crackscope.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        crackscope.predictt  # noqa: B018


def test_no_module_hides_a_public_function_of_its_name() -> None:
    modules = {file.stem for file in SOURCE.glob("*.py")} | {folder.name for folder in SOURCE.iterdir()}
    assert not modules & set(crackscope.__all__)


def test_imports_point_one_way() -> None:
    """A chapter imports itself and the chapters before it, inside functions and for type checkers too."""
    for module, imported in IMPORTS.items():
        for other in imported:
            assert FLOORS.index(floor_of(other)) <= FLOORS.index(floor_of(module)), f"{module} imports {other}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    done: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, " -> ".join((*way[way.index(module) :], module))
        if module not in done:
            for other in sorted(IMPORTS[module]):
                visit(other, (*way, module))
            done.add(module)

    for module in IMPORTS:
        visit(module, ())


def test_every_folder_is_a_chapter_and_the_root_holds_few_modules() -> None:
    folders = {file.parent.name for file in SOURCE.glob("*/*.py")}
    assert folders == set(FLOORS) - ROOT_MODULES
    assert {file.stem for file in SOURCE.glob("*.py")} == ROOT_MODULES
    assert len(ROOT_MODULES) <= 6


def test_the_map_reaches_every_module() -> None:
    """Each row of the map in ARCHITECTURE.md names the modules of its chapter, and none that is not there."""
    text = (SOURCE.parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `([a-z/]+)/` \| (.*) \|$", text, re.MULTILINE))
    folders = {file.parent.relative_to(SOURCE).as_posix() for file in SOURCE.rglob("*.py")} - {"."}
    assert set(rows) == folders
    for folder, told in rows.items():
        named = set(re.findall(r"`([a-z_]+)`", told))
        there = {file.stem for file in (SOURCE / folder).glob("*.py")} - {"__init__"}
        assert there <= named, folder
        assert {name for name in named if "_" in name} - there <= PUBLIC_WORDS, folder


PUBLIC_WORDS = {name for name in crackscope.__all__ if "_" in name}
