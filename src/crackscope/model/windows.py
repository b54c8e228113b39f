"""Windows: the pieces that a photo is cut into for the network, on a grid, with a halo around each piece.

A cell of the map sees a stretch of pixels, its receptive field. If the field lies inside a window, or the window ends
with the photo, the cell gets the same value as from the whole photo at once. So each window has a halo: it is larger
than the part of the map that is taken from it. The halo is computed from the graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import onnx
from onnx import helper, numpy_helper

from crackscope.errors import BundleError
from crackscope.model.graphs import MULTIPLE_PX
from crackscope.model.plain_graph import needed_nodes

__all__ = ["ReceptiveField", "Window", "cut_windows", "receptive_field", "tidy_cut"]

_SLIDING = {"Conv", "MaxPool", "AveragePool"}
_SHAPES = {"Shape", "Size"}  # depend on the size alone, not on pixels
_BOUNDLESS = {
    *("GlobalAveragePool", "GlobalMaxPool", "ReduceMean", "ReduceMax", "ReduceSum"),  # depend on the whole map
    *("ConvTranspose", "Upsample"),  # enlarge the map
}
_REPEATING = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


@dataclass(frozen=True)
class ReceptiveField:
    """Pixels that cell ``i`` of the map depends on along each axis: ``stride_px · i - before_px`` to ``… + after_px``.

    Attributes:
        stride_px: Distance of neighbouring cells, in pixels.
        before_px: Number of pixels before the cell's first pixel.
        after_px: Number of pixels after the cell's first pixel.
    """

    stride_px: int
    before_px: int
    after_px: int

    @property
    def size_px(self) -> int:
        """Number of pixels that a cell depends on along an axis."""
        return self.before_px + 1 + self.after_px

    def cells_hw(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """Number of rows and columns that the map of an image has.

        Args:
            size_hw: Height and width of the image, in pixels.
        """
        return -(-size_hw[0] // self.stride_px), -(-size_hw[1] // self.stride_px)

    def joined(self, finer: ReceptiveField) -> ReceptiveField:
        """Pixels that a cell and all cells of a finer map inside it depend on, at this map's stride.

        Args:
            finer: Receptive field of a map whose stride divides that of this one.
        """
        return ReceptiveField(
            self.stride_px,
            max(self.before_px, finer.before_px),
            max(self.after_px, finer.after_px + self.stride_px - finer.stride_px),
        )

    @property
    def halo_px(self) -> int:
        """Width of the halo on each side: the smallest multiple of the stride that covers the receptive field."""
        beyond = max(self.before_px, self.after_px - (self.stride_px - 1), 0)
        return -(-beyond // self.stride_px) * self.stride_px


@dataclass(frozen=True)
class Window:
    """A part of the map and the pixels that it is computed from, as (start, stop) along each axis.

    Attributes:
        rows: Rows of cells that are taken from the window.
        columns: Columns of cells that are taken from the window.
        y: Rows of pixels that the network is given.
        x: Columns of pixels that the network is given.
        stride_px: Number of pixels per cell, along each axis.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    y: tuple[int, int]
    x: tuple[int, int]
    stride_px: int

    @property
    def n_pixels(self) -> int:
        """Number of pixels that the network is given."""
        return (self.y[1] - self.y[0]) * (self.x[1] - self.x[0])

    @property
    def inside(self) -> tuple[slice, slice]:
        """Rows and columns of the taken cells in the map of the window alone."""
        top, left = self.y[0] // self.stride_px, self.x[0] // self.stride_px
        return (
            slice(self.rows[0] - top, self.rows[1] - top),
            slice(self.columns[0] - left, self.columns[1] - left),
        )


