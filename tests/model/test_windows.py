"""A window's halo holds all that its cells see and no more, and windows give every cell of the map once."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import crackscope
from crackscope.errors import BundleError
from crackscope.model import windows
from crackscope.model.bundle import read_backbone
from crackscope.model.graphs import MULTIPLE_PX
from crackscope.model.windows import ReceptiveField, cut_windows, receptive_field, tidy_cut
from shared.models import tiny_trunk

LOUD = 1e6
"""Added to a pixel. Weights are positive, so it is heard through every average and every maximum."""


class Layers:
    """A network that is built layer by layer, with positive random weights."""

    def __init__(self, seed: int = 0) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.last = "x"
        self._rng = np.random.default_rng(seed)

    def add(self, kind: str, *, kernel: tuple[int, int], source: str | None = None, **settings: Any) -> str:
        source, name = source or self.last, f"v{len(self.nodes)}"
        inputs = [source]
        if kind == "Conv":
            weight = self._rng.uniform(0.5, 1, (1, 1, *kernel)).astype(np.float32) / (kernel[0] * kernel[1])
            self.weights.append(numpy_helper.from_array(weight, f"w{len(self.nodes)}"))
            inputs.append(self.weights[-1].name)
        else:
            settings["kernel_shape"] = kernel  # of a convolution, its weight tells
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **settings))
        self.last = name
        return name

    def repeat(self, factor: int, **changes: str) -> str:
        rule = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"} | changes
        self.weights.append(numpy_helper.from_array(np.array([1, 1, factor, factor], np.float32), "scales"))
        self.nodes.append(helper.make_node("Resize", [self.last, "", "scales"], ["repeated"], "enlarge", **rule))
        self.last = "repeated"
        return self.last

    def join(self, one: str, other: str) -> str:
        self.last = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node("Add", [one, other], [self.last], self.last))
        return self.last

    def graph(self) -> onnx.GraphProto:
        value = helper.make_tensor_value_info
        result = helper.make_node("Identity", [self.last], ["feature_map"], "result")
        return helper.make_graph(
            [*self.nodes, result],
            "layers",
            [value("x", TensorProto.FLOAT, ["n", 1, "H", "W"])],
            [value("feature_map", TensorProto.FLOAT, ["n", 1, "h", "w"])],
            initializer=self.weights,
        )


def seen_by_trying(graph: onnx.GraphProto, field: ReceptiveField, *, later: int = 0) -> list[tuple[int, int]]:
    """What a cell sees before and after its first pixel, along both axes: each line of pixels is changed in turn."""
    side = field.size_px + 2 * field.stride_px if later == 0 else (-(-field.size_px // 16) + 3) * 16
    cell = -(-max(0, field.before_px) // field.stride_px) + later  # one whose field lies inside
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    pictures = np.tile(
        np.random.default_rng(0).uniform(-1, 1, (1, 1, side, side)).astype(np.float32), (side + 1, 1, 1, 1)
    )
    found = []
    for axis in (2, 3):
        changed = pictures.copy()
        for i in range(side):
            np.moveaxis(changed[i], axis - 1, 0)[i] += LOUD
        maps = np.moveaxis(session.run(None, {"x": changed})[0], axis, 1)[:, cell]
        heard = np.nonzero((maps[:-1] != maps[-1:]).reshape(side, -1).any(1))[0]
        found.append((cell * field.stride_px - int(heard.min()), int(heard.max()) - cell * field.stride_px))
    return found


@st.composite
def layered(draw: st.DrawFn, *, square: bool = True) -> onnx.GraphProto:
    """Chains of convolutions, pooling and shortcuts with every kind of stride, dilation and padding."""
    layers = Layers(draw(st.integers(0, 9)))
    for _ in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from(["Conv", "Conv", "MaxPool", "AveragePool", "shortcut"]))
        sizes = [draw(st.integers(1, 5))] * 2 if square else [draw(st.integers(1, 5)) for _ in "hw"]
        dilation = draw(st.integers(1, 3)) if kind != "AveragePool" else 1
        limits = [size - 1 if kind.endswith("Pool") else (size - 1) * dilation for size in sizes]
        before = [draw(st.integers(0, limits[0]))] * 2 if square else [draw(st.integers(0, limit)) for limit in limits]
        settings: dict[str, Any] = {"dilations": [dilation] * 2} if dilation > 1 else {}
        if kind == "shortcut":
            after = [limit - first for limit, first in zip(limits, before, strict=True)]
            source = layers.last
            branch = layers.add("Conv", kernel=(sizes[0], sizes[1]), pads=[*before, *after], **settings)
            layers.join(branch, source)
        else:
            after = [draw(st.integers(0, limit)) for limit in limits]
            settings["strides"] = [draw(st.integers(1, 3))] * 2
            if any(before) or any(after):
                settings["pads"] = [*before, *after]
            layers.add(kind, kernel=(sizes[0], sizes[1]), **settings)
    return layers.graph()


# What a cell sees


@settings(max_examples=60, deadline=None)
@given(layered())
def test_the_field_is_what_changes_a_cell_and_no_pixel_more(graph: onnx.GraphProto) -> None:
    field = receptive_field(graph)
    assert seen_by_trying(graph, field) == [(field.before_px, field.after_px)] * 2


@settings(max_examples=25, deadline=None)
@given(layered(square=False))
def test_the_field_holds_along_both_axes_where_kernels_are_not_square(graph: onnx.GraphProto) -> None:
    field = receptive_field(graph)
    for before, after in seen_by_trying(graph, field):
        assert before <= field.before_px
        assert after <= field.after_px


def test_the_wider_axis_of_a_kernel_counts() -> None:
    layers = Layers()
    layers.add("Conv", kernel=(1, 7), pads=[0, 2, 0, 4])
    field = receptive_field(layers.graph())
    assert (field.before_px, field.after_px) == (2, 4)
    assert seen_by_trying(layers.graph(), field) == [(0, 0), (2, 4)]


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("kernel", [1, 3])
def test_where_cells_are_repeated_the_cell_that_sees_most_counts_on_either_side(factor: int, kernel: int) -> None:
    """A fine cell sees what the coarse cell sees that it lies in, so fine cells see unlike far before themselves."""
    layers = Layers()
    for _ in range(2):
        layers.add("Conv", kernel=(3, 3), strides=[2, 2], pads=[0, 0, 1, 1])
    layers.repeat(factor)
    layers.add("Conv", kernel=(kernel, kernel), pads=[kernel // 2] * 4)
    graph = layers.graph()
    field = receptive_field(graph)
    assert field.stride_px == 4 // factor
    for axis in (0, 1):
        seen = [seen_by_trying(graph, field, later=later)[axis] for later in range(factor, 2 * factor)]
        assert (max(before for before, _ in seen), max(after for _, after in seen)) == (field.before_px, field.after_px)


def test_of_several_ways_the_widest_counts_on_either_side() -> None:
    layers = Layers()
    left = layers.add("Conv", kernel=(5, 5), source="x", pads=[4, 4, 0, 0])
    right = layers.add("Conv", kernel=(3, 3), source="x", pads=[0, 0, 2, 2])
    layers.join(left, right)
    field = receptive_field(layers.graph())
    assert field == ReceptiveField(1, 4, 2)
    assert seen_by_trying(layers.graph(), field) == [(4, 2)] * 2


def test_the_field_of_the_tiny_trunk_by_hand(backbone_file: Any) -> None:
    """Five 3 × 3 kernels of stride 2, padded after: 2 · (1 + 2 + 4 + 8 + 16) pixels after the first."""
    expected = ReceptiveField(32, 0, 62)
    assert receptive_field(tiny_trunk(), "r4") == expected
    assert receptive_field(read_backbone(backbone_file).graph) == expected
    assert (expected.size_px, expected.halo_px) == (63, 32)


def test_the_field_of_the_default_bundle_is_that_of_a_mobilenet_v2_to_block_13() -> None:
    field = receptive_field(onnx.load_model_from_string(crackscope.read_bundle().content).graph)
    assert field.stride_px == 16
    assert field.size_px == 267
    assert field.halo_px == 144


def test_what_follows_from_a_size_alone_sees_no_pixel() -> None:
    layers = Layers()
    layers.add("Conv", kernel=(3, 3), strides=[2, 2])
    node = helper.make_node
    layers.nodes += [node("Shape", ["x"], ["size"]), node("Cast", ["size"], ["floats"], to=TensorProto.FLOAT)]
    layers.nodes += [node("ReduceMax", ["floats"], ["most"], keepdims=0), node("Mul", [layers.last, "most"], ["v9"])]
    layers.last = "v9"
    assert receptive_field(layers.graph()) == ReceptiveField(2, 0, 2)


def test_an_output_in_the_middle_has_a_smaller_field(backbone_file: Any) -> None:
    assert receptive_field(tiny_trunk(), "c0") == ReceptiveField(2, 0, 2)
    assert receptive_field(tiny_trunk(), "r2") == ReceptiveField(8, 0, 14)


def test_what_has_no_field_is_refused() -> None:
    with pytest.raises(BundleError, match="computes no 'feature_map' from its pixels"):
        receptive_field(tiny_trunk())
    uneven = Layers()
    uneven.add("Conv", kernel=(3, 3), strides=[1, 2])
    with pytest.raises(BundleError, match=r"node 'v0' has strides \[1, 2\]"):
        receptive_field(uneven.graph())
    mixed = Layers()
    one, two = (mixed.add("Conv", kernel=(3, 3), source="x", strides=[n, n]) for n in (1, 2))
    mixed.join(one, two)
    with pytest.raises(BundleError, match="node 'v2' joins maps of different strides"):
        receptive_field(mixed.graph())


def test_a_constant_is_no_way_to_the_output() -> None:
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["feature_map"])], "constant", [], [])
    with pytest.raises(BundleError, match="from its pixels"):
        receptive_field(graph)


@pytest.mark.parametrize("kind", ["GlobalAveragePool", "GlobalMaxPool", "ReduceMean"])
def test_a_network_that_looks_at_the_whole_photo_is_refused(kind: str) -> None:
    """As a squeeze-and-excitation block does: no halo would be large enough."""
    layers = Layers()
    source = layers.add("Conv", kernel=(3, 3), pads=[1, 1, 1, 1])
    layers.nodes.append(helper.make_node(kind, [source], ["whole"], "squeeze"))
    layers.nodes.append(helper.make_node("Mul", [source, "whole"], ["excited"]))
    layers.last = "excited"
    with pytest.raises(BundleError, match=rf"node 'squeeze' \({kind}\) .* no receptive field"):
        receptive_field(layers.graph())


@pytest.mark.parametrize("kind", ["Resize", "ConvTranspose"])
def test_a_network_that_enlarges_its_maps_is_refused(kind: str) -> None:
    layers = Layers()
    layers.nodes.append(helper.make_node(kind, ["x", "w"], ["larger"], "enlarge"))
    layers.last = "larger"
    with pytest.raises(BundleError, match="node 'enlarge'"):
        receptive_field(layers.graph())


@pytest.mark.parametrize(
    ("factor", "changes"),
    [(3, {}), (8, {}), (2, {"mode": "linear"}), (2, {"nearest_mode": "ceil"}), (2, {"mode": "cubic"})],
)
def test_cells_that_are_enlarged_otherwise_than_repeated_are_refused(factor: int, changes: dict[str, str]) -> None:
    layers = Layers()
    layers.add("Conv", kernel=(2, 2), strides=[4, 4])
    layers.repeat(factor, **changes)
    with pytest.raises(BundleError, match=r"node 'enlarge' \(Resize\) enlarges the map otherwise than by repeating"):
        receptive_field(layers.graph())


@given(
    st.builds(ReceptiveField, st.just(16), st.integers(-20, 200), st.integers(0, 200)),
    st.builds(ReceptiveField, st.sampled_from([1, 2, 4, 8, 16]), st.integers(-20, 200), st.integers(0, 200)),
)
def test_a_joined_field_holds_those_of_all_finer_cells(coarse: ReceptiveField, finer: ReceptiveField) -> None:
    joined = coarse.joined(finer)
    assert joined.stride_px == coarse.stride_px
    assert joined.before_px >= coarse.before_px
    assert joined.after_px >= coarse.after_px
    for start in range(0, 16, finer.stride_px):
        assert -joined.before_px <= start - finer.before_px
        assert start + finer.after_px <= joined.after_px


def test_padding_that_depends_on_the_size_is_refused() -> None:
    """With SAME_UPPER the grid of cells moves with the size of a window."""
    layers = Layers()
    layers.add("Conv", kernel=(3, 3), strides=[2, 2], auto_pad="SAME_UPPER")
    with pytest.raises(BundleError, match=r"node 'v0' is padded by the map's size \(SAME_UPPER\)"):
        receptive_field(layers.graph())
    plain = Layers()
    plain.add("Conv", kernel=(3, 3), auto_pad="NOTSET", pads=[1, 1, 1, 1])
    assert receptive_field(plain.graph()) == ReceptiveField(1, 1, 1)


# Windows


FIELDS = st.builds(
    ReceptiveField,
    stride_px=st.sampled_from([1, 2, 7, 16, 32]),
    before_px=st.integers(0, 90),
    after_px=st.integers(0, 90),
)
CELLS = st.integers(1, 7)


@settings(deadline=None)
@given(FIELDS)
def test_the_halo_is_the_smallest_multiple_of_the_stride_that_covers_the_field(field: ReceptiveField) -> None:
    stride, halo = field.stride_px, field.halo_px

    def covers(px: int) -> bool:
        """The first cell of a window looks back, the last one, whose first pixel is `stride` before the end, ahead."""
        return px >= field.before_px and px >= field.after_px - (stride - 1)

    assert halo % stride == 0
    assert covers(halo)
    assert halo == 0 or not covers(halo - stride)


@settings(deadline=None)
@given(FIELDS, st.integers(1, 300), st.integers(1, 300), CELLS, CELLS)
def test_windows_give_every_cell_once_from_pixels_of_the_photo(
    field: ReceptiveField, height: int, width: int, rows: int, columns: int
) -> None:
    stride = field.stride_px
    counts = np.zeros((-(-height // stride), -(-width // stride)), int)
    for window in cut_windows((height, width), field, (rows * stride, columns * stride)):
        counts[slice(*window.rows), slice(*window.columns)] += 1
        assert window.stride_px == stride
        assert window.n_pixels == len(range(*window.y)) * len(range(*window.x))
        for cells, pixels, size, inside in zip(
            (window.rows, window.columns), (window.y, window.x), (height, width), window.inside, strict=True
        ):
            assert 0 <= pixels[0] < pixels[1] <= size
            assert pixels[0] % math.lcm(stride, MULTIPLE_PX) == 0  # a window is padded where the photo would be
            assert pixels[1] % stride == 0 or pixels[1] == size  # so that only the photo's own end is padded
            n_cells_of_window = -(-(pixels[1] - pixels[0]) // stride)
            assert 0 <= inside.start < inside.stop <= n_cells_of_window
            assert inside.start + pixels[0] // stride == cells[0]
            assert inside.stop - inside.start == cells[1] - cells[0]
            # Everything that the first and the last cell see lies inside, as far as the photo has it.
            assert pixels[0] <= max(0, cells[0] * stride - field.before_px)
            assert pixels[1] >= min(size, (cells[1] - 1) * stride + field.after_px + 1)
    assert (counts == 1).all()


def test_windows_come_row_by_row() -> None:
    field = ReceptiveField(32, 0, 31)
    corners = [(one.y[0], one.x[0]) for one in cut_windows((100, 130), field, (64, 64))]
    assert corners == [*itertools.product((0, 64), (0, 64, 128))]


# The cut


def cost(size_hw: tuple[int, int], field: ReceptiveField, core_hw: tuple[int, int]) -> int:
    return sum(window.n_pixels for window in cut_windows(size_hw, field, core_hw))


def largest(size_hw: tuple[int, int], field: ReceptiveField, core_hw: tuple[int, int]) -> int:
    return max(window.n_pixels for window in cut_windows(size_hw, field, core_hw))


SMALL_FIELDS = st.builds(
    ReceptiveField, stride_px=st.sampled_from([8, 16, 32]), before_px=st.integers(0, 60), after_px=st.integers(0, 60)
)


@settings(max_examples=60, deadline=None)
@given(SMALL_FIELDS, st.integers(1, 260), st.integers(1, 260), st.integers(1, 80_000))
def test_the_cut_is_the_cheapest_into_even_stretches_that_the_limit_allows(
    field: ReceptiveField, height: int, width: int, max_pixels: int
) -> None:
    size_hw, stride = (height, width), field.stride_px
    found = tidy_cut(size_hw, field, max_pixels=max_pixels)
    assert all(side % stride == 0 for side in found)
    if largest(size_hw, field, (stride, stride)) > max_pixels:
        assert found == (stride, stride)
        return
    assert largest(size_hw, field, found) <= max_pixels
    cuts = [{-(-n // k) * stride for k in range(1, n + 1)} for n in (-(-side // stride) for side in size_hw)]
    allowed = [core for core in itertools.product(cuts[0], cuts[1]) if largest(size_hw, field, core) <= max_pixels]
    assert cost(size_hw, field, found) == min(cost(size_hw, field, core) for core in allowed)


@settings(deadline=None)
@given(SMALL_FIELDS, st.integers(1, 2000), st.integers(1, 2000))
def test_of_a_photo_that_fits_no_pixel_is_computed_twice(field: ReceptiveField, height: int, width: int) -> None:
    core = tidy_cut((height, width), field, max_pixels=height * width)
    assert cost((height, width), field, core) == height * width


@pytest.mark.parametrize("size_hw", [(16, 30_000), (30_000, 16), (12_000, 25_000), (1, 1)])
def test_any_photo_is_cut_within_the_limit(size_hw: tuple[int, int]) -> None:
    field = ReceptiveField(32, 214, 276)
    core = tidy_cut(size_hw, field, max_pixels=4_000_000)
    assert largest(size_hw, field, core) <= 4_000_000
    assert cost(size_hw, field, core) < 2 * size_hw[0] * size_hw[1]


def test_every_public_name_is_documented() -> None:
    assert [name for name in windows.__all__ if not getattr(windows, name).__doc__] == []
