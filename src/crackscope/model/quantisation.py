"""Quantisation: an fp32 bundle becomes an int8 one, about half the size, about 1.6 times as fast on a CPU, and checked.

The file of the default int8 bundle has 47 % of the size, and a CPU runs it 1.55 to 1.75 times as fast. ONNX Runtime's
own tool rounds the convolutions of the trunk to integers: weights per channel, activations per tensor. The ranges are
taken from training patches. Three measures keep the logits nearly the same. Their effect was measured on METU and
SDNET2018, as the mean change of a logit; the spread of the logits is 1.9 to 3.7.

- The first convolution stays in float, and so does a depthwise one right after it. Padding, normalising and the head
  stay in float, too. These convolutions have few channels with very different ranges, and float is as fast for them.
  With the first convolution alone in float, the change is 0.09 to 0.10; with both, it is 0.04 to 0.06.
- Weights are rounded to 7 bits. A processor without VNNI adds two products in 16 bits, which overflow with 8-bit
  weights. The same file then gives other logits: off by up to 1.2, with one label in 160 changed, on an emulated
  Haswell. With 7 bits the logits are the same to the last bit.
- Biases are corrected by what the rounded weights add on average. Without this, the change is 0.10 at 7 bits; with it,
  0.04 to 0.06.

The decoder of a fine map stays in float, too: it holds a hundredth of the weights. It takes the inner maps of the trunk
as they are after rounding, so the trunk computes in integers all the same.

The ranges run from the least to the greatest value seen. Percentiles and entropy were no better, mean extremes were
worse, and 40 patches did as well as 600.
"""

from __future__ import annotations

import io
import logging
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from crackscope import __version__
from crackscope.arrays import Float64Array, UInt8Array
from crackscope.errors import BundleError, DataError
from crackscope.model.bundle import Bundle
from crackscope.model.card import Calibration, Card
from crackscope.model.fine_graph import FINE, FINE_LOGITS
from crackscope.model.gate_graph import CONCRETE, NOVELTY
from crackscope.model.graphs import CARD_KEY, TRUNK, backbone_graph, graph_digest, make_model, with_digest
from crackscope.model.preprocessing import resize_patch
from crackscope.model.sessions import graph_of, open_bundle, open_graph, open_session, run_patches

__all__ = ["match_fine_map", "match_gate", "match_temperature", "quantise", "require_float", "with_card"]

_ROUNDED = "_DequantizeLinear_Output"  # what ONNX Runtime's tool adds to the name of a value after rounding


