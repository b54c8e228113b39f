"""May this model be used here: go, no-go, or how many more to label; never go on what it was trained on."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from playwright.sync_api import Browser

import crackscope
from crackscope.acceptance.decision import decide, n_more_to_know
from crackscope.acceptance.site_variants import FIGURES, counts_by_photo, features_of, try_variants
from crackscope.data.similarity import fingerprints
from crackscope.drawing.walls import draw_dataset
from crackscope.errors import DataError, OutputError
from crackscope.measuring.clustered_shares import Share, measure_share
from crackscope.measuring.evaluation import Evaluation, evaluate_predictions
from crackscope.measuring.metrics import Estimate
from crackscope.measuring.wording import LEAKY
from crackscope.model.bundle import Head, compose, read_backbone, write_model
from crackscope.model.provenance import describe_training_data
from crackscope.model.sessions import open_session, run_patches
from crackscope.reports.acceptance_report import FILES, TITLES, advice, headline, verdicts, write_acceptance
from shared.command import run
from shared.markup import ReadPage
from shared.models import tiny_card

USUAL: dict[str, Any] = {"min_recall": 0.9, "max_false_alarms": 0.1}
Make = Callable[..., crackscope.Acceptance]


def share(low: float, high: float) -> Share:
    return Share(1, 2, 2, Estimate((low + high) / 2, low, high), 0.1, 2.0)


def sample_of(
    seed: int = 0, *, n_photos: int = 14, each: int = 16, skill: float = 5.0, photos: bool = True, n_seen: int = 0
) -> Evaluation:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n_photos * each)
    probabilities = 1 / (1 + np.exp(-rng.normal(skill * (labels - 0.5), 1)))
    return evaluate_predictions(
        labels,
        probabilities,
        paths=[f"<wall> & é/{i}.jpg" for i in range(len(labels))],
        photos=[f"{i // each}" for i in range(len(labels))] if photos else None,
        threshold=0.5,
        unsure_band=(0.5, 0.5),
        dataset="bridges & <walls>",
        model="tiny@0123",
        model_sha256="ab" * 32,
        n_seen=n_seen,
        refused=[("torn.jpg", "the file is empty")],
        n_resamples=20,
    )


def acceptance_of(sample: Evaluation, decision: str = "undecided", **changes: Any) -> crackscope.Acceptance:
    features = np.random.default_rng(0).normal(0, 1, (sample.n_patches, 4)).astype(np.float32)
    variants, why_not = try_variants(sample, features, **USUAL, n_resamples=20)
    found = crackscope.Acceptance(sample, 0.9, 0.1, decision, None, None, variants, why_not)
    return replace(found, **changes)


# The decision


@pytest.mark.parametrize(
    ("recall", "alarms", "decision"),
    [
        ((0.91, 0.99), (0.01, 0.09), "go"),
        ((0.90, 1.00), (0.00, 0.10), "go"),
        ((0.89, 0.99), (0.01, 0.09), "undecided"),
        ((0.91, 0.99), (0.01, 0.11), "undecided"),
        ((0.80, 0.89), (0.01, 0.09), "no-go"),
        ((0.91, 0.99), (0.11, 0.30), "no-go"),
        ((0.85, 0.95), (0.11, 0.30), "no-go"),
        ((0.80, 0.90), (0.10, 0.30), "undecided"),
    ],
)
def test_the_decision_is_where_the_intervals_lie(
    recall: tuple[float, float], alarms: tuple[float, float], decision: str
) -> None:
    assert decide(share(*recall), share(*alarms), min_recall=0.9, max_false_alarms=0.1) == decision


def test_without_an_interval_there_is_no_go() -> None:
    none = share(math.nan, math.nan)
    assert decide(none, share(0.0, 0.05), min_recall=0.5, max_false_alarms=0.1) == "undecided"
    assert decide(share(0.9, 1.0), none, min_recall=0.5, max_false_alarms=0.1) == "undecided"
    assert decide(none, share(0.2, 0.3), min_recall=0.5, max_false_alarms=0.1) == "no-go"


def counts(rate: float, n_photos: int = 10, each: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Hits spread as evenly as they go."""
    hits = np.diff(np.floor(rate * each * np.arange(n_photos + 1) + 1e-9)).astype(int)
    return hits, np.full(n_photos, each)


