"""The contract that scripts rely on: stdout, stderr, exit codes, one clear line for bad input, nothing half written."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.cli import GROUPS, app, main
from crackscope.data.class_names import CRACK_NAMES, UNCRACKED_NAMES
from crackscope.data.patches import LABELS, read_patches
from crackscope.data.splits import read_split, split, write_split
from crackscope.drawing.walls import draw_patch, draw_photo
from crackscope.model.bundle import Head, compose, read_backbone, write_model
from crackscope.training.run_folder import FILES
from shared.command import Result
from shared.models import tiny_card
from shared.pictures import noise, save

COMMANDS = [command.callback.__name__ for command in app.registered_commands if command.callback]


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def walls(drawn: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "walls"
    shutil.copytree(drawn.parent, folder)
    return folder / "labels.csv"


@pytest.fixture
def split_file(run: Any, drawn: Path, tmp_path: Path) -> Path:
    path = tmp_path / "split.csv"
    assert run("split", drawn, "--val", 0.25, "--test", 0.25, "--out", path).code == 0
    return path


def assert_one_line(result: Result, *parts: str) -> None:
    assert result.code == 1
    lines = [line for line in result.err.splitlines() if line.startswith("crackscope: ")]
    assert len(lines) == 1
    assert "Traceback" not in result.err
    for part in parts:
        assert part in lines[0]


# What every command does


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_an_example(run: Any, command: str) -> None:
    result = run(command, "--help")
    assert result.code == 0
    body = result.out[: result.out.index("Options")]
    assert f"Example: crackscope {command}" in " ".join(body.split())


def test_help_lists_every_command_in_its_group(run: Any) -> None:
    told = run("--help").out
    places = [told.index(word) for title, commands in GROUPS.items() for word in (f"─ {title} ", *map(row, commands))]
    assert places == sorted(places)
    assert sorted(command.__name__ for commands in GROUPS.values() for command in commands) == sorted(COMMANDS)


def row(command: Any) -> str:
    """How a command's row begins in the list of all."""
    return f"│ {command.__name__} "


def test_wrong_usage_is_2(run: Any) -> None:
    result = run("predict")
    assert result.code == 2
    assert "Missing argument" in result.err
    assert run("predict", "x.jpg", "--treshold", "0.5").code == 2
    assert run("no-such-command").code == 2
    assert run("split", "x", "--by", "photos").code == 2
    assert run("split", "x", "--val", "1.5").code == 2
    for command in ("accept", "evaluate", "robustness", "split"):
        assert run(command, "x", "--seed", "-1").code == 2
    assert run("predict", "x.jpg", "--out", "table.xlsx").code == 2
    assert run("train", "x", "--patch-px", "8000").code == 2
    document = run("predict", "--json")
    assert (document.code, document.json["status"]) == (2, "usage")


def test_version(run: Any) -> None:
    assert run("--version").out.startswith("crackscope ")


def test_an_error_is_a_document_too_when_json_is_asked(run: Any, tmp_path: Path) -> None:
    result = run("split", tmp_path / "nothing", "--json")
    assert result.json["status"] == "error"
    assert "no such folder" in result.json["error"]


# The story


def test_split_train_evaluate_predict(
    run: Any, drawn: Path, split_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    run_folder, figures, table = tmp_path / "run", tmp_path / "figures", tmp_path / "predictions.csv"
    trained = run(
        *("train", drawn, "--split", split_file, "--backbone", backbone_file, "--patch-px", 64),
        *("--out", run_folder, "--json"),
    )
    assert trained.code == 0
    assert trained.json["leaky"] is False
    assert sorted(path.name for path in run_folder.iterdir()) == sorted(FILES)
    assert trained.json["test"] == json.loads((run_folder / "metrics.json").read_text())
    model = run_folder / "model.onnx"
    judged = run("evaluate", drawn, "--model", model, "--split", split_file, "--out", figures, "--json")
    assert judged.code == 0
    document = json.loads((figures / "metrics.json").read_text())
    assert set(document["accuracy"]) == {"value", "low", "high"}
    assert judged.json["accuracy"] == document["accuracy"]
    assert document["part"] == "test"
    assert document["n_photos"] == 3
    assert "data:image" in (figures / "report.html").read_text()
    predicted = run("predict", drawn.parent, "--model", model, "--out", table, "--json")
    assert predicted.code == 0
    rows = rows_of(table)
    assert len(rows) == len(read_patches(drawn))
    columns = ("path", "unit", "label", "crack_probability", "threshold", "reason", "model", "error", "page")
    assert tuple(rows[0]) == columns
    assert {row["label"] for row in rows} <= {"crack", "uncracked", "unsure"}


def test_bundle_prints_the_whole_card(run: Any, bundle_file: Path) -> None:
    assert run("bundle", bundle_file, "--json").json["card"]["patch_px"] == 64
    text = run("bundle", bundle_file, "--full").out
    assert "temperature: 2.0" in text
    assert "origin: random numbers" in text


def test_split_writes_a_picture_of_each_class(run: Any, drawn: Path, tmp_path: Path) -> None:
    picture = tmp_path / "samples.png"
    assert run("split", drawn, "--out", tmp_path / "s.csv", "--pictures", picture).code == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


# Leaks


def leaking(split_file: Path, tmp_path: Path) -> Path:
    lines = split_file.read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.endswith(",train"))
    lines[first] = lines[first].replace(",train", ",test")
    path = tmp_path / "leaking.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_inverted_masks_stop_evaluate_unless_that_is_said(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    mask = np.zeros((96, 128), np.uint8)
    mask[:24, :24] = 255
    for name in "ab":
        save(tmp_path / "photos" / f"{name}.png", noise((96, 128)))
        save(tmp_path / "masks" / f"{name}.png", 255 - mask)
    given = ("evaluate", tmp_path / "photos", "--masks", tmp_path / "masks", "--model", bundle_file)
    assert_one_line(run(*given, "--out", tmp_path / "a"), "2 of 2 masks are mostly white", "Give --masks-inverted")
    assert not (tmp_path / "a").exists()
    judged = run(*given, "--masks-inverted", "--out", tmp_path / "b")
    assert judged.code == 0
    assert "this model has no fine map, so cracks are traced by dark ridges in its regions" in judged.err
    wrong = run("evaluate", tmp_path / "photos", "--masks-inverted", "--model", bundle_file)
    assert wrong.code == 2
    assert "--masks" in wrong.err


