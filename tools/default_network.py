"""The network of the default model in torch, and what it is taught by: patches, and the cells of crops."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from crackscope.training.recipes import HeadSettings
from crackscope.training.torch.backbones import FeatureMap, load_backbone
from crackscope.training.torch.fine_head import DEFAULT_BLOCKS, FineHead, inner_maps
from crackscope.training.torch.network import HeadLayers, to_planes
from default_settings import Settings
from default_source import Step
from line_material import IGNORED, LINE

FEW_CELLS = 12  # cells of a cracked patch that must lie on a line, at least
TOLD = ("loss", "fine loss", "cracked", "right", "line F1")


class Network(nn.Module):
    """Network of blocks, a head, and a fine head, from raw pixels to logits of patches and of cells."""

    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self, blocks: FeatureMap, head: HeadLayers, fine: FineHead | None, scale: torch.Tensor, shift: torch.Tensor
    ) -> None:
        super().__init__()
        self.blocks, self.head, self.fine = blocks, head, fine
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)

    def forward(self, pixels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Compute logits of coarse cells (n, h, w), and of fine cells (n, h', w'), from raw pixels (n, H, W, 3)."""
        planes = to_planes(torch.from_numpy(pixels).to(self.scale.device), self.scale, self.shift)
        names = [] if self.fine is None else [one.block for one in self.fine.inner]
        last, *inner = self.blocks.maps(planes, names)
        fine = None if self.fine is None else self.fine(inner)[:, 0].float()
        with torch.autocast(last.device.type, enabled=False):  # a head is small, and sums many features
            cells = self.head(last.permute(0, 2, 3, 1).flatten(0, 2).float())
        return cells.view(len(last), *last.shape[2:]), fine


def new_network(settings: Settings, backbone: str) -> Network:
    """Make the backbone with heads of random weights, the same in every run."""
    torch.manual_seed(settings.seed)
    blocks, card = load_backbone(backbone, until=settings.until)
    head = HeadLayers(card.feature_dim, HeadSettings(output="sigmoid", pool="logsumexp"))
    fine = None
    if settings.n_crops:
        fine = FineHead(inner_maps(blocks, DEFAULT_BLOCKS), channels=settings.channels, depth=settings.depth)
        last: Any = fine.last[-1]
        nn.init.constant_(last.bias, -3.0)  # lines are rare
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    network: Any = Network(blocks, head, fine, scale, shift)
    found: Network = network.to(memory_format=torch.channels_last)  # which torch does not type
    return found


def step_loss(network: Network, step: Step, whole: Step, settings: Settings) -> tuple[torch.Tensor, np.ndarray]:
    """Loss of a share of a step as a part of the mean over the whole step, and figures that add up in the same way.

    Args:
        network: The network.
        step: The share.
        whole: The whole step.
        settings: Settings of the training.
    """
    cells, fine = network(step.patches)
    logits, targets = pooled(cells), torch.from_numpy(step.targets).to(cells.device)
    wanted = targets * (1 - settings.smoothing) + settings.smoothing / 2
    n = len(whole.targets)
    loss = of_patches = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum") / n
    told = [
        float(of_patches.detach()),
        0.0,
        float(targets.sum()) / n,
        float(((logits > 0) == (targets > 0.5)).sum()) / n,
    ]
    if fine is not None:
        loss = loss + settings.weak_share * weak_loss(fine, wanted) / n
    if len(whole.crops):
        cells, fine = network(step.crops)
        truth = torch.from_numpy(step.truth).to(cells.device)
        m = len(whole.crops)
        of_lines = line_loss(fine, truth) / m
        loss = loss + settings.fine_share * of_lines + settings.crop_share * quarter_loss(cells, truth) / m
        told[1] = float(of_lines.detach())
        told.append(float(line_overlap(fine.detach().sigmoid(), truth).sum()) / m)
    else:
        told.append(0.0)
    return loss, np.array(told)


def pooled(cells: torch.Tensor) -> torch.Tensor:
    """Logits (n,) of pictures from those of their cells (n, h, w): a few strong cells decide."""
    return torch.logsumexp(cells.flatten(1), 1) - math.log(cells[0].numel())


def line_loss(logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the judged cells, and one minus the overlap where there are lines; summed over crops."""
    judged, line = (truth != IGNORED).float(), (truth == LINE).float()
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, line, reduction="none")
    per_crop = (entropy * judged).sum((1, 2)) / judged.sum((1, 2)).clamp(min=1)
    overlap = line_overlap(logits.sigmoid(), truth)
    return (5 * per_crop + (1 - overlap) * line.flatten(1).any(1)).sum()


def line_overlap(probability: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Dice's overlap of each crop, among the judged cells; 1 where nothing is found and nothing is there."""
    judged, line = (truth != IGNORED).float(), (truth == LINE).float()
    both = (probability * line).sum((1, 2))
    each = (probability * judged).sum((1, 2)) + line.sum((1, 2))
    return (2 * both + 1) / (each + 1)


def weak_loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the greatest few cells of each patch against the label of the patch; summed over patches."""
    few = logits.flatten(1).topk(FEW_CELLS, 1).values.mean(1)
    return nn.functional.binary_cross_entropy_with_logits(few, wanted, reduction="sum")


def quarter_loss(cells: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the quarters of each crop, cracked if a line passes through; the mean of a crop's quarters.

    Quarters in which only ignored cells could be a line do not count.
    """
    n, height, width = cells.shape
    parts = cells.view(n, 2, height // 2, 2, width // 2).transpose(2, 3).flatten(3)
    logits = torch.logsumexp(parts, 3) - math.log(parts.shape[3])
    side = truth.shape[1] // 2
    quarters = truth.view(n, 2, side, 2, side).transpose(2, 3).flatten(3)
    line = (quarters == LINE).sum(3)
    clear = (line >= 3 * FEW_CELLS) | ((quarters != 0).sum(3) == 0)  # a line that only grazes a quarter is not asked
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, (line > 0).float(), reduction="none")
    return (entropy * clear).sum() / 4
