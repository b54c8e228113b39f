"""Windows: how a photo is cut for the network, on a grid, with a halo around each window.

A cell of the map sees a stretch of pixels, its receptive field. If the field lies inside a window, or the window ends
with the photo, the cell gets the same value as from the whole photo at once. So each window has a halo: it is larger
than the part of the map that is taken from it. The halo is computed from the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import onnx
from onnx import helper

from crackscope.errors import BundleError
from crackscope.model.graphs import MULTIPLE_PX

__all__ = ["ReceptiveField", "Window", "cut_windows", "receptive_field", "tidy_cut"]

_SLIDING = {"Conv", "MaxPool", "AveragePool"}
_SHAPES = {"Shape", "Size"}  # what follows from a size alone looks at no pixel
_BOUNDLESS = {
    *("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceSum"),  # see the whole map
    *("ConvTranspose", "Resize", "Upsample"),  # enlarge it
}


@dataclass(frozen=True)
class ReceptiveField:
    """What a cell of the map sees, along each axis: pixels ``stride_px · i - before_px`` to ``… + after_px``.

    Attributes:
        stride_px: Distance of neighbouring cells.
        before_px: Pixels before the cell's first one.
        after_px: Pixels after the cell's first one.
    """

    stride_px: int
    before_px: int
    after_px: int

    @property
    def size_px(self) -> int:
        """Pixels that a cell sees along an axis."""
        return self.before_px + 1 + self.after_px

    @property
    def halo_px(self) -> int:
        """What a window needs on each side: the smallest multiple of the stride that covers the field."""
        beyond = max(self.before_px, self.after_px - (self.stride_px - 1), 0)
        return -(-beyond // self.stride_px) * self.stride_px


@dataclass(frozen=True)
class Window:
    """A part of the map and the pixels that it is computed from, as (start, stop) along each axis.

    Attributes:
        rows: Rows of cells that are taken.
        columns: Columns of cells that are taken.
        y: Rows of pixels that the network is given.
        x: Columns of pixels.
        stride_px: Pixels a cell.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]
    stride_px: int

    @property
    def n_pixels(self) -> int:
        """Pixels that the network is given."""
        return (self.y[1] - self.y[0]) * (self.x[1] - self.x[0])

    @property
    def inside(self) -> tuple[slice, slice]:
        """Where the cells that are taken lie in the map of the window alone."""
        top, left = self.y[0] // self.stride_px, self.x[0] // self.stride_px
        return (
            slice(self.rows[0] - top, self.rows[1] - top),
            slice(self.columns[0] - left, self.columns[1] - left),
        )


def receptive_field(graph: onnx.GraphProto, output: str = "feature_map") -> ReceptiveField:
    """What a cell of a graph's output sees of its input, from kernels, strides, paddings and dilations.

    Where several ways lead to the output (shortcuts), the widest counts.

    Args:
        graph: Graph of a backbone or a bundle.
        output: Name of a value with the shape (n, d, h, w).

    Raises:
        BundleError: If the output is not reached from the input, on ways of different strides, or past a node that
            looks at the whole map.
    """
    fields = {value.name: ReceptiveField(1, 0, 0) for value in graph.input}
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in _SHAPES:
            continue
        seen = [fields[name] for name in node.input if name in fields]
        if not seen:
            if node.op_type == "DequantizeLinear" and node.input[0] in weights:  # of an int8 bundle
                weights[node.output[0]] = weights[node.input[0]]
            continue
        if node.op_type in _BOUNDLESS:
            raise BundleError(
                f"node '{node.name}' ({node.op_type}) looks at the whole map or enlarges it, so no receptive field "
                "holds. Choose a backbone of convolutions and pooling."
            )
        if len({field.stride_px for field in seen}) > 1:
            raise BundleError(f"node '{node.name}' joins maps of different strides, so no receptive field holds.")
        field = ReceptiveField(seen[0].stride_px, max(one.before_px for one in seen), max(one.after_px for one in seen))
        field = _slid(field, node, weights) if node.op_type in _SLIDING else field
        fields.update(dict.fromkeys(node.output, field))
        if output in node.output:
            return field
    raise BundleError(f"the graph gives no '{output}' of its pixels. Train the bundle again.")


