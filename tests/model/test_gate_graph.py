"""The gate's part of a graph says what its formulas say, and fits its card; all else in the bundle stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from crackscope.drawing.walls import draw_patch
from crackscope.errors import BundleError
from crackscope.model.bundle import Bundle, Head, Material, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import NOT_CONCRETE, Gate
from crackscope.model.gate import fit_plane
from crackscope.model.gate_graph import material_of, plane_of, regated
from crackscope.model.graphs import make_model
from crackscope.model.quantisation import match_gate, quantise, with_card
from crackscope.model.sessions import GateSigns, Network, open_session, run_patches
from crackscope.scanning.loaded_model import load

MATERIAL = Material(np.linspace(-2, 2, 16, dtype=np.float32), 0.3)
LIMITS: dict[str, Any] = {
    **{"max_novelty": 1e6, "min_clarity": 0.0, "min_concrete": 0.5, "rank": 4, "n_crack": 9, "n_uncracked": 9},
    **dict.fromkeys(("not_concrete_crack", "not_concrete_uncracked", "blurred_crack", "blurred_uncracked"), 0.0),
}


@pytest.fixture(scope="module")
def patches() -> list[Any]:
    return [draw_patch(seed, side_px=96, crack=bool(seed % 2)).pixels for seed in range(20)]


@pytest.fixture(scope="module")
def plain(bundle_file: Path) -> Bundle:
    return read_bundle(bundle_file)


def features_of(bundle: Bundle, patches: list[Any]) -> Any:
    return run_patches(open_session(bundle.content), patches, "features", patch_px=bundle.card.patch_px)


@pytest.fixture(scope="module")
def sorting(plain: Bundle, patches: list[Any]) -> Bundle:
    """The tiny bundle with a gate whose classifier lets half of the drawn patches pass."""
    plane = fit_plane(features_of(plain, patches))
    assert plane is not None
    graph = regated(onnx.load_model_from_string(plain.content).graph, plane, MATERIAL)
    found = MATERIAL.concrete(features_of(plain, patches))
    gate = Gate(**{**LIMITS, "min_concrete": float(np.median(found)), "rank": len(plane.axes)})
    content = make_model(graph).SerializeToString()
    return with_card(Bundle(content, plain.card, "x.onnx"), plain.card.model_copy(update={"gate": gate}))


def test_the_graph_gives_what_the_formula_gives(sorting: Bundle, plain: Bundle, patches: list[Any]) -> None:
    session = open_session(sorting.content)
    found = run_patches(session, patches, "concrete", patch_px=64)
    features = features_of(plain, patches)
    np.testing.assert_allclose(found, MATERIAL.concrete(features), atol=1e-5)
    assert ((found >= 0) & (found <= 1)).all()
    graph = onnx.load_model_from_string(sorting.content).graph
    kept, plane = material_of(graph), plane_of(graph)
    assert kept is not None
    assert plane is not None
    np.testing.assert_array_equal(kept.weight, MATERIAL.weight)
    assert kept.bias == pytest.approx(MATERIAL.bias)
    assert material_of(onnx.load_model_from_string(plain.content).graph) is None


def test_another_gate_changes_nothing_else(sorting: Bundle, plain: Bundle, patches: list[Any], tmp_path: Path) -> None:
    for output in ("probability", "logits", "features"):
        one, other = (
            run_patches(open_session(bundle.content), patches, output, patch_px=64) for bundle in (sorting, plain)
        )
        np.testing.assert_array_equal(one, other)
    assert sorting.card.backbone.sha256 == plain.card.backbone.sha256
    (tmp_path / "x.onnx").write_bytes(sorting.content)
    assert read_bundle(tmp_path / "x.onnx").card == sorting.card  # its digests are right
    graph = onnx.load_model_from_string(sorting.content).graph
    again = regated(graph, plane_of(graph), MATERIAL)  # type: ignore[arg-type]
    assert [value.name for value in again.output] == [value.name for value in graph.output]
    assert len(again.node) == len(graph.node)


def test_what_the_classifier_refuses_is_rejected(sorting: Bundle, patches: list[Any]) -> None:
    model = load(sorting)
    said = [model.classify(pixels).reason for pixels in patches]
    found = run_patches(open_session(sorting.content), patches, "concrete", patch_px=64)
    gate = sorting.card.gate
    assert gate is not None
    assert said == [None if value >= gate.min_concrete else NOT_CONCRETE for value in found]
    assert 0 < said.count(NOT_CONCRETE) < len(said)
    signs = Network(sorting).signs(patches[0][:64, :64].copy())
    assert isinstance(signs, GateSigns)
    assert signs.concrete is not None


def test_a_gate_with_a_limit_of_concrete_needs_the_number() -> None:
    gate = Gate(**LIMITS)
    assert gate.reason(0.0, 1.0, 0.6) is None
    assert gate.reason(0.0, 1.0, 0.4) == NOT_CONCRETE
    assert gate.reason(0.0, 1.0, None) == NOT_CONCRETE
    assert gate.reason(0.0, 1.0, float("nan")) == NOT_CONCRETE
    assert gate.reason(2e6, 1.0, 0.6) == NOT_CONCRETE
    assert Gate(**{**LIMITS, "min_concrete": None}).reason(0.0, 1.0) is None


def test_both_limits_survive_rounding(sorting: Bundle, patches: list[Any]) -> None:
    rounded = match_gate(quantise(sorting, patches[:8]), sorting, patches)
    exact, other = sorting.card.gate, rounded.card.gate
    assert exact is not None
    assert other is not None
    assert exact.min_concrete is not None
    assert other.min_concrete == pytest.approx(exact.min_concrete, abs=0.2)
    said = [[load(bundle).classify(pixels).reason for pixels in patches] for bundle in (sorting, rounded)]
    assert np.mean([one == two for one, two in zip(*said, strict=True)]) >= 0.8


@pytest.mark.parametrize(
    ("gate", "material", "message"),
    [
        ({"min_concrete": None}, MATERIAL, "come together"),
        ({}, None, "come together"),
        ({}, Material(np.ones(15, np.float32), 0.0), "does not fit 16 features"),
        ({}, Material(np.full(16, np.nan, np.float32), 0.0), "not finite"),
        ({}, Material(MATERIAL.weight, float("inf")), "not finite"),
    ],
)
def test_a_gate_that_does_not_fit_is_refused(
    plain: Bundle, bundle_file: Path, patches: list[Any], gate: dict[str, Any], material: Material | None, message: str
) -> None:
    plane = fit_plane(features_of(plain, patches))
    assert plane is not None
    numbers = {
        t.name: onnx.numpy_helper.to_array(t) for t in onnx.load_model_from_string(plain.content).graph.initializer
    }
    head = Head(numbers["head/weight"][:, :, 0, 0], numbers["head/bias"], plain.card.patch.temperature)
    card = plain.card.model_copy(update={"gate": Gate(**{**LIMITS, "rank": len(plane.axes), **gate})})
    with pytest.raises(BundleError, match=message):
        compose(read_backbone(bundle_file), head, card, plane, material)


def test_a_card_that_tells_of_another_gate_than_the_graph_is_refused(sorting: Bundle, tmp_path: Path) -> None:
    gate = sorting.card.gate
    assert gate is not None
    changed = sorting.card.model_copy(update={"gate": gate.model_copy(update={"min_concrete": None})})
    place = tmp_path / "x.onnx"
    place.write_bytes(with_card(sorting, changed).content)
    with pytest.raises(BundleError, match="measures concrete, and the card has no limit of it"):
        read_bundle(place)
    graph = onnx.load_model_from_string(sorting.content).graph
    without = make_model(regated(graph, plane_of(graph), None)).SerializeToString()  # type: ignore[arg-type]
    write_model(
        onnx.load_model_from_string(with_card(Bundle(without, sorting.card, "x"), sorting.card).content),
        place,
        overwrite=True,
    )
    with pytest.raises(BundleError, match="no output 'concrete'"):
        read_bundle(place)
