"""Training by epochs: all that imports PyTorch, which the extra `train` brings.

Importing any module of this folder raises `MissingExtraError` where a package of the extra is not installed. Packages
are looked for here and imported by the modules that use them, so that a module loads no more than it needs.
"""

from __future__ import annotations

import importlib.util

from crackscope.errors import MissingExtraError

_PACKAGES = ("torch", "transformers", "safetensors", "tensorboard")


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # it is imported already, and does not tell from where
        return True


for _package in _PACKAGES:
    if not _is_installed(_package):
        raise MissingExtraError("Training by a recipe, or from a model folder,", package=_package, extra="train")