def _slid(field: ReceptiveField, node: onnx.NodeProto, weights: dict[str, list[int]]) -> ReceptiveField:
    """The field after a kernel that slides over the map: the wider axis counts."""
    settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    kernel = settings.get("kernel_shape") or weights[node.input[1]][2:]  # of a convolution it may be left out
    strides, dilations = (settings.get(name, [1] * len(kernel)) for name in ("strides", "dilations"))
    if (padding := settings.get("auto_pad", b"NOTSET").decode()).startswith("SAME"):
        raise BundleError(
            f"node '{node.name}' is padded by the map's size ({padding}), which moves the cells of a window."
        )
    pads = settings.get("pads", [0] * (2 * len(kernel)))[: len(kernel)]
    if len(set(strides)) > 1:
        raise BundleError(f"node '{node.name}' has strides {list(strides)}; only equal ones are known.")
    before = max(pads)
    after = max((size - 1) * dilation - pad for size, dilation, pad in zip(kernel, dilations, pads, strict=True))
    return ReceptiveField(
        field.stride_px * strides[0],
        field.before_px + field.stride_px * before,
        field.after_px + field.stride_px * after,
    )


def cut_windows(size_hw: tuple[int, int], field: ReceptiveField, core_hw: tuple[int, int]) -> Iterator[Window]:
    """Windows that together give every cell of the map once, row by row.

    Args:
        size_hw: Height and width of the photo as the network sees it, in pixels.
        field: Receptive field, from `receptive_field`.
        core_hw: Pixels of each window without halo, multiples of the stride; the last ones may be smaller.

    Example:
        >>> field = ReceptiveField(32, 40, 60)
        >>> [window.x for window in cut_windows((32, 300), field, (32, 128))]
        [(0, 192), (64, 300), (192, 300)]
    """
    for top, left in product(range(0, size_hw[0], core_hw[0]), range(0, size_hw[1], core_hw[1])):
        bottom, right = min(top + core_hw[0], size_hw[0]), min(left + core_hw[1], size_hw[1])
        yield Window(
            rows=(top // field.stride_px, -(-bottom // field.stride_px)),
            columns=(left // field.stride_px, -(-right // field.stride_px)),
            y=_with_halo(top, bottom, size_hw[0], field),
            x=_with_halo(left, right, size_hw[1], field),
            stride_px=field.stride_px,
        )


def tidy_cut(size_hw: tuple[int, int], field: ReceptiveField, *, max_pixels: int) -> tuple[int, int]:
    """The size of windows, without halo, that cover a photo at the least cost: halos are computed and thrown away.

    Args:
        size_hw: Height and width of the photo as the network sees it, in pixels.
        field: Receptive field, from `receptive_field`.
        max_pixels: Greatest number of pixels that a window may have, halo included. A window of one cell may have more.

    Returns:
        (height, width) in pixels, multiples of the stride.

    Example:
        >>> tidy_cut((1000, 2000), ReceptiveField(32, 40, 60), max_pixels=10**7)
        (1024, 2016)
    """
    candidates = [
        (_cost(size_hw, (height, width), field), height, width)
        for height, width in product(_cuts(size_hw[0], field), _cuts(size_hw[1], field))
        if _largest(size_hw, (height, width), field) <= max_pixels
    ]
    return min(candidates)[1:] if candidates else (field.stride_px, field.stride_px)


def _cuts(length_px: int, field: ReceptiveField) -> list[int]:
    """Lengths that cut an axis into 1, 2, 3, … stretches about as long as each other."""
    n_cells = -(-length_px // field.stride_px)
    return sorted({-(-n_cells // n) * field.stride_px for n in range(1, n_cells + 1)})


def _extents(length_px: int, core_px: int, field: ReceptiveField) -> list[int]:
    """Lengths of the windows along an axis, halo included."""
    windows = [_with_halo(at, min(at + core_px, length_px), length_px, field) for at in range(0, length_px, core_px)]
    return [stop - start for start, stop in windows]


def _with_halo(start: int, stop: int, length_px: int, field: ReceptiveField) -> tuple[int, int]:
    """A stretch of an axis with its halo.

    The graph pads an image at its right and lower edge, up to a multiple of `MULTIPLE_PX`. A window that ends with the
    photo must be padded by as much as the photo. So a window starts at a multiple of `MULTIPLE_PX`, and of the stride.
    """
    grid_px = math.lcm(field.stride_px, MULTIPLE_PX)
    return max(0, start - field.halo_px) // grid_px * grid_px, min(length_px, stop + field.halo_px)


def _largest(size_hw: tuple[int, int], core_hw: tuple[int, int], field: ReceptiveField) -> int:
    height, width = (max(_extents(size, core, field)) for size, core in zip(size_hw, core_hw, strict=True))
    return height * width


def _cost(size_hw: tuple[int, int], core_hw: tuple[int, int], field: ReceptiveField) -> int:
    """Number of pixels that the network is given in all windows together."""
    height, width = (sum(_extents(size, core, field)) for size, core in zip(size_hw, core_hw, strict=True))
    return height * width
