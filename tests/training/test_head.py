"""A head on frozen features: right, calibrated, and the same bytes every time."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import crackscope
from crackscope.data.patches import PatchIndex, read_patches
from crackscope.data.splits import apply_split, split
from crackscope.errors import DataError
from crackscope.model.bundle import read_backbone, read_bundle, write_model
from crackscope.model.features import extract_features
from crackscope.training.head import PENALTIES, train_head


@pytest.fixture
def parts(drawn: Path) -> tuple[PatchIndex, crackscope.Split]:
    index = read_patches(drawn)
    assigned = split(index, by="photo", val=0.25, test=0.25)
    return apply_split(index, split=assigned), assigned


def test_the_bundle_says_what_the_head_says(
    parts: tuple[PatchIndex, crackscope.Split], backbone_file: Path, tmp_path: Path
) -> None:
    index, assigned = parts
    backbone = read_backbone(backbone_file)
    run = train_head(index, backbone, split=assigned, patch_px=64)
    write_model(run.model, tmp_path / "model.onnx")
    card = read_bundle(tmp_path / "model.onnx").card
    assert run.penalty in PENALTIES
    assert card.recipe == {"name": "head", "penalty": run.penalty, "patch_px": 64}
    assert card.training_data[0].n_crack == sum(p.part == "train" and p.label == "crack" for p in index.patches)
    assert card.split == {"by": "photo", "sha256": assigned.sha256(), "leaky": False}
    assert card.source_px == 96
    val = index.select([patch for patch in index.patches if patch.part == "val"])
    evaluation = crackscope.evaluate(val, crackscope.load(tmp_path / "model.onnx"), part="val")
    assert not evaluation.leaky
    for name in ("accuracy", "auroc", "brier"):
        assert evaluation.metrics[name].value == pytest.approx(run.evaluation.metrics[name].value, abs=1e-6)


def test_features_that_tell_apart_are_used(parts: tuple[PatchIndex, crackscope.Split], backbone_file: Path) -> None:
    """Even a random network sees more than chance on drawn cracks; labels turned at random leave it nothing."""
    index, assigned = parts
    backbone = read_backbone(backbone_file)
    assert train_head(index, backbone, split=assigned, patch_px=64).evaluation.metrics["auroc"].value > 0.55
    rng = np.random.default_rng(0)
    shuffled = index.select([replace(p, label=str(rng.choice(["crack", "uncracked"]))) for p in index.patches])
    assert train_head(shuffled, backbone, split=assigned, patch_px=64).penalty == PENALTIES[0]


def test_the_same_patches_give_the_same_bytes_from_any_folder(drawn: Path, backbone_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "deep"
    shutil.copytree(drawn.parent, copy)
    made = []
    for table in (drawn, copy / "labels.csv"):
        index = read_patches(table)
        assigned = split(index, by="photo", val=0.25, test=0.25)
        run = train_head(apply_split(index, split=assigned), read_backbone(backbone_file), split=assigned, patch_px=64)
        made.append(run.model.SerializeToString(deterministic=True))
    assert made[0] == made[1]
    assert str(tmp_path).encode() not in made[1]


def test_an_unreadable_patch_is_told_and_the_rest_is_trained(drawn: Path, backbone_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "walls"
    shutil.copytree(drawn.parent, folder)
    index = read_patches(folder / "labels.csv")
    assigned = split(index, by="photo", val=0.25, test=0.25)
    broken = next(patch for patch in assigned.patches if patch.part == "train")
    (folder / broken.path).write_bytes(b"%PDF-1.7 not a picture")
    run = train_head(apply_split(index, split=assigned), read_backbone(backbone_file), split=assigned, patch_px=64)
    assert [path for path, _ in run.refused] == [broken.path]
    assert "a PDF" in run.refused[0][1]


def test_a_label_that_cannot_be_read_at_all_is_told(drawn: Path, backbone_file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "walls"
    shutil.copytree(drawn.parent, folder)
    index = read_patches(folder / "labels.csv")
    assigned = split(index, by="photo", val=0.25, test=0.25)
    for patch in assigned.patches:
        if patch.part == "train" and patch.label == "crack":
            (folder / patch.path).write_bytes(b"%PDF-1.7 not a picture")
    with pytest.raises(DataError, match=r"part train needs both labels; found 0 crack .* the first because: .* a PDF"):
        train_head(apply_split(index, split=assigned), read_backbone(backbone_file), split=assigned, patch_px=64)


def test_without_a_cache_no_feature_is_kept(
    drawn: Path, backbone_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(tmp_path / "cache"))
    index = read_patches(drawn)
    options: dict[str, Any] = {
        "split": split(index, by="photo", val=0.25, test=0.25),
        "backbone": backbone_file,
        "patch_px": 64,
    }
    kept = crackscope.train(index, out=tmp_path / "without", cache=False, **options)
    n_kept = len(list((tmp_path / "cache").rglob("*.npy")))  # thumbnails, by which leaks are found
    assert crackscope.train(index, out=tmp_path / "with", **options).model.read_bytes() == kept.model.read_bytes()
    assert len(list((tmp_path / "cache").rglob("*.npy"))) > n_kept


def test_the_largest_training_patch_says_what_is_a_patch(drawn: Path, backbone_file: Path, tmp_path: Path) -> None:
    """One of a hundred patches is larger: a sample of them would miss it."""
    folder = tmp_path / "walls"
    shutil.copytree(drawn.parent, folder)
    index = read_patches(folder / "labels.csv")
    assigned = split(index, by="photo", val=0.25, test=0.25)
    large = [patch for patch in assigned.patches if patch.part == "train"][1]
    pixels = np.asarray(cv2.imread(str(folder / large.path)))
    cv2.imwrite(str(folder / large.path), cv2.resize(pixels, (224, 224)))
    run = train_head(apply_split(index, split=assigned), read_backbone(backbone_file), split=assigned, patch_px=64)
    write_model(run.model, tmp_path / "model.onnx")
    assert read_bundle(tmp_path / "model.onnx").card.source_px == 224


def test_one_label_in_a_part_is_refused(parts: tuple[PatchIndex, crackscope.Split], backbone_file: Path) -> None:
    index, assigned = parts
    lopsided = index.select([p for p in index.patches if p.part != "val" or p.label == "crack"])
    with pytest.raises(DataError, match=r"part val needs both labels; found .* 0 uncracked"):
        train_head(lopsided, read_backbone(backbone_file), split=assigned)


def test_a_second_run_takes_every_feature_from_the_cache(
    parts: tuple[PatchIndex, crackscope.Split], backbone_file: Path
) -> None:
    index, assigned = parts
    backbone = read_backbone(backbone_file)
    train_head(index, backbone, split=assigned, patch_px=64)
    assert train_head(index, backbone, split=assigned, patch_px=64).n_computed == 0
    assert extract_features(index, backbone, patch_px=64).values.shape == (len(index), 16)
