"""What is told after an epoch: figures beside their baseline, and how long the rest takes, without the first epoch."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

from crackscope.data.patches import read_patches
from crackscope.data.splits import apply_split
from crackscope.measuring.history import Epoch
from crackscope.training.recipes import read_recipe
from crackscope.training.torch.run_log import RunRecord

SETTINGS = ["frozen.epochs=4", "finetuning={epochs=3, learning_rate=1e-3}"]


def told(folder: Path, seconds: list[float], *, n_epochs_before: int = 0) -> list[str]:
    """Lines after epochs of four frozen and three that fine-tune, each of so many seconds."""
    lines: list[str] = []
    recipe = read_recipe("mobilenetv2-frozen", SETTINGS)
    epochs = [
        Epoch(number, "frozen" if number <= 4 else "finetuning", 0.5, 0.75, 0.25, 0.875, 1e-3, own)
        for number, own in enumerate(seconds, start=1)
    ]
    with RunRecord(folder, recipe, n_epochs_before=n_epochs_before, say=lines.append) as record:
        for number in range(n_epochs_before + 1, len(epochs) + 1):
            record.epoch(epochs[:number])
    return lines


def test_the_estimate_leaves_the_first_epoch_of_a_phase_out(tmp_path: Path) -> None:
    lines = told(tmp_path, [600, 8, 9, 8, 500, 20, 20])
    left = [line.partition("; ")[2] for line in lines]
    assert left == [
        "",
        "at most 16 s of this phase left",
        "at most 9 s of this phase left",
        "",  # the phase is over
        "",
        "at most 20 s of this phase left",
        "",
    ]


def test_the_estimate_leaves_the_first_epoch_of_a_session_out(tmp_path: Path) -> None:
    lines = told(tmp_path, [600, 8, 500, 9], n_epochs_before=2)
    assert lines[0].endswith("; at most 8 s of this phase left")
    assert "of this phase left" not in told(tmp_path / "b", [600, 500], n_epochs_before=1)[0]


def test_accuracy_stands_beside_calling_everything_crack(drawn: Path, split_file: Path, tmp_path: Path) -> None:
    index = apply_split(read_patches(drawn), split=split_file)
    val = index.part("val")
    lines: list[str] = []
    recipe = read_recipe("mobilenetv2-frozen", SETTINGS)
    with RunRecord(tmp_path, recipe, n_epochs_before=0, say=lines.append) as record:
        record.patches(index)
        record.epoch([Epoch(1, "frozen", 0.5, 0.75, 0.25, 0.875, 1e-3, 1.0)])
    share = sum(patch.label == "crack" for patch in val.patches) / len(val)
    assert f"val accuracy 0.8750 (always crack {share:.4f}), 1.0 s" in lines[0]
