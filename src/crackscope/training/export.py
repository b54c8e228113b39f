"""A torch backbone becomes an ONNX file, once; afterwards no torch is needed."""

from __future__ import annotations

import io
import logging
import warnings
from contextlib import redirect_stdout

import numpy as np
import onnx
import torch
from torch import nn

from crackscope.bundle import OPSET, make_backbone
from crackscope.card import BackboneCard
from crackscope.errors import BundleError
from crackscope.training.backbones import FeatureMap

__all__ = ["export_backbone", "torch_features"]

_TOLERANCE = 1e-4


def export_backbone(module: FeatureMap, card: BackboneCard) -> onnx.ModelProto:
    """Export a backbone, and compare it with torch before handing it out.

    Args:
        module: Normalised pixels to feature map, in inference mode.
        card: Its card; the digest is filled in.

    Returns:
        A backbone that eats raw pixels of any size (see `crackscope.bundle.make_backbone`).

    Raises:
        BundleError: If features differ by more than 1e-4 of their size on a drawn image of odd size.
    """
    model = make_backbone(_trunk(module), card)
    _require_agreement(module, card, model)
    return model


def _trunk(module: nn.Module) -> onnx.GraphProto:
    example = torch.zeros(2, 3, 96, 160)
    dynamic = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module.eval(), (example,), dynamo=True, dynamic_shapes=(dynamic,), opset_version=OPSET, verbose=False
        )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model.graph


def torch_features(module: FeatureMap, card: BackboneCard, pixels: np.ndarray) -> torch.Tensor:
    """What the backbone file computes, in torch: raw pixels (n, H, W, 3) uint8 to features (n, d)."""
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    down, right = -planes.shape[2] % 32, -planes.shape[3] % 32
    planes = nn.functional.pad(planes, (0, right, 0, down), mode="replicate")
    scale, shift = torch.tensor(card.pixel_scale), torch.tensor(card.pixel_shift)
    with torch.inference_mode():
        feature_map: torch.Tensor = module(planes * scale.view(1, 3, 1, 1) + shift.view(1, 3, 1, 1))
        return feature_map.mean((2, 3))


def _require_agreement(module: FeatureMap, card: BackboneCard, model: onnx.ModelProto) -> None:
    from crackscope.prediction import open_session

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 131, 227, 3), dtype=np.uint8)
    expected = torch_features(module, card, pixels).numpy()
    found = open_session(model.SerializeToString()).run(["features"], {"pixels": pixels})[0]
    difference = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= _TOLERANCE:
        raise BundleError(
            f"the exported graph differs from torch by {difference:.2g} (at most {_TOLERANCE:g} is allowed): "
            "it was not written. Another version of torch may export it rightly."
        )
