"""Graphs: the computation inside a model file, from raw pixels through padding, normalising and a trunk to a head.

Other modules import these names from `crackscope.model.bundle`, which reads and writes the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from crackscope.arrays import Float32Array
from crackscope.errors import BundleError
from crackscope.model.card import BackboneCard, Card, FineMapCard, Gate
from crackscope.model.fine_graph import (
    FINE,
    FineDecoder,
    fine_constants,
    fine_nodes,
    fine_value,
    require_decoder_fits,
)
from crackscope.model.gate_graph import (
    GATE,
    Material,
    Plane,
    gate_constants,
    gate_nodes,
    gate_outputs,
    require_gate_fits,
)
from crackscope.model.plain_graph import plain_copy

__all__ = [
    "BACKBONE_KEY",
    "CARD_KEY",
    "DIGEST",
    "MULTIPLE_PX",
    "OPSET",
    "OUTPUTS",
    "TRUNK",
    "Backbone",
    "Head",
    "Inherited",
    "backbone_graph",
    "compose",
    "graph_digest",
    "make_backbone",
    "make_model",
    "with_digest",
]


MULTIPLE_PX = 32
"""Multiple in pixels that the sides of an image are padded to, whatever the stride of the map: contract of a bundle."""

OPSET = 18
CARD_KEY, BACKBONE_KEY = "crackscope.card", "crackscope.backbone"
"""Metadata keys under which a bundle and a backbone hold their cards."""

DIGEST = ".sha256"
"""End of the metadata key that holds the digest of the card whose key stands before it."""

OUTPUTS = ("probability", "logits", "logit_map", "features")
TRUNK = "trunk/"
"""Prefix of the names that come from a feature extractor."""

_HEAD = "head/"  # prefix of the names that `compose` adds, beside those of the gate and the decoder, to be found again


@dataclass(frozen=True, eq=False)
class Head:
    """A head: linear, ``logits = mean over the map of (weight · feature + bias)``, or with hidden layers before that.

    Attributes:
        weight: Weights of the last layer, shape (k, d); d is the width of the last hidden layer, or of the features.
        bias: Biases of the last layer, shape (k,).
        temperature: Temperature in ``probability = sigmoid(logit / temperature)``.
        hidden: Weight (outer, inner) and bias (outer,) of each hidden layer, fully connected with ReLU. With hidden
            layers, logits are computed from the mean feature. The map is computed cell by cell, so it explains them
            only roughly.
    """

    weight: Float32Array
    bias: Float32Array
    temperature: float = 1.0
    hidden: tuple[tuple[Float32Array, Float32Array], ...] = ()

    @property
    def feature_dim(self) -> int:
        """Number of features that the head takes."""
        return int(self.hidden[0][0].shape[1] if self.hidden else self.weight.shape[1])

    @property
    def layers(self) -> tuple[tuple[Float32Array, Float32Array], ...]:
        """Weight and bias of each layer; the last layer is linear."""
        return (*self.hidden, (self.weight, self.bias))


@dataclass(frozen=True, eq=False)
class Inherited:
    """What a bundle holds beside backbone and head. A model with another head on the same backbone takes it over.

    Attributes:
        gate: Limits of the gate; None if the bundle has no gate.
        plane: Plane of the gate, if there is one.
        material: Classifier of the gate, if it has one.
        fine_map: How the fine map is read; None if the bundle has none.
        decoder: Decoder of the fine map, if there is one.
    """

    gate: Gate | None = None
    plane: Plane | None = None
    material: Material | None = None
    fine_map: FineMapCard | None = None
    decoder: FineDecoder | None = None


@dataclass(frozen=True, eq=False)
class Backbone:
    """A feature extractor: its graph and its card, and what else the bundle holds that it was read from."""

    graph: onnx.GraphProto
    card: BackboneCard
    inherited: Inherited = Inherited()


def graph_digest(graph: onnx.GraphProto) -> str:
    """Compute the SHA-256 of a graph as protobuf writes it, in hexadecimal."""
    return hashlib.sha256(graph.SerializeToString(deterministic=True)).hexdigest()


def make_model(graph: onnx.GraphProto, metadata: dict[str, str] | None = None) -> onnx.ModelProto:
    """Make a model of a graph, with the versions that all files of crackscope state."""
    model = helper.make_model(graph, producer_name="crackscope", opset_imports=[helper.make_opsetid("", OPSET)])
    model.ir_version = 10  # read by ONNX Runtime 1.18 and later
    helper.set_model_props(model, metadata or {})
    return model


def with_digest(key: str, card: str) -> dict[str, str]:
    """Make the metadata of a model file: a card under its key, and the card's SHA-256 in hexadecimal.

    Args:
        key: Metadata key of the card.
        card: Card as JSON.
    """
    return {key: card, key + DIGEST: hashlib.sha256(card.encode()).hexdigest()}


# The backbone


def make_backbone(trunk: onnx.GraphProto, card: BackboneCard) -> onnx.ModelProto:
    """Wrap a trunk into a backbone that takes raw pixels.

    Args:
        trunk: Graph with one input, normalised pixels (n, 3, H, W) with sides that are multiples of 32. Its first
            output is the feature map (n, d, H/32, W/32). Further outputs are inner maps, which become no outputs of the
            backbone: a decoder finds them under their name after ``trunk/``.
        card: Card of the backbone; its ``pixel_scale`` and ``pixel_shift`` (per channel) become part of the graph.

    Returns:
        A model with the outputs ``feature_map`` and ``features``.

    Raises:
        BundleError: If the trunk has branches that are chosen at run time, or weights that are not finite.
    """
    inner = [value.name for value in trunk.output[1:]]
    kept = {trunk.output[0].name: "feature_map"} if trunk.output else {}
    copied = plain_copy(trunk, TRUNK, sources=("normalised",), results={name: TRUNK + name for name in inner} | kept)
    nodes, constants = _preamble(card)
    nodes += [*copied.node, *_mean_nodes("feature_map", "features")]
    graph = _backbone_graph(nodes, [*constants, *copied.initializer], card.feature_dim)
    filled = card.model_copy(update={"sha256": graph_digest(graph)})
    return make_model(graph, with_digest(BACKBONE_KEY, filled.to_json()))


def backbone_graph(graph: onnx.GraphProto, *, feature_dim: int) -> onnx.GraphProto:
    """Take head, gate and decoder off a bundle's graph; the digest of its backbone is that of the remaining graph."""
    added = (_HEAD, GATE, FINE)
    nodes = [node for node in graph.node if not node.name.startswith(added)]
    constants = [tensor for tensor in graph.initializer if not tensor.name.startswith(added)]
    return _backbone_graph(nodes, constants, feature_dim)


