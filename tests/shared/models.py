"""Tiny models with random weights. They are made quickly, and their answers mean nothing."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import crackscope
from crackscope.model.bundle import Head
from crackscope.model.card import BackboneCard, Calibration, Card

if TYPE_CHECKING:
    import torch


def tiny_trunk(seed: int = 0) -> onnx.GraphProto:
    """Five stride-2 convolutions with fixed (0, 1) padding and random weights: 16 features at stride 32."""
    rng = np.random.default_rng(seed)
    channels = [3, 8, 8, 12, 12, 16]
    nodes, constants, source = [], [], "x"
    for i, (inner, outer) in enumerate(itertools.pairwise(channels)):
        weight = rng.normal(0, (2 / (9 * inner)) ** 0.5, (outer, inner, 3, 3)).astype(np.float32)
        constants += [
            numpy_helper.from_array(weight, f"w{i}"),
            numpy_helper.from_array(rng.normal(0, 0.1, outer).astype(np.float32), f"b{i}"),
        ]
        conv = helper.make_node("Conv", [source, f"w{i}", f"b{i}"], [f"c{i}"], strides=[2, 2], pads=[0, 0, 1, 1])
        nodes += [conv, helper.make_node("Relu", [f"c{i}"], [f"r{i}"])]
        source = f"r{i}"
    value = helper.make_tensor_value_info
    inputs = [value("x", TensorProto.FLOAT, ["n", 3, "H", "W"])]
    outputs = [value(source, TensorProto.FLOAT, ["n", 16, "h", "w"])]
    return helper.make_graph(nodes, "tiny", inputs, outputs, initializer=constants)


def tiny_backbone_card() -> BackboneCard:
    return BackboneCard(
        name="tiny",
        origin="random numbers",
        feature_dim=16,
        pixel_scale=(2 / 255,) * 3,
        pixel_shift=(-1.0,) * 3,
    )


def tiny_card(**changes: object) -> Card:
    calibration = Calibration(temperature=2.0, threshold=0.5, unsure_low=0.45, unsure_high=0.55)
    card = Card(
        name="tiny",
        made_with=f"crackscope {crackscope.__version__}",
        patch_px=64,
        source_px=128,
        patch=calibration,
        backbone=tiny_backbone_card(),
    )
    return card.model_copy(update=changes)


def tiny_head(seed: int = 1) -> Head:
    """A linear head for the 16 features of the tiny trunk."""
    weight = np.random.default_rng(seed).normal(0, 1, (1, 16)).astype(np.float32)
    return Head(weight, np.array([-0.2], np.float32), temperature=2.0)


SMALL_CONFIGS: dict[str, dict[str, Any]] = {
    "mobilenet_v2": {"model_type": "mobilenet_v2", "depth_multiplier": 0.25, "finegrained_output": False},
    "resnet": {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16, 16, 32]},
        **{"depths": [1, 2, 1, 1], "layer_type": "bottleneck"},
    },
    "resnet-basic": {
        **{"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 12, 16, 24]},
        **{"depths": [1, 1, 1, 1], "layer_type": "basic"},
    },
}
"""Backbones so small that a test can train them, by family; ResNets of 18 and 34 layers have basic blocks."""


def statistics_of(norm: torch.nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Running mean and variance of a batch normalisation, to be changed in place."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return norm.running_mean, norm.running_var


def write_model_folder(folder: Path, config: dict[str, Any], *, seed: int = 0) -> Path:
    """A backbone with random weights and uneven batch statistics, laid out as the hub does (needs torch)."""
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    from_config: Any = transformers.AutoModel.from_config
    model = from_config(transformers.AutoConfig.from_pretrained(folder))
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
            mean, variance = statistics_of(module)
            mean.normal_(0, 0.1)
            variance.uniform_(0.5, 1.5)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder
