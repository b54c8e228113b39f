"""From patches to a run folder: what is in it, that it can be trusted, and that it goes on or is left alone."""

from __future__ import annotations

import csv
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
import transformers
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import crackscope
from crackscope.cli import main
from crackscope.data.patches import read_patches
from crackscope.data.splits import read_split, split, write_split
from crackscope.drawing.walls import draw_patch, draw_photo
from crackscope.errors import BundleError, DataError, OutputError, RecipeError, SplitError
from crackscope.measuring.history import read_history
from crackscope.measuring.run_document import RunGate, RunParameters, read_run_document
from crackscope.model.bundle import read_backbone, read_bundle
from crackscope.training import parts
from crackscope.training.run_folder import RECIPE_FILES
from crackscope.training.runs import Run, train
from crackscope.training.torch import finetuning, recipe_run
from crackscope.training.torch.export import torch_logits
from crackscope.training.torch.process import own_threads
from shared.folders import contents_of
from shared.stopping import Stopped, stop_training

CONTENT = {
    *("checkpoint.pt", "evaluation", "history.csv", "history.png", "layers.csv", "metrics.json", "model.onnx"),
    *("run.json", "split.csv", "tensorboard", "test_batch.png"),
}
KINDS: dict[str, tuple[str, list[str]]] = {
    "frozen": ("mobilenetv2-frozen", ["frozen.epochs=3", "frozen.learning_rate=1e-2"]),
    "augmented": (
        "mobilenetv2-augmented",
        [
            *("frozen.epochs=2", "frozen.learning_rate=1e-2", "finetuning.epochs=2", "finetuning.learning_rate=1e-4"),
            *("finetuning.from_block=2", "finetuning.frozen_layers=1"),
        ],
    ),
    "scratch": ("cnn-scratch", ["finetuning.epochs=2", "batch_size=16"]),
    "hairline": (
        "mobilenetv2-hairline",
        [
            *("until=stage_3_block_1", "augmentation.views=1", "batch_size=16"),
            *("finetuning.epochs=2", "finetuning.learning_rate=1e-3", "finetuning.from_block=2"),
        ],
    ),
    "hidden": ("resnet101", ["frozen.epochs=3", "frozen.learning_rate=1e-2", "batch_size=16"]),
}


@pytest.fixture(scope="module")
def trained(
    drawn: Path, split_file: Path, resnet_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Run]:
    """Train one of the kinds on drawn walls; further settings are those of `train`."""

    def call(kind: str, out: Path | None = None, **options: Any) -> Run:
        name, changes = KINDS[kind]
        options = {"threads": 1, "patch_px": 64, "split": split_file, "recipe": name, **options}
        if kind != "scratch":
            options.setdefault("backbone", resnet_folder)
        options["changes"] = [*changes, *options.get("changes", ())]
        return train(options.pop("data", drawn), out=out or tmp_path_factory.mktemp(kind) / "run", **options)

    return call


@pytest.fixture(scope="module")
def finished(trained: Callable[..., Run]) -> Callable[[str], Run]:
    """One finished run of a kind, made when it is first asked for; not to be written to."""
    made: dict[str, Run] = {}

    def of(kind: str) -> Run:
        if kind not in made:
            made[kind] = trained(kind)
        return made[kind]

    return of


