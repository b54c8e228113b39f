"""Corruptions do what their names say, harder with every strength; and a model is measured on each of them."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import crackscope
from crackscope.cli.robustness import _read_sample
from crackscope.data.splits import split, write_split
from crackscope.drawing.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from crackscope.errors import DataError, ImageError, OutputError, SplitError
from crackscope.measuring.wording import number_text
from crackscope.reports.robustness_report import FILES, MEANINGS, write_robustness
from shared.command import run
from shared.markup import ReadPage
from shared.pages import violations
from shared.pictures import read_pixels

if TYPE_CHECKING:
    from playwright.sync_api import Browser

N_CONDITIONS = 1 + len(CORRUPTIONS) * len(STRENGTHS)


@pytest.fixture(scope="module")
def patch() -> np.ndarray:
    return crackscope.draw_patch(3, side_px=160).pixels


def distance(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def sharpness(pixels: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


# Corruptions


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from(sorted(CORRUPTIONS)),
    st.sampled_from(STRENGTHS),
    st.tuples(st.integers(16, 70), st.integers(16, 70)),
    st.integers(0, 99),
)
def test_any_patch_keeps_its_shape_and_the_same_patch_gives_the_same_view(
    name: str, strength: int, hw: tuple[int, int], seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*hw, 3), dtype=np.uint8)
    before = pixels.copy()
    view = corrupt(pixels, name, strength)
    assert view.shape == pixels.shape
    assert view.dtype == np.uint8
    np.testing.assert_array_equal(pixels, before)
    np.testing.assert_array_equal(view, corrupt(pixels.copy(), name, strength))


@pytest.mark.parametrize(
    "name", ["motion_blur", "defocus", "noise", "jpeg", "brightness", "contrast", "shadow_edge", "stain"]
)
def test_a_greater_strength_changes_more(patch: np.ndarray, name: str) -> None:
    changes = [distance(patch, corrupt(patch, name, strength)) for strength in STRENGTHS]
    assert changes[0] > 0
    assert changes == sorted(changes)


@pytest.mark.parametrize("name", ["motion_blur", "defocus"])
def test_blur_takes_sharpness_away_step_by_step(patch: np.ndarray, name: str) -> None:
    left = [sharpness(patch), *(sharpness(corrupt(patch, name, strength)) for strength in STRENGTHS)]
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.2 * left[0]


def test_blur_keeps_the_mean_level(patch: np.ndarray) -> None:
    for name in ("motion_blur", "defocus"):
        np.testing.assert_allclose(corrupt(patch, name, 5).mean((0, 1)), patch.mean((0, 1)), atol=2)


def test_contrast_shrinks_by_its_factor_about_the_mean(patch: np.ndarray) -> None:
    for strength, factor in zip(STRENGTHS, CORRUPTIONS["contrast"][0], strict=True):
        view = corrupt(patch, "contrast", strength)
        assert view.std() == pytest.approx(factor * patch.std(), rel=0.05)
        np.testing.assert_allclose(view.mean((0, 1)), patch.mean((0, 1)), atol=1)


def test_noise_has_its_deviation() -> None:
    grey = np.full((120, 120, 3), 128, np.uint8)
    for strength, deviation in zip(STRENGTHS[:4], CORRUPTIONS["noise"][0], strict=False):
        assert corrupt(grey, "noise", strength).std() == pytest.approx(deviation, rel=0.05)


def test_a_shadow_and_a_stain_darken_a_part_and_leave_the_rest() -> None:
    grey = np.full((120, 120, 3), 200, np.uint8)
    for name in ("shadow_edge", "stain"):
        view = corrupt(grey, name, 5)
        untouched = (view == 200).all(axis=2)
        assert 0.1 < untouched.mean() < 0.95
        assert view[~untouched].min() < 200 * 0.45


def test_a_patch_seen_from_nearer_or_farther_is_scaled_about_its_middle() -> None:
    dot = np.zeros((101, 101, 3), np.uint8)
    cv2.circle(dot, (50, 50), 16, (255, 255, 255), -1)
    area = (dot[..., 0] > 127).sum()
    near = corrupt(dot, "larger", 5)
    assert (near[..., 0] > 127).sum() == pytest.approx(4 * area, rel=0.05)
    far = corrupt(dot, "smaller", 3)
    inner = far[25:76, 25:76, 0]
    assert (inner > 127).sum() == pytest.approx(area / 4, rel=0.15)


def test_a_turned_line_is_turned() -> None:
    line = np.zeros((101, 101, 3), np.uint8)
    line[:, 48:53] = 255
    for strength, degrees in zip(STRENGTHS, CORRUPTIONS["rotation"][0], strict=True):
        y, x = np.nonzero(corrupt(line, "rotation", strength)[20:81, 20:81, 0] > 127)
        (direction_y, direction_x) = np.linalg.svd(np.stack([y - y.mean(), x - x.mean()], 1), full_matrices=False)[2][0]
        assert abs(np.degrees(np.arctan2(abs(direction_x), abs(direction_y)))) == pytest.approx(degrees, abs=2.5)


def test_what_there_is_not_is_an_error(patch: np.ndarray) -> None:
    with pytest.raises(KeyError):
        corrupt(patch, "rain", 1)
    for strength in (0, 6):
        with pytest.raises(IndexError):
            corrupt(patch, "jpeg", strength)


# A model on each of them


@pytest.fixture(scope="module")
def found(drawn: Path, bundle_file: Path) -> crackscope.Robustness:
    return crackscope.measure_robustness(drawn, bundle_file, max_patches=20, n_resamples=20, threads=1)


def test_every_condition_is_there_once_and_clean_is_first(found: crackscope.Robustness) -> None:
    named = [(one.corruption, one.strength) for one in found.conditions]
    assert len(set(named)) == len(named) == N_CONDITIONS
    assert named[0] == ("clean", 0)
    assert found.clean is found.conditions[0]
    assert [one.strength for one in found.of("jpeg")] == [1, 2, 3, 4, 5]


def test_the_figures_are_those_of_the_corrupted_patches(drawn: Path, bundle_file: Path) -> None:
    index = crackscope.read_patches(drawn)
    few = index.select(
        [p for p in index.patches if p.label == "crack"][:4] + [p for p in index.patches if p.label != "crack"][:4]
    )
    model = crackscope.load(bundle_file, threads=1)
    found = crackscope.measure_robustness(few, model, n_resamples=0)
    labels = few.labels == 1
    for one in (found.clean, found.of("contrast")[4], found.of("motion_blur")[0]):
        views = [few.read_pixels(path) for path in few.paths]
        if one.strength:
            views = [corrupt(view, one.corruption, one.strength) for view in views]
        said = model.probabilities(views) >= model.card.patch.threshold
        assert one.figures["recall_crack"].value == pytest.approx(said[labels].mean())
        assert one.figures["false_alarm_rate"].value == pytest.approx(said[~labels].mean())
        assert one.error == pytest.approx(1 - (said[labels].mean() + 1 - said[~labels].mean()) / 2)
    errors = [np.mean([one.error for one in found.of(name)]) for name in CORRUPTIONS]
    assert found.mean_corruption_error == pytest.approx(np.mean(errors))


def test_the_draw_is_balanced_seeded_and_no_larger_than_asked(
    drawn: Path, bundle_file: Path, found: crackscope.Robustness
) -> None:
    assert (found.n_patches, found.n_crack) == (20, 10)
    again = crackscope.measure_robustness(drawn, bundle_file, max_patches=20, n_resamples=20, threads=2)
    assert again.document() == found.document()
    index = crackscope.read_patches(drawn)
    cracks = [p for p in index.patches if p.label == "crack"]
    skewed = index.select(
        sorted([*cracks[:3], *(p for p in index.patches if p.label != "crack")], key=lambda p: p.path)
    )
    few = crackscope.measure_robustness(skewed, bundle_file, max_patches=8, n_resamples=0, threads=1)
    assert (few.n_patches, few.n_crack) == (8, 3)


def test_one_label_alone_says_nothing(drawn: Path, bundle_file: Path) -> None:
    index = crackscope.read_patches(drawn)
    with pytest.raises(DataError, match="needs both labels"):
        crackscope.measure_robustness(index.select([p for p in index.patches if p.label == "crack"]), bundle_file)


def test_the_folder_holds_figures_chart_and_samples(
    found: crackscope.Robustness, patch: np.ndarray, tmp_path: Path
) -> None:
    write_robustness(found, tmp_path / "out", read_image=lambda _: patch)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(FILES)
    document = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert document == json.loads(json.dumps(found.document()))
    with (tmp_path / "out" / "robustness.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == N_CONDITIONS
    assert float(rows[7]["recall_crack"]) == pytest.approx(found.conditions[7].figures["recall_crack"].value, abs=1e-5)
    for name in ("robustness.png", "corruptions.png"):
        assert read_pixels(tmp_path / "out" / name).std() > 10
    with pytest.raises(OutputError, match="exists"):
        write_robustness(found, tmp_path / "out")


def test_the_page_says_every_figure_beside_its_baseline_and_needs_nothing_else(
    found: crackscope.Robustness, patch: np.ndarray, tmp_path: Path
) -> None:
    assert sorted(MEANINGS) == sorted(CORRUPTIONS)
    write_robustness(found, tmp_path / "out", read_image=lambda _: patch)
    text = (tmp_path / "out" / "report.html").read_text()
    page = ReadPage(text)
    words = " ".join(page.text.split())
    for name, meaning in MEANINGS.items():
        assert f"{name.replace('_', ' ')} {meaning}" in words
    assert "calling everything crack" in page.text
    assert number_text(found.mean_corruption_error) in page.text
    assert page.n_images == 2
    assert all(address.startswith("data:image/") for address in page.fetched)
    assert "leaky" not in page.text
    write_robustness(replace(found, n_seen=3, n_seen_by_backbone=3, index=None), tmp_path / "leaky")
    leaky = ReadPage((tmp_path / "leaky" / "report.html").read_text())
    assert "The model's backbone was trained on 3 of these 20 patches" in leaky.text
    assert leaky.text.count("leaky") >= 5


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_and_the_width_of_the_page(
    browser: Browser, found: crackscope.Robustness, patch: np.ndarray, tmp_path: Path, width: int, scheme: Any
) -> None:
    gated = [replace(one, rejected_share=0.1, missed_unrejected=0.2) for one in found.conditions]
    out = write_robustness(replace(found, conditions=tuple(gated)), tmp_path / "out", read_image=lambda _: patch)
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto((out / "report.html").as_uri())
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


def test_a_leaking_split_is_refused_and_its_figures_are_marked_if_it_is_allowed(
    drawn: Path, bundle_file: Path, tmp_path: Path
) -> None:
    assigned = split(drawn, val=0.25, test=0.25)
    first = next(patch for patch in assigned.patches if patch.part == "train")
    moved = [replace(patch, part="test") if patch is first else patch for patch in assigned.patches]
    write_split(replace(assigned, patches=tuple(moved)), tmp_path / "leaking.csv")
    options: dict[str, Any] = {"max_patches": 8, "n_resamples": 0, "threads": 1, "split": tmp_path / "leaking.csv"}
    with pytest.raises(SplitError, match=r"in both train and test.*--allow-leakage"):
        crackscope.measure_robustness(drawn, bundle_file, **options)
    allowed = crackscope.measure_robustness(drawn, bundle_file, allow_leakage=True, **options)
    assert (allowed.n_leaks, allowed.n_seen, allowed.leaky) == (1, 0, True)
    assert allowed.document()["leaky"] is True
    assert "(leaky)" in allowed._repr_html_()
    clean = crackscope.measure_robustness(drawn, bundle_file, **{**options, "split": assigned})
    assert (clean.n_leaks, clean.leaky) == (0, False)


def test_a_notebook_shows_every_corruption(found: crackscope.Robustness) -> None:
    text = found._repr_html_()
    for name in CORRUPTIONS:
        assert f"<tr><th>{name.replace('_', ' ')}</th>" in text
    assert text.count(" / ") == 2 + N_CONDITIONS


def test_one_label_that_cannot_be_read_is_told(drawn: Path, bundle_file: Path) -> None:
    index = crackscope.read_patches(drawn)
    crack, other = (next(p for p in index.patches if p.label == label) for label in ("crack", "uncracked"))
    gone = index.select([replace(crack, path="crack/gone.jpg"), other])
    with pytest.raises(DataError, match="robustness, on what can be read, needs both labels; found 0 crack"):
        crackscope.measure_robustness(gone, bundle_file, n_resamples=0, threads=1)


def test_the_command_tells_a_table_and_a_document(
    drawn: Path, bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = (
        "robustness",
        drawn,
        "--model",
        bundle_file,
        "--max-patches",
        8,
        "--threads",
        1,
        "--out",
        tmp_path / "out",
    )
    assert run(monkeypatch, *command) == 0
    text = capsys.readouterr().out
    for name in CORRUPTIONS:
        assert name.replace("_", " ") in text
    assert "mean corruption error" in text
    assert "calling everything crack: 1.000 / 1.000, error 0.500" in text
    assert run(monkeypatch, *command) == 1
    assert "exists" in capsys.readouterr().err
    assert run(monkeypatch, *command, "--overwrite", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["status"], document["n_patches"], len(document["conditions"])) == ("done", 8, N_CONDITIONS)


def test_a_file_that_cannot_be_read_costs_nobody_else(
    drawn: Path, bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index = crackscope.read_patches(drawn)
    for label in ("crack", "uncracked"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for i, one in enumerate([p for p in index.patches if p.label == label][:3]):
            (tmp_path / "data" / label / f"{i}.jpg").write_bytes(index.files.read(one.path))
    (tmp_path / "data" / "crack" / "0.jpg").write_bytes(b"")
    command = ("robustness", tmp_path / "data", "--model", bundle_file, "--out", tmp_path / "out", "--json")
    assert run(monkeypatch, *command) == 3
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["status"], document["n_patches"], document["n_refused"]) == ("refused", 5, 1)
    assert "the file is empty" in captured.err


def test_an_unreadable_crack_that_is_not_judged_costs_no_figures(
    drawn: Path, bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    index = crackscope.read_patches(drawn)
    rows = ["path,label,part", "0.jpg,crack,train"]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.jpg").write_bytes(b"")
    for label in ("crack", "uncracked"):
        one = next(patch for patch in index.patches if patch.label == label)
        (tmp_path / "data" / f"{label}.jpg").write_bytes(index.files.read(one.path))
        rows.append(f"{label}.jpg,{label},test")
    (tmp_path / "data" / "labels.csv").write_text("\n".join(rows))
    command = ("robustness", tmp_path / "data", "--model", bundle_file, "--out", tmp_path / "out", "--json")
    assert run(monkeypatch, *command) == 0
    assert json.loads(capsys.readouterr().out)["n_patches"] == 2
    assert read_pixels(tmp_path / "out" / "corruptions.png").std() > 10
    with pytest.raises(ImageError):
        _read_sample(crackscope.read_patches(tmp_path / "data"), "0.jpg")
    assert "0.jpg: the file is empty; the pictures show no patch." in capsys.readouterr().err
