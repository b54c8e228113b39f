"""Quantisation: an fp32 bundle becomes an int8 one, about half the size, about 1.6 times as fast on a CPU, and checked.

ONNX Runtime's own tool rounds the trunk's convolutions: weights per channel, values in between per tensor, to ranges
seen on training patches. Three things keep the answers where they were, each measured on METU and SDNET2018 (mean
change of the logit, whose spread is 1.9 to 3.7):

- The first convolution, and a depthwise one right after it, stay in float, as do padding, normalising and the head.
  Their few channels differ most in range, and float is as fast there. With the first one alone in float, 0.09 to 0.10;
  with both, 0.04 to 0.06.
- Weights are rounded to 7 bits. A processor without VNNI adds two products in 16 bits, which 8-bit weights overflow:
  the same file then answers otherwise than where it was measured (logits off by up to 1.2, one label in 160 turned,
  under an emulated Haswell). With 7 bits the logits are the same to the last bit.
- Biases take back what rounded weights add on average. Without it, 7 bits cost 0.10; with it, 0.04 to 0.06.

Ranges are the least and greatest values seen. Percentiles and entropy were no better, mean extremes worse, and 40
patches did as well as 600.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize_scalar
from scipy.special import expit

from crackscope import __version__
from crackscope.arrays import Float64Array, UInt8Array
from crackscope.errors import BundleError, DataError
from crackscope.model.bundle import Bundle
from crackscope.model.card import Calibration, Card
from crackscope.model.graphs import CARD_KEY, NOVELTY, backbone_graph, graph_digest, make_model
from crackscope.model.preprocessing import resize_patch
from crackscope.model.sessions import open_session, run_patches

__all__ = ["match_gate", "match_temperature", "quantise", "require_float", "with_card"]


_TRUNK = "trunk/"  # names of the nodes that `make_backbone` took from a feature extractor


def quantise(bundle: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Round a bundle to int8; its calibration stays as it is, and its figures, being another model's, are dropped.

    Args:
        bundle: In fp32, from `crackscope.model.bundle.read_bundle`.
        patches: Arrays (H, W, 3), uint8, RGB, of any sizes; ranges are taken from them.

    Returns:
        A bundle with the same outputs for the same pixels, nearly. Its backbone can be trained on as any other.

    Raises:
        BundleError: If it is int8 already, or holds no convolution to round.
        DataError: If there is no patch.
    """
    require_float(bundle)
    if not patches:
        raise DataError(f"{bundle.name}: no patch to take ranges from. Give some of those that it was trained on.")
    card, whole = bundle.card, _graph_of(bundle)
    exact = backbone_graph(whole, feature_dim=card.backbone.feature_dim)
    _part_biases(exact)
    resized = [resize_patch(pixels, patch_px=card.patch_px)[None] for pixels in patches]
    rounded = _round(exact, _nodes_to_round(exact, bundle.name), resized)
    _correct_biases(rounded, exact, _mean_inputs(exact, resized))

    own = {part.name for part in (*exact.node, *exact.initializer)}
    nodes = [*rounded.node, *(node for node in whole.node if node.name not in own)]
    used = {name for node in nodes for name in node.input}
    constants = [tensor for tensor in rounded.initializer if tensor.name in used]
    constants += [tensor for tensor in whole.initializer if tensor.name not in own]
    graph = helper.make_graph(nodes, whole.name, whole.input, whole.output, initializer=constants)
    changes = {
        "name": f"{card.name}-int8",
        "made_with": f"crackscope {__version__}",
        "precision": "int8",
        "figures": {},
    }
    return _sealed(graph, card.model_copy(update=changes))


