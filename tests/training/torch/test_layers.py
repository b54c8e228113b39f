"""The table of layers says what the network is, and leaves the network as it was."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from torch import nn

from crackscope.errors import OutputError
from crackscope.training.torch.layers import Layer, format_layers, layer_table, write_layers


class Branching(nn.Module):
    """The shortcut is defined first and runs last; one part never runs; a scale is its own."""

    def __init__(self) -> None:
        super().__init__()
        self.shortcut = nn.Conv2d(8, 8, 1, bias=False)
        self.inner = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.Dropout(0.5))
        self.pooler = nn.Linear(8, 2)
        self.scale = nn.Parameter(torch.ones(8, 1, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = (self.inner(x) + self.shortcut(x)) * self.scale
        return found


def make_blocks() -> list[tuple[str, nn.Module]]:
    stem = nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6())
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8), nn.Linear(8, 1))
    stem[0].requires_grad_(False)
    stem[1].bias.requires_grad_(False)
    return [("stem", stem), ("middle", Branching()), ("head", head)]


def test_rows_are_the_modules_with_parameters_in_the_order_they_run() -> None:
    blocks = make_blocks()
    layers = layer_table(blocks, example=torch.zeros(1, 3, 20, 14))
    assert layers == [
        Layer("stem.0", "Conv2d", "8×10×7", 216, 0, 216),
        Layer("stem.1", "BatchNorm2d", "8×10×7", 16, 8, 8),
        Layer("middle.inner.0", "Conv2d", "8×10×7", 584, 584, 0),
        Layer("middle.shortcut", "Conv2d", "8×10×7", 64, 64, 0),
        Layer("middle", "Branching", "8×10×7", 8, 8, 0),
        Layer("middle.pooler", "Linear", "unused", 18, 18, 0),
        Layer("head.2", "BatchNorm1d", "8", 16, 16, 0),
        Layer("head.3", "Linear", "1", 9, 9, 0),
    ]
    everything = [parameter for _, block in blocks for parameter in block.parameters()]
    assert sum(layer.n_parameters for layer in layers) == sum(parameter.numel() for parameter in everything)


def test_a_network_is_left_as_it_was_also_after_an_error() -> None:
    blocks = make_blocks()
    blocks[0][1].train()
    blocks[1][1].eval()
    before = {name: value.clone() for name, value in blocks[0][1].state_dict().items()}
    layer_table(blocks, example=torch.rand(1, 3, 20, 14))
    with pytest.raises(RuntimeError):
        layer_table(blocks, example=torch.rand(1, 5, 20, 14))
    assert all(module.training for module in blocks[0][1].modules())
    assert not any(module.training for module in blocks[1][1].modules())
    assert not any(module._forward_hooks for _, block in blocks for module in block.modules())
    assert all(torch.equal(value, before[name]) for name, value in blocks[0][1].state_dict().items())


def test_a_shared_parameter_counts_once_and_a_block_may_be_one_layer() -> None:
    first, second = nn.Linear(4, 4), nn.Linear(4, 4)
    second.weight = first.weight
    layers = layer_table([("first", first), ("second", second)], example=torch.zeros(1, 4))
    assert [(layer.name, layer.n_parameters) for layer in layers] == [("first", 20), ("second", 4)]


def test_a_table_is_written_once_and_read_as_text(tmp_path: Path) -> None:
    layers = layer_table(make_blocks(), example=torch.zeros(1, 3, 32, 32))
    write_layers(layers, tmp_path / "layers.csv")
    with (tmp_path / "layers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "kind", "output_shape", "n_parameters", "trainable", "frozen"]
    assert rows[0]["output_shape"] == "8×16×16"
    with pytest.raises(OutputError, match="exists"):
        write_layers(layers, tmp_path / "layers.csv")
    write_layers(layers, tmp_path / "layers.csv", overwrite=True)
    lines = format_layers(layers).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "parameters", "trainable", "frozen"]
    assert lines[-1].split() == ["total", "931", "707", "224"]
    assert len({len(line) for line in lines}) == 1
    assert format_layers([]).splitlines()[-1].split() == ["total", "0", "0", "0"]
