import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime import InferenceSession

from crackscope.errors import BundleError
from crackscope.model.bundle import Head, compose, make_backbone, read_backbone, read_bundle, write_model
from crackscope.model.graphs import Backbone, backbone_graph, graph_digest
from shared.models import tiny_backbone_card, tiny_card, tiny_trunk
from shared.pictures import noise

SIZES_HW = [(31, 31), (160, 160), (227, 227), (100, 81), (81, 100), (64, 96), (1, 1)]


def session(content: bytes) -> InferenceSession:
    return onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])


def head(k: int = 1, d: int = 16, **changes: Any) -> Head:
    rng = np.random.default_rng(7)
    settings = {"weight": rng.normal(0, 1, (k, d)).astype(np.float32), "bias": np.zeros(k, np.float32)}
    return Head(**(settings | {"temperature": 2.0} | changes))


@pytest.mark.parametrize("hw", SIZES_HW)
def test_every_size_is_padded_right_and_bottom_by_repeating_the_edge(bundle_file: Path, hw: tuple[int, int]) -> None:
    pixels = noise(hw, n=2)
    padded = np.pad(pixels, ((0, 0), (0, -hw[0] % 32), (0, -hw[1] % 32), (0, 0)), mode="edge")
    run = session(bundle_file.read_bytes()).run
    for found, expected in zip(run(None, {"pixels": pixels}), run(None, {"pixels": padded}), strict=True):
        assert np.array_equal(found, expected)


