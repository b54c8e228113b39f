"""torch to ONNX, operation by operation."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import onnxruntime
import torch
from torch import nn

from crackscope.errors import BundleError
from crackscope.model.graphs import make_model
from crackscope.training.torch.translation import trunk_graph
from shared.models import statistics_of

SIZES = [(64, 64), (32, 96), (37, 51)]


class Residual(nn.Module):
    """A sum of two ways, one of them normalised without a convolution before."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return torch.relu(values + self.norm(self.conv(values)))


def network() -> nn.Sequential:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(3, 8, 3, stride=2),
        nn.BatchNorm2d(8),
        nn.ReLU6(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
        Residual(),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(8, affine=False),
        nn.Conv2d(8, 16, 3, padding=1, groups=8, dilation=1),
        nn.ReLU(),
        nn.Hardtanh(-0.5, 0.5),
    )
    for layer in layers.modules():
        if isinstance(layer, nn.BatchNorm2d):
            mean, variance = statistics_of(layer)
            mean.normal_(0, 0.5)
            variance.uniform_(0.5, 2)
    return layers.eval()


@pytest.mark.parametrize("size", SIZES)
def test_the_graph_agrees_with_torch_at_every_size(size: tuple[int, int]) -> None:
    layers = network()
    graph = trunk_graph(layers)
    session = onnxruntime.InferenceSession(make_model(graph).SerializeToString())
    planes = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = layers(planes).numpy()
    (found,) = session.run(None, {"normalised": planes.numpy()})
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_normalisation_and_zeros_go_into_the_convolution() -> None:
    graph = trunk_graph(network()[:4])
    assert [node.op_type for node in graph.node] == ["Conv", "Clip"]
    (pads,) = (list(a.ints) for a in graph.node[0].attribute if a.name == "pads")
    assert pads == [0, 0, 1, 1]


def test_the_same_network_gives_the_same_graph() -> None:
    assert trunk_graph(network()).SerializeToString() == trunk_graph(network()).SerializeToString()


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.GELU(), "aten.gelu.default"),
        (nn.Sequential(nn.ReflectionPad2d(1), nn.Conv2d(3, 3, 3)), "pads otherwise"),
        (nn.Sequential(nn.ZeroPad2d(1), nn.ReLU()), "pads otherwise"),
        (nn.AdaptiveAvgPool2d(1), "aten.adaptive_avg_pool2d.default"),
    ],
)
def test_what_is_not_translated_is_named(layer: nn.Module, message: str) -> None:
    with pytest.raises(BundleError, match=message):
        trunk_graph(layer)
