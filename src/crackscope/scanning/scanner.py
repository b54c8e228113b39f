"""A photo becomes a `CrackMap`: brought to the model's scale, cut into windows with a halo, stitched.

The map is that of the whole photo at once, whatever the size of the windows: their halo covers the receptive field, and
they start at multiples of the stride. So memory is bounded by the window, not by the photo.

**Verdict.** A photo is called ``crack`` where the greatest probability of any footprint reaches the card's verdict
threshold, ``unsure`` somewhat below, and else ``uncracked``. The card says how often that was wrong
(`crackscope.model.card.Verdict`). A model with a gate calls it ``rejected`` where more than half of a sample, at most
24 crops as large as a patch, show no concrete or are too blurred (`crackscope.model.gate`). Its map is there all the
same.

**Scale.** A model was trained at some millimetres per pixel, as far as that is known, and on patches of some size in
pixels. Where the photo's own millimetres per pixel are given, it is brought to the model's. Otherwise ``auto`` takes a
camera's photo for one of the kind that training patches were cut from, and shrinks it as they were. A photo that would
then have a shorter side below `SMALL_PX` was shrunk by somebody before: it is brought to that size, at most
`MAX_ENLARGEMENT` times its own. An image of patch size becomes a patch, with the calibration and the label of one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import onnx

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.errors import BundleError, DataError, ImageError
from crackscope.files.images import Image, read_image
from crackscope.files.streaming import default_threads
from crackscope.model.bundle import Bundle, read_bundle
from crackscope.model.card import Calibration, Card
from crackscope.model.gate import clarity, gate_crops, patch_clarity, photo_reason
from crackscope.model.graphs import NOVELTY
from crackscope.model.preprocessing import MIN_PX, resize_photo
from crackscope.model.sessions import open_session
from crackscope.model.windows import ReceptiveField, cut_windows, receptive_field, tidy_cut
from crackscope.scanning.crack_map import CrackMap
from crackscope.scanning.prediction import Classifier, require_rgb, unit_of

__all__ = [
    "MAX_ENLARGEMENT",
    "SMALL_PX",
    "PreparedPhoto",
    "Scanner",
    "auto_scale",
    "photo_scale",
    "scale_of",
    "scan",
    "scanner_of",
]


LARGE_PIXELS = 16_000_000
"""Pixels for the network from which a photo takes so much memory itself that its windows must take less."""

MAX_PIXELS_OF_LARGE = 2_400_000
"""Pixels of such a photo's windows."""

_SCANNERS: WeakKeyDictionary[Classifier, Scanner] = WeakKeyDictionary()
_OPENING = threading.Lock()

SMALL_PX = 768
"""Shorter side, for the network, below which a photo is taken for one that was shrunk."""

MAX_ENLARGEMENT = 2.0
"""Of a photo, at most."""

MAX_PIXELS = 3_800_000
"""Pixels of a window, halo included: MobileNetV2 takes about 200 bytes for each."""


def scan(
    photo: Image | UInt8Array | str | Path,
    model: Scanner | Classifier | Bundle | str | Path | None = None,
    *,
    scale: float | None = None,
    mm_per_px: float | None = None,
) -> CrackMap:
    """Scan one photo.

    Args:
        photo: From `crackscope.read_image`, a path, or an array (H, W, 3) of uint8 RGB.
        model: From `crackscope.load`, or what it takes, or a `Scanner`; the default bundle where left out.
        scale: Pixels of the network per pixel of the photo; see the module's docstring where left out.
        mm_per_px: Of the photo, where it is known; in place of a scale.

    Raises:
        BundleError: If the model is no bundle, or does not know its millimetres per pixel and they are asked for.
        DataError: If the array is of another shape or type.
        ImageError: If the photo cannot be read, or is too small to show anything.

    Example:
        >>> from crackscope.drawing.walls import draw_photo
        >>> found = scan(draw_photo(seed=0).pixels)
        >>> found.probabilities.shape == found.logits.shape
        True
    """
    scanner = model if isinstance(model, Scanner) else scanner_of(model)
    # What is read here is not held on to while the network runs.
    return scanner.map_of(
        scanner.prepare(
            read_image(photo) if isinstance(photo, (str, Path)) else photo, scale=scale, mm_per_px=mm_per_px
        )
    )


def scanner_of(model: Classifier | Bundle | str | Path | None = None, *, threads: int | None = None) -> Scanner:
    """A scanner of a model; that of a classifier is opened once, and has its threads."""
    if not isinstance(model, Classifier):
        return Scanner(model, threads=threads)
    with _OPENING:
        if model not in _SCANNERS:
            _SCANNERS[model] = Scanner(model.bundle, threads=model.threads)
        return _SCANNERS[model]


