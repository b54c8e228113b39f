"""Cross-validation pools the figures of folds, keeps a model of all folds, and goes on where it was stopped."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import crackscope
from crackscope.data.splits import read_split
from crackscope.errors import OutputError, RecipeError, SplitError
from crackscope.measuring.run_document import read_run_document
from crackscope.training import cross_validation
from shared.sdnet import draw_sdnet, photos_of_scenes


@pytest.fixture(scope="module")
def pavements(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two photos each of eight scenes."""
    folder = tmp_path_factory.mktemp("sets") / "sdnet2018"
    return draw_sdnet(folder, {"P": photos_of_scenes("P", 8, most=2)}, patches_per_photo=4)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder_holds_one_model_and_pooled_figures(pavements: Path, backbone_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    told: list[str] = []
    run = crackscope.cross_validate(
        pavements, out=out, n_folds=3, backbone=backbone_file, patch_px=32, threads=1, say=told.append
    )
    assert [path.relative_to(out).as_posix() for path in out.rglob("*.onnx")] == ["model.onnx"]
    assert run.model == out / "model.onnx"
    evaluation = run.evaluation
    index = crackscope.read_patches(pavements)
    assert Counter(evaluation.paths) == Counter(index.paths)  # each patch is judged once
    assert (evaluation.part, evaluation.photo_kind, evaluation.n_photos) == ("folds", "scenes", 8)
    assert not evaluation.leaky
    model = crackscope.load(run.model)
    document = json.loads((out / "metrics.json").read_text())
    assert (document["part"], document["model_sha256"]) == ("folds", model.sha256)
    assert document["accuracy"]["value"] == evaluation.metrics["accuracy"].value
    assert model.card.figures["folds"]["auroc"] == evaluation.metrics["auroc"].document()
    assert model.card.figures["folds"]["resampled"] == "scenes"
    stated = read_run_document(out / "run.json", remedy="").folds
    assert stated is not None
    assert (stated.by, stated.n_folds, sum(stated.n_patches)) == ("scene", 3, len(index))
    assert stated == run.document.folds
    kept = read_split(out / "split.csv")
    assert {patch.part for patch in kept.patches} == {"train", "val"}
    assert len(kept.patches) == len(index)
    for number, threshold in enumerate(stated.thresholds, start=1):
        of_fold = json.loads((out / f"fold-{number}" / "metrics.json").read_text())
        assert (of_fold["part"], of_fold["threshold"]) == ("test", threshold)
        assert f"fold {number} of 3, by scene" in told
    assert (out / "evaluation" / "report.html").is_file()
    assert not list(tmp_path.glob(".run*"))


def test_a_stopped_run_goes_on_and_gives_the_same(
    pavements: Path, backbone_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"n_folds": 3, "backbone": backbone_file, "patch_px": 32, "threads": 1}
    crackscope.cross_validate(pavements, out=tmp_path / "whole", **options)
    calls: list[str] = []

    def stopped(*args: Any, **given: Any) -> Any:
        calls.append(given["out"].name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return crackscope.train(*args, **given)

    monkeypatch.setattr(cross_validation, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        crackscope.cross_validate(pavements, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutputError, match=r"was begun and is not finished.*--resume to go on, or --overwrite"):
        crackscope.cross_validate(pavements, out=tmp_path / "run", **options)
    with pytest.raises(RecipeError, match="had other data or settings"):
        crackscope.cross_validate(pavements, out=tmp_path / "run", resume=True, **{**options, "seed": 1})
    crackscope.cross_validate(pavements, out=tmp_path / "run", resume=True, **options)
    assert calls == ["fold-1", "fold-2", "fold-3", "fold-3", "final"]
    one, other = contents(tmp_path / "whole"), contents(tmp_path / "run")
    assert one.keys() == other.keys()
    same = [name for name in one if not name.endswith("run.json")]  # it counts features that were cached
    assert [name for name in same if one[name] != other[name]] == []
    with pytest.raises(OutputError, match="exists"):
        crackscope.cross_validate(pavements, out=tmp_path / "run", **options)
    shutil.rmtree(tmp_path / "whole")


def test_folds_by_photo_leak_where_photos_overlap(pavements: Path, backbone_file: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"by": "photo", "n_folds": 2, "backbone": backbone_file, "patch_px": 32, "threads": 1}
    with pytest.raises(SplitError, match=r"Scene S\d+ has photos in"):
        crackscope.cross_validate(pavements, out=tmp_path / "run", **options)
    run = crackscope.cross_validate(pavements, out=tmp_path / "run", allow_leakage=True, overwrite=True, **options)
    assert run.evaluation.leaky


@pytest.mark.slow
def test_a_recipe_that_trains_by_epochs(pavements: Path, mobilenet_folder: Path, run: Any, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["--recipe", "mobilenetv2-frozen", "--backbone", mobilenet_folder, "--patch-px", 32, "--threads", 1]
    words += ["--set", "frozen.epochs=1", "--cross-validate", "scene", "--folds", 2, "--out", out, "--json"]
    done = run("train", pavements, *words)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["folds"]["n_patches"] == len(crackscope.read_patches(pavements))
    assert found["run"]["folds"]["n_folds"] == 2
    assert (out / "history.csv").is_file()
    assert [path.relative_to(out).as_posix() for path in out.rglob("*.onnx")] == ["model.onnx"]
    assert not list(out.glob("fold-*/checkpoint.pt"))
