"""Figures of maps, on maps that were set by hand; and from files to figures with a real scan."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from scipy.stats import beta
from sklearn.metrics import average_precision_score, roc_auc_score

import crackscope
from crackscope.data.labelled_photos import LabelledPhoto, photos_by_grid, photos_by_masks
from crackscope.data.patches import Patch
from crackscope.errors import DataError, SplitError
from crackscope.measuring.photo_calibration import (
    FALSE_ALARMS,
    MISSED,
    fit_photo_calibration,
    fit_verdict,
    measured_verdict,
)
from crackscope.measuring.photo_evaluation import measure_photos, tile_reader
from crackscope.measuring.scanned_photos import ScannedPhoto, scan_labelled
from crackscope.measuring.wording import number_text
from crackscope.model.card import Calibration
from crackscope.reports.evaluation_report import LINE_FILES, PHOTO_FILES, write_evaluation
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.loaded_model import Model, load
from shared.sdnet import draw_sdnet, photos_of_scenes

CALIBRATION = Calibration(temperature=1, threshold=0.5, unsure_low=0.5, unsure_high=0.5)
CELL_PX = 10


def made_photo(
    logits: np.ndarray, labels: np.ndarray, *, name: str = "a", calibration: Calibration = CALIBRATION
) -> ScannedPhoto:
    """A photo of cells of 10 px, a footprint of one cell, whose tiles divide it evenly; a label of -1 is left out."""
    n_rows, n_columns = labels.shape
    height, width = logits.shape[0] * CELL_PX, logits.shape[1] * CELL_PX
    places = [(row, column) for row in range(n_rows) for column in range(n_columns) if labels[row, column] >= 0]
    boxes = np.array([(x / n_columns, y / n_rows, (x + 1) / n_columns, (y + 1) / n_rows) for y, x in places])
    pixels = np.full((height, width, 3), 128, np.uint8)
    photo = LabelledPhoto(
        name,
        boxes,
        np.array([labels[place] for place in places], np.int64),
        tuple(f"{name}#{y},{x}" for y, x in places),
        (Patch(name, "crack"),),
        lambda: (pixels, [b"x" * 32]),
    )
    found = CrackMap(logits.astype(np.float32), (height, width), (CELL_PX, CELL_PX), 1, calibration, 1.0, name)
    pooled = np.array([found.logit_in(box) for box in photo.boxes_xyxy((height, width))])
    return ScannedPhoto(photo, found, pooled, 0)


@pytest.fixture
def model(bundle_file: Path) -> Model:
    return load(bundle_file, threads=1)


def recall_of(scanned: list[ScannedPhoto], model: Model) -> tuple[float, float]:
    figures = measure_photos(scanned, model, dataset="x", n_resamples=50).figures
    return figures.recall_at_one_false_region.value, figures.threshold


def test_tiles_are_judged_by_the_mean_logit_of_their_cells(model: Model) -> None:
    rng = np.random.default_rng(0)
    photos = [made_photo(rng.normal(0, 2, (8, 8)), rng.integers(0, 2, (4, 4)), name=str(i)) for i in range(5)]
    found = measure_photos(photos, model, dataset="x", n_resamples=50)
    labels = np.concatenate([one.photo.labels for one in photos])
    logits = np.concatenate([one.map.logits.reshape(4, 2, 4, 2).mean((1, 3)).ravel() for one in photos])
    assert found.tiles.metrics["auroc"].value == pytest.approx(roc_auc_score(labels, logits))
    assert found.tiles.metrics["average_precision"].value == pytest.approx(average_precision_score(labels, logits))
    assert (found.tiles.n_photos, found.tiles.n_patches, found.figures.n_photos) == (5, 80, 5)


def test_a_perfect_map_finds_all_and_points_right(model: Model) -> None:
    labels = np.eye(6, dtype=int)
    photos = [made_photo(np.where(labels == 1, 5.0, -5.0), labels, name=str(i)) for i in range(3)]
    figures = measure_photos(photos, model, dataset="x", n_resamples=50).figures
    assert figures.recall_at_one_false_region.value == 1
    assert figures.pointing_accuracy.value == 1
    assert (figures.n_photos, figures.n_cracked) == (3, 3)


def test_recall_is_taken_where_there_is_one_false_region_a_photo(model: Model) -> None:
    # Three false regions at p .9, .8, .7, cracks at .95, .85, .75, .6, far apart: one false region allows .81 or more.
    labels, logits = np.zeros((1, 15), int), np.full((1, 15), -9.0)
    for i, p in enumerate((0.9, 0.8, 0.7)):
        logits[0, 2 * i] = np.log(p / (1 - p))
    for i, p in enumerate((0.95, 0.85, 0.75, 0.6)):
        labels[0, 8 + 2 * i - 1 * (i > 0)], logits[0, 8 + 2 * i - 1 * (i > 0)] = 1, np.log(p / (1 - p))
    recall, threshold = recall_of([made_photo(logits, labels)], model)
    assert recall == 0.5
    assert 0.8 < threshold <= 0.85


def test_a_region_is_false_only_if_it_touches_no_crack_and_nothing_unlabelled(model: Model) -> None:
    labels = np.array([[0, 0, 0, 0, 0, 0, 0, 0, 0, 1]])
    logits = np.array([[3.0, -9, 3, -9, 3, -9, -9, -9, -9, 1.0]])
    assert recall_of([made_photo(logits, labels)], model)[0] == 0  # three false ones, all above the crack
    labels[0, :3] = -1
    recall, threshold = recall_of([made_photo(logits, labels)], model)
    assert recall == 1
    assert threshold == pytest.approx(1e-4, abs=1e-3)


def test_false_regions_are_an_average_over_photos(model: Model) -> None:
    clean = made_photo(np.full((1, 5), -9.0), np.zeros((1, 5), int), name="clean")
    labels = np.array([[0, 0, 0, 0, 1]])
    two = made_photo(np.array([[3.0, -9, 3, -9, 1]]), labels, name="two")
    assert recall_of([two], model)[0] == 0
    assert recall_of([two, clean], model)[0] == 1


def test_pointing_asks_for_the_most_probable_place_of_photos_with_a_crack(model: Model) -> None:
    labels = np.array([[0, 1, 0, 0]])
    rows = ([0, 3.0, 1, 0], [0, 1.0, 3, 0])
    cracked = [made_photo(np.array([rows[i % 2]]), labels, name=str(i)) for i in range(4)]
    clean = made_photo(np.array([[5.0, 0, 0, 0]]), np.zeros((1, 4), int), name="clean")
    found = measure_photos([*cracked, clean], model, dataset="x", n_resamples=200).figures
    assert found.pointing_accuracy.value == 0.5
    ends = found.pointing_accuracy.low, found.pointing_accuracy.high
    assert ends == pytest.approx(tuple(beta.ppf([0.025, 0.975], 3, 3)))  # two of four photos, Bayes and Laplace
    few = measure_photos([*cracked[:2], clean], model, dataset="x", n_resamples=200).figures
    assert np.isnan(few.pointing_accuracy.low)
    assert (few.n_photos, few.n_cracked) == (3, 2)


def test_without_any_crack_there_is_nothing_to_point_at(model: Model) -> None:
    clean = made_photo(np.zeros((2, 2)), np.zeros((2, 2), int))
    document = measure_photos([clean], model, dataset="x", n_resamples=20).figures.document()
    assert document["pointing_accuracy"] == {"value": None, "low": None, "high": None}
    json.dumps(document, allow_nan=False)


def test_no_photo_at_all_is_an_error_with_the_reason(model: Model) -> None:
    with pytest.raises(DataError, match="none of 1 photos could be scanned; a: too dark"):
        measure_photos([], model, dataset="x", refused=[("a", "too dark")])


# Calibration for photos


def sampled(n: int, *, seed: int = 0, shift: float = 1.0, temperature: float = 0.5) -> list[ScannedPhoto]:
    """Photos of 8×8 tiles, a cell each, whose labels follow the logits by a known shift and temperature."""
    rng = np.random.default_rng(seed)
    photos = []
    for i in range(n):
        logits = rng.normal(-2.0, 1.2, (8, 8))
        if i % 2:
            logits[:, 4:] = -6
        labels = (rng.random((8, 8)) < 1 / (1 + np.exp(-(logits + shift) / temperature))).astype(int)
        photos.append(made_photo(logits, labels, name=str(i)))
    return photos


def test_shift_and_temperature_are_found_again() -> None:
    found = fit_photo_calibration(sampled(60), fitted_on="drawn, val")
    assert found.shift == pytest.approx(1.0, abs=0.15)
    assert found.temperature == pytest.approx(0.5, rel=0.15)
    assert found.fitted_on == "drawn, val"
    assert found.probability(np.array([-1.0]))[0] == pytest.approx(0.5, abs=0.08)


def test_the_verdict_keeps_its_word_on_what_it_was_fitted_on() -> None:
    photos = sampled(60)
    calibration = fit_photo_calibration(photos, fitted_on="x")
    verdict = fit_verdict(photos, calibration, fitted_on="drawn, val")
    assert verdict.false_alarm_rate <= FALSE_ALARMS
    assert verdict.missed_rate <= MISSED
    assert verdict.unsure_low <= verdict.threshold
    assert verdict.n_clean + verdict.n_cracked == 60 * 4  # stretches of 4×4 tiles
    assert verdict.stretch_px == 4 * CELL_PX
    assert (verdict.label(1.0), verdict.label(0.0)) == ("crack", "uncracked")


def test_the_verdict_is_measured_on_other_photos() -> None:
    photos, others = sampled(60), sampled(40, seed=1)
    calibration = fit_photo_calibration(photos, fitted_on="x")
    fitted = fit_verdict(photos, calibration, fitted_on="val")
    found = measured_verdict(fitted, others, calibration, measured_on="test")
    assert (found.threshold, found.unsure_low, found.fitted_on) == (fitted.threshold, fitted.unsure_low, "val")
    assert found.measured_on == "test"
    assert found.n_clean + found.n_cracked == 40 * 4
    peaks, cracked = [], []
    for one in others:  # a cell is a footprint here, so a stretch's peak is its greatest cell
        probabilities = calibration.probability(one.map.logits.astype(float))
        labels = one.photo.labels.reshape(8, 8)
        for y in (0, 4):
            for x in (0, 4):
                peaks.append(probabilities[y : y + 4, x : x + 4].max())
                cracked.append(labels[y : y + 4, x : x + 4].any())
    alarms = [peak >= fitted.threshold for peak, crack in zip(peaks, cracked, strict=True) if not crack]
    assert found.false_alarm_rate == pytest.approx(np.mean(alarms))
    assert found.n_clean == len(alarms)


def test_labels_of_one_kind_cannot_calibrate() -> None:
    clean = [made_photo(np.zeros((8, 8)), np.zeros((8, 8), int))]
    with pytest.raises(DataError, match="one label only"):
        fit_photo_calibration(clean, fitted_on="x")
    with pytest.raises(DataError, match="4 stretches of 4×4 tiles without a crack, 0 with one"):
        fit_verdict(clean, CALIBRATION, fitted_on="x")


# From files to figures


@pytest.fixture
def photos_and_grid(tmp_path: Path) -> tuple[Path, Path]:
    """Four drawn photos of 2×3 tiles, laid out as SDNET2018's, of which none is, and their grid."""
    lines = ["surface,photo,tile,row,col,label"]
    for photo in range(8003, 8007):
        for tile in range(6):
            label = "CD" if (photo + tile) % 3 == 0 else "UD"
            pixels = crackscope.draw_patch(seed=photo * 10 + tile, crack=label == "CD", side_px=128).pixels
            place = tmp_path / "data" / "D" / label / f"{photo}-{tile + 1}.jpg"
            place.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(place), pixels[..., ::-1])
            lines.append(f"D,{photo},{tile + 1},{tile // 3},{tile % 3},{label}")
    (tmp_path / "grid.csv").write_text("\n".join(lines))
    return tmp_path / "data", tmp_path / "grid.csv"


