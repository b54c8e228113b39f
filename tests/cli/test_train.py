"""`crackscope train --cross-validate` and `--without`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import crackscope
from shared.sdnet import draw_sdnet, photos_of_scenes


@pytest.fixture(scope="module")
def pavements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos each of seven scenes."""
    return draw_sdnet(tmp_path_factory.mktemp("sets") / "sdnet2018", {"P": photos_of_scenes("P", 7, most=2)})


def test_folds_are_told_and_photos_left_out(run: Any, pavements: Path, backbone_file: Path, tmp_path: Path) -> None:
    without, out = tmp_path / "reserved.csv", tmp_path / "run"
    left_out = photos_of_scenes("P", 7, most=2)[:2]
    without.write_text("surface,photo\n" + "".join(f"P,{photo}\n" for photo in left_out))
    words = ["--without", without, "--backbone", backbone_file, "--patch-px", 32, "--threads", 1, "--out", out]
    done = run("train", pavements, *words, "--cross-validate", "scene", "--folds", 3)
    assert done.code == 0, done.err
    assert "fold 3 of 3, by scene" in done.err
    assert done.out.startswith("3 folds by scene: accuracy ")
    assert "next: crackscope robustness" not in done.out
    metrics = json.loads((out / "metrics.json").read_text())
    photos = {f"P-{photo}" for photo in left_out}
    kept = [patch for patch in crackscope.read_patches(pavements).patches if patch.photo not in photos]
    assert (metrics["n_patches"], metrics["n_photos"], metrics["resampled"]) == (len(kept), 6, "scenes")
    told = run("bundle", out / "model.onnx").out
    assert "folds: F1 of crack" in told
    again = run("train", pavements, *words, "--cross-validate", "scene", "--folds", 3)
    assert again.code == 1
    assert "exists" in again.err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--cross-validate", "scene", "--split", "split.csv"], "leave --split out"),
        (["--cross-validate", "random"], "'random' is not one of"),
        (["--cross-validate", "scene", "--folds", "1"], "it must be at least 2"),
        (["--without", "reserved.csv", "--split", "split.csv"], "leave --without out"),
    ],
)
def test_options_that_do_not_fit_are_wrong_usage(run: Any, pavements: Path, words: list[str], why: str) -> None:
    done = run("train", pavements, *words)
    assert done.code == 2
    assert why in " ".join(done.err.replace("│", " ").split())


def test_folds_by_scene_where_none_are_known_name_the_way_out(run: Any, drawn: Path, tmp_path: Path) -> None:
    done = run("train", drawn, "--cross-validate", "scene", "--out", tmp_path / "run")
    assert done.code == 1
    assert "crackscope scenes" in done.err
    assert not (tmp_path / "run").exists()
