"""A card that says other things than its graph is refused, even where the file has no digest of the card."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from bundles.make_bundle import FOLDER
from crackscope.errors import BundleError
from crackscope.model.agreement import disagreement
from crackscope.model.bundle import default_bundle, read_bundle
from crackscope.model.card import Card
from crackscope.model.graphs import CARD_KEY, DIGEST

PLAIN, GATED = FOLDER / "3991c8f-pool.onnx", FOLDER / "b80235a-gate-int8.onnx"  # written before cards had a digest
BACKBONE: dict[str, Any] = json.loads(read_bundle(PLAIN).card.backbone.to_json())
PATCH: dict[str, Any] = json.loads(read_bundle(PLAIN).card.patch.to_json())
GATE: dict[str, Any] = json.loads(read_bundle(GATED).card.model_dump_json())["gate"]


@pytest.mark.parametrize(
    ("place", "change", "message"),
    [
        (PLAIN, {"pool": "mean"}, "the card says pool mean, the graph logsumexp"),
        (FOLDER / "adc313a-int8.onnx", {"pool": "logsumexp"}, "the card says pool logsumexp, the graph mean"),
        (PLAIN, {"map": "approximate"}, "the card says map approximate, the graph exact"),
        (PLAIN, {"precision": "int8"}, "the card says precision int8, the graph fp32"),
        (GATED, {"precision": "fp32"}, "the card says precision fp32, the graph int8"),
        (PLAIN, {"labels": ["spalling", "crack"]}, "the card names 2 labels, the graph gives [1]"),
        (PLAIN, {"patch": {**PATCH, "temperature": 4.0}}, "the card says temperature 4, the graph 2"),
        (PLAIN, {"backbone": {**BACKBONE, "feature_dim": 9}}, "the card tells of 9 features, the graph gives [8]"),
        (
            PLAIN,
            {"backbone": {**BACKBONE, "pixel_shift": [0, 0, 0]}},
            "the card says pixel_shift 0, 0, 0, the graph -1, -1, -1",
        ),
        (PLAIN, {"backbone": {**BACKBONE, "pixel_scale": [1, 1, 1]}}, "the card says pixel_scale 1, 1, 1, the graph"),
        (PLAIN, {"gate": GATE}, "the graph has no output 'novelty'"),
        (GATED, {"gate": None}, "the graph measures novelty, and the card has no limit of it"),
        (GATED, {"gate": {**GATE, "rank": 3}}, "the card says gate.rank 3, the graph 2"),
    ],
)
def test_what_both_tell_is_compared(place: Path, change: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = onnx.load(place)
    (entry,) = model.metadata_props
    entry.value = json.dumps({**json.loads(entry.value), **change})
    onnx.save(model, tmp_path / "changed.onnx")
    with pytest.raises(BundleError) as raised:
        read_bundle(tmp_path / "changed.onnx")
    assert message in str(raised.value)
    assert str(raised.value).endswith("Fetch or train the bundle again.")


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_default_bundles_agree_and_have_their_digest(precision: str) -> None:
    model = onnx.load(default_bundle(precision))
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert set(metadata) == {CARD_KEY, CARD_KEY + DIGEST}
    assert disagreement(Card.model_validate_json(metadata[CARD_KEY]), model.graph) is None
    metadata[CARD_KEY] = metadata[CARD_KEY].replace('"pool":"logsumexp"', '"pool":"mean"')
    assert disagreement(Card.model_validate_json(metadata[CARD_KEY]), model.graph) == (
        "the card says pool mean, the graph logsumexp"
    )