def test_more_photos_lead_where_the_rates_point_and_fewer_do_where_they_are_far_off() -> None:
    far = n_more_to_know(counts(0.97), counts(0.05), **USUAL, most=500)
    near = n_more_to_know(counts(0.94), counts(0.05), **USUAL, most=500)
    assert far[0] == near[0] == "go"
    assert far[1] is not None
    assert near[1] is not None
    assert 1 <= far[1] < near[1] <= 500
    word, n_more = n_more_to_know(counts(0.86), counts(0.05), **USUAL, most=500)
    assert word == "no-go"
    assert n_more is not None


def test_where_a_rate_lies_on_the_requirement_no_sample_of_reasonable_size_tells() -> None:
    assert n_more_to_know(counts(0.9), counts(0.05), **USUAL, most=500) == ("go", None)
    assert n_more_to_know(counts(0.95), counts(0.101, 20, 50), **USUAL, most=500)[1] is None


def test_after_as_many_more_as_advised_the_decision_comes() -> None:
    cracked, uncracked = counts(0.96), counts(0.04)
    word, n_more = n_more_to_know(cracked, uncracked, **USUAL, most=500)
    assert n_more is not None
    grown = 10 + n_more
    after = [measure_share(*counts(rate, grown)) for rate in (0.96, 0.04)]
    assert decide(after[0], after[1], **USUAL) == word == "go"


# Variants of the model


def test_variants_are_measured_on_folds_and_the_model_as_it_is_on_all() -> None:
    sample = sample_of()
    features = np.random.default_rng(0).normal(0, 1, (sample.n_patches, 4)).astype(np.float32)
    variants, why_not = try_variants(sample, features, **USUAL, n_resamples=20)
    assert list(variants) == list(TITLES)
    assert why_not == {}
    own = variants["as_it_is"]
    assert (own.n_folds, own.threshold) == (None, 0.5)
    assert own.recall.estimate.value == sample.metrics["recall_crack"].value
    assert own.false_alarms.estimate.value == sample.metrics["false_alarm_rate"].value
    for one in variants.values():
        assert set(one.figures) == set(FIGURES)
        assert one.recall.n == sample.n_crack
        assert one.recall.n_hits == one.said[sample.labels == 1].sum()
        assert one.false_alarms.n_hits == one.said[sample.labels == 0].sum()
    assert variants["site_threshold"].n_folds == 5
    assert variants["site_threshold"].figures["auroc"] == sample.metrics["auroc"]
    assert variants["adapted_head"].threshold is None


def test_counts_by_photo_add_up() -> None:
    sample = sample_of(n_photos=5)
    for label in (0, 1):
        hits, of = counts_by_photo(sample, sample.predictions == 1, label)
        assert len(of) == 5
        assert of.sum() == (sample.labels == label).sum()
        assert hits.sum() == ((sample.labels == label) & (sample.predictions == 1)).sum()


def test_too_few_photos_are_said_to_be_too_few() -> None:
    sample = sample_of(n_photos=2)
    variants, why_not = try_variants(sample, np.zeros((sample.n_patches, 4), np.float32), **USUAL, n_resamples=0)
    assert list(variants) == ["as_it_is", "site_threshold"]
    assert "2 photos hold a cracked patch" in why_not["adapted_head"]
    assert "it takes 3 of each" in why_not["adapted_head"]
    assert try_variants(sample_of(), "no features", **USUAL, n_resamples=0)[1] == {"adapted_head": "no features"}


def test_features_are_those_of_the_bundle(drawn: Path, bundle_file: Path) -> None:
    index = crackscope.read_patches(drawn)
    few = index.select(index.patches[:5])
    bundle = crackscope.read_bundle(bundle_file)
    found = features_of(few, bundle, threads=1)
    expected = run_patches(
        open_session(bundle.content),
        [few.read_pixels(path) for path in few.paths],
        "features",
        patch_px=bundle.card.patch_px,
    )
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=1e-5)


# The test itself


