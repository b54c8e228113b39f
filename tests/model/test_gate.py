"""The gate: what is foreign or blurred is rejected with a reason, what is concrete is not, and no probability moves."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

import crackscope
from crackscope.data.patches import read_patches
from crackscope.drawing.corruptions import corrupt
from crackscope.drawing.walls import draw_patch, draw_photo
from crackscope.errors import BundleError
from crackscope.measuring.judging import judge
from crackscope.measuring.run_document import RunGate
from crackscope.model.bundle import (
    Bundle,
    Head,
    compose,
    default_bundle,
    read_backbone,
    read_bundle,
    write_model,
)
from crackscope.model.card import BLURRED, NOT_CONCRETE, Card, Gate
from crackscope.model.gate import (
    BLURRED_SHARE,
    LEAST_CRACKED,
    MAX_CROPS,
    NOT_CONCRETE_SHARE,
    clarity,
    fit_gate,
    fit_plane,
    gate_crops,
    patch_clarity,
    photo_reason,
)
from crackscope.model.gate_graph import Plane, plane_of
from crackscope.model.graphs import CARD_KEY, OUTPUTS, backbone_graph, graph_digest, with_digest
from crackscope.model.quantisation import match_gate, quantise
from crackscope.model.sessions import open_session, run_patches
from crackscope.model.windows import receptive_field
from crackscope.reports.evaluation_report import write_evaluation
from crackscope.reports.robustness_report import write_robustness
from crackscope.reports.scan_folder import write_scan
from crackscope.reports.scanned_rows import ScannedRow, rank
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.loaded_model import Model, load, predict
from crackscope.scanning.prediction import Prediction
from crackscope.scanning.results import PhotoResult
from crackscope.training.gates import gate_of, spread_patches
from shared.models import tiny_card
from shared.pictures import noise, save


def drawn_pixels(seed: int, side_px: int = 96) -> Any:
    return np.asarray(draw_patch(seed, side_px=side_px, crack=bool(seed % 2)).pixels)


def said_of(model: Model, patches: Iterable[Any]) -> list[Prediction]:
    return [model.classify(one) for one in patches]


def mapped(model: Model, photo: Any) -> CrackMap:
    found = model.scan(photo).map
    assert found is not None
    return found


def features_of(bundle: Bundle, patches: list[Any]) -> Any:
    session = open_session(bundle.content)
    return np.concatenate([session.run(["features"], {"pixels": pixels[None]})[0] for pixels in patches])


def tiny_gate(**changes: Any) -> Gate:
    numbers = {"max_novelty": 4.0, "min_clarity": 0.3, "rank": 4, "n_crack": 300, "n_uncracked": 300}
    shares = dict.fromkeys(("not_concrete_crack", "not_concrete_uncracked", "blurred_crack", "blurred_uncracked"), 0.0)
    return Gate(**{**numbers, **shares, **changes})


@pytest.fixture(scope="module")
def plain(bundle_file: Path) -> Bundle:
    return read_bundle(bundle_file)


@pytest.fixture(scope="module")
def patches() -> list[Any]:
    return [drawn_pixels(seed) for seed in range(40)]


@pytest.fixture(scope="module")
def gated_file(bundle_file: Path, plain: Bundle, patches: list[Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle with a gate whose plane lies among features of drawn walls."""
    plane = fit_plane(features_of(plain, patches))
    assert plane is not None
    path = tmp_path_factory.mktemp("gated") / "gated.onnx"
    write_model(compose(read_backbone(bundle_file), head_of(plain), card_of(plain, tiny_gate()), plane), path)
    return path


def head_of(bundle: Bundle) -> Head:
    tensors = {t.name: onnx.numpy_helper.to_array(t) for t in graph_of(bundle).initializer}
    return Head(tensors["head/weight"][:, :, 0, 0], tensors["head/bias"], bundle.card.patch.temperature)


def card_of(bundle: Bundle, gate: Gate | None) -> Card:
    return bundle.card.model_copy(update={"gate": gate})


