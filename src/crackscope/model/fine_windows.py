"""Fine windows: the fine map of a photo, computed window by window, and only where it is wanted.

The decoder of a bundle is needed in few places. So its graph is opened in two parts. The trunk gives the logit map of a
window and the inner maps. The decoder goes on from these in *blocks* of the window that are likely to show a crack. A
decoder sees little around a cell, so a block needs a narrow margin. Which cells are wanted is known when the whole
logit map is there. Windows with a block that was wrongly taken for unlikely are then computed again. So the result does
not depend on windows and blocks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import cv2
import numpy as np

from crackscope.arrays import BoolArray, Float32Array, UInt8Array
from crackscope.errors import BundleError
from crackscope.files.fork_lock import ForkLock
from crackscope.model.bundle import Bundle
from crackscope.model.fine_graph import FINE_MAP, decoder_of, decoder_part, trunk_part
from crackscope.model.sessions import Network, graph_of, open_graph, window_pixels
from crackscope.model.windows import ReceptiveField, Window, cut_windows, receptive_field

__all__ = ["FineCells", "FineNetwork"]


BLOCK_PX = 256
"""Side of a block in pixels, a multiple of the strides of all maps."""

WINDOW_SHARE = 0.4
"""Share of the usual pixels that a window may have: the inner maps of a window are kept until it is decoded."""

_opening = ForkLock()


@dataclass(frozen=True, eq=False)
class FineCells:
    """The fine map of a photo, as far as it was computed.

    Attributes:
        values: Probability that a crack's line passes through each cell, shape (h, w), float32, in [0, 1]; 0 where it
            was not computed.
        computed: Whether it was computed, for each cell of the logit map, shape (h, w) of that map.
        size_hw: Height and width of the photo as the network sees it, in pixels.
        core_hw: Height and width of the windows without halo, in pixels.
    """

    values: Float32Array
    computed: BoolArray
    size_hw: tuple[int, int]
    core_hw: tuple[int, int]

    @property
    def ratio(self) -> int:
        """Number of fine cells along a side of a cell of the logit map."""
        return int(self.values.shape[0] // self.computed.shape[0])


class FineNetwork:
    """The graph of a bundle with a fine map, opened in two parts. Safe to use from several threads.

    Args:
        bundle: Bundle with a fine map.
        network: Network of the same bundle; windows are computed on its threads.

    Raises:
        BundleError: If the bundle has no fine map.
    """

    def __init__(self, bundle: Bundle, network: Network) -> None:
        if bundle.card.fine_map is None:
            raise BundleError(
                f"{bundle.name}: the model has no fine map. Ask for none, or give a model whose card has 'fine_map'."
            )
        self._bundle, self._network = bundle, network
        self._stride_px = bundle.card.fine_map.stride_px
        self._label = bundle.card.labels.index("crack")
        self._process = -1
        self._block_px = max(BLOCK_PX, network.field.stride_px)

    @cached_property
    def field(self) -> ReceptiveField:
        """Pixels that a cell of the logit map, and all fine cells inside it, depend on.

        Raises:
            BundleError: If one of the maps has no receptive field.
        """
        return self._network.field.joined(receptive_field(graph_of(self._bundle), FINE_MAP))

    def maps(
        self, pixels: UInt8Array, *, likely_from: float, reach_cells: int = 0, window_px: int | None = None
    ) -> tuple[Float32Array, FineCells]:
        """Compute the logit map as `Network.logit_map` does, and the fine map where it is likely to be wanted.

        Args:
            pixels: Image, an array (H, W, 3), uint8, RGB, at the network's scale.
            likely_from: Logit; the fine map is computed around each cell that reaches it.
            reach_cells: Number of cells around such a cell where the fine map is computed, too.
            window_px: Side of a window without its halo, a multiple of the stride; chosen by memory if left out.

        Returns:
            Logits of shape (h, w), and the fine map, for `completed`.

        Raises:
            BundleError: If the graph gives something that is not a number.
            DataError: If `window_px` is no multiple of the stride.
        """
        size_hw = pixels.shape[0], pixels.shape[1]
        cells_hw, ratio = self.field.cells_hw(size_hw), self.field.stride_px // self._stride_px
        logits = np.empty(cells_hw, np.float32)
        values = np.zeros((cells_hw[0] * ratio, cells_hw[1] * ratio), np.float32)
        core_hw = self._network.window_hw(size_hw, self.field, window_px=window_px, share=WINDOW_SHARE)
        fine = FineCells(values, np.zeros(cells_hw, np.bool_), size_hw, core_hw)

        def likely(window: Window, found: Float32Array) -> BoolArray:
            above = (found >= likely_from).astype(np.uint8)
            near = cv2.dilate(above, np.ones((2 * reach_cells + 1,) * 2, np.uint8)) > 0
            return np.asarray(near[window.inside], np.bool_)

        self._run(pixels, cut_windows(size_hw, self.field, core_hw), fine, logits, likely)
        self._network.require(logits, "logit_map")
        self._network.require(values, FINE_MAP)
        return logits, fine

    def completed(self, fine: FineCells, pixels: UInt8Array, wanted: BoolArray) -> Float32Array:
        """Compute the fine map where it is wanted and was not computed yet.

        Args:
            fine: Fine map, from `maps`; it is changed.
            pixels: The same image.
            wanted: Whether the fine map is wanted, for each cell of the logit map, shape (h, w).

        Returns:
            The fine map, shape (h, w) in its own cells, float32; 0 where it is not wanted.

        Raises:
            BundleError: If the graph gives something that is not a number.
        """
        missing = wanted & ~fine.computed
        windows = [
            window
            for window in cut_windows(fine.size_hw, self.field, fine.core_hw)
            if missing[slice(*window.rows), slice(*window.columns)].any()
        ]

        def left(window: Window, _: Float32Array) -> BoolArray:
            return missing[slice(*window.rows), slice(*window.columns)]

        self._run(pixels, windows, fine, np.empty(wanted.shape, np.float32), left)
        self._network.require(fine.values, FINE_MAP)
        return fine.values * np.repeat(np.repeat(wanted, fine.ratio, 0), fine.ratio, 1)

    def _run(
        self,
        pixels: UInt8Array,
        windows: Iterable[Window],
        fine: FineCells,
        logits: Float32Array,
        choose: Callable[[Window, Float32Array], BoolArray],
    ) -> None:
        """Fill in the logits of windows, and the fine map of blocks with a chosen cell.

        Args:
            pixels: The image.
            windows: The windows.
            fine: Fine map, which is filled in.
            logits: Logits of the image, which are filled in.
            choose: Function from a window and all its logits to whether each cell that is taken from it is chosen.
        """
        opened = self._own_sessions()

        def run(window: Window) -> None:
            found, *maps = opened.trunk.run(["logit_map", *opened.inner], {"pixels": window_pixels(pixels, window)})
            own = found[0, self._label]
            logits[slice(*window.rows), slice(*window.columns)] = own[window.inside]
            chosen = np.zeros(own.shape, np.bool_)
            chosen[window.inside] = choose(window, own)
            for block in self._blocks(window, chosen):
                self._decode(maps, window, block, fine)

        self._network.run_windows(run, windows)

    def _blocks(self, window: Window, chosen: BoolArray) -> list[tuple[slice, slice]]:
        """Rows and columns, in cells of the window, of blocks with a chosen cell.

        If more than half of the blocks have one, the whole window is one block: margins would cost more.
        """
        side = self._block_px // self.field.stride_px
        rows, columns = (
            [
                slice(max(at, one.start), min(at + side, one.stop))
                for at in range(one.start // side * side, one.stop, side)
            ]
            for one in window.inside
        )
        found = [block for block in product(rows, columns) if chosen[block].any()]
        return [window.inside] if 2 * len(found) > len(rows) * len(columns) else found

    def _decode(
        self, maps: Sequence[Float32Array], window: Window, block: tuple[slice, slice], fine: FineCells
    ) -> None:
        """Compute the fine map of a block from the inner maps of its window."""
        opened, stride_px = self._own_sessions(), self.field.stride_px
        unit_px, margin_px = opened.unit_px, opened.margin_px
        # Maps are cut at multiples of every stride, so they keep their grids.
        top, left = (max(0, (one.start * stride_px - margin_px) // unit_px * unit_px) for one in block)
        bottom, right = (-(-(one.stop * stride_px + margin_px) // unit_px) * unit_px for one in block)
        cut = {
            name: np.ascontiguousarray(whole[:, :, top // px : bottom // px, left // px : right // px])
            for name, whole, px in zip(opened.inner, maps, opened.strides_px, strict=True)
        }
        values = opened.decoder.run([FINE_MAP], cut)[0][0, self._label]
        inside = _moved(block, [-top // stride_px, -left // stride_px])
        place = _moved(block, [window.rows[0] - window.inside[0].start, window.columns[0] - window.inside[1].start])
        fine.values[_finer(place, fine.ratio)] = values[_finer(inside, fine.ratio)]
        fine.computed[place] = True

    def _own_sessions(self) -> _Opened:
        """Give trunk and decoder, opened in this process."""
        with _opening:
            if self._process != os.getpid():
                self._opened, self._process = _open(self._bundle), os.getpid()
            return self._opened


class _Opened(NamedTuple):
    """Sessions of trunk and decoder, and the maps between them.

    Attributes:
        trunk: Session from pixels to the logit map and the inner maps.
        decoder: Session from the inner maps to the fine map.
        inner: Names of the inner maps.
        strides_px: Stride of each inner map, in pixels.
        unit_px: Least common multiple of all strides, in pixels.
        margin_px: Width of the margin that a block needs on each side, in pixels, a multiple of `unit_px`.
    """

    trunk: Any
    decoder: Any
    inner: tuple[str, ...]
    strides_px: tuple[int, ...]
    unit_px: int
    margin_px: int


def _open(bundle: Bundle) -> _Opened:
    graph = graph_of(bundle)
    decoder = decoder_of(graph)
    assert decoder is not None  # the card has a fine map, and the two were compared
    parts = trunk_part(graph, decoder.inner), decoder_part(graph)
    trunk, fine = (open_graph(part, bundle.name) for part in parts)
    strides = tuple(receptive_field(graph, name).stride_px for name in decoder.inner)
    maps = {name: ReceptiveField(px, 0, 0) for name, px in zip(decoder.inner, strides, strict=True)}
    seen = receptive_field(parts[1], FINE_MAP, inputs=maps)
    # Before a block that starts with a cell of the widest stride, repeating that cell adds nothing.
    beyond_px = max(seen.before_px - (max(strides) - seen.stride_px), seen.after_px, 1)
    unit_px = math.lcm(*strides, receptive_field(graph, "logit_map").stride_px)
    return _Opened(trunk, fine, decoder.inner, strides, unit_px, -(-beyond_px // unit_px) * unit_px)


def _moved(place: tuple[slice, slice], by: Sequence[int]) -> tuple[slice, slice]:
    rows, columns = (slice(one.start + step, one.stop + step) for one, step in zip(place, by, strict=True))
    return rows, columns


def _finer(place: tuple[slice, slice], ratio: int) -> tuple[slice, slice]:
    """Rows and columns of the fine cells inside some cells of the logit map."""
    rows, columns = (slice(one.start * ratio, one.stop * ratio) for one in place)
    return rows, columns
