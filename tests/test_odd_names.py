"""A file may be called anything: every table that a command writes gives its name back."""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import crackscope
from crackscope.cli import main
from crackscope.data.patches import read_patches
from crackscope.data.splits import read_split
from crackscope.files.output import write_text
from crackscope.files.tables import TableForm, read_table, table_text
from crackscope.measuring.evaluation import evaluate_predictions
from crackscope.reports import acceptance_report
from crackscope.reports.audit_report import FILES_APART

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows takes no such names")

ODD = [
    *("carriage\rreturn.jpg", "new\nline.jpg", "both\r\nof them.jpg", 'say "crack", loudly.jpg', " blanks .jpg"),
    *("tab\t.jpg", "=1+1.jpg", "'quoted'.jpg", '"open.jpg', "@cmd.jpg"),
]


LABELS = TableForm(("path", "label", "photo"))


def run(*words: object) -> int:
    """Run a command; its exit code."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sys, "argv", ["crackscope", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            main()
    return int(left.value.code or 0)


@pytest.fixture(scope="module")
def walls(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the drawn walls in which some files have odd names."""
    folder = tmp_path_factory.mktemp("odd") / "walls"
    shutil.copytree(drawn.parent, folder)
    rows = [(row["path"], row["label"], row["photo"]) for row in read_table(drawn, LABELS)]
    for i, name in enumerate(ODD):
        path, label, photo = rows[i]
        rows[i] = (f"{label}/{name}", label, photo)
        (folder / path).rename(folder / rows[i][0])
    (folder / "labels.csv").write_bytes(table_text(LABELS.required, rows).encode())
    return folder


@pytest.fixture(scope="module")
def split_file(walls: Path) -> Path:
    path = walls.parent / "split.csv"
    assert run("split", walls, "--val", 0.25, "--test", 0.25, "--out", path) == 0
    return path


def column_of(table: Path, column: str) -> list[str]:
    """What stands in a column, by our reader; Python's own finds the same."""
    cells = [row[column] for row in read_table(table, TableForm((column,)))]
    with table.open(encoding="utf-8", newline="") as file:
        assert [row[column] for row in csv.DictReader(file, strict=True)] == cells
    return cells


def names_of(table: Path) -> set[str]:
    return {Path(path).name for path in column_of(table, "path")}


def test_tables_of_labels(walls: Path, split_file: Path) -> None:
    assert {Path(path).name for path in read_patches(walls).paths} >= set(ODD)
    assert {Path(patch.path).name for patch in read_split(split_file).patches} >= set(ODD)
    assert names_of(split_file) >= set(ODD)


@pytest.mark.parametrize(("command", "table"), [("predict", "."), ("scan", "photos.csv")])
def test_predictions_and_scans(command: str, table: str, walls: Path, bundle_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert run(command, walls, "--model", bundle_file, "--out", out) in (0, 3)
    assert names_of(out / table) >= set(ODD)


def test_an_acceptance(tmp_path: Path) -> None:
    sample = evaluate_predictions(
        np.arange(len(ODD)) % 2,
        np.linspace(0, 1, len(ODD)),
        paths=ODD,
        photos=ODD,
        threshold=0.5,
        unsure_band=(0.5, 0.5),
        dataset="walls",
        model="tiny",
        model_sha256="ab" * 32,
        n_resamples=10,
    )
    found = crackscope.Acceptance(sample, 0.9, 0.1, "undecided", None, None, {}, {"adapted_head": "too few photos"})
    write_text(tmp_path / "acceptance.csv", acceptance_report._table(found))
    assert column_of(tmp_path / "acceptance.csv", "path") == ODD
    assert column_of(tmp_path / "acceptance.csv", "photo") == ODD


def test_an_audit_and_the_cleaned_index(walls: Path, split_file: Path, tmp_path: Path) -> None:
    shutil.copytree(walls, tmp_path / "walls")
    torn, kept = ODD[:2], ODD[2:]
    for path in (tmp_path / "walls").rglob("*.jpg"):
        if path.name in torn:
            path.write_bytes(b"")
    clean = tmp_path / "clean.csv"
    assert run("audit", tmp_path / "walls", "--out", tmp_path / "audit", "--clean", clean) == 3
    for column in ("files", "left_out"):
        cells = column_of(tmp_path / "audit" / "audit.csv", column)
        assert {Path(path).name for cell in cells for path in cell.split(FILES_APART)} >= set(torn)
    names = {Path(path).name for path in read_patches(clean).paths}
    assert (names & set(ODD), names_of(clean)) == (set(kept), names)


def test_an_evaluation_and_a_comparison_of_runs(
    walls: Path, split_file: Path, backbone_file: Path, tmp_path: Path
) -> None:
    first, second = tmp_path / "carriage\rreturn and new\nline", tmp_path / "other"
    assert (
        run("train", walls, "--split", split_file, "--backbone", backbone_file, "--patch-px", 64, "--out", first) == 0
    )
    model, judged = first / "model.onnx", first / "evaluation"
    options = (
        "--split",
        split_file,
        "--part",
        "train",
        "--model",
        model,
        "--out",
        judged,
        "--overwrite",
        "--allow-leakage",
    )
    assert run("evaluate", walls, *options) == 0
    assert names_of(judged / "predictions.csv") >= set(ODD)
    shutil.copytree(first, second)
    assert run("compare", first, second, "--skip-speed", "--out", tmp_path / "out") == 3
    table = tmp_path / "out" / "comparison.csv"
    assert column_of(table, "name") == [first.name, "other"]
    assert column_of(table, "folder") == [str(first), str(second)]