def test_photos_of_tiles_are_judged_from_files(
    photos_and_grid: tuple[Path, Path], bundle_file: Path, tmp_path: Path
) -> None:
    data, grid = photos_and_grid
    found = crackscope.evaluate_photos(data, bundle_file, tiles=grid, n_resamples=50, threads=1)
    assert (found.tiles.n_patches, found.tiles.n_photos, found.tiles.leaky) == (24, 4, False)
    photo = photos_by_grid(data, grid)[0]
    pixels, _ = photo.load()
    own = load(bundle_file, threads=1).scan(pixels).map
    assert own is not None
    expected = [own.probability_in(box) for box in photo.boxes_xyxy(pixels.shape[:2])]
    np.testing.assert_allclose(found.tiles.probabilities[:6], expected)
    read = tile_reader(found)
    box = photo.boxes_xyxy(pixels.shape[:2])[0]
    np.testing.assert_array_equal(
        read(photo.tiles[0]), pixels[round(box[1]) : round(box[3]), round(box[0]) : round(box[2])]
    )
    write_evaluation(found, tmp_path / "out")
    assert sorted(place.name for place in (tmp_path / "out").iterdir()) == sorted(PHOTO_FILES)
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["recall_at_one_false_region"]["value"] == found.figures.recall_at_one_false_region.value
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Pointing accuracy" in page
    assert "<tr><th>Pointing accuracy</th><td>" in found._repr_html_()
    assert "This model has no calibration for photos" in page
    assert not found.calibrated


