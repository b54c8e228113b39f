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
    told = np.zeros(len(TOLD))
    loss = torch.zeros((), device=network.scale.device)
    for pixels, labels in ((step.patches, step.targets), (step.squares, step.square_targets)):
        if len(pixels):
            of_labels, figures = label_loss(network, pixels, labels, settings)
            loss = loss + of_labels / whole.n_labels
            told += figures / whole.n_labels
    if len(whole.crops):
        cells, fine = network(step.crops)
        truth = torch.from_numpy(step.truth).to(cells.device)
        m = len(whole.crops)
        of_lines = line_loss(fine, truth) / m
        loss = loss + settings.fine_share * of_lines + settings.crop_share * quarter_loss(cells, truth) / m
        told[1] = float(of_lines.detach())
        told[4] = float(line_overlap(fine.detach().sigmoid(), truth).sum()) / m
    return loss, told


def label_loss(
    network: Network, pixels: np.ndarray, labels: np.ndarray, settings: Settings
) -> tuple[torch.Tensor, np.ndarray]:
    """Sum of the losses of patches, or of the 2×2 tiles of squares, and sums of the figures that are told.

    Args:
        network: The network.
        pixels: Shape (n, H, W, 3).
        labels: 1 for cracked, shape (n,) or (n, 2, 2).
        settings: Settings of the training.
    """
    cells, fine = network(pixels)
    targets = torch.from_numpy(labels).to(cells.device)
    n_across = 1 if targets.ndim == 1 else targets.shape[-1]
    logits, targets = pooled(cells, n_across).flatten(), targets.flatten()
    wanted = targets * (1 - settings.smoothing) + settings.smoothing / 2
    loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
    right = ((logits > 0) == (targets > 0.5)).sum()
    told = np.array([float(loss.detach()), 0, float(targets.sum()), float(right), 0])
    if fine is not None:
        loss = loss + settings.weak_share * weak_loss(fine, wanted, n_across)
    return loss, told


def parts_of(cells: torch.Tensor, n_across: int) -> torch.Tensor:
    """Divide pictures of cells (n, h, w) into n_across² parts: shape (n, n_across, n_across, cells of a part)."""
    n, height, width = cells.shape
    divided = cells.view(n, n_across, height // n_across, n_across, width // n_across)
    return divided.transpose(2, 3).flatten(3)


def pooled(cells: torch.Tensor, n_across: int = 1) -> torch.Tensor:
    """Logits of the parts of pictures from those of their cells (n, h, w): a few strong cells decide."""
    parts = parts_of(cells, n_across)
    return torch.logsumexp(parts, 3) - math.log(parts.shape[3])


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


def weak_loss(logits: torch.Tensor, wanted: torch.Tensor, n_across: int = 1) -> torch.Tensor:
    """Cross entropy of the greatest few cells of each part against its label (n * n_across²,); summed over parts."""
    few = parts_of(logits, n_across).topk(FEW_CELLS, 3).values.mean(3).flatten()
    return nn.functional.binary_cross_entropy_with_logits(few, wanted, reduction="sum")


def quarter_loss(cells: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Cross entropy of the quarters of each crop, cracked if a line passes through; the mean of a crop's quarters.

    Quarters in which only ignored cells could be a line do not count.
    """
    logits, quarters = pooled(cells, 2), parts_of(truth, 2)
    line = (quarters == LINE).sum(3)
    clear = (line >= 3 * FEW_CELLS) | ((quarters != 0).sum(3) == 0)  # a line that only grazes a quarter is not asked
    entropy = nn.functional.binary_cross_entropy_with_logits(logits, (line > 0).float(), reduction="none")
    return (entropy * clear).sum() / 4
