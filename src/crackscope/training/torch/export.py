"""Export: a torch backbone becomes an ONNX file; a bundle must answer, file by file, as the torch network does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import torch
from torch import nn

from crackscope.arrays import Float64Array
from crackscope.data.patches import PatchIndex
from crackscope.errors import BundleError
from crackscope.files.streaming import Progress, chunked, ordered_map
from crackscope.measuring.evaluation import Evaluation
from crackscope.measuring.run_document import RunAgreement
from crackscope.model.bundle import make_backbone
from crackscope.model.card import BackboneCard
from crackscope.model.preprocessing import resize_patch
from crackscope.training.torch.backbones import FeatureMap
from crackscope.training.torch.network import HeadLayers, fast_convolutions, plane_logits, to_planes
from crackscope.training.torch.process import own_threads
from crackscope.training.torch.translation import trunk_graph

__all__ = ["check_bundle", "export_backbone", "torch_features", "torch_logits"]

_TOLERANCE = 1e-4
_PROBABILITY_TOLERANCE = 1e-3
_BATCH = 16  # measured: a third faster than 8 or 32, whose maps leave the cache


def export_backbone(module: FeatureMap, card: BackboneCard, *, inner: Sequence[str] = ()) -> onnx.ModelProto:
    """Export a backbone, and compare it with torch before handing it out.

    Args:
        module: Network from normalised pixels to the feature map, in inference mode.
        card: Card of the backbone; the digest is filled in.
        inner: Names of blocks whose maps a decoder takes. The graph computes each under the name of its block after
            ``trunk/``.

    Returns:
        A backbone that eats raw pixels of any size (see `crackscope.model.bundle.make_backbone`).

    Raises:
        BundleError: If features differ by more than 1e-4 of their size on a drawn image of odd size.
        DataError: If there is no block of one of the names.
    """
    names = [name for name in inner if name != [*module.blocks][-1]]  # the last map has a name of its own
    model = make_backbone(trunk_graph(_WithInner(module, names), inner=names), card)
    _require_agreement(module, card, model)
    return model


class _WithInner(nn.Module):
    """A backbone that gives its inner maps after its last one."""

    def __init__(self, module: FeatureMap, names: Sequence[str]) -> None:
        super().__init__()
        self.module, self.names = module, list(names)

    def forward(self, normalised: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return self.module.maps(normalised, self.names)


def torch_features(module: FeatureMap, card: BackboneCard, pixels: np.ndarray) -> torch.Tensor:
    """What the backbone file computes, in torch: raw pixels (n, H, W, 3) uint8 to features (n, d)."""
    scale, shift = torch.tensor(card.pixel_scale), torch.tensor(card.pixel_shift)
    with torch.inference_mode():
        planes = to_planes(torch.from_numpy(pixels), scale.view(1, 3, 1, 1), shift.view(1, 3, 1, 1))
        feature_map: torch.Tensor = module(planes)
        return feature_map.mean((2, 3))


def torch_logits(
    index: PatchIndex,
    backbone: FeatureMap,
    head: HeadLayers,
    card: BackboneCard,
    *,
    patch_px: int,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Float64Array:
    """Logits of files by torch alone, end to end in float32, shape (n,); the network is in inference mode.

    Args:
        index: Readable patches.
        backbone: All blocks of the network.
        head: Head of the network.
        card: Card of the backbone, for its pixels.
        patch_px: Shorter side of a patch after the resize, in pixels.
        threads: Number of threads; all cores if left out.
        progress: Called with (done, total) as work goes on.
    """
    scale, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (card.pixel_scale, card.pixel_shift))

    def logits(paths: list[str]) -> list[float]:
        torch.set_num_threads(1)  # of this thread: several batches on a core each are faster than one on several
        images = [resize_patch(index.read_pixels(path), patch_px=patch_px) for path in paths]
        same = len({pixels.shape for pixels in images}) == 1
        found: list[float] = []
        with torch.inference_mode():
            for batch in [images] if same else [[pixels] for pixels in images]:
                planes = to_planes(torch.from_numpy(np.stack(batch)), scale, shift)
                found += plane_logits(backbone, head, planes).tolist()
        return found

    found: list[float] = []
    with fast_convolutions(backbone), own_threads():
        for part in ordered_map(logits, chunked(index.paths, _BATCH), threads=threads):
            found += part
            if progress:
                progress(len(found), len(index))
    return np.array(found)


def check_bundle(evaluation: Evaluation, logits: Float64Array, *, temperature: float) -> RunAgreement:
    """Compare what a bundle said of files with torch's logits of the same files.

    A probability may lie on the other side of the threshold by rounding alone. So labels must agree only where torch's
    probability is farther from the threshold than the tolerance; the others are counted in what is returned.

    Raises:
        BundleError: If a probability differs by more than 1e-3, or a label that must agree.
    """
    expected = 1 / (1 + np.exp(-logits / temperature))
    differences = np.abs(evaluation.probabilities - expected)
    changed = (evaluation.probabilities >= evaluation.threshold) != (expected >= evaluation.threshold)
    wrong = changed & (np.abs(expected - evaluation.threshold) > _PROBABILITY_TOLERANCE)
    greatest, n_wrong = float(differences.max()), int(wrong.sum())
    if not greatest <= _PROBABILITY_TOLERANCE or n_wrong:
        worst = evaluation.paths[int(np.argmax(np.maximum(differences, wrong)))]
        raise BundleError(
            f"{worst}: the exported bundle differs from torch by {greatest:.2g} in probability (at most "
            f"{_PROBABILITY_TOLERANCE:g} is allowed), and in {n_wrong} labels: it was not written. "
            "Another version of torch may export it rightly."
        )
    return RunAgreement(n=len(logits), greatest=greatest, n_labels_changed=int(changed.sum()))


def _require_agreement(module: FeatureMap, card: BackboneCard, model: onnx.ModelProto) -> None:
    from crackscope.model.sessions import open_session

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (1, 131, 227, 3), dtype=np.uint8)
    expected = torch_features(module, card, pixels).numpy()
    found = open_session(model.SerializeToString()).run(["features"], {"pixels": pixels})[0]
    difference = float(np.abs(found - expected).max() / max(1.0, float(np.abs(expected).max())))
    if not difference <= _TOLERANCE:
        raise BundleError(
            f"the exported graph differs from torch by {difference:.2g} (at most {_TOLERANCE:g} is allowed): "
            "it was not written. Please report the backbone's configuration."
        )