@pytest.fixture(scope="module")
def model(drawn: Path, backbone_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A bundle with a head fitted to the drawn walls, which its card does not tell, or does."""

    def make(**changes: Any) -> Path:
        index = crackscope.read_patches(drawn)
        first = tmp_path_factory.mktemp("model") / "first.onnx"
        head = Head(np.ones((1, 16), np.float32), np.zeros(1, np.float32), temperature=2.0)
        write_model(compose(read_backbone(backbone_file), head, tiny_card()), first)
        features = features_of(index, crackscope.read_bundle(first), threads=1)
        labels = np.array([patch.label == "crack" for patch in index.patches], float)
        rows = np.c_[np.asarray(features, float), np.ones(len(labels))]
        weights = np.linalg.lstsq(rows, 20 * (labels - 0.5), rcond=None)[0]
        head = Head(weights[None, :-1].astype(np.float32), weights[-1:].astype(np.float32), temperature=2.0)
        place = first.with_name("model.onnx")
        write_model(compose(read_backbone(backbone_file), head, tiny_card(**changes)), place)
        return place

    return make


@pytest.fixture(scope="module")
def fitted(model: Callable[..., Path]) -> Path:
    return model()


def test_one_model_gets_every_decision_by_what_is_required(drawn: Path, fitted: Path) -> None:
    def decided(min_recall: float, max_false_alarms: float) -> crackscope.Acceptance:
        return crackscope.accept(
            drawn, fitted, min_recall=min_recall, max_false_alarms=max_false_alarms, n_resamples=10, threads=1
        )

    found = decided(0.05, 0.95)
    assert (found.decision, found.leads_to, found.n_more, found.unit) == ("go", None, None, "photo")
    assert found.evaluation.n_photos == 12
    own = found.as_it_is
    assert 0.5 < own.recall.estimate.value < 1
    assert decided(0.999, 0.95).decision == "no-go"
    between = (own.recall.estimate.value + own.recall.estimate.low) / 2
    undecided = decided(between, 0.95)
    assert (undecided.decision, undecided.leads_to) == ("undecided", "go")
    assert undecided.n_more is not None
    assert undecided.n_more > 1
    again = decided(between, 0.95)
    assert again.document() == undecided.document()


def test_a_model_that_was_trained_on_the_sample_is_never_let_go(drawn: Path, model: Callable[..., Path]) -> None:
    index = crackscope.read_patches(drawn)
    seen = describe_training_data(index.select(index.patches[:1]), fingerprints(index, threads=1).digests[:1])
    found = crackscope.accept(
        drawn, model(training_data=seen), min_recall=0.05, max_false_alarms=0.95, n_resamples=10, threads=1
    )
    assert (found.decision, found.n_more, found.leaky, found.evaluation.n_seen) == ("undecided", None, True, 1)
    assert headline(found) == "Undecided: the model was trained on this sample"
    assert verdicts(found) == ("not shown", "not shown")
    assert found.document()["leaky"] is True


def test_without_photos_patches_count_for_themselves_and_it_says_so(drawn: Path, fitted: Path) -> None:
    index = crackscope.read_patches(drawn)
    photoless = index.select([replace(patch, photo=None) for patch in index.patches])
    found = crackscope.accept(photoless, fitted, n_resamples=10, threads=1)
    assert (found.unit, found.evaluation.n_photos) == ("patch", None)
    assert found.as_it_is.recall.n_effective == pytest.approx(found.as_it_is.recall.n)
    assert any("each patch counts as one photo" in item for item in advice(found))


@pytest.mark.parametrize("wrong", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_requirement_that_no_sample_can_show_is_an_error(drawn: Path, fitted: Path, wrong: float) -> None:
    with pytest.raises(DataError, match=r"min_recall .* is not between 0 and 1"):
        crackscope.accept(drawn, fitted, min_recall=wrong)
    with pytest.raises(DataError, match=r"max_false_alarms .* is not between 0 and 1"):
        crackscope.accept(drawn, fitted, max_false_alarms=wrong)


def test_one_label_or_one_photo_alone_is_an_error(drawn: Path, fitted: Path) -> None:
    index = crackscope.read_patches(drawn)
    with pytest.raises(DataError, match="an acceptance test needs both labels"):
        crackscope.accept(index.select([p for p in index.patches if p.label == "crack"]), fitted)
    with pytest.raises(DataError, match="all patches are from one photo"):
        crackscope.accept(index.select([replace(p, photo="one") for p in index.patches[:20]]), fitted, threads=1)


def spoilt(drawn: Path, folder: Path, spoil: Callable[[int, str], bool]) -> Path:
    """Six patches of each label, four photos, some without content."""
    index = crackscope.read_patches(drawn)
    rows = []
    folder.mkdir()
    for label in ("crack", "uncracked"):
        for i, patch in enumerate([p for p in index.patches if p.label == label][:6]):
            name = f"{label}-{i}.jpg"
            (folder / name).write_bytes(b"" if spoil(i, label) else index.files.read(patch.path))
            rows.append(f"{name},{label},{i % 4}")
    (folder / "labels.csv").write_text("\n".join(["path,label,photo", *rows]) + "\n")
    return folder


def test_an_unreadable_patch_is_counted_and_in_no_figure(drawn: Path, fitted: Path, tmp_path: Path) -> None:
    found = crackscope.accept(
        spoilt(drawn, tmp_path / "some", lambda i, label: i == 0 and label == "crack"), fitted, n_resamples=0, threads=1
    )
    assert found.evaluation.refused == (("crack-0.jpg", "the file is empty"),)
    assert (found.as_it_is.recall.n, found.as_it_is.false_alarms.n) == (5, 6)
    assert found.document()["refused"] == [{"path": "crack-0.jpg", "reason": "the file is empty"}]
    with pytest.raises(DataError, match="on what can be read, needs both labels"):
        crackscope.accept(spoilt(drawn, tmp_path / "all", lambda _, label: label == "crack"), fitted, threads=1)


# The page


def page_of(found: crackscope.Acceptance, folder: Path) -> ReadPage:
    out = write_acceptance(found, folder, command="crackscope accept <data>")
    page = ReadPage((out / "report.html").read_text("utf-8"))
    assert page.fetched == []
    page.text = " ".join(page.text.split())
    return page


def test_the_folder_holds_page_figures_and_answers(tmp_path: Path) -> None:
    found = acceptance_of(sample_of(), "go")
    write_acceptance(found, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    document = json.loads((tmp_path / "out" / "acceptance.json").read_text())
    assert document == json.loads(json.dumps(found.document()))
    assert list(document["variants"]) == list(TITLES)
    with (tmp_path / "out" / "predictions.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == list(found.evaluation.paths)
    for name, one in found.variants.items():
        assert [row[f"label_{name}"] == "crack" for row in rows] == one.said.tolist()
    with pytest.raises(OutputError, match="exists"):
        write_acceptance(found, tmp_path / "out")


def test_a_notebook_shows_the_decision_and_every_variant() -> None:
    text = acceptance_of(sample_of(), "go")._repr_html_()
    assert ": go</caption>" in text
    assert "<th>Recall of crack, at least 0.9</th>" in text
    assert "<tr><th>as it is</th><td>" in text


def test_the_page_says_the_decision_the_figures_and_what_was_judged(tmp_path: Path) -> None:
    found = acceptance_of(sample_of(), "undecided", leads_to="go", n_more=1)
    text = page_of(found, tmp_path / "out").text
    own = found.as_it_is
    for part in (
        "Undecided: label 1 more photo to know",
        f"finds {own.recall.n_hits} of {own.recall.n} cracked patches",
        "The requirement of at least 90.0 % is",
        "the decision is then go with a probability of about 80%",
        "bridges & <walls>",
        "ab" * 32,
        "224 patches from 14 photos",
        "crackscope accept <data>",
        "the file is empty",
        *TITLES.values(),
    ):
        assert part in text, part
    assert LEAKY not in text.lower()


@pytest.mark.parametrize(
    ("decision", "changes", "told"),
    [
        ("go", {}, "Go: this model may be used on this site"),
        ("no-go", {}, "No-go: do not use this model on this site"),
        ("undecided", {"leads_to": "no-go", "n_more": 1200}, "Undecided: label 1,200 more photos to know"),
        ("undecided", {"leads_to": "go"}, "Undecided: no sample of reasonable size would tell"),
    ],
)
def test_every_decision_has_its_words(decision: str, changes: dict[str, Any], told: str, tmp_path: Path) -> None:
    found = acceptance_of(sample_of(), decision, **changes)
    assert headline(found) == told
    assert told in page_of(found, tmp_path / "out").text
    assert len(advice(found)) >= 1


def test_a_leaky_page_marks_every_figure(tmp_path: Path) -> None:
    found = acceptance_of(sample_of(n_seen=7))
    page = page_of(found, tmp_path / "out")
    assert "The model was trained on 7 of these " in page.text
    assert page.text.count(LEAKY) >= 12


def test_the_banner_of_a_leaky_page_tells_the_leak_though_patches_are_rejected(tmp_path: Path) -> None:
    sample = sample_of(n_seen=7)
    found = acceptance_of(replace(sample, reasons=("blurred", *[None] * (sample.n_patches - 1))))
    assert "The model rejects 1 patch" in advice(found)[1]
    banner = page_of(found, tmp_path / "out").text.partition("These figures are leaky.")[2]
    assert banner.startswith(" The model was trained on 7 of these ")


def test_a_better_threshold_or_head_is_offered_only_where_the_model_is_not_accepted() -> None:
    sample = sample_of(skill=5.0)
    shifted = replace(sample, probabilities=sample.probabilities * 0.5)
    found = acceptance_of(shifted, "no-go")
    assert any("suits the two requirements better" in item for item in advice(found))
    assert not any("A head fitted" in item for item in advice(found))  # its features are noise
    assert not any("suits" in item for item in advice(replace(found, decision="go")))
    telling = np.repeat(sample.labels[:, None], 3, axis=1).astype(np.float32)
    variants, _ = try_variants(shifted, telling, **USUAL, n_resamples=0)
    assert any("A head fitted" in item for item in advice(replace(found, variants=variants)))


@pytest.mark.slow
def test_the_page_fits_one_sheet_and_every_window(browser: Browser, tmp_path: Path) -> None:
    """A4 with margins of 11 mm, and windows down to a narrow phone."""
    usual = acceptance_of(sample_of(), "undecided", leads_to="go", n_more=42)
    write_acceptance(usual, tmp_path / "out")
    for width in (1280, 390, 320):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto((tmp_path / "out" / "report.html").as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.pdf(format="A4").count(b"/Type /Page\n") == 1


# The command


def test_the_command_leaves_with_0_on_go_and_3_on_all_else(
    drawn: Path, fitted: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("accept", drawn, "--model", fitted, "--threads", 1, "--out", tmp_path / "out")
    assert run(monkeypatch, *command, "--min-recall", 0.05, "--max-false-alarms", 0.95) == 0
    text = capsys.readouterr().out
    assert text.startswith("Go: this model may be used on this site\n")
    for title in TITLES.values():
        assert title.lower() in text
    assert run(monkeypatch, *command) == 1
    assert "exists" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--min-recall", 0.999, "--overwrite", "--json") == 3
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["decision"], document["out"]) == ("no-go", "no-go", str(tmp_path / "out"))
    assert document["variants"]["as_it_is"]["recall_crack"]["n_photos"] >= 2
    written = json.loads((tmp_path / "out" / "acceptance.json").read_text())
    assert {**written, "status": "no-go", "out": str(tmp_path / "out")} == document


def test_help_ends_with_an_example(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, "accept", "--help") == 0
    told = capsys.readouterr().out
    assert "Example: crackscope accept" in " ".join(told[: told.index("Options")].split())


def test_wrong_usage_is_2_and_a_requirement_at_an_end_is_1(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "accept", drawn, "--min-recall", 1.2, "--out", tmp_path / "out") == 2
    assert run(monkeypatch, "accept", drawn, "--max-false-alarms", -0.1, "--out", tmp_path / "out") == 2
    assert run(monkeypatch, "accept", drawn, "--min-recall", 1, "--out", tmp_path / "out") == 1
    assert "is not between 0 and 1" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


# What the gate rejects


def test_a_crack_that_is_rejected_is_not_found_and_the_page_says_so(tmp_path: Path) -> None:
    site = draw_dataset(tmp_path / "site", n_photos=10, patches_per_photo=9, side_px=227, seed=1)
    for file in [path for path in site.parent.rglob("*") if path.suffix in (".jpg", ".png")]:
        cv2.imwrite(str(file), cv2.GaussianBlur(np.asarray(cv2.imread(str(file))), (0, 0), 3))
    found = crackscope.accept(site, min_recall=0.3, max_false_alarms=0.5, threads=1)
    sample = found.evaluation
    assert sample.rejected.sum() > 0.8 * sample.n_patches
    n_crack = int((sample.rejected & (sample.labels == 1)).sum())
    assert found.as_it_is.recall.estimate.value <= 1 - n_crack / sample.n_crack
    assert not (found.as_it_is.said & sample.rejected).any()
    assert not any((one.said & sample.rejected).any() for one in found.variants.values())
    assert found.decision == "no-go"
    document: dict[str, Any] = found.document()
    assert document["rejected"]["crack"] == n_crack
    assert document["rejected"]["reasons"]["blurred"] > 0
    assert f"{n_crack:,} of them show a crack; rejected cracks count as not found" in advice(found)[0]
    table = (write_acceptance(found, tmp_path / "out") / "predictions.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(table.splitlines()))
    assert sum(row["reason"] != "" for row in rows) == sample.rejected.sum()
