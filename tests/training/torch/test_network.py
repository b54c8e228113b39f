"""The network in torch is the network in the bundle: head, preamble, and convolutions computed the fast way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from crackscope.errors import BundleError
from crackscope.model.bundle import compose, make_backbone, read_backbone
from crackscope.model.card import Card
from crackscope.model.graphs import CARD_KEY, make_model
from crackscope.training.recipes import HeadSettings
from crackscope.training.torch.backbones import FeatureMap, load_backbone
from crackscope.training.torch.network import (
    HeadLayers,
    fast_convolutions,
    plane_logits,
    to_planes,
)
from shared.models import SMALL_CONFIGS, tiny_backbone_card, tiny_card, write_model_folder

SIZES_HW = [(1, 1), (31, 31), (32, 32), (33, 95), (100, 81), (160, 160), (227, 227)]
HEADS = {
    "softmax": HeadSettings(),
    "sigmoid": HeadSettings(output="sigmoid"),
    "dropout": HeadSettings(features_dropout=0.5),
    "hidden": HeadSettings(hidden=(7,), hidden_dropout=(0.5,)),
    "hidden twice, sigmoid": HeadSettings(output="sigmoid", hidden=(7, 5), hidden_dropout=(0.5, 0.3)),
}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def made_head(settings: HeadSettings, dim: int = 16, seed: int = 0) -> HeadLayers:
    torch.manual_seed(seed)
    head = HeadLayers(dim, settings).eval()
    for layer in (*head.hidden, head.output):
        torch.nn.init.normal_(layer.bias)
    return head


def session(content: bytes) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


# The head


def test_a_softmax_of_two_is_the_sigmoid_of_one_logit() -> None:
    head = made_head(HEADS["softmax"])
    features = torch.randn(9, 16)
    with torch.inference_mode():
        both = torch.softmax(head.output(features), 1)[:, 1]
        np.testing.assert_allclose(torch.sigmoid(head(features)), both, atol=1e-6)
        assert head(features).shape == (9,)
    logits = head(features)
    targets = torch.tensor([1.0, 0] * 4 + [1.0])
    own = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    twofold = torch.nn.functional.cross_entropy(head.output(features), targets.long())
    assert own.item() == pytest.approx(twofold.item(), abs=1e-6)


@pytest.mark.parametrize("kind", HEADS)
def test_the_exported_head_says_what_torch_says(kind: str, backbone_file: Path) -> None:
    head = made_head(HEADS[kind])
    exported = head.exported(temperature=2.0)
    assert exported.weight.shape == (1, HEADS[kind].hidden[-1] if HEADS[kind].hidden else 16)
    assert exported.feature_dim == 16
    model = compose(read_backbone(backbone_file), exported, tiny_card())
    run = session(model.SerializeToString()).run
    for hw in SIZES_HW:
        probability, logits, logit_map, features = run(None, {"pixels": noise(3, *hw, 3)})
        with torch.inference_mode():
            expected = head(torch.from_numpy(features)).numpy()
        np.testing.assert_allclose(logits[:, 0], expected, atol=1e-5)
        np.testing.assert_allclose(probability[:, 0], 1 / (1 + np.exp(-expected / 2)), atol=1e-6)
        assert logit_map.shape == (3, 1, -(-hw[0] // 32), -(-hw[1] // 32))
        if not HEADS[kind].hidden:
            np.testing.assert_allclose(logit_map.mean((2, 3)), logits, atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_on_every_cell_is_pooled_by_logsumexp_and_its_map_is_exact(kind: str, backbone_file: Path) -> None:
    """By hand: log(mean(exp(logit))) of the map, in the graph and in torch, whatever the size."""
    head = made_head(HEADS[kind].model_copy(update={"pool": "logsumexp"}))
    backbone = read_backbone(backbone_file)
    model = compose(backbone, head.exported(temperature=2.0), tiny_card().model_copy(update={"pool": "logsumexp"}))
    card = Card.model_validate_json({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    assert card.map == "exact"
    maps = session(make_model(backbone.graph).SerializeToString()).run
    run = session(model.SerializeToString()).run
    for hw in SIZES_HW:
        pixels = noise(3, *hw, 3)
        _, logits, logit_map, _ = run(None, {"pixels": pixels})
        by_hand = np.log(np.exp(logit_map.astype(np.float64)).mean((2, 3)))
        np.testing.assert_allclose(logits, by_hand, atol=1e-5)
        feature_map = torch.from_numpy(maps(["feature_map"], {"pixels": pixels})[0])
        with torch.inference_mode():
            np.testing.assert_allclose(plane_logits(torch.nn.Identity(), head, feature_map), logits[:, 0], atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_the_card_says_whether_the_map_is_exact(kind: str, backbone_file: Path) -> None:
    model = compose(read_backbone(backbone_file), made_head(HEADS[kind]).exported(temperature=2.0), tiny_card())
    card = Card.model_validate_json({entry.key: entry.value for entry in model.metadata_props}[CARD_KEY])
    assert card.map == ("approximate" if HEADS[kind].hidden else "exact")


def test_with_hidden_layers_each_cell_is_judged_by_its_own_feature(backbone_file: Path) -> None:
    """The map is the head on every cell alone; on one cell, map and logit are the same."""
    head = made_head(HEADS["hidden twice, sigmoid"])
    backbone = read_backbone(backbone_file)
    run = session(compose(backbone, head.exported(temperature=2.0), tiny_card()).SerializeToString()).run
    pixels = noise(2, 96, 64, 3)
    features = session(make_model(backbone.graph).SerializeToString()).run(["feature_map"], {"pixels": pixels})[0]
    with torch.inference_mode():
        cells = head(torch.from_numpy(features.transpose(0, 2, 3, 1).reshape(-1, 16)))
    np.testing.assert_allclose(run(["logit_map"], {"pixels": pixels})[0].ravel(), cells, atol=1e-5)
    logits, logit_map = run(["logits", "logit_map"], {"pixels": noise(2, 32, 32, 3)})
    np.testing.assert_allclose(logits, logit_map[:, :, 0, 0], atol=1e-5)


def test_an_exported_head_is_a_copy_and_dropout_is_gone() -> None:
    head = made_head(HeadSettings(features_dropout=0.9, hidden=(4,), hidden_dropout=(0.9,)))
    exported = head.exported()
    before = [values.copy() for layer in exported.layers for values in layer]
    with torch.no_grad():
        for parameter in head.parameters():
            parameter.add_(1)
    after = [values for layer in exported.layers for values in layer]
    assert all(np.array_equal(one, two) for one, two in zip(before, after, strict=True))
    assert exported.temperature == 1


def test_dropout_drops_in_training_alone() -> None:
    head = made_head(HeadSettings(features_dropout=0.5, hidden=(64,), hidden_dropout=(0.5,)))
    features = torch.ones(400, 16)
    with torch.no_grad():
        assert len(head(features).unique()) == 1
        assert len(head.train()(features).unique()) > 300


def test_a_dense_layer_begins_as_keras_does() -> None:
    torch.manual_seed(0)
    head = HeadLayers(1280, HeadSettings(hidden=(256,), hidden_dropout=(0,)))
    for layer in (*head.hidden, head.output):
        bound = (6 / (layer.in_features + layer.out_features)) ** 0.5
        assert 0.95 * bound < layer.weight.detach().abs().max() <= bound
        assert not layer.bias.any()


def test_a_head_of_another_backbone_is_refused(backbone_file: Path) -> None:
    for kind in ("softmax", "hidden"):
        with pytest.raises(BundleError, match="12 features does not fit a backbone of 16"):
            compose(read_backbone(backbone_file), made_head(HEADS[kind], dim=12).exported(temperature=2.0), tiny_card())
    broken = made_head(HEADS["hidden"])
    broken.get_parameter("hidden.0.weight").data[0, 0] = float("nan")
    with pytest.raises(BundleError, match="not finite"):
        compose(read_backbone(backbone_file), broken.exported(temperature=2.0), tiny_card())


# Pixels


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 100), st.integers(1, 100), st.integers(1, 3))
def test_planes_are_what_the_graph_makes_of_pixels(height: int, width: int, n: int) -> None:
    card = tiny_backbone_card().model_copy(
        update={"feature_dim": 3, "pixel_scale": (0.02, 0.01, 1 / 255), "pixel_shift": (-2.0, 0.5, -1.0)}
    )
    pixels = noise(n, height, width, 3, seed=height)
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))
    found = to_planes(torch.from_numpy(pixels), scale, shift)
    assert found.shape == (n, 3, -(-height // 32) * 32, -(-width // 32) * 32)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=torch.channels_last)
    model = make_backbone(_identity_trunk(), card)
    np.testing.assert_allclose(session(model.SerializeToString()).run(["feature_map"], {"pixels": pixels})[0], found)


def _identity_trunk() -> onnx.GraphProto:
    """A trunk that gives the normalised pixels as they are, at stride 1."""
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info
    ends = [value(name, TensorProto.FLOAT, ["n", 3, "h", "w"]) for name in ("x", "y")]
    return helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", ends[:1], ends[1:])


def test_pixels_of_no_batch_are_no_planes() -> None:
    scale, shift = torch.ones(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    assert to_planes(torch.zeros(0, 32, 32, 3, dtype=torch.uint8), scale, shift).shape == (0, 3, 32, 32)


# Fast convolutions


@pytest.fixture(scope="module", params=sorted(SMALL_CONFIGS))
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FeatureMap:
    folder = write_model_folder(tmp_path_factory.mktemp(request.param), SMALL_CONFIGS[request.param])
    return load_backbone(str(folder))[0]


def outcome(module: FeatureMap, planes: torch.Tensor, head: HeadLayers) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradient of every weight."""
    module.requires_grad_(True)
    module.zero_grad()
    head.zero_grad()
    logits = plane_logits(module, head, planes)
    loss: Any = (logits * torch.arange(1, len(logits) + 1)).sum()
    loss.backward()
    both = {**dict(module.named_parameters()), **dict(head.named_parameters(prefix="head"))}
    return logits.detach(), {name: own.grad.clone() for name, own in both.items() if own.grad is not None}


