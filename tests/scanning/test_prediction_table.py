import csv
import itertools
import json
import random
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from crackscope.errors import MissingExtraError, OutputError
from crackscope.files import journal as journal_module
from crackscope.files.inputs import list_images
from crackscope.scanning import prediction_table
from crackscope.scanning.prediction import load
from crackscope.scanning.prediction_table import COLUMNS, predict_to_file

FORMATS = (".csv", ".jsonl", ".parquet")


@pytest.fixture(scope="module")
def model(bundle_file):
    return load(bundle_file, threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """27 patches of two sizes, three of them unreadable."""
    place = tmp_path_factory.mktemp("patches")
    for i in range(27):
        pixels = np.random.default_rng(i).integers(0, 256, (64 + 32 * (i % 2), 96, 3), dtype=np.uint8)
        (place / f"{i:02}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    for i in (3, 17, 26):
        (place / f"{i:02}.png").write_bytes(b"%PDF-1.7")
    return place


@pytest.fixture
def images(folder):
    return list_images([folder])


def read_rows(path):
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    return pyarrow.parquet.read_table(path).to_pylist()


def journal_of(out):
    return out.with_name(f".{out.name}.journal")


def stopping_after(images, n_read):
    """The images, of which the one after so many raises what a Ctrl-C would."""
    count = itertools.count()

    def guarded(read):
        def guard():
            if next(count) >= n_read:
                raise KeyboardInterrupt
            return read()

        return guard

    return [(path, guarded(read)) for path, read in images]


@pytest.mark.parametrize("ending", FORMATS)
def test_the_columns_and_the_order_are_a_promise(images, model, tmp_path, ending):
    assert COLUMNS == ("path", "unit", "label", "crack_probability", "threshold", "reason", "model", "error")
    out = tmp_path / "new" / f"table{ending}"
    summary = predict_to_file(images, model, out)
    rows = read_rows(out)
    expected = list(model.predict_files(images))
    assert [tuple(row) for row in rows] == [COLUMNS] * 27
    assert [row["path"] for row in rows] == [path for path, _ in images]
    for row, told in zip(rows, expected, strict=True):
        assert (row["label"], row["unit"], row["model"], row["error"]) == (
            told.label, told.unit, model.name, told.error,
        )  # fmt: skip
        if told.error is None:
            assert float(row["crack_probability"]) == pytest.approx(told.crack_probability, abs=1e-6)
            assert float(row["threshold"]) == 0.5
    assert (summary.n_files, summary.n_refused, summary.n_resumed) == (27, 3, 0)
    assert sum(summary.labels.values()) == 24
    assert summary.first_error[0].endswith("03.png")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("names", ["none", "all refused"])
def test_a_table_without_predictions_is_one(model, tmp_path, ending, names):
    images = [] if names == "none" else [("gone.png", (tmp_path / "gone.png").read_bytes)]
    out = tmp_path / f"t{ending}"
    summary = predict_to_file(images, model, out)
    assert len(read_rows(out)) == len(images) == summary.n_files == summary.n_refused
    assert summary.labels == {}
    assert (summary.first_error is None) == (names == "none")


@pytest.mark.parametrize("ending", FORMATS)
def test_strange_names_do_not_break_the_table(folder, model, tmp_path, ending):
    content = (folder / "00.png").read_bytes()
    names = [
        "a,b.png",
        'a"b.png',
        "a\nb.png",
        "a\rb.png",
        "a\r\nb.png",
        "w\udcff.png",
        "=1+1.png",
        "ü ß.png",
        " ",
        "a\u2028b",
    ]
    predict_to_file([(name, lambda: content) for name in names], model, tmp_path / f"t{ending}")
    found = [row["path"] for row in read_rows(tmp_path / f"t{ending}")]
    expected = [name if ending == ".jsonl" else name.replace("\udcff", "\\udcff") for name in names]
    assert found == expected


def test_lines_end_in_a_line_feed_alone(images, model, tmp_path):
    predict_to_file(images, model, tmp_path / "t.csv")
    content = (tmp_path / "t.csv").read_bytes()
    assert b"\r" not in content
    assert content.startswith(b"path,unit,label,crack_probability,threshold,reason,model,error\n")
    assert content.count(b"\n") == 28


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("n_read", [0, 5, 8, 9, 20, 26])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_goes_on_and_gives_the_same_bytes(images, model, tmp_path, monkeypatch, ending, n_read, threads):
    monkeypatch.setattr(model, "threads", threads)
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"t{ending}"
    predict_to_file(images, model, whole)
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(stopping_after(images, n_read), model, out)
    assert not out.exists()
    assert journal_of(out).exists()
    summary = predict_to_file(images, model, out)
    assert summary.n_resumed % 8 == 0
    assert summary.n_resumed <= n_read
    if threads == 1:
        assert summary.n_resumed == n_read // 8 * 8  # every turn before the one that was stopped
    assert summary.n_files == 27
    assert out.read_bytes() == whole.read_bytes()
    assert not journal_of(out).exists()


SCRIPT = """
import sys, time
from crackscope.files.inputs import list_images
from crackscope.scanning.prediction import load
from crackscope.scanning.prediction_table import predict_to_file

def slow(read):
    def slowly():
        time.sleep(0.01)
        return read()
    return slowly

images = [(path, slow(read)) for path, read in list_images([sys.argv[1]])]
print("begun", flush=True)
print(predict_to_file(images, load(sys.argv[2], threads=1), sys.argv[3]).n_resumed)
"""


def run(folder, bundle_file, out):
    command = [sys.executable, "-c", SCRIPT, str(folder), str(bundle_file), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_that_was_killed_gives_the_same_bytes(folder, bundle_file, tmp_path):
    out, whole = tmp_path / "t.jsonl", tmp_path / "whole.jsonl"
    predict_to_file(list_images([folder]), load(bundle_file, threads=1), whole)
    moments, n_killed = random.Random(0), 0
    for _ in range(8):
        process = run(folder, bundle_file, out)
        assert process.stdout.readline() == "begun\n"
        time.sleep(moments.uniform(0.02, 0.3))
        process.kill()
        _, errors = process.communicate()
        assert "Traceback" not in errors
        n_killed += process.returncode != 0
        if out.exists():
            break
    assert n_killed >= 1
    if not out.exists():
        process = run(folder, bundle_file, out)
        told, errors = process.communicate()
        assert process.returncode == 0, errors
        assert int(told.split()[1]) > 0
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["t.jsonl", "whole.jsonl"]


def test_two_processes_do_not_spoil_each_other(folder, bundle_file, tmp_path):
    out, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    predict_to_file(list_images([folder]), load(bundle_file, threads=1), whole)
    processes = [run(folder, bundle_file, out) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes
    refused = [text.strip().splitlines()[-1] for text, code in zip(errors, codes, strict=True) if code]
    assert all("another run is writing it" in line or "exists" in line for line in refused)
    assert out.read_bytes() == whole.read_bytes()
    assert not journal_of(out).exists()


def test_a_journal_of_other_settings_is_not_taken_over(images, model, backbone_file, tmp_path):
    out = tmp_path / "t.csv"
    for settings in ({"max_megapixels": 0.001}, {}):
        with pytest.raises(KeyboardInterrupt):
            predict_to_file(stopping_after(images, 20), model, out, **settings)
    assert predict_to_file(images, model, out).n_refused == 3


def test_progress_counts_what_was_done_before(images, model, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(stopping_after(images, 20), model, tmp_path / "t.csv")
    told = []
    summary = predict_to_file(images, model, tmp_path / "t.csv", progress=lambda *done: told.append(done))
    assert told == [(done, 27) for done in range(summary.n_resumed + 1, 28)]


def test_a_taken_place_is_refused_before_any_work(images, model, tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        predict_to_file(stopping_after(images, 0), model, out)
    predict_to_file(images, model, out, overwrite=True)
    assert len(read_rows(out)) == 27
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match="folder"):
        predict_to_file(stopping_after(images, 0), model, tmp_path / "folder.csv", overwrite=True)


def test_the_old_table_stands_until_the_new_one_is_whole(images, model, tmp_path):
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        predict_to_file(stopping_after(images, 20), model, out, overwrite=True)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", ["t.txt", "t", "t.csv.gz", ".csv", "t.xlsx"])
def test_an_unknown_ending_is_refused_before_any_work(images, model, tmp_path, name):
    with pytest.raises(OutputError, match=r"ends in \.csv, \.jsonl, \.parquet"):
        predict_to_file(stopping_after(images, 0), model, tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_ending_may_be_in_capitals(images, model, tmp_path):
    predict_to_file(images[:2], model, tmp_path / "T.CSV")
    assert (tmp_path / "T.CSV").read_text().startswith("path,unit")


def test_parquet_without_pyarrow_names_the_extra(images, model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'crackscope\[parquet\]'"):
        predict_to_file(stopping_after(images, 0), model, tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_a_disk_that_fills_while_the_table_is_written_keeps_the_journal(images, model, tmp_path, monkeypatch, ending):
    def full(*_):
        raise OSError(28, "No space left on device")

    out = tmp_path / f"t{ending}"
    with monkeypatch.context() as patched:
        patched.setattr(prediction_table, "_write", full)
        with pytest.raises(OutputError, match=r"no space left on the disk"):
            predict_to_file(images, model, out)
    assert [path.name for path in tmp_path.iterdir()] == [journal_of(out).name]
    assert predict_to_file(images, model, out).n_resumed == 27


def test_a_disk_that_fills_in_the_middle_keeps_the_journal(images, model, tmp_path, monkeypatch):
    n_lines = itertools.count()
    line = journal_module._line

    def full(row):
        if next(n_lines) > 13:
            raise OSError(28, "No space left on device")
        return line(row)

    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "_line", full)
        with pytest.raises(OutputError, match=r"no space left on the disk"):
            predict_to_file(images, model, tmp_path / "t.csv")
    assert predict_to_file(images, model, tmp_path / "t.csv").n_resumed == 13


def test_a_place_that_is_no_folder_is_told(images, model, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"t\.csv"):
        predict_to_file(stopping_after(images, 0), model, tmp_path / "file" / "t.csv")
    with pytest.raises(OutputError, match="too long"):
        predict_to_file(stopping_after(images, 0), model, Path(tmp_path, "x" * 300 + ".csv"))
