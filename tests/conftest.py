"""Drawn patches and a tiny random model, made once a session; every test has a cache of its own session."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import crackscope
from crackscope.drawing.walls import draw_dataset
from crackscope.model.bundle import Head, compose, make_backbone, read_backbone, write_model
from crackscope.model.card import BackboneCard, Calibration, Card

REAL_DATA = os.environ.get("CRACKSCOPE_TEST_DATA")


@pytest.fixture(autouse=True, scope="session")
def _session_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["CRACKSCOPE_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images; without it the test is skipped, and pytest prints why."""
    if not REAL_DATA:
        pytest.skip("CRACKSCOPE_TEST_DATA is not set: no real images")
    return Path(REAL_DATA)


@pytest.fixture(scope="session")
def real_weights(real_data: Path) -> Path:
    """A real MobileNetV2 in the layout of the hub."""
    folder = real_data.parent / "weights" / "mobilenet_v2_1.0_224"
    if not folder.is_dir():
        pytest.skip(f"{folder.name} does not lie beside CRACKSCOPE_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drawn data set of 12 walls: its labels.csv."""
    return draw_dataset(tmp_path_factory.mktemp("drawn") / "walls", n_photos=12, patches_per_photo=9, side_px=96)


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


@pytest.fixture(scope="session")
def backbone_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backbone without a head."""
    path = tmp_path_factory.mktemp("backbone") / "tiny-backbone.onnx"
    write_model(make_backbone(tiny_trunk(), tiny_backbone_card()), path)
    return path


@pytest.fixture(scope="session")
def bundle_file(tmp_path_factory: pytest.TempPathFactory, backbone_file: Path) -> Path:
    """A whole bundle with random weights; its answers mean nothing."""
    rng = np.random.default_rng(1)
    head = Head(rng.normal(0, 1, (1, 16)).astype(np.float32), np.array([-0.2], np.float32), temperature=2.0)
    path = tmp_path_factory.mktemp("bundle") / "tiny.onnx"
    write_model(compose(read_backbone(backbone_file), head, tiny_card()), path)
    return path


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


def write_model_folder(folder: Path, config: dict[str, Any], *, seed: int = 0) -> Path:
    """A backbone with random weights and uneven batch statistics, laid out as the hub does (needs torch)."""
    import torch
    import transformers
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    torch.manual_seed(seed)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.from_pretrained(folder))
    for module in model.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.1)
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    save_file(model.state_dict(), folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def resnet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a tiny ResNet with basic blocks: stem and four blocks, 24 features."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    return write_model_folder(tmp_path_factory.mktemp("models") / "resnet", SMALL_CONFIGS["resnet-basic"])


@pytest.fixture(scope="session")
def mobilenet_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder of a narrow MobileNetV2: 18 blocks, 320 features."""
    pytest.importorskip("torch", reason="the extra `train` is not installed")
    return write_model_folder(tmp_path_factory.mktemp("models") / "mobilenet", SMALL_CONFIGS["mobilenet_v2"])