def graph_of(bundle: Bundle) -> onnx.GraphProto:
    return onnx.load_model_from_string(bundle.content).graph


@pytest.fixture(scope="module")
def gated(gated_file: Path) -> Bundle:
    return read_bundle(gated_file)


def rejecting(bundle: Bundle, folder: Path, **limits: float) -> Path:
    """The same bundle with other limits."""
    place = folder / "rejecting.onnx"
    gate = tiny_gate(**limits)
    model = compose(own_backbone(bundle), head_of(bundle), card_of(bundle, gate), plane_of(graph_of(bundle)))
    write_model(model, place, overwrite=True)
    return place


def own_backbone(bundle: Bundle) -> Any:
    graph = backbone_graph(graph_of(bundle), feature_dim=bundle.card.backbone.feature_dim)
    return crackscope.model.bundle.Backbone(graph, bundle.card.backbone)


# The graph


def test_a_gate_is_one_more_output_and_nothing_else_changes(plain: Bundle, gated: Bundle, patches: list[Any]) -> None:
    assert [value.name for value in graph_of(plain).output] == list(OUTPUTS)
    assert [value.name for value in graph_of(gated).output] == [*OUTPUTS, "novelty"]
    before, after = open_session(plain.content), open_session(gated.content)
    for pixels in (*patches[:8], noise((33, 70))):
        feed = {"pixels": pixels[None]}
        for name in OUTPUTS:
            assert np.array_equal(before.run([name], feed)[0], after.run([name], feed)[0])
        assert after.run(["novelty"], feed)[0].shape == (1,)


def test_the_graph_measures_what_the_plane_says(gated: Bundle, patches: list[Any]) -> None:
    plane = plane_of(graph_of(gated))
    assert plane is not None
    batch = np.stack([*patches, noise((96, 96))])
    features, novelty = open_session(gated.content).run(["features", "novelty"], {"pixels": batch})
    np.testing.assert_allclose(novelty, plane.novelty(features), rtol=1e-3, atol=1e-5)
    assert plane.novelty(features[:-1]).mean() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("output", "value", "message"),
    [
        ("probability", -134.0, "the network gave -134 as probability, which is not within 0 to 1"),
        ("probability", 1.01, "the network gave 1.01 as probability, which is not within 0 to 1"),
        ("probability", np.nan, "something that is not a number as probability"),
        ("novelty", np.nan, "something that is not a number as novelty"),
        ("novelty", np.inf, "something that is not a number as novelty"),
        ("logit_map", np.nan, "something that is not a number as logit_map"),
        ("logit_map", -np.inf, "something that is not a number as logit_map"),
    ],
)
def test_an_answer_that_cannot_be_is_an_error_for_patches_photos_and_samples(
    gated: Bundle, output: str, value: float, message: str
) -> None:
    """Not-a-number lies above no limit: such a picture passed the gate, as a crack."""
    model = onnx.load_model_from_string(gated.content)
    (maker,) = (node for node in model.graph.node if output in node.output)
    maker.output[0] = "other/before"  # an output is what it was, times nought, plus the value
    zero, wrong = (
        onnx.numpy_helper.from_array(np.float32(number), name)
        for name, number in (("other/zero", 0), ("other/number", value))
    )
    model.graph.initializer.extend([zero, wrong])
    for node in model.graph.node:
        node.input[:] = ["other/before" if name == output else name for name in node.input]
    model.graph.node.append(helper.make_node("Mul", ["other/before", "other/zero"], ["other/none"], "other/nothing"))
    model.graph.node.append(helper.make_node("Add", ["other/none", "other/number"], [output], "other/wrong"))
    spoilt = crackscope.load(replace(gated, content=model.SerializeToString()))
    asked: list[Callable[[], object]] = [
        lambda: run_patches(open_session(spoilt.bundle.content), [noise((64, 64))], output, patch_px=64)
    ]
    if output != "logit_map":
        asked.append(lambda: spoilt.classify(noise((64, 64))))
    if output == "probability":
        asked.append(lambda: spoilt.probabilities([noise((64, 64))]))
    else:
        asked += [lambda: spoilt.scan(noise((64, 64))), lambda: spoilt.scan(noise((300, 500)))]
    for ask in asked:
        with pytest.raises(BundleError, match=message):
            ask()


