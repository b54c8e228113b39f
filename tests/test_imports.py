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
NEEDS_TORCH = {"training/backbones.py", "training/export.py"}


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
        if file.relative_to(SOURCE).as_posix() not in NEEDS_TORCH:
            assert not imported_by(file) & {"torch", "transformers", "safetensors", "tensorboard"}, file


def test_prediction_and_training_a_head_load_no_torch() -> None:
    code = "import crackscope, sys; crackscope.load, crackscope.train, crackscope.split; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "False"


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
