"""An export states before and after, and writes nothing that loses too much."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import crackscope
from crackscope.data.splits import split, write_split
from crackscope.errors import BundleError, OutputError, SplitError
from crackscope.measuring import exporting
from crackscope.measuring.exporting import export
from crackscope.measuring.transfer_sets import read_photo_list, without_photos
from crackscope.model.bundle import Bundle, read_bundle
from crackscope.model.quantisation import quantise
from shared.command import Run


@pytest.fixture(scope="module")
def exact(bundle_file: Path) -> Bundle:
    return read_bundle(bundle_file)


def test_export_writes_a_model_that_states_itself(
    drawn: Path, split_file: Path, bundle_file: Path, exact: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "folder" / "int8.onnx"
    done = export(drawn, bundle_file, out=out, split=split_file, calibration_patches=20, allow_loss=True)
    written = read_bundle(out)
    card = written.card
    assert card.precision == "int8"
    assert card.patch.temperature == done.temperature[1]
    assert card.recipe["int8"] == {
        "from_sha256": exact.sha256,
        "calibrated_on": "20 patches of part train",
        "seed": 0,
    }
    again = crackscope.evaluate(drawn, crackscope.load(out), split=split_file)
    assert again.metrics["accuracy"] == done.after.metrics["accuracy"]
    assert card.figures["test"]["accuracy"] == again.metrics["accuracy"].document()
    assert done.loss.value == pytest.approx(
        done.before.metrics["accuracy"].value - done.after.metrics["accuracy"].value, abs=1e-12
    )
    assert done.n_changed == (done.before.predictions != done.after.predictions).sum()
    assert done.n_bytes == (bundle_file.stat().st_size, out.stat().st_size)
    assert min(done.latency_ms) > 0
    document = json.loads(json.dumps(done.document()))
    assert document["bytes"]["after"] == out.stat().st_size
    assert document["part"] == "test"
    assert f"<tr><th>Size, MB</th><td>{done.n_bytes[0] / 1e6:.2f}</td>" in done._repr_html_()
    second = export(
        drawn, exact, out=tmp_path / "again.onnx", split=split_file, calibration_patches=20, allow_loss=True
    )
    assert second.out.read_bytes() == out.read_bytes()


def test_a_model_that_loses_is_not_written(
    drawn: Path, split_file: Path, exact: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "MAX_LOSS", -1.0)
    with pytest.raises(BundleError, match=r"in int8 it loses .* points of accuracy on part val .* nothing was written"):
        export(drawn, exact, out=tmp_path / "a.onnx", split=split_file, part="val", calibration_patches=4)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(drawn: Path, split_file: Path, exact: Bundle, tmp_path: Path) -> None:
    out = tmp_path / "a.onnx"
    with pytest.raises(BundleError, match="int8 already"):
        export(drawn, quantise(exact, [crackscope.draw_patch(0, side_px=96).pixels]), out=out, split=split_file)
    with pytest.raises(BundleError, match=r"precision 'int88' is none of int8\. Did you mean 'int8'"):
        export(drawn, exact, out=out, split=split_file, precision="int88")
    with pytest.raises(SplitError, match="part 'train' cannot be judged"):
        export(drawn, exact, out=out, split=split_file, part="train")
    with pytest.raises(SplitError, match="is in no part"):
        export(drawn, exact, out=out)
    rows = split_file.read_text().replace(",val\n", ",train\n")
    (tmp_path / "no-val.csv").write_text(rows)
    with pytest.raises(SplitError, match="no readable patch in part val"):
        export(drawn, exact, out=out, split=tmp_path / "no-val.csv")
    (tmp_path / "taken.onnx").write_bytes(b"")
    with pytest.raises(OutputError, match="exists"):
        export(drawn, exact, out=tmp_path / "taken.onnx", split=split_file)
    assert not out.exists()


# The command


def test_the_command_states_before_and_after(
    run: Run, drawn: Path, split_file: Path, bundle_file: Path, tmp_path: Path
) -> None:
    given = ["export", drawn, "--model", bundle_file, "--split", split_file, "--calibration-patches", 8]
    out = tmp_path / "int8.onnx"
    code, text, errors = run(*given, "--out", out, "--allow-loss", "--precision", "int8")
    assert (code, errors) == (0, "")
    for line in ("accuracy ", "size, MB ", "a patch, ms ", "temperature ", "labels changed", "times as fast"):
        assert line in text
    code, text, errors = run(*given, "--out", out)
    assert (code, text) == (1, "")
    assert errors.count("\n") == 1
    code, text, _ = run(*given, "--out", out, "--allow-loss", "--overwrite", "--json", "--part", "val")
    document = json.loads(text)
    assert (code, document["status"], document["precision"], document["part"]) == (0, "done", "int8", "val")
    assert {"before", "after", "loss"} == set(document["accuracy"])
    for wrong in (["--precision", "fp32"], ["--precision", "int4"], ["--part", "train"]):
        assert run(*given, "--out", tmp_path / "b.onnx", *wrong)[0] == 2
    assert not (tmp_path / "b.onnx").exists()


# Real data


@pytest.mark.slow
@pytest.mark.parametrize(("name", "by"), [("metu", "similarity"), ("sdnet2018", "scene")])
def test_the_default_bundle_loses_nothing(real_data: Path, name: str, by: str, tmp_path: Path) -> None:
    data = real_data / f"{name}_sample.tar"
    reserved = read_photo_list(real_data / "sdnet2018_reserved.csv")  # an export calibrates on train
    index = without_photos(crackscope.read_patches(data), reserved)
    write_split(split(index, by=by), tmp_path / "split.csv")
    done = export(
        data,
        out=tmp_path / "int8.onnx",
        split=tmp_path / "split.csv",
        calibration_patches=60,
        allow_leakage=True,  # the default was trained on some of it
    )  # a loss would raise
    assert done.n_changed <= 0.015 * done.before.n_patches
    card = len(crackscope.read_bundle().card.to_json())  # its marks of what was seen are no smaller in int8
    assert done.n_bytes[1] - card < 0.4 * (done.n_bytes[0] - card)
    assert done.speedup > 0
    assert done.temperature[1] == pytest.approx(done.temperature[0], rel=0.03)
