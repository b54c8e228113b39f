"""Sessions: running a graph with ONNX Runtime, patch by patch, and a photo window by window.

Each run of a graph takes one thread, and several runs go side by side. On a CPU that is the fastest per image, since
the activations of one image stay in the cache; and so neither the order nor the company of an image, nor the number of
threads, can touch a result. Of the process, one thing is set here: ONNX Runtime's telemetry is switched off.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import onnx

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.errors import BundleError, DataError
from crackscope.files.fork_lock import ForkLock
from crackscope.files.streaming import default_threads
from crackscope.model.bundle import Bundle
from crackscope.model.fine_graph import FINE_MAP, without_decoder
from crackscope.model.gate_graph import CONCRETE, NOVELTY
from crackscope.model.graphs import make_model
from crackscope.model.preprocessing import resize_patch
from crackscope.model.windows import ReceptiveField, Window, cut_windows, receptive_field, tidy_cut

__all__ = [
    "GateSigns",
    "Network",
    "graph_of",
    "open_bundle",
    "open_graph",
    "open_session",
    "run_patches",
    "window_pixels",
]

WINDOW_PIXELS = 3_800_000
"""Pixels, with halo, of all windows that are computed at the same time; MobileNetV2 takes some 200 bytes per pixel."""

LEAST_WINDOW_PIXELS = 1_200_000
"""Least limit for the pixels of one window, whatever the number of threads. A smaller window would be mostly halo,
which is computed and thrown away."""

WINDOW_PIXELS_OF_LARGE, LEAST_WINDOW_PIXELS_OF_LARGE = 1_400_000, 700_000
"""Both limits for a photo of at least `LARGE_PIXELS` for the network, since it takes much memory itself."""

LARGE_PIXELS = 16_000_000
"""Number of pixels from which a photo counts as large."""


_ROUNDING = 1e-6
"""What a runtime's sigmoid may give beyond 0 or 1; graphs of today cut it off, those of the first version do not."""

_opening = ForkLock()


class GateSigns(NamedTuple):
    """What the graph tells the gate about a patch.

    Attributes:
        novelty: Squared distance of its features to the plane of training features, from 0.
        concrete: What the gate's classifier says, in [0, 1]; None for a gate without one.
    """

    novelty: float
    concrete: float | None = None