def receptive_field(
    graph: onnx.GraphProto, output: str = "feature_map", *, inputs: Mapping[str, ReceptiveField] | None = None
) -> ReceptiveField:
    """Compute the receptive field of a graph's output from kernels, strides, paddings and dilations.

    Where several ways lead to the output (shortcuts), the widest counts. Of the operations that enlarge a map, one is
    known: it repeats each cell by a whole number that is written in the graph.

    Args:
        graph: Graph of a backbone or a bundle.
        output: Name of a value with the shape (n, d, h, w).
        inputs: Receptive fields of the graph's inputs; pixels if left out.

    Raises:
        BundleError: If no path leads from the input to the output, if paths have different strides, or if a node
            depends on the whole map.
    """
    fields = {value.name: ReceptiveField(1, 0, 0) for value in graph.input} | dict(inputs or {})
    weights = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    numbers = {tensor.name: tensor for tensor in graph.initializer}
    for node in needed_nodes(graph, [output]):
        if node.op_type in _SHAPES:
            continue
        seen = [fields[name] for name in node.input if name in fields]
        if not seen:
            if node.op_type == "DequantizeLinear" and node.input[0] in weights:  # of an int8 bundle
                weights[node.output[0]] = weights[node.input[0]]
            continue
        if node.op_type in _BOUNDLESS:
            raise BundleError(
                f"node '{node.name}' ({node.op_type}) depends on the whole map or enlarges it, so there is no "
                "receptive field. Choose a backbone of convolutions and pooling."
            )
        if len({field.stride_px for field in seen}) > 1:
            raise BundleError(
                f"node '{node.name}' joins maps of different strides, so the graph has no receptive field."
            )
        field = ReceptiveField(seen[0].stride_px, max(one.before_px for one in seen), max(one.after_px for one in seen))
        field = _slid(field, node, weights) if node.op_type in _SLIDING else field
        field = _repeated(field, node, numbers) if node.op_type == "Resize" else field
        fields.update(dict.fromkeys(node.output, field))
        if output in node.output:
            return field
    raise BundleError(f"the graph computes no '{output}' from its pixels. Train the bundle again.")


def _slid(field: ReceptiveField, node: onnx.NodeProto, weights: dict[str, list[int]]) -> ReceptiveField:
    """Compute the receptive field after a sliding kernel; the wider of its two axes counts."""
    settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    kernel = settings.get("kernel_shape") or weights[node.input[1]][2:]  # a convolution may leave it out
    strides, dilations = (settings.get(name, [1] * len(kernel)) for name in ("strides", "dilations"))
    if (padding := settings.get("auto_pad", b"NOTSET").decode()).startswith("SAME"):
        raise BundleError(
            f"node '{node.name}' is padded by the map's size ({padding}), which moves the cells of a window."
        )
    pads = settings.get("pads", [0] * (2 * len(kernel)))[: len(kernel)]
    if len(set(strides)) > 1:
        raise BundleError(f"node '{node.name}' has strides {list(strides)}; they must be equal.")
    before = max(pads)
    after = max((size - 1) * dilation - pad for size, dilation, pad in zip(kernel, dilations, pads, strict=True))
    return ReceptiveField(
        field.stride_px * strides[0],
        field.before_px + field.stride_px * before,
        field.after_px + field.stride_px * after,
    )


def _repeated(field: ReceptiveField, node: onnx.NodeProto, numbers: dict[str, onnx.TensorProto]) -> ReceptiveField:
    """Compute the receptive field after each cell was repeated along both axes."""
    settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    rule = {name: settings.get(name, b"").decode() for name in _REPEATING}
    scales = numbers.get(node.input[2]) if len(node.input) == 3 else None  # a fourth input would be a size
    factors = [] if scales is None else numpy_helper.to_array(scales).tolist()
    if rule != _REPEATING or factors[:2] != [1, 1] or len(set(factors[2:])) != 1 or field.stride_px % factors[2]:
        raise BundleError(
            f"node '{node.name}' (Resize) enlarges the map otherwise than by repeating each cell a whole number of "
            "times, so there is no receptive field. Choose a network of convolutions and pooling."
        )
    stride_px = int(field.stride_px // factors[2])
    # The last of the repeated cells lies farthest from the pixels before the cell.
    return ReceptiveField(stride_px, field.before_px + field.stride_px - stride_px, field.after_px)


def cut_windows(size_hw: tuple[int, int], field: ReceptiveField, core_hw: tuple[int, int]) -> Iterator[Window]:
    """Cut a photo into windows that together give every cell of the map once, row by row.

    Args:
        size_hw: Height and width of the photo as the network sees it, in pixels.
        field: Receptive field, from `receptive_field`.
        core_hw: Height and width of a window without halo, in pixels, multiples of the stride. The last windows may be
            smaller.

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


@lru_cache(maxsize=64)  # photos of one camera have one size
def tidy_cut(size_hw: tuple[int, int], field: ReceptiveField, *, max_pixels: int) -> tuple[int, int]:
    """Choose the size of windows, without halo, that cover a photo with the least computation.

    Halos are computed and thrown away, so they cost time.

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
    """Lengths that cut an axis into 1, 2, 3, … stretches of about the same length."""
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
