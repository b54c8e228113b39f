"""The loaded model: it classifies patches, scans photos, and answers any source of images with rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

import numpy as np

from crackscope.arrays import Float32Array, UInt8Array
from crackscope.errors import BundleError, DataError, reason_of
from crackscope.files.fork_lock import ForkLock
from crackscope.files.images import MAX_MEGAPIXELS
from crackscope.files.sources import AnyImage, Source, SourceImage, all_images_of, as_image, images_of, is_stream
from crackscope.files.streaming import chunked, default_threads, ordered_map
from crackscope.geometry.scale_sources import AnyScale, sources_of
from crackscope.model.bundle import Bundle, default_bundle, read_bundle, require_precision
from crackscope.model.card import Card
from crackscope.model.fine_windows import FineNetwork
from crackscope.model.gate import patch_clarity
from crackscope.model.preprocessing import resize_patch
from crackscope.model.sessions import Network
from crackscope.scanning.fine_map import Fine
from crackscope.scanning.photo_scan import Parts, PhotoToScan, ScanSettings, Trace, prepare, scanned, traced
from crackscope.scanning.prediction import (
    Prediction,
    PredictionRow,
    Unit,
    require_patch_size,
    require_unit,
    size_reason,
    unit_of,
)
from crackscope.scanning.results import PhotoResult, refused, verdict_of
from crackscope.scanning.scanner import NetworkScale, PreparedPhoto, map_of, prepare_photo
from crackscope.scanning.tracing import Tracing, grey_of, prepare_to_trace

__all__ = ["AnyModel", "Model", "load", "predict", "rows_of", "scan", "scan_prepared", "trace"]

_FILES_A_TURN = 8  # number of images that a thread takes at a time; one by one is a tenth slower


class Model:
    """A bundle, loaded and ready for prediction. It is safe to use from several threads.

    A model can be pickled and so be sent to another process. The pickle holds the path and the digest of the bundle,
    and the other process opens the bundle itself. Each process opens one ONNX Runtime session.

    Args:
        bundle: A bundle from `crackscope.read_bundle`.
        threads: Number of images, and of windows of a photo, that are computed at the same time; all cores if left out.
        max_pixels: Greatest number of pixels of a photo's window, halo included; chosen by memory if left out.

    Attributes:
        bundle: The bundle.
        card: Card of the bundle: labels, sizes, calibration, training data, figures.
        name: Name from the card and first digits of the bundle's SHA-256.
        sha256: SHA-256 of the bundle file, in hexadecimal.
        threads: Number of images, and of windows of a photo, that are computed at the same time.

    Raises:
        BundleError: If ONNX Runtime cannot run the bundle.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, max_pixels: int | None = None) -> None:
        self.bundle = bundle
        self.card: Card = bundle.card
        self.name = bundle.full_name
        self.sha256 = bundle.sha256
        self.threads = threads or default_threads()
        self._max_pixels = max_pixels
        self.network = Network(bundle, threads=self.threads, max_pixels=max_pixels)
        _LIVE.setdefault((self.sha256, self.threads, max_pixels), self)

    @cached_property
    def _fine_network(self) -> FineNetwork:
        """Network of the fine map.

        Raises:
            BundleError: If the bundle has no fine map.
        """
        return FineNetwork(self.bundle, self.network)

    @property
    def _parts(self) -> Parts:
        """What a scan needs of the model."""
        return Parts(self.name, self.card, self.network, lambda: self._fine_network)

    def __repr__(self) -> str:
        card = self.card
        return (
            f"Model({self.name}, {card.precision}: labels {', '.join(card.labels)}; patches of {card.patch_px} px, "
            f"up to {card.source_px} px before the resize; crack from {card.patch.threshold:.3f} on)"
        )

    def __reduce__(self) -> tuple[Callable[..., Model], tuple[Any, ...]]:
        path, precision = self.bundle.path, self.card.precision
        is_default = path is not None and path == default_bundle(precision)  # its path differs on another machine
        kept = precision if is_default else path.resolve() if path else self.bundle
        return _reopened, (kept, self.sha256, self.threads, self._max_pixels)

    def predict(
        self, source: Source, *, unit: Unit = "auto", max_megapixels: float = MAX_MEGAPIXELS
    ) -> Iterator[PredictionRow]:
        """Predict images, one row for each: a patch is classified, a photo is scanned.

        An image counts as a patch if its longer side is at most 1.2 times the card's ``source_px``, and at most 1.5
        times its shorter side. Anything else is a photo.

        Args:
            source: Images: a path, the bytes of a file, a PIL image, an array (H, W, 3) RGB or (H, W) grey of uint8, or
                what `crackscope.read_image` returns; a folder, a glob, an archive, or a CSV with a column ``path``; or
                a list or an iterator of these, such as the frames of a video.
            unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says.
            max_megapixels: Limit in megapixels; a larger image is refused.

        Returns:
            Rows in the order of the images, each as soon as it is ready. An image that cannot be read gives a row with
            the reason.

        Raises:
            DataError: If something in the source is no image, there is no image behind any path of it, or `unit` is
                another word.
            BundleError: If the network gives something that is not a number.
        """
        require_unit(unit)
        if is_stream(source):  # the images of a stream are answered one by one
            return rows_of(images_of(source), self, max_megapixels=max_megapixels, at_a_time=1, unit=unit)
        return rows_of(all_images_of(source), self, max_megapixels=max_megapixels, unit=unit)

    def classify(self, patch: AnyImage, *, unit: Unit = "auto") -> Prediction:
        """Classify one patch.

        Args:
            patch: An image in any of the forms that `predict` takes.
            unit: What the image is taken for. With ``patch``, an image that is larger than the model's patches is
                resized to them; otherwise it is refused.

        Returns:
            The label of the patch, and its crack probability.

        Raises:
            DataError: If `patch` is no image.
            ImageError: If the image cannot be read, is much larger than a patch, or too small to show anything.
            BundleError: If the network gives something that is not a number.

        Example:
            >>> import crackscope
            >>> answer = crackscope.load().classify(crackscope.draw_patch(3).pixels)
            >>> answer.label, answer.crack_probability > answer.threshold
            ('crack', True)
        """
        pixels = as_image(patch).pixels
        require_patch_size((pixels.shape[0], pixels.shape[1]), self.card, unit)
        return self._said_of(pixels)

    def scan(
        self,
        photo: AnyImage,
        *,
        network_scale: NetworkScale = "auto",
        scale: AnyScale = None,
        unit: Unit = "auto",
        fine: Fine = False,
        trace: Trace = "found",
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> PhotoResult:
        """Scan one photo for cracks.

        Args:
            photo: An image in any of the forms that `predict` takes.
            network_scale: Pixels of the network per pixel of the photo, a number above 0; ``auto`` chooses it by the
                photo's size (see docs/scanning.md).
            scale: Millimetres per pixel of the photo, or sources that may tell them; they do not change what the
                network sees. What the camera noted is asked in any case (see docs/measuring.md).
            unit: What the image is taken for: ``patch``, ``photo``, or ``auto`` for what its size says. Where a network
                scale is given, ``auto`` means ``photo``.
            fine: Whether the map gets a fine map, which shows the lines of cracks: True computes it in the regions of
                the map, ``everywhere`` in the whole photo.
            trace: Whether the lines of its cracks are traced and measured: ``found`` if the photo is ``crack`` or
                ``unsure``, ``all`` in any case, None never.
            max_megapixels: Limit in megapixels; a larger photo is refused.

        Returns:
            The result for the photo, with its map and its cracks.

        Raises:
            BundleError: If a fine map is wanted and the model has none, or the network gives something that is not a
                number.
            DataError: If `photo` is no image, `network_scale` is neither ``auto`` nor a number above 0, `scale`,
                `unit`, `fine` or `trace` is not as above, or a patch gets a network scale.
            ImageError: If the photo cannot be read, or is too small to show anything.

        Example:
            >>> import crackscope
            >>> photo = crackscope.draw_photo(1, photo_hw=(240, 480), n_cracks=1).pixels
            >>> result = crackscope.load().scan(photo)
            >>> result.verdict, result.unit, len(result.regions)
            ('crack', 'photo', 1)
            >>> x_px, y_px = result.peak_xy
            >>> result.map.probability_at(x_px, y_px) > result.threshold
            True
        """
        settings = ScanSettings(network_scale, scale, unit, fine, trace)
        settings.require(self.card)
        image = as_image(photo, max_megapixels=max_megapixels)
        prepared = prepare(image, self.card, settings)
        del image  # its pixels are not held on to while the network runs
        return scanned(prepared, self._parts, settings)

    def trace(
        self,
        photo: AnyImage,
        *,
        network_scale: float | None = None,
        scale: AnyScale = None,
        max_megapixels: float = MAX_MEGAPIXELS,
    ) -> Tracing:
        """Trace the cracks of one photo as lines, whatever its verdict would be.

        Args:
            photo: An image in any of the forms that `predict` takes, of at least 64 px a side. It is taken for a photo
                at any size.
            network_scale: Pixels of the network per pixel of the photo, above 0; chosen by the photo's size if left
                out.
            scale: Millimetres per pixel of the photo, or sources that may tell them; they do not change which lines are
                found.
            max_megapixels: Limit in megapixels; a larger photo is refused.

        Returns:
            The cracks, and the lines that look like joints.

        Raises:
            BundleError: If the network gives something that is not a number.
            DataError: If `photo` is no image, or `network_scale` is no number above 0.
            ImageError: If the photo cannot be read, or is too small to be traced.

        Example:
            >>> import crackscope
            >>> photo = crackscope.draw_photo(1, photo_hw=(240, 480), n_cracks=1).pixels
            >>> tracing = crackscope.load().trace(photo)
            >>> len(tracing.cracks) > 0, tracing.photo_hw
            (True, (240, 480))
        """
        image = as_image(photo, max_megapixels=max_megapixels)
        prepared = replace(prepare_to_trace(image, self.card, network_scale, scale), grey=grey_of(image))
        del image
        return traced(prepared, self._parts)

    def probabilities(self, patches: Sequence[UInt8Array]) -> Float32Array:
        """Compute the calibrated crack probability of each patch, shape (n,); the gate is not applied.

        Args:
            patches: Patches, each an array (H, W, 3), uint8, RGB, of patch size.

        Returns:
            Probabilities in [0, 1], shape (n,), float32.

        Raises:
            DataError: If an array has another shape or type.
            ImageError: If a patch is much larger than a training patch, or too small.
        """

        def work(pixels: UInt8Array) -> float:
            found = as_image(pixels).pixels
            require_patch_size((found.shape[0], found.shape[1]), self.card)
            return self.network.patch(resize_patch(found, patch_px=self.card.patch_px))[0]

        threads = min(self.threads, max(1, len(patches) // _FILES_A_TURN))
        return np.array([*ordered_map(work, patches, threads=threads)], np.float32)

    def _said_of(self, pixels: UInt8Array) -> Prediction:
        """The prediction for a patch of the right size."""
        card, gate = self.card, self.card.gate
        resized = resize_patch(pixels, patch_px=card.patch_px)
        probability, signs = self.network.patch(resized)
        reason = size_reason((pixels.shape[0], pixels.shape[1]), card)
        if reason is None and gate is not None and signs is not None:
            reason = gate.reason(signs.novelty, patch_clarity(pixels, card, resized=resized), signs.concrete)
        label = card.patch.label(probability) if reason is None else "rejected"
        return Prediction(label, probability, card.patch.threshold, reason)


AnyModel: TypeAlias = Model | Bundle | str | Path | None
"""A model from `load`, a bundle, or its path; None is the default bundle."""


def load(model: AnyModel = None, *, precision: str | None = None, threads: int | None = None) -> Model:
    """Load a bundle for prediction; without an argument, the default one.

    Args:
        model: A bundle or its path. A model that is loaded already is returned unchanged.
        precision: Precision, ``fp32`` or ``int8``, as for `crackscope.read_bundle`.
        threads: Number of images, and of windows of a photo, that are computed at the same time; all cores if left out.

    Returns:
        The model.

    Raises:
        BundleError: If the file is not a bundle of this version, or of another precision than `precision`.

    Example:
        >>> import crackscope
        >>> model = crackscope.load()
        >>> model.card.patch_px, model.card.mm_per_px
        (160, 0.375)
    """
    if isinstance(model, Model):
        require_precision(model.card, precision, model.bundle.name)
        return model
    bundle = model if isinstance(model, Bundle) else read_bundle(model, precision=precision)
    require_precision(bundle.card, precision, bundle.name)
    return Model(bundle, threads=threads)


def predict(
    source: Source, model: AnyModel = None, *, unit: Unit = "auto", max_megapixels: float = MAX_MEGAPIXELS
) -> Iterator[PredictionRow]:
    """Predict images, one row for each: a patch is classified, a photo is scanned.

    Args:
        source: Images in any of the forms that `Model.predict` takes.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says.
        max_megapixels: Limit in megapixels; a larger image is refused.

    Returns:
        Rows in the order of the images, each as soon as it is ready. An image that cannot be read gives a row with the
        reason.

    Raises:
        DataError: If something in the source is no image, there is no image behind any path of it, or `unit` is another
            word.
        BundleError: If the model is no bundle of this version.

    Example:
        >>> import crackscope
        >>> patches = [crackscope.draw_patch(3, crack=cracked).pixels for cracked in (True, False)]
        >>> [row.label for row in crackscope.predict(patches)]
        ['crack', 'uncracked']
    """
    return load(model).predict(source, unit=unit, max_megapixels=max_megapixels)


def scan(
    source: Source,
    model: AnyModel = None,
    *,
    network_scale: NetworkScale = "auto",
    scale: AnyScale = None,
    unit: Unit = "auto",
    fine: Fine = False,
    trace: Trace = "found",
    max_megapixels: float = MAX_MEGAPIXELS,
) -> Iterator[PhotoResult]:
    """Scan photos for cracks, one result for each; `crackscope.write_scan` writes results into a folder.

    Args:
        source: Photos in any of the forms that `Model.predict` takes.
        model: A model from `crackscope.load`, a bundle, or the path of a bundle; the default bundle if left out.
        network_scale: Pixels of the network per pixel of all photos, a number above 0; ``auto`` chooses it by the size
            of each photo (see docs/scanning.md).
        scale: Millimetres per pixel of all photos, or sources that may tell those of each photo; they do not change
            what the network sees. What each camera noted is asked in any case (see docs/measuring.md).
        unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says. Where a network
            scale is given, ``auto`` means ``photo``.
        fine: Whether maps get a fine map, which shows the lines of cracks: True computes it in the regions of the map,
            ``everywhere`` in the whole photo.
        trace: Photos in which the lines of cracks are traced and measured: ``found``, those that are ``crack`` or
            ``unsure``; ``all``; or None.
        max_megapixels: Limit in megapixels; a larger photo is refused.

    Returns:
        Results in the order of the photos, each as soon as it is ready. A photo that cannot be read gives a result with
        its error.

    Raises:
        DataError: If something in the source is no image, there is no image behind any path of it, `network_scale` is
            neither ``auto`` nor a number above 0, `scale`, `unit`, `fine` or `trace` is not as above, patches get a
            network scale, or the sources of `scale` do not fit the photos. Photos of a stream are not compared with a
            table.
        BundleError: If the model is no bundle of this version, or a fine map is wanted and the model has none.

    Example:
        >>> import crackscope
        >>> photos = [crackscope.draw_photo(1, photo_hw=(240, 480), n_cracks=n).pixels for n in (0, 1)]
        >>> [result.verdict for result in crackscope.scan(photos)]
        ['uncracked', 'crack']
    """
    loaded = load(model)
    sources = sources_of(scale)
    settings = ScanSettings(network_scale, sources, unit, fine, trace)
    settings.require(loaded.card)
    images = images_of(source) if is_stream(source) else all_images_of(source)
    if isinstance(images, list):
        sources.require_fit(image.path for image in images)

    def work(image: SourceImage) -> PhotoResult:
        try:
            found = image.load(max_megapixels=max_megapixels)
            prepared = prepare(found, loaded.card, settings)
            del found  # its pixels are not held on to while the network runs
            return scan_prepared(prepared, loaded, settings)
        except (OSError, DataError) as error:
            return refused(image.path, loaded.name, reason_of(error))

    return ordered_map(work, images, threads=loaded.threads)


def trace(
    photo: AnyImage, model: AnyModel = None, *, network_scale: float | None = None, scale: AnyScale = None
) -> Tracing:
    """Trace the cracks of one photo as lines; see `Model.trace`.

    Args:
        photo: A path, bytes, an array, a Pillow image or an `Image`.
        model: A bundle, its path, or a loaded model; the default bundle if left out.
        network_scale: Pixels of the network per pixel of the photo, above 0; chosen by the photo's size if left out.
        scale: Millimetres per pixel of the photo, or sources that may tell them.

    Returns:
        The cracks, and the lines that look like joints.

    Raises:
        BundleError: If the model cannot be read.
        DataError: If `photo` is no image, or `network_scale` is no number above 0.
        ImageError: If the photo cannot be read, or is too small to be traced.

    Example:
        >>> import crackscope
        >>> tracing = crackscope.trace(crackscope.draw_photo(1, photo_hw=(240, 480), n_cracks=1).pixels)
        >>> longest = tracing.cracks[0]
        >>> longest.length_px > 100, longest.joint_like
        (True, False)
    """
    return load(model).trace(photo, network_scale=network_scale, scale=scale)


# For the package's own modules


def scan_prepared(prepared: PhotoToScan, model: Model, settings: ScanSettings) -> PhotoResult:
    """Scan a photo that was brought to the network's scale; the pixels of the photo itself are no longer needed.

    Args:
        prepared: The photo, from `crackscope.scanning.photo_scan.prepare`.
        model: The model.
        settings: Settings of the scan, the same as for `prepare`.

    Raises:
        BundleError: If the network gives something that is not a number, or a fine map is wanted and the model has
            none.
    """
    return scanned(prepared, model._parts, settings)


def rows_of(
    images: Iterable[SourceImage],
    model: Model,
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    at_a_time: int = _FILES_A_TURN,
    photos: bool = True,
    unit: Unit = "auto",
) -> Iterator[PredictionRow]:
    """Predict images, one row for each, in their order; see `Model.predict`.

    Args:
        images: Images, from `crackscope.files.sources.images_of`, or values of another class with ``path`` and
            ``load``.
        model: The model.
        max_megapixels: A larger image file is refused.
        at_a_time: Images that a thread takes at a time.
        photos: Whether photos are scanned. If not, they are refused.
        unit: What images are taken for: ``patch``, ``photo``, or ``auto`` for what their size says.

    Raises:
        BundleError: If the network gives something that is not a number.
    """

    def work(chunk: list[SourceImage]) -> list[PredictionRow]:
        return [_row(image, model, max_megapixels, photos, unit) for image in chunk]

    for rows in ordered_map(work, chunked(images, at_a_time), threads=model.threads):
        yield from rows


def _row(image: SourceImage, model: Model, max_megapixels: float, photos: bool, wanted: Unit) -> PredictionRow:
    unit = None
    try:
        found = image.load(max_megapixels=max_megapixels)
        page = found.page
        unit = unit_of((found.pixels.shape[0], found.pixels.shape[1]), model.card) if wanted == "auto" else wanted
        if unit == "photo" and photos:
            prepared = prepare_photo(found, model.card, unit="photo")
            del found  # its pixels are not held on to while the network runs
            said = _said_of_photo(prepared, model)
        else:
            said = model.classify(found, unit=wanted)
    except (OSError, DataError) as error:
        return PredictionRow(image.path, unit, None, None, None, None, model.name, reason_of(error))
    answer = said.label, said.crack_probability, said.threshold, said.reason
    return PredictionRow(image.path, unit, *answer, model.name, page=page)


def _said_of_photo(prepared: PreparedPhoto, model: Model) -> Prediction:
    """The verdict of a photo as a prediction; its regions are not computed."""
    found, card = map_of(prepared, model.network, model.card), model.card
    return Prediction(verdict_of(found, card), found.deciding_probability, card.verdict_rule.threshold, found.reason)


_LIVE: WeakValueDictionary[tuple[str, int, int | None], Model] = WeakValueDictionary()
_LAST: deque[Model] = deque(maxlen=2)
_reopening = ForkLock()


def _reopened(bundle: Bundle | Path | str, sha256: str, threads: int, max_pixels: int | None) -> Model:
    """Open a model that another process handed over; a model handed over again is opened only once.

    Args:
        bundle: The bundle, its path, or the precision of the default bundle.
        sha256: SHA-256 that the bundle must have.
        threads: Number of threads, see `Model`.
        max_pixels: Greatest number of pixels of a window, see `Model`.

    Raises:
        BundleError: If the file is gone, or holds another bundle now.
    """
    with _reopening:
        found = _LIVE.get((sha256, threads, max_pixels))
        if found is None:
            own = bundle if isinstance(bundle, Bundle) else _read(bundle)
            if own.sha256 != sha256:
                raise BundleError(
                    f"{bundle}: not the bundle that was loaded (SHA-256 {sha256[:12]}…). Put it back, or load it again."
                )
            found = Model(own, threads=threads, max_pixels=max_pixels)
        _LAST.append(found)  # a worker drops a model after each task and gets it again for the next one
        return found


def _read(bundle: Path | str) -> Bundle:
    return read_bundle(bundle) if isinstance(bundle, Path) else read_bundle(precision=bundle)