def _backbone_graph(
    nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], feature_dim: int
) -> onnx.GraphProto:
    outputs = [_value("feature_map", ["n", feature_dim, "h", "w"]), _value("features", ["n", feature_dim])]
    return helper.make_graph(nodes, "crackscope", [_pixels()], outputs, initializer=constants)


def _preamble(card: BackboneCard) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """Nodes from ``pixels`` (n, H, W, 3) uint8 to ``normalised`` (n, 3, H', W') float, sides padded to 32."""
    node = helper.make_node
    nodes = [
        node("Shape", ["pixels"], ["shape"], "pad/shape"),
        node("Neg", ["shape"], ["minus_shape"], "pad/negate"),
        node("Mod", ["minus_shape", "multiple"], ["all_missing"], "pad/missing"),  # (-H) mod 32 lies in 0 to 31
        node("Mul", ["all_missing", "height_and_width"], ["missing"], "pad/sides"),
        node("Concat", ["nothing", "missing"], ["pads"], "pad/pads", axis=0),
        node("Pad", ["pixels", "pads"], ["padded"], "pad/pad", mode="edge"),
        node("Transpose", ["padded"], ["planes"], "normalise/planes", perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["levels"], "normalise/levels", to=TensorProto.FLOAT),
        node("Mul", ["levels", "pixel_scale"], ["scaled"], "normalise/scale"),
        node("Add", ["scaled", "pixel_shift"], ["normalised"], "normalise/shift"),
    ]
    constants = [
        _constant("multiple", np.array([MULTIPLE_PX], np.int64)),
        _constant("height_and_width", np.array([0, 1, 1, 0], np.int64)),
        _constant("nothing", np.zeros(4, np.int64)),
        _constant("pixel_scale", np.array(card.pixel_scale, np.float32).reshape(3, 1, 1)),
        _constant("pixel_shift", np.array(card.pixel_shift, np.float32).reshape(3, 1, 1)),
    ]
    return nodes, constants