def match_temperature(rounded: Bundle, exact: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Fit the temperature of a rounded bundle anew, so that its probabilities are those of the exact one again.

    Rounding stretches logits a little. What they are held against is not the labels but what the exact model says:
    threshold and unsure band are in probability and keep their meaning, and patches of one data set cannot undo a
    calibration made on several. (Fitted to METU's labels alone, the default bundle's temperature fell from 0.67 to
    0.52, and on SDNET2018 its calibration error rose from 0.012 to 0.023.) A calibration for photos is stretched alike.

    Args:
        rounded: Rounded bundle, from `quantise`.
        exact: Bundle that it was made of.
        patches: Patches of part val: arrays (H, W, 3), uint8, RGB, of any sizes.
    """
    logits, others = (
        run_patches(open_session(one.content), patches, "logits", patch_px=one.card.patch_px).astype(np.float64)
        for one in (rounded, exact)
    )
    said = expit(others / exact.card.patch.temperature)

    def loss(log_factor: float) -> float:  # cross-entropy, least where both say the same
        stretched = logits / (exact.card.patch.temperature * np.exp(log_factor))
        return float((np.logaddexp(0, stretched) - said * stretched).mean())

    factor = float(np.exp(minimize_scalar(loss, bounds=(-0.7, 0.7), method="bounded", options={"xatol": 1e-6}).x))
    note = f"; int8: temperature matched on {len(patches)} patches of part val"

    def stretched(calibration: Calibration) -> Calibration:
        changes = {"temperature": calibration.temperature * factor, "fitted_on": f"{calibration.fitted_on}{note}"}
        return calibration.model_copy(update=changes)

    card, graph = rounded.card, _graph_of(rounded)
    patch, photo = stretched(card.patch), card.photo and stretched(card.photo)
    (sharpness,) = [tensor for tensor in graph.initializer if tensor.name == "head/sharpness"]  # as `compose` names it
    sharpness.CopyFrom(numpy_helper.from_array(np.array([1 / patch.temperature], np.float32), sharpness.name))
    return _sealed(graph, card.model_copy(update={"patch": patch, "photo": photo}))


def match_gate(rounded: Bundle, exact: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Move the limit of novelty of a rounded bundle, so that it rejects what the exact one rejects.

    Rounding moves features, and a little of that lies beside the plane. The limit is stretched as the novelty of the
    tenth of the patches that lies nearest to it, by the median.

    Args:
        rounded: Rounded bundle, from `quantise`; returned as it is where it has no gate.
        exact: Bundle that it was made of.
        patches: Patches of part val: arrays (H, W, 3), uint8, RGB, of any sizes.
    """
    gate = rounded.card.gate
    if gate is None:
        return rounded
    after, before = (
        run_patches(open_session(one.content), patches, NOVELTY, patch_px=one.card.patch_px).astype(np.float64)
        for one in (rounded, exact)
    )
    near = np.argsort(np.abs(np.log(np.maximum(before, 1e-9) / gate.max_novelty)))[: max(1, len(before) // 10)]
    factor = float(np.median(after[near] / np.maximum(before[near], 1e-9)))
    note = f"; int8: limit of novelty matched on {len(patches)} patches of part val"
    changes = {"max_novelty": gate.max_novelty * factor, "fitted_on": f"{gate.fitted_on}{note}"}
    return with_card(rounded, rounded.card.model_copy(update={"gate": gate.model_copy(update=changes)}))


# Bundles in memory


def _graph_of(bundle: Bundle) -> onnx.GraphProto:
    return onnx.load_model_from_string(bundle.content).graph


def require_float(bundle: Bundle) -> None:
    """Raise `BundleError` if a bundle is rounded already."""
    if bundle.card.precision != "fp32":
        raise BundleError(f"{bundle.name}: {bundle.card.precision} already. Give the fp32 bundle it was made of.")


def with_card(bundle: Bundle, card: Card) -> Bundle:
    """The same model with another card, its digests filled in."""
    return _sealed(_graph_of(bundle), card)


def _sealed(graph: onnx.GraphProto, card: Card) -> Bundle:
    """A bundle of a graph, with the digests in its card."""
    backbone = backbone_graph(graph, feature_dim=card.backbone.feature_dim)
    digests = {
        "graph_sha256": graph_digest(graph),
        "backbone": card.backbone.model_copy(update={"sha256": graph_digest(backbone)}),
    }
    filled = card.model_copy(update=digests)
    model = make_model(graph, {CARD_KEY: filled.to_json()})
    onnx.checker.check_model(model, full_check=True)
    return Bundle(model.SerializeToString(deterministic=True), filled, f"{filled.name}.onnx")


# Rounding a backbone


def _nodes_to_round(graph: onnx.GraphProto, name: str) -> list[str]:
    """The trunk from its second convolution on; where that is depthwise, from the third on."""
    trunk = [node for node in graph.node if node.name.startswith(_TRUNK)]
    places = [i for i, node in enumerate(trunk) if node.op_type == "Conv"]
    n_float = 2 if len(places) > 1 and _groups(trunk[places[1]]) > 1 else 1
    if len(places) <= n_float:
        raise BundleError(f"{name}: its backbone has no convolutions to round. Export one of a convolutional backbone.")
    return [node.name for node in trunk[places[n_float] :]]


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _part_biases(graph: onnx.GraphProto) -> None:
    """Give every convolution a bias of its own: exporters store equal ones once, but each is rounded otherwise."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    biased = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    uses = Counter(node.input[2] for node in biased)
    for node in biased:
        if uses[node.input[2]] > 1:
            values = numpy_helper.to_array(tensors[node.input[2]])
            node.input[2] = f"{node.name}/bias"
            graph.initializer.append(numpy_helper.from_array(values, node.input[2]))


def _round(graph: onnx.GraphProto, nodes: list[str], resized: Sequence[UInt8Array]) -> onnx.GraphProto:
    """A backbone with QuantizeLinear and DequantizeLinear around `nodes`, which runtimes fuse to int8 arithmetic."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._inputs = iter([{"pixels": pixels} for pixels in resized])

        def get_next(self) -> dict[str, UInt8Array] | None:
            return next(self._inputs, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "exact.onnx", Path(folder) / "rounded.onnx"
        onnx.save(make_model(graph), source)  # given in memory, it goes astray in ONNX Runtime 1.18
        quantize_static(
            source,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,  # 7 bits, see the top of this module
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            nodes_to_quantize=nodes,
        )
        return onnx.load(target).graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the tool's advice to prepare a graph that needs none, in the log that everybody shares."""
    root, silence = logging.getLogger(), logging.NullHandler()  # without a handler, the tool would install its own
    root.addHandler(silence)
    root.addFilter(_is_error)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeFilter(_is_error)
        root.removeHandler(silence)


def _is_error(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.ERROR


def _mean_inputs(graph: onnx.GraphProto, resized: Sequence[UInt8Array]) -> dict[str, Float64Array]:
    """For each convolution by name, the mean of its input over patches and places, shape (channels,)."""
    measured = onnx.GraphProto()
    measured.CopyFrom(graph)
    sources = {node.name: node.input[0] for node in graph.node if node.op_type == "Conv"}
    outputs = {source: f"means/{i}" for i, source in enumerate(dict.fromkeys(sources.values()))}
    for source, output in outputs.items():
        measured.node.append(helper.make_node("GlobalAveragePool", [source], [output], output))
        measured.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
    session = open_session(make_model(measured).SerializeToString())
    names = list(outputs.values())
    found = [session.run(names, {"pixels": pixels}) for pixels in resized]
    means = {name: np.mean([row[i] for row in found], 0).ravel() for i, name in enumerate(names)}
    return {name: means[outputs[source]] for name, source in sources.items()}


def _correct_biases(rounded: onnx.GraphProto, exact: onnx.GraphProto, means: dict[str, Float64Array]) -> None:
    """Take from each rounded bias what the rounding of its weights adds on average.

    Source:
        Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, section 4.2; with
        measured means in place of those of batch norms.
    """
    makers = {output: node for node in rounded.node for output in node.output}
    tensors = {tensor.name: tensor for tensor in rounded.initializer}
    originals = {tensor.name: tensor for tensor in exact.initializer}
    convolutions = {node.name: node for node in exact.node if node.op_type == "Conv"}
    for node in rounded.node:
        if node.op_type != "Conv" or len(node.input) < 3 or node.input[1] not in makers:
            continue  # in float, or without a bias
        weight, weight_scale = (numpy_helper.to_array(tensors[name]) for name in makers[node.input[1]].input[:2])
        stored, bias_scale = (tensors[name] for name in makers[node.input[2]].input[:2])
        added = weight * weight_scale.reshape(-1, 1, 1, 1).astype(np.float64)
        added -= numpy_helper.to_array(originals[convolutions[node.name].input[1]])  # (outer, inner a group, h, w)
        groups = _groups(node)
        by_group = added.sum((2, 3)).reshape(groups, len(added) // groups, -1)
        shift = np.einsum("goi,gi->go", by_group, means[node.name].reshape(groups, -1)).ravel()
        steps = np.round(shift / numpy_helper.to_array(bias_scale)).astype(np.int32)
        stored.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored) - steps, stored.name))
