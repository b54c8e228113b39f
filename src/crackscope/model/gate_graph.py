"""The gate's part of a model file: from features to ``novelty`` and ``concrete``, the two signs that limits apply to.

Other modules import `Plane` and `Material` from `crackscope.model.bundle`, which reads and writes the files.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from crackscope.arrays import Float32Array, Float64Array
from crackscope.errors import BundleError

__all__ = [
    "CONCRETE",
    "GATE",
    "NOVELTY",
    "Material",
    "Plane",
    "gate_constants",
    "gate_nodes",
    "gate_outputs",
    "material_of",
    "plane_of",
    "regated",
    "require_gate_fits",
]


NOVELTY, CONCRETE = "novelty", "concrete"
"""Names of further outputs: a bundle has the first if its card has a gate, and the second if its card limits it."""

GATE = "gate/"  # prefix of all names of this part of a graph


@dataclass(frozen=True, eq=False)
class Plane:
    """A plane in the space of features, near which the features of training patches lie.

    Attributes:
        mean: Point of the plane, the mean of the training features, shape (d,).
        axes: Directions along the plane, orthonormal rows, shape (r, d).
        spread: Mean squared distance of training patches to the plane.
    """

    mean: Float32Array
    axes: Float32Array
    spread: float

    def novelty(self, features: Float32Array) -> Float64Array:
        """Compute the novelty, as the graph does: squared distances to the plane over `spread`, shape (n,).

        Args:
            features: Features of patches, shape (n, d).
        """
        centred = np.asarray(features, np.float64) - self.mean
        beside = centred - centred @ self.axes.T @ self.axes
        found: Float64Array = (beside**2).sum(1) / self.spread
        return found


@dataclass(frozen=True, eq=False)
class Material:
    """A linear classifier of features that tells concrete, plaster and asphalt from everything else.

    Attributes:
        weight: Weight of each feature, shape (d,).
        bias: Summand.
    """

    weight: Float32Array
    bias: float

    def concrete(self, features: Float32Array) -> Float64Array:
        """Compute how much patches look like concrete, as the graph does, shape (n,), in [0, 1].

        Args:
            features: Features of patches, shape (n, d).
        """
        logits = np.asarray(features, np.float64) @ self.weight + self.bias
        found: Float64Array = 0.5 + 0.5 * np.tanh(logits / 2)  # the sigmoid
        return found


def gate_outputs(plane: Plane | None, material: Material | None) -> tuple[str, ...]:
    """Name the outputs that a graph has for its gate."""
    return tuple(name for name, part in ((NOVELTY, plane), (CONCRETE, material)) if part is not None)


def require_gate_fits(plane: Plane | None, material: Material | None, feature_dim: int) -> None:
    """Refuse a gate that was fitted to other features, or holds numbers that are not finite.

    Raises:
        BundleError: If one of the two does not fit `feature_dim` features, or a number is not finite.
    """
    d = feature_dim
    numbers: list[npt.NDArray[Any]] = [np.zeros(1)]
    if plane is not None:
        if not (plane.mean.shape == (d,) and plane.axes.ndim == 2 and plane.axes.shape[1] == d):
            raise BundleError(
                f"a plane with a mean of shape {plane.mean.shape} and axes {plane.axes.shape} does not fit {d} "
                "features. Fit the gate on this backbone."
            )
        numbers += [plane.mean, plane.axes.ravel(), np.array([plane.spread, 1 / plane.spread])]
    if material is not None:
        if plane is None or material.weight.shape != (d,):
            raise BundleError(
                f"a material with weights of shape {material.weight.shape} does not fit {d} features, or has no plane "
                "beside it. Fit the gate on this backbone."
            )
        numbers += [material.weight, np.array([material.bias])]
    if not np.isfinite(np.concatenate(numbers).astype(np.float32)).all():
        raise BundleError("the gate holds weights that are not finite. Check the features that it was fitted to.")


def plane_of(graph: onnx.GraphProto) -> Plane | None:
    """Find the plane that a bundle's gate measures novelty from; None if the bundle has no gate."""
    found = _tensors(graph)
    if f"{GATE}mean" not in found:
        return None
    return Plane(found[f"{GATE}mean"], found[f"{GATE}axes"], float(found[f"{GATE}spread"]))


