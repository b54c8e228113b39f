"""Plain graphs: the nodes that a value depends on, and copies of networks with numbered names.

A copy holds no traces, scopes and notes of an exporter. So the same training gives the same bytes, whichever version of
an exporter wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx
from onnx import numpy_helper

from crackscope.errors import BundleError

__all__ = ["free_inputs", "needed_nodes", "plain_copy"]


def plain_copy(
    graph: onnx.GraphProto, prefix: str, *, sources: Sequence[str], results: Mapping[str, str]
) -> onnx.GraphProto:
    """Copy the nodes and weights of a graph under plain names.

    Args:
        graph: Network with one or more inputs.
        prefix: Start of all names in the copy, except those given here.
        sources: Names for the inputs in the copy, in their order.
        results: Names in the copy of values that the graph computes, by their names in the graph.

    Returns:
        A graph without inputs and outputs.

    Raises:
        BundleError: If the graph has another number of inputs, no output, branches that are chosen at run time, sparse
            weights, or weights that are not finite.
    """
    inputs = free_inputs(graph)
    if len(inputs) != len(sources) or not graph.output or graph.sparse_initializer:
        raise BundleError(
            f"a network has {len(sources)} inputs here and at least one output; found {len(inputs)} and "
            f"{len(graph.output)}{', and sparse weights' if graph.sparse_initializer else ''}. "
            "Export the feature extractor alone."
        )
    names = dict(zip(inputs, sources, strict=True)) | {"": ""} | dict(results)
    for node in graph.node:
        for output in node.output:
            names.setdefault(output, f"{prefix}{len(names)}")
    for i, tensor in enumerate(graph.initializer):
        names.setdefault(tensor.name, f"{prefix}weight{i}")
    nodes = []
    for i, node in enumerate(graph.node):
        copy = onnx.NodeProto(op_type=node.op_type, domain=node.domain, name=f"{prefix}node{i}")
        copy.input.extend(names[name] for name in node.input)
        copy.output.extend(names[name] for name in node.output)
        copy.attribute.extend(_plain_attribute(attribute, node) for attribute in node.attribute)
        nodes.append(copy)
    constants = [_plain_tensor(tensor, names[tensor.name]) for tensor in graph.initializer]
    return onnx.GraphProto(node=nodes, initializer=constants)


def free_inputs(graph: onnx.GraphProto) -> list[str]:
    """Name the inputs of a graph that are no weights."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value.name for value in graph.input if value.name not in weights]


def needed_nodes(graph: onnx.GraphProto, outputs: Iterable[str]) -> list[onnx.NodeProto]:
    """List the nodes that some values of a graph depend on, in their order.

    Args:
        graph: The graph.
        outputs: Names of the values.
    """
    needed, nodes = set(outputs), []
    for node in reversed(graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    return nodes[::-1]


def _plain_attribute(attribute: onnx.AttributeProto, node: onnx.NodeProto) -> onnx.AttributeProto:
    if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
        raise BundleError(
            f"the trunk branches at run time (node '{node.op_type}'), so it has no receptive field. "
            "Choose a convolutional backbone without branches."
        )
    copy = onnx.AttributeProto()
    copy.CopyFrom(attribute)
    copy.ClearField("doc_string")
    if attribute.type == onnx.AttributeProto.TENSOR:
        copy.t.CopyFrom(_plain_tensor(attribute.t, ""))
    return copy


def _plain_tensor(tensor: onnx.TensorProto, name: str) -> onnx.TensorProto:
    values = np.ascontiguousarray(numpy_helper.to_array(tensor)).reshape(tuple(tensor.dims))
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise BundleError("the trunk holds weights that are not finite. Train it again with a smaller learning rate.")
    return numpy_helper.from_array(values, name)
