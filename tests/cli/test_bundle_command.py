"""``crackscope bundle``: the summary, the whole card, and a copy of the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crackscope.model.bundle import Head, compose, default_bundle, read_backbone, read_bundle, write_model
from crackscope.model.card import FineMapCard, TrainingData
from shared.models import tiny_card, tiny_decoder


def test_the_summary_of_the_default_bundle_says_what_matters(run: Any) -> None:
    card = read_bundle().card
    told = run("bundle").out
    assert len(told.splitlines()) <= 20
    for part in (
        f"resized to {card.patch_px} px",
        "data: METU, 13,998 crack and 13,995 uncracked; CC BY 4.0",
        f"crack from probability {card.patch.crack_from:.3f}, unsure from {card.patch.unsure_low:.3f}",
        f"figures count it as crack from {card.patch.threshold:.3f}",
        f"crack from {card.verdict.threshold:.3f}" if card.verdict else "",
        f"clarity below {card.gate.min_clarity:.3f}" if card.gate else "",
        "metu, test: F1 of crack 0.993 [0.983, 0.997] (always crack 0.666)",
        f"that reach {card.map_calibration.region_from:.3f}",
        "--full",
    ):
        assert part in told


def test_the_whole_card_is_printed_on_demand(run: Any) -> None:
    told = run("bundle", "--full").out
    assert "seen: marks of 26,896 files and photos" in told
    assert len(told.splitlines()) > 100


def test_a_summary_is_short_whatever_the_card_holds(run: Any, fine_file: Path, tmp_path: Path) -> None:
    figure = {"value": 0.5, "low": None, "high": None}
    figures = {f"set {i}, test": {"f1_crack": figure, "n_crack": 1, "n_patches": 3} for i in range(30)}
    data = tuple(TrainingData(name=f"set {i}", n_crack=1, n_uncracked=2) for i in range(30))
    head = Head(np.ones((1, 16), np.float32), np.zeros(1, np.float32), temperature=2.0)
    told = FineMapCard(stride_px=2, temperature=1.5, threshold=0.5)
    changes = {"split": {"by": "random", "leaky": True}, "fine_map": told}
    card = tiny_card(figures=figures, training_data=data, **changes)
    write_model(compose(read_backbone(fine_file), head, card, decoder=tiny_decoder()), tmp_path / "m.onnx")
    lines = run("bundle", tmp_path / "m.onnx").out.splitlines()
    assert len(lines) <= 20
    assert "  set 0, test: F1 of crack 0.500 (always crack 0.500)" in lines
    assert "data: set 3, 1 crack and 2 uncracked; not stated; 26 more sets" in lines
    assert "leaky figures [95 % interval], 30 sets of test data:" in lines
    assert "split: by random, leaky" in lines


def test_the_summary_tells_of_a_fine_map(run: Any, fine_file: Path, bundle_file: Path) -> None:
    line = "fine map: lines of cracks, in cells of 2 px; a cell belongs to a line from probability 0.500"
    assert line in run("bundle", fine_file).out.splitlines()
    assert run("bundle", fine_file, "--json").json["card"]["fine_map"]["temperature"] == 1.5
    assert "fine map" not in run("bundle", bundle_file).out


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_copy_of_the_default_bundle_is_the_file_itself(run: Any, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "new" / "copy.onnx"
    done = run("bundle", "--precision", precision, "--copy", out)
    assert (done.code, done.out.splitlines()[-1]) == (0, f"written to {out}")
    assert out.read_bytes() == default_bundle(precision).read_bytes()
    again = run("bundle", "--precision", precision, "--copy", out)
    assert (again.code, f"{out} exists" in again.err) == (1, True)
    assert run("bundle", "--precision", precision, "--copy", out, "--overwrite").code == 0
    assert [path.name for path in out.parent.iterdir()] == ["copy.onnx"]


def test_a_named_bundle_is_copied_and_the_document_says_where(run: Any, bundle_file: Path, tmp_path: Path) -> None:
    done = run("bundle", bundle_file, "--copy", tmp_path / "copy.onnx", "--json")
    assert done.json["copy"] == str(tmp_path / "copy.onnx")
    assert (tmp_path / "copy.onnx").read_bytes() == bundle_file.read_bytes()
    assert "copy" not in run("bundle", bundle_file, "--json").json


def test_a_model_file_is_named_in_one_way_only(run: Any, bundle_file: Path) -> None:
    named = (run("bundle", bundle_file, "--json").json, run("bundle", "--model", bundle_file, "--json").json)
    assert named[0] == named[1]
    both = run("bundle", bundle_file, "--model", bundle_file)
    assert both.code == 2
    assert "give the model file once" in " ".join(both.err.split())
