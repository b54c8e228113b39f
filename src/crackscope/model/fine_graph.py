"""The decoder's part of a model file: from maps inside the trunk to ``fine_map``, the line of a crack cell by cell.

``fine_map`` (n, k, h, w) covers the padded image as ``logit_map`` does, in smaller cells. Each value is the calibrated
probability that a crack's line passes through the cell. The decoder takes *inner maps*: values that the backbone's
graph computes on its way, found by their names. So all other outputs stay as they are without it.

A photo is computed window by window, and a decoder is needed in few windows. So a bundle's graph can be parted:
`without_decoder` gives the graph for everything else, `trunk_part` the graph that also gives the inner maps, and
`decoder_part` the graph that goes on from them.

Other modules import `FineDecoder` from `crackscope.model.bundle`, which reads and writes the files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from crackscope.errors import BundleError
from crackscope.model.card import Card
from crackscope.model.plain_graph import free_inputs, needed_nodes, plain_copy

__all__ = [
    "FINE",
    "FINE_LOGITS",
    "FINE_MAP",
    "FineDecoder",
    "decoder_of",
    "decoder_part",
    "fine_constants",
    "fine_nodes",
    "fine_value",
    "require_decoder_fits",
    "trunk_part",
    "with_decoder",
    "without_decoder",
]


FINE_MAP = "fine_map"
"""Name of a further output: a bundle has it if its card has a part of the same name."""

FINE = "fine/"
"""Prefix of all names of this part of a graph."""

FINE_LOGITS = f"{FINE}logits"
"""Name of the value (n, k, h, w) before temperature and sigmoid."""

_DECODER = f"{FINE}decoder/"  # prefix of what is copied from the decoder that was given


@dataclass(frozen=True, eq=False)
class FineDecoder:
    """A decoder: a small network from inner maps of a backbone to the logits of a fine map.

    Attributes:
        graph: Graph whose inputs are named as values of the backbone's graph. Its first output is the logits
            (n, k, h, w), before the temperature.
        temperature: Temperature in ``probability = sigmoid(logit / temperature)``.
    """

    graph: onnx.GraphProto
    temperature: float = 1.0

    @property
    def inner(self) -> tuple[str, ...]:
        """Names of the inner maps that it takes."""
        return tuple(free_inputs(self.graph))


def require_decoder_fits(decoder: FineDecoder | None, card: Card, backbone: onnx.GraphProto) -> None:
    """Refuse a decoder that was made for another backbone or another card.

    Raises:
        BundleError: If the backbone computes no map of a name that the decoder takes, the temperature is not the card's
            or not finite, or only one of decoder and card is there.
    """
    if (decoder is None) != (card.fine_map is None):
        raise BundleError("a fine map has a decoder and a part in the card. Give both, or neither.")
    if decoder is None or card.fine_map is None:
        return
    computed = {name for node in backbone.node for name in node.output}
    if missing := [name for name in decoder.inner if name not in computed]:
        raise BundleError(
            f"the decoder takes '{missing[0]}', which this backbone does not compute. Train the decoder on this "
            "backbone."
        )
    if not np.isclose(decoder.temperature, card.fine_map.temperature, rtol=1e-6, atol=0):
        raise BundleError(
            f"the decoder's temperature is {decoder.temperature:g}, the card's {card.fine_map.temperature:g}. "
            "Give both the fitted one."
        )
    if not np.isfinite(np.float32(1 / decoder.temperature)):
        raise BundleError("the decoder's temperature is too small for a number. Fit it again.")


def fine_nodes(decoder: FineDecoder | None) -> list[onnx.NodeProto]:
    """Make the nodes from the inner maps to ``fine_map``; none without a decoder."""
    if decoder is None:
        return []
    names = ("sharpness", "calibrated", "sigmoid", "least", "most")
    sharpness, calibrated, sigmoid, least, most = (f"{FINE}{name}" for name in names)
    return [
        *_plain(decoder).node,
        helper.make_node("Mul", [FINE_LOGITS, sharpness], [calibrated], calibrated),
        helper.make_node("Sigmoid", [calibrated], [sigmoid], sigmoid),
        # On a CPU, ONNX Runtime's sigmoid can give the next number above 1.
        helper.make_node("Clip", [sigmoid, least, most], [FINE_MAP], f"{FINE}clip"),
    ]


def fine_constants(decoder: FineDecoder | None) -> list[onnx.TensorProto]:
    """Make the numbers that the nodes of `fine_nodes` use."""
    if decoder is None:
        return []
    own: dict[str, npt.NDArray[np.float32]] = {
        "sharpness": np.array([1 / decoder.temperature], np.float32),
        "least": np.array(0, np.float32),
        "most": np.array(1, np.float32),
    }
    made = [numpy_helper.from_array(values, f"{FINE}{name}") for name, values in own.items()]
    return [*_plain(decoder).initializer, *made]


def decoder_of(graph: onnx.GraphProto) -> FineDecoder | None:
    """Find the decoder of a bundle's fine map; None if the bundle has none."""
    numbers = {tensor.name: tensor for tensor in graph.initializer if tensor.name.startswith(FINE)}
    if f"{FINE}sharpness" not in numbers:
        return None
    nodes = [node for node in graph.node if node.name.startswith(_DECODER)]
    weights = [tensor for tensor in graph.initializer if tensor.name.startswith(_DECODER)]
    inner = _inputs_from_outside(nodes, weights)
    found = helper.make_graph(nodes, "decoder", _maps(inner), _maps([FINE_LOGITS]), initializer=weights)
    (sharpness,) = numpy_helper.to_array(numbers[f"{FINE}sharpness"]).astype(np.float64)
    return FineDecoder(found, 1 / float(sharpness))


