"""What the package promises about its own imports and names."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import crackscope

SOURCE = Path(crackscope.__file__).parent
NEEDS_TORCH = {
    f"training/{name}.py"
    for name in (
        *("averaging", "backbones", "convolution", "export", "finetuning", "layers", "material", "network"),
        *("crops", "recipe_run", "scratch_cnn", "tensorboard", "translation"),
    )
}
"""What only the extra `train` can run; `run_log` needs them too, through `tensorboard` and `layers`."""


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


@pytest.mark.parametrize(
    "code",
    [
        "import crackscope; crackscope.load, crackscope.train, crackscope.split",
        "import crackscope.training.runs, crackscope.training.conversion, crackscope.training.head",
        "import crackscope.training.recipes, crackscope.training.augmentation, crackscope.history",
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
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert inspect.getdoc(getattr(crackscope, name))
    assert name in dir(crackscope)


def test_public_names_are_sorted_and_an_unknown_one_is_an_error() -> None:
    assert crackscope.__all__ == sorted(crackscope.__all__)
    with pytest.raises(AttributeError, match="no attribute 'predictt'"):
        crackscope.predictt  # noqa: B018


def test_no_module_hides_a_public_function_of_its_name() -> None:
    modules = {file.stem for file in SOURCE.glob("*.py")} | {folder.name for folder in SOURCE.iterdir()}
    assert not modules & set(crackscope.__all__)


def test_imports_point_one_way() -> None:
    """The core knows nothing of the command line; reading and the bundle know nothing of training and reports."""
    for file in SOURCE.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        name = file.relative_to(SOURCE).as_posix()
        if not name.startswith("cli/") and name != "__main__.py":
            assert "crackscope.cli" not in text, name
        if name.count("/") == 0 and name not in {"demo.py", "__init__.py"}:
            assert "from crackscope.training" not in text, name
            assert "from crackscope.reports" not in text, name