def test_without_its_gate_it_is_the_very_backbone(plain: Bundle, gated: Bundle) -> None:
    digests = {
        graph_digest(backbone_graph(graph_of(one), feature_dim=one.card.backbone.feature_dim)) for one in (plain, gated)
    }
    assert digests == {plain.card.backbone.sha256}
    assert receptive_field(graph_of(plain)) == receptive_field(graph_of(gated))
    assert plane_of(graph_of(plain)) is None


def test_the_same_gate_gives_the_same_bytes(bundle_file: Path, gated: Bundle) -> None:
    model = compose(
        read_backbone(bundle_file), head_of(gated), card_of(gated, gated.card.gate), plane_of(graph_of(gated))
    )
    assert model.SerializeToString(deterministic=True) == gated.content


def test_a_gate_works_with_any_pool(backbone_file: Path, gated: Bundle, patches: list[Any], tmp_path: Path) -> None:
    card = tiny_card(pool="logsumexp", gate=tiny_gate())
    write_model(
        compose(read_backbone(backbone_file), head_of(gated), card, plane_of(graph_of(gated))), tmp_path / "l.onnx"
    )
    said = [
        open_session(one.content).run(["novelty"], {"pixels": patches[0][None]})
        for one in (gated, read_bundle(tmp_path / "l.onnx"))
    ]
    assert np.array_equal(said[0], said[1])