def test_evaluate_prints_figures_of_lines(run: Any, fine_file: Path, tmp_path: Path) -> None:
    wall = draw_photo(0, photo_hw=(160, 240))
    save(tmp_path / "photos" / "a.png", wall.pixels)
    save(tmp_path / "masks" / "a.png", 255 * wall.mask.astype(np.uint8))
    for name in ("photos/b", "photos/c", "masks/d"):
        save(tmp_path / f"{name}.png", np.zeros((160, 240), np.uint8))
    given = ("evaluate", tmp_path / "photos", "--masks", tmp_path / "masks", "--model", fine_file)
    judged = run(*given, "--out", tmp_path / "a")
    assert judged.code == 0
    assert "no fine map" not in judged.err
    assert "photos/b.png and 1 more: no mask of this name, so left out." in judged.err
    assert "masks/d.png: no photo of this name, so left out." in judged.err
    assert "Lines against the masks     fine map  95 % interval       traced  95 % interval" in judged.out
    assert "Line F1, 2 px" in judged.out
    assert "Line length ratio" in judged.out
    assert "Lines in 1 photo: read this as an anecdote, without intervals." in judged.out
    printed = run(*given, "--out", tmp_path / "a", "--overwrite", "--json").json
    for kind in ("lines", "traced"):
        assert [one["tolerance_px"] for one in printed[kind]["within"]] == [2, 4]


