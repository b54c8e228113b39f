"""Surroundings: the versions and the commit that a training ran with, for ``run.json``."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from crackscope import __version__
from crackscope.measuring.run_document import RunCommit

__all__ = ["own_commit", "package_versions"]


def package_versions() -> dict[str, str]:
    """Version of crackscope, of Python, and of each package that decides what a training gives."""
    found = {"crackscope": __version__, "python": platform.python_version()}
    for name in ("numpy", "onnx", "onnxruntime", "scikit-learn", "torch", "transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def own_commit() -> RunCommit | None:
    """Commit of the crackscope that ran, and whether it was changed since; None outside a clone."""
    source = Path(__file__).parents[1]

    def git(*arguments: str) -> str:
        found = subprocess.run(["git", "-C", str(source), *arguments], capture_output=True, text=True, check=True)
        return found.stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a clone of something else that we are installed in
        return RunCommit(commit=git("rev-parse", "HEAD"), changed=bool(git("status", "--porcelain", "--", ".")))
    except (OSError, subprocess.CalledProcessError):
        return None
