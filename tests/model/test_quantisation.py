"""An int8 bundle is a bundle like any other, and says nearly what the fp32 one says."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import crackscope
from crackscope.data.splits import split
from crackscope.errors import BundleError, DataError
from crackscope.model import quantisation
from crackscope.model.bundle import Bundle, Head, compose, make_backbone, read_backbone, read_bundle, write_model
from crackscope.model.card import Calibration
from crackscope.model.graphs import OUTPUTS
from crackscope.model.quantisation import match_temperature, quantise
from crackscope.model.sessions import Network, open_session
from crackscope.scanning.loaded_model import Model
from shared.models import tiny_backbone_card, tiny_card, tiny_trunk


@pytest.fixture(scope="module")
def patches() -> list[Any]:
    return [crackscope.draw_patch(seed, side_px=96).pixels for seed in range(24)]


@pytest.fixture(scope="module")
def exact(bundle_file: Path) -> Bundle:
    return read_bundle(bundle_file)


@pytest.fixture(scope="module")
def rounded(exact: Bundle, patches: list[Any]) -> Bundle:
    return quantise(exact, patches)


def graph_of(bundle: Bundle) -> onnx.GraphProto:
    return onnx.load_model_from_string(bundle.content).graph


def run(bundle: Bundle, pixels: Any, *outputs: str) -> list[Any]:
    found: list[Any] = open_session(bundle.content).run(list(outputs), {"pixels": pixels})
    return found


def test_it_is_a_bundle_with_raw_pixels_of_any_size(rounded: Bundle, exact: Bundle, tmp_path: Path) -> None:
    (tmp_path / "int8.onnx").write_bytes(rounded.content)
    read = read_bundle(tmp_path / "int8.onnx")
    assert read.card == rounded.card
    assert (read.card.precision, exact.card.precision) == ("int8", "fp32")
    assert (read.card.name, read.card.patch) == ("tiny-int8", exact.card.patch)
    model, before = (onnx.load_model_from_string(bundle.content) for bundle in (read, exact))
    assert (model.opset_import, model.ir_version) == (before.opset_import, before.ir_version)
    assert [value.name for value in model.graph.output] == list(OUTPUTS)
    rng = np.random.default_rng(0)
    for hw in ((31, 31), (64, 64), (96, 130), (227, 161)):
        pixels = rng.integers(0, 256, (2, *hw, 3), dtype=np.uint8)
        probability, logits, logit_map, features = run(read, pixels, *OUTPUTS)
        assert (probability.shape, features.shape) == ((2, 1), (2, 16))
        assert logit_map.shape == (2, 1, -(-hw[0] // 32), -(-hw[1] // 32))
        np.testing.assert_allclose(logit_map.mean((2, 3)), logits, atol=1e-4)
        padded = np.pad(pixels, ((0, 0), (0, -hw[0] % 32), (0, -hw[1] % 32), (0, 0)), mode="edge")
        np.testing.assert_allclose(run(read, padded, "logits")[0], logits, atol=1e-5)


def test_it_says_nearly_the_same(rounded: Bundle, exact: Bundle, patches: list[Any]) -> None:
    stack = np.stack(patches)
    (old,), (new,) = run(exact, stack, "logits"), run(rounded, stack, "logits")
    assert 0 < np.abs(old - new).max() < 0.1 * np.abs(old).std() + 0.1


def test_the_beginning_and_the_head_stay_in_float_and_weights_have_seven_bits(rounded: Bundle) -> None:
    graph = graph_of(rounded)
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    in_float = [node.name for node in convolutions if node.input[1] in tensors]
    assert in_float == ["trunk/node0", "head/map"]
    weights = [tensors[makers[node.input[1]].input[0]] for node in convolutions if node.input[1] in makers]
    assert len(weights) == 4
    assert {weight.dtype for weight in weights} == {np.dtype(np.int8)}
    assert max(np.abs(weight.astype(int)).max() for weight in weights) <= 64  # two products stay below 32,768
    assert not [name for name in tensors if not any(name in node.input for node in graph.node)]


def test_the_same_patches_give_the_same_bytes_in_any_process(
    exact: Bundle, rounded: Bundle, patches: list[Any], bundle_file: Path
) -> None:
    assert quantise(exact, patches).content == rounded.content
    code = (
        "import sys, hashlib, crackscope; from crackscope.model.quantisation import quantise; "
        "patches = [crackscope.draw_patch(seed, side_px=96).pixels for seed in range(24)]; "
        "print(hashlib.sha256(quantise(crackscope.read_bundle(sys.argv[1]), patches).content).hexdigest())"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7"}
    command = [sys.executable, "-c", code, str(bundle_file)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert found.stdout.strip() == hashlib.sha256(rounded.content).hexdigest()
    assert found.stderr == ""


def test_the_tool_neither_prints_nor_leaves_a_handler(
    exact: Bundle, patches: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    before = (list(logging.getLogger().handlers), list(logging.getLogger().filters))
    quantise(exact, patches[:2])
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger().handlers, logging.getLogger().filters) == before


def test_biases_take_back_what_rounded_weights_add(
    exact: Bundle, rounded: Bundle, patches: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantisation, "_correct_biases", lambda *_: None)
    plain = quantise(exact, patches)
    stack = np.stack(patches)
    truth, without, corrected = (run(one, stack, "features")[0].mean(0) for one in (exact, plain, rounded))
    assert np.abs(corrected - truth).mean() < np.abs(without - truth).mean()


def bundle_of(trunk: onnx.GraphProto, folder: Path) -> Bundle:
    write_model(make_backbone(trunk, tiny_backbone_card()), folder / "backbone.onnx")
    head = Head(np.full((1, 16), 0.1, np.float32), np.zeros(1, np.float32), temperature=2.0)
    write_model(compose(read_backbone(folder / "backbone.onnx"), head, tiny_card()), folder / "model.onnx")
    return read_bundle(folder / "model.onnx")


def test_a_depthwise_convolution_at_the_beginning_stays_in_float(tmp_path: Path, patches: list[Any]) -> None:
    trunk = tiny_trunk()
    second = next(node for node in trunk.node if node.output[0] == "c1")
    second.attribute.append(helper.make_attribute("group", 8))
    (weight,) = [tensor for tensor in trunk.initializer if tensor.name == "w1"]
    weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, :1].copy(), "w1"))
    graph = graph_of(quantise(bundle_of(trunk, tmp_path), patches[:4]))
    first = next(node for node in graph.node if node.op_type == "QuantizeLinear")
    assert first.input[0] == next(node for node in graph.node if node.name == "trunk/node3").output[0]


def test_convolutions_that_share_a_bias_are_corrected_apart(tmp_path: Path, patches: list[Any]) -> None:
    trunk = tiny_trunk()
    for node in trunk.node:
        if node.output[0] == "c3":
            node.input[2] = "b2"  # of 12 channels too
    bundle = bundle_of(trunk, tmp_path)
    rounded = quantise(bundle, patches)
    stack = np.stack(patches)
    (old,), (new,) = run(bundle, stack, "features"), run(rounded, stack, "features")
    assert np.abs(old - new).mean() < 0.05 * old.std() + 0.01


def test_an_int8_bundle_serves_as_a_backbone(rounded: Bundle, drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "int8.onnx").write_bytes(rounded.content)
    assert read_backbone(tmp_path / "int8.onnx").card.sha256 == rounded.card.backbone.sha256
    parts = split(crackscope.read_patches(drawn), val=0.25, test=0.25)
    done = crackscope.train(drawn, out=tmp_path / "run", split=parts, backbone=str(tmp_path / "int8.onnx"))
    trained = read_bundle(done.folder / "model.onnx")
    assert trained.card.patch_px == 64
    assert trained.card.precision == "int8"
    pixels = np.zeros((1, 64, 64, 3), np.uint8)
    np.testing.assert_array_equal(run(trained, pixels, "features")[0], run(rounded, pixels, "features")[0])


def test_an_int8_bundle_scans_with_the_same_receptive_field(rounded: Bundle, exact: Bundle) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (300, 420, 3), dtype=np.uint8)
    coarse = Network(rounded, threads=1)
    assert coarse.field == Network(exact, threads=1).field
    whole = coarse.logit_map(pixels)
    for window_px in (32, 96, 256):
        np.testing.assert_allclose(coarse.logit_map(pixels, window_px=window_px), whole, atol=1e-3)


def test_the_temperature_follows_stretched_logits(backbone_file: Path, patches: list[Any], tmp_path: Path) -> None:
    """A head of 1.5 times the weights stands in for rounding: its probabilities are the old ones again."""
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 1, (1, 16)).astype(np.float32)
    photo = Calibration(temperature=1.0, threshold=0.5, unsure_low=0.4, unsure_high=0.6, fitted_on="photos")
    bundles = []
    for factor in (1.0, 1.5):
        head = Head(factor * weight, np.full(1, -0.2 * factor, np.float32), temperature=2.0)
        write_model(
            compose(read_backbone(backbone_file), head, tiny_card(photo=photo)), tmp_path / "a.onnx", overwrite=True
        )
        bundles.append(read_bundle(tmp_path / "a.onnx"))
    matched = match_temperature(bundles[1], bundles[0], patches)
    assert matched.card.patch.temperature == pytest.approx(3.0, rel=1e-3)
    assert matched.card.patch.threshold == bundles[0].card.patch.threshold
    assert "matched on 24 patches of part val" in matched.card.patch.fitted_on
    assert matched.card.photo is not None
    assert matched.card.photo.temperature == pytest.approx(1.5, rel=1e-3)
    old, new = (Model(one).probabilities(patches) for one in (bundles[0], matched))
    np.testing.assert_allclose(old, new, atol=1e-3)


def test_a_backbone_without_convolutions_is_refused(tmp_path: Path, patches: list[Any]) -> None:
    value = helper.make_tensor_value_info
    weight = numpy_helper.from_array(np.ones((16, 3, 32, 32), np.float32), "w")
    trunk = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], strides=[32, 32])],
        "one",
        [value("x", TensorProto.FLOAT, ["n", 3, "H", "W"])],
        [value("y", TensorProto.FLOAT, ["n", 16, "h", "w"])],
        initializer=[weight],
    )
    with pytest.raises(BundleError, match="no convolutions to round"):
        quantise(bundle_of(trunk, tmp_path), patches[:1])


def test_without_patches_there_are_no_ranges(exact: Bundle) -> None:
    with pytest.raises(DataError, match="no patch to take ranges from"):
        quantise(exact, [])