@pytest.fixture
def unfinished(trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a run from nothing, stopped in the middle of its second epoch."""
    out = tmp_path / "unfinished"
    with monkeypatch.context() as patch:
        stop_training(patch, after=5)
        with pytest.raises(Stopped):
            trained("scratch", out)
    assert (out / "checkpoint.pt").is_file()
    assert not (out / "model.onnx").exists()
    return out


def sizes(split_file: Path) -> dict[str, int]:
    """Patches of each part."""
    return dict(Counter(patch.part or "" for patch in read_split(split_file).patches))


def document(path: Path) -> Any:
    return json.loads(path.read_text())


# What a run leaves


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.slow
def test_a_run_folder_holds_what_it_says_and_exactly_one_model(finished: Callable[[str], Run], kind: str) -> None:
    folder = finished(kind).folder
    views = {"views.png"} if kind in ("augmented", "scratch", "hairline") else set()
    assert {path.name for path in folder.iterdir()} == CONTENT | views
    assert set(RECIPE_FILES) >= CONTENT | views
    assert [path.name for path in folder.rglob("*.onnx")] == ["model.onnx"]
    for picture in folder.glob("*.png"):
        assert picture.read_bytes().startswith(b"\x89PNG")
    assert not [name for name in contents_of(folder) if "part" in name.split("/")[-1]]


@pytest.mark.slow
def test_the_figures_are_those_of_the_bundle_on_test(
    finished: Callable[[str], Run], kind: str, drawn: Path, split_file: Path
) -> None:
    run = finished(kind)
    metrics = document(run.folder / "metrics.json")
    assert metrics["part"] == "test"
    n_test = sizes(split_file)["test"]
    assert (metrics["n_patches"], metrics["n_photos"], metrics["leaky"]) == (n_test, 3, False)
    assert set(metrics["accuracy"]) == {"value", "low", "high"}
    assert metrics == document(run.folder / "evaluation" / "metrics.json")
    judged = crackscope.evaluate(drawn, crackscope.load(run.folder / "model.onnx", threads=1), split=split_file)
    for name in ("accuracy", "auroc", "brier", "f1_crack"):
        assert judged.metrics[name].value == pytest.approx(metrics[name]["value"], nan_ok=True)
        assert run.evaluation.metrics[name].value == judged.metrics[name].value


@pytest.mark.slow
def test_run_json_says_how_it_came_about(finished: Callable[[str], Run], kind: str, split_file: Path) -> None:
    run = finished(kind)
    found = document(run.folder / "run.json")
    assert found == run.document.to_dict()
    assert read_run_document(run.folder / "run.json", remedy="") == run.document
    assert {"settings", "recipe", "chosen", "parameters", "seconds", "agreement_with_torch"} <= set(found)
    assert {"data", "split", "versions", "git"} <= set(found)
    assert found["settings"]["recipe"] == KINDS[kind][0]
    assert found["settings"]["seed"] == 0
    assert found["settings"]["threads"] == 1
    assert found["recipe"]["patch_px"] == 64
    assert found["recipe"]["name"] == KINDS[kind][0]
    assert found["split"] == {**{"by": "photo", "sha256": read_split(split_file).sha256(), "n_leaks": 0, "made": False}}
    assert found["data"]["n_refused"] == 0
    assert found["agreement_with_torch"]["n"] == sizes(split_file)["test"]
    assert found["agreement_with_torch"]["greatest"] <= 1e-3
    assert found["agreement_with_torch"]["n_labels_changed"] == 0
    assert 0 < found["seconds"]["epochs"] <= found["seconds"]["total"]
    assert {"torch", "transformers", "onnxruntime"} <= set(found["versions"])
    history = read_history(run.folder / "history.csv")
    best = min(history, key=lambda epoch: epoch.val_loss)
    assert (found["chosen"]["epoch"], found["chosen"]["phase"]) == (best.number, best.phase)


@pytest.mark.slow
def test_history_tensorboard_and_split_are_readable(
    finished: Callable[[str], Run], kind: str, split_file: Path
) -> None:
    run = finished(kind)
    history = read_history(run.folder / "history.csv")
    phases = {
        "frozen": ["frozen"] * 3,
        "augmented": ["frozen"] * 2 + ["finetuning"] * 2,
        "scratch": ["finetuning"] * 2,
        "hairline": ["finetuning"] * 2,
        "hidden": ["frozen"] * 3,
    }
    assert [epoch.phase for epoch in history] == phases[kind]
    assert [epoch.number for epoch in history] == list(range(1, len(history) + 1))
    log = EventAccumulator(str(run.folder / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
    for part in ("train", "val"):
        curves = EventAccumulator(str(run.folder / "tensorboard" / part), size_guidance={"scalars": 0}).Reload()
        for tag in ("loss", "accuracy", "recall_crack", "f1_crack"):
            assert [(event.step, event.value) for event in curves.Scalars(tag)] == [
                (epoch.number, pytest.approx(getattr(epoch, f"{part}_{tag}"), rel=1e-5)) for epoch in history
            ]
    images = {"patches/samples", "test/predictions", "test/confusion_matrix"}
    if kind in ("augmented", "scratch", "hairline"):
        images.add("patches/augmented_views")
    assert set(log.Tags()["images"]) == images
    assert {event.step for event in log.Images("test/predictions")} == {len(history)}
    assert read_split(run.folder / "split.csv") == read_split(split_file)


@pytest.mark.slow
def test_the_layer_table_says_what_learns(finished: Callable[[str], Run], kind: str) -> None:
    run = finished(kind)
    with (run.folder / "layers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    trainable = {row["name"] for row in rows if int(row["trainable"])}
    heads = {name for name in trainable if name.startswith("head.")}
    if kind in ("frozen", "hidden"):
        assert trainable == heads
    if kind == "scratch":
        assert not any(int(row["frozen"]) for row in rows)
    if kind == "augmented":  # block 2 is stage_2_block_1, and its first layer stays
        assert not any(name.startswith(("stem", "stage_1")) for name in trainable)
        assert sum(int(row["frozen"]) > 0 for row in rows if row["name"].startswith("stage_2")) == 1
        assert {name.partition(".")[0] for name in trainable} >= {"stage_2_block_1", "stage_4_block_1", "head"}
    if kind == "hairline":
        assert {name.partition(".")[0] for name in trainable} == {"stage_2_block_1", "stage_3_block_1", "head"}
    assert len(heads) == (3 if kind == "hidden" else 1)
    assert run.document.parameters == RunParameters(
        total=sum(int(row["n_parameters"]) for row in rows), trainable=sum(int(row["trainable"]) for row in rows)
    )


@pytest.mark.slow
def test_the_card_tells_the_story(finished: Callable[[str], Run], kind: str, drawn: Path, split_file: Path) -> None:
    run = finished(kind)
    card = read_bundle(run.folder / "model.onnx").card
    assert card.name == KINDS[kind][0]
    assert card.patch_px == 64
    assert card.map == ("approximate" if kind == "hidden" else "exact")
    assert (card.recipe["name"], card.recipe["patch_px"]) == (KINDS[kind][0], 64)
    assert card.split == {"by": "photo", "sha256": run.document.split.sha256, "leaky": False}
    assert card.training_data[0].n_crack > 0
    assert card.figures["val"]["n_patches"] == sizes(split_file)["val"]
    content = (run.folder / "model.onnx").read_bytes()
    for trace in (str(drawn.parent).encode(), str(run.folder).encode(), b"/tmp/", b"site-packages"):
        assert trace not in content


@pytest.mark.slow
def test_a_model_knows_its_training_patches(
    finished: Callable[[str], Run], kind: str, drawn: Path, split_file: Path
) -> None:
    """Taken as a backbone for another head, the blocks that learned have seen the training patches."""
    run = finished(kind)
    backbone = read_backbone(run.folder / "model.onnx")
    n_train = sizes(split_file)["train"]
    assert [data.n_crack + data.n_uncracked for data in backbone.card.trained_on] == [n_train]
    seen = crackscope.evaluate(drawn, crackscope.load(run.folder / "model.onnx", threads=1), allow_leakage=True)
    assert seen.n_seen == n_train


# What belongs to the whole process


def process_state() -> dict[str, Any]:
    """What any program shares with a training that runs in it."""
    hub = logging.getLogger("huggingface_hub")
    return {
        "threads": torch.get_num_threads(),
        "torch": torch.get_rng_state().tolist(),
        "random": random.getstate(),
        "numpy": [np.asarray(one).tolist() for one in np.random.get_state()],
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "logging": (transformers.utils.logging.get_verbosity(), hub.level),
        "bars": transformers.utils.logging.is_progress_bar_enabled(),
    }


@pytest.mark.parametrize("kind", ["frozen", "scratch"])
def test_a_training_leaves_the_process_as_it_was(
    trained: Callable[..., Run], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = ["frozen.epochs=1"] if kind == "frozen" else ["finetuning.epochs=1"]
    with own_threads(2):
        before = process_state()
        trained(kind, changes=changes, patch_px=32)
        assert process_state() == before
        stop_training(monkeypatch, after=1)
        with pytest.raises(Stopped):
            trained(kind, changes=changes, patch_px=32)
        assert process_state() == before


# The same again


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frozen", "augmented", "scratch"])
def test_the_same_seed_gives_the_same_bytes_and_another_another(
    finished: Callable[[str], Run], trained: Callable[..., Run], kind: str
) -> None:
    model = (finished(kind).folder / "model.onnx").read_bytes()
    torch.rand(3)  # whatever the process drew before
    assert (trained(kind).folder / "model.onnx").read_bytes() == model
    if kind == "frozen":
        assert (trained(kind, seed=1).folder / "model.onnx").read_bytes() != model


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["frozen", "augmented"])
def test_without_a_cache_the_figures_are_the_same_and_no_rows_are_kept(
    finished: Callable[[str], Run],
    trained: Callable[..., Run],
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = finished(kind)
    cache = tmp_path / "cache"
    monkeypatch.setenv("CRACKSCOPE_CACHE", str(cache))
    with monkeypatch.context() as patch:  # sizes and fingerprints of patches are kept all the same
        stop_training(patch, after=0)
        with pytest.raises(Stopped):
            trained("scratch")
    before = {path.name for path in (cache / "rows").iterdir()}
    run = trained(kind, cache=False)
    assert {path.name for path in (cache / "rows").iterdir()} == before
    assert run.document.settings.cache is False
    for one, other in zip(
        read_history(run.folder / "history.csv"), read_history(expected.folder / "history.csv"), strict=True
    ):
        assert one.train_loss == pytest.approx(other.train_loss, rel=0.01)
        assert one.val_loss == pytest.approx(other.val_loss, rel=0.01)
    for name in ("accuracy", "auroc"):
        assert run.evaluation.metrics[name].value == pytest.approx(expected.evaluation.metrics[name].value, abs=0.05)


# Trust


@pytest.mark.slow
def test_a_bundle_that_does_not_say_what_torch_says_is_not_written(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch_logits
    for shift, told in ((0.1, "in probability"), (float("nan"), "in probability")):
        monkeypatch.setattr(recipe_run, "torch_logits", lambda *a, shift=shift, **k: real(*a, **k) + shift)
        with pytest.raises(BundleError, match=rf"differs from torch by .* {told}.* it was not written"):
            trained("frozen", tmp_path / "run", overwrite=True)
        assert not list((tmp_path / "run").rglob("*.onnx"))
        assert not (tmp_path / "run" / "run.json").exists()
        assert not (tmp_path / "run" / "metrics.json").exists()
    monkeypatch.setattr(recipe_run, "torch_logits", real)
    run = trained("frozen", tmp_path / "run", resume=True)  # what was learnt is not lost
    assert (run.folder / "model.onnx").is_file()


def test_a_leaking_split_is_refused_before_anything_is_written(
    trained: Callable[..., Run], split_file: Path, tmp_path: Path
) -> None:
    lines = split_file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith(",train"))
    lines[first] = lines[first].replace(",train", ",test")
    (tmp_path / "leaking.csv").write_text("\n".join(lines) + "\n")
    with pytest.raises(SplitError, match=r"in both train and test.*--allow-leakage"):
        trained("scratch", tmp_path / "run", split=tmp_path / "leaking.csv")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("trouble", ["no such data", "leak", "no such recipe", "bad setting", "layers", "no room"])
def test_overwriting_costs_nothing_until_the_new_run_can_begin(
    trained: Callable[..., Run], split_file: Path, tmp_path: Path, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "run"
    out.mkdir()
    for name in ("model.onnx", "run.json", "checkpoint.pt", "split.csv"):
        (out / name).write_text("precious")
    (tmp_path / "leaking.csv").write_text(split_file.read_text().replace(",val", ",train", 1))
    wrong: dict[str, dict[str, Any]] = {
        "no such data": {"data": tmp_path / "nowhere"},
        "leak": {"split": tmp_path / "leaking.csv"},
        "no such recipe": {"recipe": "cnn-scrath"},
        "bad setting": {"changes": ["finetuning.epochs=0"]},
        "layers": {"changes": ["finetuning.frozen_layers=99"]},
        "no room": {},
    }
    options = wrong[trouble]
    if trouble == "no room":
        monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=10**12, used=10**12, free=0))
    kind = "frozen" if trouble == "no room" else "scratch"
    with pytest.raises((DataError, OutputError, SplitError, RecipeError)):
        trained(kind, out, overwrite=True, **options)
    assert {path.name for path in out.iterdir()} == {"model.onnx", "run.json", "checkpoint.pt", "split.csv"}


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("scratch", {"backbone": "/nowhere/model"}, "no such folder"),
        ("frozen", {"changes": ["finetuning={epochs=1, learning_rate=1e-3, from_block=99}"]}, "no block 99"),
    ],
)
def test_a_run_that_could_not_begin_is_not_in_the_way_of_the_next(
    trained: Callable[..., Run], tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    for _ in range(2):  # the second time with the same words
        with pytest.raises(DataError, match=message):
            trained(kind, tmp_path / "run", **options)


# Going on


def test_a_run_that_is_not_finished_is_not_lost_by_accident(trained: Callable[..., Run], unfinished: Path) -> None:
    before = contents_of(unfinished)
    with pytest.raises(OutputError, match=r"holds a run that is not finished. Say --resume to go on, or --overwrite"):
        trained("scratch", unfinished)
    assert contents_of(unfinished) == before


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"threads": 2},
        {"patch_px": 96},
        {"changes": ["finetuning.learning_rate=1e-4"]},
        {"changes": ["augmentation.zoom=0"]},
        {"changes": ["finetuning.epochs=3"]},
        {"recipe": "mobilenetv2-full", "backbone": "resnet"},
    ],
)
def test_a_run_goes_on_with_the_same_settings_only(
    trained: Callable[..., Run], unfinished: Path, resnet_folder: Path, options: dict[str, Any]
) -> None:
    before = contents_of(unfinished)
    if "backbone" in options:
        options = {**options, "backbone": resnet_folder, "changes": ["frozen=none"]}
    with pytest.raises(RecipeError, match=r"of a training with other data, split, recipe, seed or threads"):
        trained("scratch", unfinished, resume=True, **options)
    assert contents_of(unfinished) == before


def test_a_run_goes_on_with_the_same_split_only_and_keeps_it(
    trained: Callable[..., Run], unfinished: Path, drawn: Path, tmp_path: Path
) -> None:
    write_split(split(read_patches(drawn), by="photo", val=0.25, test=0.25, seed=5), tmp_path / "other.csv")
    before = contents_of(unfinished)
    with pytest.raises(RecipeError, match="other data, split"):
        trained("scratch", unfinished, resume=True, split=tmp_path / "other.csv")
    assert contents_of(unfinished) == before


@pytest.mark.slow
def test_a_run_that_made_its_split_goes_on_with_the_one_it_kept(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    unbroken = trained("scratch", tmp_path / "unbroken", split=None, say=told.append)
    assert [line for line in told if "names no parts" in line]
    assert unbroken.document.split.made
    with monkeypatch.context() as patch:
        stop_training(patch, after=5)
        with pytest.raises(Stopped):
            trained("scratch", tmp_path / "run", split=None)
    monkeypatch.setattr(parts, "make_split", None)  # no second one is made
    run = trained("scratch", tmp_path / "run", split=None, resume=True)
    assert run.document.split == unbroken.document.split
    for name in ("model.onnx", "split.csv", "metrics.json"):
        assert (run.folder / name).read_bytes() == (unbroken.folder / name).read_bytes()


def test_a_run_goes_on_with_the_same_patches_only(
    trained: Callable[..., Run], unfinished: Path, drawn: Path, tmp_path: Path
) -> None:
    shutil.copytree(drawn.parent, tmp_path / "walls")
    patch = next(p for p in read_split(unfinished / "split.csv").patches if p.part == "train")
    first, second = (tmp_path / "walls" / path for path in (patch.path, "again.jpg"))
    content = first.read_bytes()
    second.write_bytes(content)
    import cv2

    cv2.imwrite(str(first), np.asarray(cv2.imread(str(first)))[:, ::-1])
    with pytest.raises(RecipeError, match="other data, split"):
        trained("scratch", unfinished, resume=True, data=tmp_path / "walls" / "labels.csv")


@pytest.mark.slow
def test_resume_begins_a_run_where_there_is_none_and_ends_at_once_where_it_is_done(
    trained: Callable[..., Run], finished: Callable[[str], Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = (finished("scratch").folder / "model.onnx").read_bytes()
    run = trained("scratch", tmp_path / "run", resume=True)
    assert (run.folder / "model.onnx").read_bytes() == expected
    before = contents_of(run.folder)
    stop_training(monkeypatch, after=0)
    again = trained("scratch", tmp_path / "run", resume=True)
    after = contents_of(run.folder)
    for name in ("model.onnx", "metrics.json", "split.csv", "layers.csv", "checkpoint.pt", "history.csv"):
        assert after[name] == before[name], name
    assert {name for name in after if not name.startswith("tensorboard")} == {
        name for name in before if not name.startswith("tensorboard")
    }
    assert again.document.chosen == run.document.chosen
    assert again.document.seconds.epochs == pytest.approx(run.document.seconds.epochs)


@pytest.mark.slow
def test_a_finished_run_is_not_overwritten_unless_it_is_said(
    trained: Callable[..., Run], finished: Callable[[str], Run], tmp_path: Path
) -> None:
    shutil.copytree(finished("scratch").folder, tmp_path / "run")
    before = contents_of(tmp_path / "run")
    with pytest.raises(OutputError, match=r"exists. Choose another --out, or say --overwrite"):
        trained("scratch", tmp_path / "run")
    assert contents_of(tmp_path / "run") == before
    trained("scratch", tmp_path / "run", overwrite=True, seed=3)
    assert contents_of(tmp_path / "run")["model.onnx"] != before["model.onnx"]


def test_resume_never_costs_a_run_that_it_cannot_go_on_with(trained: Callable[..., Run], tmp_path: Path) -> None:
    """A finished run of `head`, or one whose checkpoint was deleted to save room, has nothing to go on from."""
    out = tmp_path / "run"
    out.mkdir()
    for name in ("metrics.json", "model.onnx", "run.json", "split.csv"):
        (out / name).write_text("precious")
    before = contents_of(out)
    with pytest.raises(OutputError, match="--overwrite"):
        trained("scratch", out, resume=True)
    assert contents_of(out) == before


def test_a_foreign_file_is_never_deleted(trained: Callable[..., Run], unfinished: Path, tmp_path: Path) -> None:
    (unfinished / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"'notes.txt', which was not written by this command"):
        trained("scratch", unfinished, overwrite=True)
    out = tmp_path / "other"
    out.mkdir()
    (out / "thesis.docx").write_text("mine")
    with pytest.raises(OutputError, match=r"'thesis.docx', which was not written"):
        trained("scratch", out, resume=True)


@pytest.mark.parametrize("leftover", [".checkpoint-0123456789ab.part.pt", ".split-0123456789ab.part.csv"])
def test_what_a_kill_left_half_written_is_not_in_the_way(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leftover: str
) -> None:
    """Killed while its very first files were being written."""
    out = tmp_path / "run"
    (out / "tensorboard").mkdir(parents=True)
    (out / leftover).write_text("half")
    (out / ".evaluation-0123456789ab.part").mkdir()
    stop_training(monkeypatch, after=0)
    for options in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(Stopped):
            trained("scratch", out, **options)
        assert not (out / leftover).exists()


@pytest.mark.slow
def test_a_kill_while_the_bundle_is_checked_leaves_one_model_in_the_end(
    trained: Callable[..., Run], tmp_path: Path, finished: Callable[[str], Run]
) -> None:
    """The check takes minutes, and all the while a file lies beside that is not the model yet."""
    shutil.copytree(finished("scratch").folder, tmp_path / "run")
    for name in ("model.onnx", "run.json", "metrics.json"):
        (tmp_path / "run" / name).unlink()
    (tmp_path / "run" / ".model-0123456789ab.part.onnx").write_bytes(b"half")
    run = trained("scratch", tmp_path / "run", resume=True)
    assert [path.name for path in run.folder.rglob("*.onnx")] == ["model.onnx"]
    assert [path.name for path in run.folder.iterdir() if path.name.startswith(".")] == []


def test_a_run_stopped_in_its_first_epoch_logs_nothing_twice(
    trained: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuning, "_CHECKPOINT_S", -1.0)
    out = tmp_path / "run"
    for after in (1, 1, 2):  # of three steps an epoch
        with monkeypatch.context() as patch:
            stop_training(patch, after=after)
            with pytest.raises(Stopped):
                trained("scratch", out, resume=True)
    log = EventAccumulator(str(out / "tensorboard"), size_guidance={"images": 0, "scalars": 0}).Reload()
    assert [event.step for event in log.Images("patches/samples")] == [0]
    curves = EventAccumulator(str(out / "tensorboard" / "val"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in curves.Scalars("loss")] == [1]


# Patches that are none


@pytest.mark.slow
def test_unreadable_patches_are_told_and_the_rest_is_trained(
    drawn: Path,
    split_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(drawn.parent, tmp_path / "walls")
    parts = {part: [p for p in read_split(split_file).patches if p.part == part] for part in ("train", "val", "test")}
    broken = [parts[part][0].path for part in ("train", "val", "test")]
    for path in broken:
        (tmp_path / "walls" / path).write_bytes(b"%PDF-1.7 no picture")
    command = [
        *("crackscope", "train", str(tmp_path / "walls" / "labels.csv"), "--split", str(split_file), "--json"),
        *("--recipe", "cnn-scratch", "--patch-px", "64", "--set", "finetuning.epochs=1", "--threads", "1"),
        *("--out", str(tmp_path / "run")),
    ]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as left:
        main()
    captured = capsys.readouterr()
    assert left.value.code == 3
    found = json.loads(captured.out)
    assert (found["status"], found["n_refused"]) == ("refused", 3)
    assert found["run"]["data"]["n_refused"] == 2  # of train and val
    assert found["test"]["n_patches"] == len(parts["test"]) - 1
    for path in broken:
        assert f"{path}: " in captured.err
    assert captured.err.count("a PDF") == 3


def test_too_few_patches_of_a_label_are_an_error(
    trained: Callable[..., Run], drawn: Path, tmp_path: Path, split_file: Path
) -> None:
    shutil.copytree(drawn.parent, tmp_path / "walls")
    for patch in read_split(split_file).patches:
        if patch.part == "val" and patch.label == "crack":
            (tmp_path / "walls" / patch.path).write_bytes(b"")
    with pytest.raises(DataError, match=r"part val needs both labels; found 0 crack"):
        trained("scratch", tmp_path / "run", data=tmp_path / "walls" / "labels.csv")


@pytest.mark.slow
def test_without_a_test_part_val_is_judged(trained: Callable[..., Run], drawn: Path, tmp_path: Path) -> None:
    write_split(split(read_patches(drawn), by="photo", val=0.25, test=0.0), tmp_path / "two.csv")
    run = trained("scratch", tmp_path / "run", split=tmp_path / "two.csv", changes=["finetuning.epochs=1"])
    assert run.evaluation.part == "val"
    assert document(run.folder / "metrics.json")["part"] == "val"
    assert run.document.agreement_with_torch is not None
    assert run.document.agreement_with_torch.n == sizes(tmp_path / "two.csv")["val"]


def test_a_last_batch_of_one_is_no_trouble_at_32_px(
    trained: Callable[..., Run], split_file: Path, tmp_path: Path
) -> None:
    """The last map of a patch then is one cell, and batch normalisation cannot learn from a single one."""
    n_train = sizes(split_file)["train"]
    run = trained("scratch", tmp_path / "run", changes=[f"batch_size={n_train - 1}", "patch_px=32"])
    assert run.model.is_file()


# The command


def test_without_torch_the_extra_is_named(drawn: Path, split_file: Path, tmp_path: Path) -> None:
    code = "import sys; sys.modules['torch'] = None; from crackscope.cli import main; main()"
    arguments = ["train", str(drawn), "--split", str(split_file), "--recipe", "cnn-scratch", "--out"]
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments, str(tmp_path / "run")],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ},
    )
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert "needs torch, which is not installed. In the repository's folder: pip install torch" in found.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_command_says_how_it_goes_and_what_came_out(drawn: Path, split_file: Path, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-W", "error", "-m", "crackscope", "train", str(drawn), "--split", str(split_file)),
        *("--recipe", "cnn-scratch", "--patch-px", "64", "--set", "finetuning.epochs=2", "--out", str(tmp_path / "r")),
    ]
    found = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "CRACKSCOPE_THREADS": "1"}
    )
    assert "finetuning 1/2: loss " in found.stderr
    assert "finetuning 2/2: loss " in found.stderr
    assert "Traceback" not in found.stderr
    assert found.stdout.startswith("test: accuracy ")
    assert f"torch says the same of {sizes(split_file)['test']} files" in found.stdout
    assert f"next: tensorboard --logdir {tmp_path / 'r' / 'tensorboard'}" in found.stdout


# A head on every cell of a backbone that ends earlier


def test_a_run_of_hairline_has_a_finer_exact_map_and_says_how_it_is_pooled(
    finished: Callable[[str], Run], drawn: Path
) -> None:
    model = crackscope.load(finished("hairline").model)
    assert (model.card.pool, model.card.map) == ("logsumexp", "exact")
    assert model.card.backbone.name == "resnet until stage_3_block_1"
    assert model.network.field.stride_px == 16
    pixels = draw_photo(2, photo_hw=(320, 288)).pixels
    whole = model.network.logit_map(pixels)
    assert whole.shape == (20, 18)
    for window_px in (32, 64, 128):
        assert np.abs(model.network.logit_map(pixels, window_px=window_px) - whole).max() < 1e-3
    found = model.scan(draw_patch(3, side_px=96).pixels)
    assert found.map is not None
    assert (found.unit, found.map.unit, found.map.pool) == ("patch", "patch", "logsumexp")
    for index in range(3):
        patch = draw_patch(index, side_px=96).pixels
        assert model.scan(patch).crack_probability == pytest.approx(model.classify(patch).crack_probability, abs=1e-5)


def test_drawn_cracks_are_seen_in_the_pictures_of_views(finished: Callable[[str], Run]) -> None:
    assert (finished("hairline").folder / "views.png").is_file()
    assert not (finished("frozen").folder / "views.png").exists()


@pytest.mark.parametrize("kind", ["frozen", "hairline"])
def test_every_way_of_training_fits_a_gate_where_there_are_patches_enough(
    trained: Callable[..., Run], finished: Callable[[str], Run], monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    plain = finished(kind)
    assert read_bundle(plain.model).card.gate is None
    assert "a gate takes 200" in str(plain.document.gate.reason)
    for module in ("crackscope.model.gate", "crackscope.training.gates"):
        monkeypatch.setattr(f"{module}.LEAST_CRACKED", 4)
    runs_with = [trained(kind) for _ in range(2)]
    assert len({run.model.read_bytes() for run in runs_with}) == 1
    run = runs_with[0]
    card = read_bundle(run.model).card
    assert card.gate is not None
    assert run.document.gate == RunGate(fitted=True)
    assert run.evaluation.reasons is not None
    assert np.array_equal(run.evaluation.probabilities, plain.evaluation.probabilities)
