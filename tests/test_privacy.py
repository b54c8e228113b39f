"""A user's machine sends nothing, and nothing is written but what was asked for and the feature cache."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crackscope.drawing.walls import draw_dataset, draw_photo
from crackscope.files.pictures import picture_bytes
from shared.no_network import KILLED

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="the filter of system calls is Linux's own"),
]

Watched = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    """Runs a Python that may not reach the internet, with a home of its own."""

    def run(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        home = tmp_path / "home"
        home.mkdir(exist_ok=True)
        environment = {name: value for name, value in os.environ.items() if name[:4] not in ("XDG_", "ORT_")}
        paths = (str(Path(__file__).parent), os.environ.get("PYTHONPATH"))
        environment |= {"HOME": str(home), "PYTHONPATH": os.pathsep.join(filter(None, paths)), **variables}
        command = [sys.executable, "-m", "shared.no_network", *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def kept_at_home(tmp_path: Path) -> set[str]:
    """Folders of libraries in the home's cache, and all else that lies in the home."""
    home = tmp_path / "home"
    files = [file.relative_to(home) for file in home.rglob("*") if file.is_file()]
    return {"/".join(file.parts[:2]) for file in files}


def test_the_filter_sees_an_internet_socket_and_nothing_else(watched: Watched) -> None:
    assert watched("-c", "import socket; socket.socket(socket.AF_UNIX)").returncode == 0
    for family in ("AF_INET", "AF_INET6"):
        assert watched("-c", f"import socket; socket.socket(socket.{family})").returncode == KILLED


def test_a_scan_sends_nothing_and_leaves_nothing_at_home(watched: Watched, tmp_path: Path) -> None:
    photo = draw_photo(0, photo_hw=(600, 800)).pixels
    (tmp_path / "wall.jpg").write_bytes(picture_bytes(photo, ".jpg", quality=90))
    done = watched("-m", "crackscope", "scan", "wall.jpg", "--out", "scan")
    assert (done.returncode, done.stderr) == (0, "")
    assert kept_at_home(tmp_path) == set()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "scan", "wall.jpg"]


def test_a_training_sends_nothing_and_keeps_features_alone(watched: Watched, tmp_path: Path) -> None:
    draw_dataset(tmp_path / "patches", n_photos=12, patches_per_photo=8, seed=0)
    watched("-m", "crackscope", "split", "patches/labels.csv", "--by", "photo", "--out", "split.csv")
    done = watched("-m", "crackscope", "train", "patches/labels.csv", "--split", "split.csv", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert kept_at_home(tmp_path) <= {".cache/crackscope", ".cache/matplotlib", ".config/matplotlib"}


def test_a_user_who_sets_the_variable_decides(watched: Watched) -> None:
    code = (
        "import os, crackscope; crackscope.load().predict(crackscope.draw_patch(0).pixels); "
        "print(os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    assert watched("-c", code).stdout == "1\n"
    assert watched("-c", code, ORT_DISABLE_TELEMETRY="0").stdout == "0\n"
