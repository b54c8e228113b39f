"""Programs that some tests need beside Python's packages."""

from __future__ import annotations

import os
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""Names under which a Chromium may lie in the PATH."""

ASK_ALL = """
import contextlib, io, json, runpy, sys
found = {}
for place in sys.argv[1:]:
    folder = place.rpartition("/")[0]
    sys.path.insert(0, folder)
    sys.argv = [place, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_path(place, run_name="__main__")
    found[place] = said.getvalue()
    sys.path.remove(folder)
print(json.dumps(found))
"""
"""Asks many programs for help in one process, which imports numpy and torch once."""


def find_tool(*names: str) -> str | None:
    """Path of the first of these programs that is installed; None without one."""
    return next((found for name in names if (found := shutil.which(name))), None)


def require_tool(name: str) -> None:
    """Skip the test if a program is not installed; fail it in CI.

    CI (`.ci/run`) sets CRACKSCOPE_CI and installs what is missing, so that nothing is skipped there unseen.
    """
    if find_tool(name) is None:
        if os.environ.get("CRACKSCOPE_CI"):
            pytest.fail(f"{name} is not in the PATH, and CI may skip no test for want of it. Install it.")
        pytest.skip(f"{name} is not in the PATH")