class Network:
    """The graph of a bundle, opened once in each process that uses it. Safe to use from several threads.

    Args:
        bundle: A bundle from `crackscope.model.bundle.read_bundle`.
        threads: Number of windows of a photo that are computed at the same time; all cores if left out.
        max_pixels: Greatest number of pixels of a window, halo included; chosen by the number of threads if left out.

    Raises:
        BundleError: If ONNX Runtime cannot run the graph.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, max_pixels: int | None = None) -> None:
        self._bundle = bundle
        self.threads = threads or default_threads()
        self._max_pixels = max_pixels
        self._label = bundle.card.labels.index("crack")
        gate = bundle.card.gate
        self._signs = [] if gate is None else [NOVELTY] if gate.min_concrete is None else [NOVELTY, CONCRETE]
        self._process = -1
        self._own_session()

    @cached_property
    def field(self) -> ReceptiveField:
        """Receptive field: the pixels that a cell of the map depends on.

        Raises:
            BundleError: If the graph has no receptive field; such a graph cannot scan photos.
        """
        return receptive_field(graph_of(self._bundle))

    def patch(self, resized: UInt8Array) -> tuple[float, GateSigns | None]:
        """Compute the crack probability of a patch, and its signs for the gate; None if the bundle has no gate.

        Args:
            resized: Patch, an array (H, W, 3), uint8, RGB, after `crackscope.model.preprocessing.resize_patch`.

        Raises:
            BundleError: If the graph gives a probability outside of 0 to 1, or something that is not a number.
        """
        probabilities, *rest = self._run(["probability", *self._signs], resized)
        signs = GateSigns(*(float(values[0]) for values in rest)) if rest else None
        return float(np.clip(probabilities[0, self._label], 0, 1)), signs

    def signs(self, crop: UInt8Array) -> GateSigns:
        """Compute the signs of a crop for the gate; the bundle must have one.

        Args:
            crop: Crop, an array (H, W, 3), uint8, RGB, as large as a patch after its resize.

        Raises:
            BundleError: If the graph gives something that is not a number.
        """
        return GateSigns(*(float(values[0]) for values in self._run(self._signs, crop)))

    def _run(self, outputs: Sequence[str], pixels: UInt8Array) -> list[Float32Array]:
        """Outputs of the graph for one image, checked."""
        found: list[Float32Array] = self._own_session().run(list(outputs), {"pixels": pixels[None]})
        for values, output in zip(found, outputs, strict=True):
            self.require(values, output)
        return found

    def logit_map(self, pixels: UInt8Array, *, window_px: int | None = None) -> Float32Array:
        """Compute crack logits over an image, shape (h, w), with one cell per stride of the network.

        The result is the same as for the whole image at once, however the image is cut into windows.

        Args:
            pixels: Image, an array (H, W, 3), uint8, RGB, at the network's scale.
            window_px: Side of a window without its halo, a multiple of the stride; chosen by memory if left out.

        Raises:
            BundleError: If the graph gives something that is not a number.
            DataError: If `window_px` is no multiple of the stride.
        """
        size_hw = pixels.shape[0], pixels.shape[1]
        core_hw = self.window_hw(size_hw, window_px=window_px)
        found = np.empty(self.field.cells_hw(size_hw), np.float32)
        session = self._own_session()

        def run(window: Window) -> None:
            logits = session.run(["logit_map"], {"pixels": window_pixels(pixels, window)})[0][0, self._label]
            found[slice(*window.rows), slice(*window.columns)] = logits[window.inside]

        self.run_windows(run, cut_windows(size_hw, self.field, core_hw))
        self.require(found, "logit_map")
        return found

    def run_windows(self, run: Callable[[Window], None], windows: Iterable[Window]) -> None:
        """Call a function for each window, as many at the same time as the network has threads."""
        self._own_session()
        list(self._windows.map(run, windows))

    def window_hw(
        self,
        size_hw: tuple[int, int],
        field: ReceptiveField | None = None,
        *,
        window_px: int | None = None,
        share: float = 1.0,
    ) -> tuple[int, int]:
        """Choose the height and width in pixels, without halo, of the windows that an image is cut into.

        Args:
            size_hw: Height and width of the image, in pixels.
            field: Receptive field that decides on the halo; that of the map if left out.
            window_px: Side that is wanted, a multiple of the stride; chosen by memory if left out.
            share: Share of the usual pixels that windows may have; less for a graph that needs more memory for each.

        Raises:
            DataError: If `window_px` is no multiple of the stride.
        """
        own = field or self.field
        if window_px is not None:
            if window_px < 1 or window_px % own.stride_px:
                raise DataError(f"a window of {window_px} px; it must be a multiple of {own.stride_px}.")
            return window_px, window_px
        at_once, least = WINDOW_PIXELS, LEAST_WINDOW_PIXELS
        if size_hw[0] * size_hw[1] >= LARGE_PIXELS:
            at_once, least = WINDOW_PIXELS_OF_LARGE, LEAST_WINDOW_PIXELS_OF_LARGE
        most = self._max_pixels or max(least, at_once // self.threads)
        return tidy_cut(size_hw, own, max_pixels=round(share * most))

    def _own_session(self) -> Any:
        """Give the session of this process; a forked process opens its own."""
        with _opening:
            if self._process != os.getpid():
                self._session: Any = open_bundle(self._bundle)
                self._windows = ThreadPoolExecutor(self.threads, thread_name_prefix="crackscope-window")
                self._process = os.getpid()
            return self._session

    def require(self, values: Float32Array, output: str) -> None:
        """Refuse what a graph must not give.

        Args:
            values: Values that the graph gave.
            output: Name of their output.

        Raises:
            BundleError: If a probability lies outside of 0 to 1, or a value is not a number.
        """
        if why := _fault_of(values, output):
            raise BundleError(f"{self._bundle.full_name}: {why}. Fetch or train the bundle again.")


def _fault_of(values: Float32Array, output: str) -> str | None:
    """Say what is wrong with numbers that a graph gave, if anything.

    Not-a-number is at least no threshold and above no limit. So it would pass for uncracked concrete.
    """
    if not np.isfinite(values).all():
        return f"the network gave something that is not a number as {output}"
    shares = ("probability", CONCRETE, FINE_MAP)
    if output in shares and len(outside := values[(values < -_ROUNDING) | (values > 1 + _ROUNDING)]):
        return f"the network gave {float(outside.flat[0]):g} as {output}, which is not within 0 to 1"
    return None


def _runtime() -> Any:
    """ONNX Runtime, with its telemetry switched off.

    From version 1.29 on, it keeps an identifier of the device and a queue of events in the user's cache, and sends
    them to its maker. A user who has set ``ORT_DISABLE_TELEMETRY`` decides otherwise.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when the library is loaded
    import onnxruntime

    return onnxruntime