def test_a_part_of_a_split_is_judged_and_a_leaking_one_refused(
    photos_and_grid: tuple[Path, Path], bundle_file: Path, tmp_path: Path
) -> None:
    data, grid = photos_and_grid
    found = crackscope.split(crackscope.read_patches(data), by="photo", val=0.25, test=0.25)
    crackscope.write_split(found, tmp_path / "split.csv")
    judged = crackscope.evaluate_photos(data, bundle_file, tiles=grid, split=tmp_path / "split.csv", n_resamples=20)
    assert (judged.tiles.part, judged.tiles.split, judged.tiles.n_photos) == ("test", "split.csv", 1)
    rows = (tmp_path / "split.csv").read_text().splitlines()
    at = next(i for i, row in enumerate(rows) if row.endswith(",train"))
    rows[at] = rows[at].removesuffix("train") + "test"
    (tmp_path / "leaking.csv").write_text("\n".join(rows))
    with pytest.raises(SplitError, match="both train and test"):
        crackscope.evaluate_photos(data, bundle_file, tiles=grid, split=tmp_path / "leaking.csv")
    marked = crackscope.evaluate_photos(
        data, bundle_file, tiles=grid, split=tmp_path / "leaking.csv", allow_leakage=True, n_resamples=20
    )
    assert marked.tiles.n_leaks == 1
    assert marked.tiles.leaky


