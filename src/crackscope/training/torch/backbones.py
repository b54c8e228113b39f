"""Backbones by hub id or local folder, through ``transformers.AutoModel``: one registry entry a family.

A family says where it can be cut into blocks, how its convolutions are padded and which pixels it eats. Padding never
depends on the size of the image: where weights come from TensorFlow, stride-2 convolutions carry fixed (0, 1) padding,
in torch and in the graph alike, which equals TensorFlow's "same" at even sizes and keeps the sampling grid of a window
where it is in the photo; where they come from PyTorch, they keep their symmetric padding, which does so anyway.
"""

from __future__ import annotations

import itertools
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn

from crackscope.errors import DataError, did_you_mean, reason_of
from crackscope.model.card import BackboneCard
from crackscope.training.sources import require_known_folder, require_model_type

__all__ = ["FAMILIES", "Family", "FeatureMap", "feature_dim", "load_backbone", "require_known_hub_id"]


@dataclass(frozen=True)
class Family:
    """What sets one family of backbones apart.

    Attributes:
        model_type: ``model_type`` in the family's ``config.json``.
        blocks: Blocks by name, from pixels to the last feature map; each takes what the one before gives.
        config_changes: Values that are set in the configuration before the model is built.
        pads_like_tensorflow: Whether stride-2 convolutions of kernel 3 get fixed (0, 1) padding.
        mean: Mean of the pixels in [0, 1], per channel, where the source has no ``preprocessor_config.json``.
        std: Standard deviation of the pixels, per channel.
        origin: Origin of the published weights, with licence.
    """

    model_type: str
    blocks: Callable[[Any], Iterable[tuple[str, nn.Module]]]
    config_changes: dict[str, Any]
    pads_like_tensorflow: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    origin: str


def _mobilenet_v2_blocks(model: Any) -> Iterable[tuple[str, nn.Module]]:
    """``stem`` and ``block_1`` to ``block_16`` as Keras numbers them, and the last convolution, ``conv_1``."""
    yield "stem", model.conv_stem
    yield from ((f"block_{i}", block) for i, block in enumerate(model.layer, start=1))
    yield "conv_1", model.conv_1x1


def _resnet_blocks(model: Any) -> Iterable[tuple[str, nn.Module]]:
    """``stem``, then ``stage_1_block_1`` and so on, four stages."""
    yield "stem", model.embedder
    for i, stage in enumerate(model.encoder.stages, start=1):
        yield from ((f"stage_{i}_block_{j}", block) for j, block in enumerate(stage.layers, start=1))


FAMILIES = {
    "mobilenet_v2": Family(
        model_type="mobilenet_v2",
        blocks=_mobilenet_v2_blocks,
        config_changes={"tf_padding": False},  # it bakes in the padding of the example's size at export
        pads_like_tensorflow=True,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
        origin="ImageNet weights of TF-slim's MobileNetV2 (Google, Apache-2.0)",
    ),
    "resnet": Family(
        model_type="resnet",
        blocks=_resnet_blocks,
        config_changes={},
        pads_like_tensorflow=False,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        origin="ImageNet weights of a ResNet v1.5, as the source states",
    ),
}


