"""``run.json`` says what a training stated, no more, and an older one can still be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from crackscope.errors import DataError, OutputError
from crackscope.measuring.run_document import (
    RunAgreement,
    RunChoice,
    RunCommit,
    RunData,
    RunDocument,
    RunGate,
    RunSettings,
    RunSplit,
    read_run_document,
    write_run_document,
)

HEAD = RunDocument(
    settings=RunSettings(recipe="head", patch_px=160, seed=0, backbone="default bundle"),
    chosen=RunChoice(penalty=0.01),
    n_computed=12,
    gate=RunGate(fitted=False, reason="9 cracked validation patches; a gate takes 200"),
    data=RunData(name="walls", counts={"uncracked": 5, "crack": 7}, n_refused=0),
    split=RunSplit(by="photo", sha256="ab" * 32, n_leaks=0),
    versions={"crackscope": "0.1.0"},
    git=None,
)


def test_what_is_written_is_what_was_stated_and_is_read_again(tmp_path: Path) -> None:
    write_run_document(HEAD, tmp_path / "run.json")
    text = (tmp_path / "run.json").read_text(encoding="utf-8")
    assert json.loads(text) == HEAD.to_dict()
    assert HEAD.to_dict() == {
        "settings": {"recipe": "head", "patch_px": 160, "seed": 0, "backbone": "default bundle"},
        "chosen": {"penalty": 0.01},
        "n_computed": 12,
        "gate": {"fitted": False, "reason": "9 cracked validation patches; a gate takes 200"},
        "data": {"name": "walls", "counts": {"uncracked": 5, "crack": 7}, "n_refused": 0},
        "split": {"by": "photo", "sha256": "ab" * 32, "n_leaks": 0},
        "versions": {"crackscope": "0.1.0"},
        "git": None,
    }
    found = read_run_document(tmp_path / "run.json", remedy="")
    assert found == HEAD
    assert found.to_dict() == HEAD.to_dict()
    with pytest.raises(OutputError, match="--overwrite"):
        write_run_document(HEAD, tmp_path / "run.json")
    write_run_document(HEAD, tmp_path / "run.json", overwrite=True)
    assert (tmp_path / "run.json").read_text(encoding="utf-8") == text


def test_an_older_or_newer_file_has_defaults_and_keys_that_are_not_known_are_left_alone(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    place.write_text('{"seconds": {}, "parameters": {"trainable": 17, "new": 1}, "weather": "fine"}', encoding="utf-8")
    found = read_run_document(place, remedy="")
    assert found.settings.recipe == "not stated"
    assert (found.seconds.total, found.parameters.trainable, found.split.sha256) == (None, 17, "")
    assert found.agreement_with_torch is None
    assert found.to_dict() == {"seconds": {}, "parameters": {"trainable": 17}}


def test_a_damaged_file_is_one_line_with_key_value_and_remedy(tmp_path: Path) -> None:
    place = tmp_path / "run.json"
    with pytest.raises(DataError, match=r"run\.json: no such file\. Train again\.$"):
        read_run_document(place, remedy="Train again.")
    place.write_text('{"split": {"n_leaks": "many"}}', encoding="utf-8")
    with pytest.raises(
        DataError, match=r"damaged \(split\.n_leaks: must be a whole number, not 'many'\)\. Train again\.$"
    ):
        read_run_document(place, remedy="Train again.")


def test_a_document_cannot_be_changed_and_takes_no_wrong_type() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        HEAD.n_computed = 3
    with pytest.raises(ValidationError, match="greatest"):
        RunAgreement(n=1, greatest=float("nan"), n_labels_changed=0)
    with pytest.raises(ValidationError, match="changed"):
        RunCommit(commit="abc", changed="no")  # type: ignore[arg-type]