def test_photos_that_the_model_was_trained_on_are_marked(
    photos_and_grid: tuple[Path, Path], backbone_file: Path, tmp_path: Path
) -> None:
    data, grid = photos_and_grid
    crackscope.write_split(
        crackscope.split(crackscope.read_patches(data), by="photo", val=0.25, test=0.25), tmp_path / "split.csv"
    )
    crackscope.train(data, out=tmp_path / "run", split=tmp_path / "split.csv", backbone=backbone_file, patch_px=64)
    model = tmp_path / "run" / "model.onnx"
    with pytest.raises(SplitError, match=r"photos D-\d{4}, D-\d{4}\. Judge it on photos of other scenes"):
        crackscope.evaluate_photos(data, model, tiles=grid)
    everything = crackscope.evaluate_photos(data, model, tiles=grid, allow_leakage=True, n_resamples=20)
    clean = crackscope.evaluate_photos(data, model, tiles=grid, split=tmp_path / "split.csv", n_resamples=20)
    assert everything.tiles.n_seen == 12
    assert not clean.tiles.leaky


def test_intervals_of_maps_resample_whole_scenes(bundle_file: Path, tmp_path: Path) -> None:
    """Photos of two scenes: what is drawn are scenes, not photos."""
    photos = photos_of_scenes("P", 2, most=2)
    data = draw_sdnet(tmp_path / "sdnet2018", {"P": photos}, patches_per_photo=4, side_px=64)
    index = crackscope.read_patches(data)
    lines = ["surface,photo,tile,row,col,label"]
    for patch in index.patches:
        photo, tile = Path(patch.path).stem.split("-")
        lines.append(f"P,{photo},{tile},{(int(tile) - 1) // 2 % 2},{(int(tile) - 1) % 2},{patch.label}")
    (tmp_path / "grid.csv").write_text("\n".join(lines))
    found = crackscope.evaluate_photos(data, bundle_file, tiles=tmp_path / "grid.csv", n_resamples=20, threads=1)
    assert (found.tiles.photo_kind, found.tiles.n_photos, found.figures.n_photos) == ("scenes", 2, 4)


def test_a_photo_that_cannot_be_read_is_refused_and_the_others_judged(
    photos_and_grid: tuple[Path, Path], bundle_file: Path
) -> None:
    data, grid = photos_and_grid
    next((data / "D").glob("*/8004-1.jpg")).write_bytes(b"")
    scanned, refused = scan_labelled(photos_by_grid(data, grid), load(bundle_file, threads=1))
    assert [one.photo.name for one in scanned] == ["D-8003", "D-8005", "D-8006"]
    ((name, reason),) = refused
    assert name == "D-8004"
    assert re.fullmatch(r"tile D/.D/8004-1\.jpg: the file is empty", reason)