def material_of(graph: onnx.GraphProto) -> Material | None:
    """Find the classifier of a bundle's gate that tells concrete from other things; None if the gate has none."""
    found = _tensors(graph)
    if f"{GATE}weight" not in found:
        return None
    return Material(found[f"{GATE}weight"], float(found[f"{GATE}bias"]))


def gate_nodes(plane: Plane | None, material: Material | None) -> list[onnx.NodeProto]:
    """Make the nodes from ``features`` (n, d) to ``novelty`` (n,) and ``concrete`` (n,), where there are both."""
    return [*(_novelty_nodes() if plane is not None else []), *(_concrete_nodes() if material is not None else [])]


def gate_constants(plane: Plane | None, material: Material | None) -> list[onnx.TensorProto]:
    """Make the numbers that the nodes of `gate_nodes` use."""
    found: dict[str, npt.NDArray[Any]] = {}
    if plane is not None:
        found |= {"mean": plane.mean, "axes": plane.axes, "spread": np.array(plane.spread, np.float32)}
        found |= {"across": np.array([1], np.int64)}
    if material is not None:
        found |= {"weight": material.weight, "bias": np.array(material.bias, np.float32)}
        found |= {"least": np.array(0, np.float32), "most": np.array(1, np.float32)}
    return [
        numpy_helper.from_array(values if values.dtype == np.int64 else np.asarray(values, np.float32), f"{GATE}{name}")
        for name, values in found.items()
    ]


def regated(graph: onnx.GraphProto, plane: Plane, material: Material | None) -> onnx.GraphProto:
    """Give a bundle's graph another gate; all else in it stays.

    Args:
        graph: Graph of a bundle, with or without a gate.
        plane: Plane of the new gate.
        material: Classifier of the new gate, if it has one.
    """
    outputs = [value for value in graph.output if value.name not in (NOVELTY, CONCRETE)]
    outputs += [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["n"]) for name in gate_outputs(plane, material)
    ]
    return helper.make_graph(
        [*(node for node in graph.node if not node.name.startswith(GATE)), *gate_nodes(plane, material)],
        graph.name,
        graph.input,
        outputs,
        initializer=[
            *(one for one in graph.initializer if not one.name.startswith(GATE)),
            *gate_constants(plane, material),
        ],
    )


def _novelty_nodes() -> list[onnx.NodeProto]:
    """Nodes that compute the same as `Plane.novelty`."""
    names = ("mean", "axes", "spread", "across", "centred", "along", "inside", "beside", "distance")
    mean, axes, spread, across, centred, along, inside, beside, distance = (f"{GATE}{name}" for name in names)
    return [
        helper.make_node("Sub", ["features", mean], [centred], centred),
        helper.make_node("Gemm", [centred, axes], [along], along, transB=1),  # (n, r)
        helper.make_node("Gemm", [along, axes], [inside], inside),  # (n, d)
        helper.make_node("Sub", [centred, inside], [beside], beside),
        helper.make_node("ReduceSumSquare", [beside, across], [distance], distance, keepdims=0),  # (n,)
        helper.make_node("Div", [distance, spread], [NOVELTY], f"{GATE}{NOVELTY}"),
    ]


def _concrete_nodes() -> list[onnx.NodeProto]:
    """Nodes that compute the same as `Material.concrete`."""
    names = ("weight", "bias", "least", "most", "weighed", "sum", "sigmoid")
    weight, bias, least, most, weighed, total, sigmoid = (f"{GATE}{name}" for name in names)
    return [
        helper.make_node("MatMul", ["features", weight], [weighed], weighed),  # (n,)
        helper.make_node("Add", [weighed, bias], [total], total),
        helper.make_node("Sigmoid", [total], [sigmoid], sigmoid),
        # On a CPU, ONNX Runtime's sigmoid can give the next number above 1.
        helper.make_node("Clip", [sigmoid, least, most], [CONCRETE], f"{GATE}{CONCRETE}"),
    ]


def _tensors(graph: onnx.GraphProto) -> dict[str, npt.NDArray[Any]]:
    return {t.name: numpy_helper.to_array(t) for t in graph.initializer if t.name.startswith(GATE)}