def open_bundle(bundle: Bundle) -> Any:
    """Open a session of a bundle that gives every output but ``fine_map``.

    ONNX Runtime computes the whole graph, whichever outputs are asked for. So the decoder is taken off, and costs
    nothing where no fine map is wanted.

    Raises:
        BundleError: If ONNX Runtime cannot run the graph.
    """
    if bundle.card.fine_map is None:
        return _opened(bundle.content, bundle.name)
    return open_graph(without_decoder(graph_of(bundle)), bundle.name)


def open_graph(graph: onnx.GraphProto, name: str) -> Any:
    """Open a session of a graph that was cut out of a bundle.

    Args:
        graph: The graph.
        name: Name of the bundle, for messages.

    Raises:
        BundleError: If ONNX Runtime cannot run the graph.
    """
    return _opened(make_model(graph).SerializeToString(), name)


def _opened(content: bytes, name: str) -> Any:
    _runtime()  # outside the try: Ctrl-C while it loads is no fault of the bundle
    try:
        return open_session(content)
    except Exception as error:  # ONNX Runtime raises its own kinds
        why = " ".join(str(error).split())[:200]
        raise BundleError(f"{name}: ONNX Runtime cannot run it ({why}). Upgrade onnxruntime.") from error


def graph_of(bundle: Bundle) -> onnx.GraphProto:
    """Read the graph of a bundle."""
    return onnx.load_model_from_string(bundle.content).graph


def window_pixels(pixels: UInt8Array, window: Window) -> UInt8Array:
    """Cut out the pixels of a window, as a batch of one."""
    return np.ascontiguousarray(pixels[slice(*window.y), slice(*window.x)])[None]


def open_session(content: bytes) -> Any:
    """An ONNX Runtime session of a model's bytes, each run of which takes one thread."""
    onnxruntime = _runtime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def run_patches(session: Any, patches: Sequence[UInt8Array], output: str, *, patch_px: int) -> Float32Array:
    """Resize patches by `crackscope.model.preprocessing.RESIZE_RULE` and run them one by one.

    Args:
        session: Session from `open_session`.
        patches: Patches, arrays (H, W, 3), uint8, RGB, of any sizes.
        output: Name of an output of the graph whose first axis is the batch.
        patch_px: Shorter side after the resize, from the card.

    Returns:
        Array of shape (n, width of the output), float32, in the order of the patches; shape (0, 1) without patches.

    Raises:
        BundleError: If the graph gives a probability outside of 0 to 1, or something that is not a number.
    """
    rows = [
        session.run([output], {"pixels": resize_patch(pixels, patch_px=patch_px)[None]})[0][0] for pixels in patches
    ]
    found = np.stack(rows) if rows else np.empty((0, 1), np.float32)
    if why := _fault_of(found, output):
        raise BundleError(f"{why}. Fetch or train the model file again.")
    return found