@pytest.mark.parametrize(
    ("gate", "plane", "message"),
    [
        (tiny_gate(), None, "come together"),
        (None, Plane(np.zeros(16, np.float32), np.eye(16, dtype=np.float32)[:4], 1.0), "come together"),
        (
            tiny_gate(),
            Plane(np.zeros(12, np.float32), np.eye(12, dtype=np.float32)[:4], 1.0),
            "does not fit 16 features",
        ),
        (tiny_gate(), Plane(np.full(16, np.nan, np.float32), np.eye(16, dtype=np.float32)[:4], 1.0), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(
    plain: Bundle, bundle_file: Path, gate: Gate | None, plane: Plane | None, message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        compose(read_backbone(bundle_file), head_of(plain), card_of(plain, gate), plane)


def test_a_card_with_a_gate_needs_the_output(plain: Bundle, tmp_path: Path) -> None:
    model = onnx.load_model_from_string(plain.content)
    card = json.loads(model.metadata_props[0].value)
    card["gate"] = tiny_gate().model_dump(mode="json")
    helper.set_model_props(model, with_digest(CARD_KEY, json.dumps(card)))
    (tmp_path / "false.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="no output 'novelty'"):
        read_bundle(tmp_path / "false.onnx")


# Fitting


def training(n: int = 400, d: int = 24, seed: int = 0) -> Any:
    """Features near a plane of three dimensions."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(np.random.default_rng(99).normal(size=(d, 3)))[0].T
    return (5 + rng.normal(0, 3, (n, 3)) @ axes + rng.normal(0, 0.2, (n, d))).astype(np.float32)


def fitted(n_crack: int, seed: int = 1) -> tuple[Gate, Plane] | str:
    rng = np.random.default_rng(seed)
    labels = np.array([1] * n_crack + [0] * 300)
    return fit_gate(
        training(), training(len(labels), seed=seed), rng.uniform(0.3, 0.6, len(labels)), labels, fitted_on="val"
    )


@settings(deadline=None, max_examples=25)
@given(n_crack=st.integers(LEAST_CRACKED, 3000), seed=st.integers(0, 9))
def test_limits_keep_within_what_the_number_of_patches_supports(n_crack: int, seed: int) -> None:
    found = fitted(n_crack, seed)
    assert not isinstance(found, str)
    gate, _ = found
    # Of n patches, fewer than are allowed lie beyond the limit, and the next one may.
    assert gate.not_concrete_crack <= NOT_CONCRETE_SHARE
    assert gate.blurred_crack <= BLURRED_SHARE
    for share, allowed in ((gate.not_concrete_crack, NOT_CONCRETE_SHARE), (gate.blurred_crack, BLURRED_SHARE)):
        expected = (share * n_crack + 1) / (n_crack + 1)
        assert expected <= max(allowed, 1 / (LEAST_CRACKED + 1)) + 1e-12
    assert (gate.n_crack, gate.n_uncracked) == (n_crack, 300)


def test_with_few_cracked_patches_there_is_no_gate_and_the_reason_is_said() -> None:
    assert fitted(LEAST_CRACKED - 1) == "199 cracked validation patches; a gate takes 200"
    labels = np.ones(300, np.int64)
    flat = np.zeros((300, 24), np.float32)
    found = fit_gate(flat, flat, np.ones(300), labels, fitted_on="val")
    assert isinstance(found, str)
    assert "too few or too alike" in found


def test_what_lies_beside_the_plane_is_foreign() -> None:
    found = fitted(1000)
    assert not isinstance(found, str)
    gate, plane = found
    foreign = training(200, seed=5) + np.random.default_rng(6).normal(0, 3, (200, 24)).astype(np.float32)
    assert (plane.novelty(training(500, seed=7)) > gate.max_novelty).mean() < 0.02
    assert (plane.novelty(foreign) > gate.max_novelty).mean() > 0.95


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(250)))
def test_the_order_of_patches_changes_no_limit(order: list[int]) -> None:
    labels, values = np.ones(250, np.int64), training(250, seed=2)
    clarities = np.random.default_rng(3).uniform(0.3, 0.6, 250)
    one = fit_gate(training(), values, clarities, labels, fitted_on="")
    other = fit_gate(training(), values[order], clarities[order], labels, fitted_on="")
    assert not isinstance(one, str)
    assert not isinstance(other, str)
    assert one[0] == other[0]


@given(
    novelty=st.floats(0, 10),
    sharpness=st.floats(0, 1),
    max_novelty=st.floats(0.1, 10),
    min_clarity=st.floats(0, 1),
    step=st.floats(0, 1),
)
def test_a_wider_limit_rejects_nothing_more(
    novelty: float, sharpness: float, max_novelty: float, min_clarity: float, step: float
) -> None:
    tight = tiny_gate(max_novelty=max_novelty, min_clarity=min_clarity)
    wide = tiny_gate(max_novelty=max_novelty + step, min_clarity=max(0, min_clarity - step))
    if tight.reason(novelty, sharpness) is None:
        assert wide.reason(novelty, sharpness) is None


def test_the_reason_at_every_border() -> None:
    gate = tiny_gate(max_novelty=2.0, min_clarity=0.3)
    assert [gate.reason(2.0, 0.3), gate.reason(2.01, 0.3), gate.reason(2.0, 0.29), gate.reason(9.0, 0.29)] == [
        *(None, NOT_CONCRETE, BLURRED, BLURRED)
    ]


# Clarity


@pytest.mark.parametrize("corruption", ["motion_blur", "defocus"])
def test_blur_takes_clarity_away_by_strength(corruption: str) -> None:
    card = tiny_card(patch_px=160, source_px=256)
    sharp = [np.asarray(draw_patch(seed, side_px=256, crack=True).pixels) for seed in range(6)]
    means = [np.mean([patch_clarity(pixels, card) for pixels in sharp])]
    means += [np.mean([patch_clarity(corrupt(pixels, corruption, s), card) for pixels in sharp]) for s in (1, 3, 5)]
    assert means == sorted(means, reverse=True)
    assert means[-1] < 0.7 * means[0]


def test_what_is_enlarged_or_tiny_is_not_called_blurred() -> None:
    card = tiny_card(patch_px=160, source_px=256)
    smooth = np.asarray(corrupt(np.asarray(draw_patch(1, side_px=256, crack=True).pixels), "defocus", 5))
    assert patch_clarity(smooth, card) < 1
    assert patch_clarity(smooth[:120, :120], card) == 1
    assert clarity(smooth[:20, :20]) == 1


def test_a_resized_patch_at_hand_is_taken() -> None:
    card, pixels = tiny_card(patch_px=160, source_px=256), noise((256, 256))
    resized = crackscope.model.preprocessing.resize_patch(pixels, patch_px=160)
    assert patch_clarity(pixels, card) == patch_clarity(pixels, card, resized=resized) == clarity(resized)
    smaller = pixels[:200, :200]  # as much smaller for the network's eye
    assert patch_clarity(smaller, card) == clarity(crackscope.model.preprocessing.resize_patch(smaller, patch_px=125))


# Photos


@settings(deadline=None, max_examples=60)
@given(height=st.integers(16, 900), width=st.integers(16, 900))
def test_a_photo_is_judged_by_a_few_crops_of_one_size_inside_it(height: int, width: int) -> None:
    crops, patch_px = gate_crops(np.zeros((height, width, 3), np.uint8), tiny_card()), tiny_card().patch_px
    assert (len(crops) > 0) == (min(height, width) >= patch_px)
    assert len(crops) <= MAX_CROPS
    assert all(crop.shape[:2] == (patch_px, patch_px) for crop in crops)


def test_a_photo_is_rejected_where_most_of_it_is_blurred_or_nearly_all_foreign() -> None:
    assert photo_reason([None]) is None
    assert photo_reason([BLURRED]) == BLURRED
    assert photo_reason([BLURRED, NOT_CONCRETE, None, None]) is None
    assert photo_reason([BLURRED, BLURRED, NOT_CONCRETE]) == BLURRED
    assert photo_reason([NOT_CONCRETE] * 7 + [None] * 2) is None  # a wall with a door in it
    assert photo_reason([NOT_CONCRETE] * 7 + [BLURRED] + [None] * 2) == NOT_CONCRETE
    assert photo_reason([NOT_CONCRETE] * 8 + [None] * 2) == NOT_CONCRETE
    assert photo_reason([NOT_CONCRETE, BLURRED]) == BLURRED  # a draw goes the same way whatever the order
    assert photo_reason([BLURRED, NOT_CONCRETE]) == BLURRED


def test_a_patch_is_judged_alike_by_predict_and_by_scan(gated_file: Path, patches: list[Any]) -> None:
    model = load(gated_file)
    views = [*patches[:6], noise((96, 96)), *(np.asarray(corrupt(pixels, "defocus", 5)) for pixels in patches[:6])]
    views += [pixels[:50, :60] for pixels in views]
    said = said_of(model, views)
    assert [one.reason for one in said] == [model.scan(pixels).reason for pixels in views]
    assert [one.reason for one in said] == [mapped(model, pixels).reason for pixels in views]
    assert {one.reason for one in said} >= {None}


# Prediction


@settings(deadline=None, max_examples=20)
@given(order=st.permutations(range(12)), threads=st.integers(1, 3))
def test_a_gate_moves_no_probability_whatever_the_order(
    bundle_file: Path, gated_file: Path, patches: list[Any], order: list[int], threads: int
) -> None:
    views = [patches[i] for i in order]
    without, model = load(bundle_file, threads=threads), load(gated_file, threads=threads)
    said = said_of(model, views)
    assert [one.crack_probability for one in said] == [one.crack_probability for one in said_of(without, views)]
    assert np.array_equal(model.probabilities(views), without.probabilities(views))
    told = [(row.label, row.crack_probability, row.threshold, row.reason) for row in model.predict(views)]
    assert [(one.label, one.crack_probability, one.threshold, one.reason) for one in said] == told


def test_rejected_is_a_label_with_a_reason_and_its_probability(
    gated: Bundle, patches: list[Any], tmp_path: Path
) -> None:
    for limits, reason in (({"min_clarity": 1.0}, BLURRED), ({"max_novelty": 1e-9}, NOT_CONCRETE)):
        limits = {"min_clarity": 0.0, "max_novelty": 1e9} | limits
        model = load(rejecting(gated, tmp_path, **limits))
        said = model.classify(patches[0])
        assert (said.label, said.reason) == ("rejected", reason)
        assert said.crack_probability == load(gated).classify(patches[0]).crack_probability
    loose = load(rejecting(gated, tmp_path, min_clarity=0.0, max_novelty=1e9))
    assert loose.classify(patches[0]).reason is None
    assert loose.classify(patches[0]).label != "rejected"


def test_without_a_gate_nothing_is_rejected(bundle_file: Path) -> None:
    said = load(bundle_file).classify(noise((96, 96)))
    assert said.label != "rejected"
    assert said.reason is None
    assert load(bundle_file).scan(noise((200, 400))).reason is None


def test_rejected_files_are_rows_and_the_command_ends_well(
    gated: Bundle, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from crackscope.cli import main

    strict = rejecting(gated, tmp_path, min_clarity=0.0, max_novelty=1e-9)
    (tmp_path / "in").mkdir()
    for i, hw in enumerate(((96, 96), (200, 400))):
        save(tmp_path / "in" / f"{i}.png", noise(hw, seed=i))
    rows = list(predict(tmp_path / "in", load(strict)))
    assert [(row.unit, row.label, row.reason, row.error) for row in rows] == [
        ("patch", "rejected", NOT_CONCRETE, None),
        ("photo", "rejected", NOT_CONCRETE, None),
    ]
    assert all(row.crack_probability is not None for row in rows)
    arguments = ["predict", str(tmp_path / "in"), "--model", str(strict), "--out", str(tmp_path / "p.csv")]
    monkeypatch.setattr("sys.argv", ["crackscope", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    assert "2 images: 2 rejected; written to" in capfd.readouterr().out
    with (tmp_path / "p.csv").open(newline="") as file:
        assert [row["reason"] for row in csv.DictReader(file)] == [NOT_CONCRETE] * 2


# Scans


def test_a_rejected_photo_keeps_its_map_and_comes_last(gated: Bundle, tmp_path: Path) -> None:
    model = load(rejecting(gated, tmp_path, min_clarity=0.0, max_novelty=1e-9))
    save(tmp_path / "a.png", noise((200, 400)))
    (tmp_path / "b.png").write_bytes(b"")
    summary = write_scan([tmp_path / name for name in ("a.png", "b.png")], model, out=tmp_path / "out")
    assert summary.answers == {"rejected": 1}
    with (tmp_path / "out" / "photos.csv").open(newline="") as file:
        first, last = csv.DictReader(file)
    assert (first["verdict"], first["reason"], first["error"]) == ("rejected", NOT_CONCRETE, "")
    assert (last["verdict"], last["reason"]) == ("", "")
    assert (tmp_path / "out" / first["map"]).is_file()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "1 photo was rejected: no concrete, too blurred, or too small." in " ".join(page.split())
    assert "Rejected: not concrete." in page


def test_the_overlay_says_that_the_photo_is_rejected(gated_file: Path) -> None:
    pixels = noise((200, 400))
    found = mapped(load(gated_file), pixels)
    rejected = replace(found, reason=BLURRED)
    changed = rejected.overlay(pixels) != replace(found, reason=None).overlay(pixels)
    assert changed[-30:, :100].any()
    assert not changed[:100].any()


def test_the_rejected_rank_after_all_others_and_before_what_cannot_be_read() -> None:
    rows = [
        ScannedRow(PhotoResult(path, "m", crack_probability=p, threshold=0.5, reason=reason, error=error))
        for path, p, reason, error in (
            ("unread", None, None, "empty"),
            ("foreign", 0.9, NOT_CONCRETE, None),
            ("sure", 0.1, None, None),
            ("soft", 0.4, BLURRED, None),
        )
    ]
    assert [row.result.path for row in rank(rows)] == ["sure", "foreign", "soft", "unread"]


# Figures


def test_figures_count_the_rejected_and_say_how_many(
    drawn: Path, bundle_file: Path, gated: Bundle, tmp_path: Path
) -> None:
    index = read_patches(drawn)
    strict = Model(read_bundle(rejecting(gated, tmp_path, min_clarity=0.0, max_novelty=1.0)), threads=1)
    options: dict[str, Any] = {"part": None, "split": None, "n_leaks": 0, "n_resamples": 20}
    found, without = judge(index, strict, **options), judge(index, Model(read_bundle(bundle_file)), **options)
    assert found.metrics == without.metrics
    document = crackscope.measuring.evaluation.metrics_document(found)["rejected"]
    assert isinstance(document, dict)
    said = said_of(strict, (index.read_pixels(path) for path in index.paths))
    assert document["n"] == document["not_concrete"] == sum(one.reason is not None for one in said)
    assert 0 < document["n"] < len(index)
    cracked = [one for one, patch in zip(said, index.patches, strict=True) if patch.label == "crack"]
    assert document["share_crack"] == np.mean([one.reason is not None for one in cracked])
    assert crackscope.measuring.evaluation.metrics_document(without)["rejected"] is None
    for one, folder in ((found, "with"), (without, "without")):
        write_evaluation(one, tmp_path / folder)
        assert ("It rejects" in (tmp_path / folder / "report.html").read_text()) == (folder == "with")


def test_robustness_tells_what_is_lost_from_what_is_rejected(drawn: Path, gated: Bundle, tmp_path: Path) -> None:
    strict = read_bundle(rejecting(gated, tmp_path, min_clarity=0.35, max_novelty=1e9))
    found = crackscope.measure_robustness(drawn, strict, max_patches=6, n_resamples=5)
    blurred = found.of("defocus")
    assert found.clean.rejected_share is not None
    assert blurred[-1].rejected_share is not None
    assert blurred[-1].rejected_share >= found.clean.rejected_share
    for one in found.conditions:
        assert one.missed_unrejected is not None
        assert one.missed_unrejected <= 1 - one.figures["recall_crack"].value + 1e-9
    write_robustness(found, tmp_path / "out")
    with (tmp_path / "out" / "robustness.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {"rejected_share", "missed_unrejected"} <= set(rows[0])
    assert rows[0]["rejected_share"] != ""


# Training and export


def test_training_fits_a_gate_where_there_are_patches_enough(
    drawn: Path, bundle_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for module in ("crackscope.model.gate", "crackscope.training.gates"):
        monkeypatch.setattr(f"{module}.LEAST_CRACKED", 4)
    assigned = crackscope.split(read_patches(drawn), by="photo", val=0.3, test=0.2)
    runs = [
        crackscope.train(drawn, out=tmp_path / name, split=assigned, backbone=bundle_file) for name in ("one", "two")
    ]
    assert (runs[0].model).read_bytes() == (runs[1].model).read_bytes()
    card = read_bundle(runs[0].model).card
    assert card.gate is not None
    assert card.gate.rank <= 4
    assert runs[0].document.gate == RunGate(fitted=True)


def test_a_training_with_few_patches_says_why_it_has_no_gate(drawn: Path, bundle_file: Path, tmp_path: Path) -> None:
    assigned = crackscope.split(read_patches(drawn), by="photo", val=0.3, test=0.2)
    run = crackscope.train(drawn, out=tmp_path / "run", split=assigned, backbone=bundle_file)
    assert read_bundle(run.model).card.gate is None
    assert not run.document.gate.fitted
    assert "a gate takes 200" in str(run.document.gate.reason)


def test_patches_that_cannot_be_read_are_left_out(
    drawn: Path, bundle_file: Path, plain: Bundle, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import shutil

    for module in ("crackscope.model.gate", "crackscope.training.gates"):
        monkeypatch.setattr(f"{module}.LEAST_CRACKED", 4)
    shutil.copytree(drawn.parent, tmp_path / "walls")
    index = read_patches(tmp_path / "walls" / "labels.csv")
    parted = index.select([replace(p, part="train" if i % 2 else "val") for i, p in enumerate(index.patches)])
    for part in ("train", "val"):
        broken = next(patch.path for patch in parted.patches if patch.part == part)
        (tmp_path / "walls" / broken).write_bytes(b"no picture")
    found = gate_of(parted, read_backbone(bundle_file), plain.card)
    assert not isinstance(found, str)
    n = sum(patch.part == "val" for patch in parted.patches)
    assert found[0].n_crack + found[0].n_uncracked == n - 1


def test_patches_are_spread_over_both_labels(drawn: Path) -> None:
    index = read_patches(drawn)
    some = spread_patches(index.patches, 20)
    assert len(some) == len(set(some)) == 20
    assert abs(sum(patch.label == "crack" for patch in some) - 10) <= 1
    assert spread_patches(index.patches[::-1], 20) == some
    assert len(spread_patches(index.patches, 10_000)) == len(index)


def test_a_gate_survives_rounding_to_int8(gated: Bundle, patches: list[Any]) -> None:
    rounded = match_gate(quantise(gated, patches[:10]), gated, patches)
    assert rounded.card.gate is not None
    assert gated.card.gate is not None
    assert "int8: limits matched" in rounded.card.gate.fitted_on
    assert rounded.card.gate.max_novelty == pytest.approx(gated.card.gate.max_novelty, rel=0.5)
    novelty = open_session(rounded.content).run(["novelty"], {"pixels": patches[0][None]})[0]
    assert novelty.shape == (1,)
    assert match_gate(quantise(card_free(gated), patches[:4]), gated, patches).card.gate is None


def card_free(bundle: Bundle) -> Bundle:
    model = compose(own_backbone(bundle), head_of(bundle), card_of(bundle, None))
    card = Card.model_validate_json(model.metadata_props[0].value)
    return Bundle(model.SerializeToString(deterministic=True), card, "free.onnx")


# The default bundle


@pytest.fixture(scope="module")
def default() -> Model:
    if not default_bundle().is_file():
        pytest.skip("the default bundle is not installed")
    return load(threads=1)


def test_the_default_bundle_rejects_what_shows_no_concrete(default: Model) -> None:
    foreign = [noise((256, 256), seed=i) for i in range(4)]
    foreign += [np.full((256, 256, 3), colour, np.uint8) for colour in ((250, 20, 20), (10, 120, 240), (255, 255, 255))]
    said = said_of(default, foreign)
    assert {one.label for one in said} == {"rejected"}
    assert {one.reason for one in said} == {NOT_CONCRETE}


@pytest.mark.slow
def test_the_default_bundle_rejects_few_real_cracks_and_most_of_the_blurred(default: Model, real_data: Path) -> None:
    for name in ("metu_sample.tar", "sdnet2018_sample.tar"):
        index = read_patches(real_data / name)
        cracked = [index.read_pixels(patch.path) for patch in index.patches if patch.label == "crack"][::4]
        assert np.mean([one.reason is not None for one in said_of(default, cracked)]) <= 0.01
        moved = [np.asarray(corrupt(pixels, "motion_blur", 4)) for pixels in cracked[:100]]
        assert np.mean([one.reason == BLURRED for one in said_of(default, moved)]) > 0.85


def test_a_strip_of_concrete_is_not_judged_for_novelty() -> None:
    """Of crops that are lower than a training patch nobody knows what novelty is usual."""
    model = load()
    photo = draw_photo(0, photo_hw=(400, 1200)).pixels
    for height in (70, 100, 120, 160, 200, 300):
        strip = np.ascontiguousarray(photo[40 : 40 + height])
        assert model.scan(strip, network_scale=1.0).reason is None
    card = model.card
    for size_hw in ((400, 1200), (200, 900), (161, 500)):
        crops = gate_crops(np.zeros((*size_hw, 3), np.uint8), card)
        assert {crop.shape[:2] for crop in crops} == {(card.patch_px, card.patch_px)}
    assert gate_crops(np.zeros((card.patch_px - 1, 900, 3), np.uint8), card) == []