@dataclass(frozen=True, eq=False)
class PreparedPhoto:
    """A photo at the network's scale.

    Attributes:
        pixels: Array of shape (H, W, 3), uint8, RGB.
        photo_hw: Height and width that the photo had, in pixels.
        scale: Pixels of the network per pixel of the photo.
        unit: ``photo``, or ``patch`` for an image of patch size whose scale was not given.
        path: Of the photo.
        clarity: Of a patch, and 1 of a photo that somebody shrunk before; None of others, which are measured crop by
            crop.
    """

    pixels: UInt8Array
    photo_hw: tuple[int, int]
    scale: float
    unit: str
    path: str
    clarity: float | None = None


class Scanner:
    """A loaded bundle that scans photos. Safe to use from several threads: one window is computed at a time.

    Args:
        model: A bundle, or its path; the default one where left out.
        threads: Cores that one photo is computed on; all where left out.
        max_pixels: Of a window, halo included; see `crackscope.model.windows.tidy_cut`.
    """

    def __init__(
        self, model: Bundle | str | Path | None = None, *, threads: int | None = None, max_pixels: int = MAX_PIXELS
    ) -> None:
        bundle = model if isinstance(model, Bundle) else read_bundle(model)
        self.card: Card = bundle.card
        self.name = f"{bundle.card.name}@{bundle.sha256[:12]}"
        self.sha256 = bundle.sha256
        self.field: ReceptiveField = receptive_field(onnx.load_model_from_string(bundle.content).graph)
        self.max_pixels = max_pixels
        self._one_window = threading.Lock()  # two at once would take twice the memory, and no less time
        self._label = self.card.labels.index("crack")
        threads = threads or default_threads()  # outside the try: a wrong setting is no fault of the bundle
        try:
            self._session: Any = open_session(bundle.content, threads=threads, plan_memory=False)
        except Exception as error:  # ONNX Runtime raises its own kinds
            why = " ".join(str(error).split())[:200]
            raise BundleError(f"{bundle.name}: ONNX Runtime cannot run it ({why}). Upgrade onnxruntime.") from error

    def label_of(self, found: CrackMap) -> str:
        """What the photo is called: ``rejected``, else ``crack``, ``unsure`` or ``uncracked`` by its greatest value."""
        if found.reason is not None:
            return "rejected"
        if found.unit == "patch":
            return self.card.patch.label(found.peak_probability)
        return (self.card.verdict or self.calibration).label(found.peak_probability)

    @property
    def threshold(self) -> float:
        """Greatest probability of a photo from which it is called ``crack``."""
        return (self.card.verdict or self.calibration).threshold

    @property
    def calibration(self) -> Calibration:
        """For footprints inside photos; the one for patches where no other was fitted."""
        return self.card.photo or self.card.patch

    def scan(
        self, photo: Image | UInt8Array, *, scale: float | None = None, mm_per_px: float | None = None
    ) -> CrackMap:
        """Scan one photo; see `scan`."""
        return self.map_of(self.prepare(photo, scale=scale, mm_per_px=mm_per_px))

    def prepare(
        self, photo: Image | UInt8Array, *, scale: float | None = None, mm_per_px: float | None = None
    ) -> PreparedPhoto:
        """Bring a photo to the network's scale; its own pixels are not needed after that.

        Raises:
            As `scan`.
        """
        pixels, path = (photo.pixels, photo.path) if isinstance(photo, Image) else (photo, "")
        require_rgb(pixels)
        height, width = pixels.shape[:2]
        if min(height, width) < MIN_PX:
            raise ImageError(f"{width}×{height} px is too small to show anything (at least {MIN_PX} px a side)")
        chosen = scale_of(self.card, (height, width), scale=scale, mm_per_px=mm_per_px)
        resized = resize_photo(pixels, chosen)
        if min(resized.shape[:2]) < MIN_PX:
            raise ImageError(
                f"at scale {chosen:g}, {width}×{height} px become {resized.shape[1]}×{resized.shape[0]}, which is too "
                f"small to show anything (at least {MIN_PX} px a side); scan it at a larger scale"
            )
        given = scale is not None or mm_per_px is not None
        unit = "photo" if given else unit_of((height, width), self.card)
        clear = None
        if unit == "patch":
            clear = patch_clarity(pixels, self.card, resized=resized) if self.card.gate else 1.0
        elif chosen > (1 if given else min(1, self.card.patch_px / self.card.source_px)):
            clear = 1.0  # somebody shrunk it before, and nobody knows how sharp it was
        return PreparedPhoto(resized, (height, width), chosen, unit, path, clear)

    def map_of(self, prepared: PreparedPhoto) -> CrackMap:
        """Run the network over a prepared photo."""
        stride, (height, width) = self.field.stride_px, prepared.photo_hw
        logits, reason = self.logit_map(prepared.pixels), self.reason_of(prepared)
        patch = prepared.unit == "patch"  # all of it is one footprint, as for `predict`
        return CrackMap(
            logits=logits,
            photo_hw=prepared.photo_hw,
            cell_px=(stride * height / prepared.pixels.shape[0], stride * width / prepared.pixels.shape[1]),
            footprint_cells=max(logits.shape) if patch else max(1, round(self.card.patch_px / stride)),
            calibration=self.card.patch if patch else self.calibration,
            scale=prepared.scale,
            unit=prepared.unit,
            path=prepared.path,
            pool=self.card.pool,
            reason=reason,
        )

    def reason_of(self, prepared: PreparedPhoto) -> str | None:
        """Why a photo is rejected: a patch as a whole, a larger one by its crops; None where it is not."""
        gate = self.card.gate
        if gate is None:
            return None
        patch = prepared.unit == "patch"
        crops = [prepared.pixels] if patch else gate_crops(prepared.pixels, prepared.scale, self.card)
        if not crops:
            return None
        with self._one_window:
            (novelties,) = self._session.run([NOVELTY], {"pixels": np.stack(crops)})
        clarities = [clarity(crop) if prepared.clarity is None else prepared.clarity for crop in crops]
        return photo_reason([gate.reason(float(one), other) for one, other in zip(novelties, clarities, strict=True)])

    def logit_map(self, pixels: UInt8Array, *, window_px: int | None = None) -> Float32Array:
        """Logits of every cell, shape (⌈H/stride⌉, ⌈W/stride⌉), as of the whole picture at once.

        Args:
            pixels: Array (H, W, 3) of uint8 RGB, at the network's scale.
            window_px: Side of a window without its halo, a multiple of the stride; the best one if left out.

        Raises:
            BundleError: If the network gives something that is not a number.
            DataError: If `window_px` is no multiple of the stride.
        """
        if window_px is not None and (window_px < 1 or window_px % self.field.stride_px):
            raise DataError(f"a window of {window_px} px; it must be a multiple of {self.field.stride_px}.")
        size_hw = (pixels.shape[0], pixels.shape[1])
        most = self.max_pixels if pixels.size < LARGE_PIXELS * 3 else min(self.max_pixels, MAX_PIXELS_OF_LARGE)
        core_hw = (window_px, window_px) if window_px else tidy_cut(size_hw, self.field, max_pixels=most)
        stride = self.field.stride_px
        found = np.empty((-(-size_hw[0] // stride), -(-size_hw[1] // stride)), np.float32)
        for window in cut_windows(size_hw, self.field, core_hw):
            part = np.ascontiguousarray(pixels[slice(*window.y), slice(*window.x)])
            with self._one_window:
                logits = self._session.run(["logit_map"], {"pixels": part[None]})[0][0, self._label]
            found[slice(*window.rows), slice(*window.columns)] = logits[window.inside]
        if not np.isfinite(found).all():
            raise BundleError(f"{self.name}: the network gave something that is not a number. Train the bundle again.")
        return found


def scale_of(
    card: Card, photo_hw: tuple[int, int], *, scale: float | None = None, mm_per_px: float | None = None
) -> float:
    """Pixels of the network per pixel of a photo.

    Args:
        card: Of the model.
        photo_hw: Height and width of the photo, in pixels.
        scale: Taken as it is.
        mm_per_px: Of the photo.

    Raises:
        BundleError: If millimetres are given, and the card does not know its own.
        DataError: If both are given, or one is not above 0.

    Example:
        >>> scale_of(read_bundle().card, (3000, 4000)), scale_of(read_bundle().card, (640, 960))
        (0.625, 1.2)
    """
    if scale is not None and mm_per_px is not None:
        raise DataError(f"scale {scale:g} and {mm_per_px:g} mm per pixel were both given. Give one of them.")
    for name, value in (("scale", scale), ("mm per pixel", mm_per_px)):
        if value is not None and not 0 < value < float("inf"):
            raise DataError(f"{name} is {value:g}; it must lie above 0.")
    if mm_per_px is None:
        return auto_scale(card, photo_hw) if scale is None else scale
    if card.mm_per_px is None:
        raise BundleError(
            f"{card.name}: the model does not know at how many mm per pixel it was trained. Give a scale instead."
        )
    return mm_per_px / card.mm_per_px


def auto_scale(card: Card, photo_hw: tuple[int, int]) -> float:
    """What a photo is scaled by where nothing is known of it but its size; see the module's docstring.

    Args:
        card: Of the model.
        photo_hw: Height and width of the photo, in pixels.
    """
    return card.patch_px / min(photo_hw) if unit_of(photo_hw, card) == "patch" else photo_scale(card, photo_hw)


def photo_scale(card: Card, photo_hw: tuple[int, int]) -> float:
    """As `auto_scale`, of what is known to be a photo, however small.

    Args:
        card: Of the model.
        photo_hw: Height and width of the photo, in pixels.

    Example:
        >>> photo_scale(read_bundle().card, (320, 480))
        2.0
    """
    return max(card.patch_px / card.source_px, min(SMALL_PX / min(photo_hw), MAX_ENLARGEMENT))