def test_pixels_are_normalised_as_the_card_says(backbone_file: Path) -> None:
    """The trunk by hand: the first convolution in NumPy, on one 32 × 32 image."""
    pixels = noise((32, 32), n=1)
    trunk = helper.make_model(tiny_trunk(), opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    planes = (pixels.transpose(0, 3, 1, 2) * (2 / 255) - 1).astype(np.float32)
    expected = session(trunk.SerializeToString()).run(None, {"x": planes})[0]
    found, features = session(backbone_file.read_bytes()).run(["feature_map", "features"], {"pixels": pixels})
    assert found == pytest.approx(expected, abs=1e-5)
    assert features == pytest.approx(expected.mean((2, 3)), abs=1e-5)


@pytest.mark.parametrize("hw", SIZES_HW)
def test_the_explanation_is_exact(bundle_file: Path, hw: tuple[int, int]) -> None:
    card = read_bundle(bundle_file).card
    outputs = session(bundle_file.read_bytes()).run(None, {"pixels": noise(hw, seed=3, n=3)})
    probability, logits, logit_map, features = outputs
    assert np.abs(logit_map.mean((2, 3)) - logits).max() <= 1e-5
    assert probability == pytest.approx(1 / (1 + np.exp(-logits / card.patch.temperature)), abs=1e-6)
    assert logit_map.shape == (3, 1, -(-hw[0] // 32), -(-hw[1] // 32))
    assert features.shape == (3, 16)


def test_two_labels_are_two_sigmoids(backbone_file: Path, tmp_path: Path) -> None:
    card = tiny_card(labels=("spalling", "crack"))
    write_model(compose(read_backbone(backbone_file), head(k=2), card), tmp_path / "two.onnx")
    bundle = read_bundle(tmp_path / "two.onnx")
    probability, logits, logit_map, _ = session(bundle.content).run(None, {"pixels": noise((50, 70), n=2)})
    assert bundle.card.labels == ("spalling", "crack")
    assert probability.shape == logits.shape == (2, 2)
    assert logit_map.shape == (2, 2, 2, 3)
    assert logits == pytest.approx(logit_map.mean((2, 3)), abs=1e-5)


def test_the_same_arguments_give_the_same_bytes(backbone_file: Path) -> None:
    made = [compose(read_backbone(backbone_file), head(), tiny_card()) for _ in range(2)]
    assert len({model.SerializeToString(deterministic=True) for model in made}) == 1


def test_nothing_of_the_exporter_is_left(tmp_path: Path) -> None:
    trunk = tiny_trunk()
    secret = "/home/someone/train.py line 12"
    trunk.doc_string = trunk.name = secret
    trunk.initializer[0].doc_string = trunk.input[0].doc_string = secret
    for node in trunk.node:
        node.doc_string, node.name = secret, f"{secret} {node.name}"
        node.metadata_props.add(key="pkg.torch.onnx.stack_trace", value=secret)
        for attribute in node.attribute:
            attribute.doc_string = secret
    scale = helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(np.ones((), np.float32), secret))
    scale.attribute[0].t.doc_string = secret
    trunk.node[0].input[0] = "scaled"
    trunk.node.insert(0, helper.make_node("Mul", ["x", "one"], ["scaled"]))
    trunk.node.insert(0, scale)
    write_model(make_backbone(trunk, tiny_backbone_card()), tmp_path / "b.onnx")
    write_model(compose(read_backbone(tmp_path / "b.onnx"), head(), tiny_card()), tmp_path / "m.onnx")
    for name in ("b.onnx", "m.onnx"):
        content = (tmp_path / name).read_bytes()
        assert b"/home" not in content
        assert str(tmp_path).encode() not in content
        assert session(content).run(["features"], {"pixels": noise((32, 32), n=1)})[0].shape == (1, 16)


def test_the_head_comes_off_without_a_trace(backbone_file: Path, bundle_file: Path) -> None:
    model = onnx.load_model(bundle_file)
    bare = backbone_graph(model.graph, feature_dim=16)
    assert bare == onnx.load_model(backbone_file).graph
    assert graph_digest(bare) == read_backbone(backbone_file).card.sha256
    assert graph_digest(bare) == hashlib.sha256(bare.SerializeToString(deterministic=True)).hexdigest()


def test_the_card_of_a_bundle_names_the_backbone_that_is_inside(backbone_file: Path) -> None:
    """Whatever the caller's card says of a backbone: features are cached under its digest."""
    backbone = read_backbone(backbone_file)
    model = compose(backbone, head(), tiny_card())
    assert backbone.card.sha256 in model.metadata_props[0].value


@pytest.mark.parametrize(
    ("broken", "card", "message"),
    [
        (head(d=12), {}, "12 features does not fit a backbone of 16"),
        (head(k=2), {}, "2 labels on 16 features does not fit .* card of 1 labels"),
        (head(bias=np.zeros(3, np.float32)), {}, "does not fit"),
        (head(temperature=1.0), {}, "temperature is 1, the card's 2"),
        (head(bias=np.array([np.nan], np.float32)), {}, "not finite"),
        (head(weight=np.full((1, 16), np.inf, np.float32)), {}, "not finite"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    backbone_file: Path, broken: Head, card: dict[Any, Any], message: str
) -> None:
    with pytest.raises(BundleError, match=message):
        compose(read_backbone(backbone_file), broken, tiny_card(**card))


def test_a_trunk_that_cannot_be_wrapped_is_refused() -> None:
    two, branching, broken = tiny_trunk(), tiny_trunk(), tiny_trunk()
    two.input.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3, "H", "W"]))
    with pytest.raises(BundleError, match="found 2 and 1"):
        make_backbone(two, tiny_backbone_card())
    branch = helper.make_graph([], "branch", [], [])
    branching.node.append(helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch))
    with pytest.raises(BundleError, match="branches at run time"):
        make_backbone(branching, tiny_backbone_card())
    broken.initializer[1].CopyFrom(numpy_helper.from_array(np.full(8, np.nan, np.float32), "b0"))
    with pytest.raises(BundleError, match="not finite"):
        make_backbone(broken, tiny_backbone_card())


def test_a_card_with_a_wrong_feature_dim_is_noticed(backbone_file: Path) -> None:
    backbone = read_backbone(backbone_file)
    wrong = Backbone(backbone.graph, backbone.card.model_copy(update={"feature_dim": 12}))
    with pytest.raises(onnx.shape_inference.InferenceError, match=r"\(16\) vs \(12\)"):
        compose(wrong, head(d=12), tiny_card())