def test_photos_or_masks_that_are_broken_are_refused_with_a_reason_and_the_others_judged(
    bundle_file: Path, tmp_path: Path
) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    mask = np.zeros((256, 256), np.uint8)
    mask[:64, :64] = 255
    for name in "abc":
        pixels = crackscope.draw_patch(seed=ord(name), crack=True, side_px=256).pixels
        cv2.imwrite(str(photos / f"{name}.png"), pixels[..., ::-1])
        cv2.imwrite(str(masks / f"{name}.png"), mask)
    (photos / "a.png").write_bytes(b"")
    (masks / "b.png").write_bytes((masks / "b.png").read_bytes()[:60])
    found = crackscope.evaluate_photos(photos, bundle_file, masks=masks, n_resamples=20, threads=1)
    assert [Path(one.photo.name).name for one in found.scanned] == ["c.png"]
    (first, why), (second, other) = found.tiles.refused
    assert (first, why) == (f"{photos}/a.png", "the file is empty")
    assert second == f"{photos}/b.png"
    assert other.startswith(f"its mask {masks}/b.png: truncated PNG: its end is missing")


@pytest.fixture
def masked_walls(tmp_path: Path) -> tuple[Path, Path]:
    """Three drawn walls with the masks of their cracks, half as large; the last one without a crack."""
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    photos.mkdir()
    masks.mkdir()
    for seed in range(3):
        wall = crackscope.draw_photo(seed, photo_hw=(160, 240), n_cracks=int(seed < 2))
        cv2.imwrite(str(photos / f"{seed}.png"), wall.pixels[..., ::-1])
        mask = cv2.resize(255 * wall.mask.astype(np.uint8), (120, 80), interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(masks / f"{seed}.png"), np.where(mask > 50, 255, 0).astype(np.uint8))
    return photos, masks


def test_lines_are_compared_where_there_are_masks_and_a_fine_map(
    masked_walls: tuple[Path, Path], fine_file: Path, tmp_path: Path
) -> None:
    photos, masks = masked_walls
    found = crackscope.evaluate_photos(photos, fine_file, masks=masks, n_resamples=20, threads=1)
    assert found.lines is not None
    assert (found.lines.n_photos, found.lines.cluster_kind) == (3, "photos")
    assert [bool(len(one.lines.true_xy)) for one in found.scanned if one.lines] == [True, True, False]
    assert {one.lines.factor for one in found.scanned if one.lines} == {2}
    assert np.isfinite(found.lines.ece.value)
    write_evaluation(found, tmp_path / "out")
    assert sorted(place.name for place in (tmp_path / "out").iterdir()) == sorted(LINE_FILES)
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["lines"] == json.loads(json.dumps(found.lines.document()))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Fine map, within 4 px" in page
    assert "F1, mean of photos" in page
    assert f"<b>{number_text(found.lines.within[1].f1.value)}</b>" in page
    assert "<th>Line F1, 4 px</th>" in found._repr_html_()


