"""Fused convolution: convolution, bias and ReLU6 in one pass over the map, where fine-tuning on CPUs spends its time.

PyTorch passes over the map once more for the activation; and on the way back through a depthwise convolution of stride
2 in bfloat16, its kernel takes more than ten times as long as the detour that is taken here.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import nn
from torch.autograd.function import once_differentiable

__all__ = ["Geometry", "convolve", "geometry_of", "runs_fused"]

_MOST = 6.0  # of ReLU6
_KERNEL_3 = (3, 3)
_STRIDE_2 = (2, 2)


class Geometry(NamedTuple):
    """How a kernel moves over a map.

    Attributes:
        stride: Steps of the kernel, down and to the right.
        padding: Rows of zeros above and below, and columns of zeros at the left and right.
        after: Whether one more row of zeros is added below, and one more column at the right.
        dilation: Distance of the kernel's taps, down and to the right.
        groups: Number of groups of channels.
        clipped: Whether ReLU6 follows the convolution.
    """

    stride: tuple[int, int]
    padding: tuple[int, int]
    after: bool
    dilation: tuple[int, int]
    groups: int
    clipped: bool


def geometry_of(pad: nn.Module, convolution: nn.Conv2d, *, clipped: bool) -> Geometry | None:
    """That of a convolution and what pads its map; None where it is another than `convolve` knows."""
    after = isinstance(pad, nn.ZeroPad2d) and tuple(pad.padding) == (0, 1, 0, 1)
    if not (after or isinstance(pad, nn.Identity)) or convolution.padding_mode != "zeros":
        return None
    stride, padding, dilation = (
        _pair(sides) for sides in (convolution.stride, convolution.padding, convolution.dilation)
    )
    if stride is None or padding is None or dilation is None:
        return None
    return Geometry(stride, padding, after, dilation, convolution.groups, clipped)


def _pair(sides: object) -> tuple[int, int] | None:
    """None for a padding by name."""
    if isinstance(sides, tuple) and len(sides) == 2:
        return int(sides[0]), int(sides[1])
    return None


def runs_fused(planes: torch.Tensor) -> bool:
    """Whether oneDNN computes a map of this device and type here, with an activation."""
    if planes.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not hasattr(torch.ops.mkldnn, "_convolution_pointwise"):
        return False
    if planes.dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return planes.dtype == torch.float32


def convolve(planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    """Compute ``conv2d`` and, if it is clipped, ReLU6, with the same gradients; `runs_fused` must hold of the map.

    Args:
        planes: Input, shape (n, c, H, W), channels last.
        weight: Kernel, shape (d, c / groups, h, w), of the same type.
        bias: Summand of each output channel, shape (d,).
        geometry: Stride, padding and dilation of the kernel.
    """
    found: torch.Tensor = _Convolution.apply(planes, weight, bias, geometry)  # type: ignore[no-untyped-call]
    return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry
    ) -> torch.Tensor:
        stride, padding, after, dilation, groups, clipped = geometry
        ctx.geometry = geometry
        padded = nn.functional.pad(planes, (0, 1, 0, 1)) if after else planes
        activation = ("hardtanh", [0.0, _MOST], "") if clipped else ("none", [], "")
        found: torch.Tensor = torch.ops.mkldnn._convolution_pointwise(
            padded, weight, bias, padding, stride, dilation, groups, *activation
        )
        ctx.save_for_backward(padded, weight, found if clipped else None)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        padded, weight, found = ctx.saved_tensors
        stride, padding, after, dilation, groups, clipped = ctx.geometry
        wanted = list(ctx.needs_input_grad[:3])
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        if clipped:
            gradient = torch.ops.aten.hardtanh_backward(gradient, found, 0.0, _MOST)
        detour = wanted[0] and _is_slow_backwards(ctx.geometry, padded, weight)
        to_planes, to_weight, to_bias = torch.ops.aten.convolution_backward(
            gradient, padded, weight, [len(weight)], stride, padding, dilation, False, [0, 0], groups,
            [wanted[0] and not detour, *wanted[1:]],
        )  # fmt: skip
        if detour:
            to_planes = _back_through_stride_2(gradient, weight, padded)
        elif after and to_planes is not None:
            to_planes = to_planes[:, :, :-1, :-1]
        return to_planes, to_weight, to_bias, None


def _is_slow_backwards(geometry: Geometry, padded: torch.Tensor, weight: torch.Tensor) -> bool:
    depthwise = geometry.groups == len(weight) == padded.shape[1]
    even = not any((side - 1) % 2 for side in padded.shape[2:])
    return (
        padded.dtype == torch.bfloat16
        and depthwise
        and geometry.after
        and even
        and geometry.padding == (0, 0)
        and (geometry.stride, geometry.dilation, tuple(weight.shape[2:])) == (_STRIDE_2, (1, 1), _KERNEL_3)
    )


def _back_through_stride_2(gradient: torch.Tensor, weight: torch.Tensor, padded: torch.Tensor) -> torch.Tensor:
    """The gradient of the map: that of stride 1, where all results but every other one have none.

    The kernel at result i covers 2i to 2i + 2, as that of stride 1, padded by one on all sides, does at 2i + 1.
    """
    n, channels, height, width = padded.shape
    spread = gradient.new_zeros((n, channels, height - 1, width - 1)).contiguous(memory_format=torch.channels_last)
    spread[:, :, 1::2, 1::2] = gradient
    return nn.functional.conv2d(spread, weight.flip(2, 3), padding=1, groups=channels)
