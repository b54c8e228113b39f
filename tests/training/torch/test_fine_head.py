"""The fine head in torch and the decoder of a bundle say the same, at every size and in windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from torch import nn

from crackscope.errors import BundleError, DataError
from crackscope.model.bundle import Backbone, Bundle, Head, compose, graph_digest, read_bundle, write_model
from crackscope.model.card import BackboneCard, FineMapCard
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.sessions import Network, open_session
from crackscope.training.torch import fine_head
from crackscope.training.torch.backbones import FeatureMap, load_backbone
from crackscope.training.torch.export import export_backbone
from crackscope.training.torch.fine_head import (
    DEFAULT_BLOCKS,
    FineHead,
    InnerMap,
    export_fine,
    fine_logits,
    inner_maps,
    inner_name,
)
from shared.models import tiny_card
from shared.pictures import noise

UNTIL = "block_13.expand_1x1"


@pytest.fixture(scope="module")
def trunk(mobilenet_folder: Path) -> tuple[FeatureMap, BackboneCard]:
    return load_backbone(str(mobilenet_folder), until=UNTIL)


@pytest.fixture(scope="module")
def head(trunk: tuple[FeatureMap, BackboneCard]) -> FineHead:
    torch.manual_seed(0)
    return FineHead(inner_maps(trunk[0])).eval()


@pytest.fixture(scope="module")
def bundle(trunk: tuple[FeatureMap, BackboneCard], head: FineHead, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    module, card = trunk
    model = export_backbone(module, card, inner=DEFAULT_BLOCKS)
    backbone = Backbone(model.graph, card.model_copy(update={"sha256": graph_digest(model.graph)}))
    decoder = export_fine(module, head, model.graph, card, temperature=0.8)
    weight = np.random.default_rng(0).normal(0, 0.1, (1, card.feature_dim)).astype(np.float32)
    told = FineMapCard(stride_px=2, temperature=0.8, threshold=0.5)
    whole = compose(
        backbone,
        Head(weight, np.zeros(1, np.float32), temperature=2.0),
        tiny_card(fine_map=told, backbone=card),
        decoder=decoder,
    )
    path = tmp_path_factory.mktemp("fine") / "fine.onnx"
    write_model(whole, path)
    return read_bundle(path)


def test_inner_maps_have_the_strides_of_their_blocks(trunk: tuple[FeatureMap, BackboneCard]) -> None:
    found = inner_maps(trunk[0])
    assert [(one.block, one.stride_px) for one in found] == list(zip(DEFAULT_BLOCKS, (2, 4, 8, 16), strict=True))
    assert inner_maps(trunk[0], ["block_13_expand_1x1"])[0].channels == trunk[1].feature_dim
    with pytest.raises(DataError, match=r"no block 'block_99'"):
        inner_maps(trunk[0], ["block_99"])


@pytest.mark.parametrize("hw", [(64, 64), (31, 70), (131, 227), (1, 1)])
def test_the_bundle_says_what_torch_says(
    trunk: tuple[FeatureMap, BackboneCard], head: FineHead, bundle: Bundle, hw: tuple[int, int]
) -> None:
    pixels = noise(hw, n=2)
    logits = fine_logits(trunk[0], head, trunk[1], pixels)
    found = open_session(bundle.content).run(["fine_map"], {"pixels": pixels})[0]
    assert found.shape == (2, 1, -(-hw[0] // 32) * 16, -(-hw[1] // 32) * 16)
    np.testing.assert_allclose(found, torch.sigmoid(logits / 0.8).numpy(), atol=1e-4)


def test_windows_equal_one_pass(bundle: Bundle) -> None:
    pixels = noise((500, 700))
    network = FineNetwork(bundle, Network(bundle, threads=2))
    (whole,) = open_session(bundle.content).run(["fine_map"], {"pixels": pixels[None]})
    for window_px in (64, 208, 4096):
        logits, fine = network.maps(pixels, likely_from=-np.inf, window_px=window_px)
        rows, columns = fine.values.shape
        assert (rows, columns) == (8 * logits.shape[0], 8 * logits.shape[1])
        np.testing.assert_allclose(fine.values, whole[0, 0, :rows, :columns], atol=1e-4)


def test_the_halo_is_one_cell_wider_than_that_of_the_crack_map(bundle: Bundle) -> None:
    network = Network(bundle, threads=1)
    assert (network.field.halo_px, FineNetwork(bundle, network).field.halo_px) == (144, 160)


def test_naming_inner_maps_changes_no_feature(trunk: tuple[FeatureMap, BackboneCard], bundle: Bundle) -> None:
    plain, pixels = export_backbone(*trunk), {"pixels": noise((75, 90), n=1)}
    found = [open_session(one).run(["features"], pixels)[0] for one in (plain.SerializeToString(), bundle.content)]
    np.testing.assert_array_equal(*found)
    assert inner_name(trunk[0], "block_2") == "trunk/block_2"
    assert inner_name(trunk[0], "block_13_expand_1x1") == "feature_map"


def test_the_last_map_can_be_a_lateral(trunk: tuple[FeatureMap, BackboneCard]) -> None:
    module, card = trunk
    blocks = ("block_2", "block_5", "block_13_expand_1x1")
    torch.manual_seed(0)
    head = FineHead(inner_maps(module, blocks)).eval()
    assert head.stride_px == 4
    decoder = export_fine(module, head, export_backbone(module, card, inner=blocks).graph, card, temperature=1.0)
    assert decoder.inner == ("trunk/block_2", "trunk/block_5", "feature_map")


def test_a_backbone_without_the_maps_is_refused(trunk: tuple[FeatureMap, BackboneCard], head: FineHead) -> None:
    plain = export_backbone(*trunk)
    with pytest.raises(BundleError, match=r"no map 'trunk/stem'\. Export it with the blocks of the fine head"):
        export_fine(trunk[0], head, plain.graph, trunk[1], temperature=1.0)


def test_an_export_that_differs_from_torch_is_refused(
    trunk: tuple[FeatureMap, BackboneCard], head: FineHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = export_backbone(*trunk, inner=DEFAULT_BLOCKS).graph
    exact = fine_head.fine_logits
    monkeypatch.setattr(fine_head, "fine_logits", lambda *given: exact(*given) + 0.1)
    with pytest.raises(BundleError, match="the exported decoder differs from torch by 0"):
        export_fine(trunk[0], head, graph, trunk[1], temperature=1.0)


def test_strides_must_divide_each_other() -> None:
    with pytest.raises(BundleError, match=r"strides \[4, 6\]"):
        FineHead([InnerMap("a", 8, 4), InnerMap("b", 8, 6)])


class _ToSize(nn.Module):
    def forward(self, maps: Any) -> torch.Tensor:
        return nn.functional.interpolate(maps[0], size=(64, 64), mode="nearest")


def test_a_map_that_is_enlarged_to_a_size_is_not_translated() -> None:
    from crackscope.training.torch.translation import decoder_graph

    with pytest.raises(BundleError, match="only a fixed whole factor"):
        decoder_graph(_ToSize(), [("a", 4, 2)])


def test_a_fine_head_learns(trunk: tuple[FeatureMap, BackboneCard]) -> None:
    """A few steps on one picture bring its logits nearer to a drawn line."""
    module = trunk[0]
    torch.manual_seed(0)
    head = FineHead(inner_maps(module), depth=1).train()
    with torch.inference_mode():
        _, *maps = module.maps(torch.randn(1, 3, 64, 64), DEFAULT_BLOCKS)
    maps = [values.clone() for values in maps]
    line = torch.zeros(1, 1, 32, 32)
    line[..., 16, :] = 1
    optimiser, losses = torch.optim.Adam(head.parameters(), 1e-2), []
    for _ in range(8):
        loss = nn.functional.binary_cross_entropy_with_logits(head(maps), line)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
