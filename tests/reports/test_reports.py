"""What is written is whole, deterministic, honest about leaks, and can be opened anywhere."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from crackscope.data.patches import Patch, PatchIndex
from crackscope.errors import DataError, ImageError, OutputError
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions, origin_text
from crackscope.measuring.metrics import METRICS, Estimate
from crackscope.measuring.wording import FIGURES, interval_text, number_text
from crackscope.reports import evaluation_report
from crackscope.reports.contact_sheet import class_samples, contact_sheet, fit_square
from crackscope.reports.evaluation_report import FILES, write_evaluation
from crackscope.reports.look import png_bytes
from crackscope.reports.plots import PLOTS
from shared.markup import ReadPage
from shared.memory_files import MemoryFiles


def make(kind: str = "usual", n: int = 240, **changes: Any) -> Evaluation:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, n)
    if kind == "one class":
        labels[:] = 0
    if kind == "only crack":
        labels[:] = 1
    probabilities = 1 / (1 + np.exp(-3 * (labels - 0.5) - rng.normal(0, 1, n)))
    if kind == "perfect":
        probabilities = np.asarray(0.05 + 0.9 * labels)
    settings: dict[str, Any] = {
        "paths": [f"D/<CD> & é/{7000 + i // 12}-{i % 12}.jpg" for i in range(n)],
        "photos": [f"{7000 + i // 12}" for i in range(n)],
        "threshold": 0.5,
        "unsure_band": (0.4, 0.6),
        "dataset": "walls & <bridges>",
        "part": "test",
        "split": "split.csv",
        "model": "model.onnx",
        "model_sha256": "ab" * 32,
        "n_leaks": 3 if kind == "leaky" else 0,
        "n_resamples": 30,
    }
    return evaluate_predictions(labels, probabilities, **{**settings, **changes})


def read_image(path: str) -> np.ndarray:
    """A picture of its own for each path."""
    rng = np.random.default_rng(sum(map(ord, path)))
    return rng.integers(60, 200, (30, 40, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Evaluation, Path]:
    out = tmp_path_factory.mktemp("reports") / "deep" / "evaluation"
    evaluation = make(refused=[("D/<b>.jpg", "empty file")])
    assert write_evaluation(evaluation, out, read_image=read_image) == out
    return evaluation, out


def test_folder_holds_every_file_and_nothing_is_left_beside_it(written: tuple[Evaluation, Path]) -> None:
    _, out = written
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    assert [path.name for path in out.parent.iterdir()] == ["evaluation"]


def test_metrics_and_predictions_can_be_read_back(written: tuple[Evaluation, Path]) -> None:
    evaluation, out = written
    document = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    assert document["accuracy"]["value"] == evaluation.metrics["accuracy"].value
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "true_label", "photo", "crack_probability", "label"]
    assert [float(row["crack_probability"]) for row in rows] == evaluation.probabilities.tolist()
    right = np.mean([row["true_label"] == row["label"] for row in rows])
    assert right == pytest.approx(document["accuracy"]["value"])


def test_page_is_well_formed_and_fetches_nothing(written: tuple[Evaluation, Path]) -> None:
    evaluation, out = written
    text = (out / "report.html").read_text(encoding="utf-8")
    page = ReadPage(text)
    n_mistakes = int((evaluation.predictions != evaluation.labels).sum())
    assert page.n_images == len(PLOTS) + min(n_mistakes, 24)
    assert all(address.startswith("data:image/") for address in page.fetched)
    assert "script" not in page.tags
    assert "@import" not in text
    assert "url(" not in text


def test_page_escapes_names_and_shows_every_figure(written: tuple[Evaluation, Path]) -> None:
    evaluation, out = written
    text = (out / "report.html").read_text(encoding="utf-8")
    assert "walls &amp; &lt;bridges&gt;" in text
    assert "<bridges>" not in text
    assert "D/&lt;b&gt;.jpg" in text
    assert "<b>.jpg" not in text
    for name, figure in FIGURES.items():
        assert figure.title in text
        assert number_text(evaluation.metrics[name].value) in text
    assert "leaky</span>" not in text
    assert str(out.parent) not in text


def test_same_evaluation_gives_the_same_bytes(written: tuple[Evaluation, Path], tmp_path: Path) -> None:
    evaluation, out = written
    write_evaluation(evaluation, tmp_path / "again", read_image=read_image)
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (out / name).read_bytes(), name


@pytest.mark.parametrize("kind", ["perfect", "one class", "only crack", "leaky"])
def test_every_kind_of_evaluation_can_be_written(tmp_path: Path, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_evaluation(make(kind), tmp_path / "out", read_image=read_image)
    text = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert ("No mistakes; the 24 patches nearest to the threshold" in text) == (kind == "perfect")


def test_a_leak_is_marked_on_every_figure(tmp_path: Path) -> None:
    write_evaluation(make("leaky"), tmp_path / "out", read_image=read_image)
    report = (tmp_path / "out" / "classification_report.txt").read_text(encoding="utf-8")
    assert all(line.startswith("leaky |") for line in report.splitlines())
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "These figures are leaky." in page
    headings = [line for line in page.splitlines() if "<h1>" in line or "<h3>" in line or 'scope="row"' in line]
    assert len(headings) == 1 + 6 + len(METRICS)
    assert all("leaky</span>" in line for line in headings)
    for draw in PLOTS.values():
        assert "(leaky)" in draw(make("leaky")).get_suptitle()
        assert "leaky" not in draw(make()).get_suptitle()


def test_text_report_is_scikit_learns_with_intervals(written: tuple[Evaluation, Path]) -> None:
    evaluation, out = written
    report = (out / "classification_report.txt").read_text(encoding="utf-8")
    assert "precision    recall  f1-score   support" in report
    assert interval_text(evaluation.metrics["auroc"]) in report
    assert origin_text(evaluation) in report


def test_a_taken_place_is_refused_unless_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write_evaluation(make(), out, read_image=read_image)
    with pytest.raises(OutputError, match="--overwrite"):
        write_evaluation(make(), out, read_image=read_image)
    write_evaluation(make("perfect"), out, read_image=read_image, overwrite=True)
    assert json.loads((out / "metrics.json").read_text())["accuracy"]["value"] == 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_overwriting_never_costs_anybody_a_file(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.onnx").write_bytes(b"precious")
    with pytest.raises(OutputError, match=r"model\.onnx"):
        write_evaluation(make(), tmp_path / "run", read_image=read_image, overwrite=True)
    assert (tmp_path / "run" / "model.onnx").read_bytes() == b"precious"
    (tmp_path / "file").write_text("precious")
    with pytest.raises(OutputError, match="not a folder"):
        write_evaluation(make(), tmp_path / "file", read_image=read_image, overwrite=True)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_folder_and_no_half_of_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: KeyboardInterrupt | OSError
) -> None:
    out = tmp_path / "out"
    write_evaluation(make(), out, read_image=read_image)
    before = (out / "metrics.json").read_bytes()

    def fail(*_: object) -> bytes:
        raise error

    monkeypatch.setattr(evaluation_report, "png_bytes", fail)
    with pytest.raises((OutputError, KeyboardInterrupt)):
        write_evaluation(make("perfect"), out, read_image=read_image, overwrite=True)
    assert (out / "metrics.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_names_that_fonts_and_formulas_trip_over(tmp_path: Path) -> None:
    paths = [f"\udcff/{'long/' * 40}桥-{i}.jpg" for i in range(240)]
    evaluation = make(dataset="桥 $x_{ " + "d" * 200, paths=paths, photos=None, part=None, split=None)
    write_evaluation(evaluation, tmp_path / "out", read_image=read_image)
    assert len(origin_text(evaluation)) < 60
    assert (tmp_path / "out" / "report.html").read_text(encoding="utf-8").count("桥") > 1


def test_one_patch(tmp_path: Path) -> None:
    evaluation = make("perfect", n=1, unsure_band=(0.5, 0.5))
    write_evaluation(evaluation, tmp_path / "out", read_image=read_image)
    assert "the only patch" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("error", [ImageError("no such file"), FileNotFoundError(2, "No such file", "a.jpg")])
def test_a_picture_that_is_gone_leaves_an_empty_tile(tmp_path: Path, error: FileNotFoundError | ImageError) -> None:
    def gone(path: str) -> np.ndarray:
        raise error

    write_evaluation(make(), tmp_path / "out", read_image=gone)
    assert (tmp_path / "out" / "mistakes.png").stat().st_size > 0


def test_pictures_are_those_of_the_patches_that_were_judged(tmp_path: Path) -> None:
    contents = {path: cv2.imencode(".png", read_image(path))[1].tobytes() for path in make().paths}
    index = PatchIndex("walls", tuple(Patch(path, "crack") for path in contents), MemoryFiles(contents))
    write_evaluation(make(index=index), tmp_path / "own")
    write_evaluation(make(), tmp_path / "given", read_image=index.read_pixels)
    for name in FILES:
        assert (tmp_path / "own" / name).read_bytes() == (tmp_path / "given" / name).read_bytes(), name
    with pytest.raises(DataError, match=r"does not know where its patches lie. Give read_image\."):
        write_evaluation(make(), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_plots_are_sharp_and_carry_no_software_or_clock() -> None:
    for draw in PLOTS.values():
        content = png_bytes(draw(make()))
        pixels = np.asarray(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
        height, width, _ = pixels.shape
        assert abs(height - 828) <= 2  # matplotlib versions round differently
        assert abs(width - 792) <= 2
        assert b"Software" not in content
        assert b"tEXt" not in content


def test_contact_sheet_shows_pictures_whole_over_their_captions() -> None:
    red = np.zeros((20, 40, 3), dtype=np.uint8)
    red[..., 0] = 255
    sheet = contact_sheet([(red, "a/very/long/path/to/some/patch.jpg\nis crack")] * 7, columns=3, side_px=64)
    assert sheet.shape == (12 + 3 * (64 + 4 + 32 + 12), 12 + 3 * 76, 3)
    assert sheet.dtype == np.uint8
    well = sheet[12 : 12 + 64, 12 : 12 + 64]
    assert (well[32, 32] == (255, 0, 0)).all()  # RGB, the middle of the picture
    assert (well[4, 32] == well[60, 32]).all()  # the well above and below a wide picture
    caption = sheet[12 + 68 : 12 + 100, 12 : 12 + 64]
    assert (caption < 160).any()


def test_contact_sheet_without_pictures_or_captions() -> None:
    assert contact_sheet([], title="nothing").shape[0] < 60
    plain = contact_sheet([(np.zeros((8, 8, 3), np.uint8), "")], columns=1, side_px=32)
    assert plain.shape == (12 + 32 + 12, 12 + 32 + 12, 3)


def test_class_samples_show_each_label() -> None:
    images = {label: [np.full((16, 16, 3), 90, np.uint8)] * 3 for label in ("uncracked", "crack")}
    sheet = class_samples(images, {"uncracked": 20_000, "crack": 8_484}, columns=2, side_px=64)
    one = contact_sheet([(image, "") for image in images["crack"]], columns=2, side_px=64, title="x")
    assert sheet.shape == (2 * one.shape[0], one.shape[1], 3)
    with pytest.raises(DataError, match="No label"):
        class_samples({}, {})


@pytest.mark.parametrize("pixels", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)])
def test_pixels_that_are_not_rgb_are_refused(pixels: Any) -> None:
    with pytest.raises(DataError, match="not RGB uint8"):
        fit_square(pixels, 64)


def test_every_metric_has_words_and_intervals_read_well() -> None:
    assert tuple(FIGURES) == METRICS
    assert interval_text(Estimate(0.5, float("nan"), float("nan"))) == ""
    assert number_text(-0.12) == "-0.120"
