import csv
import itertools
import json
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow.parquet
import pytest

from crackscope import Model
from crackscope.errors import DataError, MissingExtraError, OutputError
from crackscope.files import journal as journal_module
from crackscope.files.inputs import ImageFile, list_images
from crackscope.files.sources import Source
from crackscope.scanning import prediction_table
from crackscope.scanning.loaded_model import load, rows_of
from crackscope.scanning.prediction_table import COLUMNS, write_predictions

FORMATS = (".csv", ".jsonl", ".parquet")


@pytest.fixture(scope="module")
def model(bundle_file: Path) -> Model:
    return load(bundle_file, threads=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """27 patches of two sizes, three of them unreadable."""
    place = tmp_path_factory.mktemp("patches")
    for i in range(27):
        pixels = np.random.default_rng(i).integers(0, 256, (64 + 32 * (i % 2), 96, 3), dtype=np.uint8)
        (place / f"{i:02}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    for i in (3, 17, 26):
        (place / f"{i:02}.png").write_bytes(b"%PDF-1.7")
    return place


@pytest.fixture
def images(folder: Path) -> list[ImageFile]:
    return list_images([folder])


def read_rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        with path.open(newline="", encoding="utf-8") as file:
            return [{name: value or None for name, value in row.items()} for row in csv.DictReader(file)]
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(path).to_pylist()
    return rows


def journal_of(out: Path) -> Path:
    return out.with_name(f".{out.name}.journal")


def stopping_after(images: Sequence[ImageFile], n_read: int) -> list[ImageFile]:
    """The images, of which the one that is read after so many raises what a Ctrl-C would."""
    count = itertools.count()

    class StoppingFile(ImageFile):
        def read(self) -> bytes:
            if next(count) >= n_read:
                raise KeyboardInterrupt
            return super().read()

    return [StoppingFile(image.path, image.place, image.member) for image in images]


@pytest.mark.parametrize("ending", FORMATS)
def test_the_columns_and_the_order_are_a_promise(
    images: list[ImageFile], model: Model, tmp_path: Path, ending: str
) -> None:
    assert COLUMNS == ("path", "unit", "label", "crack_probability", "threshold", "reason", "model", "error", "page")
    out = tmp_path / "new" / f"table{ending}"
    summary = write_predictions(images, model, out=out)
    rows = read_rows(out)
    expected = list(rows_of(images, model))
    assert [tuple(row) for row in rows] == [COLUMNS] * 27
    assert [row["path"] for row in rows] == [image.path for image in images]
    for row, told in zip(rows, expected, strict=True):
        assert (row["label"], row["unit"], row["model"], row["error"]) == (
            told.label, told.unit, model.name, told.error,
        )  # fmt: skip
        if told.error is None:
            assert float(row["crack_probability"]) == pytest.approx(told.crack_probability, abs=1e-6)
            assert float(row["threshold"]) == 0.5
    assert (summary.n_images, summary.n_refused, summary.n_resumed) == (27, 3, 0)
    assert sum(summary.answers.values()) == 24
    assert summary.first_error is not None
    assert summary.first_error[0].endswith("03.png")
    assert [path.name for path in out.parent.iterdir()] == [out.name]


@pytest.mark.parametrize("ending", FORMATS)
def test_a_table_without_predictions_is_one(model: Model, tmp_path: Path, ending: str) -> None:
    (tmp_path / "text.png").write_text("no image")
    out = tmp_path / f"t{ending}"
    summary = write_predictions([tmp_path / "text.png"], model, out=out)
    assert len(read_rows(out)) == summary.n_images == summary.n_refused == 1
    assert summary.answers == {}
    assert summary.first_error is not None


def test_no_table_is_written_of_nothing(model: Model, tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    nothings: list[Source] = [[], iter([]), [ImageFile("gone.png", str(gone))], tmp_path, gone]
    for nothing in nothings:
        with pytest.raises(DataError, match=r"no image|no such file"):
            write_predictions(nothing, model, out=tmp_path / "t.csv")
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("ending", FORMATS)
def test_strange_names_do_not_break_the_table(folder: Path, model: Model, tmp_path: Path, ending: str) -> None:
    place = str(folder / "00.png")
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
    write_predictions([ImageFile(name, place) for name in names], model, out=tmp_path / f"t{ending}")
    found = [row["path"] for row in read_rows(tmp_path / f"t{ending}")]
    expected = [name if ending == ".jsonl" else name.replace("\udcff", "\\udcff") for name in names]
    assert found == expected


def test_lines_end_in_a_line_feed_alone(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    write_predictions(images, model, out=tmp_path / "t.csv")
    content = (tmp_path / "t.csv").read_bytes()
    assert b"\r" not in content
    assert content.startswith(b"path,unit,label,crack_probability,threshold,reason,model,error,page\n")
    assert content.count(b"\n") == 28


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("n_read", [0, 5, 8, 9, 20, 26])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_goes_on_and_gives_the_same_bytes(
    images: list[ImageFile],
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
    n_read: int,
    threads: int,
) -> None:
    monkeypatch.setattr(model, "threads", threads)
    whole, out = tmp_path / f"whole{ending}", tmp_path / f"t{ending}"
    write_predictions(images, model, out=whole)
    with pytest.raises(KeyboardInterrupt):
        write_predictions(stopping_after(images, n_read), model, out=out)
    assert not out.exists()
    assert journal_of(out).exists()
    summary = write_predictions(images, model, out=out)
    assert summary.n_resumed % 8 == 0
    assert summary.n_resumed <= n_read
    if threads == 1:
        assert summary.n_resumed == n_read // 8 * 8  # every turn before the one that was stopped
    assert summary.n_images == 27
    assert out.read_bytes() == whole.read_bytes()
    assert not journal_of(out).exists()


SCRIPT = """
import sys, time
from crackscope.files.inputs import ImageFile, list_images
from crackscope.scanning.loaded_model import load, rows_of
from crackscope.scanning.prediction_table import write_predictions

class SlowFile(ImageFile):
    def read(self):
        time.sleep(0.01)
        return super().read()

images = [SlowFile(image.path, image.place) for image in list_images([sys.argv[1]])]
print("begun", flush=True)
print(write_predictions(images, load(sys.argv[2], threads=1), out=sys.argv[3]).n_resumed)
"""


def run(folder: Path, bundle_file: Path, out: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SCRIPT, str(folder), str(bundle_file), str(out)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_run_that_was_killed_gives_the_same_bytes(folder: Path, bundle_file: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "t.jsonl", tmp_path / "whole.jsonl"
    write_predictions(list_images([folder]), load(bundle_file, threads=1), out=whole)
    moments, n_killed = random.Random(0), 0
    for _ in range(8):
        process = run(folder, bundle_file, out)
        assert process.stdout is not None
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


def test_two_processes_do_not_spoil_each_other(folder: Path, bundle_file: Path, tmp_path: Path) -> None:
    out, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    write_predictions(list_images([folder]), load(bundle_file, threads=1), out=whole)
    processes = [run(folder, bundle_file, out) for _ in range(2)]
    errors = [process.communicate()[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes
    refused = [text.strip().splitlines()[-1] for text, code in zip(errors, codes, strict=True) if code]
    assert all("another run is writing it" in line or "exists" in line for line in refused)
    assert out.read_bytes() == whole.read_bytes()
    assert not journal_of(out).exists()


def test_a_journal_of_other_settings_is_not_taken_over(
    images: list[ImageFile], model: Model, backbone_file: Path, tmp_path: Path
) -> None:
    out = tmp_path / "t.csv"
    changes: tuple[dict[str, Any], ...] = ({"max_megapixels": 0.001}, {})
    for settings in changes:
        with pytest.raises(KeyboardInterrupt):
            write_predictions(stopping_after(images, 20), model, out=out, **settings)
    assert write_predictions(images, model, out=out).n_refused == 3


def test_a_run_over_images_in_memory_is_not_taken_over(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing says that the images of the next run are the same."""
    out, contents = tmp_path / "t.csv", [image.read() for image in images]
    write_predictions(contents, model, out=tmp_path / "whole.csv")
    with monkeypatch.context() as patched:
        patched.setattr(prediction_table, "_write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_predictions(contents, model, out=out)
    assert journal_of(out).exists()
    assert write_predictions(contents, model, out=out).n_resumed == 0
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert [row["path"] for row in read_rows(out)] == [f"#{i}" for i in range(27)]


def test_progress_counts_what_was_done_before(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_predictions(stopping_after(images, 20), model, out=tmp_path / "t.csv")
    told = []
    summary = write_predictions(images, model, out=tmp_path / "t.csv", progress=lambda *done: told.append(done))
    assert told == [(done, 27) for done in range(summary.n_resumed + 1, 28)]


def test_a_taken_place_is_refused_before_any_work(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(OutputError, match="exists"):
        write_predictions(stopping_after(images, 0), model, out=out)
    write_predictions(images, model, out=out, overwrite=True)
    assert len(read_rows(out)) == 27
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(OutputError, match="folder"):
        write_predictions(stopping_after(images, 0), model, out=tmp_path / "folder.csv", overwrite=True)


def test_the_old_table_stands_until_the_new_one_is_whole(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    out = tmp_path / "t.csv"
    out.write_text("mine")
    with pytest.raises(KeyboardInterrupt):
        write_predictions(stopping_after(images, 20), model, out=out, overwrite=True)
    assert out.read_text() == "mine"


@pytest.mark.parametrize("name", ["t.txt", "t", "t.csv.gz", ".csv", "t.xlsx"])
def test_an_unknown_ending_is_refused_before_any_work(
    images: list[ImageFile], model: Model, tmp_path: Path, name: str
) -> None:
    with pytest.raises(OutputError, match=r"ends in \.csv, \.jsonl, \.parquet"):
        write_predictions(stopping_after(images, 0), model, out=tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_ending_may_be_in_capitals(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    write_predictions(images[:2], model, out=tmp_path / "T.CSV")
    assert (tmp_path / "T.CSV").read_text().startswith("path,unit")


def test_parquet_without_pyarrow_names_the_extra(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install '\.\[parquet\]'"):
        write_predictions(stopping_after(images, 0), model, out=tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_a_disk_that_fills_while_the_table_is_written_keeps_the_journal(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    out = tmp_path / f"t{ending}"
    with monkeypatch.context() as patched:
        patched.setattr(prediction_table, "_write", full)
        with pytest.raises(OutputError, match=r"no space left on the disk"):
            write_predictions(images, model, out=out)
    assert [path.name for path in tmp_path.iterdir()] == [journal_of(out).name]
    assert write_predictions(images, model, out=out).n_resumed == 27


def test_a_disk_that_fills_in_the_middle_keeps_the_journal(
    images: list[ImageFile], model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_lines = itertools.count()
    line = journal_module._line

    def full(row: dict[str, Any]) -> bytes | None:
        if next(n_lines) > 13:
            raise OSError(28, "No space left on device")
        return line(row)

    with monkeypatch.context() as patched:
        patched.setattr(journal_module, "_line", full)
        with pytest.raises(OutputError, match=r"no space left on the disk"):
            write_predictions(images, model, out=tmp_path / "t.csv")
    assert write_predictions(images, model, out=tmp_path / "t.csv").n_resumed == 13


def test_a_place_that_is_no_folder_is_told(images: list[ImageFile], model: Model, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"t\.csv"):
        write_predictions(stopping_after(images, 0), model, out=tmp_path / "file" / "t.csv")
    with pytest.raises(OutputError, match="too long"):
        write_predictions(stopping_after(images, 0), model, out=Path(tmp_path, "x" * 300 + ".csv"))