def test_traced_lines_are_compared_beside_those_of_the_fine_map(
    masked_walls: tuple[Path, Path], fine_file: Path, tmp_path: Path
) -> None:
    photos, masks = masked_walls
    found = crackscope.evaluate_photos(photos, fine_file, masks=masks, n_resamples=20, threads=1)
    assert found.traced is not None
    assert (found.traced_by, found.traced.threshold, found.traced.n_photos) == ("fine map", None, 3)
    assert np.isnan(found.traced.ece.value)
    write_evaluation(found, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["traced"] == json.loads(json.dumps(found.traced.document()))
    assert document["traced"]["within"][1]["cl_iou"].keys() == {"value", "low", "high"}
    assert document["joints"] is None
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Traced, within 4 px" in page
    assert f"are\n    {number_text(found.traced.length_ratio.value)}" in page
    assert "<th>Traced line length ratio</th>" in found._repr_html_()


def test_without_a_fine_map_only_traced_lines_are_compared(
    masked_walls: tuple[Path, Path], bundle_file: Path, tmp_path: Path
) -> None:
    photos, masks = masked_walls
    found = crackscope.evaluate_photos(photos, bundle_file, masks=masks, n_resamples=20, threads=1)
    assert found.lines is None
    assert found.document()["lines"] is None
    assert [one.lines for one in found.scanned] == [None] * 3
    assert found.traced is not None
    assert found.document()["traced_by"] == "ridges"
    write_evaluation(found, tmp_path / "out")
    assert sorted(place.name for place in (tmp_path / "out").iterdir()) == sorted(LINE_FILES)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "they follow dark ridges" in page
    assert "Fine map, within" not in page


def test_joints_are_compared_where_a_table_says_where_they_run(
    masked_walls: tuple[Path, Path], bundle_file: Path, tmp_path: Path
) -> None:
    photos, masks = masked_walls
    joints = tmp_path / "joints.csv"
    rows = ["photo,joint,point,x,y", "0.png,a,1,10,20", "0.png,a,2,210,20", "2.png,a,1,30,0", "2.png,a,2,30,150"]
    joints.write_text("\n".join([*rows, "9.png,a,1,0,0", "9.png,a,2,9,9"]))
    (photos / "2.png").write_bytes(b"")
    found = crackscope.evaluate_photos(photos, bundle_file, masks=masks, joints=joints, n_resamples=20, threads=1)
    assert found.joints is not None
    assert [Path(one.photo).name for one in found.joints.photos] == ["0.png"]
    assert found.joints.joint_px == pytest.approx(200)
    assert found.joints.not_judged == ("2.png", "9.png")
    traced = sum(crack.length_px for crack in found.scanned[0].cracks or () if not crack.joint_like)
    assert found.joints.crack_px == pytest.approx(traced)
    assert "<th>Joints traced as cracks</th>" in found._repr_html_()
    write_evaluation(found, tmp_path / "out")
    document = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert document["joints"] == json.loads(json.dumps(found.joints.document()))
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Joints are labelled in 1 of these photos" in page
    assert "2 photos of the table of joints were not judged" in " ".join(page.split())


def test_joints_that_do_not_fit_stop_before_anything_is_scanned(
    masked_walls: tuple[Path, Path], bundle_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, masks = masked_walls
    joints = tmp_path / "joints.csv"
    joints.write_text("photo,joint,point,x,y\n0.png,a,1,10,20\n0.png,a,2,900,20\n")
    monkeypatch.setattr("crackscope.measuring.judging.scan_labelled", None)
    with pytest.raises(DataError, match=r"row 3: point \(900, 20\) .* which has 240×160 px"):
        crackscope.evaluate_photos(photos, bundle_file, masks=masks, joints=joints)
    with pytest.raises(DataError, match=r"which need masks\. Give masks, too"):
        crackscope.evaluate_photos(photos, bundle_file, tiles=joints, joints=joints)


def test_a_mask_that_goes_while_photos_are_scanned_refuses_its_photo(
    masked_walls: tuple[Path, Path], fine_file: Path
) -> None:
    photos, masks = masked_walls
    labelled = photos_by_masks(photos, masks, tile_px=64)
    (masks / "1.png").unlink()
    scanned, refused = scan_labelled(labelled, load(fine_file, threads=1))
    assert [Path(one.photo.name).name for one in scanned] == ["0.png", "2.png"]
    assert [one.map.fine for one in scanned] == [None, None]  # many large photos would not fit into memory
    ((name, reason),) = refused
    assert name.endswith("1.png")
    assert "its mask" in reason


def test_tiles_or_masks_but_not_both(photos_and_grid: tuple[Path, Path], bundle_file: Path) -> None:
    data, grid = photos_and_grid
    choices: tuple[dict[str, Any], ...] = ({}, {"tiles": grid, "masks": data})
    for options in choices:
        with pytest.raises(DataError, match="give one of them"):
            crackscope.evaluate_photos(data, bundle_file, **options)


def test_masks_know_no_split(photos_and_grid: tuple[Path, Path], bundle_file: Path) -> None:
    data, _ = photos_and_grid
    choices: tuple[dict[str, Any], ...] = ({"part": "test"}, {"split": "split.csv"})
    for options in choices:
        with pytest.raises(DataError, match="photos with masks have no split"):
            crackscope.evaluate_photos(data, bundle_file, masks=data, **options)


def test_a_labelled_photo_as_small_as_a_patch_is_scanned_as_a_photo(model: Model) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    boxes = np.array([(0, 0, 0.5, 1), (0.5, 0, 1, 1)])
    photo = LabelledPhoto(
        "a", boxes, np.array([0, 1]), ("a#0,0", "a#0,1"), (Patch("a", "crack"),), lambda: (pixels, [b"x" * 32])
    )
    ((found,), refused) = scan_labelled([photo], model)
    assert not refused
    assert found.map.unit == "photo"
    assert found.map.network_scale == pytest.approx(64 / 90)
    assert found.map.footprint_cells < max(found.map.logits.shape)
    ((half,), _) = scan_labelled([photo], model, network_scale=0.5)
    assert half.map.network_scale == 0.5