def test_evaluate_tells_how_much_of_joints_is_traced(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    wall = draw_photo(0, photo_hw=(160, 240))
    save(tmp_path / "photos" / "a.png", wall.pixels)
    save(tmp_path / "masks" / "a.png", 255 * wall.mask.astype(np.uint8))
    joints = tmp_path / "joints.csv"
    joints.write_text(
        "photo,joint,point,x,y\na.png,left,1,9,0\na.png,left,2,9,99\nb.png,left,1,0,0\nb.png,left,2,9,9\n"
    )
    given = ("evaluate", tmp_path / "photos", "--model", bundle_file, "--joints", joints)
    judged = run(*given, "--masks", tmp_path / "masks", "--out", tmp_path / "out")
    assert judged.code == 0
    assert f"{joints}: b.png: not judged, so its joints are left out." in judged.err
    assert "Joints traced as cracks" in judged.out
    assert "Joints in 1 photo: read this as an anecdote, without intervals." in judged.out
    wrong = run(*given, "--out", tmp_path / "other")
    assert wrong.code == 2
    assert "--masks" in wrong.err
    joints.write_text("photo,joint,point,x,y\na.png,left,1,9,far\n")
    bad = run(*given, "--masks", tmp_path / "masks", "--out", tmp_path / "other")
    assert_one_line(bad, "row 2: y 'far' is no number", "Give pixels of the photo")


def test_a_leaking_split_is_refused_by_train_and_evaluate(
    run: Any, drawn: Path, split_file: Path, backbone_file: Path, bundle_file: Path, tmp_path: Path
) -> None:
    bad = leaking(split_file, tmp_path)
    trained = run("train", drawn, "--split", bad, "--backbone", backbone_file, "--out", tmp_path / "run")
    assert_one_line(trained, "has patches in both train and test", "--allow-leakage")
    assert not (tmp_path / "run").exists()
    judged = run("evaluate", drawn, "--split", bad, "--model", bundle_file, "--out", tmp_path / "figures")
    assert_one_line(judged, "has patches in both train and test", "--allow-leakage")


def test_figures_of_a_leaking_split_are_marked(
    run: Any, drawn: Path, split_file: Path, bundle_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    bad = leaking(split_file, tmp_path)
    judged = run(
        *("evaluate", drawn, "--split", bad, "--model", bundle_file, "--out", tmp_path / "figures", "--allow-leakage")
    )
    assert judged.code == 0
    figures = [line for line in judged.out.splitlines() if "0." in line]
    assert figures
    assert all("leaky" in line for line in figures)
    assert json.loads((tmp_path / "figures" / "metrics.json").read_text())["leaky"] is True
    trained = run(
        *("train", drawn, "--split", bad, "--backbone", backbone_file, "--patch-px", 64, "--out", tmp_path / "run"),
        "--allow-leakage",
    )
    assert "test (leaky): accuracy" in trained.out
    assert run("bundle", tmp_path / "run" / "model.onnx", "--json").json["card"]["split"]["leaky"] is True


def test_parts_told_by_the_folders_are_checked_too(
    run: Any, drawn: Path, split_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for row in rows_of(split_file):
        place = data / row["part"] / row["label"] / Path(row["path"]).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn.parent / row["path"], place)
    arguments = ("train", data, "--backbone", backbone_file, "--patch-px", 64, "--out")
    assert run(*arguments, tmp_path / "run").code == 0
    model = tmp_path / "run" / "model.onnx"
    judged = run("evaluate", data, "--model", model, "--part", "val", "--out", tmp_path / "figures", "--json")
    assert judged.json["part"] == "val"
    first = next((data / "train" / "crack").iterdir())
    shutil.copy(first, data / "test" / "crack" / f"again-{first.name}")
    assert_one_line(run(*arguments, tmp_path / "run2"), "are the same file", "--allow-leakage")
    refused = run("evaluate", data, "--model", model, "--part", "test", "--out", tmp_path / "more")
    assert_one_line(refused, "are the same file", "--allow-leakage")


def test_what_the_model_was_trained_on_is_not_taken_for_new(
    run: Any, drawn: Path, split_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    assert run("split", drawn, "--val", 0.25, "--test", 0.25, "--seed", 7, "--out", other).code == 0
    trained = run("train", drawn, "--split", other, "--backbone", backbone_file, "--out", tmp_path / "run")
    assert trained.code == 0
    model = tmp_path / "run" / "model.onnx"
    same = run("evaluate", drawn, "--model", model, "--split", other, "--out", tmp_path / "a")
    assert "trained on" not in same.err
    words = ("evaluate", drawn, "--model", model, "--split", split_file, "--out", tmp_path / "b")
    assert_one_line(run(*words), "trained on", "photo-", "--allow-leakage")
    assert not (tmp_path / "b").exists()
    differs = run(*words, "--allow-leakage")
    assert differs.code == 0
    assert "all figures are leaky" in differs.err
    document = json.loads((tmp_path / "b" / "metrics.json").read_text())
    assert document["leaky"] is True
    assert 0 < document["n_seen"] <= document["n_patches"]
    assert "was trained on" in (tmp_path / "b" / "report.html").read_text()
    everything = run("evaluate", drawn, "--model", model, "--out", tmp_path / "c", "--allow-leakage", "--json")
    counted = sum(row["part"] == "train" for row in rows_of(other))
    assert everything.json["n_seen"] == counted
    again = run(
        *("train", drawn, "--split", split_file, "--backbone", model, "--out", tmp_path / "again", "--json"),
    )
    assert "The model was trained on" in again.err or "The model's backbone was trained on" in again.err
    assert again.json["test"]["n_seen_by_backbone"] == document["n_seen"]
    assert again.json["leaky"] is True  # the backbone has seen patches of this test


# Bad input


def test_an_empty_folder(run: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_one_line(run("split", tmp_path / "empty", "--out", tmp_path / "s.csv"), "no images found")
    assert_one_line(run("predict", tmp_path / "empty", "--out", tmp_path / "p.csv"), "no images found")


def test_one_class_only(run: Any, walls: Path, tmp_path: Path) -> None:
    (walls.parent / "labels.csv").unlink()
    shutil.rmtree(walls.parent / "uncracked")
    assert_one_line(run("split", walls.parent, "--by", "random", "--out", tmp_path / "s.csv"), "both labels", "0 uncr")


@pytest.mark.parametrize("by", ["photo", "similarity", "random"])
def test_split_counts_what_is_missing_or_broken(run: Any, walls: Path, by: str, tmp_path: Path) -> None:
    missing, broken = sorted((walls.parent / "crack").iterdir())[3:5]
    missing.unlink()
    broken.write_bytes(broken.read_bytes()[:300])
    found = run("split", walls, "--by", by, "--val", 0.25, "--test", 0.25, "--out", tmp_path / "s.csv", "--json")
    status = "leaks" if by == "random" else "refused"  # leaks are the graver of the two
    assert (found.code, found.json["status"], found.json["n_refused"]) == (3, status, 2)
    assert found.json["first_error"]["path"] == f"crack/{missing.name}"
    assert f"crack/{missing.name}: " in found.err
    assert "(and 1 more)" in found.err
    paths = {row["path"] for row in rows_of(tmp_path / "s.csv")}
    assert len(paths) == len(rows_of(walls)) - 2
    assert not paths & {f"crack/{missing.name}", f"crack/{broken.name}"}


def test_an_unreadable_file_among_many(run: Any, walls: Path, bundle_file: Path, tmp_path: Path) -> None:
    victim = sorted((walls.parent / "crack").iterdir())[3]
    victim.write_bytes(b"%PDF-1.7")
    table = tmp_path / "p.csv"
    result = run("predict", walls.parent, "--model", bundle_file, "--out", table, "--json")
    assert result.code == 3
    assert result.json["status"] == "refused"
    assert result.json["n_refused"] == 1
    rows = {row["path"]: row for row in rows_of(table)}
    refused = rows[f"{walls.parent}/crack/{victim.name}"]
    assert "a PDF" in refused["error"]
    assert refused["label"] == ""
    assert sum(row["error"] == "" for row in rows.values()) == len(rows) - 1


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("path,label\na.jpg,crak\n", ("row 2", "'crak'", "Did you mean 'crack'?")),
        ("path,lable\na.jpg,crack\n", ("no column 'label'", "Did you mean 'lable'?")),
    ],
)
def test_a_wrong_table(run: Any, tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    (tmp_path / "data.csv").write_text(text)
    assert_one_line(run("split", tmp_path / "data.csv", "--out", tmp_path / "s.csv"), "data.csv", *parts)


def test_a_split_of_another_data_set(run: Any, drawn: Path, backbone_file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("path,label,photo,part\nfar/away.jpg,crack,,train\n")
    result = run("train", drawn, "--split", other, "--backbone", backbone_file, "--out", tmp_path / "run")
    assert_one_line(result, "far/away.jpg", "other data", "crackscope split")


@pytest.mark.parametrize("knows_photos", [True, False])
def test_train_without_parts_makes_a_split_says_so_and_keeps_it(
    run: Any, drawn: Path, backbone_file: Path, tmp_path: Path, knows_photos: bool
) -> None:
    index = read_patches(drawn)
    data = tmp_path / "walls.csv"
    photos = {patch.path: patch.photo if knows_photos else "" for patch in index.patches}
    rows = (f"{drawn.parent / patch.path},{patch.label},{photos[patch.path]}\n" for patch in index.patches)
    data.write_text("path,label,photo\n" + "".join(rows))
    out = tmp_path / "run"
    done = run("train", data, "--backbone", backbone_file, "--patch-px", 64, "--out", out)
    assert done.code == 0
    (line,) = [line for line in done.err.splitlines() if "names no parts" in line]
    way = "photo" if knows_photos else "similarity"
    assert ("of a photo" in line) == knows_photos
    assert str(out / "split.csv") in line
    kept = read_split(out / "split.csv")
    assert kept == split(data, by=way)
    told = json.loads((out / "run.json").read_text())["split"]
    assert told == {"by": way, "sha256": kept.sha256(), "n_leaks": 0, "made": True}
    assert f"robustness {data} --model {out / 'model.onnx'} --split {out / 'split.csv'}" in done.out
    assert done.out.startswith("test: accuracy ")
    assert "(always crack " in done.out


def test_a_set_too_small_to_split_is_told_as_split_tells_it(
    run: Any, drawn: Path, backbone_file: Path, tmp_path: Path
) -> None:
    index = read_patches(drawn)
    one = {label: next(patch.path for patch in index.patches if patch.label == label) for label in LABELS}
    rows = (f"{drawn.parent / path},{label},{label}\n" for label, path in one.items())
    (tmp_path / "few.csv").write_text("path,label,photo\n" + "".join(rows))
    result = run("train", tmp_path / "few.csv", "--backbone", backbone_file, "--out", tmp_path / "run")
    assert_one_line(result, "few names no parts", "groups that must stay together", "crackscope split", "--split")
    assert not (tmp_path / "run").exists()


def test_a_head_without_a_test_part_is_judged_on_val_and_says_so(
    run: Any, drawn: Path, backbone_file: Path, tmp_path: Path
) -> None:
    two, out = tmp_path / "two.csv", tmp_path / "run"
    write_split(split(drawn, val=0.25, test=0.0), two)
    done = run("train", drawn, "--split", two, "--backbone", backbone_file, "--patch-px", 64, "--out", out)
    assert "the split has no test part: figures are of val" in done.err
    assert done.out.startswith("val: accuracy ")
    assert done.out.endswith(f"--split {out / 'split.csv'} --part val\n")
    assert sorted(path.name for path in out.iterdir()) == sorted({*FILES} - {"evaluation"})
    assert json.loads((out / "metrics.json").read_text())["part"] == "val"


def test_what_a_made_split_leaves_out_is_refused_with_its_reason(
    run: Any, drawn: Path, backbone_file: Path, tmp_path: Path
) -> None:
    """By similarity, a patch that cannot be read looks like nothing, and is in no part."""
    index = read_patches(drawn)
    for patch in index.patches:
        place = tmp_path / "walls" / patch.label / Path(patch.path).name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(drawn.parent / patch.path, place)
    (tmp_path / "walls" / "crack" / "broken.jpg").write_bytes(b"%PDF-1.7")
    out = tmp_path / "run"
    done = run("train", tmp_path / "walls", "--backbone", backbone_file, "--patch-px", 64, "--out", out, "--json")
    assert (done.code, done.json["n_refused"], done.json["run"]["data"]["n_refused"]) == (3, 1, 1)
    assert "crack/broken.jpg: " in done.err


def test_a_missing_model_and_a_foreign_one(run: Any, drawn: Path, tmp_path: Path) -> None:
    missing = run("predict", drawn.parent, "--model", tmp_path / "no.onnx", "--out", tmp_path / "p.csv")
    assert_one_line(missing, "no.onnx", "No such file")
    (tmp_path / "text.onnx").write_text("hello")
    foreign = run("predict", drawn.parent, "--model", tmp_path / "text.onnx", "--out", tmp_path / "p.csv")
    assert_one_line(foreign, "text.onnx", "not an ONNX file")


def test_overwriting_never_costs_anybody_a_file(
    run: Any, walls: Path, split_file: Path, backbone_file: Path, bundle_file: Path, tmp_path: Path
) -> None:
    before = sorted(walls.parent.rglob("*"))
    for command in (
        ("train", walls, "--split", split_file, "--backbone", backbone_file),
        ("evaluate", walls, "--model", bundle_file),
        ("demo",),
    ):
        assert_one_line(run(*command, "--out", walls.parent, "--overwrite"), "'crack'", "does not replace it")
    assert sorted(walls.parent.rglob("*")) == before
    assert run("train", walls, "--split", split_file, "--backbone", backbone_file, "--out", tmp_path / "run").code == 0
    again = ("train", walls, "--split", split_file, "--backbone", backbone_file, "--out", tmp_path / "run")
    assert_one_line(run(*again), "exists", "--overwrite")
    assert run(*again, "--overwrite").code == 0


def test_what_exists_is_not_overwritten(run: Any, drawn: Path, bundle_file: Path, tmp_path: Path) -> None:
    table = tmp_path / "p.csv"
    table.write_text("mine")
    refused = run("predict", drawn.parent, "--model", bundle_file, "--out", table)
    assert_one_line(refused, "p.csv exists", "--overwrite")
    assert table.read_text() == "mine"
    assert run("predict", drawn.parent, "--model", bundle_file, "--out", table, "--overwrite").code == 0
    assert table.read_text().startswith("path,")


@pytest.mark.parametrize(("number", "words"), [(errno.ENOSPC, "no space left"), (errno.EROFS, "not allowed to write")])
def test_a_full_disk_and_a_read_only_one(
    run: Any, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refuse(self: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(number, os.strerror(number), str(self))

    monkeypatch.setattr(Path, "write_bytes", refuse)  # the disk is imitated: root may write anywhere
    result = run("split", drawn, "--out", tmp_path / "s.csv")
    monkeypatch.undo()
    assert_one_line(result, words, "s.csv")
    assert list(tmp_path.iterdir()) == []


def test_unicode_and_very_long_names(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    import cv2

    folder = tmp_path / "fotos – Brücke № 7 桥"
    folder.mkdir()
    names = ["ü" * 100 + ".jpg", "裂缝 裂縫.png", 'a,b;"c".jpg']
    for i, name in enumerate(names):
        content = cv2.imencode(Path(name).suffix, draw_patch(i, side_px=96).pixels)[1].tobytes()
        (folder / name).write_bytes(content)
    table = tmp_path / "p.csv"
    assert run("predict", folder, "--model", bundle_file, "--out", table).code == 0
    assert sorted(Path(row["path"]).name for row in rows_of(table)) == sorted(names)


def test_a_symlink_loop_ends(run: Any, walls: Path, bundle_file: Path, tmp_path: Path) -> None:
    (walls.parent / "crack" / "loop").symlink_to(walls.parent, target_is_directory=True)
    result = run("predict", walls.parent, "--model", bundle_file, "--out", tmp_path / "p.csv", "--json")
    assert result.code == 0
    assert result.json["n_images"] == len(read_patches(walls))


def test_a_photo_is_never_squashed(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    import cv2

    from crackscope.scanning.loaded_model import load

    cv2.imwrite(str(tmp_path / "photo.png"), draw_patch(0, side_px=600).pixels)
    result = run("predict", tmp_path / "photo.png", "--model", bundle_file, "--out", tmp_path / "p.csv")
    assert result.code == 0
    (row,) = rows_of(tmp_path / "p.csv")
    assert (row["unit"], row["error"]) == ("photo", "")
    found = load(bundle_file).scan(tmp_path / "photo.png")
    assert float(row["crack_probability"]) == pytest.approx(found.crack_probability, abs=1e-6)


def started(command: list[str]) -> subprocess.Popen[str]:
    """A child that heeds Ctrl-C even where this process was started with it ignored, as shells do in the background."""
    return subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to a child works otherwise on Windows")
def test_ctrl_c_says_so_and_loses_nothing(drawn: Path, bundle_file: Path, tmp_path: Path) -> None:
    table, many = tmp_path / "p.csv", [str(drawn.parent)] * 60
    command = [sys.executable, "-m", "crackscope", "predict", *many, "--model", str(bundle_file), "--out", str(table)]
    child = started(command)
    journal = tmp_path / ".p.csv.journal"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 20):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not table.exists()
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(again.stdout)
    assert document["n_resumed"] > 0
    assert document["n_images"] == 60 * len(read_patches(drawn))


# Scan


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    import cv2

    folder = tmp_path / "photos"
    folder.mkdir()
    for i in range(3):
        cv2.imwrite(str(folder / f"wall {i}.png"), draw_photo(i, photo_hw=(150, 300)).pixels)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_scan_writes_a_folder_and_says_what_it_found(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "scan"
    result = run("scan", photos, "--model", bundle_file, "--out", out)
    assert result.code == 0
    first, traced, last = result.out.splitlines()
    rows = rows_of(out / "photos.csv")
    counts = Counter(row["verdict"] for row in rows)
    assert first == "3 photos: " + ", ".join(f"{n} {verdict}" for verdict, n in sorted(counts.items()))
    assert re.fullmatch(r"[\d,]+ cracks? traced(, [\d,]+ px long in all)?", traced)
    assert last == f"report: {out / 'report.html'}"
    assert result.err == ""
    assert names(out) == [
        *("cells", "cracks.csv", "cracks.json", "maps", "overlays"),
        *("photos.csv", "regions.json", "report.html", "thumbs"),
    ]
    assert len(rows) == len(names(out / "maps")) == len(names(out / "overlays")) == 3


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["scan", "x", "--mm-per-px", "0,3"], "it must be a number, written with a point, such as 0.3"),
        (["scan", "x", "--threads", "0"], "it must be at least 1"),
        (["scan", "x", "--threads", "two"], "it must be a whole number"),
        (["accept", "x", "--min-recall", "90"], "it must be at most 1"),
        (["scan", "x", "--maps", "gif"], "'gif' is not one of 'png', 'npz'"),
        (["train", "x", "--seed", "-1"], "it must be at least 0"),
    ],
)
def test_a_value_that_an_option_does_not_take_is_explained_in_plain_words(
    command: list[str], words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["crackscope", *command])
    with pytest.raises(SystemExit) as left:
        main()
    told = " ".join(capsys.readouterr().err.split())
    assert left.value.code == 2
    assert words in told
    assert "Input should be" not in told
    assert "Value error" not in told


def test_scan_draws_lines_where_they_are_asked_for(
    run: Any, photos: Path, fine_file: Path, bundle_file: Path, tmp_path: Path
) -> None:
    from crackscope.scanning.crack_map import CrackMap

    words = ("scan", photos, "--model", fine_file, "--maps", "npz")
    assert run(*words, "--out", tmp_path / "plain").code == 0
    assert run(*words, "--out", tmp_path / "fine", "--fine-map").code == 0
    files = sorted(path.relative_to(tmp_path / "fine") for path in (tmp_path / "fine").rglob("*") if path.is_file())
    assert files == sorted(
        path.relative_to(tmp_path / "plain") for path in (tmp_path / "plain").rglob("*") if path.is_file()
    )
    for file in (file for file in files if file.suffix == ".npz"):
        fine, plain = (CrackMap.load(tmp_path / name / file) for name in ("fine", "plain"))
        assert fine.fine is not None
        assert plain.fine is None
        np.testing.assert_allclose(fine.logits, plain.logits, atol=1e-5)
    refused = run("scan", photos, "--model", bundle_file, "--fine-map", "--out", tmp_path / "none")
    assert (refused.code, (tmp_path / "none").exists()) == (1, False)
    assert (
        "tiny: the model has no fine map. Scan without one, or with a model whose card has 'fine_map'." in refused.err
    )


def test_scan_says_the_same_as_one_document(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    result = run("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan", "--json")
    assert result.code == 0
    document = result.json
    assert list(document) == [
        *("status", "out", "model", "n_photos", "n_refused", "n_resumed", "verdicts", "first_error"),
        *("n_cracks", "crack_length_px", "crack_length_mm", "scales", "n_scale_warnings", "first_scale_warning"),
    ]
    assert (document["scales"], document["n_scale_warnings"], document["first_scale_warning"]) == ({"none": 3}, 0, None)
    assert (document["status"], document["out"]) == ("done", str(tmp_path / "scan"))
    assert document["model"].startswith("tiny@")
    assert (document["n_photos"], document["n_refused"], document["n_resumed"]) == (3, 0, 0)
    assert sum(document["verdicts"].values()) == 3
    assert document["first_error"] is None


def test_scan_traces_the_photos_that_are_asked_for(run: Any, photos: Path, tmp_path: Path) -> None:
    model = Path(__file__).parents[1] / "trained" / "lines.onnx"
    words = ("scan", photos, "--model", model, "--json", "--mm-per-px", "0.5")
    found, named, every, none = (
        run(*words, "--out", tmp_path / f"scan {i}", *options).json
        for i, options in enumerate(([], ["--trace", "found"], ["--trace", "all"], ["--maps-only"]))
    )
    assert found["n_cracks"] > 0
    assert found["crack_length_px"] > 50
    assert found["crack_length_mm"] == pytest.approx(0.5 * found["crack_length_px"])
    for other in (named, every):  # what --trace all adds does not count
        assert {**other, "out": ""} == {**found, "out": ""}
    assert (none["n_cracks"], none["crack_length_px"], none["crack_length_mm"]) == (None, None, None)
    assert none["verdicts"] == found["verdicts"]


def test_scan_with_nothing_said_takes_the_default_model_and_the_folder_scan(
    run: Any, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from crackscope.model.bundle import read_bundle

    monkeypatch.chdir(photos)
    assert run("scan", "wall 0.png").out.endswith(f"report: {Path('scan') / 'report.html'}\n")
    (row,) = rows_of(Path("scan/photos.csv"))
    assert (row["path"], row["width_px"], row["height_px"]) == ("wall 0.png", "300", "150")
    assert json.loads(Path("scan/regions.json").read_text())["model"].startswith(f"{read_bundle().card.name}@")


@pytest.mark.parametrize("command", ["accept", "evaluate", "predict", "robustness", "scan"])
def test_precision_chooses_the_default_bundle_and_checks_another(
    run: Any, command: str, photos: Path, bundle_file: Path, tmp_path: Path
) -> None:
    told = " ".join(run(command, "--help").out.split())
    assert "--precision" in told
    assert run(command, photos, "--precision", "int4").code == 2
    refused = run(command, photos, "--model", bundle_file, "--precision", "int8", "--out", tmp_path / "none.csv")
    assert_one_line(refused, f"{bundle_file}: it is fp32, and int8 was asked for.")


def test_predict_and_scan_use_the_rounded_default_bundle(run: Any, photos: Path, tmp_path: Path) -> None:
    for command, out in (("predict", "p.csv"), ("scan", "scan")):
        found = run(command, photos, "--precision", "int8", "--out", tmp_path / out, "--json")
        assert found.json["model"].startswith("default-int8@")


def test_help_of_scan_and_predict_tells_the_rules_of_the_default_model(run: Any) -> None:
    from crackscope.model.bundle import read_bundle
    from crackscope.model.preprocessing import MAX_ASPECT
    from crackscope.scanning.prediction import MAX_PATCH
    from crackscope.scanning.scanner import SMALL_PX

    card = read_bundle().card
    told = " ".join(run("scan", "--help").out.split())
    assert f"({card.patch_px / card.source_px:g} for the default model)" in told
    assert f"below a shorter side of {SMALL_PX:,} px; a smaller one is scanned at its own size" in told
    told = " ".join(run("predict", "--help").out.split())
    assert f"({MAX_PATCH * card.source_px:.0f} px for the default model)" in told
    assert f"at most {MAX_ASPECT} times the shorter" in told


def test_a_refused_photo_among_many_is_3_and_told(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    (photos / "paper.jpg").write_bytes(b"%PDF-1.7")
    (photos / "zero.jpg").write_bytes(b"")
    command = ("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan")
    result = run(*command)
    assert result.code == 3
    assert result.out.splitlines()[0].endswith(", 2 refused")
    assert result.err.startswith(f"{photos / 'paper.jpg'}: not an image that can be read: it begins like a PDF")
    assert result.err.endswith("(and 1 more, see photos.csv)\n")
    assert len(result.err.splitlines()) == 1
    rows = rows_of(tmp_path / "scan" / "photos.csv")
    assert [bool(row["error"]) for row in rows] == [False, False, False, True, True]
    document = run(*command, "--overwrite", "--json")
    assert (document.code, document.json["status"], document.json["n_refused"]) == (3, "refused", 2)
    assert document.json["first_error"] == {"path": str(photos / "paper.jpg"), "reason": rows[3]["error"]}
    alone = run("scan", photos / "zero.jpg", "--model", bundle_file, "--out", tmp_path / "alone")
    assert (alone.code, alone.err) == (3, f"{photos / 'zero.jpg'}: the file is empty\n")
    assert alone.out.startswith("1 photo: nothing scanned, 1 refused\n")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        *((["--scale", value], "neither auto nor a number above 0") for value in ("0", "big", "nan", "inf", "")),
        (["--scale=-1"], "neither auto nor a number above 0"),
        *(
            ([f"--mm-per-px={value}"], "must lie between 0.001 and 100")
            for value in ("0", "-0.5", "nan", "inf", "1e-9", "1e9")
        ),
        (["--mm-per-px", "wide"], "--mm-per-px"),
        (["--uncertainty-mm-per-px", "0.1"], "it belongs to --mm-per-px; give that too"),
        (["--mm-per-px", "1", "--uncertainty-mm-per-px=-1"], "must not be below 0"),
        (["--reference", "1,2,3=4"], "write X0,Y0,X1,Y1=MM"),
        (["--reference", "5,5,5,5=10"], "the two points are 0 px apart"),
        (["--marker", "50"], "write DICT:SIDE_MM"),
        (["--marker", "APRILTAG_36h10x:50"], "Did you mean 'apriltag_36h10'?"),
        (["--marker", "4X4_50:0"], "must lie between 1 and 10,000 mm"),
        (["--threads", "0"], "--threads"),
        (["--max-megapixels", "0"], "--max-megapixels"),
        *((["--maps", value], "--maps") for value in ("jpg", "", "png,npz")),
        (["--trace", "some"], "'some' is not one of 'found', 'all'"),
        *((["--maps-only", "--trace", value], "it traces no lines; leave out --trace") for value in ("found", "all")),
    ],
)
def test_a_wrong_option_of_scan_is_wrong_usage(
    run: Any, photos: Path, bundle_file: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    result = run("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan", *options, "--json")
    assert (result.code, result.json["status"]) == (2, "usage")
    assert words in result.json["error"] or words in " ".join(result.err.split())
    assert "Traceback" not in result.err
    assert names(tmp_path) == ["photos"]


def test_a_scale_that_is_said_is_taken(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    for scale, expected in (("0.5", 0.5), ("auto", 1.0)):
        out = tmp_path / scale
        assert run("scan", photos, "--model", bundle_file, "--out", out, "--scale", scale).code == 0
        assert {float(row["network_scale"]) for row in rows_of(out / "photos.csv")} == {expected}


def test_millimetres_are_told_and_change_nothing_else(
    run: Any, photos: Path, backbone_file: Path, tmp_path: Path
) -> None:
    import numpy as np

    head = Head(np.ones((1, 16), np.float32), np.zeros(1, np.float32), temperature=2.0)
    write_model(compose(read_backbone(backbone_file), head, tiny_card(mm_per_px=0.5)), tmp_path / "mm.onnx")
    documents, cracks = [], []
    for out, options in ((tmp_path / "without", []), (tmp_path / "with", ["--mm-per-px", "0.2"])):
        result = run("scan", photos, "--model", tmp_path / "mm.onnx", "--out", out, *options)
        assert result.code == 0
        documents.append(json.loads((out / "regions.json").read_text())["photos"])
        cracks.append(json.loads((out / "cracks.json").read_text())["photos"])
    assert "scale: 3 as given\n" in result.out
    told = {
        (row["network_scale"], row["mm_per_px"], row["scale_source"]) for row in rows_of(tmp_path / "with/photos.csv")
    }
    assert told == {("1", "0.2", "given")}
    scale: dict[str, Any] = {
        "mm_per_px": 0.2,
        "uncertainty_mm_per_px": None,
        "source": "given",
        "points_xy_px": [],
        "plane": None,
    }
    assert [photo.pop("scale") for photo in documents[1]] == [scale] * 3
    assert [photo.pop("scale") for photo in documents[0]] == [None] * 3
    assert documents[0] == documents[1]
    lines = [[crack.pop("mm") for photo in photos for crack in photo["cracks"]] for photos in cracks]
    assert lines[0] == [None] * len(lines[1])
    assert None not in lines[1]
    in_order = [{photo["path"]: photo["cracks"] for photo in photos} for photos in cracks]
    assert in_order[0] == in_order[1]
    for kind in ("maps", "cells"):
        for picture in (tmp_path / "without" / kind).iterdir():
            assert picture.read_bytes() == (tmp_path / "with" / kind / picture.name).read_bytes()


def test_scan_says_of_each_photo_what_python_says(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    import crackscope

    (photos / "paper.jpg").write_bytes(b"%PDF-1.7")
    out = tmp_path / "scan"
    assert run("scan", photos, "--model", bundle_file, "--out", out, "--scale", "0.75").code == 3
    model = crackscope.load(bundle_file)
    found = {result.path: result for result in crackscope.scan(photos, model, network_scale=0.75)}
    document = json.loads((out / "regions.json").read_text(encoding="utf-8"))
    assert (document["schema_version"], document["model"]) == (1, model.name)
    assert len(found) == len(document["photos"]) == 4
    for photo, row in zip(document["photos"], rows_of(out / "photos.csv"), strict=True):
        result = found[row["path"]]
        told = json.loads(json.dumps(result.to_dict()))
        del told["cracks"]  # they have a file of their own
        assert photo == told
        assert (row["verdict"], row["error"]) == (result.verdict or "", result.error or "")
        if result.error is None:
            assert photo | {"cracks": []} == json.loads(
                json.dumps(replace(model.scan(row["path"], network_scale=0.75), cracks=()).to_dict())
            )
            for name in ("crack_probability", "network_scale"):
                assert row[name] == f"{getattr(result, name):.6g}"
            for name in ("width_px", "height_px"):
                assert row[name] == str(getattr(result, name))
            assert row["n_regions"] == str(len(result.regions))


def test_scan_keeps_maps_that_python_reads(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    import numpy as np

    import crackscope

    command = ("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan")
    assert run(*command, "--maps", "png").code == 0
    assert names(tmp_path / "scan" / "maps") == [f"wall {i}.png" for i in range(3)]
    assert run(*command, "--maps", "npz", "--overwrite").code == 0
    assert names(tmp_path / "scan" / "maps") == [f"wall {i}.{kind}" for i in range(3) for kind in ("npz", "png")]
    model = crackscope.load(bundle_file)
    for i in range(3):
        found = crackscope.CrackMap.load(tmp_path / "scan" / "maps" / f"wall {i}.npz")
        expected = model.scan(photos / f"wall {i}.png").map
        assert expected is not None
        np.testing.assert_array_equal(found.logits, expected.logits)
        assert (found.path, found.regions()) == (expected.path, expected.regions())
    assert run(*command, "--overwrite").code == 0
    assert names(tmp_path / "scan" / "maps") == [f"wall {i}.png" for i in range(3)]


def test_a_scan_does_not_replace_what_exists_unasked_nor_what_it_did_not_write(
    run: Any, photos: Path, bundle_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "scan"
    command = ("scan", photos, "--model", bundle_file, "--out", out)
    assert run(*command).code == 0
    before = (out / "photos.csv").read_bytes()
    assert_one_line(run(*command), f"{out} exists", "--overwrite")
    assert run(*command, "--overwrite").code == 0
    assert (out / "photos.csv").read_bytes() == before
    (out / "notes.txt").write_text("precious")
    assert_one_line(run(*command, "--overwrite"), "'notes.txt'", "does not replace it")
    assert (out / "notes.txt").read_text() == "precious"
    assert_one_line(run(*command[:-1], photos, "--overwrite"), "'wall 0.png'", "does not replace it")
    assert names(tmp_path) == ["photos", "scan"]


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A folder with places that hold no image."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "notes.txt").write_text("notes")
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    (tmp_path / "list.csv").write_text("path,label\na.jpg,crack\nb.jpg,uncracked\n")
    return tmp_path


LABELLED = ("accept", "audit", "evaluate", "export", "robustness", "split", "train", "transfer")
"""Commands that take labelled patches."""

NOTHING = ("gone.jpg", "gone/", "gone.zip", "gone.csv", "empty", "texts", "empty.zip", "*.jpg")


@pytest.mark.parametrize("inputs", [*((one,) for one in (*NOTHING, "list.csv")), (*NOTHING, "list.csv")], ids="+".join)
@pytest.mark.parametrize("command", ["predict", "scan"])
def test_inputs_without_an_image_are_one_line_and_nothing_is_written(
    run: Any, nowhere: Path, bundle_file: Path, command: str, inputs: tuple[str, ...]
) -> None:
    before = sorted(nowhere.rglob("*"))
    given = [f"{nowhere}/{one}" for one in inputs]
    result = run(command, *given, "--model", bundle_file, "--out", nowhere / "out.csv", "--json")
    assert_one_line(result, str(nowhere), "Check the path")
    assert result.json["status"] == "error"
    assert sorted(nowhere.rglob("*")) == before


@pytest.mark.parametrize("absent", [*NOTHING, "list.csv"])
@pytest.mark.parametrize("command", ["predict", "scan"])
def test_an_input_without_an_image_among_others_is_a_refused_row(
    run: Any, nowhere: Path, photos: Path, bundle_file: Path, command: str, absent: str
) -> None:
    given = [f"{nowhere}/{absent}", photos / "wall 0.png"]
    result = run(command, *given, "--model", bundle_file, "--out", nowhere / "out.csv", "--json")
    n = 2 if absent == "list.csv" else 1
    assert (result.code, result.json["status"], result.json["n_refused"]) == (3, "refused", n)
    rows = rows_of(nowhere / "out.csv" / "photos.csv" if command == "scan" else nowhere / "out.csv")
    assert sum(bool(row["error"]) for row in rows) == n
    assert len(rows) == n + 1


@pytest.mark.parametrize("data", [*NOTHING, "list.csv"])
@pytest.mark.parametrize(
    "command", ["accept", "audit", "evaluate", "export", "robustness", "split", "train", "transfer"]
)
def test_data_without_an_image_is_one_line_and_nothing_is_written(
    run: Any, nowhere: Path, monkeypatch: pytest.MonkeyPatch, command: str, data: str
) -> None:
    monkeypatch.chdir(nowhere)
    before = sorted(nowhere.rglob("*"))
    assert_one_line(run(command, *[f"{nowhere}/{data}"] * (1 + (command == "transfer")), "--out", nowhere / "out.csv"))
    assert sorted(nowhere.rglob("*")) == before


@pytest.mark.parametrize("command", LABELLED)
def test_help_of_commands_that_take_labelled_patches_lists_the_class_names(run: Any, command: str) -> None:
    told = " ".join(run(command, "--help").out.replace("│", " ").split())
    for name in (*CRACK_NAMES, *UNCRACKED_NAMES):
        assert name in told
    for option in ("--crack", "--uncracked"):
        assert f"{option} NAME" in told


def test_odd_class_names_are_settled_by_options(run: Any, walls: Path, bundle_file: Path, tmp_path: Path) -> None:
    odd = walls.read_text().replace(",uncracked,", ",Beton,").replace(",crack,", ",Riss,")
    walls.write_text(odd)
    assert_one_line(run("split", walls, "--out", tmp_path / "s.csv"), "'Riss'", "--crack 'Beton'", "'Beton'")
    own = ["--crack", "Riss", "--uncracked", "Beton"]
    split = run("split", walls, *own, "--val", 0.25, "--test", 0.25, "--out", tmp_path / "s.csv")
    assert (split.code, split.err) == (0, run("split", walls, *own, "--out", tmp_path / "t.csv").err)
    assert {row["label"] for row in rows_of(tmp_path / "s.csv")} == {"crack", "uncracked"}
    for command in ("evaluate", "robustness"):
        given = [walls, *own, "--split", tmp_path / "s.csv", "--model", bundle_file]
        assert run(command, *given, "--out", tmp_path / command).code == 0
    accepted = run("accept", walls, *own, "--model", bundle_file, "--out", tmp_path / "accept", "--json")
    assert accepted.code in (0, 3)
    assert "--crack Riss --uncracked Beton" in (tmp_path / "accept" / "report.html").read_text(encoding="utf-8")


def test_nothing_to_scan_is_one_line(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run("scan", tmp_path / "empty", "--model", bundle_file, "--out", tmp_path / "scan")
    assert_one_line(result, "no images found")
    assert_one_line(run("scan", tmp_path / "x", "--model", tmp_path / "no.onnx"), "no.onnx", "No such file")
    assert run("scan").code == 2
    assert names(tmp_path) == ["empty"]


def test_a_scan_with_a_full_disk_is_one_line_and_goes_on(
    run: Any, photos: Path, bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    command = ("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan", "--threads", 1)
    with monkeypatch.context() as patched:
        patched.setattr("crackscope.reports.scan_folder.write_scan_report", refuse)
        assert_one_line(run(*command), "no space left on the disk", "scan")
    assert not (tmp_path / "scan").exists()
    result = run(*command, "--json")
    assert (result.code, result.json["n_resumed"]) == (0, 3)
    assert result.err == "3 photos had been done before\n"
    assert names(tmp_path) == ["photos", "scan"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT to a child works otherwise on Windows")
def test_ctrl_c_of_a_scan_says_so_and_loses_nothing(photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    out, many = tmp_path / "scan", [str(photos)] * 40
    command = [sys.executable, "-m", "crackscope", "scan", *many, "--model", str(bundle_file), "--out", str(out)]
    child = started([*command, "--json"])
    journal = tmp_path / ".scan.part" / ".photos.journal"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    child.send_signal(signal.SIGINT)
    told, err = child.communicate(timeout=60)
    assert child.returncode == 130
    assert json.loads(told)["status"] == "interrupted"
    assert "Run the same command again" in err
    assert "Traceback" not in err
    assert not out.exists()
    again = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(again.stdout)
    assert document["n_resumed"] > 0
    assert document["n_photos"] == 120
    assert names(tmp_path) == ["photos", "scan"]


def test_predict_says_of_a_photo_what_scan_says(run: Any, photos: Path, bundle_file: Path, tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(photos / "patch.png"), draw_patch(5, side_px=96).pixels)
    (photos / "paper.png").write_bytes(b"%PDF-1.7")
    command = ("predict", photos, "--model", bundle_file, "--out", tmp_path / "p.csv", "--json")
    predicted = run(*command)
    assert (predicted.code, predicted.json["n_images"], predicted.json["n_refused"]) == (3, 5, 1)
    assert run("scan", photos, "--model", bundle_file, "--out", tmp_path / "scan").code == 3
    scanned = {row["path"]: row for row in rows_of(tmp_path / "scan" / "photos.csv")}
    rows = rows_of(tmp_path / "p.csv")
    assert [row["unit"] for row in rows] == ["", "patch", "photo", "photo", "photo"]
    for row in rows[2:]:
        same = scanned[row["path"]]
        assert row["label"] == same["verdict"]
        assert float(row["crack_probability"]) == pytest.approx(float(same["crack_probability"]), rel=1e-5)
        assert float(row["threshold"]) == 0.5
    assert sum(predicted.json["labels"].values()) == 4
    alone = run(*command[:1], photos / "wall 1.png", *command[2:], "--overwrite")
    assert alone.code == 0
    assert rows_of(tmp_path / "p.csv") == [rows[3]]  # neither the order nor the company changes a photo's row


def test_predict_refuses_of_photos_what_scan_refuses(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    import cv2
    import numpy as np

    place = tmp_path / "photos"
    place.mkdir()
    cv2.imwrite(str(place / "strip.png"), np.zeros((3, 700, 3), np.uint8))
    cv2.imwrite(str(place / "large.png"), np.zeros((300, 400, 3), np.uint8))
    for command, out, table in (("predict", "p.csv", "p.csv"), ("scan", "scan", "scan/photos.csv")):
        found = run(
            *(command, place, "--model", bundle_file, "--out", tmp_path / out, "--max-megapixels", 0.1, "--json")
        )
        assert (found.code, found.json["n_refused"]) == (3, 2)
        errors = {Path(row["path"]).name: row["error"] for row in rows_of(tmp_path / table)}
        assert "700×3 px is too small" in errors["strip.png"]
        assert "above the limit of 0.1" in errors["large.png"]


# Pipes


def test_a_closed_pipe_is_no_error(bundle_file: Path) -> None:
    command = f"{sys.executable} -m crackscope bundle {bundle_file} | head -1"
    found = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert "Traceback" not in found.stderr
