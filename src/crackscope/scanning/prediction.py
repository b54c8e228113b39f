"""A bundle becomes a `Classifier`, and images become predictions: one, many, or a stream of files.

What counts as a patch is told by the card: the longer side is at most twice the longest training patch
(``source_px``) and at most 1.5 times the shorter one. Anything else is a photo, which is scanned, never squashed.

A model with a gate (`crackscope.model.gate`) says ``rejected`` of what shows no concrete or is too blurred. That is an
answer like any other: the probability is given all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.errors import BundleError, DataError, ImageError, reason_of
from crackscope.files.images import MAX_MEGAPIXELS, Image, decode_image
from crackscope.files.inputs import ImageFile
from crackscope.files.streaming import chunked, default_threads, ordered_map
from crackscope.model.bundle import Bundle, read_bundle, require_precision
from crackscope.model.card import Card
from crackscope.model.gate import patch_clarity
from crackscope.model.graphs import NOVELTY
from crackscope.model.preprocessing import MAX_ASPECT, MIN_PX, resize_patch
from crackscope.model.sessions import open_session, run_patches

__all__ = [
    "Classifier",
    "Prediction",
    "PredictionRow",
    "bytes_of",
    "load",
    "require_rgb",
    "unit_of",
]


_FILES_A_TURN = 8  # images of a stream that a thread takes at a time; one by one is a tenth slower
_MAX_PATCH = 2.0  # times source_px


@dataclass(frozen=True)
class Prediction:
    """What the model says of one patch, or of a photo.

    Attributes:
        label: ``crack``, ``uncracked``, ``unsure`` or ``rejected``.
        crack_probability: Calibrated, in [0, 1]; of a photo, the greatest of any patch's footprint inside it.
        threshold: The one the label was decided with.
        reason: Why it is rejected, ``not concrete`` or ``blurred``; None where it is not.
    """

    label: str
    crack_probability: float
    threshold: float
    reason: str | None = None


@dataclass(frozen=True)
class PredictionRow:
    """One file of a batch; of an unreadable one ``error`` says why and label and probability are None.

    ``reason`` says why a file that was read is ``rejected``.
    """

    path: str
    unit: str | None
    label: str | None
    crack_probability: float | None
    threshold: float | None
    reason: str | None
    model: str
    error: str | None = None


def load(
    model: str | Path | Bundle | None = None, *, precision: str | None = None, threads: int | None = None
) -> Classifier:
    """Load a bundle for prediction; the default one where none is named.

    Args:
        model: A bundle or its path.
        precision: ``fp32`` or ``int8``, of the default bundle; see `crackscope.model.bundle.read_bundle`.
        threads: Thread budget for batches and streams; all cores where left out.

    Raises:
        BundleError: If the file is not a bundle of this version, or of another precision.
    """
    bundle = model if isinstance(model, Bundle) else read_bundle(model, precision=precision)
    require_precision(bundle.card, precision, bundle.name)
    return Classifier(bundle, threads=threads)


class Classifier:
    """A loaded bundle. Safe to use from several threads.

    Args:
        bundle: From `crackscope.model.bundle.read_bundle`.
        threads: Thread budget for batches and streams; all cores where left out.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None) -> None:
        self.bundle = bundle
        self.card: Card = bundle.card
        self.sha256 = bundle.sha256
        self.name = f"{bundle.card.name}@{bundle.sha256[:12]}"
        self.threads = threads or default_threads()
        import onnxruntime  # noqa: F401 - outside the try: Ctrl-C while it loads is no fault of the bundle

        try:
            self._session = open_session(bundle.content)
        except Exception as error:  # ONNX Runtime raises its own kinds
            why = " ".join(str(error).split())[:200]
            raise BundleError(f"{bundle.name}: ONNX Runtime cannot run it ({why}). Upgrade onnxruntime.") from error

    def classify(self, patch: UInt8Array | Image) -> Prediction:
        """Classify one patch.

        Args:
            patch: Array of shape (H, W, 3), uint8, RGB, or a `Image` of patch size.

        Raises:
            DataError: If the array has another shape or type.
            ImageError: If it is much larger than a patch, or too small.
        """
        return self.classify_batch([patch])[0]

    def classify_batch(self, patches: Sequence[UInt8Array | Image]) -> list[Prediction]:
        """Classify several patches; neither the order nor the company changes a result.

        Args:
            patches: Each as in `classify`.

        Raises:
            DataError: If an array has another shape or type.
            ImageError: If one is much larger than a patch, or too small.
        """
        arrays = self._checked(patches)
        return [self._prediction(*found) for found in zip(*self._in_chunks(arrays, gated=True), strict=True)]

    def probabilities(self, patches: Sequence[UInt8Array | Image]) -> Float32Array:
        """Calibrated crack probability of each patch, shape (n,).

        Raises:
            As `classify_batch`.
        """
        return self._in_chunks(self._checked(patches), gated=False)[0]

    def _checked(self, patches: Sequence[UInt8Array | Image]) -> list[UInt8Array]:
        arrays = [patch.pixels if isinstance(patch, Image) else patch for patch in patches]
        for pixels in arrays:
            require_rgb(pixels)
            _require_patch(pixels, self.card)
        return arrays

    def _in_chunks(self, arrays: Sequence[UInt8Array], *, gated: bool) -> tuple[Float32Array, list[str | None]]:
        chunks = chunked(arrays, _FILES_A_TURN)
        threads = min(self.threads, max(1, len(arrays) // _FILES_A_TURN))
        found = list(ordered_map(lambda chunk: self._run(chunk, gated=gated), chunks, threads=threads))
        values = np.concatenate([values for values, _ in found]) if found else np.empty(0, np.float32)
        return values, [reason for _, reasons in found for reason in reasons]

    def predict_files(
        self,
        files: Iterable[ImageFile],
        *,
        max_megapixels: float = MAX_MEGAPIXELS,
        on_photo: Callable[[Image], Prediction] | None = None,
    ) -> Iterator[PredictionRow]:
        """Predict a stream of files, in order, a few at a time.

        Args:
            files: Pairs of a path, for the row, and a function that reads the bytes.
            max_megapixels: A larger image is refused.
            on_photo: Says what a photo is (`crackscope.scanning.rows.photo_reader`), on several threads at once; photos
                are refused where left out.

        Yields:
            A row a file. What cannot be read, or is no patch, is a row with its reason.

        Raises:
            BundleError: If the network gives something that is not a number.
        """

        def work(chunk: list[ImageFile]) -> list[PredictionRow]:
            return self._predict_chunk(chunk, max_megapixels, on_photo)

        for rows in ordered_map(work, chunked(files, _FILES_A_TURN), threads=self.threads):
            yield from rows

    def _predict_chunk(
        self, chunk: Sequence[ImageFile], max_megapixels: float, on_photo: Callable[[Image], Prediction] | None
    ) -> list[PredictionRow]:
        rows: dict[int, PredictionRow] = {}
        patches: dict[int, UInt8Array] = {}
        for i, (path, read) in enumerate(chunk):
            unit = None
            try:
                photo = decode_image(bytes_of(read), path=path, max_megapixels=max_megapixels)
                unit = unit_of((photo.pixels.shape[0], photo.pixels.shape[1]), self.card)
                if unit == "photo" and on_photo is not None:
                    rows[i] = self._row(path, unit, on_photo(photo))
                    continue
                _require_patch(photo.pixels, self.card)
                patches[i] = photo.pixels
            except (OSError, DataError) as error:
                rows[i] = PredictionRow(path, unit, None, None, None, None, self.name, reason_of(error))
        for i, value, reason in zip(patches, *self._run(list(patches.values())), strict=True):
            rows[i] = self._row(chunk[i][0], "patch", self._prediction(value, reason))
        return [rows[i] for i in range(len(chunk))]

    def _row(self, path: str, unit: str, said: Prediction) -> PredictionRow:
        return PredictionRow(path, unit, said.label, said.crack_probability, said.threshold, said.reason, self.name)

    def _run(self, patches: Sequence[UInt8Array], *, gated: bool = True) -> tuple[Float32Array, list[str | None]]:
        """Probabilities of patches, and why each is rejected; without a gate none is."""
        if not patches:
            return np.empty(0, np.float32), []
        card, gate = self.card, self.card.gate if gated else None
        reasons: list[str | None] = [None] * len(patches)
        if gate is None:
            found = run_patches(self._session, patches, "probability", patch_px=card.patch_px)
        else:
            rows = []
            for i, pixels in enumerate(patches):
                resized = resize_patch(pixels, patch_px=card.patch_px)
                probability, novelty = self._session.run(["probability", NOVELTY], {"pixels": resized[None]})
                rows.append(probability[0])
                reasons[i] = gate.reason(float(novelty[0]), patch_clarity(pixels, card, resized=resized))
            found = np.stack(rows)
        if not np.isfinite(found).all():  # it would compare as below every threshold, and read as "uncracked"
            raise BundleError(f"{self.name}: the network gave something that is not a number. Train the bundle again.")
        return found[:, card.labels.index("crack")], reasons

    def _prediction(self, probability: np.floating[Any] | float, reason: str | None = None) -> Prediction:
        value, calibration = float(probability), self.card.patch
        label = calibration.label(value) if reason is None else "rejected"
        return Prediction(label, value, calibration.threshold, reason)


def unit_of(source_hw: tuple[int, int], card: Card) -> str:
    """``patch`` or ``photo``, by the rule at the top of this module; source_hw is (height, width) in pixels."""
    short, long = sorted(source_hw)
    return "patch" if long <= _MAX_PATCH * card.source_px and long <= MAX_ASPECT * short else "photo"


def require_rgb(pixels: UInt8Array) -> None:
    """Refuse what is no RGB image.

    Raises:
        DataError: If it is no array (H, W, 3) of uint8.
    """
    if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        found = f"{pixels.dtype} {pixels.shape}" if isinstance(pixels, np.ndarray) else type(pixels).__name__
        raise DataError(f"an image must be an array (H, W, 3) of uint8 RGB; found {found}.")


def _require_patch(pixels: UInt8Array, card: Card) -> None:
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_PX:
        raise ImageError(f"{width}×{height} px is too small to show anything (at least {MIN_PX} px a side)")
    if unit_of((height, width), card) == "photo":
        raise ImageError(
            f"{width}×{height} px is a photo, not a patch (at most {_MAX_PATCH * card.source_px:.0f} px a side, one "
            f"side at most {MAX_ASPECT} times the other); scan it, or cut it into patches"
        )


def bytes_of(read: Callable[[], bytes]) -> bytes:
    """What a file holds; whatever its reader raises (a missing member, a damaged stream) is a reason, no crash."""
    try:
        return read()
    except (OSError, DataError):
        raise
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise ImageError(f"cannot be read: {why}") from error
