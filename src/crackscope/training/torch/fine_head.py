"""The fine head in torch: from inner maps of a trunk to the logit that a crack's line passes through a small cell.

A trunk's last map has large cells. Its earlier maps have small ones, and see less around them. The fine head brings
the maps of several blocks to the same few channels (the *laterals*). From the largest cells to the smallest, it repeats
each cell, adds the next lateral, and mixes neighbouring cells. Nothing in it depends on the size of the image, so a
window of a photo gives the same cells as the whole photo.

`export_fine` writes it down as the decoder of a bundle. A training computes the maps with `FeatureMap.maps`.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from crackscope.errors import BundleError
from crackscope.model.card import BackboneCard
from crackscope.model.fine_graph import FINE_LOGITS, FineDecoder, fine_constants, fine_nodes
from crackscope.model.graphs import TRUNK, make_model
from crackscope.model.sessions import open_session
from crackscope.training.torch.backbones import FeatureMap
from crackscope.training.torch.network import to_planes
from crackscope.training.torch.translation import decoder_graph

__all__ = ["DEFAULT_BLOCKS", "FineHead", "InnerMap", "export_fine", "fine_logits", "inner_maps", "inner_name"]

DEFAULT_BLOCKS = ("stem", "block_2", "block_5", "block_12")
"""Blocks of a MobileNetV2 whose maps have strides 2, 4, 8 and 16 px: the last block of each stride that has few
channels."""

_TOLERANCE = 1e-4


@dataclass(frozen=True)
class InnerMap:
    """A map inside a trunk.

    Attributes:
        block: Name of the block that gives it.
        channels: Number of its channels.
        stride_px: Distance of neighbouring cells, in pixels.
    """

    block: str
    channels: int
    stride_px: int


def inner_maps(trunk: FeatureMap, blocks: Sequence[str] = DEFAULT_BLOCKS) -> tuple[InnerMap, ...]:
    """Find out channels and strides of the maps that some blocks of a trunk give.

    Args:
        trunk: Trunk in inference mode.
        blocks: Names of the blocks.

    Raises:
        DataError: If there is no block of one of these names.
    """
    side_px = 64
    with torch.inference_mode():
        _, *maps = trunk.maps(torch.zeros(1, 3, side_px, side_px), blocks)
    return tuple(
        InnerMap(block, found.shape[1], side_px // found.shape[3]) for block, found in zip(blocks, maps, strict=True)
    )


class FineHead(nn.Module):
    """Inner maps of a trunk to logits (n, k, h, w), whose cells have the stride of the first map.

    Each mixing layer widens what a cell sees by one cell of its map on each side. At large strides that widens the halo
    of windows, and so the time of a scan. The trunk has mixed those cells already.

    Args:
        inner: The maps, the one with the smallest cells first; each stride is a multiple of the one before.
        channels: Number of channels that all maps are brought to. ONNX Runtime computes 16 channels at a time, so 24
            cost as much as 32.
        n_labels: Number of labels, k.
        depth: Number of mixing layers over the smallest cells.
        mixed_px: Greatest stride in pixels at which cells are mixed before they are repeated.
    """

    def __init__(
        self,
        inner: Sequence[InnerMap],
        *,
        channels: int = 16,
        n_labels: int = 1,
        depth: int = 2,
        mixed_px: int = 4,
    ) -> None:
        super().__init__()
        self.inner = tuple(inner)
        strides = [one.stride_px for one in inner]
        self.factors = [wide // fine for fine, wide in itertools.pairwise(strides)]
        if any(wide % fine for fine, wide in itertools.pairwise(strides)):
            raise BundleError(f"strides {strides}: each must be a multiple of the one before. Give other blocks.")
        self.laterals = nn.ModuleList(nn.Conv2d(one.channels, channels, 1) for one in inner)
        self.mixing = nn.ModuleList(
            _mixing(channels) if stride_px <= mixed_px else nn.Identity() for stride_px in strides[1:]
        )
        self.last = nn.Sequential(*(_mixing(channels) for _ in range(depth)), nn.Conv2d(channels, n_labels, 1))

    @property
    def stride_px(self) -> int:
        """Distance of neighbouring cells of the logits, in pixels."""
        return self.inner[0].stride_px

    def forward(self, maps: Sequence[torch.Tensor]) -> torch.Tensor:
        """Compute logits from the maps, in the order of `inner`."""
        found: torch.Tensor = self.laterals[-1](maps[-1])
        for i in reversed(range(len(self.factors))):
            found = nn.functional.interpolate(self.mixing[i](found), scale_factor=self.factors[i], mode="nearest")
            found = found + self.laterals[i](maps[i])
        logits: torch.Tensor = self.last(found)
        return logits


def _mixing(channels: int) -> nn.Sequential:
    """Mix neighbouring cells channel by channel, then channels cell by cell."""
    beside = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
    return nn.Sequential(nn.ReLU(), beside, nn.Conv2d(channels, channels, 1), nn.ReLU())


def export_fine(
    trunk: FeatureMap, head: FineHead, backbone: onnx.GraphProto, card: BackboneCard, *, temperature: float
) -> FineDecoder:
    """Write a fine head down as the decoder of a bundle, and compare it with torch before handing it out.

    Args:
        trunk: Trunk in inference mode.
        head: Fine head, for the maps of this trunk.
        backbone: Graph of the trunk, from `crackscope.training.torch.export.export_backbone` with the blocks of `head`.
        card: Card of the backbone.
        temperature: Temperature in ``probability = sigmoid(logit / temperature)``.

    Raises:
        BundleError: If a logit differs by more than 1e-4 of the greatest on a drawn image of odd size, or the graph
            computes no map of one of the blocks.
    """
    names = [inner_name(trunk, one.block) for one in head.inner]
    widths = [(name, one.channels, one.stride_px) for name, one in zip(names, head.inner, strict=True)]
    decoder = FineDecoder(decoder_graph(head, widths), temperature)
    computed = {name for node in backbone.node for name in node.output}
    if missing := [name for name in names if name not in computed]:
        raise BundleError(
            f"the backbone's graph has no map '{missing[0]}'. Export it with the blocks of the fine head."
        )
    _require_agreement(trunk, head, backbone, card, decoder)
    return decoder


def fine_logits(trunk: FeatureMap, head: FineHead, card: BackboneCard, pixels: np.ndarray) -> torch.Tensor:
    """Compute in torch what the decoder computes: raw pixels (n, H, W, 3), uint8, to logits (n, k, h, w)."""
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    with torch.inference_mode():
        planes = to_planes(torch.from_numpy(pixels), scale, shift)
        _, *maps = trunk.maps(planes, [one.block for one in head.inner])
        logits: torch.Tensor = head.eval()(maps)
        return logits


def inner_name(trunk: FeatureMap, block: str) -> str:
    """Name that the map of a block has in the backbone's graph."""
    return "feature_map" if block == [*trunk.blocks][-1] else f"{TRUNK}{block}"


def _require_agreement(
    trunk: FeatureMap, head: FineHead, backbone: onnx.GraphProto, card: BackboneCard, decoder: FineDecoder
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (1, 131, 227, 3), dtype=np.uint8)
    expected = fine_logits(trunk, head, card, pixels).numpy()
    value = helper.make_tensor_value_info(FINE_LOGITS, TensorProto.FLOAT, None)
    nodes, weights = fine_nodes(decoder), fine_constants(decoder)
    whole = helper.make_graph(
        [*backbone.node, *nodes], "fine", backbone.input, [value], initializer=[*backbone.initializer, *weights]
    )
    found = open_session(make_model(whole).SerializeToString()).run(None, {"pixels": pixels})[0]
    difference = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= _TOLERANCE:
        raise BundleError(
            f"the exported decoder differs from torch by {difference:.2g} (at most {_TOLERANCE:g} is allowed): "
            "it was not written. Another version of torch may export it rightly."
        )
