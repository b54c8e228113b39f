"""The decoder's part of a graph: it changes nothing else, is found again, and fits its backbone and card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from crackscope.errors import BundleError
from crackscope.model.bundle import Bundle, Head, compose, read_backbone, read_bundle, write_model
from crackscope.model.card import FineMapCard
from crackscope.model.fine_graph import (
    FINE,
    FINE_LOGITS,
    FINE_MAP,
    FineDecoder,
    decoder_of,
    decoder_part,
    trunk_part,
    with_decoder,
    without_decoder,
)
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.graphs import OUTPUTS, backbone_graph, graph_digest, make_model
from crackscope.model.sessions import Network, open_bundle
from crackscope.model.windows import ReceptiveField, receptive_field
from shared.models import fine_bundle, tiny_card, tiny_decoder, tiny_head
from shared.pictures import noise


@pytest.fixture(scope="module")
def fine(fine_file: Path) -> Bundle:
    return read_bundle(fine_file)


def graph_of(bundle: Bundle) -> onnx.GraphProto:
    return onnx.load_model_from_string(bundle.content).graph


def run(graph: onnx.GraphProto, feeds: dict[str, Any], outputs: list[str] | None = None) -> list[Any]:
    content = make_model(graph).SerializeToString()
    found: list[Any] = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(outputs, feeds)
    return found


@pytest.mark.parametrize("hw", [(64, 64), (31, 70), (1, 1), (100, 81)])
def test_the_map_covers_the_padded_image_in_cells_of_its_stride(fine: Bundle, hw: tuple[int, int]) -> None:
    (found,) = run(graph_of(fine), {"pixels": noise(hw, n=2)}, [FINE_MAP])
    assert found.shape == (2, 1, -(-hw[0] // 32) * 16, -(-hw[1] // 32) * 16)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


def test_a_value_is_the_calibrated_sigmoid_of_its_logit(fine: Bundle) -> None:
    graph = graph_of(fine)
    graph.output.append(helper.make_tensor_value_info(FINE_LOGITS, onnx.TensorProto.FLOAT, None))
    logits, found = run(graph, {"pixels": noise((64, 96), n=1)}, [FINE_LOGITS, FINE_MAP])
    assert found.std() > 0.01
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-logits / 1.5)), atol=1e-6)


def test_a_decoder_changes_no_bit_of_the_other_outputs(fine: Bundle) -> None:
    pixels, graph = {"pixels": noise((75, 130), n=2)}, graph_of(fine)
    without = without_decoder(graph)
    assert [value.name for value in without.output] == list(OUTPUTS)
    assert not [node for node in without.node if node.name.startswith(FINE)]
    outputs = list(OUTPUTS)
    for one, other in zip(run(graph, pixels, outputs), run(without, pixels, outputs), strict=True):
        np.testing.assert_array_equal(one, other)
    backbones = [graph_digest(backbone_graph(one, feature_dim=16)) for one in (graph, without)]
    assert backbones[0] == backbones[1] == fine.card.backbone.sha256


def test_the_two_parts_give_what_the_whole_gives(fine: Bundle) -> None:
    graph, pixels = graph_of(fine), {"pixels": noise((64, 96), n=1)}
    decoder = decoder_of(graph)
    assert decoder is not None
    assert decoder.inner == ("trunk/r3", "trunk/r1", "trunk/r0")
    logit_map, *inner = run(trunk_part(graph, decoder.inner), pixels)
    (found,) = run(decoder_part(graph), dict(zip(decoder.inner, inner, strict=True)))
    expected = run(graph, pixels, ["logit_map", FINE_MAP])
    np.testing.assert_array_equal(logit_map, expected[0])
    np.testing.assert_array_equal(found, expected[1])


def test_a_decoder_that_is_put_back_gives_the_same_bytes(fine: Bundle, fine_file: Path) -> None:
    decoder, graph = decoder_of(graph_of(fine)), graph_of(fine)
    assert decoder is not None
    assert decoder.temperature == pytest.approx(1.5)
    assert graph_digest(with_decoder(graph, decoder)) == graph_digest(with_decoder(without_decoder(graph), decoder))
    kept = read_backbone(fine_file)
    again = compose(kept, tiny_head(), fine.card, decoder=FineDecoder(decoder.graph, 1.5))
    assert again.SerializeToString(deterministic=True) == fine.content
    assert decoder_of(without_decoder(graph)) is None


def test_a_session_for_other_outputs_has_no_decoder(fine: Bundle, bundle_file: Path) -> None:
    assert [value.name for value in open_bundle(fine).get_outputs()] == list(OUTPUTS)
    assert [value.name for value in open_bundle(read_bundle(bundle_file)).get_outputs()] == list(OUTPUTS)


def test_what_does_not_fit_is_refused(backbone_file: Path, fine_file: Path) -> None:
    told = FineMapCard(stride_px=2, temperature=1.5, threshold=0.5)
    fine = read_backbone(fine_file)
    with pytest.raises(BundleError, match="Give both, or neither"):
        compose(fine, tiny_head(), tiny_card(), decoder=tiny_decoder())
    with pytest.raises(BundleError, match="Give both, or neither"):
        compose(fine, tiny_head(), tiny_card(fine_map=told))
    with pytest.raises(BundleError, match=r"takes 'trunk/r0', which this backbone does not compute"):
        compose(read_backbone(backbone_file), tiny_head(), tiny_card(fine_map=told), decoder=tiny_decoder())
    with pytest.raises(BundleError, match=r"temperature is 3, the card's 1\.5"):
        compose(fine, tiny_head(), tiny_card(fine_map=told), decoder=tiny_decoder(temperature=3.0))
    broken = tiny_decoder()
    broken.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(np.full((4, 12, 1, 1), np.nan, np.float32), broken.graph.initializer[0].name)
    )
    with pytest.raises(BundleError, match="not finite"):
        compose(fine, tiny_head(), tiny_card(fine_map=told), decoder=broken)


def test_each_label_has_a_map(fine_file: Path, tmp_path: Path) -> None:
    told = FineMapCard(stride_px=2, temperature=1.5, threshold=0.5)
    head = Head(np.ones((2, 16), np.float32), np.zeros(2, np.float32), temperature=2.0)
    card = tiny_card(fine_map=told, labels=("spalling", "crack"))
    write_model(compose(read_backbone(fine_file), head, card, decoder=tiny_decoder(k=2)), tmp_path / "two.onnx")
    (found,) = run(graph_of(read_bundle(tmp_path / "two.onnx")), {"pixels": noise((64, 64), n=1)}, [FINE_MAP])
    assert found.shape == (1, 2, 32, 32)
    assert (found[0, 0] != found[0, 1]).any()
    bundle = read_bundle(tmp_path / "two.onnx")
    _, fine = FineNetwork(bundle, Network(bundle, threads=1)).maps(noise((64, 64)), likely_from=-np.inf)
    np.testing.assert_allclose(
        fine.values, run(graph_of(bundle), {"pixels": noise((64, 64))[None]}, [FINE_MAP])[0][0, 1]
    )


def test_the_field_of_the_tiny_decoder_by_hand(fine: Bundle) -> None:
    graph = graph_of(fine)
    # trunk/r3 sees 16·i to 16·i + 30; its cell is repeated up to 14 px later; a kernel of 3 adds 2 px on each side
    assert receptive_field(graph, "trunk/r3") == ReceptiveField(16, 0, 30)
    assert receptive_field(graph, FINE_MAP) == ReceptiveField(2, 14 + 2, 30 + 2)
    assert receptive_field(graph, "logit_map") == ReceptiveField(32, 0, 62)


def test_a_stride_of_4_is_stated_and_read(tmp_path: Path) -> None:
    write_model(fine_bundle(inner=("r1", "r2")), tmp_path / "four.onnx")
    found = read_bundle(tmp_path / "four.onnx")
    assert found.card.fine_map is not None
    assert found.card.fine_map.stride_px == 4
    assert run(graph_of(found), {"pixels": noise((64, 64), n=1)}, [FINE_MAP])[0].shape == (1, 1, 16, 16)
