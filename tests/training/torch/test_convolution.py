"""The fused convolution gives what PyTorch's own operations give, forth and back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from torch import nn

from crackscope.training.torch.convolution import Geometry, convolve, geometry_of, runs_fused
from crackscope.training.torch.finetuning import has_bf16
from crackscope.training.torch.process import own_threads

DEPTHWISE = {
    stride_2: Geometry((2, 2) if stride_2 else (1, 1), (0, 0) if stride_2 else (1, 1), stride_2, (1, 1), 8, True)
    for stride_2 in (False, True)
}
LAYERS = {
    "depthwise": (8, 3, DEPTHWISE[False]),
    "depthwise of stride 2": (8, 3, DEPTHWISE[True]),
    "depthwise of stride 2, symmetric": (8, 3, Geometry((2, 2), (1, 1), False, (1, 1), 8, True)),
    "of stride 2, all channels": (6, 3, Geometry((2, 2), (0, 0), True, (1, 1), 1, True)),
    "1 × 1": (6, 1, Geometry((1, 1), (0, 0), False, (1, 1), 1, False)),
    "dilated": (8, 3, Geometry((1, 1), (2, 2), False, (2, 2), 8, True)),
}
SIZES_HW = [(12, 16), (2, 2), (7, 10)]


def layer_of(n_out: int, kernel: int, geometry: Geometry, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(n_out, 8 // geometry.groups, kernel, kernel, generator=generator)
    return weight.to(dtype).requires_grad_(), torch.randn(n_out, generator=generator).to(dtype).requires_grad_()


def planes_of(size_hw: tuple[int, int], dtype: torch.dtype) -> torch.Tensor:
    planes = 3 * torch.randn(2, 8, *size_hw, generator=torch.Generator().manual_seed(4))
    return planes.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()


def plain(planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, geometry: Geometry) -> torch.Tensor:
    padded = nn.functional.pad(planes, (0, 1, 0, 1)) if geometry.after else planes
    own = (geometry.stride, geometry.padding, geometry.dilation, geometry.groups)
    found = nn.functional.conv2d(padded, weight, bias, *own)
    return nn.functional.relu6(found) if geometry.clipped else found


def outcome(
    function: Callable[..., torch.Tensor],
    planes: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    geometry: Geometry,
) -> list[np.ndarray]:
    found = function(planes, weight, bias, geometry)
    shares = torch.randn(found.shape, generator=torch.Generator().manual_seed(5)).to(found.dtype)
    gradients = torch.autograd.grad((found * shares).float().sum(), (planes, weight, bias))
    return [values.detach().float().numpy() for values in (found, *gradients)]


@pytest.mark.parametrize("size_hw", SIZES_HW, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_as_pytorch_does_it(name: str, size_hw: tuple[int, int]) -> None:
    n_out, kernel, geometry = LAYERS[name]
    given = planes_of(size_hw, torch.float32), *layer_of(n_out, kernel, geometry, torch.float32), geometry
    assert runs_fused(given[0])
    for found, expected in zip(outcome(convolve, *given), outcome(plain, *given), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", LAYERS)
def test_two_threads_give_what_one_gives(name: str) -> None:
    n_out, kernel, geometry = LAYERS[name]
    given = planes_of((33, 50), torch.float32), *layer_of(n_out, kernel, geometry, torch.float32), geometry
    found = []
    for threads in (1, 2):
        with own_threads(threads):
            found.append(outcome(convolve, *given))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="this processor has no instructions for bfloat16")
@pytest.mark.parametrize("size_hw", SIZES_HW, ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_in_bfloat16_as_in_float32_but_for_rounding(name: str, size_hw: tuple[int, int]) -> None:
    n_out, kernel, geometry = LAYERS[name]
    own = planes_of(size_hw, torch.bfloat16), *layer_of(n_out, kernel, geometry, torch.bfloat16)
    planes, weight, bias = (values.detach().float().requires_grad_() for values in own)
    found = outcome(convolve, *own, geometry._replace(clipped=False))
    expected = outcome(plain, planes, weight, bias, geometry._replace(clipped=False))
    for values, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(values, wanted, rtol=0.02, atol=0.02 * np.abs(wanted).max())


def test_what_needs_no_gradient_gets_none() -> None:
    for wanted in itertools.product((False, True), repeat=3):
        geometry = DEPTHWISE[True]
        given = (planes_of((6, 6), torch.float32), *layer_of(8, 3, geometry, torch.float32))
        planes, weight, bias = (values.detach().requires_grad_(own) for values, own in zip(given, wanted, strict=True))
        found: Any = convolve(planes, weight, bias, geometry)
        assert found.requires_grad == any(wanted)
        if any(wanted):
            found.sum().backward()
        assert [values.grad is not None for values in (planes, weight, bias)] == list(wanted)


def test_a_gradient_that_lies_otherwise_in_memory() -> None:
    """Of a mean it has no strides of its own, of a transposed map others."""
    geometry = DEPTHWISE[True]
    given = (planes_of((8, 8), torch.float32), *layer_of(8, 3, geometry, torch.float32))
    ends: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
        torch.mean,
        lambda found: (found.transpose(2, 3) ** 2).sum(),
    )
    for last in ends:
        grads = [torch.autograd.grad(last(way(*given, geometry)), given) for way in (convolve, plain)]
        for found, expected in zip(*grads, strict=True):
            np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_which_layers_are_known() -> None:
    convolution = nn.Conv2d(8, 8, 3, 2, groups=8)
    assert geometry_of(nn.ZeroPad2d((0, 1, 0, 1)), convolution, clipped=True) == DEPTHWISE[True]
    assert geometry_of(nn.Identity(), nn.Conv2d(8, 8, 3, padding=1, groups=8), clipped=True) == DEPTHWISE[False]
    assert geometry_of(nn.ZeroPad2d((1, 1, 1, 1)), convolution, clipped=True) is None
    assert geometry_of(nn.Identity(), nn.Conv2d(8, 8, 3, padding="same"), clipped=True) is None
    assert geometry_of(nn.Identity(), nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), clipped=True) is None


def test_which_types_are_known() -> None:
    assert runs_fused(torch.zeros(1, 1, 2, 2))
    assert not runs_fused(torch.zeros(1, 1, 2, 2, dtype=torch.float64))
    assert not runs_fused(torch.zeros(1, 1, 2, 2, device="meta"))