# The head


def compose(
    backbone: Backbone,
    head: Head,
    card: Card,
    plane: Plane | None = None,
    material: Material | None = None,
    decoder: FineDecoder | None = None,
) -> onnx.ModelProto:
    """Make a bundle of a backbone, a head and a card.

    Args:
        backbone: Backbone, from `crackscope.model.bundle.read_backbone`.
        head: Head; its temperature must be that of the card.
        card: Card of the bundle; its ``graph_sha256`` and ``backbone`` are filled in here.
        plane: Plane that the gate measures novelty from; without a gate, the graph has no output ``novelty``.
        material: Classifier of the gate; without it, the graph has no output ``concrete``.
        decoder: Decoder of the fine map, made for this backbone; without it, the graph has no output ``fine_map``.

    Returns:
        The bundle as an ONNX model, for `crackscope.model.bundle.write_model`. The same arguments give the same bytes.

    Raises:
        BundleError: If head, backbone, card, gate and decoder do not fit each other, or a weight is not finite.
    """
    _require_fit(backbone, head, card, plane, material)
    require_decoder_fits(decoder, card, backbone.graph)
    k, d = len(head.bias), head.feature_dim
    nodes = _layer_nodes(head, "feature_map", "logit_map", "map")
    pooled_first = bool(head.hidden) and card.pool == "mean"
    if pooled_first:
        pool = helper.make_node("GlobalAveragePool", ["feature_map"], [f"{_HEAD}pooled"], f"{_HEAD}pool")
        flatten = helper.make_node("Flatten", [f"{_HEAD}cell"], ["logits"], f"{_HEAD}flatten", axis=1)
        nodes += [pool, *_layer_nodes(head, f"{_HEAD}pooled", f"{_HEAD}cell", "mean"), flatten]
    elif card.pool == "logsumexp":
        nodes += _logsumexp_nodes("logit_map", "logits")
    else:
        nodes += _mean_nodes("logit_map", "logits", prefix=_HEAD)
    nodes += [
        helper.make_node("Mul", ["logits", f"{_HEAD}sharpness"], [f"{_HEAD}calibrated"], f"{_HEAD}calibrate"),
        helper.make_node("Sigmoid", [f"{_HEAD}calibrated"], [f"{_HEAD}sigmoid"], f"{_HEAD}sigmoid"),
        # On a CPU, ONNX Runtime's sigmoid can give the next number above 1.
        helper.make_node("Clip", [f"{_HEAD}sigmoid", f"{_HEAD}least", f"{_HEAD}most"], ["probability"], f"{_HEAD}clip"),
    ]
    constants = [
        _constant(f"{_HEAD}{name}", np.array(value, np.float32)) for name, value in (("least", 0), ("most", 1))
    ]
    for (weight, bias), name in zip(head.layers, _layer_names(head), strict=True):
        constants += [
            _constant(f"{_HEAD}{name}weight", weight.astype(np.float32).reshape(*weight.shape, 1, 1)),
            _constant(f"{_HEAD}{name}bias", bias.astype(np.float32)),
        ]
    if card.pool == "logsumexp":
        constants.append(_constant(f"{_HEAD}zero", np.array(0, np.float32)))
        constants.append(_constant(f"{_HEAD}axes", np.array([2, 3], np.int64)))
    constants.append(_constant(f"{_HEAD}sharpness", np.array([1 / head.temperature], np.float32)))
    of_gate = gate_outputs(plane, material)
    nodes += gate_nodes(plane, material)
    constants += gate_constants(plane, material)
    nodes += fine_nodes(decoder)
    constants += fine_constants(decoder)
    of_decoder = [] if decoder is None else [fine_value(k)]
    shapes: dict[str, list[Any]] = {"logit_map": ["n", k, "h", "w"], "features": ["n", d]}
    shapes |= {name: ["n"] for name in of_gate}
    graph = helper.make_graph(
        [*backbone.graph.node, *nodes],
        "crackscope",
        [_pixels()],
        [*(_value(name, shapes.get(name, ["n", k])) for name in (*OUTPUTS, *of_gate)), *of_decoder],
        initializer=[*backbone.graph.initializer, *constants],
    )
    int8 = any(node.op_type == "QuantizeLinear" for node in backbone.graph.node)
    own = {
        "backbone": backbone.card,
        "map": "approximate" if pooled_first else "exact",
        "precision": "int8" if int8 else "fp32",
    }
    filled = card.model_copy(update={"graph_sha256": graph_digest(graph), **own})
    model = make_model(graph, with_digest(CARD_KEY, filled.to_json()))
    onnx.checker.check_model(model, full_check=True)
    return model


