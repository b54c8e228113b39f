"""A small convolutional network to train from nothing: five convolutions, 0.33 M weights."""

from __future__ import annotations

from torch import nn

from crackscope.model.card import BackboneCard
from crackscope.training.torch.backbones import FeatureMap

__all__ = ["CHANNELS", "build_scratch_cnn"]

CHANNELS = (16, 32, 64, 128, 200)
"""Channels of the five blocks; with the head they make 0.33 M weights."""


def build_scratch_cnn() -> tuple[FeatureMap, BackboneCard]:
    """Five blocks of convolution, pooling, batch normalisation and ReLU, at stride 32; a head follows.

    Pooling comes first, since it quarters what the others have to do and commutes with ReLU. Weights are drawn from
    torch's generator: seed it before.
    """
    blocks = []
    for i, (inner, outer) in enumerate(zip((3, *CHANNELS[:-1]), CHANNELS, strict=True)):
        convolution = nn.Conv2d(inner, outer, 3, padding=1, bias=False)
        nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
        layers = (convolution, nn.MaxPool2d(2), nn.BatchNorm2d(outer), nn.ReLU(inplace=True))
        blocks.append((f"block_{i}", nn.Sequential(*layers)))
    card = BackboneCard(
        name="scratch-cnn",
        origin="random numbers: trained from nothing",
        feature_dim=CHANNELS[-1],
        pixel_scale=(2 / 255,) * 3,
        pixel_shift=(-1.0,) * 3,
    )
    return FeatureMap(blocks), card
