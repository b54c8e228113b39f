"""The history of a run survives its file, and a wrong file is told as such."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crackscope.errors import DataError
from crackscope.measuring.history import Epoch, best_epoch, read_history, write_history


def make_epochs(n: int) -> list[Epoch]:
    return [
        Epoch(i, "frozen" if i <= n // 2 else "finetuning", 0.5 / i, 1 - 0.1 / i, 0.6 / i, 1 - 0.2 / i, 1e-4 / 3, 12.5)
        for i in range(1, n + 1)
    ]


def test_a_history_is_read_back_to_six_digits(tmp_path: Path) -> None:
    epochs = make_epochs(7)
    write_history(epochs, tmp_path / "history.csv")
    found = read_history(tmp_path / "history.csv")
    assert [(epoch.number, epoch.phase) for epoch in found] == [(epoch.number, epoch.phase) for epoch in epochs]
    assert [epoch.val_loss for epoch in found] == pytest.approx([epoch.val_loss for epoch in epochs], rel=1e-5)
    lines = (tmp_path / "history.csv").read_text().splitlines()
    columns = "number,phase,train_loss,train_accuracy,val_loss,val_accuracy,learning_rate,seconds"
    assert lines[0] == f"{columns},train_recall_crack,train_f1_crack,val_recall_crack,val_f1_crack"
    assert lines[3] == "3,frozen,0.166667,0.966667,0.2,0.933333,3.33333e-05,12.5,,,,"
    assert math.isnan(found[2].val_f1_crack)


def test_recall_and_f1_are_kept_and_older_histories_without_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    figures = {"train_recall_crack": 0.5, "train_f1_crack": 0.25, "val_recall_crack": 0.125, "val_f1_crack": 1.0}
    write_history([replace(make_epochs(1)[0], **figures)], path)  # type: ignore[arg-type]
    (found,) = read_history(path)
    assert {name: getattr(found, name) for name in figures} == figures
    path.write_text("".join(",".join(line.split(",")[:8]) + "\n" for line in path.read_text().splitlines()))
    assert read_history(path)[0].val_loss == pytest.approx(0.6)


def test_a_history_grows_in_place_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    for n in (0, 1, 2):
        write_history(make_epochs(n), tmp_path / "history.csv")
        assert len(read_history(tmp_path / "history.csv")) == n
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]


def test_the_best_epoch_is_the_first_of_the_least_loss_on_val() -> None:
    epochs = make_epochs(4)
    assert best_epoch(epochs) == epochs[3]
    assert best_epoch([*epochs, replace(epochs[3], number=5)]) == epochs[3]
    assert best_epoch([replace(epochs[0], val_loss=math.nan), epochs[1]]) == epochs[1]
    assert best_epoch([replace(epochs[0], val_loss=math.nan)]) is None
    assert best_epoch([]) is None


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: "", "no column 'number' among none. Give a run's history.csv"),
        (lambda text: text.replace("number,", "epoch,"), "no column 'number' among epoch, phase, train_loss"),
        (lambda text: text.replace("frozen", "thawed"), "row 2: phase 'thawed' is none of frozen, finetuning"),
        (lambda text: text.replace("0.25", "a quarter"), "row 3: not a number .*a quarter"),
        (lambda text: text + "3,frozen", "row 4: 2 values for 12 columns"),
    ],
)
def test_a_wrong_history_is_an_error_with_its_row(tmp_path: Path, edit: Callable[..., Any], message: str) -> None:
    path = tmp_path / "history.csv"
    write_history(make_epochs(2), path)
    path.write_text(edit(path.read_text()))
    with pytest.raises(DataError, match=message):
        read_history(path)


def test_a_missing_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"history.csv: cannot be read"):
        read_history(tmp_path / "history.csv")
