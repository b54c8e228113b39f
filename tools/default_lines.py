"""The fine map of the default model: its decoder, and temperature and threshold, fitted on photos kept back."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from scipy.optimize import minimize_scalar

from crackscope.files.images import Image
from crackscope.measuring.line_figures import choose_line_threshold
from crackscope.measuring.lines import LineMap, line_map_of, true_line
from crackscope.model.bundle import Backbone, Bundle, FineDecoder
from crackscope.model.card import Card, FineMapCard
from crackscope.scanning.fine_map import Fine
from crackscope.scanning.loaded_model import Model
from crackscope.scanning.scanner import photo_scale
from crackscope.training.torch.fine_head import export_fine
from default_network import Network
from line_material import STRIDE, SURE, TracedPhoto, read_levels

NEAREST_TO_0 = 1e-6  # probabilities are cut off here before they become logits


def with_lines(
    network: Network,
    backbone: Backbone,
    make: Callable[[Card, FineDecoder | None], onnx.ModelProto],
    card: Card,
    photos: Sequence[TracedPhoto],
) -> onnx.ModelProto:
    """Give a calibrated model its fine map; none where the network has no fine head.

    Args:
        network: Trained network, in inference mode.
        backbone: Backbone of the bundle; its graph has the inner maps that the fine head takes.
        make: Function that composes the bundle of a card and a decoder.
        card: Card without a fine map.
        photos: Photos that no training has seen.
    """
    if network.fine is None:
        return make(card, None)
    fine = network.fine

    def fitted(temperature: float, threshold: float, on: str) -> tuple[onnx.ModelProto, Card]:
        told = FineMapCard(stride_px=STRIDE, temperature=temperature, threshold=threshold, fitted_on=on)
        decoder = export_fine(network.blocks, fine, backbone.graph, backbone.card, temperature=temperature)
        filled = card.model_copy(update={"fine_map": told})
        return make(filled, decoder), filled

    temperature = fit_cells(lines_of(in_memory(*fitted(1.0, 0.5, "")), photos, everywhere=True))
    threshold, f1 = choose_line_threshold(lines_of(in_memory(*fitted(temperature, 0.5, "")), photos))
    print(f"fine map: temperature {temperature:.3f}, threshold {threshold:.2f}, F1 within 4 px {f1:.3f}", flush=True)
    return fitted(temperature, threshold, f"{len(photos)} traced photos that were kept back")[0]


def in_memory(model: onnx.ModelProto, card: Card) -> Bundle:
    """Take a composed model as a bundle, without writing it."""
    return Bundle(model.SerializeToString(), card, card.name)


def lines_of(
    bundle: Bundle, photos: Sequence[TracedPhoto], *, everywhere: bool = False
) -> list[tuple[LineMap, np.ndarray]]:
    """Scan photos; give the fine map of each, and its mask."""
    model, found = Model(bundle), list[tuple[LineMap, np.ndarray]]()
    for photo in photos:
        pixels = photo.pixels()
        scale = photo_scale(model.card, (pixels.shape[0], pixels.shape[1]))
        fine: Fine = "everywhere" if everywhere else True
        result = model.scan(Image(pixels), network_scale=scale, fine=fine, trace=None)
        assert result.map is not None
        line_map = line_map_of(result.map)
        assert line_map is not None
        found.append((line_map, read_levels(photo.mask) > SURE))
    return found


def fit_cells(found: Sequence[tuple[LineMap, np.ndarray]]) -> float:
    """Fit the temperature at which the cells are most likely; each photo counts as much as another."""
    logits, cracked, weights = [], [], []
    for line_map, mask in found:
        probability, truth = line_map.judged_cells(true_line(mask, line_map.photo_hw))
        kept = np.clip(probability, NEAREST_TO_0, 1 - NEAREST_TO_0)
        logits.append(np.log(kept / (1 - kept)))
        cracked.append(truth)
        weights.append(np.full(len(truth), 1 / len(truth)))
    every, label, weight = (np.concatenate(values) for values in (logits, cracked, weights))

    def loss(sharpness: float) -> float:
        return float((weight * np.logaddexp(0, np.where(label, -every, every) * sharpness)).sum())

    return 1 / float(minimize_scalar(loss, bounds=(0.1, 10), method="bounded").x)
