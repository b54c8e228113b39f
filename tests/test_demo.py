"""The first thing a newcomer runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from syrupy.assertion import SnapshotAssertion

from shared.command import Result, shape_of
from shared.formats import PRINTED, FormatsPage, compare_file, differences


@pytest.mark.slow
def test_the_demo_tells_the_story_and_leaves_everything_in_its_folder(
    tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    command = [sys.executable, "-m", "crackscope", "demo", "--json"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    document = json.loads(found.stdout)
    assert shape_of(Result(0, found.stdout, found.stderr)) == snapshot
    assert [path.name for path in tmp_path.iterdir()] == ["crackscope-demo"]
    folder = tmp_path / "crackscope-demo"
    assert sorted(path.name for path in folder.iterdir()) == [
        *("evaluation", "patches", "photos", "predictions.csv", "predictions.png"),
        *("run", "samples.png", "scan", "split.csv"),
    ]
    assert document["verdict"] == "crack"
    page = (tmp_path / document["scan_report"]).read_text()
    assert "1 of 1 photo shows a crack" in page
    assert "photos/wall.jpg" in page
    assert str(tmp_path) not in page
    assert (tmp_path / document["report"]).read_text().startswith("<!doctype html>")
    first = (folder / "predictions.csv").read_text().splitlines()[1]
    assert first.startswith("patches/crack/")
    assert document["accuracy"]["value"] > 0.8
    assert differing_formats(folder, document) == []
    again = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert again.returncode == 1
    assert "--overwrite" in again.stderr


def differing_formats(folder: Path, document: dict[str, object]) -> list[str]:
    """What docs/formats.md tells otherwise than the demo writes it."""
    page = FormatsPage((Path(__file__).parents[1] / "docs" / "formats.md").read_text(encoding="utf-8"))
    form = page.form("demo", PRINTED)
    assert form is not None
    found = list(differences(document, form))
    found += compare_file(page, "demo", folder, "patches/labels.csv")
    for command, names in {
        "split": ("split.csv",),
        "predict": ("predictions.csv",),
        "scan": ("scan/photos.csv", "scan/regions.json"),
        "train": ("run/run.json", "run/metrics.json", "run/split.csv"),
        "evaluate": ("evaluation/metrics.json", "evaluation/predictions.csv"),
    }.items():
        found += [one for name in names for one in compare_file(page, command, folder, name)]
    return found + [one for one in page.unwritten() if one.startswith("`demo`")]
