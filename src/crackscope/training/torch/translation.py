"""Translation: a convolutional network of torch, written down as an ONNX graph.

Only operations that do not know the size of the image are translated, one by one, so the graph holds at every size by
construction. Batch normalisation goes into the weights of the convolution before it, zeros around the image into the
padding of the one after.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import fx, nn

from crackscope.errors import BundleError

__all__ = ["decoder_graph", "trunk_graph"]

Array = npt.NDArray[Any]

_EXAMPLE_PX = 64


def trunk_graph(module: nn.Module, *, inner: Sequence[str] = ()) -> onnx.GraphProto:
    """Translate a network in inference mode.

    Args:
        module: Network from normalised pixels (n, 3, H, W), float32, to a feature map; with `inner`, to a tuple of the
            feature map and further maps.
        inner: Names for the further maps, in their order.

    Returns:
        A graph with one input, for `crackscope.model.bundle.make_backbone`. Its first output is the feature map. The
        others have the names of `inner`.

    Raises:
        BundleError: If it computes something that is not translated.
    """
    program = torch.export.export(module.eval(), (torch.zeros(1, 3, _EXAMPLE_PX, _EXAMPLE_PX),))
    translation = _Translation(program, ["normalised"])
    return translation.graph([("normalised", 3)], [None, *inner])


def decoder_graph(module: nn.Module, inner: Sequence[tuple[str, int, int]]) -> onnx.GraphProto:
    """Translate the decoder of a fine map in inference mode.

    Args:
        module: Network from a list of inner maps of a trunk, each (n, d, h, w), float32, to logits (n, k, h, w).
        inner: Name, number of channels and stride in pixels of each inner map, in their order.

    Returns:
        A graph with one input for each inner map, under its name, and one output.

    Raises:
        BundleError: If it computes something that is not translated.
    """
    examples = [torch.zeros(1, width, _EXAMPLE_PX // stride, _EXAMPLE_PX // stride) for _, width, stride in inner]
    program = torch.export.export(module.eval(), (examples,))
    translation = _Translation(program, [name for name, _, _ in inner])
    return translation.graph([(name, width) for name, width, _ in inner], [None])


class _Translation:
    def __init__(self, program: torch.export.ExportedProgram, sources: Sequence[str]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, Array] = {}
        self.known: dict[str, Array] = {}  # parameters and buffers, by the name of their placeholder
        self.values: dict[str, str] = {}  # what a traced node is called in the graph
        self.pads: dict[str, list[int]] = {}  # zeros that the convolution of this node's value has to add
        signature, state = program.graph_signature, program.state_dict
        for name, target in {**signature.inputs_to_parameters, **signature.inputs_to_buffers}.items():
            self.known[name] = state[target].detach().cpu().numpy()
        self.traced = program.graph
        self.values.update(zip(signature.user_inputs, sources, strict=True))

    def graph(self, inputs: Sequence[tuple[str, int]], outputs: Sequence[str | None]) -> onnx.GraphProto:
        """The whole graph: inputs by name and channels; an output without a name keeps that of its value."""
        for node in self.traced.nodes:
            if node.op == "call_function":
                self._translate(node)
        results: Any = next(iter(self.traced.find_nodes(op="output"))).args[0]
        made = [self.values[result.name] for result in results]
        names = {old: new for old, new in zip(made, outputs, strict=True) if new is not None}
        for node in self.nodes:
            for ends in (node.input, node.output):
                ends[:] = [names.get(name, name) for name in ends]
        value = helper.make_tensor_value_info
        return helper.make_graph(
            self.nodes,
            "trunk",
            [value(name, TensorProto.FLOAT, ["n", width, "H", "W"]) for name, width in inputs],
            [value(names.get(name, name), TensorProto.FLOAT, ["n", "d", "h", "w"]) for name in made],
            initializer=[numpy_helper.from_array(values, name) for name, values in self.constants.items()],
        )

    def _translate(self, node: fx.Node) -> None:
        name = str(node.target).removeprefix("aten.").partition(".")[0].rstrip("_")
        translate = _OPERATIONS.get(name)
        if translate is None:
            raise BundleError(
                f"the backbone computes '{node.target}', which is not translated to ONNX. Known are "
                f"{', '.join(sorted(_OPERATIONS))}: choose a convolutional backbone of a known family."
            )
        translate(self, node, *node.args, **node.kwargs)

    def add(self, kind: str, node: fx.Node, inputs: list[str], **attributes: Any) -> None:
        """One ONNX node that gives the value of a traced one."""
        self.values[node.name] = node.name
        self.nodes.append(helper.make_node(kind, inputs, [node.name], **attributes))

    def constant(self, name: str, values: Array) -> str:
        """A weight under a name of its own."""
        self.constants[name] = np.ascontiguousarray(values, np.float32)
        return name

    def array(self, node: fx.Node | None) -> Array | None:
        """A parameter, in float64."""
        return None if node is None else self.known[node.name].astype(np.float64)


def _convolve(
    graph: _Translation,
    node: fx.Node,
    source: fx.Node,
    weight: fx.Node,
    bias: fx.Node | None = None,
    stride: tuple[int, ...] = (1, 1),
    padding: tuple[int, ...] = (0, 0),
    dilation: tuple[int, ...] = (1, 1),
    groups: int = 1,
) -> None:
    kernel, offset = graph.array(weight), graph.array(bias)
    assert kernel is not None
    following = _only_user(node)
    if following is not None and str(following.target).startswith("aten.batch_norm"):
        factor, summand = _normalisation(graph, following)
        kernel = kernel * factor[:, None, None, None]
        offset = summand + (0 if offset is None else offset * factor)
    zeros = graph.pads.get(source.name, [0, 0, 0, 0])
    pads = [padding[0] + zeros[0], padding[1] + zeros[1], padding[0] + zeros[2], padding[1] + zeros[3]]
    inputs = [graph.values[source.name], graph.constant(f"{node.name}/weight", kernel)]
    if offset is not None:
        inputs.append(graph.constant(f"{node.name}/bias", offset))
    sizes = {"kernel_shape": list(kernel.shape[2:]), "strides": list(stride), "dilations": list(dilation)}
    graph.add("Conv", node, inputs, pads=pads, group=groups, **sizes)


def _normalise(graph: _Translation, node: fx.Node, source: fx.Node, *_: Any) -> None:
    if str(source.target).startswith("aten.conv2d") and _only_user(source) is node:
        graph.values[node.name] = graph.values[source.name]  # it went into the convolution's weights
        return
    factor, summand = (values[:, None, None] for values in _normalisation(graph, node))
    product = f"{node.name}/product"
    inputs = [graph.values[source.name], graph.constant(f"{node.name}/factor", factor)]
    graph.nodes.append(helper.make_node("Mul", inputs, [product]))
    graph.add("Add", node, [product, graph.constant(f"{node.name}/summand", summand)])


def _normalisation(graph: _Translation, node: fx.Node) -> tuple[Array, Array]:
    """Factor and summand per channel of a batch normalisation in inference mode."""
    arguments: Any = node.args
    _, weight, bias, mean, variance, training, _, epsilon, *_ = arguments
    if training:
        raise BundleError("batch normalisation is in training mode: set the network to inference mode first.")
    factor = 1 / np.sqrt(_parameter(graph, variance) + float(epsilon))
    scale, shift = graph.array(weight), graph.array(bias)
    factor = factor if scale is None else factor * scale
    summand = -_parameter(graph, mean) * factor
    return factor, summand if shift is None else summand + shift


def _parameter(graph: _Translation, node: fx.Node) -> Array:
    values = graph.array(node)
    assert values is not None
    return values


def _clip(graph: _Translation, node: fx.Node, source: fx.Node, low: float = -1.0, high: float = 1.0) -> None:
    limits = [graph.constant(f"{node.name}/{end}", np.array(x)) for end, x in (("low", low), ("high", high))]
    graph.add("Clip", node, [graph.values[source.name], *limits])


def _pad(
    graph: _Translation, node: fx.Node, source: fx.Node, sides: list[int], mode: str = "constant", value: float = 0.0
) -> None:
    following = _only_user(node)
    if mode != "constant" or value or len(sides) != 4 or following is None or "conv2d" not in str(following.target):
        raise BundleError("the backbone pads otherwise than with zeros before a convolution: that is not translated.")
    left, right, top, bottom = sides
    graph.pads[node.name] = [top, left, bottom, right]
    graph.values[node.name] = graph.values[source.name]


def _pool(
    graph: _Translation,
    node: fx.Node,
    source: fx.Node,
    kernel: tuple[int, int],
    stride: tuple[int, int] | None = None,
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    ceil_mode: bool = False,
) -> None:
    sizes = {"kernel_shape": list(kernel), "strides": list(stride or kernel), "dilations": list(dilation)}
    graph.add(
        "MaxPool", node, [graph.values[source.name]], pads=[*padding, *padding], ceil_mode=int(ceil_mode), **sizes
    )


def _relu(graph: _Translation, node: fx.Node, source: fx.Node) -> None:
    graph.add("Relu", node, [graph.values[source.name]])


def _relu6(graph: _Translation, node: fx.Node, source: fx.Node) -> None:
    _clip(graph, node, source, 0.0, 6.0)


def _add(graph: _Translation, node: fx.Node, one: fx.Node, other: fx.Node) -> None:
    graph.add("Add", node, [graph.values[one.name], graph.values[other.name]])


def _enlarge(
    graph: _Translation, node: fx.Node, source: fx.Node, size: object, factors: Sequence[float] | None = None
) -> None:
    """Repeat each cell, by a factor that is fixed: a factor worked out from a size would differ between windows."""
    if size is not None or factors is None or len(set(factors)) != 1 or not float(factors[0]).is_integer():
        raise BundleError("the network enlarges a map to a size: only a fixed whole factor is translated.")
    scales = graph.constant(f"{node.name}/scales", np.array([1, 1, *factors]))
    rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    graph.add("Resize", node, [graph.values[source.name], "", scales], **rule)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


_OPERATIONS: dict[str, Callable[..., None]] = {
    "add": _add,
    "batch_norm": _normalise,
    "conv2d": _convolve,
    "hardtanh": _clip,
    "max_pool2d": _pool,
    "pad": _pad,
    "relu": _relu,
    "relu6": _relu6,
    "upsample_nearest2d": _enlarge,
}