@pytest.mark.parametrize("hw", [(32, 32), (96, 160)])
def test_the_fast_way_gives_the_same_outputs_and_gradients(backbone: FeatureMap, hw: tuple[int, int]) -> None:
    backbone = backbone.double().eval()
    planes = torch.rand(3, 3, *hw, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    channels = backbone(torch.zeros(1, 3, 32, 32, dtype=torch.float64)).shape[1]
    head = made_head(HeadSettings(), dim=channels)
    head.double()
    plain = FeatureMap(backbone.blocks.items())
    planes_of = Doubled(head)
    expected, expected_gradients = outcome(plain, planes, planes_of)
    with fast_convolutions(backbone):
        found, gradients = outcome(backbone, planes, planes_of)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert gradients.keys() == expected_gradients.keys()
    for name, gradient in expected_gradients.items():
        scale = float(gradient.abs().max()) or 1.0
        np.testing.assert_allclose(gradients[name] / scale, gradient / scale, atol=1e-6, err_msg=name)


class Doubled(HeadLayers):
    """A head that takes features back to float64, so that rounding hides nothing."""

    def __init__(self, head: HeadLayers) -> None:
        torch.nn.Module.__init__(self)
        self.own, self.pool = head, head.pool

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.own(features.double())
        return found


def test_the_way_back(backbone: FeatureMap) -> None:
    """Afterwards everything is as before, also after an error, and the same weights are there."""
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    forwards = [type(layer).forward for layer in backbone.modules()]
    with fast_convolutions(backbone):
        assert any("forward" in vars(layer) for layer in backbone.modules())
        with torch.no_grad():
            backbone(torch.rand(1, 3, 64, 64, dtype=next(backbone.parameters()).dtype))
    with pytest.raises(KeyError, match="stopped"), fast_convolutions(backbone):
        raise KeyError("stopped")
    assert not any("forward" in vars(layer) for layer in backbone.modules())
    assert [type(layer).forward for layer in backbone.modules()] == forwards
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


def test_batch_normalisation_that_learns_is_left_alone(backbone: FeatureMap) -> None:
    backbone = backbone.float()
    planes = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    with torch.no_grad():
        expected = backbone.train()(planes)
        after = {name: value.clone() for name, value in backbone.state_dict().items()}
        backbone.load_state_dict(before)
        with fast_convolutions(backbone):
            assert not any("forward" in vars(layer) for layer in backbone.modules())
            found = backbone(planes)
    assert torch.equal(found, expected)
    statistics = [name for name in before if name.endswith("running_mean")]
    assert all(torch.equal(backbone.state_dict()[name], after[name]) for name in statistics)
    assert not all(torch.equal(before[name], after[name]) for name in statistics)
    backbone.load_state_dict(before)
    backbone.eval()


def test_frozen_weights_get_no_gradient_and_their_input_does(backbone: FeatureMap) -> None:
    backbone = backbone.float().eval()
    planes = torch.rand(2, 3, 64, 64, requires_grad=True)
    with fast_convolutions(backbone.requires_grad_(False)):
        backbone(planes).sum().backward()
    assert planes.grad is not None
    assert planes.grad.abs().max() > 0
    backbone.requires_grad_(True)


def test_every_convolution_of_mobilenet_takes_the_fast_way(mobilenet_folder: Path) -> None:
    """Also those of stride 2, which carry fixed (0, 1) padding before them."""
    module, _ = load_backbone(str(mobilenet_folder))
    convolutions = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d)]
    strided = [layer for layer in convolutions if layer.stride == (2, 2)]
    with fast_convolutions(module):
        fast = [layer for layer in module.modules() if "forward" in vars(layer)]
        assert len(fast) == len(convolutions)
        padded = [layer for layer in fast if isinstance(vars(layer)["forward"].pad, torch.nn.ZeroPad2d)]
    assert len(padded) == len(strided) == 5
    assert {layer.padding for layer in strided} == {(0, 0)}
