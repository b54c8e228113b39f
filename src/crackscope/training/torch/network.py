"""The network in torch, from raw pixels to one logit: what learns, and what the bundle must agree with."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

from crackscope.arrays import Float32Array
from crackscope.model.bundle import MULTIPLE_PX, Head
from crackscope.training.recipes import HeadSettings
from crackscope.training.torch.convolution import convolve, geometry_of, runs_fused

__all__ = ["HeadLayers", "fast_convolutions", "plane_logits", "to_planes"]


class HeadLayers(nn.Module):
    """Pooled features (n, d) to one logit (n,): dropout, hidden layers, one or two outputs.

    Two outputs make a softmax, which is the sigmoid of their difference; that difference is the logit.
    """

    def __init__(self, feature_dim: int, settings: HeadSettings) -> None:
        super().__init__()
        widths = (feature_dim, *settings.hidden)
        self.pool = settings.pool
        self.features_dropout = nn.Dropout(settings.features_dropout)
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in itertools.pairwise(widths))
        self.dropouts = nn.ModuleList(nn.Dropout(share) for share in settings.hidden_dropout)
        self.output = nn.Linear(widths[-1], 2 if settings.output == "softmax" else 1)
        for layer in (*self.hidden, self.output):  # as Keras begins a dense layer
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Logits (n,)."""
        values = self.features_dropout(features)
        for layer, dropout in zip(self.hidden, self.dropouts, strict=True):
            values = dropout(torch.relu(layer(values)))
        outputs: torch.Tensor = self.output(values)
        return outputs[:, 1] - outputs[:, 0] if outputs.shape[1] == 2 else outputs[:, 0]

    def exported(self, *, temperature: float = 1.0) -> Head:
        """The head of a bundle: outputs become their difference."""
        weight, bias = _arrays(self.output)
        if len(weight) == 2:
            weight, bias = weight[1:] - weight[:1], bias[1:] - bias[:1]
        return Head(weight, bias, temperature, tuple(_arrays(layer) for layer in self.hidden))


def _arrays(layer: nn.Module) -> tuple[Float32Array, Float32Array]:
    """Copies of a linear layer's weight and bias."""
    assert isinstance(layer, nn.Linear)
    return layer.weight.detach().numpy().copy(), layer.bias.detach().numpy().copy()


def to_planes(pixels: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Raw pixels to what a backbone eats, as a bundle's graph does it: normalised, the edge repeated up to 32.

    Args:
        pixels: Raw pixels, shape (n, H, W, 3), uint8.
        scale: Factor per channel, shape (1, 3, 1, 1).
        shift: Summand per channel after the factor, shape (1, 3, 1, 1).

    Returns:
        Shape (n, 3, H', W'), float32, channels last.
    """
    down, right = -pixels.shape[1] % MULTIPLE_PX, -pixels.shape[2] % MULTIPLE_PX
    values = pixels.float().mul_(scale.view(1, 1, 1, 3)).add_(shift.view(1, 1, 1, 3))  # in the order of the pixels
    planes = values.permute(0, 3, 1, 2)
    if down or right:
        planes = nn.functional.pad(planes, (0, right, 0, down), mode="replicate")
    return planes.contiguous(memory_format=torch.channels_last)


def plane_logits(blocks: nn.Module, head: HeadLayers, planes: torch.Tensor) -> torch.Tensor:
    """Logits (n,) of a feature map's blocks and a head, on the map's mean or on each cell of it."""
    feature_map: torch.Tensor = blocks(planes)
    with torch.autocast(feature_map.device.type, enabled=False):  # a head is small, and sums many features
        if head.pool == "mean":
            logits: torch.Tensor = head(feature_map.mean((2, 3)).float())
            return logits
        cells = head(feature_map.flatten(2).transpose(1, 2).flatten(0, 1).float()).view(len(feature_map), -1)
        return torch.logsumexp(cells, 1) - math.log(cells.shape[1])


@contextlib.contextmanager
def fast_convolutions(module: nn.Module) -> Iterator[None]:
    """Compute convolution and batch normalisation in one go where the latter is in inference mode.

    The normalisation then is a factor and a summand, and both go into the convolution's weights at every step:
    the same function and gradients, but the map is passed over once instead of three times.
    """
    changed = []
    for layer in module.modules():
        norm = getattr(layer, "normalization", None)
        if hasattr(layer, "convolution") and isinstance(norm, nn.BatchNorm2d) and not norm.training:
            layer.forward = _Folded(layer)
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del layer.forward


class _Folded:
    """The forward of a layer of ``convolution``, ``normalization`` in inference mode and perhaps ``activation``."""

    def __init__(self, layer: Any) -> None:
        self.norm: nn.BatchNorm2d = layer.normalization
        self.activation: nn.Module | None = getattr(layer, "activation", None)
        convolution = layer.convolution
        pad, inner = convolution if isinstance(convolution, nn.Sequential) else (nn.Identity(), convolution)
        assert isinstance(inner, nn.Conv2d)
        self.pad, self.convolution = pad, inner
        self.geometry = geometry_of(pad, inner, clipped=isinstance(self.activation, nn.ReLU6))

    def __call__(self, feature_map: torch.Tensor) -> torch.Tensor:
        feature_map, weight, bias = _in_one_type(feature_map, *self._weights())
        if self.geometry is not None and runs_fused(feature_map):
            found = convolve(feature_map, weight, bias, self.geometry)
            return found if self.activation is None or self.geometry.clipped else self.activation(found)
        conv = self.convolution
        found = nn.functional.conv2d(
            self.pad(feature_map), weight, bias, conv.stride, conv.padding, conv.dilation, conv.groups
        )
        return found if self.activation is None else self.activation(found)

    def _weights(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Weight and bias of the convolution, with the normalisation in them."""
        norm, conv = self.norm, self.convolution
        assert norm.running_mean is not None
        assert norm.running_var is not None
        factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        weight, bias = conv.weight * factor.view(-1, 1, 1, 1), norm.bias - norm.running_mean * factor
        return weight, bias if conv.bias is None else bias + conv.bias * factor


def _in_one_type(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Bring tensors to one type, as autocast does for a convolution."""
    device = tensors[0].device.type
    if not torch.is_autocast_enabled(device):
        return tensors
    return tuple(values.to(torch.get_autocast_dtype(device)) for values in tensors)