def with_decoder(graph: onnx.GraphProto, decoder: FineDecoder, *, n_labels: int = 1) -> onnx.GraphProto:
    """Give a bundle's graph another decoder; all else in it stays.

    Args:
        graph: Graph of a bundle, with or without a decoder.
        decoder: Decoder for the inner maps of this graph.
        n_labels: Number of labels, k.
    """
    found = without_decoder(graph)
    found.node.extend(fine_nodes(decoder))
    found.initializer.extend(fine_constants(decoder))
    found.output.append(fine_value(n_labels))
    return found


def fine_value(n_labels: int) -> onnx.ValueInfoProto:
    """Describe the output ``fine_map``."""
    return helper.make_tensor_value_info(FINE_MAP, TensorProto.FLOAT, ["n", n_labels, "fine_h", "fine_w"])


def without_decoder(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Copy a bundle's graph without its decoder, and without the output ``fine_map``."""
    return helper.make_graph(
        [node for node in graph.node if not node.name.startswith(FINE)],
        graph.name,
        graph.input,
        [value for value in graph.output if value.name != FINE_MAP],
        initializer=[tensor for tensor in graph.initializer if not tensor.name.startswith(FINE)],
    )


def trunk_part(graph: onnx.GraphProto, inner: Sequence[str]) -> onnx.GraphProto:
    """Copy a bundle's graph with the outputs ``logit_map`` and the inner maps alone.

    Args:
        graph: Graph of a bundle.
        inner: Names of the inner maps.
    """
    found = without_decoder(graph)
    kept = [value for value in found.output if value.name == "logit_map"]
    del found.output[:]
    found.output.extend([*kept, *_maps(inner)])
    nodes = needed_nodes(found, [value.name for value in found.output])
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in found.initializer if tensor.name in used]
    return helper.make_graph(nodes, found.name, found.input, found.output, initializer=weights)


def decoder_part(graph: onnx.GraphProto) -> onnx.GraphProto:
    """Copy the part of a bundle's graph that computes ``fine_map`` from the inner maps."""
    nodes = [node for node in graph.node if node.name.startswith(FINE)]
    weights = [tensor for tensor in graph.initializer if tensor.name.startswith(FINE)]
    kept = [value for value in graph.output if value.name == FINE_MAP]
    return helper.make_graph(nodes, "decoder", _maps(_inputs_from_outside(nodes, weights)), kept, initializer=weights)


def _plain(decoder: FineDecoder) -> onnx.GraphProto:
    results = {decoder.graph.output[0].name: FINE_LOGITS} if decoder.graph.output else {}
    return plain_copy(decoder.graph, _DECODER, sources=decoder.inner, results=results)


def _inputs_from_outside(nodes: Sequence[onnx.NodeProto], weights: Sequence[onnx.TensorProto]) -> list[str]:
    """Names that nodes take and neither nodes nor weights give, in the order of their first use."""
    given = {name for node in nodes for name in node.output} | {tensor.name for tensor in weights} | {""}
    return list(dict.fromkeys(name for node in nodes for name in node.input if name not in given))


def _maps(names: Sequence[str]) -> list[onnx.ValueInfoProto]:
    """Inputs or outputs that are maps of any size."""
    return [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, None, None, None]) for name in names]
