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
from crackscope.model.bundle import Backbone, Bundle, FineDecoder, Head, compose, graph_digest, make_backbone
from crackscope.model.card import BackboneCard, Calibration, Card, FineMapCard
from crackscope.model.fine_graph import without_decoder
from crackscope.model.graphs import make_model
from crackscope.model.quantisation import with_card

if TYPE_CHECKING:
    import torch


def tiny_trunk(seed: int = 0) -> onnx.GraphProto:
    """Five stride-2 convolutions with fixed (0, 1) padding and random weights: 16 features at stride 32.

    Its inner maps are ``r0`` to ``r3``, of strides 2 to 16.
    """
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


def wide_trunk() -> onnx.GraphProto:
    """A trunk as the tiny one that sees beyond its cell on either side, with a shortcut; its halo is of two cells."""
    trunk, rng = tiny_trunk(seed=3), np.random.default_rng(4)
    for node in trunk.node:
        for attribute in node.attribute:
            if attribute.name == "pads":
                attribute.ints[:] = [1, 1, 1, 1]
    weight = rng.normal(0, (2 / (9 * 16)) ** 0.5, (16, 16, 3, 3)).astype(np.float32)
    trunk.initializer.append(numpy_helper.from_array(weight, "w5"))
    trunk.node.append(helper.make_node("Conv", ["r4", "w5"], ["c5"], pads=[1, 1, 1, 1]))
    trunk.node.append(helper.make_node("Add", ["c5", "r4"], ["joined"]))
    trunk.output[0].name = "joined"
    return trunk


INNER = {"r0": (8, 2), "r1": (8, 4), "r2": (12, 8), "r3": (12, 16)}
"""Channels and stride in pixels of the inner maps of the tiny and the wide trunk."""


def tiny_decoder(
    inner: tuple[str, ...] = ("r0", "r1", "r3"), *, temperature: float = 1.5, k: int = 1, seed: int = 5
) -> FineDecoder:
    """A decoder with random weights: laterals, cells repeated and summed, and a convolution that mixes neighbours."""
    rng, width = np.random.default_rng(seed), 4
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name

    def convolution(name: str, source: str, shape: tuple[int, ...]) -> str:
        weight = constant(f"{name} weight", rng.normal(0, (2 / np.prod(shape[1:])) ** 0.5, shape))
        bias, pad = constant(f"{name} bias", rng.normal(0, 0.1, shape[0])), shape[2] // 2
        nodes.append(helper.make_node("Conv", [source, weight, bias], [name], pads=[pad] * 4))
        return name

    found = ""
    for i, name in reversed([*enumerate(inner)]):
        lateral = convolution(f"lateral {name}", f"trunk/{name}", (width, INNER[name][0], 1, 1))
        if found:
            factor = INNER[inner[i + 1]][1] // INNER[name][1]
            rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
            scales = constant(f"scales {name}", [1, 1, factor, factor])
            nodes.append(helper.make_node("Resize", [found, "", scales], [f"repeated {name}"], **rule))
            nodes.append(helper.make_node("Add", [lateral, f"repeated {name}"], [f"sum {name}"]))
        found = f"sum {name}" if found else lateral
    mixed = convolution("mixed", found, (width, width, 3, 3))
    nodes.append(helper.make_node("Relu", [mixed], ["relu"]))
    convolution("logits", "relu", (k, width, 1, 1))
    value = helper.make_tensor_value_info
    inputs = [value(f"trunk/{name}", TensorProto.FLOAT, ["n", INNER[name][0], "H", "W"]) for name in inner]
    outputs = [value("logits", TensorProto.FLOAT, ["n", k, "h", "w"])]
    return FineDecoder(helper.make_graph(nodes, "decoder", inputs, outputs, initializer=constants), temperature)


def fine_bundle(
    *,
    inner: tuple[str, ...] = ("r0", "r1", "r3"),
    wide: bool = False,
    factor: float = 1.0,
    temperature: float = 1.5,
    **changes: object,
) -> onnx.ModelProto:
    """A bundle with a fine map and random weights.

    Args:
        inner: Inner maps that the decoder takes.
        wide: Whether the trunk sees beyond its cell on either side.
        factor: Factor on the weights of the head; with a large one, regions are few and sharp.
        temperature: Temperature of the fine map.
        changes: Other values for the card.
    """
    trunk = wide_trunk() if wide else tiny_trunk()
    value = helper.make_tensor_value_info
    trunk.output.extend(value(name, TensorProto.FLOAT, ["n", "d", "h", "w"]) for name in inner)
    model = make_backbone(trunk, tiny_backbone_card())
    own = tiny_backbone_card().model_copy(update={"sha256": graph_digest(model.graph)})
    head = tiny_head()
    sharp = Head(factor * head.weight, factor * head.bias, head.temperature)
    stride_px: Any = INNER[inner[0]][1]
    told = FineMapCard(stride_px=stride_px, temperature=temperature, threshold=0.5, fitted_on="drawn walls")
    card = tiny_card(fine_map=told, **changes)
    return compose(Backbone(model.graph, own), sharp, card, decoder=tiny_decoder(inner, temperature=temperature))


def without_fine_map(bundle: Bundle) -> Bundle:
    """The same bundle without its fine map, as models of older versions are."""
    graph = without_decoder(onnx.load_model_from_string(bundle.content).graph)
    plain = bundle.card.model_copy(update={"fine_map": None})
    return with_card(Bundle(make_model(graph).SerializeToString(), bundle.card, bundle.name), plain)


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
