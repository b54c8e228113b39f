"""Layer tables: what each layer puts out, how many parameters it has, and which of them are trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import nn

from crackscope.files.output import write_text
from crackscope.files.tables import table_text

__all__ = ["Layer", "format_layers", "layer_table", "write_layers"]


@dataclass(frozen=True)
class Layer:
    """One module with parameters of its own.

    Attributes:
        name: Name of the module's block, then the module's path within the block, with dots.
        kind: Class of the layer, for example ``Conv2d``.
        output_shape: For one image, without the image's own axis, for example ``96×10×10``; ``unused`` if the
            network does not run it.
        n_parameters: Number of weights and biases; running means and variances are not counted.
        trainable: Number of those that are trained.
        frozen: Number of those that stay as they are.
    """

    name: str
    kind: str
    output_shape: str
    n_parameters: int
    trainable: int
    frozen: int


def layer_table(blocks: Sequence[tuple[str, nn.Module]], *, example: torch.Tensor) -> list[Layer]:
    """List the modules that have parameters, in the order in which they run; unused ones end their block.

    One example goes through the blocks as in prediction; nothing of the network is changed by it. A parameter that
    several modules share counts for the first.

    Args:
        blocks: Name and module each, every one mapping a tensor to the next one's tensor.
        example: Input of the first block, for one image, shape (1, …).
    """
    shapes: dict[nn.Module, str] = {}

    def note_shape(module: nn.Module, _: Any, output: Any) -> None:
        shapes.setdefault(module, _shape(output))

    names = {module: name for block in blocks for name, module in _with_parameters(block)}
    modes = {module: module.training for _, block in blocks for module in block.modules()}
    hooks = [module.register_forward_hook(note_shape) for module in names]
    layers: list[Layer] = []
    counted: set[nn.Parameter] = set()
    try:
        with torch.no_grad():
            for block in blocks:
                example = block[1].eval()(example)
                own = [module for _, module in _with_parameters(block)]
                ran = [module for module in shapes if module in own]
                for module in dict.fromkeys([*ran, *own]):
                    layers.append(_layer(names[module], module, shapes.get(module, "unused"), counted))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes.items():
            module.training = training
    return layers


def write_layers(layers: Sequence[Layer], path: Path, *, overwrite: bool = False) -> None:
    """Write one row a layer as a CSV.

    Raises:
        OutputError: If `path` exists, or cannot be written.
    """
    columns = [field.name for field in fields(Layer)]
    write_text(path, table_text(columns, map(astuple, layers)), overwrite=overwrite)


def format_layers(layers: Sequence[Layer]) -> str:
    """A table for people, with the totals below.

    Example:
        >>> print(format_layers([Layer("head", "Linear", "1", 1281, 1281, 0)]))
        layer  kind    output  parameters  trainable  frozen
        head   Linear  1            1,281      1,281       0
        total                       1,281      1,281       0
    """
    rows: list[tuple[str, ...]] = [("layer", "kind", "output", "parameters", "trainable", "frozen")]
    for layer in [*layers, _total(layers)]:
        counts = (layer.n_parameters, layer.trainable, layer.frozen)
        rows.append((layer.name, layer.kind, layer.output_shape, *(f"{count:,}" for count in counts)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:3], widths[:3], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[3:], widths[3:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def _with_parameters(block: tuple[str, nn.Module]) -> list[tuple[str, nn.Module]]:
    """Full name and module of all in a block that hold parameters themselves, not only through a part of them."""
    name, module = block
    inner = module.named_modules(prefix=name)
    return [(path, part) for path, part in inner if next(part.parameters(recurse=False), None) is not None]


def _layer(name: str, module: nn.Module, output_shape: str, counted: set[nn.Parameter]) -> Layer:
    parameters = [parameter for parameter in module.parameters(recurse=False) if parameter not in counted]
    counted.update(parameters)
    trainable = sum(parameter.numel() for parameter in parameters if parameter.requires_grad)
    frozen = sum(parameter.numel() for parameter in parameters if not parameter.requires_grad)
    return Layer(name, type(module).__name__, output_shape, trainable + frozen, trainable, frozen)


def _shape(output: Any) -> str:
    """What a module puts out for one image; of several outputs the first."""
    while isinstance(output, (tuple, list)) and output:
        output = output[0]
    return "×".join(str(length) for length in output.shape[1:]) if isinstance(output, torch.Tensor) else ""


def _total(layers: Sequence[Layer]) -> Layer:
    trainable, frozen = sum(layer.trainable for layer in layers), sum(layer.frozen for layer in layers)
    return Layer("total", "", "", trainable + frozen, trainable, frozen)