def quantise(bundle: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Round a bundle to int8. Its calibration is kept; its figures are dropped, since they belong to another model.

    Args:
        bundle: Bundle in fp32, from `crackscope.model.bundle.read_bundle`.
        patches: Patches that the ranges are taken from: arrays (H, W, 3), uint8, RGB, of any sizes.

    Returns:
        A bundle with nearly the same outputs for the same pixels. A head can be trained on its backbone as on any
        other.

    Raises:
        BundleError: If the bundle is int8 already, or holds no convolution to round.
        DataError: If there is no patch.
    """
    require_float(bundle)
    if not patches:
        raise DataError(f"{bundle.name}: no patch to take ranges from. Give some of its training patches.")
    card, whole = bundle.card, graph_of(bundle)
    exact = backbone_graph(whole, feature_dim=card.backbone.feature_dim)
    _part_biases(exact)
    resized = [resize_patch(pixels, patch_px=card.patch_px)[None] for pixels in patches]
    rounded = _round(exact, _nodes_to_round(exact, bundle.name), resized)
    _correct_biases(rounded, exact, _mean_inputs(exact, resized))

    own = {part.name for part in (*exact.node, *exact.initializer)}
    nodes = [*rounded.node, *_on_rounded_maps([node for node in whole.node if node.name not in own], rounded)]
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


def _on_rounded_maps(nodes: list[onnx.NodeProto], rounded: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Let a decoder take inner maps after rounding: a map that is taken before it would be computed in float."""
    given = {name for node in rounded.node for name in node.output}
    for node in nodes:
        if node.name.startswith(FINE):
            node.input[:] = [f"{name}{_ROUNDED}" if f"{name}{_ROUNDED}" in given else name for name in node.input]
    return nodes


def match_temperature(rounded: Bundle, exact: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Fit the temperature of a rounded bundle so that its probabilities match those of the exact bundle.

    Rounding stretches logits a little. The temperature is fitted to the probabilities of the exact model, not to the
    labels. So threshold and unsure band, which are probabilities, keep their meaning. Patches of one data set cannot
    spoil a calibration that was made on several. (Fitted to METU's labels alone, the default bundle's temperature fell
    from 0.67 to 0.52, and its calibration error on SDNET2018 rose from 0.012 to 0.023.) The temperature of a
    calibration for photos is changed by the same factor.

    Args:
        rounded: Rounded bundle, from `quantise`.
        exact: Bundle that it was made from.
        patches: Patches of part val: arrays (H, W, 3), uint8, RGB, of any sizes.
    """
    logits, others = (
        run_patches(open_bundle(one), patches, "logits", patch_px=one.card.patch_px).astype(np.float64)
        for one in (rounded, exact)
    )
    factor = _matched_factor(logits, others, exact.card.patch.temperature)
    note = f"; int8: temperature matched on {len(patches)} patches of part val"

    def stretched(calibration: Calibration) -> Calibration:
        changes = {"temperature": calibration.temperature * factor, "fitted_on": f"{calibration.fitted_on}{note}"}
        return calibration.model_copy(update=changes)

    card, graph = rounded.card, graph_of(rounded)
    patch, photo = stretched(card.patch), card.photo and stretched(card.photo)
    (sharpness,) = [tensor for tensor in graph.initializer if tensor.name == "head/sharpness"]  # as `compose` names it
    sharpness.CopyFrom(numpy_helper.from_array(np.array([1 / patch.temperature], np.float32), sharpness.name))
    return _sealed(graph, card.model_copy(update={"patch": patch, "photo": photo}))


def _matched_factor(logits: Float64Array, others: Float64Array, temperature: float) -> float:
    """Factor on the temperature with which `logits` give the probabilities of `others` again."""
    said = expit(others / temperature)

    def loss(log_factor: float) -> float:  # cross-entropy, least where both give the same probability
        stretched = logits / (temperature * np.exp(log_factor))
        return float((np.logaddexp(0, stretched) - said * stretched).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-0.7, 0.7), method="bounded", options={"xatol": 1e-6}).x))


def match_fine_map(rounded: Bundle, exact: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Fit the temperature of a rounded bundle's fine map, so that its probabilities match those of the exact bundle.

    This is done as in `match_temperature`, cell by cell. So the threshold keeps its meaning.

    Args:
        rounded: Rounded bundle, from `quantise`; it is returned unchanged if it has no fine map.
        exact: Bundle that it was made from.
        patches: Patches of part val: arrays (H, W, 3), uint8, RGB, of any sizes.
    """
    told = rounded.card.fine_map
    if told is None:
        return rounded
    logits, others = (_fine_logits(one, patches) for one in (rounded, exact))
    factor = _matched_factor(logits, others, told.temperature)
    note = f"; int8: temperature matched on {len(patches)} patches of part val"
    changes = {"temperature": told.temperature * factor, "fitted_on": f"{told.fitted_on}{note}"}
    matched, graph = told.model_copy(update=changes), graph_of(rounded)
    (sharpness,) = [tensor for tensor in graph.initializer if tensor.name == f"{FINE}sharpness"]
    sharpness.CopyFrom(numpy_helper.from_array(np.array([1 / matched.temperature], np.float32), sharpness.name))
    return _sealed(graph, rounded.card.model_copy(update={"fine_map": matched}))


def _fine_logits(bundle: Bundle, patches: Sequence[UInt8Array]) -> Float64Array:
    """Logits of all cells of all patches, shape (n,)."""
    graph = graph_of(bundle)
    graph.output.append(helper.make_tensor_value_info(FINE_LOGITS, TensorProto.FLOAT, None))
    session, patch_px = open_graph(graph, bundle.name), bundle.card.patch_px
    found = [
        session.run([FINE_LOGITS], {"pixels": resize_patch(pixels, patch_px=patch_px)[None]})[0].ravel()
        for pixels in patches
    ]
    return np.concatenate(found).astype(np.float64)


def match_gate(rounded: Bundle, exact: Bundle, patches: Sequence[UInt8Array]) -> Bundle:
    """Move the limits of a rounded bundle's gate, so that it rejects the same patches as the exact bundle.

    Rounding changes features, and so what the graph tells the gate. The tenth of the patches that are nearest to a
    limit is compared. The novelty limit is multiplied by the median ratio of their novelty after and before rounding.
    The logit of the limit of *concrete* is moved by the median difference of theirs.

    Args:
        rounded: Rounded bundle, from `quantise`; it is returned unchanged if it has no gate.
        exact: Bundle that it was made from.
        patches: Patches of part val: arrays (H, W, 3), uint8, RGB, of any sizes.
    """
    gate = rounded.card.gate
    if gate is None:
        return rounded
    sessions = [open_bundle(one) for one in (rounded, exact)]

    def moved(output: str) -> float:
        """How far what is measured near the limit moved on its own scale: logarithm, or logit."""
        after, before = (
            run_patches(one, patches, output, patch_px=exact.card.patch_px).astype(np.float64) for one in sessions
        )
        scale, limit = _SCALES[output], gate.max_novelty if output == NOVELTY else gate.min_concrete
        nearest = np.argsort(np.abs(scale(before) - scale(np.float64(limit))))[: max(1, len(before) // 10)]
        return float(np.median(scale(after[nearest]) - scale(before[nearest])))

    note = f"; int8: limits matched on {len(patches)} patches of part val"
    changes: dict[str, object] = {"max_novelty": gate.max_novelty * float(np.exp(moved(NOVELTY)))}
    if gate.min_concrete is not None:
        changes["min_concrete"] = float(expit(logit(gate.min_concrete) + moved(CONCRETE)))
    changes["fitted_on"] = f"{gate.fitted_on}{note}"
    return with_card(rounded, rounded.card.model_copy(update={"gate": gate.model_copy(update=changes)}))


_SCALES: dict[str, Callable[[Float64Array], Float64Array]] = {
    NOVELTY: lambda values: np.log(np.maximum(values, 1e-9)),
    CONCRETE: lambda values: logit(np.clip(values, 1e-7, 1 - 1e-7)),
}


# Bundles in memory


def require_float(bundle: Bundle) -> None:
    """Raise `BundleError` if a bundle is rounded already."""
    if bundle.card.precision != "fp32":
        raise BundleError(f"{bundle.name}: {bundle.card.precision} already. Give the fp32 bundle it was made from.")


def with_card(bundle: Bundle, card: Card) -> Bundle:
    """Give a bundle another card, and fill in the card's digests."""
    return _sealed(graph_of(bundle), card)


def _sealed(graph: onnx.GraphProto, card: Card) -> Bundle:
    """Make a bundle of a graph and a card, and fill in the card's digests."""
    backbone = backbone_graph(graph, feature_dim=card.backbone.feature_dim)
    digests = {
        "graph_sha256": graph_digest(graph),
        "backbone": card.backbone.model_copy(update={"sha256": graph_digest(backbone)}),
    }
    filled = card.model_copy(update=digests)
    model = make_model(graph, with_digest(CARD_KEY, filled.to_json()))
    onnx.checker.check_model(model, full_check=True)
    return Bundle(model.SerializeToString(deterministic=True), filled, f"{filled.name}.onnx")


# Rounding a backbone


def _nodes_to_round(graph: onnx.GraphProto, name: str) -> list[str]:
    """Names of the trunk's nodes from its second convolution on; from the third on if the second is depthwise."""
    trunk = [node for node in graph.node if node.name.startswith(TRUNK)]
    places = [i for i, node in enumerate(trunk) if node.op_type == "Conv"]
    n_float = 2 if len(places) > 1 and _groups(trunk[places[1]]) > 1 else 1
    if len(places) <= n_float:
        raise BundleError(f"{name}: its backbone has no convolutions to round. Use a convolutional backbone.")
    return [node.name for node in trunk[places[n_float] :]]


def _groups(node: onnx.NodeProto) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)


def _part_biases(graph: onnx.GraphProto) -> None:
    """Give every convolution a bias of its own. Exporters store equal biases once, but rounding makes them differ."""
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    biased = [node for node in graph.node if node.op_type == "Conv" and len(node.input) == 3]
    uses = Counter(node.input[2] for node in biased)
    for node in biased:
        if uses[node.input[2]] > 1:
            values = numpy_helper.to_array(tensors[node.input[2]])
            node.input[2] = f"{node.name}/bias"
            graph.initializer.append(numpy_helper.from_array(values, node.input[2]))


def _round(graph: onnx.GraphProto, nodes: list[str], resized: Sequence[UInt8Array]) -> onnx.GraphProto:
    """Put QuantizeLinear and DequantizeLinear around `nodes` of a backbone; runtimes fuse them to int8 arithmetic."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._inputs = iter([{"pixels": pixels} for pixels in resized])

        def get_next(self) -> dict[str, UInt8Array] | None:
            return next(self._inputs, None)

    with tempfile.TemporaryDirectory() as folder, _quiet():
        source, target = Path(folder) / "exact.onnx", Path(folder) / "rounded.onnx"
        onnx.save(make_model(graph), source)  # ONNX Runtime 1.18 fails on a model given in memory
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
    """Keep out of the log what the tool writes: advice to prepare the graph first, which this graph does not need."""
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
    """Mean input of each convolution over patches and pixels, by the convolution's name, shape (channels,)."""
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
    """Subtract from each rounded bias what the rounding of its weights adds on average.

    Source:
        Nagel et al. 2019, Data-Free Quantization Through Weight Equalization and Bias Correction, section 4.2. Here the
        means are measured, not taken from batch norms.
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
