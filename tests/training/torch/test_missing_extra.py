"""Without a package of the extra `train`, every module that needs it says which one, in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import crackscope.training

MODULES = sorted(
    f"crackscope.training.torch.{file.stem}"
    for file in (Path(crackscope.training.__file__).parent / "torch").glob("*.py")
    if file.stem != "__init__"
)
CODE = """
import importlib, sys
from crackscope.errors import MissingExtraError
for package in ("torch", "transformers", "safetensors", "tensorboard"):
    sys.modules[package] = None
    for module in sys.argv[1:]:
        try:
            importlib.import_module(module)
        except MissingExtraError as error:
            found = str(error)
            assert f" needs {package}, which is not installed. In the repository's folder: pip install torch" in found
            assert " && pip install '.[train]'" in found
        else:
            raise AssertionError(f"{module} without {package}")
    class WithoutOrigin:
        __spec__ = None
    sys.modules[package] = WithoutOrigin()  # there, whatever it is
print([name for name in sys.modules if name.startswith(("torch.", "transformers.", "tensorboard."))])
"""


def test_every_module_names_the_package_that_is_missing_and_none_is_imported_to_look_for_it() -> None:
    assert len(MODULES) > 10
    found = subprocess.run([sys.executable, "-c", CODE, *MODULES], capture_output=True, text=True, check=False)
    assert (found.stdout.strip(), found.stderr) == ("[]", "")