def _layer_names(head: Head) -> list[str]:
    return [*(f"hidden{i}/" for i in range(len(head.hidden))), ""]


def _layer_nodes(head: Head, source: str, result: str, name: str) -> list[onnx.NodeProto]:
    """Make the head's layers as 1×1 convolutions, from `source` (n, d, h, w) to `result` (n, k, h, w)."""
    nodes = []
    for layer in _layer_names(head)[:-1]:
        inner, outer = f"{_HEAD}{name}/{layer}sums", f"{_HEAD}{name}/{layer}values"
        weights = [f"{_HEAD}{layer}weight", f"{_HEAD}{layer}bias"]
        nodes += [
            helper.make_node("Conv", [source, *weights], [inner], f"{_HEAD}{name}/{layer}conv"),
            helper.make_node("Relu", [inner], [outer], f"{_HEAD}{name}/{layer}relu"),
        ]
        source = outer
    return [*nodes, helper.make_node("Conv", [source, f"{_HEAD}weight", f"{_HEAD}bias"], [result], f"{_HEAD}{name}")]


def _require_fit(backbone: Backbone, head: Head, card: Card, plane: Plane | None, material: Material | None) -> None:
    k, d = head.weight.shape[0], head.feature_dim
    if d != backbone.card.feature_dim or k != len(card.labels) or head.bias.shape != (k,):
        raise BundleError(
            f"a head of {k} labels on {d} features does not fit a backbone of {backbone.card.feature_dim} "
            f"features and a card of {len(card.labels)} labels. Train the head on this backbone."
        )
    if not np.isclose(head.temperature, card.patch.temperature, rtol=1e-6, atol=0):
        raise BundleError(
            f"the head's temperature is {head.temperature:g}, the card's {card.patch.temperature:g}. "
            "Give both the fitted one."
        )
    if (card.gate is None) != (plane is None):
        raise BundleError("a gate measures novelty from a plane, so they come together. Give both, or neither.")
    if (card.gate is None or card.gate.min_concrete is None) != (material is None):
        raise BundleError("a gate's limit of concrete and its material come together. Give both, or neither.")
    require_gate_fits(plane, material, d)
    weights = [values.ravel() for layer in head.layers for values in layer]
    numbers = np.concatenate([*weights, [1 / head.temperature]]).astype(np.float32)
    if not np.isfinite(numbers).all():
        raise BundleError("the head holds weights that are not finite. Check the features that it was fitted to.")


# Small parts


def _pixels() -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", "H", "W", 3])


def _value(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def _constant(name: str, values: npt.NDArray[Any]) -> onnx.TensorProto:
    return numpy_helper.from_array(values, name)


def _mean_nodes(source: str, result: str, *, prefix: str = "") -> list[onnx.NodeProto]:
    pooled = f"{prefix}{result}/pooled"
    return [
        helper.make_node("GlobalAveragePool", [source], [pooled], f"{prefix}{result}/pool"),
        helper.make_node("Flatten", [pooled], [result], f"{prefix}{result}/flatten", axis=1),
    ]


def _logsumexp_nodes(source: str, result: str) -> list[onnx.NodeProto]:
    """Make nodes for ``log(mean(exp(x)))`` over the map.

    ONNX knows only ``log(sum(exp(x)))``. The same sum over a map of zeros gives the logarithm of the number of cells,
    which is subtracted.
    """
    zeros, sums, counts = (f"{_HEAD}pool/{name}" for name in ("zeros", "sums", "counts"))
    over_map: dict[str, Any] = {"keepdims": 0}
    return [
        helper.make_node("Mul", [source, f"{_HEAD}zero"], [zeros], zeros),
        helper.make_node("ReduceLogSumExp", [source, f"{_HEAD}axes"], [sums], sums, **over_map),
        helper.make_node("ReduceLogSumExp", [zeros, f"{_HEAD}axes"], [counts], counts, **over_map),
        helper.make_node("Sub", [sums, counts], [result], f"{_HEAD}pool"),
    ]
