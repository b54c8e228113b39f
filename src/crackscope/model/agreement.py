"""Agreement: whether a card says of its graph what the graph itself shows.

A graph and its card lie in one file, and either may be damaged or changed. Each has a digest: the card holds that of
the graph, and the metadata hold that of the card. A bundle of an older version has no digest of its card. So what both
tell is compared as well: outputs, labels, features, pooling, temperature, normalisation, precision, gate and fine map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from crackscope.arrays import Float64Array
from crackscope.errors import BundleError
from crackscope.model.card import Card, FineMapCard
from crackscope.model.fine_graph import FINE_MAP
from crackscope.model.gate_graph import CONCRETE, NOVELTY
from crackscope.model.graphs import DIGEST, OUTPUTS, with_digest
from crackscope.model.windows import receptive_field

__all__ = ["disagreement", "is_unchanged"]


def is_unchanged(key: str, metadata: Mapping[str, str]) -> bool:
    """Whether a card is the one that its digest was computed of. A file without a digest counts as unchanged."""
    kept = metadata.get(key + DIGEST)
    return kept is None or kept == with_digest(key, metadata[key])[key + DIGEST]


def disagreement(card: Card, graph: onnx.GraphProto) -> str | None:
    """Say where a card and its graph differ.

    Args:
        card: Card of a bundle.
        graph: Graph of the same bundle.

    Returns:
        The first difference as a sentence without its end, such as ``the card says pool mean, the graph logsumexp``;
        None if there is none.
    """
    outputs = {value.name: value.type.tensor_type.shape.dim for value in graph.output}
    gate = card.gate
    of_gate = {NOVELTY: gate is not None, CONCRETE: gate is not None and gate.min_concrete is not None}
    wanted = {*OUTPUTS, *(name for name, limited in of_gate.items() if limited)}
    wanted |= set() if card.fine_map is None else {FINE_MAP}
    if missing := wanted - set(outputs):
        return f"the graph has no output '{min(missing)}'"
    for name, limited in of_gate.items():
        if name in outputs and not limited:
            return f"the graph measures {name}, and the card has no limit of it"
    if FINE_MAP in outputs and card.fine_map is None:
        return "the graph gives a fine map, and the card does not say how it is read"
    for name in ("probability", "logits", "logit_map", *([FINE_MAP] if card.fine_map else [])):
        n_labels = [axis.dim_value for axis in outputs[name]][1:2]
        if n_labels != [len(card.labels)]:
            return f"the card names {len(card.labels)} labels, the graph gives {n_labels} in '{name}'"
    n_features = [axis.dim_value for axis in outputs["features"]][1:2]
    if n_features != [card.backbone.feature_dim]:
        return f"the card tells of {card.backbone.feature_dim} features, the graph gives {n_features}"
    for what, told, found in _told_and_found(card, graph):
        if told != found:
            return f"the card says {what} {told}, the graph {found}"
    return None if card.fine_map is None else _disagreement_on_cells(card.fine_map, graph)


def _disagreement_on_cells(told: FineMapCard, graph: onnx.GraphProto) -> str | None:
    """Say whether the fine map cannot be computed in windows, or has another stride than the card says."""
    try:
        field, coarse = receptive_field(graph, FINE_MAP), receptive_field(graph, "logit_map")
    except BundleError as error:
        return f"the maps cannot be computed in windows: {str(error).partition('.')[0]}"
    if field.stride_px != told.stride_px:
        return f"the card says fine_map.stride_px {told.stride_px}, the graph {field.stride_px}"
    if coarse.stride_px % field.stride_px:
        return f"a cell of {coarse.stride_px} px holds no whole number of fine cells of {field.stride_px} px"
    return None


def _told_and_found(card: Card, graph: onnx.GraphProto) -> Iterator[tuple[str, object, object]]:
    """Name, value in the card, and value in the graph, of each fact that the graph shows."""
    makers = {output: node for node in graph.node for output in node.output}
    pool, cells_pooled = _pool_of(makers)
    if pool is not None:
        yield "pool", card.pool, pool
        yield "map", card.map, "exact" if cells_pooled else "approximate"
    yield "precision", card.precision, "int8" if any(n.op_type == "QuantizeLinear" for n in graph.node) else "fp32"
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    facts = {
        "head/sharpness": ("temperature", [1 / card.patch.temperature]),
        "fine/sharpness": ("fine_map.temperature", [1 / card.fine_map.temperature] if card.fine_map else []),
        "pixel_scale": ("pixel_scale", card.backbone.pixel_scale),
        "pixel_shift": ("pixel_shift", card.backbone.pixel_shift),
    }
    for name, (what, told) in facts.items():
        if name in numbers:
            found = numpy_helper.to_array(numbers[name]).astype(np.float64).ravel()
            yield what, *_as_told(np.array(told, np.float64), found, inverse=what.endswith("temperature"))
    if card.gate is not None and "gate/axes" in numbers:
        yield "gate.rank", card.gate.rank, int(numbers["gate/axes"].dims[0])


def _as_told(told: Float64Array, found: Float64Array, *, inverse: bool) -> tuple[str, str]:
    """Two lists of numbers as text; the same text where they are equal but for rounding to float32."""
    if told.shape == found.shape and np.allclose(told, found, rtol=1e-5, atol=1e-7):
        return "", ""
    with np.errstate(divide="ignore"):
        lists = [1 / values if inverse else values for values in (told, found)]
    one, other = (", ".join(f"{value:.6g}" for value in values) for values in lists)
    return one, other


def _pool_of(makers: Mapping[str, onnx.NodeProto]) -> tuple[str | None, bool]:
    """How ``logits`` are pooled, and whether they are pooled from ``logit_map``; None for a graph of another form."""
    pooling = {"GlobalAveragePool": "mean", "ReduceLogSumExp": "logsumexp"}
    name, found, seen = "logits", None, 0
    while name in makers and seen < len(makers):
        node, seen = makers[name], seen + 1
        found = pooling.get(node.op_type, found)
        name = node.input[0]
        if name == "logit_map":
            return found, True
        if name == "feature_map":
            return found, False
    return None, False