class FeatureMap(nn.Module):
    """A backbone in torch: normalised pixels (n, 3, H, W), sides multiples of 32, to (n, d, H/32, W/32).

    Args:
        blocks: Blocks by name, in order. The first few alone are a trunk; its map is larger, and has other channels.
    """

    def __init__(self, blocks: Iterable[tuple[str, nn.Module]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleDict(dict(blocks))

    def forward(self, normalised: torch.Tensor) -> torch.Tensor:
        """Compute the last feature map."""
        feature_map = normalised
        for block in self.blocks.values():
            feature_map = block(feature_map)
        return feature_map

    def maps(self, normalised: torch.Tensor, inner: Sequence[str]) -> tuple[torch.Tensor, ...]:
        """Compute the last feature map, and the maps that some of the blocks give, in the order of their names.

        Raises:
            DataError: If there is no block of one of these names.
        """
        for name in inner:
            if name not in self.blocks:
                raise DataError(
                    f"this backbone has no block '{name}'.{did_you_mean(name, self.blocks)} "
                    f"It has {', '.join(self.blocks)}."
                )
        feature_map, found = normalised, {}
        for name, block in self.blocks.items():
            found[name] = feature_map = block(feature_map)
        return feature_map, *(found[name] for name in inner)

    def ending(self, at: str) -> FeatureMap:
        """The blocks up to a named one, or up to the first layer of one (``block_13.expand_1x1``).

        Raises:
            DataError: If there is no such block, or the layer is not its first.
        """
        name, _, layer = at.partition(".")
        if name not in self.blocks:
            raise DataError(
                f"until: this backbone has no block '{name}'.{did_you_mean(name, self.blocks)} "
                f"It has {', '.join(self.blocks)}."
            )
        kept = list(itertools.takewhile(lambda named: named[0] != name, self.blocks.items()))
        block = self.blocks[name]
        if not layer:
            return FeatureMap([*kept, (name, block)])
        first, inner = next(iter(block.named_children()), ("", block))
        if layer != first:
            raise DataError(f"until: block '{name}' begins with '{first}', not '{layer}'. Give {name}.{first}.")
        return FeatureMap([*kept, (f"{name}_{layer}", inner)])

    def cut(self, at: int) -> tuple[FeatureMap, FeatureMap]:
        """The first blocks and the rest, sharing their weights with this one.

        Raises:
            DataError: If there is no block of that number.
        """
        named = list(self.blocks.items())
        if not 0 <= at < len(named):
            raise DataError(f"there is no block {at} to train from: this backbone has 0 to {len(named) - 1}.")
        return FeatureMap(named[:at]), FeatureMap(named[at:])


def load_backbone(
    source: str, *, until: str | None = None, random_weights: bool = False
) -> tuple[FeatureMap, BackboneCard]:
    """Build a backbone from a local folder or a hub id; whether it can be is told before its weights are fetched.

    Args:
        source: A folder with ``config.json`` and ``model.safetensors``, or a hub id.
        until: Block or layer that it ends with, see `FeatureMap.ending`.
        random_weights: Whether it is built from the configuration alone, for tests.

    Returns:
        The module in inference mode, float32, and its card (without a digest of the graph).

    Raises:
        DataError: If it cannot be found, is of an unknown family, or lacks weights.
    """
    require_known_folder(source)
    if not Path(source).is_dir():
        require_known_hub_id(source)
    with _quiet():
        config = _config(source)
        family = FAMILIES[config.model_type]
        for key, value in family.config_changes.items():
            setattr(config, key, value)
        random = transformers.AutoModel.from_config
        model = random(config) if random_weights else _pretrained(source, config)  # type: ignore[no-untyped-call]
    if family.pads_like_tensorflow:
        _fix_padding(model)
    module = FeatureMap(family.blocks(model)).eval()
    if until is not None:
        module = module.ending(until)
    scale, shift = _normalisation(source, family)
    card = BackboneCard(
        name=config.model_type if until is None else f"{config.model_type} until {until}",
        origin=family.origin,
        feature_dim=feature_dim(module),
        pixel_scale=scale,
        pixel_shift=shift,
    )
    return module, card


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers and the hub draw no bars and log errors alone inside; afterwards they do as before."""
    library, hub = transformers.utils.logging, logging.getLogger("huggingface_hub")
    verbosity, level, has_bars = library.get_verbosity(), hub.level, library.is_progress_bar_enabled()
    library.set_verbosity(logging.ERROR)
    hub.setLevel(logging.ERROR)  # it tells every retry
    if has_bars:
        library.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        library.set_verbosity(verbosity)
        hub.setLevel(level)
        if has_bars:
            library.enable_progress_bar()  # type: ignore[no-untyped-call]


def require_known_hub_id(source: str) -> None:
    """Refuse a hub id of a kind that is not known, by its ``config.json`` alone.

    Raises:
        DataError: If it is, or the file cannot be fetched and is not in the hub's cache.
    """
    settings: Any = None
    with _quiet():
        for only_cached in (True, False):  # what is there already needs no network
            try:
                settings, _ = transformers.PretrainedConfig.get_config_dict(source, local_files_only=only_cached)
                break
            except Exception as error:  # transformers raises many kinds
                if not only_cached:
                    raise _unusable_config(source, error) from error
    require_model_type(source, str(settings.get("model_type")) if isinstance(settings, dict) else "unknown")


def _config(source: str) -> Any:
    try:
        return transformers.AutoConfig.from_pretrained(source)
    except Exception as error:  # transformers raises many kinds
        raise _unusable_config(source, error) from error


def _unusable_config(source: str, error: Exception) -> DataError:
    if Path(source).is_dir():
        return DataError(f"{source}: config.json cannot be used: {reason_of(error).rstrip('.')}. Fetch it again.")
    return DataError(
        f"{source}: no such folder, and the hub could not be reached or does not know it. Download "
        "config.json, preprocessor_config.json and model.safetensors into a folder and give that folder."
    )


def _pretrained(source: str, config: Any) -> Any:
    """The model with its weights, all of them: transformers would draw those that are missing at random."""
    try:
        model, found = transformers.AutoModel.from_pretrained(
            source, config=config, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # safetensors raises its own kinds
        why = reason_of(error).rstrip(".")
        raise DataError(f"{source}: weights cannot be loaded: {why}. Fetch model.safetensors again.") from error
    missing = sorted(key for key in found["missing_keys"] if not key.endswith("num_batches_tracked"))
    if missing:
        raise DataError(
            f"{source}: {len(missing)} weights are missing, among them '{missing[0]}'. Fetch the model.safetensors "
            "that belongs to this config.json."
        )
    return model


def _fix_padding(module: nn.Module) -> None:
    """Give every stride-2 convolution of kernel 3 the fixed padding (0, 1) in place of its own."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.stride == (2, 2) and child.kernel_size == (3, 3):
            child.padding = (0, 0)
            setattr(module, name, nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), child))
        else:
            _fix_padding(child)


def feature_dim(module: FeatureMap) -> int:
    """Channels of the map that a backbone, or a trunk, gives."""
    with torch.inference_mode():
        return int(module(torch.zeros(1, 3, 32, 32)).shape[1])


def _normalisation(source: str, family: Family) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Factor and summand per channel, from mean and deviation of the source's preprocessor, or of the family."""
    mean, std = family.mean, family.std
    path = Path(source) / "preprocessor_config.json"
    try:
        if path.is_file():
            settings = json.loads(path.read_text(encoding="utf-8"))
            mean, std = settings.get("image_mean", mean), settings.get("image_std", std)
        scale = tuple(1 / (255 * s) for s in std)
        shift = tuple(-m / s for m, s in zip(mean, std, strict=True))
        return (scale[0], scale[1], scale[2]), (shift[0], shift[1], shift[2])
    except (OSError, ValueError, TypeError, AttributeError, LookupError, ZeroDivisionError) as error:
        raise DataError(
            f"{path}: image_mean and image_std are no three numbers each ({reason_of(error)}). Fetch it again."
        ) from error
