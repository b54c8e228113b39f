"""Runs are compared on what they truly share, and a run folder that is not what it says is one clear line."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import matplotlib.image
import numpy as np
import onnx
import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest
from typer.testing import CliRunner

import crackscope.measuring.comparison
from crackscope.cli.compare import compare as command
from crackscope.errors import BundleError, CrackscopeError, DataError, OutputError
from crackscope.measuring.comparison import SHOWN, Comparison, compare
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions, metrics_document
from crackscope.measuring.paired import Answers, compare_pair, mcnemar
from crackscope.measuring.wording import number_text
from crackscope.model.bundle import read_bundle
from crackscope.reports import evaluation_report
from crackscope.reports.comparison_report import FILES, comparison_document, comparison_text, write_comparison
from crackscope.reports.evaluation_report import write_evaluation

N_PATCHES, A_PHOTO = 48, 4


def write_judged(evaluation: Evaluation, folder: Path) -> None:
    """The two files of an evaluation that are read; its plots take a second."""
    folder.mkdir()
    (folder / "metrics.json").write_text(json.dumps(metrics_document(evaluation)), encoding="utf-8")
    (folder / "predictions.csv").write_text(evaluation_report._predictions_text(evaluation), encoding="utf-8")


def make_run(
    folder: Path,
    model: Path,
    *,
    write: Callable[[Evaluation, Path], object] = write_judged,
    n_wrong: int = 6,
    rows: range = range(N_PATCHES),
    labels: np.ndarray | None = None,
    dataset: str = "walls",
    part: str = "test",
    photos: bool = True,
    leaky: bool = False,
    split_sha256: str = "ab" * 32,
    about: dict[str, object] | None = None,
) -> Path:
    """A run folder whose first patches are wrong, written by the code that writes real ones."""
    folder.mkdir(parents=True)
    shutil.copyfile(model, folder / "model.onnx")
    truth = (np.array(rows) % 2 if labels is None else labels).astype(np.int64)
    wrong = np.arange(len(rows)) < n_wrong
    evaluation = evaluate_predictions(
        truth,
        np.where(truth.astype(bool) ^ wrong, 0.9, 0.1),
        paths=[f"D/{i:03}.jpg" for i in rows],
        photos=[f"photo {i // A_PHOTO}" for i in rows] if photos else None,
        threshold=0.5,
        unsure_band=(0.4, 0.6),
        dataset=dataset,
        part=part,
        split="split.csv",
        model="tiny",
        model_sha256=read_bundle(model).sha256,
        n_seen=int(leaky),
        n_resamples=50,
    )
    write(evaluation, folder / "evaluation")
    document = {
        "settings": {"recipe": "head", "seed": 0},
        "seconds": {"total": 12.5},
        "parameters": {"trainable": 17},
        "split": {"by": "photo", "sha256": split_sha256},
    }
    (folder / "run.json").write_text(json.dumps(document if about is None else about), encoding="utf-8")
    return folder


@pytest.fixture
def pair(tmp_path: Path, bundle_file: Path) -> tuple[Path, Path]:
    """Two runs on the same 48 patches: the first wrong on 6, the second on the first 2 of them."""
    return make_run(tmp_path / "head", bundle_file), make_run(tmp_path / "full", bundle_file, n_wrong=2)


def quickly(*runs: Path) -> Comparison:
    return compare(runs, measure_speed=False, n_resamples=100)


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "comparison.csv").read_text(encoding="utf-8").splitlines()))


def answers(wrong: list[bool], *, run: str = "a", photos: list[str] | None = None, start: int = 0) -> Answers:
    n = len(wrong)
    paths = tuple(f"{i}.jpg" for i in range(start, start + n))
    labels = (np.arange(start, start + n) % 2).astype(np.int64)
    return Answers(run, "walls", paths, None if photos is None else tuple(photos), labels, np.array(wrong, bool))


# McNemar's test, and the gain


@pytest.mark.parametrize(
    ("only_first", "only_second", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (0, 6, 2 / 2**6),
        (1, 7, 2 * (1 + 8) / 2**8),
        (5, 5, 1.0),
        (2, 10, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_mcnemar_by_hand(only_first: int, only_second: int, p: float) -> None:
    assert mcnemar(only_first, only_second) == pytest.approx(p, rel=1e-12)


@given(st.integers(0, 400), st.integers(0, 400))
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_two_sided_binomial_test(only_first: int, only_second: int) -> None:
    p = mcnemar(only_first, only_second)
    assert 0 <= p <= 1
    assert p == mcnemar(only_second, only_first)
    if only_first + only_second:
        assert p == pytest.approx(binomtest(only_first, only_first + only_second).pvalue, rel=1e-9, abs=1e-300)


@st.composite
def _two_runs(draw: st.DrawFn) -> tuple[Answers, Answers]:
    """Runs on overlapping ranges of patches, which may know different photos, or none."""
    runs = []
    for name in ("a", "b"):
        start, n = draw(st.integers(0, 6)), draw(st.integers(1, 14))
        wrong = draw(st.lists(st.booleans(), min_size=n, max_size=n))
        width = draw(st.sampled_from([0, 1, 2, 5]))
        photos = [f"{name}{(start + i) // width}" for i in range(n)] if width else None
        runs.append(answers(wrong, run=name, photos=photos, start=start))
    return runs[0], runs[1]


@given(_two_runs(), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_swapping_and_shuffling(runs: tuple[Answers, Answers], random: Random) -> None:
    first, second = runs
    found = compare_pair(first, second, n_resamples=40)
    swapped = compare_pair(second, first, n_resamples=40)
    assert (swapped.n_common, swapped.n_photos) == (found.n_common, found.n_photos)
    assert (swapped.n_only_first_wrong, swapped.n_only_second_wrong) == (
        found.n_only_second_wrong,
        found.n_only_first_wrong,
    )
    np.testing.assert_equal(swapped.p, found.p)
    gain, other = found.accuracy_gain, swapped.accuracy_gain
    np.testing.assert_allclose([-gain.value, -gain.high, -gain.low], [other.value, other.low, other.high], atol=1e-12)
    order = list(range(len(first.paths)))
    random.shuffle(order)
    photos = None if first.photos is None else tuple(first.photos[i] for i in order)
    mixed = Answers("a", "walls", tuple(first.paths[i] for i in order), photos, first.labels[order], first.wrong[order])
    np.testing.assert_equal(vars(compare_pair(mixed, second, n_resamples=40)), vars(found))


@given(_two_runs())
@settings(max_examples=60, deadline=None)
def test_the_counts_are_those_of_the_common_patches(runs: tuple[Answers, Answers]) -> None:
    first, second = runs
    wrong = [dict(zip(run.paths, run.wrong.tolist(), strict=True)) for run in runs]
    common = sorted(set(first.paths) & set(second.paths))
    found = compare_pair(first, second, n_resamples=20)
    assert found.n_common == len(common)
    assert found.n_only_first_wrong == sum(wrong[0][path] and not wrong[1][path] for path in common)
    assert found.n_only_second_wrong == sum(wrong[1][path] and not wrong[0][path] for path in common)
    gain = found.accuracy_gain
    if not common:
        assert found.note == "no common patches"
        assert math.isnan(found.p)
        return
    accuracies = [1 - np.mean([answer[path] for path in common]) for answer in wrong]
    assert gain.value == pytest.approx(accuracies[1] - accuracies[0])
    if first.photos is None and second.photos is None:
        assert found.n_photos is None
    assert math.isnan(gain.low) or -1 <= gain.low <= gain.value <= gain.high <= 1


def test_the_gain_is_resampled_by_photo() -> None:
    """A gain that sits in one photo of ten is far less sure than p, which takes its patches for independent."""
    n = 100
    photos = [str(i // 10) for i in range(n)]
    found = compare_pair(answers([i < 10 for i in range(n)], photos=photos), answers([False] * n, photos=photos))
    assert found.n_photos == 10
    assert found.p == pytest.approx(2 / 2**10)
    assert found.accuracy_gain.value == pytest.approx(0.1)
    assert found.accuracy_gain.low == 0
    assert found.accuracy_gain.high == pytest.approx(0.3)  # the 97.5th percentile of binomial(10, 0.1) is 3 photos


def test_patches_stay_together_if_either_run_says_so() -> None:
    wrong = [True, False, True, False, False, False]
    first = answers(wrong, photos=list("aabbcd"))
    second = answers([False] * 6, photos=list("uvvwxy"))  # links a with b
    assert compare_pair(first, second).n_photos == 3
    assert compare_pair(first, replace_photos(second, None)).n_photos == 4
    assert compare_pair(replace_photos(first, None), second).n_photos == 5


def replace_photos(run: Answers, photos: tuple[str, ...] | None) -> Answers:
    return Answers(run.run, run.dataset, run.paths, photos, run.labels, run.wrong)


@pytest.mark.parametrize("photos", [None, ["one"] * 6, list("abcdef")])
def test_without_photos_or_differences_the_gain_has_no_interval(photos: list[str] | None) -> None:
    wrong = [True, False, False, False, False, False]
    same = compare_pair(answers(wrong, photos=photos), answers(wrong, photos=photos))
    assert (same.p, same.accuracy_gain.value) == (1.0, 0.0)
    assert math.isnan(same.accuracy_gain.low)


def test_the_same_path_in_other_data_is_another_patch() -> None:
    first = answers([True, False])
    second = Answers("b", "bridges", first.paths, None, first.labels, np.array([False, False]))
    found = compare_pair(first, second)
    assert (found.n_common, found.note) == (0, "other data: walls and bridges")


def test_runs_that_disagree_on_a_label_are_refused() -> None:
    first = answers([True, False])
    second = Answers("b", "walls", first.paths, None, 1 - first.labels, first.wrong)
    with pytest.raises(DataError, match=r"a and b: 0\.jpg is uncracked in the first and crack in the second, and 2 of"):
        compare_pair(first, second)


# Whole runs


def test_two_runs(pair: tuple[Path, Path], bundle_file: Path) -> None:
    comparison = quickly(*pair)
    first, second = comparison.runs
    assert (first.name, second.name, comparison.reference.name) == ("head", "full", "head")
    assert first.metrics["accuracy"].value == pytest.approx(1 - 6 / 48)
    assert first.metrics["accuracy"].low < first.metrics["accuracy"].value < first.metrics["accuracy"].high
    said = json.loads((pair[0] / "evaluation" / "metrics.json").read_text(encoding="utf-8"))
    assert {name: first.metrics[name].document() for name in SHOWN} == {name: said[name] for name in SHOWN}
    assert (first.recipe, first.train_seconds, first.n_trainable) == ("head", 12.5, 17)
    assert (first.n_patches, first.n_photos, first.part, first.resampled) == (48, 12, "test", "photos")
    assert first.model_mb == bundle_file.stat().st_size / 1e6
    assert first.images_per_s is None
    (test,) = comparison.against_reference
    assert (test.n_common, test.n_photos, test.n_only_first_wrong, test.n_only_second_wrong) == (48, 12, 4, 0)
    assert test.p == pytest.approx(2 / 2**4)
    assert test.accuracy_gain.value == pytest.approx(4 / 48)
    assert comparison.warnings == ()


def test_an_older_evaluation_is_told_by_its_intervals(pair: tuple[Path, Path]) -> None:
    assert quickly(*pair).few == ()
    place = pair[0] / "evaluation" / "metrics.json"
    document = json.loads(place.read_text(encoding="utf-8"))
    del document["n_clusters_crack"], document["n_clusters_uncracked"]
    place.write_text(json.dumps(document), encoding="utf-8")
    (line,) = quickly(*pair).few
    assert line.startswith("head: evaluated by an older version")


def test_a_run_judged_on_few_photos_is_told(pair: tuple[Path, Path]) -> None:
    for folder in pair:
        place = folder / "evaluation" / "metrics.json"
        document = json.loads(place.read_text(encoding="utf-8")) | {"n_clusters_crack": 4}
        place.write_text(json.dumps(document), encoding="utf-8")
    assert quickly(*pair).few == ("head and full: crack in 4 photos: read this as an anecdote.",)


def test_what_evaluate_writes_is_read(tmp_path: Path, bundle_file: Path) -> None:
    def write(evaluation: Evaluation, out: Path) -> None:
        write_evaluation(evaluation, out, read_image=lambda _: np.full((8, 8, 3), 128, np.uint8))

    whole = make_run(tmp_path / "whole", bundle_file, write=write)
    comparison = quickly(whole, make_run(tmp_path / "brief", bundle_file))
    assert comparison.runs[0].metrics == comparison.runs[1].metrics
    assert comparison.pairs[0].p == 1


def test_parameters_are_the_float_weights(pair: tuple[Path, Path], bundle_file: Path) -> None:
    graph = onnx.load(bundle_file).graph
    arrays = [onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer]
    assert quickly(*pair).runs[0].n_parameters == sum(a.size for a in arrays if a.dtype.kind == "f")


def test_every_pair_is_there_and_those_with_the_reference_come_first(tmp_path: Path, bundle_file: Path) -> None:
    comparison = quickly(*[make_run(tmp_path / name, bundle_file, n_wrong=n) for n, name in enumerate("abcd", 1)])
    assert [pair.first + pair.second for pair in comparison.pairs] == ["ab", "ac", "ad", "bc", "bd", "cd"]
    assert [pair.second for pair in comparison.against_reference] == ["b", "c", "d"]


def test_folders_of_one_name_go_by_their_path(tmp_path: Path, bundle_file: Path) -> None:
    runs = [make_run(tmp_path / side / "run", bundle_file) for side in "ab"]
    assert [run.name for run in quickly(*runs).runs] == [str(run) for run in runs]


def test_what_is_not_stated_is_not_made_up(tmp_path: Path, bundle_file: Path) -> None:
    runs = [make_run(tmp_path / name, bundle_file, about={}) for name in "ab"]
    run = quickly(*runs).runs[0]
    assert (run.recipe, run.train_seconds, run.n_trainable, run.split_sha256) == ("not stated", None, None, "")


def test_a_class_that_is_missing(tmp_path: Path, bundle_file: Path) -> None:
    none = np.zeros(N_PATCHES)
    runs = [make_run(tmp_path / name, bundle_file, labels=none, n_wrong=n) for name, n in (("a", 0), ("b", 2))]
    comparison = quickly(*runs)
    assert math.isnan(comparison.runs[0].metrics["f1_crack"].value)
    assert comparison.runs[1].metrics["f1_crack"].value == 0
    assert " n/a " in comparison_text(comparison)
    json.dumps(comparison_document(comparison), allow_nan=False)
    write_comparison(comparison, tmp_path / "out")


def test_one_photo_has_no_interval(tmp_path: Path, bundle_file: Path) -> None:
    runs = [make_run(tmp_path / name, bundle_file, rows=range(4), n_wrong=n) for name, n in (("a", 0), ("b", 2))]
    comparison = quickly(*runs)
    assert math.isnan(comparison.runs[0].metrics["accuracy"].low)
    write_comparison(comparison, tmp_path / "out")


# Warnings


def test_other_splits_leaks_and_parts_are_said(tmp_path: Path, bundle_file: Path) -> None:
    first = make_run(tmp_path / "first", bundle_file)
    second = make_run(tmp_path / "second", bundle_file, leaky=True, part="val", split_sha256="cd" * 32)
    comparison = quickly(first, second)
    split, leak, part = comparison.warnings
    assert "Not trained on the split of first (abababababab): second (cdcdcdcdcdcd)" in split
    assert leak.startswith("second is leaky")
    assert "second was judged on part val" in part
    assert "second (leaky)" in comparison_text(comparison)
    assert all(f"Look: {warning}" in comparison_text(comparison) for warning in comparison.warnings)


def test_an_overlap_is_tested_and_said(tmp_path: Path, bundle_file: Path) -> None:
    first = make_run(tmp_path / "first", bundle_file, rows=range(0, 40))
    second = make_run(tmp_path / "second", bundle_file, rows=range(4, 48), n_wrong=0)
    comparison = quickly(first, second)
    (test,) = comparison.pairs
    assert (test.n_common, test.n_only_first_wrong, test.n_only_second_wrong) == (36, 2, 0)
    (warning,) = comparison.warnings
    assert "40 patches and second on 44" in warning
    assert "the 36 that are common" in warning


def test_without_a_common_patch_the_cell_says_so(tmp_path: Path, bundle_file: Path) -> None:
    runs = [make_run(tmp_path / "a", bundle_file, rows=range(20)), make_run(tmp_path / "b", bundle_file)]
    runs.append(make_run(tmp_path / "c", bundle_file, rows=range(20, 40)))
    comparison = quickly(*runs)
    assert [pair.note for pair in comparison.pairs] == ["", "no common patches", ""]
    assert "no common patches" in comparison_text(comparison)
    document = comparison_document(comparison)
    assert document["pairs"][1]["mcnemar_p"] is None  # type: ignore[index]
    assert any("c cannot be tested against a: no common patches" in warning for warning in comparison.warnings)
    _, second, third = rows_of(write_comparison(comparison, tmp_path / "out"))
    assert float(second["mcnemar_p"]) == comparison.pairs[0].p
    assert (third["n_common"], third["mcnemar_p"], third["n_only_this_wrong"]) == ("0", "", "")


# Bad input: one line, with the file and what to do


def assert_refused(*runs: Path, error: type[CrackscopeError] = DataError, parts: tuple[str, ...]) -> None:
    with pytest.raises(error) as raised:
        quickly(*runs)
    text = str(raised.value)
    assert "\n" not in text
    for part in parts:
        assert part in text


def test_too_few_and_twice(pair: tuple[Path, Path]) -> None:
    assert_refused(parts=("0 run folders", "at least two"))
    assert_refused(pair[0], parts=("1 run folders", "at least two"))
    assert_refused(pair[0], pair[1], pair[1] / ".." / "head", parts=("given twice",))


def test_a_folder_that_is_none(pair: tuple[Path, Path], tmp_path: Path) -> None:
    assert_refused(pair[0], tmp_path / "nothing", parts=("nothing: no such folder", "crackscope train"))
    assert_refused(pair[0], pair[1] / "model.onnx", parts=("a file, not a run folder",))
    (tmp_path / "empty").mkdir()
    assert_refused(pair[0], tmp_path / "empty", parts=("run.json: no such file", "crackscope train"))


def test_without_an_evaluation_the_command_is_told(pair: tuple[Path, Path]) -> None:
    folder = pair[1]
    shutil.rmtree(folder / "evaluation")
    command = f"crackscope evaluate DATA --model {folder / 'model.onnx'} --split"
    assert_refused(*pair, parts=(command, "--split SPLIT", f"--out {folder / 'evaluation'}"))
    (folder / "split.csv").touch()
    assert_refused(*pair, parts=(f"--split {folder / 'split.csv'}",))


def test_a_table_with_the_older_names_of_its_columns_is_read(pair: tuple[Path, Path]) -> None:
    expected = compare(pair, measure_speed=False).pairs
    table = pair[1] / "evaluation" / "predictions.csv"
    new, old = "path,true_label,photo,crack_probability,label\n", "path,label,photo,crack_probability,predicted\n"
    assert table.read_text(encoding="utf-8").startswith(new)
    table.write_text(table.read_text(encoding="utf-8").replace(new, old), encoding="utf-8")
    assert compare(pair, measure_speed=False).pairs == expected


def test_predictions_that_are_gone(pair: tuple[Path, Path]) -> None:
    (pair[1] / "evaluation" / "predictions.csv").unlink()
    assert_refused(*pair, parts=("predictions.csv: no such file", "--overwrite"))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("run.json", "{", "not a JSON object, or cut off"),
        ("run.json", "[1]", "not a JSON object, or cut off"),
        ("run.json", "\xff", "damaged"),
        ("run.json", '{"settings": {"recipe": 3}}', "settings.recipe"),
        ("run.json", '{"seconds": {"total": "long"}}', "seconds.total: must be a number, not 'long'"),
        ("run.json", '{"seconds": {"total": -1}}', "seconds.total"),
        ("run.json", '{"seconds": {"total": NaN}}', "seconds.total"),
        ("run.json", "[" * 100_000, "damaged"),
        ("evaluation/metrics.json", '{"accuracy": 1}', "accuracy"),
        ("evaluation/metrics.json", "", "not a JSON object, or cut off"),
        ("evaluation/predictions.csv", "", "no column 'path' among none"),
        ("evaluation/predictions.csv", "path,label\n", "no column 'photo' among path, label"),
        ("evaluation/predictions.csv", "path,label,photo,crack_probability,predicted\n", "no rows"),
    ],
)
def test_damaged_files(pair: tuple[Path, Path], name: str, content: str, found: str) -> None:
    (pair[1] / name).write_bytes(content.encode("latin-1"))
    assert_refused(*pair, parts=(str(pair[1] / name), found, "crackscope "))


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ("D/x.jpg,crack,p,0.9", "row 50: 4 values for 5 columns"),
        ("D/x.jpg,crak,p,0.9,crack", "row 50: label 'crak' is neither uncracked nor crack"),
        ("D/x.jpg,crack,p,0.9,", "row 50: label '' is neither"),
        ("D/000.jpg,crack,p,0.9,crack", "row 50: D/000.jpg stands there twice"),
        ('"D/x.jpg,crack,p,0.9,crack', "row 50: not a CSV (a"),
        ("D/x.jpg,crack,\xff,0.9,crack", "not UTF-8 text (byte "),
        ("D/x.jpg,crack,p,0.9,crack", "on 48 patches, predictions.csv of"),
    ],
)
def test_damaged_rows(pair: tuple[Path, Path], row: str, found: str) -> None:
    table = pair[1] / "evaluation" / "predictions.csv"
    table.write_bytes(table.read_bytes() + row.encode("latin-1") + b"\n")
    assert_refused(*pair, parts=(found, "Run: crackscope evaluate", "--overwrite"))


def test_figures_and_answers_of_two_evaluations(pair: tuple[Path, Path]) -> None:
    shutil.copyfile(pair[0] / "evaluation" / "metrics.json", pair[1] / "evaluation" / "metrics.json")
    assert_refused(*pair, parts=("metrics.json has an accuracy of 0.875 on 48 patches", "of 0.958333 on 48"))


def test_an_evaluation_of_another_model(pair: tuple[Path, Path]) -> None:
    place = pair[1] / "evaluation" / "metrics.json"
    figures = json.loads(place.read_text(encoding="utf-8"))
    place.write_text(json.dumps({**figures, "model_sha256": "cd" * 32}), encoding="utf-8")
    assert_refused(*pair, parts=("of a model with SHA-256 cdcdcdcdcdcd", "but model.onnx has"))
    place.write_text(json.dumps({**figures, "model_sha256": ""}), encoding="utf-8")  # not stated
    quickly(*pair)


def test_a_model_that_is_none(pair: tuple[Path, Path]) -> None:
    (pair[1] / "model.onnx").write_bytes(b"nonsense")
    assert_refused(*pair, error=BundleError, parts=("model.onnx",))


# Speed


def test_speed_is_measured_in_turns(pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crackscope.measuring.comparison, "_SPEED_SECONDS", 0.1)
    comparison = compare(pair, n_resamples=10)
    for run in comparison.runs:
        speed = run.images_per_s
        assert speed is not None
        assert 1 < speed.low <= speed.median <= speed.high < 1e6
    assert "images/s: median (quartiles), measured now on one thread" in comparison_text(comparison)
    row = rows_of(write_comparison(comparison, tmp_path / "out"))[0]
    assert float(row["images_per_s"]) == comparison.runs[0].images_per_s.median  # type: ignore[union-attr]
    said = json.loads((tmp_path / "out" / "comparison.json").read_text(encoding="utf-8"))["runs"][0]["images_per_s"]
    assert said["low"] <= said["median"] <= said["high"]


# What is written


def test_the_files(pair: tuple[Path, Path], tmp_path: Path) -> None:
    comparison = quickly(*pair)
    out = write_comparison(comparison, tmp_path / "new" / "out")
    assert sorted(place.name for place in out.iterdir()) == sorted(FILES)
    document = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert document == comparison_document(comparison)
    assert document["runs"][0]["accuracy"].keys() == {"value", "low", "high"}
    assert document["pairs"][0]["n_only_first_wrong"] == 4
    first, second = rows_of(out)
    assert (first["name"], first["mcnemar_p"], second["mcnemar_p"]) == ("head", "", "0.125")
    assert float(second["accuracy"]) == pytest.approx(46 / 48)
    assert second.keys() == first.keys()
    height, width, _ = matplotlib.image.imread(out / "comparison.png").shape
    assert width > height > 200
    before = {place.name: place.read_bytes() for place in out.iterdir()}
    with pytest.raises(OutputError, match="--overwrite"):
        write_comparison(comparison, out)
    write_comparison(comparison, out, overwrite=True)
    assert {place.name: place.read_bytes() for place in out.iterdir()} == before


def test_every_figure_stands_beside_calling_everything_crack(pair: tuple[Path, Path], tmp_path: Path) -> None:
    found = quickly(*pair)
    ((names, figures),) = found.baselines
    assert names == "the patches of all runs"
    assert figures == pytest.approx({"accuracy": 0.5, "f1_crack": 2 / 3, "log_loss": math.log(2)})
    line = "Calling everything crack, on the patches of all runs: Accuracy 0.500, F1 of crack 0.667, Log loss 0.693"
    assert line in comparison_text(found)
    write_comparison(found, tmp_path / "out")
    assert [float(row["accuracy_always_crack"]) for row in rows_of(tmp_path / "out")] == [0.5, 0.5]
    others = replace(found.runs[1], always_crack={**figures, "accuracy": 0.25})
    assert [names for names, _ in replace(found, runs=(found.runs[0], others)).baselines] == [
        "the patches of head",
        "the patches of full",
    ]


def test_a_notebook_shows_the_runs_and_marks_leaky_ones(pair: tuple[Path, Path]) -> None:
    found = quickly(*pair)
    text = found._repr_html_()
    assert text.count("<tr>") == 4
    assert "always crack, on the patches of all runs" in text
    assert "<td>reference</td>" in text
    assert f"<tr><th>{found.runs[1].name}</th><td>{number_text(found.runs[1].metrics['accuracy'].value)}" in text
    leaky = replace(found, runs=(replace(found.runs[0], name="<a>", leaky=True), found.runs[1]))
    assert "<th>&lt;a&gt; (leaky)</th>" in leaky._repr_html_()


def test_many_runs_with_long_and_odd_names(tmp_path: Path, bundle_file: Path) -> None:
    names = ["$x_1$ & <b>", "名前", "-".join(["long"] * 50), *(f"run-{i}" for i in range(7))]
    runs = [make_run(tmp_path / name, bundle_file, n_wrong=i, photos=i != 3) for i, name in enumerate(names)]
    comparison = quickly(*runs)
    write_comparison(comparison, tmp_path / "out")
    assert len(comparison.pairs) == 45
    lines = comparison_text(comparison).splitlines()
    assert lines[0].startswith("run ")
    assert [line.split("  ")[0] for line in lines[1:11]] == [
        *names[:2],
        f"{names[2][:24]}…{names[2][-23:]}",
        *names[3:],
    ]


# The command


def app() -> typer.Typer:
    alone = typer.Typer()
    alone.command()(command)
    return alone


def test_the_command(pair: tuple[Path, Path], tmp_path: Path) -> None:
    run = CliRunner().invoke
    told = run(app(), [*map(str, pair), "--skip-speed"])
    assert told.exit_code == 0, told.output
    assert "McNemar" in told.stdout
    assert "0.125" in told.stdout
    out = tmp_path / "out"
    told = run(app(), [*map(str, pair), "--skip-speed", "--json", "--out", str(out)])
    document = json.loads(told.stdout)
    assert (told.exit_code, document["status"], document["out"]) == (0, "done", str(out))
    assert (out / "comparison.png").is_file()
    assert isinstance(run(app(), [*map(str, pair), "--skip-speed", "--out", str(out)]).exception, OutputError)
    assert run(app(), [str(pair[0])]).exit_code == 2
    assert run(app(), []).exit_code == 2


def test_the_command_says_look(tmp_path: Path, bundle_file: Path) -> None:
    runs = [make_run(tmp_path / "a", bundle_file), make_run(tmp_path / "b", bundle_file, leaky=True)]
    told = CliRunner().invoke(app(), [*map(str, runs), "--skip-speed", "--json"])
    document = json.loads(told.stdout)
    assert (told.exit_code, document["status"], len(document["warnings"])) == (3, "warnings", 1)
